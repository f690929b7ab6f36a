"""How everything is measured: two sides in turn, in one process, after a warm-up that proves that both do the same; or
one side in a process of its own, where memory is the question."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any


def measured(comparison: str, title: str, metric: str, values: Sequence[float], unit: str = "1") -> dict:
    """One number: the median, smallest and largest of `values`."""
    return {
        "comparison": comparison, "title": title, "metric": metric, "unit": unit,
        "value": float(statistics.median(values)), "low": float(min(values)), "high": float(max(values)),
        "repeats": len(values),
    }  # fmt: skip


def compare(
    comparison: str, title: str, ours: Callable, peer: Callable, agree: Callable[[Any, Any], None], *, repeats: int = 5
) -> list[dict]:
    """The seconds of both sides; peer/ours of each pair (`ratio`); and the ratio of the fastest times, since a busy
    machine can slow one side more than the other (`ratio_of_fastest`). Of `agree`, see `in_turn`."""
    return ratios(comparison, title, *in_turn(ours, peer, agree, repeats=repeats))


def in_turn(
    ours: Callable, peer: Callable, agree: Callable[[Any, Any], None], *, repeats: int
) -> tuple[list[float], list[float]]:
    """The seconds of ours and of the peer, pair by pair.

    agree(ours(), peer()) raises when the two sides do not compute the same; it runs first and is not timed.
    """
    agree(ours(), peer())
    mine, theirs = [], []
    for repeat in range(repeats):  # neither side always runs first
        took = {side: _seconds(side) for side in ((ours, peer) if repeat % 2 else (peer, ours))}
        mine.append(took[ours])
        theirs.append(took[peer])
    return mine, theirs


def ratios(comparison: str, title: str, mine: Sequence[float], theirs: Sequence[float]) -> list[dict]:
    """What `compare` says of the seconds of both sides."""
    return [
        measured(comparison, title, "ratio", [b / a for a, b in zip(mine, theirs, strict=True)]),
        measured(comparison, title, "ratio_of_fastest", [min(theirs) / min(mine)]),
        measured(comparison, title, "ours", mine, "s"),
        measured(comparison, title, "peer", theirs, "s"),
    ]


def in_new_process(module: str, *arguments: str, limit: float | None = None) -> dict:
    """What `python -m module arguments` prints last, as JSON: its peak memory is its own.

    limit : seconds after which it is stopped, with subprocess.TimeoutExpired.
    """
    command = [sys.executable, "-m", module, *arguments]
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit)
    return json.loads(result.stdout.splitlines()[-1])


def _seconds(work: Callable) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
