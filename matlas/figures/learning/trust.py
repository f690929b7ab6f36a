"""Whether intervals of predictions hold what they promise, for families that were trained on and for others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from matlas.figures.learning.points import handle, point, reference, row_axis
from matlas.figures.learning.words import INTERVAL, defined_test, held_out, tested
from matlas.figures.study_data import StudyData, in_words
from matlas.figures.style import HIGHLIGHT, INK, PALETTE, listed, number, page

TEST = "uncertainty"
INSIDE, OUTSIDE = SIDES = ("inside", "outside")
SCALED = "scaled by distance"
_CASES = {
    INSIDE: ("families trained on", PALETTE[0], "o", False, -0.24),
    f"{INSIDE}, {SCALED}": ("the same, scaled by distance", PALETTE[0], "o", True, -0.08),
    OUTSIDE: ("the family left out", HIGHLIGHT, "D", False, 0.08),
    f"{OUTSIDE}, {SCALED}": ("the same, scaled by distance", HIGHLIGHT, "D", True, 0.24),
}


def coverage(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Share of the truths that conformal intervals hold, for rows of the families that a head was trained on and of the
    family that was left out, plain and scaled by the distance to the training rows; a panel an input, a row a family.

    The table: input, case, family (empty: all together), metric (coverage, width), value, low, high, n; level, the
    coverage that was asked for.
    """
    rows = tested(spec, data, TEST)
    asked = defined_test(spec, data, TEST)
    level = float(asked["level"])
    rows = rows[rows["metric"].isin(["coverage", "width"]) & rows["case"].isin(list(_CASES))]
    table = rows.rename(columns={"representation": "input", "group": "family"})[
        ["input", "case", "family", "metric", "value", "low", "high", "n"]
    ].assign(level=level)
    covered = table[table["metric"] == "coverage"]
    outside = covered[(covered["case"] == OUTSIDE) & (covered["family"] != "")]
    order = outside.groupby("family", sort=False)["value"].mean().sort_values(kind="stable").index
    families = ["", *order]
    inputs = list(dict.fromkeys(covered["input"]))
    notes = [
        f"Target: {in_words(asked['target'])}; head: {in_words(asked['head'])}. Intervals are calibrated on half of "
        f"the validation groups of each fold; trained on: the other half; left out: the test rows. Line: {INTERVAL}. "
        f"Scaled: wider the further a row is from the training rows. {_widths(table)}",
        held_out(data, str(asked["split"])),
    ]
    handles = [handle(label, shade, shape, hollow=hollow) for label, shade, shape, hollow, _ in _CASES.values()]
    handles.append(reference(f"asked for: {100 * level:g} %"))
    figure, axes = page(
        data, _title(covered, inputs, level), notes, columns=len(inputs), across=2,
        panel=(4.6, 0.5 * len(families) + 0.8), sharex=True, sharey=True, legend=handles,
    )  # fmt: skip
    for ax, name in zip(axes[0], inputs, strict=True):
        for row in covered[covered["input"] == name].itertuples():
            _, shade, shape, hollow, offset = _CASES[row.case]
            point(ax, families.index(row.family) + offset, row, shade, shape, hollow=hollow)
        ax.axvline(level, color=INK, lw=1.0, ls=(0, (4, 3)), zorder=1)
        ax.set(title=in_words(name), xlabel="Coverage (share of the truths in their interval)")
        row_axis(ax, ["all together", *map(in_words, order)], strong=[0])
    lowest = np.nanmin(covered[["value", "low"]].to_numpy())
    axes[0, 0].set_xlim(max(-0.02, min(lowest, level) - 0.06), 1.02)
    return figure, table.reset_index(drop=True)


def _pooled(table: pd.DataFrame, name: str, metric: str, case: str) -> float:
    rows = table[(table["input"] == name) & (table["metric"] == metric) & (table["case"] == case)]
    found = rows.loc[rows["family"] == "", "value"]
    return float(found.iloc[0]) if len(found) else np.nan


def _title(covered: pd.DataFrame, inputs: list[str], level: float) -> str:
    said = [
        f"{100 * _pooled(covered, name, 'coverage', OUTSIDE):.0f} % from {in_words(name)} "
        f"({100 * _pooled(covered, name, 'coverage', f'{OUTSIDE}, {SCALED}'):.0f} % scaled)"
        for name in inputs
    ]
    inside = [100 * _pooled(covered, name, "coverage", INSIDE) for name in inputs]
    within = " and ".join(dict.fromkeys(f"{value:.0f} %" for value in inside))
    return (
        f"Intervals that shall hold {100 * level:g} % of the truths hold {within} in families trained on, and in those "
        f"left out {listed(said)}"
    )


def _widths(table: pd.DataFrame) -> str:
    """How much wider the scaled intervals are where it is left out."""
    said = []
    for name in dict.fromkeys(table["input"]):
        plain, scaled = (_pooled(table, name, "width", case) for case in (OUTSIDE, f"{OUTSIDE}, {SCALED}"))
        if plain > 0:
            said.append(f"{number(scaled / plain)} times as wide from {in_words(name)}")
    return f"Scaled intervals of left-out rows are on average {listed(said)}." if said else ""
