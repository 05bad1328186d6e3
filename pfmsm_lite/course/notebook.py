"""The notebooks' helpers: environment check, figures with alt text, claims, exercises, widgets."""

import base64
import contextlib
import html
import io
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from pfmsm_lite.course.exercise import STOPPED, Exercise, exercises, hint_for, misfit, verdict  # noqa: F401
from pfmsm_lite.course.progress import watch
from pfmsm_lite.errors import UserError, choose

PROJECT = Path(__file__).parents[2]
INSTALL = "python -m pip install -r requirements.txt"
KEEP_FIGURES = "PFMSM_KEEP_FIGURES"  # environment variable; set while the maintainers' `notebooks` runs
GRADER = "PFMSM_GRADER"  # environment variable; while `grade` runs: the address of its judge
SHARPER = "PFMSM_SHARPER"  # environment variable: pixels of a picture for each pixel of its size on the page
SHARP = 1.25  # where it is not set: more would make a notebook too large
_here = {"chapter": None, "misses": {}, "fast": False, "held": [], "solved": set(), "exam": False}


def requirements():
    """What the course needs, such as "numpy>=2.0,<3": the lines of requirements.txt, which is the one source.

    A package that was installed without its clone has them in its metadata.
    """
    file = PROJECT / "requirements.txt"
    if file.is_file():
        lines = [line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    else:
        lines = [line for line in requires("pfmsm-lite") or () if "extra ==" not in line]
    return [line for line in lines if line]


def problems(needed=None, installed=version):
    """What is wrong with the environment: a list of sentences, empty where all is well.

    needed     lines as those of requirements.txt; None: these
    installed  package → version;  something newer than what was tested is no problem
    """
    try:
        from packaging.requirements import Requirement
        from packaging.version import Version
    except ImportError:  # Jupyter and matplotlib bring it: where it is missing, they are
        return ["packaging is missing, and so is what brings it."]
    found = []
    for requirement in map(Requirement, requirements() if needed is None else needed):
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            there = installed(requirement.name)
        except PackageNotFoundError:
            found.append(f"{requirement.name} is missing.")
            continue
        for bound in requirement.specifier:
            if bound.operator in (">=", "==", "~=") and Version(there) < Version(bound.version):
                found.append(f"{requirement.name} {there} is too old, {bound.version} or newer is needed.")
    return found


def home():
    """The project's folder: the one above that has notebooks/ and pfmsm_lite/.

    raises  UserError where there is none: the package was installed without its notebooks
    """
    for folder in (Path.cwd(), *Path.cwd().parents, PROJECT):
        if (folder / "notebooks").is_dir() and (folder / "pfmsm_lite").is_dir():
            return folder
    raise UserError(
        f"The course's folder was not found from {Path.cwd().name}/. Work inside a clone of the project: "
        "there `python -m pfmsm_lite course` opens the notebooks."
    )


def measured(name, file="results.csv"):
    """A table of long runs that the project keeps: notebooks/results/NAME/FILE, as a DataFrame.

    Says by which command, when and on which machine it was made.
    """
    import pandas as pd

    folder = home() / "notebooks" / "results" / name
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    print(config["command"], "|", config["date"], "|", config["machine"])
    return pd.read_csv(folder / file)


def begin(chapter, fast=False, threads=1, exam=False):
    """Start a chapter: check the environment, find the project, fix what makes numbers differ.

    chapter  its name, such as "06_conflict_coordination"
    fast     the short version of every run
    exam     `check` only notes answers: their numbers differ from the chapter's
    raises   UserError that names what is missing and the command that installs it
    """
    wrong = problems()
    if wrong:
        raise UserError(f"{' '.join(wrong)} In the project's folder run: {INSTALL}, and restart the kernel.")
    folder = home()
    parts = folder / "notebooks", folder / "notebooks" / "further"
    choose("chapter", chapter, [path.stem for part in parts for path in sorted(part.glob("[0-9]*.ipynb"))])
    import torch

    torch.set_num_threads(threads)
    _here.update(chapter=chapter, misses={}, fast=fast, held=[], solved=set(), exam=exam)
    _at("post_run_cell", _say_held)
    watch(_at)
    kind = "fast: small runs, other numbers than in the text" if fast else "full"
    print(f"Chapter {chapter} · {kind} · Python {sys.version.split()[0]}, PyTorch {version('torch')}")


def fault(figure):
    """What keeps a figure from being shown to a class: no alt text, or an axis without content; else ""."""
    if len(getattr(figure, "alt", "").split()) < 5:
        return "the figure has no alt text: set fig.alt to a sentence that says what it shows"
    for number, ax in enumerate(figure.axes):
        drawn = ax.has_data() or ax.patches or ax.texts or ax.images or ax.collections or ax.get_legend()
        if ax.get_visible() and not drawn:
            return f"axis {number} of the figure is empty"
    return ""


def _image(figure, small=True):
    """(PNG bytes of a Figure, output of a cell that shows it), some times as fine as on the page.

    small  in few colours: takes longer than to draw it, so a widget does without
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    if fault(figure):
        raise ValueError(fault(figure))
    sharper = float(os.environ.get(SHARPER) or SHARP)
    canvas, png, dpi = FigureCanvasAgg(figure), io.BytesIO(), figure.dpi
    figure.set_dpi(sharper * dpi)
    canvas.draw()  # once: savefig would draw twice and pack the picture for nothing
    figure.set_dpi(dpi)
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    if small:
        _few_colours(picture).save(png, format="png", optimize=True)
    else:
        picture.save(png, format="png", compress_level=1)
    data = {"image/png": base64.b64encode(png.getvalue()).decode(), "text/plain": figure.alt}
    metadata = {"image/png": {"alt": figure.alt, "width": round(picture.width / sharper)}}
    return png.getvalue(), {"output_type": "display_data", "data": data, "metadata": metadata}


def _few_colours(picture):
    """An RGB image in 256 colours, half the size: the 128 most frequent ones exactly, so that white stays
    white and the cells of a heatmap theirs; the others, such as a colour bar's, spread evenly (an octree)."""
    import numpy as np
    from PIL import Image

    levels = np.asarray(picture).astype(np.int32)
    packed = levels[..., 0] << 16 | levels[..., 1] << 8 | levels[..., 2]  # [height, width]
    colours, index, counts = np.unique(packed, return_inverse=True, return_counts=True)
    often = colours[np.argsort(-counts, kind="stable")[:128]]
    spread = picture.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).getpalette()
    split = [np.stack([c >> 16, c >> 8 & 255, c & 255], -1).astype(np.float32) for c in (colours, often)]
    palette = np.concatenate([split[1], np.array(spread, np.float32).reshape(-1, 3)])[:256]
    nearest = ((palette**2).sum(1) - 2 * split[0] @ palette.T).argmin(1)  # per colour of the picture
    found = Image.fromarray(nearest[index].reshape(packed.shape).astype(np.uint8), "P")
    found.putpalette(palette.astype(np.uint8).tobytes())
    return found


