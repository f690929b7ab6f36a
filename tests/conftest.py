"""What every test may use: the repository, the mirror of real sources and the skip where it is absent; and how workers
share the tests."""

import os
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

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


class ModulesTogether(LoadScopeScheduling):
    """The tests of a module that runs the workflow share what they build: one worker takes them all. All others go one
    by one. (pytest-xdist's own marks for groups do nothing under pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.split("::")[0]
        return module if module.startswith(("tests/workflow/", "tests/cluster/")) else nodeid


def pytest_xdist_make_scheduler(config, log):
    return ModulesTogether(config, log)
