"""The federated loop: train locally, upload, serve, download, evaluate, and remember what happened."""

import time
from collections.abc import Callable
from dataclasses import fields, replace
from numbers import Integral

import torch

from pfmsm_lite.errors import UserError, at_least_one, choose
from pfmsm_lite.federation import Federation
from pfmsm_lite.history import History, Round
from pfmsm_lite.methods import METHODS, Method, Settings
from pfmsm_lite.registry import lookup
from pfmsm_lite.scenario import Scenario


def run(
    scenarios: list[Scenario], method: Method | str, rounds: int = 20, seed: int = 0, *,
    settings: Settings | None = None, state: dict | None = None,
    after_round: Callable[[History, Federation], None] | None = None, **options,
) -> History:  # fmt: skip
    """Train one method on the scenarios and return its History.

    scenarios    list of Scenario, one client each
    method       a name in METHODS, or a Method such as one made by dataclasses.replace
    rounds       federated rounds; the round with the best average validation AUC gives the results
    seed         of initial parameters and mini-batches: the same seed gives the same numbers
    options      fields of Settings: local_epochs, batch_size, learning_rate, experts, … (or `settings` whole)
    after_round  called with (history, federation) after each round: for progress, checkpoints, a look inside
    state        {"history": history.state(), "federation": federation.state()} of an earlier run: go on there
    raises       UserError for bad settings or data, or when no client trains to finite numbers in round 1
    """
    for name in options:
        choose("option of run", name, [entry.name for entry in fields(Settings)])
    settings = replace(settings or Settings(), **options)
    if isinstance(method, str):
        method = METHODS[choose("method", method, METHODS)]
    if not isinstance(method, Method):
        raise UserError(f"method must be a Method such as METHODS['pf_msmtrec'], not {method!r}.")
    at_least_one(rounds=rounds)
    if not isinstance(seed, Integral) or not 0 <= seed < 2**63:
        raise UserError(f"seed is {seed!r}, but it must be a whole number from 0.")
    check_device(settings.device)
    federation = Federation(scenarios, method, settings, int(seed))
    names = [client.name for client in federation.clients]
    history = History(method.name, int(seed), names, federation.units, settings.choose)
    if state:
        history.load(state["history"])
        federation.load(state["federation"])
    while history.goes_on(rounds, settings.patience or rounds):
        one_round(federation, history)
        history.stored_bytes = federation.stored_bytes()
        if after_round:
            after_round(history, federation)
    return history


def one_round(federation: Federation, history: History) -> None:
    """Play one round and add it to the history."""
    start = time.perf_counter()
    true_gradient = federation.probe()
    # 1. every client trains from what it received
    losses, seconds, accepted = federation.train(history.rounds_done + 1)
    # 2. upload → check → normalize → coordinate → aggregate → download
    record = federation.serve(accepted)
    if not any(federation.accepted):
        history.stop(history.rounds_done + 1, "every client's upload was NaN or infinite")
        return
    # 3. what a client does for its own use
    seconds = [sum(both) for both in zip(seconds, federation.personalize(), strict=True)]
    if true_gradient is not None and (past := federation.block("expert.scenario").previous):
        record |= lookup("fields", "probe")(true_gradient, past.delta)
    # 4. validation rows say whether this is the best round; only then are test rows looked at
    valid = [client.evaluate("valid") for client in federation.clients]
    better = history.improves([line for own in valid for line in own])
    test = [client.evaluate("test") for client in federation.clients] if better else None
    elapsed, sent, said = time.perf_counter() - start, federation.sent, federation.said
    history.add(Round(record, valid, test, losses, seconds, sent, federation.accepted, elapsed, said))


def check_device(device: str) -> None:
    if not {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[device]:
        raise UserError(f"--device {device}: this machine or this PyTorch has none. Use --device cpu.")
