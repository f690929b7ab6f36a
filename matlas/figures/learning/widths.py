"""What survives a code of each width: the rows themselves, properties, and the difference between polymorphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matlas.figures.learning.points import DASHED, DOTTED
from matlas.figures.learning.words import held_out_from, tested
from matlas.figures.study_data import StudyData, in_words
from matlas.figures.style import INK, MARKERS, MUTED, PALETTE, listed, page

TEST = "bottleneck"
AUTOENCODER, PCA = CASES = ("autoencoder", "pca")
SHUFFLED = "shuffled"
CURVES = {AUTOENCODER: "autoencoder", PCA: "PCA", f"{AUTOENCODER}, {SHUFFLED}": "autoencoder, shuffled columns",
          f"{PCA}, {SHUFFLED}": "PCA, shuffled columns"}  # fmt: skip
_STYLES = {
    AUTOENCODER: (PALETTE[0], "o", "-"),
    PCA: (PALETTE[3], "s", "-"),
    f"{AUTOENCODER}, {SHUFFLED}": (PALETTE[0], "o", DOTTED),
    f"{PCA}, {SHUFFLED}": (PALETTE[3], "s", DOTTED),
}
_READ = {"r2": "R² of properties read by a ridge", "roc_auc": "Area under the ROC curve\nof classes read by a ridge"}
_DASHES = ("-", DASHED, (0, (5, 2, 1, 2)), DOTTED)


def width_sweep(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Error of rebuilt test rows against the width of the code, on real rows and on rows with shuffled columns; and,
    where measured, how well properties are read, how far apart polymorphs stay and how many units are active.

    The table: view, representation, case, group (target), x (width), metric (mse, elbow, elbow_strength,
    mse_difference, r2 or roc_auc, polymorph_percentile, active_units), value, low, high, n.
    """
    rows = tested(spec, data, TEST)
    table = rows[["view", "representation", "case", "group", "x", "metric", "value", "low", "high", "n"]]
    widths = sorted(table["x"].dropna().astype(int).unique())
    there = set(table["metric"])
    reads = [metric for metric in _READ if metric in there]
    panels = ["mse", *reads, *(m for m in ("polymorph_percentile", "active_units") if m in there)]
    notes = [
        "Fitted on training rows, judged on test rows; 1 is what the mean of each column would leave. Bands: 95 % "
        "intervals over draws of whole groups of rows. Shuffled: each column in an order of its own, so that "
        "nothing but the columns one by one is left to be learned. Ring: the elbow, where the curve lies furthest "
        "below the line between its ends (over the logarithm of the width).",
        held_out_from(data, dict.fromkeys(table["representation"])),
        "Polymorphs: the median share of random pairs of rows that are nearer than two crystals of one formula; 0 is "
        "where they become one. "
        * ("polymorph_percentile" in there)
        + "Active: units whose variance is not all but 0." * ("active_units" in there),
    ]
    handles = [
        Line2D([], [], color=c, marker=m, ms=5, lw=1.4, ls=dash, label=CURVES[case])
        for case, (c, m, dash) in _STYLES.items()
    ]
    handles.append(Line2D([], [], color=INK, marker="o", ms=10, mfc="none", mew=1.3, ls="none", label="elbow"))
    figure, axes = page(data, _title(table), notes, columns=len(panels), across=2, panel=(4.6, 3.1), legend=handles)
    for ax, metric in zip(axes[0], panels, strict=True):
        here = table[table["metric"] == metric]
        groups = list(dict.fromkeys(here["group"]))
        for (case, group), curve in here.groupby(["case", "group"], sort=False):
            shade, shape, dash = _STYLES[case]
            # a little apart, so that curves can be told apart where they agree
            curve = curve.assign(x=curve["x"] * (1.03 if case.startswith(PCA) else 1 / 1.03))
            many = len(groups) > 1
            _curve(ax, curve, shade, MARKERS[groups.index(group) % len(MARKERS)] if many else shape,
                   _DASHES[groups.index(group) % len(_DASHES)] if many else dash)  # fmt: skip
        _width_axis(ax, widths)
        if metric == "mse":
            _elbows(ax, table)
            ax.set_title("Rebuilding")
            ax.set_ylim(0, None)  # linear, as the elbow is defined
            ax.set_ylabel("Mean squared error of test rows\n(standardised units)")
        elif metric in _READ:
            _targets(ax, groups)
            ax.set_ylabel(f"{_READ[metric]}\n(test rows, dimensionless)")
        elif metric == "polymorph_percentile":
            ax.set_title("Polymorphs")
            ax.set_ylim(0, max(0.02, 1.15 * np.nanmax(here[["value", "high"]].to_numpy())))
            ax.set_ylabel("Pairs of rows nearer\nthan polymorphs (share)")
        else:
            ax.plot(widths, widths, color=MUTED, lw=0.9, ls=DASHED, zorder=1)
            ax.annotate("all", (widths[-1], widths[-1]), xytext=(-4, 2), textcoords="offset points", ha="right",
                        size=8, color=MUTED)  # fmt: skip
            ax.set(title="Units", ylabel="Active units")
    return figure, table.reset_index(drop=True)


