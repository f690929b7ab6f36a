"""Places for labels that don't cover one another."""

from __future__ import annotations

import numpy as np
from scipy.optimize import isotonic_regression


def spread_line(wanted: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Places on a line at least `gap` apart, within low … high, with the least squared distance to `wanted` (n,).

    Where n labels don't fit, the gap shrinks until they do. The order of `wanted` is kept.
    """
    wanted = np.asarray(wanted, dtype=float)
    n = len(wanted)
    if n < 2:
        return np.clip(wanted, low, high)
    gap = min(gap, (high - low) / (n - 1))
    order = np.argsort(wanted, kind="stable")
    steps = np.arange(n) * gap
    even = isotonic_regression(wanted[order] - steps).x
    places = np.empty(n)
    places[order] = np.clip(even, low, high - steps[-1]) + steps
    return places


def spread_boxes(
    anchors: np.ndarray, sizes: np.ndarray, bounds: tuple[float, float, float, float], clear: float = 4.0
) -> np.ndarray:
    """Centres (n, 2) of label boxes of `sizes` (n, 2) near their `anchors` (n, 2), within bounds (x0, y0, x1, y1).

    Boxes don't overlap one another, nor lie within `clear` of any anchor, as far as the space allows. Each label takes
    the free place nearest to its anchor, the most crowded anchors first; a pure function of its arguments.
    """
    anchors, sizes = np.asarray(anchors, dtype=float), np.asarray(sizes, dtype=float)
    x0, y0, x1, y1 = bounds
    distance = np.linalg.norm(anchors[:, None] - anchors[None], axis=2)
    crowding = np.exp(-distance / sizes.mean()).sum(axis=1)
    centres = np.full_like(anchors, np.nan)
    for i in np.argsort(-crowding, kind="stable"):
        half = sizes[i] / 2
        low, high = np.array([x0, y0]) + half, np.maximum(np.array([x1, y1]) - half, np.array([x0, y0]) + half)
        candidates = np.clip(anchors[i] + _rings(half + clear), low, high)
        cost = np.linalg.norm(candidates - anchors[i], axis=1)
        on_anchor = _overlap(candidates, half, anchors, np.full_like(anchors, clear))
        placed = np.isfinite(centres[:, 0])
        on_label = _overlap(candidates, half + 1, centres[placed], sizes[placed] / 2)
        # covering a label is worse than covering an anchor, and both are worse than any distance
        far = np.hypot(x1 - x0, y1 - y0)
        centres[i] = candidates[np.argmin(cost + far * on_anchor + 10 * far * on_label)]
    return centres


def _rings(half: np.ndarray) -> np.ndarray:
    """Offsets to try, nearest first: rectangles around the anchor that grow, walked from above."""
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False) + np.pi / 2
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ring /= np.abs(ring).max(axis=1, keepdims=True)  # on the unit square
    return np.concatenate([ring * (half + 6.0 * step) for step in range(40)])


def _overlap(centres: np.ndarray, half: np.ndarray, others: np.ndarray, other_half: np.ndarray) -> np.ndarray:
    """How many of the other boxes each box at `centres` touches."""
    if not len(others):
        return np.zeros(len(centres))
    apart = np.abs(centres[:, None] - others[None]) - (half + other_half)[None]
    return (apart < 0).all(axis=2).sum(axis=1)
