"""How errors fall with the number of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from matlas.figures.learning.points import DASHED, DOTTED, styles
from matlas.figures.learning.words import held_out, in_units, tested
from matlas.figures.parameters import named
from matlas.figures.study_data import StudyData, in_words
from matlas.figures.style import listed, page

METRIC = "mae"
_DASHES = ("-", DASHED, (0, (5, 2, 1, 2)), DOTTED, (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))


@dataclass(frozen=True)
class _Kind:
    """line : the column that tells the lines of a panel apart; panel : those that tell panels apart; labels : what is
    counted; shown, against : the line that the title is about, and the end of the metric that compares it."""

    line: str
    panel: tuple[str, ...]
    labels: str
    shown: str
    against: str
    notes: str


KINDS = {
    "transfer": _Kind(
        "representation", ("group", "case"), "labelled groups", "encoder source", "descriptors",
        "Line: median over repetitions with other groups tested and labelled; bars: the range of 95 % of them, which "
        "overlap more than differences on the same rows do: the title tells those, by 95 % intervals. A group is "
        "labelled with all its rows; tested groups never are. Own: fitted on the training groups without their labels; "
        "source: on another dataset, without the compositions of this one; grey-box: the descriptors beside the code "
        "of the source.",
    ),
    "active_learning": _Kind(
        "case", ("group", "view", "representation"), "labels", "uncertainty", "random",
        "Line: median over repetitions with other first labels; bars: the range of 95 % of them; the title goes by "
        "95 % intervals of the mean difference. Random asks for any row of the pool, uncertainty for those on which "
        "trees differ most, novelty for those furthest from all labelled ones. Judged on rows never in the pool.",
    ),
}  # fmt: skip


def learning_curves(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Error against the number of labels in a `test`: transfer (a line an input, a panel a target and head) or
    active_learning (a line a way of choosing, a panel a space).

    The table: view, representation, case, group (target), x, metric (mae and its differences), value, low, high, n.
    """
    test = named(spec, "test", KINDS)
    rows, kind = tested(spec, data, test), KINDS[test]
    rows = rows[rows["metric"].str.startswith(METRIC)]
    table = rows[["view", "representation", "case", "group", "x", "metric", "value", "low", "high", "n"]]
    curves = table[table["metric"] == METRIC]
    lines = list(dict.fromkeys(curves[kind.line]))
    look = {name: (*mark, _DASHES[i % len(_DASHES)]) for i, (name, mark) in enumerate(styles(lines).items())}
    panels = [key for key, _ in curves.groupby(list(kind.panel), sort=False)]
    asked = data.definitions.tests.get(test) or {}
    notes = [kind.notes, held_out(data, asked["split"]) if asked.get("split") else ""]
    handles = [
        Line2D([], [], color=c, marker=m, ms=4.5, lw=1.4, ls=dash, label=in_words(name))
        for name, (c, m, dash) in look.items()
    ]
    figure, axes = page(
        data, _title(table, kind), notes, columns=len(panels), across=2, panel=(4.6, 3.2), legend=handles
    )
    for ax, key in zip(axes[0], panels, strict=True):
        here = curves[(curves[list(kind.panel)] == list(key)).all(axis=1)]
        sizes = sorted(here["x"].unique())
        ax.set_xscale("log")
        for place, name in enumerate(lines):
            shade, shape, dash = look[name]
            curve = here[here[kind.line] == name].sort_values("x")
            # a little apart, so that bars can be told apart
            x = curve["x"] * (sizes[-1] / sizes[0]) ** (0.008 * (place - (len(lines) - 1) / 2))
            known = np.isfinite(curve["low"]) & np.isfinite(curve["high"])
            ax.vlines(x[known], curve["low"][known], curve["high"][known], color=shade, lw=1.0, alpha=0.6)
            ax.plot(x, curve["value"], color=shade, marker=shape, ms=4.5, lw=1.4, ls=dash)
        _label_axis(ax, sizes)
        ax.set_title(_panel_name(data, test, key))
        ax.set(xlabel=kind.labels.capitalize(), ylabel=f"Mean absolute error {in_units(data, key[0])}")
        ax.set_ylim(0, None)
    return figure, table.reset_index(drop=True)


def _label_axis(ax: Axes, sizes: Sequence[float]) -> None:
    """The numbers of labels that were tried, as many as don't cover one another, the last of them always."""
    shown, span = [sizes[-1]], np.log(sizes[-1] / sizes[0]) or 1.0
    for size in reversed(sizes[:-1]):
        if np.log(shown[-1] / size) / span > 0.11:
            shown.append(size)
    ax.set_xticks(shown[::-1], [f"{size:,.0f}" for size in shown[::-1]])
    ax.xaxis.set_minor_locator(NullLocator())


def _panel_name(data: StudyData, test: str, key: tuple) -> str:
    if test == "transfer":
        return f"{in_words(key[0])}, by {in_words(key[1])}"
    return f"{in_words(key[0])} from {data.space_name((key[1], key[2]))}"


def _title(table: pd.DataFrame, kind: _Kind) -> str:
    """Where what is tested leaves fewer errors, or more, for certain than what it is compared with."""
    apart = table[(table["metric"] == f"{METRIC}_less_{kind.against}") & (table[kind.line] == kind.shown)]
    apart = apart[(apart["low"] != 0) | (apart["high"] != 0)]  # all begin with the same labels
    wins, losses = apart[apart["high"] < 0], apart[apart["low"] > 0]
    said = f"{kind.shown} makes fewer errors than {kind.against} in {len(wins)} of {len(apart)} comparisons"
    if len(wins):
        at = sorted(set(wins["x"].astype(int)))
        sizes = listed(f"{x:,}" for x in at) if len(at) < 5 else f"{at[0]:,} to {at[-1]:,}"
        said += f" (with {sizes} {kind.labels})"
    return f"{said[0].upper() + said[1:]}, more in {len(losses)}"
