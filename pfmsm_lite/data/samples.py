"""Generated files in the exact form of published ones, with a signal in them: to try things on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pfmsm_lite.data.aliexpress import CATEGORIES, COUNTRIES, NUMBERS
from pfmsm_lite.data.tenrec import HISTORY

VALUES = (6, 30, 200)  # different values of a categorical column, in turn


def _chance(score, rate):
    """Probabilities of this rate on the average, by a logit score [R]."""
    return 1 / (1 + np.exp(-(score + np.log(rate / (1 - rate)))))


def aliexpress_rows(rows: int, country: int, seed: int, rate: float = 0.2) -> pd.DataFrame:
    """Rows of a country, columns as published; tastes are half the world's and half the country's own."""
    draw, world = np.random.default_rng([seed, country, rows]), np.random.default_rng(1)
    own = np.random.default_rng(100 + country)
    table = {"search_id": np.sort(draw.integers(0, rows // 3 + 1, rows))}
    ids = {name: draw.integers(0, VALUES[k % len(VALUES)], rows) for k, name in enumerate(CATEGORIES)}
    numbers = {name: draw.normal(size=rows).round(4) * 10 ** (k % 3) for k, name in enumerate(NUMBERS)}
    click, buy = np.zeros((2, rows))
    for k, name in enumerate(CATEGORIES[:6]):
        taste = world.normal(size=(2, VALUES[k % len(VALUES)])) + own.normal(
            size=(2, VALUES[k % len(VALUES)])
        )
        click, buy = click + 0.4 * taste[0][ids[name]], buy + 0.4 * taste[1][ids[name]]
    for name in NUMBERS[::9]:
        click += 0.3 * world.normal() * numbers[name] / max(numbers[name].std(), 1e-9)
    clicked = (draw.random(rows) < _chance(click, rate)).astype(int)
    bought = clicked * (draw.random(rows) < _chance(buy, rate))
    return pd.DataFrame({**table, **ids, **numbers, "click": clicked, "conversion": bought})


def write_aliexpress(
    folder: str | Path, rows: Sequence[int] = (2000, 500), seed: int = 0, countries: Sequence[str] = COUNTRIES
) -> Path:
    """AliExpress_NL/train.csv and so on, `rows` of (train, test) in each country; returns the folder."""
    for country in countries:
        place = Path(folder) / f"AliExpress_{country}"
        place.mkdir(parents=True, exist_ok=True)
        for split, count in zip(("train", "test"), rows, strict=True):
            number = COUNTRIES.index(country)
            table = aliexpress_rows(count, number, seed + (split == "test") * 1000)
            table.to_csv(place / f"{split}.csv", index=False)
    return Path(folder)


def write_tenrec(
    folder: str | Path, rows: int = 1000, seed: int = 0, files: Sequence[str] = ("QK-video", "QB-video")
) -> Path:
    r"""QK-video.csv and so on, `\N` and, in ctr_data_1M, histories among the cells; returns the folder."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(files):
        draw = np.random.default_rng([seed, number])
        user, item = draw.integers(1, rows // 10 + 2, rows), draw.integers(1, 60, rows)
        category = draw.integers(0, 3, rows)
        click = (draw.random(rows) < _chance((item % 7 - 3) / 2 + category - 1, 0.3)).astype(int)
        like = click * (draw.random(rows) < 0.3)
        table = {"user_id": user, "item_id": item, "click": click, "follow": 0, "like": like, "share": 0}
        table |= {
            "video_category": np.where(category == 2, "\\N", category.astype(str)),
            "watching_times": click,
        }
        table |= {"gender": user % 3, "age": user % 8}
        if name.endswith("-article"):
            table = _article(table, draw)
        if name.startswith("ctr_data"):
            table |= {
                column: np.where(draw.random(rows) < 0.3, 0, draw.integers(1, 60, rows)) for column in HISTORY
            }
        pd.DataFrame(table).to_csv(Path(folder) / f"{name}.csv", index=False)
    return Path(folder)


def _article(table, draw):
    """The columns of an article's file, its labels written 1.0 as in the publisher's."""
    rows = len(table["user_id"])
    counts = {f"{what}_count": draw.integers(0, 9, rows) for what in ("exposure", "click", "like", "comment")}
    scores = {f"item_score{k}": draw.random(rows).round(3) for k in (1, 2, 3)}
    first = {"user_id": table["user_id"], "item_id": table["item_id"], "click": table["click"].astype(float)}
    first |= {"gender": table["gender"], "age": table["age"], **counts, "read_percentage": 50}
    first |= {"item_score1": scores["item_score1"], "item_score2": scores["item_score2"]}
    first |= {"category_second": draw.integers(0, 40, rows), "category_first": draw.integers(0, 5, rows)}
    first |= {"item_score3": scores["item_score3"], "read": 1, "read_time": 9, "share": 0}
    return first | {"like": table["like"], "follow": 0, "favorite": 0}
