"""The course's commands: `course`, `report`, `notebooks`, `exam`, `grade`, for `pfmsm_lite.lab.cli`."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from pfmsm_lite.course import shelf
from pfmsm_lite.errors import UserError, at_least_one
from pfmsm_lite.lab import options as given
from pfmsm_lite.lab import plugins
from pfmsm_lite.lab.options import refuse_beside
from pfmsm_lite.lab.sources import READERS


def add(commands: Any) -> None:
    """The commands and their options."""
    shelf.add(commands)
    _add_report(commands)
    _add_notebooks(commands)
    _add_exam(commands)
    _add_grade(commands)


def _add_report(commands):
    page = commands.add_parser(
        "report",
        help="one HTML file to hand on: a finished run, or a short comparison on data",
        description="One HTML file of a finished run's directory, or of data that are compared first: what "
        "came of it, tables that sort, figures with what they show in words, rounds to move through. It "
        "needs no network.",
        formatter_class=given.Lines,
    )
    page.add_argument(
        "what", nargs="?", metavar="RUN_DIR", help="a finished run's directory; or the same as --data"
    )
    basic = given.basic_group(page)
    for option, kind, name, text in (
        ("methods", given.names, "A,B", "of data: default a short list"),
        ("rounds", int, "R", "of data: as for run"),
        ("seeds", given.numbers, "0,1,2", "of data: default 0,1,2"),
        ("out", str, "FILE.html", "default: report.html in RUN_DIR, or NAME-report.html here"),
    ):
        basic.add_argument(f"--{option}", type=kind, metavar=name, help=text)
    given.plugin_option(basic)
    given.data_options(page)
    page.set_defaults(data=None)
    page.do = report


def _add_notebooks(commands):
    course = commands.add_parser("notebooks", help="execute the stale notebooks in full, keep their outputs")
    course.add_argument("names", nargs="*", metavar="NN", help="beginnings of names; none: all chapters")
    course.add_argument("--all", action="store_true", help="those that are current too")
    course.add_argument("--fast", action="store_true", help="only try them, in FAST mode; keep nothing")
    course.add_argument("--folder", default="notebooks", metavar="DIR", help="default notebooks")
    course.add_argument("--sharp", metavar="DIR", help="keep copies there with pictures twice as sharp")
    course.do = notebooks


def _add_exam(commands):
    test = commands.add_parser(
        "exam",
        help="write an examination of a chapter, with numbers of its own",
        description="Write a notebook per chapter, NN_exam.ipynb, with those exercises whose numbers can "
        "change, and print the key to it. Text, check and solution have the numbers of the seed. Students' "
        "`check` only notes their answers. Grade them with `grade --variant` and the same seed. A function's "
        "text stays; it is tried on inputs of the seed. notebooks/teaching/examination.md says what is "
        "asked.",
    )
    test.add_argument("chapters", nargs="+", metavar="NN", help="chapters, such as 06 07")
    test.add_argument(
        "--variant", type=int, default=0, metavar="SEED", help="seed of the numbers; 0, the default: today's"
    )
    test.add_argument("--out", default="exam", metavar="FOLDER", help="where to write (default exam)")
    test.add_argument(
        "--nbgrader",
        action="store_true",
        help="as the source of an nbgrader assignment: cell metadata, solutions, hidden tests. nbgrader "
        "runs its tests in the student's kernel, so it can be fooled where `grade` cannot",
    )
    test.do = exam


def _add_grade(commands):
    from pfmsm_lite.course.gradebook import FORMS

    grading = commands.add_parser(
        "grade",
        help="run students' notebooks and print one line per exercise",
        description="Run students' notebooks, each in a process of its own with limits on time and memory, "
        "and print one line per exercise: ok, wrong, to do, not reached or no check cell, with the hint or "
        "the reason. Cell [7] is the one that JupyterLab shows as [7] after Run All. A notebook runs in an "
        "empty scratch folder; its file is only read. It hands in answers, as plain data; the verdicts are "
        "made in this process, where no code of a student's runs. On Linux a notebook runs in namespaces of "
        "its own where the system allows it: no network, no writing outside its folder, no process left. The "
        "first line says whether this holds. Where it does not, on macOS and Windows in any case, a "
        "notebook's code may do all that you may do: run notebooks of unknown people in a container.",
    )
    grading.add_argument("notebooks", nargs="+", metavar="NOTEBOOK", help="files; names may differ from ours")
    grading.add_argument("--csv", metavar="FILE", help="write the lines for all notebooks there too")
    grading.add_argument(
        "--gradebook", metavar="FILE", help="write a line per student there, a point per exercise"
    )
    grading.add_argument(
        "--form",
        choices=FORMS,
        default="plain",
        help="what reads the gradebook: a spreadsheet (plain), or the import of Moodle or Canvas",
    )
    grading.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="limit of a cell (default 60, with --full 180); a notebook may take five times as long",
    )
    grading.add_argument(
        "--memory",
        type=int,
        default=4096,
        metavar="MIB",
        help="how much memory a kernel may ask for (default 4096; 0: no limit); a chapter asks for about "
        "1600. It works on Linux; macOS and Windows ignore it",
    )
    grading.add_argument(
        "--variant", type=int, metavar="SEED", help="the seed that an examination was written with (`exam`)"
    )
    grading.add_argument("--full", action="store_true", help="the long version of each run, not the FAST one")
    grading.do = grade


def report(options: Namespace) -> int:
    """The page of a finished run, or of data; what is given beside a run's directory is refused."""
    from pfmsm_lite.course.report import report

    ignored = (*given.FRAME, "what", "data", "out")
    asked_for = {key: value for key, value in vars(options).items() if key in options.given}
    asked_for = {key: value for key, value in asked_for.items() if key not in ignored}
    at_least_one(rounds=asked_for.get("rounds", 1))
    if options.what and options.data:
        raise UserError(f"{options.what} and --data {options.data}: give one of them.")
    asked = options.what or options.data or ""
    if "plugin" in asked_for:  # its readers may be what the data is named by
        plugins.load(asked_for["plugin"])
        asked_for["plugin"] = [str(Path(file).resolve()) for file in asked_for["plugin"]]
    is_data = bool(options.data) or asked in READERS or Path(asked).suffix != ""
    if asked and (Path(asked).is_dir() or not is_data):
        refuse_beside(f"{asked} is a finished run;", asked_for)
        report(run=asked, out=options.out, verdict=lambda run: _verdict(run, Path(asked)))
    else:
        report(data=asked, out=options.out, options=asked_for, verdict=_verdict)
    return 0


