"""The project on a SLURM of its own; skipped where there can be none."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.slurm import Cluster, NoSlurm, slurm
from tests.workflow.conftest import SMALL, Project, fresh_project


@dataclass(frozen=True)
class ClusterProject(Project):
    """A copy of the project whose jobs go to the cluster, by the profile that users have."""

    plugins: Path

    def environment(self) -> dict:
        inherited = super().environment()
        return {**inherited, "PYTHONPATH": f"{inherited['PYTHONPATH']}:{self.plugins}"}

    def command(self, *arguments: str) -> list[str]:
        # there is no accounting database here, and nobody to share a queue with
        here = "--slurm-no-account --slurm-status-command squeue --slurm-init-seconds-before-status-checks 7"
        here += " --seconds-between-status-checks 2 --latency-wait 5"
        profile = ["--workflow-profile", "profiles/slurm", *here.split()]
        return [sys.executable, "-m", "snakemake", *profile, *arguments, "--configfile", "config/small.yaml"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("slurm")
    try:
        with slurm(folder / "cluster") as running:
            yield running
    except NoSlurm as reason:
        pytest.skip(f"no SLURM can be started here: {reason}")


@pytest.fixture(scope="session")
def plugins(repository, tmp_path_factory) -> Path:
    """SLURM's executor plugin, apart from the environment: other tests have no controller for it to ask."""
    folder = tmp_path_factory.mktemp("plugins")
    pinned = repository / "requirements-slurm.lock"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), "-r", str(pinned)]
    subprocess.run(pip, check=True, timeout=300)
    return folder


@pytest.fixture(scope="session")
def begun(repository, tmp_path_factory) -> Project:
    """The study of ESTM on a small sample, done on this machine as far as its features."""
    project = fresh_project(repository, tmp_path_factory.mktemp("begun") / "project", SMALL)
    run = project.snakemake("--until", "featurize_compositions")
    assert run.returncode == 0, run.stdout + run.stderr
    return project


@pytest.fixture
def project(begun, tmp_path, cluster, plugins) -> ClusterProject:
    """A copy of it, which goes on on the cluster."""
    return ClusterProject(begun.copy_to(tmp_path / "project").folder, plugins)


def without_results(project: Project, folder: Path) -> Project:
    """The same project in another folder, with nothing done."""
    ignored = shutil.ignore_patterns("results", "logs", ".snakemake")
    shutil.copytree(project.folder, folder, ignore=ignored)
    return Project(folder)
