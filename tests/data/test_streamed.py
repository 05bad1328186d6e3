"""Files that are read part by part: as the table reader reads them, whatever goes wrong on the way."""

import errno
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from running_data import published_rows, same

from pfmsm_lite.data import cache, chunks, digest, drawn, from_dataframe, streamed
from pfmsm_lite.data.aliexpress import CATEGORIES, LAYOUT, NUMBERS, TASKS, read_aliexpress
from pfmsm_lite.data.samples import write_aliexpress
from pfmsm_lite.errors import UserError

TWO = ["NL", "ES"]


@pytest.fixture
def files(tmp_path):
    return write_aliexpress(tmp_path / "ali", (700, 300), countries=TWO)


def read(files, **options):
    return read_aliexpress(files, files.parent / "cache", scenarios=TWO, **options)


def place_of(folder, name="AliExpress_NL-train"):
    """The one folder in which this file is kept."""
    (place,) = folder.glob(f"{name}-*")
    return place


def edit(path, change):
    """The file's lines changed; so it is another file for the cache, too."""
    lines = path.read_text().splitlines()
    path.write_text("\n".join(change(lines)) + "\n")
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def with_line(number, text):
    return lambda lines: [*lines[: number - 1], text(lines[number - 1]), *lines[number:]]


@pytest.mark.parametrize("block", [2**25, 20_000])
@pytest.mark.parametrize(
    "options", [{}, {"statistics": "federation"}, {"statistics": "none", "categories": "union"}]
)
def test_a_stream_of_parts_gives_what_the_table_reader_gives(files, options, block, monkeypatch):
    monkeypatch.setattr(chunks, "BLOCK", block)
    monkeypatch.setattr(chunks.blocks, "__defaults__", (None, block))
    found = read(files, **options)
    table = published_rows(files, TWO, NUMBERS)
    table["part"] = np.array(["train", "valid", "test"], object)[same.parts(found, len(table))]
    held = table["part"].to_numpy()[table["split"].to_numpy() == "train"]
    assert (table["part"] == "test").equals(table["split"] == "test") and 0.12 < (
        held == "valid"
    ).mean() < 0.28
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = from_dataframe(
            table, "country", list(TASKS), categorical=list(CATEGORIES), numerical=list(NUMBERS),
            ignore=["search_id", "split"], split_column="part", duplicates="apart", **options,
        )  # fmt: skip
    same(found, wanted)
    parts = len(list(place_of(files.parent / "cache").glob("part-*")))
    assert parts == 1 if block == 2**25 else parts > 5


