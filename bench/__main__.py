"""Run every comparison and write results/bench/<module>.csv; exit 1 when a target is missed."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from bench import cluster, composition, crystal, embedding, million, pixels, training
from matlas.files import atomic_path
from matlas.lineage import versions

OUT = Path("results/bench")


def main() -> int:
    console = Console()
    found = ", ".join(f"{name} {version}" for name, version in versions().items())
    console.print(f"{os.cpu_count()} cores, {platform.machine()}; {found}")
    missed = 0
    for module in (composition, crystal, cluster, embedding, training, million, pixels):
        name = module.__name__.split(".")[-1]
        console.print(f"[bold]{name}[/bold] …")
        rows = pd.DataFrame(module.run())
        with atomic_path(OUT / f"{name}.csv") as path:
            rows.to_csv(path, index=False)
        _show(console, rows)
        missed += int((~rows["met"]).sum())
    console.print(f"written to {OUT}; {missed} target(s) missed")
    return 1 if missed else 0


def _show(console: Console, rows: pd.DataFrame) -> None:
    table = Table(*rows.columns)
    for row in rows.itertuples(index=False):
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
