"""A finished run on a table of one's own: its predictions, new rows, and what a resume makes of it."""

import contextlib
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from running import frame, own, refused
from sklearn.metrics import roc_auc_score

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import ending, engine, models, writing
from pfmsm_lite.lab import run as run_module
from pfmsm_lite.lab.cli import main
from pfmsm_lite.lab.models import load
from pfmsm_lite.lab.runs import read_run

METHODS = ("pooled", "local", "pf_msmtrec", "ditto", "boosted_tree")
ULP = (
    1e-6  # a product of matrices rounds by how many rows it has; probabilities of the run stand side by side
)


def table():
    """Numbers and labels with gaps, and a column with leading zeros."""
    data = frame(900)
    data["code"] = [f"{n % 7:03d}" for n in range(900)]
    data.loc[::9, "age"] = np.nan
    data.loc[::11, "conversion"] = np.nan
    return data


def quiet(words):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([str(word) for word in words]) == 0
    return printed.getvalue()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(the table's file, directory of a finished run on it)."""
    folder = tmp_path_factory.mktemp("done")
    table().to_csv(folder / "my.csv", index=False)
    options = ("--methods", ",".join(METHODS), "--seeds", "0,1", "--rounds", "2", "--out", folder / "out")
    quiet(own(folder / "my.csv", "--categorical", "code", *options))
    return folder / "my.csv", folder / "out"


@pytest.fixture
def copied(done, tmp_path):
    """A copy of that directory, to be resumed or damaged."""
    shutil.copytree(done[1], tmp_path / "out")
    return tmp_path / "out"


def contents(out):
    """Every file of a directory but config.json and log.txt, which have the date and the time."""
    files = (p for p in out.rglob("*") if p.is_file() and p.name not in ("config.json", "log.txt"))
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_predictions_reproduce_the_printed_auc(done):
    file, out = done
    lines = pd.read_csv(out / "predictions.csv")
    assert list(lines) == "row scenario method seed split task label probability".split()
    original = pd.read_csv(file)
    here = original.loc[lines["row"] - 1].reset_index(drop=True)
    assert (here["channel"] == lines["scenario"]).all()
    labels = here["visit"].where(lines["task"] == "visit", here["conversion"])
    assert labels.equals(lines["label"].astype(float))
    results = pd.read_csv(out / "results.csv").set_index(["method", "seed", "scenario", "task", "split"])
    groups = dict(list(lines.dropna(subset="label").groupby(list(results.index.names))))
    assert set(groups) == set(results.index)
    for key, line in results.iterrows():
        found = roc_auc_score(groups[key]["label"], groups[key]["probability"])
        assert found == pytest.approx(line["auc"], abs=1e-12), key
        assert len(groups[key]) == line["rows"]


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_the_run_get_their_very_predictions(done, method, tmp_path):
    file, out = done
    said = quiet(["predict", out, file, "--out", tmp_path / "s.csv", "--method", method, "--seed", "1"])
    assert f"by {method}, seed 1" in said
    scored = pd.read_csv(tmp_path / "s.csv", dtype={"code": str})
    columns = [f"{task}_probability" for task in ("visit", "conversion")]
    assert scored.drop(columns=columns).equals(pd.read_csv(file, dtype={"code": str}))
    lines = pd.read_csv(out / "predictions.csv")
    lines = lines.query("method == @method and seed == 1")
    for task in ("visit", "conversion"):
        mine = lines[lines["task"] == task]
        found = scored[f"{task}_probability"].to_numpy()[mine["row"] - 1]
        assert np.abs(found - mine["probability"]).max() <= (0 if method == "boosted_tree" else ULP)
        assert (found == mine["probability"]).mean() > 0.9


def test_a_model_in_python_says_the_same_of_any_selection_of_rows(done):
    file, out = done
    data = pd.read_csv(file, dtype={"code": str})
    found = load(out)
    assert list(found) == ["app", "shop", "web"] and "pf_msmtrec, seed 0" in repr(found)
    everywhere = found.predict(data)
    for name in found:
        rows = data[data["channel"] == name].iloc[::-3]
        alone = found[name].predict(rows.drop(columns=["channel", "visit", "conversion"]))
        assert alone.index.equals(rows.index) and list(alone) == ["visit", "conversion"]
        assert np.allclose(alone, everywhere.loc[rows.index], rtol=0, atol=ULP)
    with pytest.raises(UserError, match="row 1 is of scenario '.*', not of 'app'"):
        found["app"].predict(data[data["channel"] != "app"])
    with pytest.raises(UserError, match="Unknown scenario 'apps'. Did you mean 'app'"):
        found["apps"]


def test_values_that_were_never_seen_and_gaps_are_read_as_in_training(done):
    file, out = done
    row = pd.read_csv(file, dtype={"code": str}).query("channel == 'app'").head(1)
    app = load(out, "boosted_tree")["app"]
    assert app.predict(row.assign(city="city 77", code="999")).notna().to_numpy().all()
    model, data = load(out)["app"], pd.read_csv(file)
    gap = model.predict(row.assign(age=np.nan))
    assert not np.allclose(gap, model.predict(row.assign(age=90.0)), atol=1e-4)
    unknown = [model.predict(row.assign(city=name)).to_numpy() for name in ("Ulm", "Bonn")]
    assert np.array_equal(*unknown)  # two cities that nobody had are the same unknown one
    assert data["age"].isna().any()


def test_what_predict_refuses(done, tmp_path, capsys):
    file, out = done
    data, new = pd.read_csv(file), tmp_path / "new.csv"
    words = ["predict", out, new, "--out", tmp_path / "s.csv"]
    data.drop(columns=["city", "age"]).to_csv(new, index=False)
    refused(words, capsys, "new.csv lacks the columns 'city', 'age'", "trained on")
    data.assign(channel=data["channel"].mask(data.index == 4, "kiosk")).to_csv(new, index=False)
    refused(words, capsys, "row 5", "'kiosk'", "app, shop, web", "Leave the row out")
    data.assign(visit_probability=1).to_csv(new, index=False)
    refused(words, capsys, "'visit_probability' already", "Rename")
    data.to_csv(new, index=False)
    refused([*words, "--method", "pf"], capsys, "Unknown method of this run 'pf'")
    refused([*words, "--seed", "7"], capsys, "Unknown seed of this run '7'", "0, 1")
    refused(["predict", out, new, "--out", tmp_path / "s.xlsx"], capsys, "ending of --out", ".parquet")
    refused(["predict", tmp_path, new, "--out", tmp_path / "s.csv"], capsys, "holds no run")
    assert not (tmp_path / "s.csv").exists()
    (tmp_path / "s.csv").write_text("mine")
    refused(words, capsys, "s.csv already exists", "another --out")
    assert (tmp_path / "s.csv").read_text() == "mine"


def test_formats_and_labels_that_are_no_labels(done, tmp_path):
    file, out = done
    data = pd.read_csv(file, dtype={"code": str}).assign(visit="not yet known")
    data.to_csv(tmp_path / "n.csv", index=False, sep=";", encoding="latin-1")
    data.to_parquet(tmp_path / "n.parquet")
    quiet(["predict", out, tmp_path / "n.csv", "--encoding", "latin-1", "--out", tmp_path / "a.parquet"])
    quiet(["predict", out, tmp_path / "n.parquet", "--out", tmp_path / "b.tsv"])
    first, second = pd.read_parquet(tmp_path / "a.parquet"), pd.read_csv(tmp_path / "b.tsv", sep="\t")
    for column in ("visit_probability", "conversion_probability"):
        assert np.allclose(first[column], second[column], rtol=0, atol=1e-12)


def test_without_pf_msmtrec_the_best_on_validation_rows_is_asked(copied):
    config = json.loads((copied / "config.json").read_text())
    config["arguments"]["methods"].remove("pf_msmtrec")
    (copied / "config.json").write_text(json.dumps(config))
    results = pd.read_csv(copied / "results.csv").query("split == 'valid' and method != 'pf_msmtrec'")
    results.to_csv(copied / "results.csv", index=False)
    assert load(copied).model.method == results.groupby("method")["auc"].mean().idxmax()


# ---- a finished run goes on ----


def test_a_finished_run_writes_everything_again_from_what_it_kept(copied, done):
    whole = contents(done[1])
    kept = {name for name in whole if name.startswith(("models", "checkpoint"))}
    for name in set(whole) - kept:
        (copied / name).unlink()
    (copied / "models" / "local-0.pt").unlink()  # and one is trained anew
    said = quiet(["run", "--resume", copied])
    assert "Too little is kept of 1 finished trainings" in said
    found = contents(copied)
    timed = {"verdict.txt", "history.csv", "checkpoint/local-0.pt", "convergence.png"}
    assert set(found) == set(whole)
    assert {name for name in whole if found[name] != whole[name]} <= timed
    assert json.loads((copied / "config.json").read_text())["finished"] is True


@pytest.mark.parametrize("where", ["predictions.join", "mark_finished"])
def test_a_run_that_ends_while_it_writes_is_not_finished_and_is_completed(where, copied, done, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    module, name = (run_module.predictions, "join") if "." in where else (run_module, where)
    monkeypatch.setattr(module, name, killed)
    assert main(["run", "--resume", str(copied)]) == 130
    monkeypatch.undo()
    for reader in (read_run, load):
        with pytest.raises(UserError, match="not finished.*--resume"):
            reader(copied)
    quiet(["run", "--resume", copied])
    assert contents(copied) == contents(done[1])
    assert read_run(copied).results.equals(read_run(done[1]).results)


def test_more_rounds_say_that_they_begin_anew_and_fewer_are_refused(copied, capsys):
    before = json.loads((copied / "config.json").read_text())
    refused(["run", "--resume", copied, "--rounds", "1"], capsys, "not for fewer", "another --out")
    assert json.loads((copied / "config.json").read_text()) == before
    said = quiet(["run", "--resume", copied, "--rounds", "3", "--keep-checkpoints"])
    assert "Too little is kept of 10 finished trainings to go on: they begin with round 1" in said
    assert pd.read_csv(copied / "history.csv")["round"].max() == 3
    said = quiet(["run", "--resume", copied, "--rounds", "4"])  # the checkpoints are whole
    assert "begin with round 1" not in said
    assert pd.read_csv(copied / "history.csv")["round"].max() == 4


def test_other_versions_are_said(copied, monkeypatch):
    monkeypatch.setattr(run_module, "decisive", lambda: {"pfmsm_lite": "99", "numpy": "98"})
    said = quiet(["run", "--resume", copied])
    assert "goes on with pfmsm_lite 99: numbers may differ" in said and "with numpy 98" in said


@pytest.mark.parametrize("name", ["predictions.csv", "auc.png"])
def test_a_full_disk_is_one_paragraph(name, copied, capsys, monkeypatch):
    replace = writing.os.replace

    def full(part, path):
        if path.name == name:
            raise OSError(28, "No space left on device")
        return replace(part, path)

    monkeypatch.setattr(writing.os, "replace", full)
    refused(["run", "--resume", copied], capsys, f"{name} could not be written: No space left", "--resume")
    assert not list(copied.rglob(writing.TORN))


# ---- texts that a spreadsheet would execute ----


@given(st.text(alphabet="'=+-@\t\ra1\n,\" ", max_size=6))
def test_a_harmless_cell_begins_with_no_sign_of_a_formula_and_gives_back_what_it_was(text):
    safe = writing.harmless(text)
    assert not safe.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert writing.as_it_was(safe) == text
    if not text.lstrip("'").startswith(("=", "+", "-", "@", "\t", "\r")):
        assert safe == text


def test_hostile_names_go_through_all_tables_and_back(tmp_path):
    data = frame(300)
    names = {"app": "=1+1", "shop": "@cmd", "web": "NA"}
    data = data.assign(channel=data["channel"].map(names)).rename(columns={"visit": "-visit"})
    data.to_csv(tmp_path / "my.csv", index=False)
    words = ["run", "--data", tmp_path / "my.csv", "--scenario", "channel", "--tasks=-visit,conversion"]
    small = ["--methods", "local,fedavg", "--seeds", "0", "--rounds", "1", "--processes", "1"]
    quiet([*words, *small, "--out", tmp_path / "out"])
    for name in ("results.csv", "history.csv", "predictions.csv"):
        cells = (tmp_path / "out" / name).read_text().replace("\n", ",").split(",")
        texts = [cell for cell in cells if not cell.lstrip("+-").replace(".", "").replace("e-", "").isdigit()]
        assert not [text for text in texts if text.startswith(("=", "+", "-", "@"))], name
    found = read_run(tmp_path / "out")
    assert set(found.results["scenario"]) == set(names.values()) == set(found.sizes)
    assert set(found.results["task"]) == {"-visit", "conversion"}


def test_names_that_look_like_numbers_stay_apart_at_the_end_of_a_run(tmp_path):
    file = tmp_path / "predictions.csv"
    head = "row,scenario,method,seed,split,task,label,probability\n"
    file.write_text(head + "".join(f"1,{name},local,0,test,5,1,0.5\n" for name in ("01", "1", "'-1", "NA")))
    (block,) = ending.read_blocks(file)
    assert block["scenario"].tolist() == ["01", "1", "-1", "NA"] and set(block["task"]) == {"5"}


def test_a_run_on_generated_data_has_predictions_without_row_numbers(tmp_path):
    words = ["run", "--knob", "sizes=[90,80]", "--knob", "relatedness=[0,0]", "--knob", "test_rows=60"]
    out = tmp_path / "out"
    quiet([*words, "--methods", "local", "--seeds", "0", "--rounds", "1", "--processes", "1", "--out", out])
    lines = pd.read_csv(out / "predictions.csv")
    assert lines["row"].isna().all() and len(lines) == 2 * 2 * (60 + len(lines.query("split=='valid'")) // 4)
    assert not (out / "models" / models.ENCODER).exists()
    with pytest.raises(UserError, match="not trained on a table"):
        load(out).predict(frame(10))
    assert torch.load(next((out / "models").glob("*.pt")), weights_only=True)["format"] == models.FORMAT
    assert engine.model_file(out, engine.Cell("local-0", "", None, None, 0)).exists()
