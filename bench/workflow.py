"""What the workflow itself costs where there is nothing to do: the demo is run once, then asked for again."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import measured

ROOT = Path(__file__).resolve().parent.parent
ROWS = 300


def run(repeats: int = 5) -> list[dict]:
    """Seconds of a call of snakemake that finds the study of ESTM (on sample data) done."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "settings.yaml"
        settings.write_text(
            f"pathvars: {{results: {folder}/results, logs: {folder}/logs, benchmarks: {folder}/benchmarks}}\n"
            f"sample_sources: {{estm: {{generator: thermoelectrics, rows: {ROWS}, seed: 0}}}}\n"
            "studies: [estm_families]\nruntime: {repetitions: 2}\n"
        )
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all", "--configfile", str(settings)]
        _run(command)
        took = [_run(command) for _ in range(repeats)]
    return [measured("workflow_no_op", "A call of snakemake that finds a study done", "seconds", took, "s")]


def _run(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - start
