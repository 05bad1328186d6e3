"""Command lines drawn at random: whatever a person types ends with 0 or 2, never with a traceback."""

import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from running import frame

from pfmsm_lite.lab import directory
from pfmsm_lite.lab.cli import main, parser
from pfmsm_lite.methods import METHODS

COMMANDS = ("run", "compare", "map", "report")
# values that are right somewhere, and values that are wrong everywhere
VALUES = [
    "", ",", " ", "0", "1", "2", "-1", "1.5", "nan", "inf", "1e400", "99999999999999999999", "0,1",
    "1,1", "yes", "no", "x", "a=b", "=", "gate=mean", "embedding=mean", "norm=mean", "tower=self",
    "gate=3", "across=0.5", "sizes=[90]*2", "sizes=[90", "missing_tasks={1:['click']}", "fields={}",
    "my.csv", "none.csv", "folder", ".", "synthetic", "kuairand", "all", "channel", "visit",
    "visit,conversion", "visit>=1", "age", "cosine", "mean", "personal", "ditto", "ple", "mmoe",
    "64,32", "auto", "bf16", "cpu", "cuda", "settings.csv", "config.json", "é", "\u202e", "../x",
    "/proc/x", "a" * 300, "a\0b", "'", '"', "--", "-x", "{", "70,15,15", "hash", ";",
    "likeness of the two groups", *list(METHODS)[:12],
]  # fmt: skip


def options():
    """command → its option strings, but for help, which ends the process."""
    found = {}
    for name in COMMANDS:
        actions = parser().commands[name]._actions
        strings = [action.option_strings[-1] for action in actions if action.option_strings]
        found[name] = [option for option in strings if option not in ("--help", "--debug")]
    return found


OPTIONS = options()


@st.composite
def lines(draw):
    """Words of a command line."""
    command = draw(st.sampled_from(COMMANDS))
    words = [command]
    if command == "report" and draw(st.booleans()):
        words.append(draw(st.sampled_from(VALUES)))
    for option in draw(st.lists(st.sampled_from(OPTIONS[command]), max_size=4)):
        words.append(option)
        if draw(st.integers(0, 19)):
            words.append(draw(st.sampled_from(VALUES) | st.text(max_size=5)))
    return words


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a table, where nothing trains."""
    folder = tmp_path_factory.mktemp("fuzz")
    frame(60).to_csv(folder / "my.csv", index=False)
    (folder / "folder").mkdir()
    (folder / "folder" / "config.json").write_text("[]")
    before = os.getcwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "_work", lambda job, options, out, arguments: 0)
        patch.setattr("pfmsm_lite.course.report.report", lambda **options: None)
        os.chdir(folder)
        yield folder
        os.chdir(before)


@example(words=["run", "--out", "a\0b"])
@example(words=["run", "--share", "embedding=fedamp"])
@example(words=["map", "--knob", "sizes=[90"])
@example(words=["compare", "--settings", "folder"])
@settings(
    max_examples=int(os.environ.get("FUZZ", "120")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize="FUZZ" not in os.environ,
)
@given(words=lines())
def test_any_command_line_ends_with_0_or_2_and_no_traceback(words, place, capsys):
    code = main(words)
    error = capsys.readouterr().err
    assert code in (0, 2), words
    assert "Traceback" not in error and "fault of the program" not in error, (words, error)
    assert (code == 2) == bool(error.strip()), (words, code, error)
