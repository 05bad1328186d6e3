"""No option is silently without effect: whatever is given changes a chosen method, or is refused by name."""

from dataclasses import MISSING, fields, replace

import pytest
from running import refused

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import effect, options
from pfmsm_lite.lab.cli import parser
from pfmsm_lite.lab.directory import DEFAULT_METHODS
from pfmsm_lite.methods import METHODS, Settings
from pfmsm_lite.registry import OPERATORS, Operator


def given(*words):
    """(names of what was given, arguments) of a command line, as `run` passes them on."""
    command = parser().commands["run"]
    arguments = vars(command.parse_args(words))
    return command.given(words), {**arguments, "methods": arguments["methods"] or list(DEFAULT_METHODS)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--methods", "local,fedavg", "--aggregate", "cosine"], "cosine .*local, fedavg.*Add one of"),
        (["--methods", "local", "--model", "ple"], "--model ple changes none.*Add one of pooled"),
        (["--methods", "local", "--model", "nonsense"], "Unknown --model 'nonsense'"),
        (["--methods", "pooled", "--share", "gate=mean"], "--share gate=mean changes none.*pf_msmtrec"),
        (["--share", "norm=mean", "--methods", "pf_msmtrec"], "--share norm=mean .*--batch-norm yes"),
        (["--share", "expert.task=personalized", "--compose", "none", "--methods", "pf_msmtrec"], "template"),
        (["--share", "gate=mean", "--share", "gate=local"], "names a group twice"),
        (["--methods", "fedavg", "--radius", "0.2"], "--radius 0.2 .*two_vector or cagrad"),
        (["--methods", "fedavg", "--undo", "yes"], "--undo yes .*normalization"),
        (["--methods", "local", "--server-step", "2"], "--server-step 2.0 .*send something"),
        (["--methods", "pf_msmtrec", "--temperature", "2"], "--temperature 2.0 .*cosine and fedamp"),
        (["--methods", "pf_msmtrec", "--pull", "2"], "--pull 2.0 .*--personal ditto"),
        (["--methods", "ditto", "--pull", "3"], "--pull 3.0 .*as in pf_msmtrec, here 30.0; ditto differs"),
        (["--methods", "local", "--proximal", "1"], "--proximal 1.0 .*methods that send something"),
        (["--methods", "pf_msmtrec", "--own-rows", "2"], "--own-rows 2.0 .*personal"),
        (["--methods", "fedavg", "--embedding", "personal"], "--embedding personal changes none"),
        (["--methods", "boosted_tree", "--learning-rate", "0.1"], "--learning-rate 0.1 .*networks"),
        (["--methods", "shared_bottom", "--experts", "2"], "--experts 2 .*mixture of experts"),
        (["--methods", "local,fedavg", "--leaves", "5"], "--leaves 5 .*boosted_tree"),
        (["--methods", "local", "--probe", "5"], "--probe 5 .*expert.scenario"),
        (["--methods", "fedbn", "--batch-norm", "no"], "--batch-norm no .*fedbn would be another method"),
        (["--scenario", "channel"], "--scenario says nothing of --data synthetic.*FILE.csv"),
        (["--tasks", "a"], "--tasks says nothing of --data synthetic"),
        (["--categories", "union"], "--categories says nothing"),
        (["--data-dir", "x"], "--data-dir says nothing of --data synthetic.*kuairand"),
        (["--data", "my.csv", "--data-dir", "x"], "--data-dir is the folder of published"),
        (["--data", "my.csv", "--data-seed", "0", "--time", "t"], "--data-seed draws .* --time splits this"),
        (["--data", "kuairand", "--data-seed", "0"], "--data-seed says nothing of --data kuairand"),
        (["--data", "kuairand", "--time", "t"], "--time says nothing of --data kuairand"),
    ],
)  # fmt: skip
def test_what_would_change_nothing_is_refused_by_name(words, said):
    with pytest.raises(UserError, match=said):
        effect.refuse_idle(*given(*words))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--methods", "local,pf_msmtrec", "--aggregate", "cosine", "--temperature", "0.5"],
        ["--methods", "fedavg", "--aggregate", "mean"],  # it has that already
        ["--methods", "local", "--radius", "0.4"],  # the default
        ["--methods", "pooled", "--model", "ple", "--experts", "2"],
        ["--methods", "ditto", "--pull", "1"],
        ["--methods", "pf_msmtrec", "--personal", "ditto", "--pull", "3"],
        ["--methods", "local", "--personal", "none"],
        ["--methods", "fedbn", "--batch-norm", "yes"],
        ["--methods", "fedavg", "--batch-norm", "yes"],
        ["--methods", "pf_msmtrec", "--batch-norm", "yes", "--share", "norm=mean"],
        ["--methods", "pf_msmtrec", "--embedding", "personal", "--own-rows", "5"],
        ["--methods", "boosted_tree,local", "--learning-rate", "0.1", "--leaves", "5"],
        ["--data", "kuairand", "--data-dir", "x", "--tasks", "click"],
        ["--data", "my.csv", "--scenario", "s", "--tasks", "t", "--sep", ";"],
        ["--knob", "across=0.9", "--data-seed", "3"],
    ],
)
def test_what_changes_something_or_is_there_already_passes(words):
    effect.refuse_idle(*given(*words))


