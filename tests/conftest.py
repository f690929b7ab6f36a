"""What every test may use: the repository, the mirror of real sources, and the skip where it is absent."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of real sources; the test is skipped where MATLAS_MIRROR names none."""
    folder = os.environ.get("MATLAS_MIRROR", "")
    if not Path(folder).is_dir() or not folder:
        pytest.skip("needs the mirror of real sources (set MATLAS_MIRROR to its folder)")
    return Path(folder)
