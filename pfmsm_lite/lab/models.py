"""The models of a finished run, kept beside its results: they give probabilities for other rows.

load("runs/my")["app"].predict(df) gives a DataFrame [rows, tasks]. For rows of the run itself they are
those in predictions.csv. The last digit of a float32 may differ: how a product of matrices rounds depends
on how many rows it has, and a table groups them differently from the run.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pfmsm_lite.client import CHUNK
from pfmsm_lite.data import Encoder
from pfmsm_lite.data.calibration import corrected
from pfmsm_lite.data.pooling import pool
from pfmsm_lite.data.reading import clean_header
from pfmsm_lite.embedding import numbered
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.federation import Federation, build
from pfmsm_lite.history import History
from pfmsm_lite.lab import sealed
from pfmsm_lite.lab.statistics import per_seed
from pfmsm_lite.lab.versions import decisive
from pfmsm_lite.lab.writing import read_csv
from pfmsm_lite.methods import Method, Settings
from pfmsm_lite.personal import Blend
from pfmsm_lite.registry import OPERATORS
from pfmsm_lite.scenario import Rows, Scenario, shortened

FORMAT = "pfmsm_lite model 1"
ENCODER = "encoder.pt"
Kept = dict[str, Any]  # {"format": FORMAT, "about": JSON, "tensors": {name: tensor}}


# ---- what is kept of a training ----


def snapshot(federation: Federation, scenarios: list[Scenario], history: History) -> Kept:
    """The models that the clients use now, and what it takes to build them again; see `assembled`."""
    method, clients = federation.method, federation.clients
    lines = {name: own for client in clients for name, own in lines_of(client).items()}
    shared = None
    if "embedding" in method.sent:
        held = torch.unique(torch.cat([client.held.entries for client in clients]))
        shared = federation.server.table.table, held
    parts = [of_client(client) for client in clients]
    return assembled(method, federation.settings, scenarios, history, parts, lines, shared)


def assembled(
    method: Method, settings: Settings, scenarios: list[Scenario], history: History,
    parts: list[dict[str, Tensor]], lines: dict[str, Tensor], shared: tuple[Tensor, Tensor] | None,
) -> Kept:  # fmt: skip
    """What is kept of the reported round's models.

    parts    of each client what `of_client` gives;  lines  scenario → what `lines_of` gives
    shared   (the server's table [V, K], numbers of these entries [V]) where it is shared
    tensors  "N.model.NAME" of client N, "N.entries" the numbers of its embedding entries; where these are
             shared, "server.table" [V, K] and "server.entries" [V]: every entry that anybody trained; where
             probabilities are corrected, "calibration.N" [T, 2] of scenario N
    """
    first = scenarios[0]
    about = {
        "method": {key: getattr(method, key) for key in ("name", "model", "compose", "pooled")},
        "settings": asdict(settings),
        "seed": history.seed,
        "round": history.best_round,
        "tasks": first.tasks,
        "fields": first.fields,
        "numericals": first.numericals,
        "bags": first.bags,
        "apart": first.apart,
        "scenarios": [scenario.name for scenario in scenarios],
        "versions": decisive(),
    }
    tensors = {f"{n}.{name}": tensor for n, own in enumerate(parts) for name, tensor in own.items()}
    if shared:
        tensors["server.table"], tensors["server.entries"] = shared
    if tensors:
        tensors |= {f"calibration.{about['scenarios'].index(name)}": own for name, own in lines.items()}
    plain = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    return {"format": FORMAT, "about": json.dumps(about), "tensors": plain}


def of_client(client):
    """Name → tensor of what it predicts with; of a client without a network what its `kept` gives."""
    if not hasattr(client, "model"):
        return client.kept() if hasattr(client, "kept") else {}
    used, own = client.used, {"entries": client.held.entries}
    parts = {"model": used}
    if isinstance(used, Blend):
        parts, own["share"] = {"model": used.federated, "home": used.own}, used.share
    for part, model in parts.items():  # buffers outside state_dict, too
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        own |= {f"{part}.{name}": tensor for name, tensor in tensors.items()}
    return own


def lines_of(client):
    """Scenario → how its probabilities are corrected, as a tensor; of those that are."""
    found = getattr(getattr(client, "calibrate", None), "lines", {})
    return {name: torch.from_numpy(np.asarray(own)) for name, own in found.items()}


def save(path: Path, kept: Kept) -> None:
    """Write a snapshot; equal snapshots give equal bytes. Raises UserError where the disk is full."""
    tensors = {name: tensor.clone() for name, tensor in kept["tensors"].items()}  # each with its own storage
    sealed.save(path, {**kept, "tensors": tensors})


def save_encoder(folder: Path, notes: Mapping[str, Any]) -> None:
    """Keep beside the models, once for all, how a table was read, by the notes of its scenarios; nothing
    where the rows are of no table."""
    if state := notes.get("encoder"):
        sealed.save(folder / ENCODER, {"format": FORMAT, "encoder": json.dumps(state)})


# ---- a model at work ----


class Model:
    """What the clients of one method and seed predict with, of every scenario.

    kept     as `snapshot` gave it;  encoder: state of the Encoder that read the table, None without one
    raises   UserError for a model that is not registered: a plugin's
    """

    def __init__(self, kept: Kept, encoder: dict[str, Any] | None = None):
        about = json.loads(kept["about"])
        self.method, self.seed, self.round = about["method"]["name"], about["seed"], about["round"]
        self.tasks, self.scenarios = tuple(about["tasks"]), about["scenarios"]
        self.encoder = encoder
        self._tensors, self._row = kept["tensors"], SimpleNamespace(**about["method"])
        known = {entry.name for entry in fields(Settings)}
        self._settings = Settings(**{k: v for k, v in about["settings"].items() if k in known})
        self._device = self._settings.device if _there(self._settings.device) else "cpu"
        for kind, name in (("model", self._row.model), ("compose", self._row.compose)):
            if name not in OPERATORS[kind]:
                raise UserError(
                    f"The method {self.method} has the {kind} {name!r}, which a file of somebody's own "
                    "registers. Run that file first: --plugin FILE.py, in Python import it."
                )
        self.there = bool(self._tensors)
        columns = sum(about["bags"].get(name, 1) for name in about["fields"])
        nothing = Rows(
            torch.zeros(0, columns, dtype=torch.long), torch.zeros(0, len(about["numericals"])),
            torch.zeros(0, len(self.tasks)),
        )  # fmt: skip
        of_all = (self.tasks, about["fields"], tuple(about["numericals"]), nothing, nothing, nothing)
        more = {"bags": about["bags"], "apart": tuple(about.get("apart", ()))}
        empty = [Scenario(name, *of_all, **more) for name in self.scenarios]
        self._first = pool(empty)[0] if self._row.pooled else empty[0]
        self._skeleton: Any = None

    def __repr__(self) -> str:
        names = shortened(self.scenarios)
        return f"Model of {self.method}, seed {self.seed}, round {self.round}: {names}"

    def probabilities(self, scenario: str, rows: Rows) -> Tensor:
        """Probabilities [R, T] of a scenario's encoded Rows, as a reader or an Encoder gives them."""
        found = self._of_model(scenario, rows)
        lines = self._tensors.get(f"calibration.{self.scenarios.index(scenario)}")
        return found if lines is None else torch.from_numpy(corrected(found.numpy(), lines.numpy()))

    def _of_model(self, scenario, rows):
        """Probabilities [R, T] float32 that are not corrected."""
        if not self.there:
            raise UserError(f"Nothing is kept of {self.method}: its model has no method `kept`.")
        number, ids = self.scenarios.index(scenario), rows.categorical.long()
        if self._row.pooled:
            ids, number = torch.cat([ids, torch.full((len(ids), 1), number + 1)], 1), 0
        model = OPERATORS["model"][self._row.model].function
        own = {
            name.partition(".")[2]: tensor
            for name, tensor in self._tensors.items()
            if name.partition(".")[0] == str(number)
        }
        if hasattr(model, "make_client"):
            return model.restore(own)(Rows(ids, rows.numerical, rows.labels))
        logits = self._forward(own, "model", ids, rows.numerical)
        if "share" in own:  # a model at home beside it, which nobody else's entries belong to
            logits = torch.lerp(logits, self._forward(own, "home", ids, rows.numerical), own["share"])
        return logits.sigmoid()

    @torch.no_grad()
    def _forward(self, own, part, ids, numerical):
        """As Client.logits does, on rows that may name entries which this client does not hold."""
        model, offset = self._build(own, part)
        weight, parts = model.embedding.weight.data, []
        bf16 = torch.autocast(self._device, torch.bfloat16, enabled=self._settings.precision == "bf16")
        with bf16:
            for some, numbers in zip(ids.split(CHUNK), numerical.split(CHUNK), strict=True):
                local, more = self._local(numbered(some, offset), own["entries"], offset, part == "model")
                model.embedding.weight.data = torch.cat([weight, more.to(weight)]) if len(more) else weight
                logits = model(local.to(self._device), numbers.to(self._device))
                parts.append(logits.float().cpu())
        return torch.cat(parts) if parts else torch.zeros(0, len(self.tasks))

    def _build(self, own, part):
        """(the client's model with its entries alone, offset [C] of the columns in the whole table)."""
        if self._skeleton is None:
            whole_model = build(self._first, self._row, self._settings, seed=0)
            offset = whole_model.embedding.offset
            whole_model.embedding.weight = None
            whole_model.embedding.offset = torch.zeros_like(offset)
            self._skeleton = whole_model, offset
        model, offset = copy.deepcopy(self._skeleton[0]), self._skeleton[1]
        model.embedding.weight = torch.nn.Parameter(torch.empty_like(own[f"{part}.embedding.weight"]))
        places = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        for name, place in places.items():
            place.data.copy_(own[f"{part}.{name}"])
        return model.to(self._device).eval(), offset

    def _local(self, numbers, entries, offset, shared):
        """Numbers [R, C] in the whole table → (places in [the client's entries, more], more [X, K]).

        more  where `shared`, entries that somebody else of the federation trained; others are unknown
        """
        place, held = _find(entries, numbers)
        local = torch.where(held, place, torch.searchsorted(entries, offset).expand_as(place))
        more = torch.zeros(0, 0)
        if shared and "server.table" in self._tensors:
            place, known = _find(self._tensors["server.entries"], numbers)
            wanted, order = torch.unique(place[known & ~held], return_inverse=True)
            local[known & ~held] = len(entries) + order
            more = self._tensors["server.table"][wanted]
        return torch.where(numbers < 0, numbers, local), more

    # ---- rows of a table ----

    def predict(self, df: pd.DataFrame, source: str = "the table", before: int = 1) -> pd.DataFrame:
        """Probabilities of a table's rows: DataFrame [rows, tasks] with the index of df.

        df      with the columns of the table that was trained on; those of labels are not needed
        source, before   what messages call it, and the lines of the file before its first row
        raises  UserError for a column that is missing, a row of a scenario that the run did not have
        """
        return self.of_rows(*self.encoded(df, source, before), df.index)

    def encoded(
        self, df: pd.DataFrame, source: str = "the table", before: int = 1
    ) -> tuple[np.ndarray, Rows]:
        """([R] names of scenarios, Rows of all R rows) of a table, read as the one that was trained on."""
        if not self.encoder:
            raise UserError(
                "This run was not trained on a table, so rows of a table cannot be read like it. In Python, "
                "load(run).model.probabilities takes encoded Rows."
            )
        features = df.drop(columns=[name for name in df if str(name).strip() in self.tasks])
        return Encoder.load(self.encoder).transform(clean_header(features, source)[0], source, before)

    def of_rows(self, names: np.ndarray, rows: Rows, index: Any) -> pd.DataFrame:
        """Probabilities of encoded Rows of scenarios `names` [R]: DataFrame [R, T] with that index."""
        found = np.empty((len(names), len(self.tasks)))
        for name in dict.fromkeys(names):
            here = np.flatnonzero(names == name)
            own = Rows(*(block[here] for block in rows[:3]))
            found[here] = self.probabilities(name, own).numpy()
        return pd.DataFrame(found, index=index, columns=list(self.tasks))


class OfScenario:
    """One scenario's part of a Model."""

    def __init__(self, model: Model, name: str):
        self.model, self.name = model, name

    def __repr__(self) -> str:
        return f"Scenario {self.name!r} of: {self.model!r}"

    def predict(self, df: pd.DataFrame, source: str = "the table") -> pd.DataFrame:
        """As `Model.predict`, of rows of this scenario; df may lack the column that names it.

        raises  UserError, also for a row of another scenario
        """
        column = (self.model.encoder or {}).get("scenario")
        if column and column not in [str(name).strip() for name in df]:
            df = df.assign(**{column: self.name})
        names, rows = self.model.encoded(df, source)
        if (other := names != self.name).any():
            row = int(np.argmax(other))
            raise UserError(
                f"{source}: row {row + 1} is of scenario {names[row]!r}, not of {self.name!r}. Give each "
                "scenario its own rows, or all rows at once to load(run).predict."
            )
        return self.model.of_rows(names, rows, df.index)


class Models(Mapping):
    """scenario → OfScenario, of one method and seed; `predict` takes rows of all scenarios."""

    def __init__(self, model: Model):
        self.model, self.predict = model, model.predict

    def __getitem__(self, name: str) -> OfScenario:
        return OfScenario(self.model, choose("scenario", name, self.model.scenarios))

    def __iter__(self) -> Iterator[str]:
        return iter(self.model.scenarios)

    def __len__(self) -> int:
        return len(self.model.scenarios)

    def __repr__(self) -> str:
        return repr(self.model)


def _there(device):
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}.get(device, True)