def show(figure, name=None):
    """Show a Figure as an image with its alt text.

    name    figures/NAME.png is written too, by the maintainers' command `python -m pfmsm_lite notebooks` only
    raises  ValueError for a figure without alt text or with an empty axis
    """
    from IPython.display import display

    png, output = _image(figure)
    if name and os.environ.get(KEEP_FIGURES) and not _here["fast"]:
        target = home() / "figures" / f"{name}.png"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(png)
    display(output["data"], raw=True, metadata=output["metadata"])


def claim(text, condition):
    """A statement of the text that a cell has to make true: AssertionError if it does not.

    In a notebook one line after the cell says how many of them hold; a click lists them.
    """
    if not bool(condition):
        raise AssertionError(f"Not true any more: {text}")
    _here["held"].append(text)
    if not _kernel():
        _say_held()


def _kernel():
    """IPython's shell of this notebook; None in a plain program."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _at(event, function):
    """Have a function called at an event of every cell, once however often `begin` runs."""
    if shell := _kernel():
        with contextlib.suppress(ValueError):
            shell.events.unregister(event, function)
        shell.events.register(event, function)


def _say_held(result=None):
    """Show the statements that hold: one line, the list folded behind it."""
    held, _here["held"] = _here["held"], []
    if not held:
        return
    text = f"✓ {held[0]}" if len(held) == 1 else f"✓ {len(held)} statements hold"
    if not _kernel():
        print(text)
        return
    from IPython.display import display

    items = "".join(f"<li>{html.escape(one)}</li>" for one in held)
    folded = f"<details><summary>{text}</summary><ul>{items}</ul></details>"
    data = {"text/plain": text} | ({"text/html": folded} if len(held) > 1 else {})
    display(data, raw=True)


# ---- exercises ----


def _state(name, exercise, answer):
    """(state, hint) of an answer: the grader's while `grade` runs, else our own; in an exam just "noted"."""
    if address := os.environ.get(GRADER):
        from pfmsm_lite.course.wire import ask

        return ask(address, _here["chapter"], name, answer)
    if not _here["exam"]:
        return verdict(exercise, answer)
    if answer is None or answer is ...:
        return "to do", ""
    wrong = misfit(exercise, answer)
    return ("wrong", wrong) if wrong else ("noted", "")


