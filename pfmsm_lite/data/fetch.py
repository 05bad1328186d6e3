"""Archives of published data, fetched from their publishers: checked, unpacked, gone on with if cut."""

import contextlib
import errno
import fnmatch
import hashlib
import http.client
import json
import os
import shutil
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pfmsm_lite.data.meter import Meter
from pfmsm_lite.data.room import room
from pfmsm_lite.errors import UserError

PIECE = 2**18  # bytes that are written at a time
TRIES, PATIENCE, PAUSE = (
    5,
    60.0,
    2.0,
)  # connections without a byte more; seconds to wait for one, and between them


class Archive(NamedTuple):
    """What is fetched.

    address  of the publisher;  size  bytes, None: not known;  digest  algorithm:hex, "": not known
    known    who says so;  licence  its terms;  wanted  patterns of the files that are taken out of it
    page     for people;  name  of the file, "": as at the address
    """

    address: str
    size: int | None
    digest: str
    known: str
    licence: str
    wanted: tuple[str, ...]
    page: str
    name: str = ""

    @property
    def file(self) -> str:
        """Its name."""
        return self.name or PurePosixPath(urllib.parse.urlsplit(self.address).path).name


ARCHIVES = {
    "kuairand": Archive(
        "https://zenodo.org/records/10439422/files/KuaiRand-Pure.tar.gz", 47_432_272,
        "md5:0820331067a3784d9691136f772b35a7", "the publisher's record on Zenodo",
        "CC BY-SA 4.0: name Gao et al., CIKM 2022; what you make of it is under the same licence",
        ("log_standard_*_pure.csv", "user_features_pure.csv", "video_features_basic_pure.csv", "LICENSE*"),
        "https://zenodo.org/records/10439422",
    ),
    "movielens-1m": Archive(
        "https://files.grouplens.org/datasets/movielens/ml-1m.zip", None,
        "md5:c4d9eecfca2ab87c1945afe126590906", "the publisher's ml-1m.zip.md5, by public records",
        "GroupLens' own: research only, no passing on, no commercial use; name Harper and Konstan, 2015",
        ("ratings.dat", "users.dat", "movies.dat", "README"), "https://grouplens.org/datasets/movielens/1m/",
    ),
    "movielens-100k": Archive(
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip", 4_924_029,
        "md5:0e33842e24a9c977be4e0107933c0723", "the publisher's ml-100k.zip.md5, by public records",
        "GroupLens' own: research only, no passing on, no commercial use; name Harper and Konstan, 2015",
        ("u.data", "u.user", "u.item", "README"), "https://grouplens.org/datasets/movielens/100k/",
    ),
    "oulad": Archive(
        "https://schools.stem.open.ac.uk/cdn/files/anonymisedData.zip", 46_750_706,
        "sha256:90dda45037939953f979072fa70a809ebe07e90ec783c408762af7698a3825ec",
        "several public records of 2026 that agree; the publisher prints none",
        "CC BY 4.0: name Kuzilek, Hlosta and Zdrahal, Scientific Data 4:170171, 2017",
        ("studentInfo.csv", "studentRegistration.csv", "assessments.csv", "studentAssessment.csv"),
        "https://research.stem.open.ac.uk/ouanalyse/dataset/",
    ),
}  # fmt: skip


class Torn(Exception):
    """A connection ended before all had come."""


def fetch(archive: Archive, folder: str | Path, show: Callable[[str], None] = print) -> list[Path]:
    """Fetch an archive into a folder, check it and take out the wanted files; returns these.

    What has come stays in FILE.part, and HTTP Range goes on with it; FILE is what has the right digest.
    raises  UserError for a wrong digest, a connection that ends, a full disk, an address that is not there
    """
    folder = Path(folder)
    place, part = folder / archive.file, folder / f"{archive.file}.part"
    with room(
        f"No room is left in {folder}. Make room, or give another --to; what has come is kept, and "
        "the same command goes on from there."
    ):
        folder.mkdir(parents=True, exist_ok=True)
        if place.exists():
            show(f"{place} already exists.")
            _check(archive, place, place, show)
        else:
            _check_free(archive, folder, part)
            _load(archive, part)
            _check(archive, part, place, show)
            os.replace(part, place)
            _about(part).unlink(missing_ok=True)
        return unpack(archive, place, folder)


# ---- over the wire ----


def _about(part):
    return part.with_name(f"{part.name}.json")


