"""MovieLens 100K and 1M (Harper and Konstan, TiiS 2015): age groups, or occupations, are scenarios."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pfmsm_lite.data.chunks import Layout, blocks, line_of
from pfmsm_lite.data.files import Table
from pfmsm_lite.data.table import encode
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.scenario import Scenario

TASKS = ("click", "like")  # rating > 3, rating > 4, as M3oE has them
SCENARIOS = ("age", "occupation")
ORDERS = ("shuffled", "file")
FEATURES = ["user_id", "movie_id", "gender", "age", "occupation", "genres"]
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
OCCUPATIONS = (  # of 1M, by their codes
    "other", "educator", "artist", "clerical", "student (college)", "customer service", "doctor", "executive",
    "farmer", "homemaker", "student (K-12)", "lawyer", "programmer", "retired", "sales", "scientist",
    "self-employed", "technician", "tradesman", "unemployed", "writer",
)  # fmt: skip
AGES = {25: "under 25", 35: "25 to 34", 200: "35 and over"}  # M3oE's groups: below this age → name
SOURCE = "https://grouplens.org/datasets/movielens"


class Edition(NamedTuple):
    """How an edition's files are called and cut: ratings, users, movies; rows: of the publisher's ratings."""

    ratings: str
    users: str
    movies: str
    layouts: tuple[Layout, Layout, Layout]
    rows: int


def _layout(columns, sep, data, *more):
    """Without a header; columns: name=type words, those of type "" are not read."""
    pairs = [word.split("=") for word in columns.split()] + [[name, "id"] for name in more]
    return Layout({n: k for n, k in pairs if k}, sep=sep, data=data, encoding="latin-1",
                  names=tuple(n for n, _ in pairs))  # fmt: skip


_100K, _1M = "MovieLens 100K", "MovieLens 1M"
EDITIONS = {
    "ml-100k": Edition("u.data", "u.user", "u.item", (
        _layout("user_id=id movie_id=id rating=number time=", "\t", _100K),
        _layout("user_id=id age=id gender=text occupation=text zip=", "|", _100K),
        _layout("movie_id=id title= released= video= address=", "|", _100K, *GENRES),
    ), 100_000),
    "ml-1m": Edition("ratings.dat", "users.dat", "movies.dat", (
        _layout("user_id=id movie_id=id rating=number time=", "::", _1M),
        _layout("user_id=id gender=text age=id occupation=id zip=", "::", _1M),
        _layout("movie_id=id title= genres=text", "::", _1M),
    ), 1_000_209),
}  # fmt: skip


def read_movielens(
    directory: str | Path, scenario: str = "age", order: str = "shuffled",
    fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0, **options,
) -> list[Scenario]:  # fmt: skip
    """MovieLens with the tasks click (rating > 3) and like (rating > 4).

    directory  of one edition's files, or the folder above its ml-100k or ml-1m
    scenario   `age`: the three groups of M3oE, under 25, 25 to 34, 35 and over · `occupation`: 21
    order      `shuffled`: rows at random, so a test row's user is known from training · `file`: cut where the
               rows stand, person after person, so nearly no test user was seen. Which it is decides who wins
    fractions  shares of train, valid and test
    options    of `table.encode`, such as statistics and minimum_rows
    raises     UserError naming the file and line that is wrong, and where to get it

    Declared are the users, movies and genres of the publisher's own tables: nothing is fitted across clients.
    """
    choose("--scenario of MovieLens", scenario, SCENARIOS)
    choose("--order", order, ORDERS)
    folder, edition = _edition(Path(directory))
    tables = [_read(folder / name, layout) for name, layout in zip(edition[:3], edition.layouts, strict=True)]
    ratings, users, movies = tables
    _check(folder / edition.ratings, ratings, users, movies)
    _check_tables(folder, edition, users, movies)
    if "genres" not in movies:
        flags = movies[list(GENRES)].to_numpy() == 1
        movies["genres"] = ["|".join(np.array(GENRES)[own]) for own in flags]
    if users["occupation"].dtype.kind in "iu":
        users["occupation"] = np.array(OCCUPATIONS, object)[users["occupation"]]
    ratings = ratings.sort_values("user_id", kind="stable", ignore_index=True)
    rows = ratings.merge(users, on="user_id", how="left").merge(movies[["movie_id", "genres"]], on="movie_id")
    declared = {"user_id": users["user_id"], "movie_id": movies["movie_id"]}
    bounds = np.searchsorted(list(AGES), rows["age"], side="right")
    rows["age group"] = np.array(list(AGES.values()), object)[bounds]
    rows["click"], rows["like"] = (rows["rating"] > 3).astype(int), (rows["rating"] > 4).astype(int)
    column = {"age": "age group", "occupation": "occupation"}[scenario]
    features = [name for name in FEATURES if name != column]
    said = [f"{len(rows):,} ratings of {len(users):,} users; rows are numbered person after person"]
    if len(rows) != edition.rows:
        said.append(f"the publisher's file has {edition.rows:,}: this one is a part of it, or was cut off")
    if order == "file":
        cuts = (np.cumsum(fractions)[:2] / np.sum(fractions) * len(rows)).round()
        rows["part"] = np.array(["train", "valid", "test"], object)[
            np.searchsorted(cuts, np.arange(len(rows)), side="right")
        ]
        options["split_column"] = "part"
    else:
        options["split"] = tuple(fractions)
    kept = [*dict.fromkeys([column, *features]), *TASKS, *rows.columns.intersection(["part"])]
    return encode(
        Table(rows[kept], tuple(said), 0), scenario=column, tasks=list(TASKS),
        categorical=[name for name in features if name != "genres"], multi=["genres"], categories=declared,
        duplicates="apart", seed=seed, source=str(folder), **options,
    )  # fmt: skip


def _edition(directory):
    """(the folder with an edition's ratings, the Edition)."""
    places = [directory, *(directory / name for name in EDITIONS)]
    found = [
        (place, edition)
        for place in places
        for edition in EDITIONS.values()
        if (place / edition.ratings).exists()
    ]
    if len(found) > 1:
        raise UserError(f"{directory} holds {found[0][0]} and {found[1][0]}. Say which in --data-dir.")
    if not found:
        raise UserError(
            f"{directory} has neither u.data (100K) nor ratings.dat (1M). Fetch them from {SOURCE}, or with "
            "`download movielens`."
        )
    return found[0]


def _read(path, layout):
    """The whole of a file as a DataFrame, block by block; a gap is refused."""
    if not path.exists():
        raise UserError(f"{path} is missing. It is in the same archive: {SOURCE}.")
    parts = []
    for block in blocks(path, layout):
        for name in block.table.column_names:
            if block.table[name].null_count:
                row = int(np.argmax(np.asarray(block.table[name].is_null())))
                line = line_of(path, block.start, block.line, row)
                raise UserError(f"{path}: line {line} has no {name}. Fix that line, or fetch it again.")
        parts.append(block.table)
    return pa.concat_tables(parts).to_pandas()


def _check(path, ratings, users, movies):
    """Refuse a rating that is none, and one of a user or a movie that nobody knows."""
    for name, known in (("user_id", users["user_id"]), ("movie_id", movies["movie_id"])):
        if known.duplicated().any():
            twice = known[known.duplicated()].iloc[0]
            raise UserError(
                f"{path.parent}: {name} {twice} stands twice in its table. Fetch the archive again."
            )
        _refuse(path, ~ratings[name].isin(known), ratings[name], f"a {name} that its table lacks")
    _refuse(path, ~ratings["rating"].isin(range(1, 6)), ratings["rating"], "a rating that is not 1 to 5")


def _check_tables(folder, edition, users, movies):
    """Refuse ages, codes and flags that are none, by their file and line."""
    known = {"age": range(1, 121)}
    if users["occupation"].dtype.kind in "iu":
        known["occupation"] = range(len(OCCUPATIONS))
    for name, own in known.items():
        _refuse(folder / edition.users, ~users[name].isin(own), users[name], f"the {name} that cannot be")
    for name in movies.columns.intersection(GENRES):
        _refuse(
            folder / edition.movies,
            ~movies[name].isin([0, 1]),
            movies[name],
            f"the flag of {name} that cannot be",
        )


def _refuse(path, wrong, column, what):
    if wrong.any():
        row = int(np.argmax(wrong.to_numpy()))
        raise UserError(
            f"{path}: line {line_of(path, 0, 1, row)} has {what}: {column.iloc[row]:g}. Fix that line, or "
            "fetch it again."
        )
