"""A million distinct compositions to one validated Parquet table, in a process of its own so that its peak memory is
its own. There is no peer: the goal is a number of seconds and of megabytes on 2 cores."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.measure import in_new_process, measured

ROWS = 1_000_000
SPEC = {
    "kind": "composition", "features": "element_statistics", "table": "magpie",
    "statistics": ["minimum", "maximum", "range", "mean", "avg_dev", "mode"],
}  # fmt: skip


def run() -> list[dict]:
    """Seconds from formulas in memory to the renamed file, and peak resident memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        found = in_new_process("bench.million", folder)
    about = (
        "million_compositions",
        f"Magpie statistics of {ROWS:,} distinct compositions to a validated Parquet table",
    )
    return [measured(*about, "seconds", [found["seconds"]], "s"), measured(*about, "peak", [found["mb"]], "MB")]


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