def _verdict(run, folder=None):
    """The verdict's sentences on a Run: those its folder keeps; else anew, with the folder's predictions."""
    from pfmsm_lite.lab.ending import with_predictions
    from pfmsm_lite.lab.verdict import hero_of, judge_run

    if folder and (folder / "verdict.txt").exists():
        return (folder / "verdict.txt").read_text(encoding="utf-8").splitlines()
    path = folder / "predictions.csv" if folder else None
    predictions = with_predictions(path, hero_of(run.results))[1] if path and path.exists() else None
    return judge_run(run, predictions).sentences


def notebooks(options: Namespace) -> int:
    """Execute notebooks: all of them to try them, or the stale ones to keep their outputs."""
    from pfmsm_lite.course.execute import refresh, rehearse, sharpen

    if options.fast:
        rehearse(options.folder, options.names)
    elif options.sharp:
        sharpen(options.folder, options.sharp, options.names)
    else:
        refresh(options.folder, options.names, options.all)
    return 0


def exam(options: Namespace) -> int:
    """Write examinations and print the key to them."""
    from pfmsm_lite.course.exam import write

    write(options.chapters, options.out, options.variant, options.nbgrader)
    return 0


def grade(options: Namespace) -> int:
    """Grade students' notebooks; exit code 130 after Ctrl-C."""
    from pfmsm_lite.course.grade import grade_all

    try:
        grade_all(
            options.notebooks, options.csv, options.seconds, options.memory, options.full,
            gradebook=options.gradebook, form=options.form, variant=options.variant,
        )  # fmt: skip
    except KeyboardInterrupt:
        print("\nInterrupted. The notebooks above are graded.", file=sys.stderr)
        return 130
    return 0
