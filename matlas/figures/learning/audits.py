"""How an embedding fails, on the data and where the failure is planted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matlas.figures.learning.points import DASHED, handle, point, reference, row_axis
from matlas.figures.learning.words import INTERVAL, held_out_from, tested
from matlas.figures.study_data import StudyData, in_words
from matlas.figures.style import HIGHLIGHT, INK, MUTED, PALETTE, listed, page

SHORTCUT, FAMILIES, POLYMORPHS, SOURCES, DRIFT = AUDITS = (
    "shortcut", "out_of_family", "polymorphs", "source_bias", "drift"
)  # fmt: skip
DATA, PLANTED = "data", "planted"
PLANTS = PLANTED, ONE_COLUMN = (PLANTED, "planted, one column")
CAUGHT = "caught"
CHANCE = ("data, shuffled order", "random labels")
YARDSTICKS = ("data, Mahalanobis", "data, descriptors")


@dataclass(frozen=True)
class _Measure:
    """A metric of audits: what its axis says, and what it is where nothing is wrong (None: nothing is)."""

    metric: str
    says: str
    chance: float | None


_MEASURES = (
    _Measure("roc_auc", "Area under the ROC curve (dimensionless)", 0.5),
    _Measure("spearman", "Spearman's ρ (dimensionless)", 0.0),
    _Measure("share_confused", "Polymorphs taken for each other (share)", 0.5),
    _Measure("difference", "Error of later rows less that of earlier ones (standardised units)", 0.0),
)
_NAMES = {
    SHORTCUT: "shortcut",
    FAMILIES: "unseen family",
    POLYMORPHS: "polymorphs",
    SOURCES: "source",
    DRIFT: "drift of later rows",
}


def failure_modes(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """What each audit measures on the data and where its failure is planted, with intervals, and what it catches; a
    panel a metric, a row an audit. A shortcut that is planted in one column only has a row of its own.

    The table: view, representation, audit, group, case, metric (roc_auc, spearman, share_confused, difference), value,
    low, high, n, caught (of data and what is planted; empty for the others).
    """
    rows = tested(spec, data, *AUDITS)
    table = _measured(rows)
    measures = [m for m in _MEASURES if m.metric in set(table["metric"])]
    by_metric = {m.metric: list(dict.fromkeys(table.loc[table["metric"] == m.metric, "row"])) for m in measures}
    notes = [
        f"Filled: caught; hollow: not caught. Line: {INTERVAL}. An audit is blind to what was planted and missed: as "
        "faint a failure would not be seen in the data either. In the data, a shortcut, a source or a drift that is "
        "caught is a failure of the embedding, but a shortcut is found, too, in a file that is sorted, or made of "
        "several sources one after the other; a family that is not told from those it was trained on passes for "
        "known; polymorphs are caught where a quarter or more are rebuilt nearer to their twin than to themselves. "
        "Chance: after the rows, or their labels, changed places. Yardstick: the descriptors themselves, or for "
        "families the distance from the training rows.",
        held_out_from(data, dict.fromkeys(table["representation"])),
    ]
    handles = [
        handle("in the data", PALETTE[0]),
        handle("planted", HIGHLIGHT, "D"),
        Line2D([], [], color=MUTED, marker="|", ms=9, mew=1.6, ls="none", label="chance"),
        Line2D([], [], color=INK, marker="x", ms=5, mew=1.2, ls="none", label="yardstick"),
        reference("nothing told apart"),
    ]
    sizes = [max(len(names), 1.4) for names in by_metric.values()]
    high = 0.3 * sum(sizes) / len(sizes) + 0.55
    figure, axes = page(
        data, _title(table), notes, rows=len(measures), panel=(8.6, high), legend=handles,
        gridspec_kw={"height_ratios": sizes},
    )  # fmt: skip
    for ax, measure in zip(axes[:, 0], measures, strict=True):
        names, here = by_metric[measure.metric], table[table["metric"] == measure.metric]
        for row in here.itertuples():
            y = names.index(row.row)
            if row.case == DATA:
                point(ax, y - 0.2, row, PALETTE[0], "o", hollow=not row.caught)
            elif row.case in PLANTS:
                point(ax, y + 0.2, row, HIGHLIGHT, "D", hollow=not row.caught)
            elif row.case in CHANCE:
                ax.plot(row.value, y, marker="|", ms=9, mew=1.6, color=MUTED, ls="none")
            else:
                ax.plot(row.value, y, marker="x", ms=5, mew=1.2, color=INK, ls="none")
        ax.axvline(measure.chance, color=INK, lw=0.9, ls=DASHED, zorder=1)
        row_axis(ax, names)
        for y, name in enumerate(names):
            ax.text(1.01, y, _verdict(here[here["row"] == name]), transform=ax.get_yaxis_transform(), va="center",
                    size=8)  # fmt: skip
        ax.set_xlabel(measure.says)
        ax.margins(x=0.05)
    return figure, table.drop(columns="row").reset_index(drop=True)


def _measured(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that are drawn, each with what was caught and with the name of its row."""
    at = ["test", "group", "case"]
    caught = rows[rows["metric"] == CAUGHT].set_index(at)["value"]
    shown = rows["case"].isin([DATA, *PLANTS, *CHANCE, *YARDSTICKS]) & rows["metric"].isin(
        [m.metric for m in _MEASURES]
    )
    # the correlation of error and time says no more than the difference
    table = rows[shown & ~((rows["test"] == DRIFT) & (rows["metric"] == "spearman"))]
    found = [caught.get(key, np.nan) for key in table[at].itertuples(index=False, name=None)]
    judged = table["case"].isin([DATA, *PLANTS])
    table = table.assign(
        audit=table["test"],
        caught=pd.Series(found, index=table.index).eq(1.0).astype("boolean").mask(~judged),
        row=[_row_name(*key) for key in table[at].itertuples(index=False, name=None)],
    )
    return table[["view", "representation", "audit", "group", "case", "metric", "value", "low", "high", "n", "caught",
                  "row"]]  # fmt: skip


