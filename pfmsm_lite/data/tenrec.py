"""Tenrec (Yuan et al., NeurIPS 2022): every file is a scenario, such as QK-video and QB-video."""

from collections.abc import Iterable
from pathlib import Path

from pfmsm_lite.data.cache import USUAL, kept, refuse_copies
from pfmsm_lite.data.chunks import Layout, header
from pfmsm_lite.data.streamed import Plan, Source, encode_stream
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import Scenario

TASKS = ("click", "like", "share", "follow")
FIELDS = ("user_id", "item_id", "video_category", "category_first", "category_second", "gender", "age")
HISTORY = tuple(f"hist_{k}" for k in range(1, 11))
# columns that are known only after the row, or say how the item did since: never features
OUTCOMES = (
    "watching_times", "exposure_count", "click_count", "like_count", "comment_count", "read_percentage",
    "item_score1", "item_score2", "item_score3", "read", "read_time", "favorite",
)  # fmt: skip
FILES = ("QK-video", "QB-video", "QK-article", "QB-article")  # read unless told otherwise
MORE = ("ctr_data_1M",)  # made from QK-video by the publisher, with a history in each row
LAYOUT = Layout(
    {**dict.fromkeys((*FIELDS, *HISTORY), "id"), **dict.fromkeys(TASKS, "label")},
    others=OUTCOMES,
    optional=("video_category", "category_first", "category_second", "share", "follow", *HISTORY),
    data="Tenrec",
)
SOURCE = "https://tenrec0.github.io"


def read_tenrec(
    directory: str | Path, cache: str | Path = USUAL, scenarios: Iterable[str] | None = None,
    tasks: Iterable[str] = ("click", "like"), **options,
) -> list[Scenario]:  # fmt: skip
    r"""Tenrec's files as scenarios, with the features that all of them have.

    directory  holds QK-video.csv, QB-video.csv, QK-article.csv, QB-article.csv, or some of them (or .csv.gz)
    cache      where what was read is kept as Parquet
    scenarios  names of files; None: those of the four that are there. ctr_data_1M is read where it is named
    tasks      of click, like, share, follow
    options    see `streamed.encode_stream`; the publisher has no split, so rows are drawn: 80, 10, 10
    raises     UserError naming the file that is missing or wrong, its line, and where to get it

    `\N` is a gap. hist_1 to hist_10, in which 0 is nothing, are read as one bag, `history`, where all files
    have them. Whether a history ends before its row is the publisher's word; nothing in the file shows it.
    """
    directory, tasks = Path(directory), tuple(choose("task of Tenrec", task, TASKS) for task in tasks)
    wanted = [choose("file of Tenrec", name, (*FILES, *MORE)) for name in scenarios or FILES]
    files = {name: _file(directory, name) for name in wanted}
    lacking = [f"{name}.csv" for name, path in files.items() if path is None]
    if (lacking and scenarios) or len(lacking) == len(wanted):
        where = f"{SOURCE} says where to get them, with an application form"
        raise UserError(f"{directory} lacks {', '.join(lacking)}. {where}.")
    there = {name: path for name, path in files.items() if path is not None}
    refuse_copies(there.values())
    names = {name: header(path, LAYOUT)[0] for name, path in there.items()}
    common = [column for column in LAYOUT.columns if all(column in own for own in names.values())]
    if absent := [task for task in tasks if task not in common]:
        raise UserError(f"{directory}: not all of {', '.join(there)} have the column {', '.join(absent)}.")
    cut = sorted(set().union(*names.values()) & set(LAYOUT.columns) - set(common))
    said = [f"not in all files, so read of none: {', '.join(cut)}"] if cut else []
    history = {"history": HISTORY} if set(HISTORY) <= set(common) else {}
    plan = Plan("file", tasks, tuple(c for c in FIELDS if c in common), bags=history)
    sources = [
        Source(str(path), kept(path, LAYOUT, cache, f"Tenrec-{name}"), name) for name, path in there.items()
    ]
    return encode_stream(sources, plan, cache, str(directory), said=said, **options)


def _file(directory, name):
    found = [directory / f"{name}.csv{packed}" for packed in ("", ".gz")]
    return next((path for path in found if path.is_file()), None)
