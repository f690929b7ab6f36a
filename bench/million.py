"""A million distinct compositions to one validated Parquet table, in a process of its own so that its peak memory is
its own. There is no peer: the goal is a number of seconds and of megabytes on 2 cores."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS = 1_000_000
LIMITS = {"seconds": 60, "mb": 2000}  # on 2 cores
SPEC = {
    "kind": "composition", "features": "element_statistics", "table": "magpie",
    "statistics": ["minimum", "maximum", "range", "mean", "avg_dev", "mode"],
}  # fmt: skip


def run() -> list[dict]:
    """One row: seconds from formulas in memory to the renamed file, and peak resident memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [sys.executable, "-m", "bench.million", folder], check=True, capture_output=True, text=True
        )
    measured = json.loads(result.stdout.splitlines()[-1])
    met = measured["seconds"] <= LIMITS["seconds"] and measured["mb"] <= LIMITS["mb"]
    limits = {f"limit_{unit}": limit for unit, limit in LIMITS.items()}
    return [{"name": f"magpie, {ROWS:,} distinct compositions to Parquet", **measured, **limits, "met": met}]


def distinct_formulas(rows: int, seed: int = 0) -> list[str]:
    """`rows` different formulas of 2 to 6 elements with amounts to two decimals."""
    from matlas.composition import SYMBOLS

    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < rows:
        z = rng.integers(1, 95, size=(rows, 6))
        amount = rng.integers(1, 400, size=(rows, 6)) / 100
        for row in range(rows):
            n = 2 + row % 5
            found["".join(f"{SYMBOLS[z[row, i]]}{amount[row, i]:g}" for i in range(n))] = None
    return list(found)[:rows]


def _write(folder: Path) -> dict:
    from matlas.features.composition import feature_batches, feature_fields
    from matlas.features.elements import load_element_table
    from matlas.jobs import peak_rss_mb
    from matlas.tables import table_info, write_table
    from schemas.tables.features import feature_schema

    table = load_element_table("magpie")
    formulas = distinct_formulas(ROWS)
    before = peak_rss_mb()
    start = time.perf_counter()
    path = folder / "magpie.parquet"
    write_table(feature_batches(formulas, SPEC, table), path, feature_schema("magpie", feature_fields(SPEC, table)))
    seconds = time.perf_counter() - start
    peak = peak_rss_mb()
    info = table_info(path)
    return {"seconds": seconds, "mb": peak, "mb_before": before, "rows": info.rows, "columns": len(info.columns)}


if __name__ == "__main__":
    print(json.dumps(_write(Path(sys.argv[1]))))
