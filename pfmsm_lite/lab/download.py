"""`download`: published data from their publishers, licence and size said first; or where to ask for them."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from pfmsm_lite.data import aliccp, aliexpress, tenrec
from pfmsm_lite.data.fetch import ARCHIVES, Archive, fetch
from pfmsm_lite.errors import UserError, choose
from pfmsm_lite.lab import options as given

EDITIONS = ("1m", "100k")
# data whose publishers want an account or a form: where to go, and where the files belong
BY_HAND = {
    "aliexpress": (
        aliexpress.SOURCE, "an account",
        "DIR/AliExpress_NL/train.csv and test.csv, likewise _ES, _FR and _US, in the columns search_id, "
        "categorical_1 to 16, numerical_1 to 63, click, conversion (as MTReclib prepares them)",
    ),
    "tenrec": (
        tenrec.SOURCE, "an application form and its password",
        "DIR/QK-video.csv, QB-video.csv, QK-article.csv, QB-article.csv, or some of them",
    ),
    "aliccp": (
        aliccp.SOURCE, "an account",
        "DIR/ali_ccp_train.csv, ali_ccp_val.csv and ali_ccp_test.csv (as torch-rechub prepares them) or "
        "ctr_cvr.train, .dev and .test (as AITM does)",
    ),
}  # fmt: skip
NAMES = ("kuairand", "movielens", "oulad", *BY_HAND)


def add(commands: Any) -> None:
    """The command `download` and its options."""
    command = commands.add_parser(
        "download",
        help="fetch published data from their publisher, or say where to ask for them",
        description="Say licence and size, then fetch kuairand, movielens or oulad from the publisher, check "
        "the digest and unpack what the reader wants. A download that was cut goes on where it ended. For "
        "aliexpress, tenrec and aliccp, which take an account, say where to go and where to put the files.",
        formatter_class=given.Lines,
    )
    command.add_argument("name", metavar="NAME", help=f"one of {', '.join(NAMES)}")
    command.add_argument("--to", metavar="DIR", help="folder for the files (default: data/NAME)")
    command.add_argument("--edition", choices=EDITIONS, help="of MovieLens (default 1m)")
    command.add_argument(
        "--mirror", metavar="URL", help="another address of the same file; its digest must fit"
    )
    command.add_argument("--digest", metavar="D", help="md5:… or sha256:… in place of the one that is known")

    def do(options: Namespace) -> int:
        download(options)
        return 0

    command.do = do


def download(options: Namespace, show: Any = print) -> list[Path]:
    """Fetch what the options name, or say where it is; the files that were unpacked."""
    name = choose("data to download", options.name, NAMES)
    if name in BY_HAND:
        where, what, files = BY_HAND[name]
        show(f"{name} is at {where}; its publisher wants {what}, so it is not fetched from here.")
        show(f"Put the files at {files}.")
        show(f"Then: python -m pfmsm_lite run --data {name} --data-dir DIR")
        return []
    if options.edition and name != "movielens":
        raise UserError("--edition is of movielens. Leave it out.")
    archive = _asked(
        ARCHIVES[f"movielens-{options.edition or '1m'}" if name == "movielens" else name], options
    )
    folder = Path(options.to or Path("data") / name)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder. Give another --to.")
    size = f"{archive.size:,} bytes" if archive.size else "of a size that only its server knows"
    show(f"{archive.file} from {archive.address}, {size}, into {folder}")
    show(f"Licence: {archive.licence}. More: {archive.page}")
    found = fetch(archive, folder, show)
    show(f"Unpacked: {', '.join(path.name for path in found)}")
    show(f"Then: python -m pfmsm_lite run --data {name} --data-dir {folder}")
    return found


def _asked(archive: Archive, options: Namespace) -> Archive:
    """The archive at another address, or with another digest, where that was asked for."""
    if options.mirror:
        if not options.mirror.startswith(("http://", "https://")):
            raise UserError(f"--mirror {options.mirror} is no address: it begins with https://.")
        archive = archive._replace(address=options.mirror, name=archive.file)
    if options.digest:
        kind, _, hexes = options.digest.lower().partition(":")
        if (
            kind not in ("md5", "sha256")
            or len(hexes) != {"md5": 32, "sha256": 64}[kind]
            or set(hexes) - set("0123456789abcdef")
        ):
            raise UserError(f"--digest {options.digest}: it takes md5: or sha256: and the hex digits.")
        archive = archive._replace(digest=f"{kind}:{hexes}", size=None, known="--digest")
    return archive
