"""Ali-CCP, processed (Ma et al., SIGIR 2018; columns as torch-rechub or AITM have them), by column 301."""

from collections.abc import Iterable
from pathlib import Path

from pfmsm_lite.data.cache import USUAL, kept, refuse_copies
from pfmsm_lite.data.chunks import Layout, header
from pfmsm_lite.data.streamed import Plan, Source, encode_stream
from pfmsm_lite.errors import UserError
from pfmsm_lite.scenario import SPLITS, Scenario

TASKS = ("click", "purchase")
SCENARIO = "301"
FIELDS = (
    "101", "121", "122", "124", "125", "126", "127", "128", "129", "205", "206", "207", "210", "216", "508",
    "509", "702", "853", "109_14", "110_14", "127_14", "150_14",
)  # fmt: skip
NUMBERS = ("D109_14", "D110_14", "D127_14", "D150_14", "D508", "D509", "D702", "D853")
NAMES = {  # split → how its file may be called, less what packs it
    "train": ("ali_ccp_train.csv", "ali_ccp_train_sample.csv", "ctr_cvr.train", "train.csv"),
    "valid": ("ali_ccp_val.csv", "ali_ccp_val_sample.csv", "ctr_cvr.dev", "valid.csv"),
    "test": ("ali_ccp_test.csv", "ali_ccp_test_sample.csv", "ctr_cvr.test", "test.csv"),
}
LAYOUT = Layout(
    {
        **dict.fromkeys(TASKS, "label"),
        **dict.fromkeys((SCENARIO, *FIELDS), "id"),
        **dict.fromkeys(NUMBERS, "number"),
    },
    optional=("210", *(c for c in FIELDS if c.endswith("_14")), *NUMBERS),
    data="Ali-CCP",
)
SOURCE = "https://tianchi.aliyun.com/dataset/408"


def read_aliccp(
    directory: str | Path, cache: str | Path = USUAL, scenarios: Iterable[str] | None = None, **options
) -> list[Scenario]:
    """Ali-CCP as one scenario for each value of column 301, with the splits of its files.

    directory  holds ali_ccp_train.csv, ali_ccp_val.csv, ali_ccp_test.csv, or the other names in NAMES (or
               .gz); without a file for validation, a fifth of the training rows is
    cache      where what was read is kept as Parquet;  scenarios  values of 301; None: all
    options    see `streamed.encode_stream`
    raises     UserError naming the file that is missing or wrong, its line, and where to get it

    A purchase without a click is refused. 301 itself is no feature: it is the scenario.
    """
    directory = Path(directory)
    files = {split: path for split in SPLITS if (path := _file(directory, split))}
    if lacking := [split for split in ("train", "test") if split not in files]:
        names = " and ".join(NAMES[split][0] for split in lacking)
        raise UserError(f"{directory} lacks {names}. The publisher's files are at {SOURCE}, with an account.")
    refuse_copies(files.values())
    columns = {split: set(header(path, LAYOUT)[0]) for split, path in files.items()}
    for split, own in columns.items():
        if other := sorted(own ^ columns["train"]):
            raise UserError(
                f"{files[split]} has other columns than {files['train']}: {', '.join(other[:6])}. Give "
                "files of one preparation."
            )
    have = columns["train"]
    plan = Plan(
        SCENARIO, TASKS, tuple(c for c in FIELDS if c in have), tuple(c for c in NUMBERS if c in have),
        implied=("purchase", "click"),
    )  # fmt: skip
    sources = [
        Source(str(path), kept(path, LAYOUT, cache, f"AliCCP-{split}"), split=split)
        for split, path in files.items()
    ]
    return encode_stream(sources, plan, cache, str(directory), scenarios=scenarios, **options)


def _file(directory, split):
    """The file of a split, plain or packed, or None."""
    found = [directory / f"{name}{packed}" for name in NAMES[split] for packed in ("", ".gz")]
    return next((path for path in found if path.is_file()), None)