def _row_name(test: str, group: str, case: str) -> str:
    if test == FAMILIES and case == PLANTED:
        return f"{_NAMES[test]} (planted offset)"
    if case == ONE_COLUMN:
        return f"{_NAMES[test]} ({in_words(group)}, in one column)"
    return _NAMES[test] + (f" ({in_words(group)})" if group else "")


def _verdict(rows: pd.DataFrame) -> str:
    """What was caught, in words."""
    said = []
    for name, cases in ((DATA, [DATA]), (PLANTED, PLANTS)):
        here = rows.loc[rows["case"].isin(cases), "caught"]
        said += [f"{name}: {'caught' if here.iloc[0] else 'not caught'}"] if len(here) else []
    return "; ".join(said)


def _title(table: pd.DataFrame) -> str:
    """Which planted failures were missed, and what was found in the data."""
    planted = table[table["case"].isin(PLANTS)]
    missed = list(dict.fromkeys(planted.loc[~planted["caught"].astype(bool), "row"]))
    blind = f"planted and missed: {listed(missed)}" if missed else f"all {len(planted)} planted failures are caught"
    data = table[table["case"] == DATA]
    faults = data[(data["audit"] != FAMILIES) & data["caught"].astype(bool)]["row"]
    unseen = data[(data["audit"] == FAMILIES)]
    known = unseen.loc[~unseen["caught"].astype(bool), "group"]
    found = [f"in the data: {listed(dict.fromkeys(faults))}"] if len(faults) else ["none of these faults in the data"]
    if len(unseen):
        found.append(f"{len(known)} of {len(unseen)} unseen families pass for known")
    return f"{blind[0].upper() + blind[1:]}; {'; '.join(found)}"
