"""The table of chapter 09: the log of five shops, as somebody might hand it to you."""

import numpy as np
import pandas as pd

from pfmsm_lite.data import synthetic

SHOPS = ("north", "east", "south", "west", "kiosk")
ROWS = (2400, 1600, 900, 600, 250)  # training rows of the generator; it adds validation and test rows
COLUMNS = {"user": "customer", "item": "article", "click": "opened", "conversion": "bought"}
ODD = -0.9  # correlation of the kiosk's taste with that of the others


def shop_log(seed: int = 0, rows: tuple[int, ...] = ROWS) -> pd.DataFrame:
    """The log: a line per offer, in mixed order. Nobody cleaned it.

    Four shops have customers of much the same taste; the kiosk's want the opposite, and it has few. `order`
    is a running number. `days_to_delivery` is known only once something was bought. Some labels are missing.
    """
    likeness = np.full((len(SHOPS), len(SHOPS)), 0.9)
    likeness[-1, :-1] = likeness[:-1, -1] = ODD
    np.fill_diagonal(likeness, 1.0)
    scenarios, _ = synthetic(sizes=rows, relatedness=likeness, test_rows=300, seed=seed)
    parts = [_lines(shop, scenario) for shop, scenario in zip(SHOPS, scenarios, strict=True)]
    random = np.random.default_rng(seed)
    log = pd.concat(parts).sample(frac=1, random_state=seed).rename(columns=COLUMNS).reset_index(drop=True)
    log.insert(0, "order", 10_000 + np.arange(len(log)))
    days = random.integers(1, 6, len(log))
    log["days_to_delivery"] = np.where(log["bought"] > 0, days, np.nan)
    log.loc[random.random(len(log)) < 0.02, "bought"] = np.nan
    return log


def _lines(shop, scenario):
    """All rows of a scenario as lines of a table."""
    blocks = [scenario.rows(split) for split in ("train", "valid", "test")]
    ids, numbers, labels = (
        np.concatenate([block[part].double().numpy() for block in blocks]) for part in range(3)
    )
    names = [*scenario.fields, *(f"number {k}" for k in range(numbers.shape[1])), *scenario.tasks]
    table = pd.DataFrame(np.concatenate([ids, numbers.round(3), labels], 1), columns=names)
    table = table.astype(dict.fromkeys(scenario.fields, int))
    table.insert(0, "shop", shop)
    return table