def _find(entries, numbers):
    """(where numbers stand among ascending entries, whether they do)."""
    place = torch.searchsorted(entries, numbers).clamp(max=len(entries) - 1)
    return place, entries[place] == numbers


# ---- a run's directory ----


def load(run: str | Path, method: str | None = None, seed: int | None = None) -> Models:
    """The models of a finished run: scenario → what predicts its rows.

    run     its directory
    method  None: pf_msmtrec where it was trained, else the best on validation rows
    seed    None: the first
    raises  UserError: no run, not finished, a method or a seed that it lacks, a damaged file
    """
    folder = Path(run)
    arguments = finished_arguments(folder)
    method = choose(
        "method of this run", method or _usual(folder, arguments["methods"]), arguments["methods"]
    )
    seeds = [str(number) for number in arguments["seeds"]]
    seed_text = choose("seed of this run", seeds[0] if seed is None else str(seed), seeds)
    encoder = folder / "models" / ENCODER
    state = json.loads(read(encoder)["encoder"]) if encoder.exists() else None
    return Models(Model(read(folder / "models" / f"{method}-{seed_text}.pt"), state))


def finished_arguments(folder: Path) -> dict[str, Any]:
    """The arguments of a finished run. Raises UserError where there is none in this directory."""
    path = folder / "config.json"
    again = f"Go on with: python -m pfmsm_lite run --resume {folder}"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        arguments = config["arguments"]
        arguments["methods"], arguments["seeds"]
        finished = config.get("finished") or not kept_in(folder)
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} holds no run: config.json is missing. Give the directory that a finished run left, "
            "such as runs/synthetic."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}). Run again with another --out.") from error
    if not finished:
        raise UserError(f"{folder} is not finished. {again}")
    if not kept_in(folder):
        raise UserError(
            f"{folder} keeps no models: an older version made it, or another command. {again}, or run again "
            "with another --out."
        )
    return arguments


def kept_in(folder: Path) -> bool:
    """Whether a run in this directory keeps models: then its config.json says when it is finished."""
    return (folder / "models").is_dir()


def read(path: Path) -> Kept:
    """What `save` wrote. Raises UserError for a file that is missing, damaged or of another version."""
    again = "Delete it and write it anew: python -m pfmsm_lite run --resume with its directory."
    if not path.exists():
        raise UserError(f"{path} is missing. {again}")
    try:
        kept, _ = sealed.load(path)
        if kept["format"] != FORMAT:
            raise UserError(f"{path} was written by another version of pfmsm_lite. {again}")
    except (sealed.Damaged, TypeError, KeyError) as error:
        raise UserError(f"The model {path} is damaged or none ({error}). {again}") from error
    return kept


def _usual(folder, methods):
    if "pf_msmtrec" in methods:
        return "pf_msmtrec"
    try:
        results = read_csv(folder / "results.csv", ("method", "scenario", "task"))
        averages = per_seed(results, "valid").mean().dropna()
    except (OSError, ValueError, KeyError):  # without it there is no best
        return methods[0]
    return averages.idxmax() if len(averages) else methods[0]
