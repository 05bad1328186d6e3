"""A chapter with its exercises solved, as a good student would hand it in."""

import re
from pathlib import Path

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions"


def solved(notebook, number):
    """A chapter's notebook with the answers of its solutions put in for the stubs."""
    file = SOLUTIONS / f"chapter{number}.py"
    for cell in notebook.cells:
        stub = re.search(r"check\(\"(ex\d)\", (\w+)\)", cell.source) if cell.cell_type == "code" else None
        if stub:
            answer = f'import runpy\n{stub[2]} = runpy.run_path({str(file)!r})["SOLUTIONS"]["{stub[1]}"]'
            cell.source, found = re.subn(
                rf"^{stub[2]} = \.\.\..*$", lambda match, answer=answer: answer, cell.source, flags=re.M
            )
            assert found == 1
    return notebook