def test_gaps_are_flagged_as_by_the_table_reader(files):
    def gap(line):
        cells = line.split(",")
        return ",".join([*cells[:20], "", *cells[21:]])

    edit(files / "AliExpress_NL" / "train.csv", lambda lines: [lines[0], *map(gap, lines[1:90]), *lines[90:]])
    found = read(files)
    assert (
        found[0].numericals[-1] == f"{NUMBERS[3]} (missing)"
        and "89 missing" in found[0].notes["typing"][NUMBERS[3]]
    )
    table = published_rows(files, TWO, NUMBERS)
    table["part"] = np.array(["train", "valid", "test"], object)[same.parts(found, len(table))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = from_dataframe(
            table, "country", list(TASKS), categorical=list(CATEGORIES), numerical=list(NUMBERS),
            ignore=["search_id", "split"], split_column="part", duplicates="apart",
        )  # fmt: skip
    same(found, wanted)


def test_what_is_cached_is_not_read_again_and_a_packed_file_reads_alike(files, monkeypatch):
    first = digest(read(files))
    monkeypatch.setattr(cache, "blocks", lambda *_: pytest.fail("it was read again"))
    assert digest(read(files)) == first
    monkeypatch.undo()
    for path in files.glob("*/*.csv"):
        path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert digest(read(files)) == first
    edit_gz = files / "AliExpress_ES" / "test.csv.gz"
    edit_gz.write_bytes(edit_gz.read_bytes()[:-2000])
    with pytest.raises(UserError, match="test.csv.gz is packed, and cut off or damaged"):
        read(files)


def test_a_file_that_changed_is_read_anew(files):
    read(files)
    edit(files / "AliExpress_ES" / "test.csv", lambda lines: lines[:-50])
    assert sum(len(s.test.labels) for s in read(files)) == 550


def test_a_reading_that_is_killed_goes_on_and_gives_the_same(files, tmp_path):
    """Killed by SIGKILL in a process of its own, in the middle of writing its third part."""
    whole = digest(read_aliexpress(files, tmp_path / "other", TWO))
    code = (
        "import os, signal, sys\n"
        "from pfmsm_lite.data import cache, chunks\n"
        "from pfmsm_lite.data.aliexpress import read_aliexpress\n"
        "chunks.blocks.__defaults__ = (None, 40_000)\n"
        "usual = cache.pa.parquet.write_table\n"
        "count = []\n"
        "def write(table, path, **options):\n"
        "    count.append(path)\n"
        "    usual(table, path, **options)\n"
        "    if len(count) == 3:\n"
        "        open(path, 'r+b').truncate(100)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "cache.pa.parquet.write_table = write\n"
        f"read_aliexpress({str(files)!r}, {str(tmp_path / 'cache')!r}, {TWO!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    place = place_of(tmp_path / "cache")
    there = {path.name: path.stat().st_mtime_ns for path in place.glob("part-*.parquet")}
    assert len(there) == 2 and list(place.glob("*.torn")) and not (place / "whole.json").exists()
    assert digest(read_aliexpress(files, tmp_path / "cache", TWO)) == whole
    after = {path.name: path.stat().st_mtime_ns for path in place.glob("part-*.parquet")}
    assert after.items() > there.items()  # the parts that were whole are those of before
    assert not list(place.glob("*.torn"))


def test_processes_that_share_a_cache_do_not_get_in_each_others_way(files, tmp_path):
    """Three read one folder, three another whose files have the same names; all into one cache."""
    other = shutil.copytree(files, tmp_path / "others")
    for path in other.glob("*/*.csv"):
        edit(path, lambda lines: lines[:-100])
    wanted = [
        digest(read_aliexpress(place, tmp_path / f"own-{n}", TWO)) for n, place in enumerate((files, other))
    ]
    code = (
        "import sys\n"
        "from pfmsm_lite.data import chunks, digest\n"
        "from pfmsm_lite.data.aliexpress import read_aliexpress\n"
        "chunks.BLOCK = 20_000\n"
        f"print(digest(read_aliexpress(sys.argv[1], {str(tmp_path / 'cache')!r}, {TWO!r})))\n"
    )
    places = [files, other] * 3
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE, text=True)
        for place in places
    ]
    assert [process.communicate()[0].strip() for process in started] == wanted * 3
    assert (
        len([*(tmp_path / "cache").glob("*/whole.json")]) == 8
    )  # two countries, two files each, two folders


def test_an_older_version_of_a_file_does_not_stay_in_the_cache(files):
    read(files)
    path = files / "AliExpress_NL" / "train.csv"
    before = place_of(files.parent / "cache")
    edit(path, lambda lines: lines[:-1])
    read(files)
    assert place_of(files.parent / "cache") != before


def test_a_damaged_part_is_read_again_with_all_after_it(files, monkeypatch):
    monkeypatch.setattr(chunks.blocks, "__defaults__", (None, 40_000))
    first = digest(read(files))
    place = place_of(files.parent / "cache")
    parts = sorted(place.glob("part-*"))
    parts[1].write_bytes(parts[1].read_bytes()[:500])
    assert digest(read(files)) == first
    sorted(place.glob("part-*"))[0].unlink()
    assert digest(read(files)) == first


