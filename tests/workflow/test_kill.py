"""A run that is cut off, in whatever way, is completed by the same command, and never shows half a file."""

import os
import random
import signal
import subprocess
import time

import pyarrow.parquet as pq
import pytest

from matlas.tables import table_info
from tests.workflow.conftest import Project, fresh_project

pytestmark = pytest.mark.workflow

KILLS = int(os.environ.get("MATLAS_SOAK", "3"))


def start(project: Project) -> subprocess.Popen:
    """Snakemake in a session of its own, so that signals reach it and not this test. A test run that was itself started
    in the background ignores SIGINT, and so would its children."""
    return subprocess.Popen(
        project.command(), cwd=project.folder, env=project.environment(), start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def wait_for_work(project: Project, jobs: int, seconds: float) -> None:
    """Until that many jobs have started (their logs are there), then `seconds` more."""
    limit = time.monotonic() + 120
    while len(list((project.folder / "logs").rglob("*.log"))) < jobs and time.monotonic() < limit:
        time.sleep(0.02)
    time.sleep(seconds)


def visible_files_are_whole(project: Project) -> int:
    """Every file under a final name can be read to its end; returns how many there are."""
    tables = [p for p in project.results.rglob("*.parquet") if not p.name.startswith(".")]
    for path in tables:
        assert pq.read_table(path).num_rows == table_info(path).rows
    for figure in (p for p in project.results.rglob("*.svg") if not p.name.startswith(".")):
        assert figure.read_text(encoding="utf-8").rstrip().endswith("</svg>")
    return len(tables)


def content(project: Project) -> dict[str, str]:
    tables = (p for p in project.results.rglob("*.parquet") if not p.name.startswith("."))
    return {str(p.relative_to(project.results)): table_info(p).content_hash for p in tables}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_after_ctrl_c_or_sigterm_the_same_command_completes(how, repository, tmp_path, built):
    project = fresh_project(repository, tmp_path / "project")
    process = start(project)
    wait_for_work(project, jobs=6, seconds=0.5)
    if how is signal.SIGINT:
        os.killpg(process.pid, how)  # a terminal sends Ctrl-C to the whole foreground group
    else:
        process.send_signal(how)
    assert process.wait(timeout=120) != 0
    visible_files_are_whole(project)
    run = project.snakemake()
    assert run.returncode == 0, run.stdout + run.stderr
    assert content(project) == content(built)


@pytest.mark.parametrize("attempt", range(KILLS))
def test_after_kill_9_at_a_random_moment_unlock_and_the_same_command_complete(attempt, repository, tmp_path, built):
    chance = random.Random(attempt)
    project = fresh_project(repository, tmp_path / "project")
    process = start(project)
    wait_for_work(project, jobs=chance.randint(1, 14), seconds=chance.uniform(0.0, 1.5))
    assert process.poll() is None, "the run was over before it could be killed"
    process.kill()  # Snakemake alone: its jobs live on as orphans and may still finish
    process.wait()
    visible_files_are_whole(project)
    unlocked = project.snakemake("--unlock")
    assert unlocked.returncode == 0, unlocked.stdout + unlocked.stderr
    run = project.snakemake()
    assert run.returncode == 0, run.stdout + run.stderr
    visible_files_are_whole(project)
    assert content(project) == content(built)