def check(name, answer=None):
    """Say whether an exercise is solved: ok, to do, or wrong, with a hint after the second miss.

    A wrong type or shape, or a crash, is named at the first miss: that is no error in reasoning.
    """
    known = exercises(_here["chapter"]) if _here["chapter"] else {}
    if name not in known:
        where = f"of chapter {_here['chapter']}" if known else "yet: run the chapter's first cells"
        print(f"{name}: there is no such exercise {where}. There are: {', '.join(known) or 'none'}.")
        return
    state, hint = _state(name, known[name], answer)
    _here["solved"] = _here["solved"] - {name} | ({name} if state == "ok" else set())
    if state != "wrong":
        print(f"{name}: {state}")
        return
    misses = _here["misses"][name] = _here["misses"].get(name, 0) + 1
    if hint.startswith(("expected ", STOPPED)) or misses >= 2:
        print(f"{name}: wrong. Hint: {hint}")
    else:
        print(f"{name}: wrong. Look again; there is a hint after the next try.")


def given(name, answer, ours):
    """The answer of an exercise that `check` found right; until then `ours`, a stand-in, said in one line.

    For the cells behind an exercise: a stub or a wrong answer must not stop them.
    """
    if name in _here["solved"]:
        return answer
    print(f"exercise {name.removeprefix('ex')} first: until it is ok, this cell uses a stand-in")
    return ours


# ---- widgets ----


def explore(draw, live=False, **controls):
    """Sliders and menus around a drawing function: draw(**values) → Figure, drawn anew at every change.

    live      draw while a slider is dragged, not only when it is let go: for what is drawn at once
    controls  name → ipywidgets control, or what `widgets.interactive` makes one of: (low, high, step), a
              list of choices, True or False
    The figure is drawn once at the start, and in FAST runs at both ends of every control, outside of any
    widget: so a fault of `draw` stops the notebook and is not swallowed.
    """
    import ipywidgets
    from IPython.display import display

    made = ipywidgets.interactive(lambda **values: None, **controls)
    sliders = [child for child in made.children if not isinstance(child, ipywidgets.Output)]
    by_name = dict(zip(controls, sliders, strict=True))
    for name, slider in by_name.items():
        slider.description = name.replace("_", " ")
        slider.style.description_width = "initial"
        if hasattr(slider, "continuous_update"):
            slider.continuous_update = live
    start = {name: slider.value for name, slider in by_name.items()}
    rehearsed = _ends(by_name, start) if os.environ.get("PFMSM_FAST") or _here["fast"] else ()
    for values in (start, *rehearsed):
        with contextlib.suppress(UserError):  # said to the reader where the picture would be
            if wrong := fault(draw(**values)):
                raise ValueError(f"{wrong}, at {values}")
    output = ipywidgets.Output()

    def redraw(change=None):  # outputs are set, not printed into: that needs no answer of the front end
        try:
            found = _image(draw(**{name: slider.value for name, slider in by_name.items()}), small=False)[1]
        except UserError as error:
            found = {"output_type": "stream", "name": "stdout", "text": f"{error}\n"}
        output.outputs = (found,)

    for slider in sliders:
        slider.observe(redraw, "value")
    redraw()
    display(ipywidgets.VBox([*sliders, output]))


def _ends(sliders, start):
    """The values at both ends of every control, the others as at the start."""
    for name, slider in sliders.items():
        options = getattr(slider, "options", None)
        ends = (
            (options[0], options[-1])
            if options
            else (getattr(slider, "min", None), getattr(slider, "max", None))
        )
        for end in ends:
            if end is not None:
                yield {**start, name: end[1] if isinstance(end, tuple) else end}
