"""The workflow on a real SLURM: the same tables as on this machine, GPUs for jobs that compute with networks alone, and
a clear end for a job that fails, outgrows its memory, is cancelled or loses its node."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from matlas.tables import table_info
from tests.cluster.conftest import ClusterProject, without_results
from tests.cluster.slurm import NODES, Cluster
from tests.workflow.conftest import fresh_crystals

pytestmark = pytest.mark.workflow

MINUTES = 60
FEATURES = "results/features/estm/magpie.parquet"
SPACE = "results/representations/estm/magpie_temperature/pca10.parquet"
CLUSTERS = "results/clusters/estm/magpie_temperature/pca10/gmm.parquet"


def tables(results: Path) -> dict[str, str]:
    """Content hash of each table."""
    return {p.relative_to(results).as_posix(): table_info(p).content_hash for p in sorted(results.rglob("*.parquet"))}


def gpu_rules(repository: Path) -> set[str]:
    """Rules that carry a GPU, as they are written."""
    text = "".join(p.read_text(encoding="utf-8") for p in (repository / "rules").glob("*.smk"))
    rules = r"^(?:rule |use rule \w+ as )(\w+)(?: with)?:\n((?:(?!^(?:use )?rule ).*\n)*)"
    return {found[1] for found in re.finditer(rules, text, re.M) if "gpu=" in found[2]}


@pytest.fixture(scope="session")
def finished(repository, tmp_path_factory, cluster, plugins):
    """The demo on smaller samples and without its images (whose 50 jobs would take as long as all the others), run
    through the profile; and the jobs as SLURM had them."""
    folder = tmp_path_factory.mktemp("demo") / "project"
    project = ClusterProject(fresh_crystals(repository, folder).folder, plugins)
    with project.configuration("small") as settings:
        settings["studies"].append("estm_families")
        settings["runtime"]["repetitions"] = 2
    before = {job["JobId"] for job in cluster.jobs()}
    run = project.snakemake(timeout=20 * MINUTES)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-5000:]
    return project, [job for job in cluster.jobs() if job["JobId"] not in before]


@pytest.mark.timeout(30 * MINUTES)  # of its fixture too
def test_the_demo_gives_the_same_tables_as_on_one_machine(finished, tmp_path):
    project, _ = finished
    local = without_results(project, tmp_path / "local")
    run = local.snakemake(timeout=20 * MINUTES)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-5000:]
    there, here = tables(project.results), tables(local.results)
    assert len(here) > 90
    assert there == here


def test_jobs_that_compute_with_networks_ask_for_a_gpu_and_no_others_do(finished, repository):
    _, jobs = finished
    asked = {job["Comment"].removeprefix("rule_").split("_wildcards_")[0]: set() for job in jobs}
    for job in jobs:
        rule = job["Comment"].removeprefix("rule_").split("_wildcards_")[0]
        asked[rule].add("gpu:1" in job.get("TresPerJob", ""))
    tagged = gpu_rules(repository)
    assert {"train_autoencoder", "encode_folds", "embed_images", "train_unmixing"} <= tagged
    without = {"embed_images", "train_unmixing"}  # the run has no images and no spectra of pixels
    assert {rule for rule, found in asked.items() if found == {True}} == tagged - without
    assert all(found == {False} for rule, found in asked.items() if rule not in tagged)
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}


def test_a_job_that_fails_says_why_and_the_run_goes_on_once_it_is_mended(project):
    right = (project.folder / "config" / "methods.yaml").read_text()
    with project.configuration("methods") as methods:
        methods["representations"]["pca10"]["n_components"] = 5000
    run = project.snakemake(SPACE, "--retries", "0")
    said = last_words(run.stderr)
    assert run.returncode != 0
    assert "project_view: the number of components does not fit the features" in said and "found 5000" in said
    assert "run the same command again" in said and "SLURM" not in said
    (project.folder / "config" / "methods.yaml").write_text(right)
    assert project.snakemake(SPACE, "--retries", "0").returncode == 0
    assert (project.folder / SPACE).is_file()


def test_a_job_that_outgrows_its_memory_is_named_with_what_to_raise(project):
    run = project.snakemake(SPACE, "--set-resources", "project_view:mem_mb=250", "--retries", "0")
    said = last_words(run.stderr)
    assert run.returncode != 0
    assert "project_view" in said and "memory" in said and "--set-resources RULE:mem_mb=" in said
    assert not (project.folder / SPACE).exists()
    assert project.snakemake(SPACE, "--retries", "0").returncode == 0


def test_a_cancelled_job_is_named_and_the_run_goes_on(project, cluster):
    with running(project, CLUSTERS, "--retries", "0") as process:
        job = awaited(cluster, "cluster_representation", process)
        subprocess.run(["scancel", job["JobId"]], check=True)
        _, said = process.communicate(timeout=5 * MINUTES)
    said = last_words(said)
    assert process.returncode != 0
    assert "cluster_representation" in said and "CANCELLED" in said and f"SLURM job {job['JobId']}" in said
    assert project.snakemake(CLUSTERS, "--retries", "0").returncode == 0


def test_a_job_whose_node_dies_is_done_on_another(project, cluster):
    (project.folder / FEATURES).unlink()
    with running(project, FEATURES) as process:
        job = awaited(cluster, "featurize_compositions", process)
        dead = job["NodeList"]
        try:
            cluster.kill(dead)
            out, said = process.communicate(timeout=8 * MINUTES)
        finally:
            cluster.start(dead)
    assert process.returncode == 0, out + said
    assert "NODE_FAIL" in said
    again = [j for j in cluster.jobs() if j["Comment"] == job["Comment"] and int(j["JobId"]) > int(job["JobId"])]
    assert [j["NodeList"] for j in again if j["JobState"] == "COMPLETED"] == [n for n in NODES if n != dead]
    cluster.await_nodes(dict.fromkeys(NODES, "idle"))


def last_words(said: str) -> str:
    """What stands below Snakemake's own messages."""
    return said[said.index("\nmatlas: ") :]


@contextmanager
def running(project: ClusterProject, *arguments: str) -> Iterator[subprocess.Popen]:
    """Snakemake, while a test does something to the cluster."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(project.command(*arguments), cwd=project.folder, env=project.environment(), **pipes)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()


def awaited(cluster: Cluster, name: str, process: subprocess.Popen) -> dict:
    """The running job whose comment holds a name."""
    while process.poll() is None:
        for job in cluster.jobs():
            if job["JobState"] == "RUNNING" and name in job["Comment"]:
                return job
        time.sleep(0.3)
    raise AssertionError(f"no job of {name} ran: {process.communicate()}")
