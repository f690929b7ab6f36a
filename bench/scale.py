"""The workflow itself from thousands to a million rows: wall time, its growth, and the memory of the largest job.

Two studies of a user's own table: random compositions (Magpie, principal components, an autoencoder, k-means), and
crystals (structures parsed, symmetry, geometry, then the same). Every size is a run of `snakemake` from nothing, in a
copy of the project. There is no peer: the question is whether time grows linearly, and memory stays below a limit.
"""

from __future__ import annotations

import csv
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import yaml

from bench.measure import measured
from bench.million import distinct_formulas
from matlas.jobs import read_costs

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("Snakefile", "rules", "workflow_scripts", "matlas", "schemas", "config", "profiles", "requirements.lock")
CORES = 2
SHARDS = 8
SIZES = {"compositions": (10_000, 100_000, 1_000_000), "crystals": (1_500, 15_000, 150_000)}
SAMPLED = 4_000  # different crystals; the others are these at other lengths

_LENGTH = re.compile(r"(_cell_length_[abc]\s+)([\d.]+)")
_VOLUME = re.compile(r"(_cell_volume\s+)([\d.]+)")

METHODS = {"representations": ["pca10", "ae10_long"], "clusterings": ["kmeans_long"]}
FIGURES = [
    {"name": "sweep", "kind": "cluster_sweep", "clustering": "kmeans_long"},
    {"name": "map", "kind": "cluster_map", "clustering": "kmeans_long"},
]
STUDIES = {
    "compositions": {
        "dataset": {
            "name": "compositions", "kind": "composition", "title": "Random compositions", "path": "data/rows.csv",
            "formula": "formula", "columns": {"temperature": "temperature"},
        },
        "views": ["magpie"],
    },
    "crystals": {
        "dataset": {
            "name": "many_crystals", "kind": "crystal", "title": "Simulated crystals", "path": "data/rows.csv",
            "id": "name", "structure": "cif", "columns": {"formation_energy_per_atom": "energy"},
        },
        "views": ["magpie_geometry"],
    },
}  # fmt: skip


def run(kinds: tuple[str, ...] = tuple(SIZES)) -> list[dict]:
    """Of each size: seconds of the run, peak memory of its largest job in MB; and over the two largest sizes the
    exponent of the time, 1 where it grows as the number of rows does."""
    found = []
    for kind in kinds:
        seconds = {}
        for rows in SIZES[kind]:
            with tempfile.TemporaryDirectory() as folder:
                seconds[rows], peak = workflow(Path(folder) / "project", kind, rows)
            about = (f"scale_{kind}_{rows}", f"The workflow on {rows:,} {kind}, {CORES} cores")
            found += [measured(*about, "seconds", [seconds[rows]], "s"), measured(*about, "peak", [peak], "MB")]
        *_, smaller, larger = SIZES[kind]
        exponent = math.log(seconds[larger] / seconds[smaller]) / math.log(larger / smaller)
        title = f"Growth of the workflow's time from {smaller:,} to {larger:,} {kind}: exponent"
        found.append(measured(f"scale_{kind}", title, "exponent", [exponent]))
    return found


def workflow(project: Path, kind: str, rows: int) -> tuple[float, float]:
    """Seconds of a run from nothing on so many rows, and the memory of its largest job in MB."""
    copy_with_study(project, {"title": f"{rows:,} {kind}", **STUDIES[kind], **METHODS, "figures": FIGURES})
    with open(project / "data" / "rows.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(TABLES[kind](rows))
    return timed(project, f"{rows:,} {kind}", "--config", f"runtime={{shards: {SHARDS}}}")


def copy_with_study(project: Path, study: dict) -> None:
    """A copy of this project whose only study is this one, with an empty folder data/."""
    project.mkdir(parents=True)
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, project / part)
    for other in (project / "config" / "studies").iterdir():
        other.unlink()
    (project / "config" / "studies" / "scale.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    (project / "data").mkdir()


def timed(project: Path, what: str, *settings: str) -> tuple[float, float]:
    """Seconds of a run of a project, and the memory of its largest job in MB; what : of what, for an error."""
    command = [sys.executable, "-m", "snakemake", "--cores", str(CORES), *settings]
    environment = os.environ | {"PYTHONPATH": str(project)}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"the workflow failed on {what}:\n{done.stderr[-2000:]}")
    return seconds, max(cost["peak_rss_mb"] for cost in read_costs(project / "logs"))


def compositions(rows: int) -> Iterator[list]:
    """Different formulas at random temperatures, after a header."""
    yield ["formula", "temperature"]
    temperatures = np.random.default_rng(1).uniform(300, 1200, rows)
    for formula, temperature in zip(distinct_formulas(rows), temperatures, strict=True):
        yield [formula, f"{temperature:.1f}"]


def crystals(rows: int) -> Iterator[list]:
    """CIFs of the generator's crystals (of up to 52 atoms), each stretched by up to 2 %, after a header."""
    from pymatgen.io.cif import CifWriter

    from matlas.simulate.crystals import crystals as sample

    made = sample(SAMPLED)
    good = np.flatnonzero(made.truth["fault"] == "")
    energy = made.truth["formation_energy_per_atom"].to_numpy()
    cifs = [str(CifWriter(made.structure(i))) for i in good[:rows]]
    rng = np.random.default_rng(2)
    yield ["name", "cif", "energy"]
    for number in range(rows):
        at = number % len(cifs)
        yield [f"crystal-{number}", _stretched(cifs[at], rng.uniform(1.0, 1.02)), f"{energy[good[at]]:.4f}"]


def _stretched(cif: str, by: float) -> str:
    """A CIF with the lengths of its cell times `by`."""
    cif = _LENGTH.sub(lambda found: f"{found[1]}{float(found[2]) * by:.6f}", cif)
    return _VOLUME.sub(lambda found: f"{found[1]}{float(found[2]) * by**3:.6f}", cif)


TABLES: dict[str, Callable[[int], Iterator[list]]] = {"compositions": compositions, "crystals": crystals}