def test_every_option_of_a_method_is_taken_by_some_method_and_named_in_the_table_if_not_by_all():
    for name in options.flags():
        reads = effect.READ.get(name, ("", lambda method: True))[1]
        some = [method for method in METHODS.values() if reads(method)]
        rules = {"own_rows": {"embedding": "personal"}}.get(name)
        if rules:
            some = [m for m in (replace(METHODS["fedavg"], **rules),) if reads(m)]
        assert some, name
    assert set(effect.READ) <= set(options.flags())
    assert all(entry.default is not MISSING for entry in fields(Settings))


def test_a_rule_of_ones_own_may_read_whatever_there_is(monkeypatch):
    def mine(exchange, method):
        return None

    monkeypatch.setitem(OPERATORS["aggregate"], "mine", Operator(mine, "mine"))
    effect.refuse_idle(
        *given("--methods", "pf_msmtrec", "--aggregate", "mine", "--temperature", "3", "--pull", "2")
    )
    with pytest.raises(UserError, match="--temperature"):
        effect.refuse_idle(*given("--methods", "fedavg", "--aggregate", "mean", "--temperature", "3"))


@pytest.mark.parametrize(
    "option", ["--resume", "--methods", "--seeds", "--out", "--data", "--tasks", "--plugin"]
)
def test_an_empty_value_is_refused(option, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(["run", option, ""], capsys, f"{option} is given without a value")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "synthetic", "--rounds", "0"], "--rounds is 0"),
        (["report", "synthetic", "--scenario", "x"], "--scenario says nothing of --data synthetic"),
        (["report", ""], "RUN_DIR is given without a value"),
        (["report", "synthetic", "--methods", ","], "--methods is given without a value"),
        (["compare", "--methods", ""], "--methods is given without a value"),
        (["compare", "--data-dir", "x"], "--data-dir says nothing"),
        (["compare", "--seeds", "0"], "--seeds is 0"),
        (["map", "--factors", ""], "--factors is given without a value"),
        (["map", "--knob", "test_rows=1.5"], "--knob test_rows is 1.5"),
        (["run", "--threads", "0"], "--threads is 0"),
        (["run", "--processes", "-1"], "--processes is -1"),
        (["run", "--seeds", "-1"], "--seeds takes whole numbers from 0"),
        (["run", "--seeds", "0,x"], "'0,x': it takes whole numbers"),
        (["run", "--checkpoint-seconds", "nan"], "--checkpoint-seconds is nan"),
        (["run", "--device", "mps"], "--device mps: this machine"),
        (["run", "--data-seed", "-1"], "--data-seed is -1"),
        (["run", "--batch-norm", "yes", "--batch-size", "1"], "--batch-size is 1, but BatchNorm"),
    ],
)
def test_other_commands_refuse_alike_and_leave_nothing_behind(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(words, capsys, said)
    assert not list(tmp_path.iterdir())


def test_what_was_given_is_known_also_where_it_equals_a_default():
    command = parser().commands["run"]
    assert command.given([]) == []
    words = ["--seeds", "0,1,2", "--data", "synthetic", "--knob", "across=0.3", "--ctcvr", ""]
    assert sorted(command.given(words)) == ["ctcvr", "data", "knob", "seeds"]
