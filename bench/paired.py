"""The one way two sides are timed: in turn, in one process, after a warm-up that proves that both do the same."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def compare(
    name: str, ours: Callable, peer: Callable, agree: Callable[[Any, Any], None], *, target: float, repeats: int = 5
) -> dict:
    """One comparison: median seconds of both sides; peer/ours of each pair as median, smallest and largest; and the
    ratio of the fastest times, since a busy machine can slow one side more than the other.

    agree(ours(), peer()) raises when the two sides do not compute the same; it runs first and is not timed. The target
    is met when both the median and the fastest ratio reach it.
    """
    agree(ours(), peer())
    pairs = []
    for repeat in range(repeats):  # neither side always runs first
        took = {side: _seconds(side) for side in ((ours, peer) if repeat % 2 else (peer, ours))}
        pairs.append((took[ours], took[peer]))
    ratios = [theirs / mine for mine, theirs in pairs]
    ratio = statistics.median(ratios)
    fastest = min(theirs for _, theirs in pairs) / min(mine for mine, _ in pairs)
    return {
        "name": name,
        "ours_s": statistics.median(mine for mine, _ in pairs),
        "peer_s": statistics.median(theirs for _, theirs in pairs),
        "ratio": ratio,
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "ratio_fastest": fastest,
        "repeats": repeats,
        "target": target,
        "met": min(ratio, fastest) >= target,
    }


def _seconds(work: Callable) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
