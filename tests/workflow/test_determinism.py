"""Two runs of the same configuration give the same tables."""

import hashlib

import pytest

from matlas.tables import table_info
from tests.workflow.conftest import fresh_project

pytestmark = pytest.mark.workflow


def test_two_full_runs_give_identical_tables_and_figures(repository, tmp_path):
    found = []
    for name in ("first", "second"):
        project = fresh_project(repository, tmp_path / name)
        run = project.snakemake()
        assert run.returncode == 0, run.stdout + run.stderr
        tables = {p.relative_to(project.results): p for p in project.results.rglob("*.parquet")}
        figures = {p.relative_to(project.results): p for p in (project.results / "figures").rglob("*.*")}
        hashes = {str(k): table_info(p).content_hash for k, p in tables.items()}
        hashes |= {str(k): hashlib.sha256(p.read_bytes()).hexdigest() for k, p in figures.items()}
        found.append(hashes)
    assert len(found[0]) > 40
    assert found[0] == found[1]
