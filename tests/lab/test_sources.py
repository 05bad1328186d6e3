"""What --data may name: the generator with its knobs, a table, a reader of one's own."""

import json
import re

import pytest
from running import frame, own

from pfmsm_lite.data import digest, suited, synthetic
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import sources
from pfmsm_lite.lab.cli import main, parser
from pfmsm_lite.lab.runs import compare
from pfmsm_lite.registry import Operator


def test_knobs_turn_the_generator_and_the_hard_preset_is_one_of_their_settings():
    options = ["run", "--knob", "sizes=[90,80]", "--knob", "test_rows=50", "--knob", "relatedness=[0,0]"]
    arguments = vars(parser().parse_args(options))
    made, truth = sources.read(arguments)
    assert [len(s.train.labels) for s in made] == [90, 80] and len(made[0].test.labels) == 50
    hard = {"data": "synthetic-hard", "data_seed": 3, "knob": [("test_rows", 60)]}
    made, truth = sources.read(hard)
    again, _ = synthetic(**{**sources.HARD, "test_rows": 60, "seed": 3})
    assert digest(made) == digest(again) and len(made) == 12 and len(set(truth.clusters)) == 3


def test_a_window_in_time_that_is_none_is_refused_by_name():
    with pytest.raises(UserError, match="Unknown --window '4'. Choose one of: 1, 2, 3, last"):
        sources.read({"data": "kuairand", "data_dir": "x", "tasks": None, "window": "4"})


def test_parquet_reads_like_csv(csv, tmp_path):
    frame().to_parquet(tmp_path / "my.parquet")
    read = [sources.read(vars(parser().parse_args(own(path))))[0] for path in (csv, tmp_path / "my.parquet")]
    assert digest(read[0]) == digest(read[1]) and [s.name for s in read[0]] == ["app", "shop", "web"]


def test_a_reader_of_ones_own_is_a_choice_as_soon_as_it_is_in_the_table(monkeypatch):
    def read(arguments):
        made, truth = synthetic(sizes=(80, 60), test_rows=60, seed=arguments["data_seed"])
        return (made, truth) if arguments["scenario"] else made

    with pytest.raises(UserError, match="Unknown --data .* 'ours'.*Choose one of: synthetic, "):
        sources.reader({"data": "ours"})
    monkeypatch.setitem(sources.READERS, "ours", Operator(read, "what we have"))
    found = compare("ours", ["local"], seeds=[0], rounds=1)
    assert list(found.sizes.values()) == [80, 60] and found.clusters is None
    assert sources.with_defaults({"data": "ours"})["rounds"] == 20
    assert sources.read({"data": "ours", "data_seed": 0, "scenario": "x"})[1] is not None
    with pytest.raises(UserError, match="--knob turns the generator"):
        sources.reader({"data": "ours", "knob": [("across", 0)]})
    monkeypatch.setitem(sources.READERS, "v2.ours", sources.READERS["ours"])
    assert sources.reader({"data": "v2.ours"}).function is read  # a name with a dot is no file


def test_defaults_by_rows_fill_what_nobody_asked_for_and_data_with_their_own_keep_them(csv):
    arguments = vars(parser().parse_args(own(csv)))  # with --batch-size 64
    made, _ = sources.read(arguments)
    filled = sources.suited_to(made, arguments)
    wanted = {name: value for name, value in suited(made).items() if name != "batch_size"}
    assert filled["batch_size"] == 64 and filled["suited"] == wanted and wanted
    assert {name: filled[name] for name in wanted} == wanted and arguments.get("suited") is None
    assert sources.suited_to(made, {**filled, "calibrate": None})["calibrate"] is None  # chosen once
    for name in ("synthetic", "synthetic-hard", "kuairand"):
        assert "suited" not in sources.suited_to(made, {"data": name})
    assert sources.suited_to(made, {"data": "ours", "batch_size": 7})["batch_size"] == 7
    run = compare(str(csv), ["local"], seeds=[0], rounds=1, scenario="channel", tasks=["visit"])
    assert run.results["logloss"].notna().all()


def test_what_was_chosen_by_rows_is_said_and_kept(csv, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*own(csv), "--methods", "local", "--seeds", "0", "--rounds", "1", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    chosen = json.loads((out / "config.json").read_text())["arguments"]["suited"]
    assert chosen == {"calibrate": "platt"}  # the batch size was given
    words = ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in chosen.items())
    assert (
        re.search(rf"Chosen by the \d+ training rows of the largest scenario: {words}\n", said)
        and "corrected on validation rows" in said
    )
    config, again = str(out / "config.json"), str(tmp_path / "again")
    assert main(["run", "--config", config, "--calibrate", "none", "--out", again]) == 0
    assert "Chosen by" not in capsys.readouterr().out
    settings = json.loads((tmp_path / "again" / "config.json").read_text())["settings"]
    assert settings["calibrate"] == "none" and settings["batch_size"] == 64