def _curve(ax: Axes, curve: pd.DataFrame, shade: str, shape: str, dash) -> None:
    curve = curve.sort_values("x")
    known = curve.dropna(subset=["low", "high"])
    ax.fill_between(known["x"], known["low"], known["high"], color=shade, alpha=0.15, lw=0)
    ax.plot(curve["x"], curve["value"], color=shade, marker=shape, ms=4.5, lw=1.4, ls=dash)


def _width_axis(ax: Axes, widths: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(widths, [str(width) for width in widths])
    ax.minorticks_off()
    ax.set_xlabel("Width of the code")


def _elbows(ax: Axes, table: pd.DataFrame) -> None:
    for row in table[table["metric"] == "elbow"].dropna(subset="value").itertuples():
        at = table[(table["metric"] == "mse") & (table["case"] == row.case) & (table["x"] == row.value)]
        x = at["x"] * (1.03 if row.case.startswith(PCA) else 1 / 1.03)
        ax.plot(x, at["value"], marker="o", ms=11, mfc="none", mec=_STYLES[row.case][0], mew=1.4, ls="none")


def _targets(ax: Axes, groups: Sequence[str]) -> None:
    """Names of the targets: a legend where they are told apart by their marks."""
    if len(groups) == 1:
        ax.set_title(in_words(groups[0]))
        return
    marks = [
        Line2D([], [], color=INK, marker=MARKERS[i % len(MARKERS)], ms=4.5, lw=1.2, ls=_DASHES[i % len(_DASHES)],
               label=in_words(group))
        for i, group in enumerate(groups)
    ]  # fmt: skip
    ax.legend(handles=marks, fontsize=8, loc="best")


def _title(table: pd.DataFrame) -> str:
    """Where the curves bend, and at which widths the autoencoder is certainly the better one."""
    elbows = table[table["metric"] == "elbow"].set_index("case")["value"]
    bent = {case: elbows.get(case) for case in CURVES}
    real = listed(f"{CURVES[c]} {'at ' + format(int(bent[c])) if pd.notna(bent[c]) else 'nowhere'}" for c in CASES)
    shuffled = [bent[c] for c in CURVES if c not in CASES]
    noise = "nowhere" if pd.isna(shuffled).all() else "too"
    apart = table[(table["metric"] == "mse_difference") & (table["case"] == f"{AUTOENCODER} - {PCA}")]
    said = [
        f"{word} at {_listed_widths(apart.loc[certain, 'x'])}"
        for word, certain in (("better", apart["high"] < 0), ("worse", apart["low"] > 0))
    ]
    return f"The error bends: {real}; on shuffled columns {noise}. The autoencoder beside PCA: {', '.join(said)}"


def _listed_widths(widths: pd.Series) -> str:
    return listed(str(width) for width in sorted(widths.astype(int))) if len(widths) else "no width"
