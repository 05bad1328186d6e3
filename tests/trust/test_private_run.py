"""`run --epsilon`: the noise that it finds, what it prints and what it refuses."""

import json

import pytest

from pfmsm_lite.errors import UserError
from pfmsm_lite.lab import options
from pfmsm_lite.lab.cli import main
from pfmsm_lite.trust import dp

SMALL = [
    "--knob",
    "sizes=[80]*2",
    "--knob",
    "test_rows=60",
    "--experts",
    "2",
    "--hidden",
    "8,4",
    "--tower",
    "4",
]


def test_a_private_run_prints_its_epsilon_and_keeps_its_noise(tmp_path, capsys):
    words = ["run", *SMALL, "--methods", "fedavg", "--seeds", "0", "--rounds", "2", "--processes", "1"]
    assert main([*words, "--epsilon", "5", "--delta", "1e-4", "--out", str(tmp_path / "a")]) == 0
    printed = capsys.readouterr().out
    assert "ε = 5 at δ = 0.0001 for each row, over all 2 rounds: fedavg" in printed
    for what in dp.OUTSIDE:
        assert what in printed
    kept = json.loads((tmp_path / "a" / "config.json").read_text(encoding="utf-8"))["settings"]
    assert kept["client"] == "private"
    assert dp.epsilon(kept["dp_noise"], kept["dp_rate"], 20, 1e-4) == pytest.approx(5, rel=0.02)


def declared(*methods, **arguments):
    return options.declared({"methods": list(methods), "rounds": 3, "delta": 1e-5, **arguments})[1]


def test_what_private_clients_would_not_read_is_refused():
    with pytest.raises(UserError, match="--dp-clip is read by private clients"):
        declared("local", dp_clip=2.0)
    with pytest.raises(UserError, match="--dp-noise cannot be given beside it"):
        declared("local", dp_noise=2.0, epsilon=1.0)
    with pytest.raises(UserError, match="pooled has all rows in one place"):
        declared("local", "pooled", epsilon=1.0)
    with pytest.raises(UserError, match="logistic has the model logistic"):
        declared("logistic", client="private")
    assert declared("local", "pooled").client == "open"


def test_more_rounds_take_more_noise_and_a_secret_client_stays_one():
    few, many = (declared("fedavg", epsilon=1.0, rounds=rounds).dp_noise for rounds in (2, 20))
    assert many > few > 0
    secret = declared("fedavg", epsilon=1.0, client="secret")
    assert secret.client == "secret"
    assert not any("seed" in line for line in dp.said(secret, [], 3, 1e-5))
