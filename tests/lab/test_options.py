"""Options and what they mean; help that a person finds their way in."""

import re
import subprocess
import sys
from argparse import SUPPRESS
from dataclasses import replace

import pytest

from pfmsm_lite.lab import options
from pfmsm_lite.lab.cli import parser
from pfmsm_lite.lab.sources import READERS
from pfmsm_lite.methods import METHODS, OPERATORS
from pfmsm_lite.registry import Operator


def test_share_changes_the_policy_of_a_group_where_a_method_has_pf_msmtrecs():
    names = ["pf_msmtrec", "no_template", "fedrep", "fedavg", "local", "pooled"]
    words = ["run", "--methods", ",".join(names), "--share", "gate=personalized", "--share", "tower=mean"]
    chosen = {method.name: method for method in options.declared(vars(parser().parse_args(words)))[0]}
    for name in ("pf_msmtrec", "no_template"):
        assert chosen[name].share == {**METHODS[name].share, "gate": "personalized", "tower": "mean"}
    for name in ("fedrep", "fedavg", "local", "pooled"):
        assert chosen[name] == METHODS[name], name


def test_an_operator_option_leaves_ablations_and_rivals_what_they_are():
    arguments = vars(parser().parse_args(["run", "--coordinate", "pcgrad", "--server-step", "1.3"]))
    arguments["methods"] = ["fedavg", "pf_msmtrec", "no_coordination", "no_template"]
    chosen, _ = options.declared(arguments)
    assert [m.coordinate for m in chosen] == ["none", "pcgrad", "none", "pcgrad"]
    assert [m.server_step for m in chosen] == [1.3] * 4
    assert [m.embedding for m in chosen] == ["rows", "sum", "sum", "sum"]


def test_a_method_that_is_no_name_is_taken_as_it_is():
    mine = replace(METHODS["pf_msmtrec"], name="mine", radius=0.1)
    assert options.declared({"methods": [mine, "local"]})[0] == [mine, METHODS["local"]]


@pytest.fixture(scope="module")
def run():
    """The parser of `run`."""
    return parser().commands["run"]


def test_every_option_is_explained_with_its_default(run):
    for action in run._actions:
        assert action.help and action.help != SUPPRESS, action.option_strings
    text = run.format_help()
    for name in options.flags():
        assert f"--{name.replace('_', '-')}" in text
    for method in METHODS:
        assert re.search(rf"^  {method}: ", text, re.MULTILINE)


def test_help_begins_with_what_is_basic_and_goes_on_stage_by_stage(run):
    groups = {group.title: [a.dest for a in group._group_actions] for group in run._action_groups}
    titles = [title for title, own in groups.items() if own and title != "options"]
    assert titles[0] == "basic options"
    assert titles[3:] == [f"method and training: {stage}" for stage in options.STAGES]
    basic = "data methods seeds config rounds out resume threads processes plugin checkpoint_seconds"
    basic += " keep_checkpoints"
    assert groups["basic options"] == basic.split()
    own = {stage: groups[f"method and training: {stage}"] for stage in options.STAGES}
    assert own["coordination"] == ["coordinate", "radius", "rescale"]
    assert own["normalization"] == ["normalize", "undo"]
    assert own["at home"] == ["personal", "home_epochs", "pull"]
    assert own["embedding entries"][0] == "embedding" and len(own["embedding entries"]) == 2
    assert {"compose", "experts", "intercept"} <= set(own["model and template"])
    assert {"learning_rate", "proximal", "patience"} <= set(own["local training"])
    assert {"share", "server_step", "aggregate", "self_weight"} <= set(own["aggregation"])
    assert len(" ".join(run.format_help().partition("basic options")[0].split())) < 250


def test_choices_come_from_the_tables_each_with_its_line(run, monkeypatch):
    class Entry:
        text = "one line for --help"

    monkeypatch.setitem(OPERATORS["aggregate"], "mine", Entry())
    monkeypatch.setitem(READERS, "ours", Operator(None, "what we have"))
    text = parser().commands["run"].format_help()
    assert re.search(r"^ +mine: one line for --help$", text, re.MULTILINE)
    assert re.search(r"^ +ours: what we have$", text, re.MULTILINE) and "adult,ours,FILE" in text
    for name in OPERATORS["coordinate"]:
        assert re.search(rf"^ +{name}: ", run.format_help(), re.MULTILINE)


def test_the_command_line_loads_nothing_that_draws_or_tests():
    code = (
        "import sys; from pfmsm_lite.lab.cli import parser; parser().format_help();"
        "slow = {'matplotlib', 'seaborn', 'sklearn', 'scipy', 'xarray', 'papermill'} & set(sys.modules);"
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
