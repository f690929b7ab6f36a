"""What the workflow itself costs: the study of ESTM by `snakemake`, beside a plain script that does the same
(bench/plain_script.py).

Both begin with the source's file and nothing else, on one core, as new processes, and leave the same files. What the
workflow takes longer is its own: planning, a process with its imports for each job, tables read back from disk, hashes
for the lineage. Uses ESTM when MATLAS_MIRROR names the folder of real sources, otherwise generated data.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pandas as pd
import yaml

from bench.measure import in_turn, measured, ratios
from matlas.jobs import read_costs
from matlas.tables import read_table

ROOT = Path(__file__).resolve().parent.parent
COMPARISON = "workflow_overhead"
STUDY, SOURCE = "estm_families", "sources/estm/estm.xlsx"
ROWS = 1_000  # of generated data, as in config/demo.yaml


def run(repeats: int = 3) -> list[dict]:
    """Rows of the comparison, as `bench.measure.compare` gives it, and what the workflow adds: seconds a job, and as a
    share of its time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = _write_settings(folder)
        _snakemake(folder, str(folder / "results" / SOURCE))  # before both sides, as neither is about it
        ours, theirs = in_turn(partial(_workflow, folder), partial(_script, folder), agree, repeats=repeats)
        jobs = len(read_costs(folder / "logs"))
    beside = f"The study {STUDY} ({data}) as {jobs} jobs on one core: beside a plain script that does the same"
    added = f"What the workflow adds to the study {STUDY} ({data}), "
    more = [a - b for a, b in zip(ours, theirs, strict=True)]
    shares = [m / a for m, a in zip(more, ours, strict=True)]
    each = [m / jobs for m in more]
    return [
        *ratios(COMPARISON, beside, ours, theirs),
        measured(COMPARISON, f"{added}for each of its {jobs} jobs", "seconds_a_job", each, "s"),
        measured(COMPARISON, f"{added}as a share of the workflow's time", "share", shares),
    ]


def agree(ours: Path, peer: Path) -> None:
    """Raise AssertionError unless two folders of results hold the same: files of the same names, tables with equal
    labels and with numbers equal to 1e-9, figures and their data with equal bytes. The source is not compared."""
    found, expected = _files(ours), _files(peer)
    assert found == expected, f"only one side wrote {sorted(map(str, found ^ expected))}"
    for path in sorted(found):
        if path.suffix == ".parquet":
            tables = (read_table(folder / path) for folder in (ours, peer))
            pd.testing.assert_frame_equal(*tables, rtol=1e-9, atol=1e-9, obj=str(path))
        else:
            assert (ours / path).read_bytes() == (peer / path).read_bytes(), f"{path} differs"


def _files(folder: Path) -> set[Path]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path for path in paths if path.parts[0] != "sources"}


def _write_settings(folder: Path) -> str:
    """Write settings.yaml, which both sides follow; what the data are, in words."""
    real = bool(os.environ.get("MATLAS_MIRROR"))
    sample = {} if real else {"estm": {"generator": "thermoelectrics", "rows": ROWS, "seed": 0}}
    settings = {
        "pathvars": {part: str(folder / part) for part in ("results", "logs", "benchmarks")},
        "studies": [STUDY], "sample_sources": sample, "runtime": {"blas_threads": 1},
    }  # fmt: skip
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return "ESTM" if real else f"{ROWS:,} rows of sample data: MATLAS_MIRROR is not set"


def _workflow(folder: Path) -> Path:
    for path in (*(p for p in (folder / "results").iterdir() if p.name != "sources"), folder / "logs"):
        shutil.rmtree(path)
    _snakemake(folder, STUDY)
    return folder / "results"


def _script(folder: Path) -> Path:
    output = folder / "script"
    shutil.rmtree(output, ignore_errors=True)
    _run("bench.plain_script", str(folder / "results" / SOURCE), str(output), str(folder / "settings.yaml"))
    return output


def _snakemake(folder: Path, target: str) -> None:
    _run("snakemake", "--cores", "1", target, "--quiet", "all", "--configfile", str(folder / "settings.yaml"))


def _run(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=True, capture_output=True)
