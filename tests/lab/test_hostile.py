"""Names and cells that would do harm elsewhere: on a terminal, in a spreadsheet, as a path."""

import io

import pandas as pd
from running import SMALL, frame

from pfmsm_lite.lab.cli import main
from pfmsm_lite.lab.predict import formulas
from pfmsm_lite.lab.writing import Shown, printable

HOSTILE = {"app": "\x1b[2J\x1b[31mred", "shop": "../../../etc/x", "web": "<script>alert(1)</script>$\\frac{"}


def test_what_is_printed_cannot_move_the_terminal():
    assert printable("a\x1b[2J\x07\x9b\x7f\r") == "a\\x1b[2J\\x07\\x9b\\x7f\\x0d"
    assert printable("two\nlines\tand é €") == "two\nlines\tand é €"
    stream = io.StringIO()
    shown = Shown(stream)
    print("\x1b[31mred", file=shown)
    assert stream.getvalue() == "\\x1b[31mred\n" and not shown.isatty()


def test_formulas_in_cells_are_told_and_numbers_are_not():
    table = pd.DataFrame({"n": ["-1.5", "+2", "-"], "city": ["a", "=cmd|x", "b"], "v": [-1.0, 2.0, 3.0]})
    (note,) = formulas(table)
    assert "city ('=cmd|x')" in note and "n ('-')" in note and "-1.5" not in note and " v " not in note
    assert not formulas(table[["v"]]) and not formulas(table.iloc[:1])


def test_a_run_with_hostile_names_prints_no_control_characters_and_stays_in_its_folder(tmp_path, capsys):
    data = frame(300)
    data = data.assign(channel=data["channel"].map(HOSTILE), city="=" + data["city"])
    data.to_csv(tmp_path / "my.csv", index=False)
    words = ["run", "--data", tmp_path / "my.csv", "--scenario", "channel", "--tasks", "visit,conversion"]
    small = [*SMALL, "--methods", "local,fedavg", "--seeds", "0", "--rounds", "1", "--processes", "1"]
    out = tmp_path / "in" / "out"
    assert main([str(word) for word in (*words, *small, "--out", out)]) == 0
    scored = tmp_path / "scored.csv"
    assert main(["predict", str(out), str(tmp_path / "my.csv"), "--out", str(scored)]) == 0
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err and "\\x1b[2J" in printed.out
    assert "city ('=city" in printed.out  # said, not changed: the cells of a table are its owner's
    assert set(pd.read_csv(scored)["city"]) == set(data["city"])
    assert "\x1b" not in (out / "verdict.txt").read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"my.csv", "in", "scored.csv"}
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"out"}
    assert set(pd.read_csv(out / "results.csv")["scenario"]) == set(HOSTILE.values())


def test_an_error_that_names_a_hostile_file_is_printable(tmp_path, capsys):
    assert main(["run", "--data", str(tmp_path / "a\x1b[2J.csv"), "--scenario", "x", "--tasks", "y"]) == 2
    error = capsys.readouterr().err
    assert "\x1b" not in error and "\\x1b" in error
