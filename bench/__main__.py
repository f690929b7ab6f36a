"""Run every comparison, or those named: write results/bench/<module>.parquet and the page; exit 1 when a target is
missed.

python -m bench [module …]
"""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from bench.page import write_page
from bench.targets import judged, read_targets
from matlas.errors import ConfigError, nearest
from matlas.lineage import now, versions
from matlas.tables import write_table
from schemas.tables.bench import BENCH

MODULES = (
    "composition", "crystal", "cluster", "embedding", "training", "streaming", "retrieval", "million", "pixels",
    "unmixing", "cube", "scale", "workflow", "overhead",
)  # fmt: skip
RESULTS = Path("results")


def main(chosen: list[str]) -> int:
    for name in chosen:
        if name not in MODULES:
            raise ConfigError(f"unknown comparison {name!r}", expected=nearest(name, MODULES))
    console, targets = Console(), read_targets()
    about = _about()
    console.print("; ".join(f"{name}: {value}" for name, value in about.items()))
    missed = 0
    for name in chosen or MODULES:
        console.print(f"[bold]{name}[/bold] …")
        started = time.monotonic()
        rows = judged(pd.DataFrame(importlib.import_module(f"bench.{name}").run()), targets)
        finished = {"finished": now(), "took": f"{time.monotonic() - started:.0f} s"}
        path = RESULTS / "bench" / f"{name}.parquet"
        write_table(rows, path, BENCH, attributes={**about, **finished, "bench": name})
        _show(console, rows)
        missed += int((~rows["met"]).sum())
    page = write_page(RESULTS)
    console.print(f"{missed} target(s) missed; the page: {page}")
    return 1 if missed else 0


def _about() -> dict[str, str]:
    """What the numbers belong to: commit, machine and versions."""
    git = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit or "not in a git repository", "cores": str(os.cpu_count()), "machine": platform.machine(),
        **versions(),
    }  # fmt: skip


def _show(console: Console, rows: pd.DataFrame) -> None:
    table = Table("title", "metric", "value", "low", "high", "unit", "met")
    for row in rows.itertuples():
        held = not (pd.isna(row.least) and pd.isna(row.most))
        numbers = (f"{value:.4g}" for value in (row.value, row.low, row.high))
        table.add_row(row.title, row.metric, *numbers, row.unit, str(row.met) if held else "")
    console.print(table)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ConfigError as error:
        sys.exit(f"bench: {error}")
