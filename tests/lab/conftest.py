"""What several of these files ask for."""

import pytest
from running import frame


@pytest.fixture
def csv(tmp_path):
    """A table of one's own, which a test may change."""
    path = tmp_path / "my.csv"
    frame().to_csv(path, index=False)
    return path
