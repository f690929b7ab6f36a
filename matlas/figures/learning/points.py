"""Points with intervals on rows, one below the other."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from matlas.figures.style import INK, MARKERS, PALETTE, log_axis

DASHED, DOTTED = (0, (4, 3)), (0, (1, 1.5))


def styles(names: Collection[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each name."""
    return {n: (PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]) for i, n in enumerate(names)}


def handle(label: str, shade: str, shape: str = "o", *, hollow: bool = False) -> Line2D:
    """The entry of a legend for points."""
    return Line2D([], [], color=shade, marker=shape, ms=5.5, mew=1.2, lw=1.4, mfc="white" if hollow else None,
                  label=label)  # fmt: skip


def reference(label: str, dash=DASHED) -> Line2D:
    """The entry of a legend for a line that others are compared with."""
    return Line2D([], [], color=INK, lw=0.9, ls=dash, label=label)


def point(ax: Axes, y: float, row, shade: str, shape: str = "o", *, hollow: bool = False) -> None:
    """A value with its interval (row : value, low, high; limits may be missing) on the line y."""
    if np.isfinite([row.low, row.high]).all():
        ax.plot([row.low, row.high], [y, y], color=shade, lw=1.4, solid_capstyle="butt")
    ax.plot(row.value, y, marker=shape, ms=5.5, color=shade, mfc="white" if hollow else shade, mew=1.2, ls="none")


def offsets(n: int, gap: float = 0.18) -> np.ndarray:
    """Where n points stand around the middle of their row, from above."""
    return (np.arange(n) - (n - 1) / 2) * min(gap, 0.72 / max(n - 1, 1))


def row_axis(ax: Axes, names: Sequence[str], strong: Collection[int] = ()) -> None:
    """Rows with their names at the axis, the first at the top; those at `strong` places in bold."""
    ax.set_yticks(range(len(names)), names, parse_math=False)
    for place, label in enumerate(ax.get_yticklabels()):
        label.set_weight("bold" if place in strong else "normal")
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelbottom=True)
    ax.grid(axis="y", visible=False)
    for line in range(1, len(names)):
        ax.axhline(line - 0.5, color="#e6e6e6", lw=0.6, zorder=0)


def error_axis(ax: Axes, values: np.ndarray) -> None:
    """A logarithmic y axis for the positive ones of values; within two decades also 2 and 5 are labelled."""
    values = values[values > 0]
    if not len(values):
        return
    log_axis(ax, float(values.min()), float(values.max()))
    if values.max() / values.min() < 100:
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(FuncFormatter(_two_or_five))


def _two_or_five(value: float, _position: int) -> str:
    text = f"{value:.6g}"
    return text if text.strip("0.") in ("2", "5") else ""
