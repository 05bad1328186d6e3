"""What more than one test file asks for."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def kuairand_dir():
    """The part of KuaiRand-Pure that lies beside the repository."""
    path = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "kuairand-pure"
    if not path.is_dir():
        pytest.skip(f"no KuaiRand-Pure at {path}: unpack the publisher's archive there (Zenodo 10439422)")
    return path
