"""Archives over HTTP on loopback: with Range and without, cut, wrong, gone; nothing half-written is taken."""

import errno
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from archive_server import Served, serving

from pfmsm_lite.data import fetch as fetching
from pfmsm_lite.data.fetch import ARCHIVES, Archive, fetch
from pfmsm_lite.errors import UserError
from pfmsm_lite.lab.cli import main
from pfmsm_lite.lab.download import BY_HAND, NAMES

NOISE = np.random.default_rng(0).bytes(900_000)


def packed(files, kind="zip"):
    """An archive of {name: bytes} as bytes."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, content in files.items():
                about = tarfile.TarInfo(name)
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
    return out.getvalue()


WHOLE = packed({"ml/u.data": NOISE, "ml/more.csv": b"x", "../../evil.data": b"gone"})


def of(address, content=WHOLE, digest="", **changes):
    """What is asked for: `content` at an address; digest None: not known."""
    right = f"sha256:{hashlib.sha256(content).hexdigest()}"
    digest = right if digest == "" else digest or ""
    return Archive(address, len(content), digest, "this test", "none", ("u.data",), "http://page")._replace(
        **changes
    )


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(fetching, "PAUSE", 0.0)


def left(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_file_is_fetched_checked_and_unpacked_by_bare_names(tmp_path):
    with serving(Served(WHOLE)) as address:
        found = fetch(of(address), tmp_path / "to", lambda text: None)
        assert [path.read_bytes() for path in found] == [NOISE] and left(tmp_path / "to") == [
            "data.zip",
            "u.data",
        ]
        assert left(tmp_path) == ["to"]
    assert fetch(of(address), tmp_path / "to", lambda text: None) == found  # with no server: it is there


@pytest.mark.parametrize(("mark", "digest"), [('"1"', ""), (None, ""), ('"1"', None)])
def test_a_connection_that_is_cut_is_gone_on_with_by_range(mark, digest, tmp_path):
    served = Served(WHOLE, mark=mark, cuts=[100_000, 0, 300_000])
    with serving(served) as address:
        fetch(of(address, digest=digest), tmp_path, lambda text: None)
    assert served.asked == [None, "bytes=100000-", "bytes=100000-", "bytes=400000-"]
    assert (tmp_path / "u.data").read_bytes() == NOISE and not list(tmp_path.glob("*.part*"))


def test_without_range_it_begins_anew_and_ends_right(tmp_path):
    served = Served(WHOLE, ranges=False, cuts=[100_000, 500_000])
    with serving(served) as address:
        fetch(of(address), tmp_path, lambda text: None)
    assert len(served.asked) == 3 and (tmp_path / "u.data").read_bytes() == NOISE


def test_a_file_that_changed_in_between_is_fetched_anew(tmp_path):
    other = packed({"u.data": NOISE[::-1]})
    first, then = Served(WHOLE, cuts=[200_000] + [0] * 9), Served(other, mark='"2"')
    with serving(first) as address, pytest.raises(UserError, match="keeps ending.*200,000 bytes are kept"):
        fetch(of(address), tmp_path, lambda text: None)
    with serving(then) as address:
        fetch(of(address, other), tmp_path, lambda text: None)
    assert then.asked == ["bytes=200000-"] and (tmp_path / "u.data").read_bytes() == NOISE[::-1]


def test_a_wrong_digest_is_refused_and_nothing_of_it_stays(tmp_path):
    with serving(Served(WHOLE[:-1] + b"x")) as address:
        with pytest.raises(
            UserError, match="its digest is sha256:.*and sha256:.* is known .this test.. It is deleted"
        ):
            fetch(of(address), tmp_path, lambda text: None)
    assert left(tmp_path) == []
    (tmp_path / "data.zip").write_bytes(b"put there by hand")
    with pytest.raises(UserError, match="Delete it, and fetch it again"):
        fetch(of(address), tmp_path, lambda text: None)
    assert left(tmp_path) == ["data.zip"]  # a person's own file is left to them


def test_a_digest_that_nobody_publishes_is_written_down_and_holds_from_then_on(tmp_path):
    said = []
    with serving(Served(WHOLE)) as address:
        fetch(of(address, digest=None), tmp_path, said.append)
        assert "No digest is published: sha256:" in said[0]
        (tmp_path / "data.zip").unlink()
        fetch(of(address, digest=None), tmp_path, said.append)
        (tmp_path / "data.zip").unlink()
    with serving(Served(WHOLE + b"more")) as address, pytest.raises(UserError, match="is not the file"):
        fetch(of(address, digest=None, size=None), tmp_path, said.append)


def test_a_download_that_is_killed_goes_on_and_what_was_whole_needs_only_its_name(tmp_path):
    served = Served(WHOLE, cuts=[400_000])
    code = (
        "import os, signal, sys\n"
        "from pfmsm_lite.data import fetch as f\n"
        "f.time.sleep = lambda seconds: os.kill(os.getpid(), signal.SIGKILL)\n"  # where it would try again
        "f.fetch(f.Archive(sys.argv[1], None, sys.argv[2], 'x', 'x', ('u.data',), 'x'), sys.argv[3])\n"
    )
    with serving(served) as address:
        words = [sys.executable, "-c", code, address, of(address).digest, str(tmp_path)]
        assert subprocess.run(words, capture_output=True).returncode == -signal.SIGKILL
        assert left(tmp_path) == ["data.zip.part", "data.zip.part.json"]
        assert (tmp_path / "data.zip.part").stat().st_size == 400_000
        fetch(of(address), tmp_path, lambda text: None)
        assert served.asked == [None, "bytes=400000-"]
        os.replace(tmp_path / "data.zip", tmp_path / "data.zip.part")  # killed before it got its name
        fetch(of(address), tmp_path, lambda text: None)
        assert served.asked[2:] == [f"bytes={len(WHOLE)}-"] and (tmp_path / "data.zip").exists()
        (tmp_path / "data.zip").rename(tmp_path / "data.zip.part")
        with (tmp_path / "data.zip.part").open("ab") as file:
            file.write(b"too much")
        fetch(of(address), tmp_path, lambda text: None)
        assert (tmp_path / "data.zip").read_bytes() == WHOLE


@pytest.mark.parametrize("where", ["part", "unpacked", "before"])
def test_a_full_disk_is_named_and_what_came_is_kept(where, tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Full(io.FileIO):
        def write(self, piece):
            if self.tell() > 300_000:
                raise full
            return super().write(piece)

    def copy(source, file, piece):
        file.write(b"half")
        raise full

    usual = fetching.Path.open
    with serving(Served(WHOLE)) as address, monkeypatch.context() as patch:
        if where == "part":

            def opened(self, mode="r", **options):
                full = str(self).endswith(".part") and mode in ("wb", "ab")
                return Full(self, mode) if full else usual(self, mode, **options)

            patch.setattr(fetching.Path, "open", opened)
        elif where == "unpacked":
            patch.setattr(fetching.shutil, "copyfileobj", copy)
        else:
            patch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9, 10))
        with pytest.raises(UserError, match="No room is left in .*another --to.*goes on from there"):
            fetch(of(address), tmp_path, lambda text: None)
        assert not (tmp_path / "u.data").exists() and not list(tmp_path.glob("*.torn"))
    with serving(served := Served(WHOLE)) as address:
        fetch(of(address), tmp_path, lambda text: None)
    assert (tmp_path / "u.data").read_bytes() == NOISE
    assert [bool(asked) for asked in served.asked] == {"part": [True], "unpacked": [], "before": [False]}[
        where
    ]


def test_a_busy_server_is_tried_again_and_one_that_has_no_file_is_named(tmp_path):
    with serving(served := Served(WHOLE, busy=2)) as address:
        fetch(of(address), tmp_path / "a", lambda text: None)
    assert len(served.asked) == 3
    with serving(Served(WHOLE, code=404)) as address:
        with pytest.raises(
            UserError, match="cannot be fetched: HTTP 404. Fetch it by hand from http://page, put it at"
        ):
            fetch(of(address), tmp_path / "b", lambda text: None)
    with pytest.raises(UserError, match="cannot be fetched: .*refused.*by hand"):  # nobody is there any more
        fetch(of(address), tmp_path / "b", lambda text: None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK but no archive", "cannot be unpacked.*Delete it"),
        (packed({"other.csv": b"1"}), "holds no u.data. Is it another archive"),
    ],
)
def test_an_archive_that_is_none_or_of_other_files_is_named(content, said, tmp_path):
    with serving(Served(content)) as address, pytest.raises(UserError, match=said):
        fetch(of(address, content), tmp_path, lambda text: None)


# ---- the command ----


def test_licence_and_size_are_said_before_anything_is_asked_for(tmp_path, capsys, monkeypatch):
    content = packed(
        {f"OULAD/{name}": b"a,b\n1,2\n" for name in ARCHIVES["oulad"].wanted} | {"x/studentVle.csv": b""}
    )
    monkeypatch.chdir(tmp_path)
    with serving(served := Served(content)) as address:
        digest = f"md5:{hashlib.md5(content).hexdigest()}"
        assert main(["download", "oulad", "--mirror", address, "--digest", digest]) == 0
        said = capsys.readouterr().out
        assert left(tmp_path / "data" / "oulad") == sorted([*ARCHIVES["oulad"].wanted, "anonymisedData.zip"])
        assert (
            said.index("Licence: CC BY 4.0") < said.index("Unpacked: ")
            and "run --data oulad --data-dir" in said
        )
        assert main(["download", "oulad", "--mirror", address, "--to", "else"]) == 2
        refused = " ".join(capsys.readouterr().err.split())
        assert (
            "is not the file that was published" in refused
            and "90dda450" in refused
            and left(tmp_path / "else") == []
        )
    assert len(served.asked) == 2


def test_a_tar_of_kuairand_is_unpacked_into_what_its_reader_wants(tmp_path):
    names = ("log_standard_4_08_to_4_21_pure.csv", "user_features_pure.csv", "video_features_basic_pure.csv")
    content = packed({f"KuaiRand-Pure/data/{name}": b"1" for name in (*names, "log_random_4_22.csv")}, "tar")
    with serving(Served(content)) as address:
        archive = of(address, content)._replace(
            wanted=ARCHIVES["kuairand"].wanted, name="KuaiRand-Pure.tar.gz"
        )
        assert {path.name for path in fetch(archive, tmp_path, lambda text: None)} == set(names)


@pytest.mark.parametrize("name", BY_HAND)
def test_where_an_account_is_wanted_it_says_where_to_go_and_where_files_belong(
    name, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["download", name]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3 and "https://" in said[0] and "DIR/" in said[1] and f"--data {name}" in said[2]
    assert left(tmp_path) == []


def test_wrong_options_of_download_are_refused(capsys):
    for words, said in {
        "ouland": "Unknown data to download 'ouland'. Did you mean 'oulad'",
        "oulad --edition 1m": "--edition is of movielens",
        "oulad --mirror ftp://x": "--mirror ftp://x is no address",
        "oulad --digest md5:12": "--digest md5:12: it takes md5: or sha256:",
    }.items():
        assert main(["download", *words.split()]) == 2
        assert said in " ".join(capsys.readouterr().err.split())


def test_the_table_of_archives_is_complete():
    assert set(NAMES) == {"kuairand", "movielens", "oulad", "aliexpress", "tenrec", "aliccp"}
    for archive in ARCHIVES.values():
        kind, _, digits = archive.digest.partition(":")
        assert re.fullmatch("[0-9a-f]+", digits) and len(digits) == {"md5": 32, "sha256": 64}[kind]
        assert (
            archive.address.startswith("https://") and archive.licence and archive.page.startswith("https://")
        )
