"""How far labelings agree: between views at equal K, and between all K within one view."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from matlas.errors import DataError
from matlas.figures.parameters import clustering_of
from matlas.figures.study_data import StudyData
from matlas.figures.style import INK, PALETTE, count, listed, page

BIN = 0.05
APART = 3  # spaces that are drawn apart; pairs of more are pooled, or there would be dozens of panels


def agreement(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Adjusted Rand index as histogram with every value below it, and as cumulative share; medians marked. Of more than
    APART spaces all pairs between two are one group, and all pairs within one another.

    The table: group, comparison (between or within), clustering, both sides' view, representation and k, ari.
    """
    clustering = clustering_of(spec, data)
    table = _groups(data, clustering)
    groups = list(dict.fromkeys(table["group"]))
    medians = table.groupby("group")["ari"].median()
    colours = {group: PALETTE[i % len(PALETTE)] for i, group in enumerate(groups)}
    notes = [
        f"{clustering}. Adjusted Rand index (ARI): 1 for equal labelings, about 0 for unrelated ones. Between views: "
        "pairs at equal K; within a view: all pairs of two different K. Ticks: every pair; dashed: median."
    ]
    figure, axes = page(
        data, _title(table), notes, rows=len(groups) + 1, panel=(7.4, 1.45), sharex=True,
        gridspec_kw={"height_ratios": [*(1 for _ in groups), 1.9]},
    )  # fmt: skip
    *histograms, shares = axes[:, 0]
    low = min(0.0, np.floor(table["ari"].min() / BIN) * BIN)
    edges = np.round(np.arange(low, 1 + BIN / 2, BIN), 10)
    for group, ax in zip(groups, histograms, strict=True):
        values, median = table.loc[table["group"] == group, "ari"], medians[group]
        counts, *_ = ax.hist(values, bins=edges, color=colours[group], alpha=0.85, lw=0)
        strip = -0.16 * counts.max()
        ax.vlines(values, strip, -0.03 * counts.max(), color=colours[group], lw=0.8)
        ax.axhline(0, color=INK, lw=0.6)
        ax.axvline(median, color=INK, lw=1.2, ls=(0, (4, 2)))
        right = median > (low + 1) / 2
        ax.annotate(
            f"median {median:.2f}", (median, 1), xycoords=("data", "axes fraction"), va="top",
            xytext=(-4 if right else 4, 0), textcoords="offset points", ha="right" if right else "left", size=8,
        )  # fmt: skip
        ax.set_title(f"{group} ({count(len(values), 'pair')})", size=9)
        ax.set_ylim(1.3 * strip, 1.25 * counts.max())
        ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= 1.25 * counts.max() and tick == int(tick)])
        ax.set_ylabel("Pairs")
    for group in groups:
        values = np.sort(table.loc[table["group"] == group, "ari"])
        width = 2.4 if group.startswith("Between") else 1.4
        shares.ecdf(values, color=colours[group], lw=width, label=f"{group}: {medians[group]:.2f}")
        shares.plot(medians[group], 0.5, marker="o", ms=5, color=colours[group], mec=INK, mew=0.8)
    shares.set_xlim(low - 0.015, 1.015)
    shares.set_ylim(0, 1.02)
    shares.set_xlabel("Adjusted Rand index (dimensionless)")
    shares.set_ylabel("Share of pairs\nat or below")
    shares.legend(
        title="Dots: medians", alignment="left", loc="lower left", bbox_to_anchor=(-0.01, 1.0), fontsize=8,
        title_fontsize=8, borderaxespad=0.2, handlelength=1.4,
    )  # fmt: skip
    return figure, table


def _groups(data: StudyData, clustering: str) -> pd.DataFrame:
    """Every pair that is compared, with the name of its group; groups between spaces first."""
    if data.agreement is None:
        raise DataError("no agreement table", where=f"study {data.study}", do="give the study's agreement table")
    pairs = data.agreement[data.agreement["clustering"] == clustering]
    side_a = list(zip(pairs["view_a"], pairs["representation_a"], strict=True))
    side_b = list(zip(pairs["view_b"], pairs["representation_b"], strict=True))
    within = np.array([a == b for a, b in zip(side_a, side_b, strict=True)], dtype=bool)
    if len({*side_a, *side_b}) > APART:
        names = ["Within one view" if same else "Between two views" for same in within]
    else:
        names = [
            f"Within {data.space_name(a)}" if same else f"Between {data.space_name(a)} and {data.space_name(b)}"
            for a, b, same in zip(side_a, side_b, within, strict=True)
        ]
    table = pairs.drop(columns="study").assign(comparison=np.where(within, "within", "between"))
    table.insert(0, "group", names)
    table = table[within | (pairs["k_a"] == pairs["k_b"])]
    if not len(table):
        raise DataError(f"no pairs of labelings of {clustering!r} to compare", where=f"study {data.study}: agreement")
    # between before within, then in the study's order of spaces
    place = {space: number for number, space in enumerate(data.spaces)}
    rank = [(a == b, place.get(a, len(place)), place.get(b, len(place))) for a, b in zip(side_a, side_b, strict=True)]
    order = pd.Series(rank, index=pairs.index)[table.index].sort_values(kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _title(table: pd.DataFrame) -> str:
    within = table[table["comparison"] == "within"].groupby("group", sort=False)["ari"].median()
    between = table[table["comparison"] == "between"]["ari"]
    inside = listed(f"{m:.2f}" for m in within) if len(within) else ""
    if not len(between):
        return f"Labelings of one view at different K agree with a median ARI of {inside}"
    middle = between.median()
    if not len(within):
        return f"At equal K, labelings of different views agree with a median ARI of {middle:.2f}"
    how = "less than" if middle < within.min() else "more than" if middle > within.max() else "as much as"
    return f"Views at equal K agree {how} different K within one view: median ARI {middle:.2f} against {inside}"