@pytest.mark.parametrize("place", ["part", "rows"])
def test_a_disk_that_is_full_is_named_and_nothing_half_written_is_taken_for_whole(files, place, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    whole = digest(read_aliexpress(files, files.parent / "other", TWO))
    usual, count = cache.pa.parquet.write_table, []

    def write(table, path, **options):
        count.append(path)
        usual(table, path, **options)
        if len(count) == 2:
            with open(path, "r+b") as file:
                file.truncate(70)
            raise full

    with monkeypatch.context() as patch:
        if place == "part":
            patch.setattr(cache.pa.parquet, "write_table", write)
            said = "No room is left where .*AliExpress_NL-test-.* lies.*--cache-dir"
        else:
            patch.setattr(streamed._Filed, "write", lambda *_: (_ for _ in ()).throw(full))
            said = "encoded rows could not be kept in .*--most-rows"
        with pytest.raises(UserError, match=said):
            read(files)
    assert not list(files.parent.glob("cache/**/*.torn"))
    assert digest(read(files)) == whole


def test_too_little_room_is_said_before_anything_is_read(files, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(UserError, match="No room is left"):
        read(files)
    assert not list(files.parent.glob("cache/**/part-*"))


def in_cell(column, value):
    def change(line):
        cells = line.split(",")
        cells[column] = value
        return ",".join(cells)

    return change


WRONG = {
    "a cell that is no number": (
        "train",
        with_line(5, in_cell(30, "x1")),
        r"train.csv: line 5, column 'numerical_14': 'x1' is not a number",
    ),
    "an endless number": (
        "train",
        with_line(6, in_cell(30, "inf")),
        r"line 6, column 'numerical_14': 'inf' is not a number",
    ),
    "a label of 2": (
        "test",
        with_line(9, in_cell(80, "2")),
        r"test.csv: line 9, column 'click': '2' is not a label",
    ),
    "half an id": (
        "train",
        with_line(3, in_cell(1, "3.5")),
        r"line 3, column 'categorical_1': '3.5' is not an id",
    ),
    "an id of 40 bits": (
        "train",
        with_line(3, in_cell(1, str(2**40))),
        r"line 3, column 'categorical_1'.* is not an id",
    ),
    "a short line": (
        "train",
        with_line(300, lambda line: line[:90]),
        r"train.csv: line 300 has \d+ cells, and 82 are",
    ),
    "semicolons further down": (
        "train",
        with_line(400, lambda line: line.replace(",", ";")),
        "line 400 is cut by semicolon, and the header by comma",
    ),
    "tabs from the header on": (
        "test",
        lambda lines: [line.replace(",", "\t") for line in lines],
        "test.csv: line 1 is cut by tab, but AliExpress has comma",
    ),
    "another data set's file": (
        "test",
        lambda lines: ["user_id,item_id,click,follow", "1,2,0,0"],
        "test.csv is no file of AliExpress: line 1: it lacks categorical_1, .*it has 'user_id'",
    ),
    "a column too few": (
        "test",
        lambda lines: [line.rsplit(",", 1)[0] for line in lines],
        "it lacks conversion",
    ),
    "a column twice": ("test", with_line(1, lambda line: line + ",click"), "it has click twice"),
    "columns mixed up": (
        "train",
        with_line(1, lambda line: line.replace("click,conversion", "conversion,click")),
        r"train.csv: line \d+ has conversion = 1 and click = 0",
    ),
    "nothing but a header": ("test", lambda lines: lines[:1], "test.csv has a header and no rows"),
    "a web page": (
        "test",
        lambda lines: ["<html><body>404</body></html>"],
        "test.csv is a web page or a pointer",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_named_with_its_line(name, files, monkeypatch):
    monkeypatch.setattr(
        chunks.blocks, "__defaults__", (None, 40_000)
    )  # the line is right in a later block, too
    split, change, said = WRONG[name]
    edit(files / "AliExpress_NL" / f"{split}.csv", change)
    with pytest.raises(UserError, match=said):
        read(files)


def test_a_file_that_is_cut_off_is_named_with_its_last_line(files):
    path = files / "AliExpress_ES" / "train.csv"
    path.write_bytes(path.read_bytes()[:-333])
    last = len(path.read_bytes().splitlines())
    with pytest.raises(
        UserError, match=f"train.csv is cut off: its last line, {last}, has .* Fetch it again"
    ):
        read(files)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="train.csv is empty"):
        read(files)


def test_a_last_line_without_an_end_is_read_and_said(files):
    path = files / "AliExpress_ES" / "train.csv"
    assert not [w for w in read(files)[0].notes["warnings"] if "no end" in w]
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    (said,) = [w for w in read(files)[0].notes["warnings"] if "no end" in w]
    assert said.startswith(f"{path}: its last line has no end. Was the file cut off?")


def test_lines_are_counted_with_the_blank_ones(files):
    edit(files / "AliExpress_NL" / "train.csv", lambda lines: [*lines[:3], "", "", *lines[3:]])
    edit(files / "AliExpress_NL" / "train.csv", with_line(9, lambda line: line.rsplit(",", 2)[0] + ",0,1"))
    with pytest.raises(UserError, match="train.csv: line 9 has conversion = 1 and click = 0"):
        read(files)


def test_a_part_of_which_no_row_is_kept_is_no_trouble(files, monkeypatch):
    """The last part of a file may be a few rows, and --most-rows may take none of them."""
    monkeypatch.setattr(chunks, "BLOCK", 20_000)
    whole = read(files)
    few = read(files, most_rows=5, minimum_rows=1)
    assert sum(len(s.rows("test").labels) for s in few) < sum(len(s.rows("test").labels) for s in whole)


@pytest.mark.parametrize("text, said", [("", "is empty"), ("header", "has a header and no rows")])
def test_two_files_without_rows_are_no_copies(text, said, files):
    for country in ("NL", "ES"):
        path = files / f"AliExpress_{country}" / "train.csv"
        path.write_text(text and path.read_text().splitlines()[0] + "\n")
    with pytest.raises(UserError, match=said):
        read(files)


def test_a_missing_country_is_named_and_the_others_can_be_read_alone(files):
    with pytest.raises(
        UserError, match="lacks AliExpress_FR/train.csv and test.csv, AliExpress_US/.*--scenarios NL,ES"
    ):
        read_aliexpress(files, files.parent / "cache")
    (files / "AliExpress_ES" / "test.csv").unlink()
    with pytest.raises(UserError, match=r"lacks AliExpress_ES/test\.csv\. .*with an account.*--scenarios NL"):
        read(files)
    assert [s.name for s in read_aliexpress(files, files.parent / "cache", ["NL"])] == ["NL"]
    with pytest.raises(UserError, match="Unknown country of AliExpress 'NI'.*Choose one of: NL, ES"):
        read_aliexpress(files, files.parent / "cache", ["NI"])


def test_a_test_file_that_is_the_training_file_is_refused(files):
    shutil.copy(files / "AliExpress_NL" / "train.csv", files / "AliExpress_NL" / "test.csv")
    with pytest.raises(UserError, match="begin and end alike: one is a copy"):
        read(files)
    shutil.copy(files / "AliExpress_NL" / "train.csv", files / "AliExpress_ES" / "train.csv")
    (files / "AliExpress_NL" / "test.csv").unlink()
    (files / "AliExpress_NL" / "test.csv").mkdir()  # no file: said as if it were not there
    with pytest.raises(UserError, match=r"lacks AliExpress_NL/test\.csv"):
        read(files)


def test_a_file_of_another_country_that_is_there_twice_is_refused(files):
    shutil.copy(files / "AliExpress_NL" / "train.csv", files / "AliExpress_ES" / "train.csv")
    with pytest.raises(UserError, match="NL/train.csv and .*ES/train.csv begin and end alike"):
        read(files)


def test_a_test_file_without_positives_is_named_and_its_country_still_trained(files):
    def none(line):
        return line.rsplit(",", 2)[0] + ",0,0"

    edit(files / "AliExpress_NL" / "test.csv", lambda lines: [lines[0], *map(none, lines[1:])])
    found = read(files)
    said = "NL is trained, but among its 300 test rows click is always 0 and conversion is always 0: no AUC"
    assert any(said in text for text in found[0].notes["warnings"]) and list(found[0].notes["unscored"]) == [
        "NL"
    ]


def test_training_rows_without_positives_are_named(files):
    def none(line):
        return ",".join([*line.split(",")[:-2], "0", "0"])

    edit(files / "AliExpress_ES" / "train.csv", lambda lines: [lines[0], *map(none, lines[1:])])
    said = " ".join(read(files)[0].notes["warnings"])
    for word in ("training", "validation"):
        assert re.search(f"scenario ES: among its \\d+ {word} rows click is always 0 and conversion", said)
    assert "scenario NL: among" not in said


def test_a_leak_is_found_in_the_stream(files):
    for path in files.glob("*/*.csv"):
        table = pd.read_csv(path)
        table["numerical_5"] = table["click"] + np.random.default_rng(0).normal(size=len(table)) / 20
        table.to_csv(path, index=False)
    assert any("'numerical_5' alone gives 'click'" in text for text in read(files)[0].notes["warnings"])


def test_fewer_rows_are_drawn_with_the_same_chance_and_rows_keep_their_numbers(files):
    found, all_rows = read(files, most_rows=200), published_rows(files, TWO, NUMBERS)
    sizes = [len(s.rows(k).labels) for s in found for k in ("train", "valid", "test")]
    assert 550 < sum(sizes) < 1050 and "about 200 rows" in " ".join(found[0].notes["reading"])
    for s in found:
        rows = s.test.source.numpy()
        assert (all_rows["country"].to_numpy()[rows] == s.name).all()
        assert (all_rows["click"].to_numpy()[rows] == s.test.labels[:, 0].numpy()).all()
    assert digest(read(files, most_rows=200)) == digest(found)
    assert digest(read(files, most_rows=200, seed=1)) != digest(found)
    with pytest.raises(UserError, match="--most-rows is 0"):
        read(files, most_rows=0)


def test_numbers_of_rows_are_drawn_evenly_and_by_seed():
    rows = np.arange(200_000)
    one, other = drawn.drawn(rows, 0, "split"), drawn.drawn(rows, 1, "split")
    assert (
        (np.abs(np.histogram(one, 20, (0, 1))[0] - 10_000) < 500).all() and one.min() >= 0 and one.max() < 1
    )
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.01 and abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.01
    assert abs(np.corrcoef(one, drawn.drawn(rows, 0, "read"))[0, 1]) < 0.01
    assert (drawn.drawn(rows[500:], 0, "split") == one[500:]).all()


def test_the_cache_says_of_what_it_is_and_the_layout_counts(files):
    read(files)
    said = json.loads((place_of(files.parent / "cache") / "source.json").read_text())
    assert said["size"] == (files / "AliExpress_NL" / "train.csv").stat().st_size
    place = files.parent / "cache"
    fewer = LAYOUT._replace(columns={"click": "label"}, others=(*LAYOUT.columns, *LAYOUT.others))
    parts = cache.kept(files / "AliExpress_NL" / "train.csv", fewer, place, "AliExpress_NL-train")
    assert next(cache.tables(parts)).column_names == ["click"]


def test_a_cache_folder_that_is_a_file_is_refused_by_name(files):
    (files.parent / "cache").write_text("")
    with pytest.raises(UserError, match="cache.*Give another --cache-dir"):
        read(files)