def _load(archive, part):
    """Bring the part to its whole length; raises UserError where the connection keeps ending."""
    tries, meter = 0, Meter(archive.file, archive.size, "bytes")
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _connect(archive, part, meter)
            meter.done()
            return
        except (Torn, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            after = part.stat().st_size if part.exists() else 0
            tries = 0 if after > before else tries + 1
            if tries >= TRIES:
                raise UserError(
                    f"The connection to {archive.address} keeps ending: {error or type(error).__name__}. "
                    f"{after:,} bytes are kept: the same command goes on from there."
                ) from error
            time.sleep(PAUSE * tries)
        except urllib.error.URLError as error:
            raise UserError(_unreached(archive, part, error)) from error


def _unreached(archive, part, error):
    why = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else str(error.reason)
    return (
        f"{archive.address} cannot be fetched: {why}. Fetch it by hand from {archive.page}, put it at "
        f"{part.with_suffix('')}, and give the same command: it is checked and unpacked."
    )


def _connect(archive, part, meter):
    """One connection: from the first byte, or on from what is there if it is still of the same file."""
    have, asked = part.stat().st_size if part.exists() else 0, {"User-Agent": "pfmsm_lite"}
    mark = _mark(part)
    if have and (mark or archive.digest):  # else nothing would tell that it goes on with another file
        asked |= {"Range": f"bytes={have}-", **({"If-Range": mark} if mark else {})}
    try:
        answer = urllib.request.urlopen(
            urllib.request.Request(archive.address, headers=asked), timeout=PATIENCE
        )
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to send, or the file has become shorter: its digest tells
            error.close()
            if _total(error.headers.get("Content-Range"), None) == have:
                return
            part.unlink()
            raise Torn("the file at the address has changed") from error
        if error.code >= 500:
            raise Torn(f"HTTP {error.code}") from error
        raise
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionResetError | BrokenPipeError | TimeoutError):
            raise Torn(str(error.reason)) from error
        raise
    with answer:
        if answer.status == 206 and _first(answer.headers.get("Content-Range")) != have:
            part.unlink()
            raise Torn("another part came than was asked for")
        begin = have if answer.status == 206 else 0
        length = answer.headers.get("Content-Length")
        total = _total(answer.headers.get("Content-Range"), begin + int(length) if length else None)
        mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        _about(part).write_text(json.dumps({"mark": "" if mark.startswith("W/") else mark}), encoding="utf-8")
        with part.open("ab" if begin else "wb") as file:
            while piece := answer.read(PIECE):
                file.write(piece)
                meter.at(file.tell(), None, begin)
            came = file.tell()
    if total is not None and came != total:
        raise Torn(f"{came:,} of {total:,} bytes came")


def _mark(part):
    """What the server called the file of which the part is, or ""."""
    try:
        return json.loads(_about(part).read_text(encoding="utf-8"))["mark"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _first(text):
    """The first byte of a Content-Range such as "bytes 5-9/10"."""
    with contextlib.suppress(AttributeError, ValueError, IndexError):
        return int(text.split()[1].split("-")[0])
    return None


def _total(text, usual):
    """The length in a Content-Range such as "bytes 5-9/10" or "bytes */10"."""
    with contextlib.suppress(AttributeError, ValueError, IndexError):
        return int(text.rpartition("/")[2])
    return usual


# ---- on the disk ----


def _check_free(archive, folder, part):
    have = part.stat().st_size if part.exists() else 0
    if archive.size and archive.size - have > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, "no room")


def digest_of(path: Path, algorithm: str) -> str:
    """algorithm:hex of a file's bytes."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _check(archive, path, place, show):
    """Refuse another digest than is known; where none is, the first is kept and holds from then on."""
    noted = place.with_name(f"{place.name}.digest")
    wanted = archive.digest or (noted.read_text(encoding="utf-8").strip() if noted.exists() else "")
    found = digest_of(path, (wanted or "sha256:").partition(":")[0])
    if not wanted:
        noted.write_text(found + "\n", encoding="utf-8")
        show(f"No digest is published: {found} is written down in {noted.name}, and compared from now on.")
        return
    if found != wanted:
        if path != place:
            path.unlink()
            _about(path).unlink(missing_ok=True)
        said = "It is deleted: fetch it again." if path != place else "Delete it, and fetch it again."
        raise UserError(
            f"{path} is not the file that was published: its digest is {found}, and {wanted} is known "
            f"({archive.known}). {said} If the publisher has replaced it, say --digest with the new one."
        )
    show(f"{found}: as {archive.known} has it.")


def unpack(archive: Archive, place: Path, folder: Path) -> list[Path]:
    """Take the wanted files out of an archive, each by its bare name; never half of one under that name."""
    found = []
    try:
        with _opened(place) as members:
            for name, stream in members:
                bare = PurePosixPath(name).name
                if not any(fnmatch.fnmatchcase(bare, pattern) for pattern in archive.wanted):
                    continue
                torn = folder / f"{bare}.{os.getpid()}.torn"
                try:
                    with stream() as source, torn.open("wb") as file:
                        shutil.copyfileobj(source, file, PIECE)
                    os.replace(torn, folder / bare)
                finally:
                    torn.unlink(missing_ok=True)
                found.append(folder / bare)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(f"{place} cannot be unpacked: {error}. Delete it, and fetch it again.") from error
    lacking = [
        p for p in archive.wanted if "LICENSE" not in p and not fnmatch.filter([f.name for f in found], p)
    ]
    if lacking:
        raise UserError(f"{place} holds no {', '.join(lacking)}. Is it another archive?")
    return found


@contextlib.contextmanager
def _opened(place):
    """(name, opener) of each file in an archive."""
    if place.name.endswith(".zip"):
        with zipfile.ZipFile(place) as packed:
            yield ((m.filename, lambda m=m: packed.open(m)) for m in packed.infolist() if not m.is_dir())
    else:
        with tarfile.open(place) as packed:
            yield ((m.name, lambda m=m: packed.extractfile(m)) for m in packed if m.isfile())
