"""The command line; parses, calls, prints; nothing else."""

import argparse
import contextlib
import json
import shlex
import sys
import textwrap
from typing import NamedTuple

from pfmsm_lite import __version__
from pfmsm_lite.errors import UserError, refuse_beside
from pfmsm_lite.methods import GROUPS, METHODS, POLICIES


def names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text):
    return [int(name) for name in names(text)]


class Parser(argparse.ArgumentParser):
    """A wrong command line gets one paragraph, as every other bad input, not a page of usage."""

    def error(self, message):
        raise UserError(f"{message[0].upper()}{message[1:]}. All options: {self.prog} --help")


def yes(text):
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r}: choose yes, no")
    return text == "yes"


def knob(text):
    """NAME=VALUE → (name, value), the value read as JSON where it is JSON."""
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    with contextlib.suppress(ValueError):
        value = json.loads(value)
    return name.strip(), value


def convert(default):
    """How an option's text becomes a value of its default's type."""
    if isinstance(default, bool):
        return yes
    if isinstance(default, tuple):
        return lambda text: tuple(numbers(text))
    return type(default)


def knob_option(command):
    command.add_argument(
        "--knob",
        action="append",
        type=knob,
        metavar="NAME=VALUE",
        help="synthetic data: another value for an argument of pfmsm_lite.data.synthetic, such as across=0.9 "
        "or sizes=[500,500]; may be given several times",
    )


def data_options(command):
    """What says which data, of `run` and of `report`."""
    data = command.add_argument_group("data")
    data.add_argument(
        "--data",
        default="synthetic",
        metavar="{synthetic,synthetic-hard,kuairand,FILE.csv,FILE.parquet}",
        help="what to train on (default synthetic)",
    )
    knob_option(data)
    data.add_argument("--data-dir", metavar="DIR", help="folder of KuaiRand-Pure's files")
    data.add_argument("--data-seed", type=int, default=0, metavar="S", help="seed of the synthetic data (0)")
    data.add_argument("--scenario", metavar="COLUMN", help="own table: the column that names the scenario")
    for option, text in {
        "tasks": "label columns, 0/1 or missing",
        "categorical": "categorical columns; columns not named are typed from their content",
        "numerical": "numerical columns",
        "ignore": "columns to leave out",
    }.items():
        data.add_argument(f"--{option}", type=names, metavar="A,B", help=f"own table: {text}")
    data.add_argument("--time", metavar="COLUMN", help="own table: split by this column, not at random")
    data.add_argument(
        "--categories",
        choices=("hash", "union"),
        help="own table: hash values (default) or fit one vocabulary over all scenarios",
    )
    data.add_argument(
        "--statistics",
        choices=("client", "federation", "none"),
        help="own table: standardize inside each scenario (default), over all, or not",
    )


def training_options(command, on_resume, out=None):
    """What `run`, `compare` and `map` have alike."""
    where = f"where it is saved (default {out or 'runs/<data>'})"
    for option, kind, name, text in (
        ("rounds", int, "R", "federated rounds (synthetic 10, synthetic-hard 15, kuairand 20, own table 20)"),
        ("out", str, "DIR", where),
        ("resume", str, "DIR", f"go on with an interrupted one; {on_resume}"),
        ("threads", int, "T", "threads of a process (default 1)"),
        ("processes", int, "P", "trainings side by side (default 2)"),
    ):
        command.add_argument(f"--{option}", type=kind, metavar=name, help=text)
    command.set_defaults(out=out)


