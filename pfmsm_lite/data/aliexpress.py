"""AliExpress, processed (Li et al., WWW 2020; columns as MTReclib has them): every country is a scenario."""

from collections.abc import Iterable
from pathlib import Path

from pfmsm_lite.data.cache import USUAL, kept, refuse_copies
from pfmsm_lite.data.chunks import Layout
from pfmsm_lite.data.streamed import Plan, Source, encode_stream
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import Scenario, shortened

COUNTRIES = ("NL", "ES", "FR", "US")
SPLITS = ("train", "test")
TASKS = ("click", "conversion")
CATEGORIES = tuple(f"categorical_{k}" for k in range(1, 17))
NUMBERS = tuple(f"numerical_{k}" for k in range(1, 64))
LAYOUT = Layout(
    {**dict.fromkeys(CATEGORIES, "id"), **dict.fromkeys(NUMBERS, "number"), **dict.fromkeys(TASKS, "label")},
    others=("search_id",),
    data="AliExpress",
)
PLAN = Plan("country", TASKS, CATEGORIES, NUMBERS, implied=("conversion", "click"))
SOURCE = "https://tianchi.aliyun.com/dataset/74690"


def read_aliexpress(
    directory: str | Path, cache: str | Path = USUAL, scenarios: Iterable[str] | None = None, **options
) -> list[Scenario]:
    """AliExpress as one scenario for each country, with the publisher's test rows.

    directory  holds AliExpress_NL, _ES, _FR and _US, each with train.csv and test.csv (or .csv.gz)
    cache      where what was read is kept as Parquet
    scenarios  countries; None: all four, and one that is missing is refused by name
    options    see `streamed.encode_stream`; a fifth of the training rows validates
    raises     UserError naming the file that is missing or wrong, its line, and where to get it

    `conversion` is click AND buy (CTCVR): so the labels were made. The search's id is no feature.
    """
    directory = Path(directory)
    wanted = [choose("country of AliExpress", name, COUNTRIES) for name in scenarios or COUNTRIES]
    files = {country: {split: _file(directory, country, split) for split in SPLITS} for country in wanted}
    lacking = {country: [split for split in SPLITS if not own[split]] for country, own in files.items()}
    if any(lacking.values()):
        there = [country for country, own in lacking.items() if not own]
        only = f", or read the others alone with --scenarios {','.join(there)}" if there else ""
        names = shortened(
            f"AliExpress_{country}/{' and '.join(f'{split}.csv' for split in own)}"
            for country, own in lacking.items()
            if own
        )
        raise UserError(f"{directory} lacks {names}. They are at {SOURCE}, with an account{only}.")
    every = [(country, split, path) for country, own in files.items() for split, path in own.items()]
    refuse_copies(path for _, _, path in every)
    sources = [
        Source(str(path), kept(path, LAYOUT, cache, f"AliExpress_{country}-{split}"), country, split)
        for country, split, path in every
    ]
    return encode_stream(sources, PLAN, cache, str(directory), **options)


def _file(directory, country, split):
    """The file of a country's split, plain or packed, or None."""
    found = [directory / f"AliExpress_{country}" / f"{split}.csv{packed}" for packed in ("", ".gz")]
    return next((path for path in found if path.is_file()), None)
