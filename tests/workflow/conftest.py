"""A copy of the project that a test may edit, built once on a small sample."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

SMALL = {
    "sample_sources": {"estm": {"generator": "thermoelectrics", "rows": 300, "seed": 0}},
    "studies": ["estm_families"],
}
SMALL_IMAGES = {
    "sample_sources": {
        "neu_det": {"generator": "micrographs", "rows": 96, "seed": 0},
        "imagenet_resnet18_pq": {"generator": "quantised_resnet18", "seed": 0},
    },
    "skip_sources": ["torchvision_resnet18"],
    "studies": ["neu_det_defects"],
}
SMALL_CRYSTALS = {
    "sample_sources": {
        "materials_project": {"generator": "crystals", "rows": 700, "seed": 0},
        "estm": {"generator": "thermoelectrics", "rows": 900, "seed": 0},
    },
    "studies": ["mp_autoencoder", "mp_transfer_estm"],
    "runtime": {"shards": 2, "blas_threads": 1},
}
PARTS = ("Snakefile", "rules", "workflow_scripts", "matlas", "schemas", "config", "profiles", "requirements.lock")


@dataclass(frozen=True)
class Project:
    """A copy of the repository in `folder`; `snakemake` runs there on the small sample."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def environment(self) -> dict:
        inherited = {k: v for k, v in os.environ.items() if k != "MATLAS_MIRROR"}
        path = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}"
        return {**inherited, "PATH": path, "PYTHONPATH": str(self.folder)}

    def command(self, *arguments: str) -> list[str]:
        small = ("--configfile", "config/small.yaml")
        return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, *small]

    def snakemake(self, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment(), capture_output=True, text=True,
            timeout=timeout,
        )  # fmt: skip

    def planned(self, *arguments: str) -> dict[str, int]:
        """What a dry run would do: jobs by rule; empty when there is nothing to be done."""
        run = self.snakemake("--dry-run", *arguments)
        assert run.returncode == 0, run.stdout + run.stderr
        text = run.stdout + run.stderr
        if "Nothing to be done" in text:
            return {}
        table = re.search(r"Job stats:\njob +count\n-+ +-+\n(.*?)\ntotal", text, re.S)
        assert table, text
        return {rule: int(count) for rule, count in (line.split() for line in table[1].splitlines())}

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} does not hold {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    @contextmanager
    def configuration(self, name: str) -> Iterator[dict]:
        """The content of config/<name>.yaml, written back with what was changed."""
        path = self.folder / "config" / f"{name}.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        yield content
        path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def copy_to(self, folder: Path) -> "Project":
        subprocess.run(["cp", "-a", str(self.folder), str(folder)], check=True)
        return Project(folder)


def fresh_project(repository: Path, folder: Path, settings: dict = SMALL) -> Project:
    """The project without results, with fewer cluster numbers and reruns so that a run takes seconds."""
    folder.mkdir(parents=True)
    for part in PARTS:
        source = repository / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    (folder / "config" / "small.yaml").write_text(yaml.safe_dump(settings))
    methods = yaml.safe_load((folder / "config" / "methods.yaml").read_text())
    for method in methods["clusterings"].values():
        fewer = {"n_init": 2, "k": [2, 3, 4, 6, 8] if len(method.get("k", [])) > 1 else method.get("k")}
        method |= {key: value for key, value in fewer.items() if key in method}
        if "stability" in method:
            method["stability"] |= {"seeds": 2, **({"bootstraps": 2} if "bootstraps" in method["stability"] else {})}
    for method in methods["inspections"].values():
        method |= {"k": 12, "outliers": 6, "frames": 20, "seeds": 2, "n_init": 1}
    (folder / "config" / "methods.yaml").write_text(yaml.safe_dump(methods))
    return Project(folder)


@pytest.fixture(scope="session")
def built(repository, tmp_path_factory) -> Project:
    """A finished run on the small sample. Tests must not change it: they take `project`."""
    project = fresh_project(repository, tmp_path_factory.mktemp("built") / "project")
    run = project.snakemake()
    assert run.returncode == 0, run.stdout + run.stderr
    return project


@pytest.fixture(scope="session")
def built_images(repository, tmp_path_factory) -> Project:
    """A finished run of the micrograph study on a small sample. Tests must not change it."""
    project = fresh_project(repository, tmp_path_factory.mktemp("images") / "project", SMALL_IMAGES)
    run = project.snakemake(timeout=900)
    assert run.returncode == 0, run.stdout + run.stderr
    return project


def fresh_crystals(repository: Path, folder: Path) -> Project:
    """The project with the studies of crystals, all that they do made smaller."""
    project = fresh_project(repository, folder, SMALL_CRYSTALS)
    with project.configuration("methods") as methods:
        methods["splits"]["each_family"]["least"] = 100
        methods["splits"]["by_system"]["test"] = 0.3  # else too few pairs of polymorphs to audit
        for method in (*methods["representations"].values(), *methods["heads"].values()):
            fewer = {"epochs": 5, "max_iter": 10}
            method |= {key: value for key, value in fewer.items() if key in method}
    with project.configuration("views") as views:
        views["crystal_100"]["n_features"] = 40
    with project.configuration("studies/mp_autoencoder") as study:
        study["maps"] = [use for use in study["maps"] if "tsne" in use["name"]]  # UMAP takes a minute to compile
        study["figures"] = [figure for figure in study["figures"] if "umap" not in figure.get("map", "")]
        study["probing"]["draws"] = 50
        for test, smaller in {
            "bottleneck": {"widths": [2, 4, 10]},
            "manifold": {"samples": 100, "lines": 20},
            "active_learning": {"start": 40, "batch": 20, "rounds": 3, "seeds": 2},
            "audit": {"least": 100},
        }.items():
            study["tests"][test] |= smaller
    with project.configuration("studies/mp_transfer_estm") as study:
        study["tests"]["transfer"] |= {"sizes": [25, 50], "seeds": 2}
    return project


@pytest.fixture(scope="session")
def built_crystals(repository, tmp_path_factory) -> Project:
    """A finished run of the studies of crystals on a small sample. Tests must not change it."""
    project = fresh_crystals(repository, tmp_path_factory.mktemp("crystals") / "project")
    run = project.snakemake(timeout=900)
    assert run.returncode == 0, run.stdout + run.stderr
    return project


@pytest.fixture
def project(built, tmp_path) -> Project:
    """A copy of the finished run, which the test may change."""
    return built.copy_to(tmp_path / "project")