def parser():
    from pfmsm_lite.lab.job import DEFAULT_METHODS, explain, flags

    top = Parser(
        prog="python -m pfmsm_lite",
        description="PF-MSMTrec and its yardsticks: from rows to a table, four figures and a saved run.",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(
        dest="command", metavar="{course,run,compare,map,bench,report,notebooks,grade}", required=True
    )
    run = commands.add_parser(
        "run",
        help="train methods and compare them (the default command)",
        description="Train methods on scenarios and compare them. Without options: the synthetic default.",
        epilog="Methods: " + "; ".join(f"{m.name}: {m.summary}" for m in METHODS.values()),
    )
    bench = commands.add_parser("bench", help="measure speed and memory on this machine")
    from pfmsm_lite.course import shelf

    own = shelf.add(commands)
    course = commands.add_parser("notebooks", help="execute the stale notebooks in full, keep their outputs")
    course.add_argument("names", nargs="*", metavar="NN", help="beginnings of names; none: all chapters")
    course.add_argument("--all", action="store_true", help="those that are current too")
    course.add_argument("--fast", action="store_true", help="only try them, in FAST mode; keep nothing")
    course.add_argument("--folder", default="notebooks", metavar="DIR", help="default notebooks")
    grade = commands.add_parser(
        "grade",
        help="run students' notebooks and print a line an exercise",
        description="Run students' notebooks, each in a process of its own with limits on time and memory, "
        "and print one line an exercise: ok, wrong, to do, not reached or no check cell, with the hint or "
        "the reason. Cell [7] is the one that JupyterLab shows as [7] after Run All. A notebook runs in an "
        "empty scratch folder; its file is only read. This is no sandbox against malice: the code of a "
        "notebook may do all that you may do. Run notebooks of unknown people in a container.",
    )
    grade.add_argument("notebooks", nargs="+", metavar="NOTEBOOK", help="files; names may differ from ours")
    grade.add_argument("--csv", metavar="FILE", help="write the lines for all notebooks there too")
    grade.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="limit of a cell (default 60, with --full 180); a notebook may take five times as long",
    )
    grade.add_argument(
        "--memory",
        type=int,
        default=4096,
        metavar="MIB",
        help="how much memory a kernel may ask for (default 4096; 0: no limit); a chapter asks for about "
        "1600. It works on Linux; macOS and Windows ignore it",
    )
    grade.add_argument("--full", action="store_true", help="the long version of every run, not the FAST one")
    page = commands.add_parser(
        "report",
        help="one HTML file to hand on: a finished run, or a short comparison on data",
        description="Execute chapter 08 on a finished run's directory, or on data, and keep one HTML file: "
        "tables, figures with what they show in words, code folded away.",
    )
    page.add_argument(
        "what", nargs="?", metavar="RUN_DIR", help="a finished run's directory; or the same as --data"
    )
    data_options(page)
    page.set_defaults(data=None)
    page.add_argument("--methods", type=names, metavar="A,B", help="of data: default a short list")
    page.add_argument("--rounds", type=int, metavar="R", help="of data: as for run")
    page.add_argument("--seeds", type=numbers, metavar="0,1,2", help="of data: default 0,1,2")
    page.add_argument(
        "--out", metavar="FILE.html", help="default: report.html in RUN_DIR, or NAME-report.html here"
    )
    fair = commands.add_parser(
        "compare",
        help="the same search for every method, then tested once on many seeds",
        description="Try the same number of settings for every method on validation rows (its own list and "
        "that of all methods, in methods.py), then run the chosen one on all seeds and test it once. Writes "
        "settings.csv, results.csv, compare.csv and forest.png.",
    )
    data_options(fair)
    fair.add_argument("--methods", type=names, metavar="A,B", help="default all, but for the ablations no_…")
    fair.add_argument("--seeds", type=int, default=10, metavar="N", help="how many seeds: 0 … N-1 (10)")
    fair.add_argument(
        "--budget",
        type=int,
        metavar="B",
        help="settings tried for each method, its declared one among them (12)",
    )
    fair.add_argument(
        "--tuning-seeds",
        type=int,
        metavar="N",
        help="seeds 0 … N-1 over which a setting's validation AUC is averaged (1); one may choose by luck",
    )
    fair.add_argument(
        "--patience",
        type=int,
        metavar="P",
        help="stop a training after P rounds that are no better (0: never)",
    )
    fair.add_argument(
        "--settings",
        metavar="FILE",
        help="settings.csv of an earlier comparison: search nothing, test what it chose for --methods "
        "(default all in FILE). Give data, --rounds and training as it did (a note says what differs); "
        "all of --seeds are trained",
    )
    training_options(fair, "what is finished is kept, what failed is done again")
    chart = commands.add_parser(
        "map",
        help="where each module of pf_msmtrec gains and where it costs",
        description="Turn one knob of the generator after the other, train pf_msmtrec and itself without "
        "each of its modules, and write map.csv and map.png: gains in AUC points with intervals over seeds.",
    )
    knob_option(chart)
    chart.set_defaults(data="synthetic", data_seed=0)
    chart.add_argument(
        "--factors",
        type=names,
        metavar="A,B",
        help="only these knobs of the map; `picked`, two worlds that a search led to, stands alone",
    )
    chart.add_argument("--seeds", type=int, default=5, metavar="N", help="how many seeds: 0 … N-1 (5)")
    training_options(chart, "what is finished is kept, what failed is done again", out="runs/map")
    for command in (run, bench, page, own, course, grade, fair, chart):
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    data_options(run)
    what = run.add_argument_group("run")
    what.add_argument("--methods", type=names, metavar="A,B", help=f"default: {','.join(DEFAULT_METHODS)}")
    what.add_argument("--seeds", type=numbers, default=[0, 1, 2], metavar="0,1,2", help="default 0,1,2")
    training_options(what, "only --rounds, --threads, --processes may differ")
    what.add_argument(
        "--checkpoint-seconds",
        type=float,
        default=5.0,
        metavar="S",
        help="save an unfinished run that often (default 5; 0: after each round)",
    )
    options = run.add_argument_group("method and training")
    options.add_argument(
        "--share",
        action="append",
        type=knob,
        metavar="GROUP=POLICY",
        help=f"another policy for a group of parameters, such as gate=personalized; may be given several "
        f"times. Groups: {', '.join(GROUPS)}. Policies: {', '.join(POLICIES)}",
    )
    for name, entry in flags().items():
        choices = ("yes", "no") if isinstance(entry.default, bool) else entry.metadata["choices"]
        options.add_argument(
            f"--{name.replace('_', '-')}",
            type=str if entry.metadata["choices"] else convert(entry.default),
            metavar="{" + ",".join(choices) + "}" if choices else name.upper(),
            help=explain(entry).replace("%", "%%"),
        )
    return top


class Job(NamedTuple):
    """A command that trains into a directory and can go on with it.

    mark     an argument that no other command has: a directory without it was begun by another one
    changes  what may differ when it goes on
    checked  arguments → arguments, refused where they are wrong;  work  (directory, arguments) → what failed
    """

    mark: str
    changes: tuple
    checked: object
    work: object


def jobs():
    from pfmsm_lite.lab import compare
    from pfmsm_lite.lab import map as modules
    from pfmsm_lite.lab.job import main_job

    def run(out, arguments):
        main_job(out, arguments)
        return {}

    return {
        "run": Job("checkpoint_seconds", ("rounds", "threads", "processes"), dict, run),
        "compare": Job("budget", ("threads", "processes"), compare.checked, compare.compare),
        "map": Job("factors", ("threads", "processes"), modules.checked, modules.draw_map),
    }


def train(options):
    """Begin `run`, `compare` or `map`, or go on with it; exit code 1 where a training failed."""
    from pfmsm_lite.lab.job import discard, prepare, resume

    mark, changes, checked, work = jobs()[options.command]
    arguments = {
        key: value for key, value in vars(options).items() if key not in ("command", "debug", "words")
    }
    before = arguments.pop("resume")
    if before:
        usual = vars(parser().parse_args([options.command]))
        other = [key for key, value in arguments.items() if key not in changes and value != usual[key]]
        refuse_beside("--resume goes on with the run as it was:", other)
        out, arguments = resume(before, {key: arguments[key] for key in changes})
        if mark not in arguments:
            raise UserError(
                f"{before} holds what another command began. Its config.json says which: go on with that one."
            )
    else:
        arguments["threads"], arguments["processes"] = options.threads or 1, options.processes or 2
        arguments["command"] = f"python -m pfmsm_lite {shlex.join(options.words)}"
        out, arguments = prepare(checked(arguments))
    try:
        failed = work(out, arguments)
    except UserError:
        discard(out)
        raise
    except KeyboardInterrupt:
        again = f"python -m pfmsm_lite {options.command} --resume {out}"
        print(f"\nInterrupted. Go on with: {again}", file=sys.stderr)
        return 130
    return 1 if failed else 0


def bench(options):
    from pfmsm_lite.lab.bench import bench

    bench()
    return 0


def report(options):
    """The page of a finished run, or of data; what is given beside a run's directory is refused."""
    from pathlib import Path

    from pfmsm_lite.course.report import report
    from pfmsm_lite.lab.job import NAMED

    ignored = ("command", "debug", "words", "what", "data", "out")
    given = {key: value for key, value in vars(options).items() if key not in ignored and value}
    if options.what and options.data:
        raise UserError(f"{options.what} and --data {options.data}: give one of them.")
    asked = options.what or options.data or ""
    is_data = bool(options.data) or asked in NAMED or Path(asked).suffix != ""
    if asked and (Path(asked).is_dir() or not is_data):
        refuse_beside(f"{asked} is a finished run;", given)
        report(run=asked, out=options.out)
    else:
        report(data=asked, out=options.out, options=given)
    return 0


def notebooks(options):
    from pfmsm_lite.course.execute import refresh, rehearse

    if options.fast:
        rehearse(options.folder, options.names)
    else:
        refresh(options.folder, options.names, options.all)
    return 0


def course(options):
    from pfmsm_lite.course.shelf import course

    return course(options)


def grade(options):
    from pfmsm_lite.course.grade import grade_all

    try:
        grade_all(options.notebooks, options.csv, options.seconds, options.memory, options.full)
    except KeyboardInterrupt:
        print("\nInterrupted. The notebooks above are graded.", file=sys.stderr)
        return 130
    return 0


def main(argv=None):
    """Entry point; returns the exit code: 0, 2 for bad input, 130 after Ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help", "--version")):
        argv.insert(0, "run")
    try:
        options = parser().parse_args(argv, argparse.Namespace(words=argv))
        return {
            "course": course,
            "run": train,
            "compare": train,
            "map": train,
            "bench": bench,
            "report": report,
            "notebooks": notebooks,
            "grade": grade,
        }[options.command](options)
    except UserError as error:
        if "--debug" in argv:
            raise
        print(textwrap.fill(str(error), 100), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
