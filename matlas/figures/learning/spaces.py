"""What lies between the rows in a space: holes in manifolds, and neighbourhoods that are kept or torn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matlas.figures.learning.points import DASHED, DOTTED, handle, point, reference, row_axis
from matlas.figures.learning.words import held_out_from, tested
from matlas.figures.study_data import StudyData, in_words
from matlas.figures.style import INK, MUTED, PALETTE, beside, listed, number, page

MANIFOLD, NEIGHBOURHOOD = "manifold", "neighbourhood"
HELD_OUT, RECONSTRUCTED, PRIOR, FITTED, LINE = ("held-out", "reconstructed", "prior", "fitted Gaussian", "line")
FEATURES, SPACE = "features", "space"
_BESIDE = {HELD_OUT: "held-out", RECONSTRUCTED: "rebuilt", PRIOR: "prior", FITTED: "fitted\nGaussian"}
_SHADES = {HELD_OUT: INK, RECONSTRUCTED: PALETTE[2], PRIOR: PALETTE[3], FITTED: PALETTE[1], LINE: PALETTE[0]}
_FIRST, _STEP = 1.22, 0.27  # where the cases without a way stand, right of x = 1


def manifold_holes(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Distance to the nearest training row of what each network decodes: on the way between two test rows, and from
    codes at random, beside the test rows themselves and these rebuilt; a panel a network.

    The table: view, representation (empty for the held-out rows), case, x (share of the way), metric (distance,
    distance_p95, share_beyond), value, low, high, n.
    """
    rows = tested(spec, data, MANIFOLD)
    table = rows[["view", "representation", "case", "x", "metric", "value", "low", "high", "n"]]
    networks = list(dict.fromkeys(table.loc[table["case"] != HELD_OUT, "representation"]))
    notes = [
        "Distance: Euclidean in standardised features over √(number of columns), to the nearest training row. Point "
        "and line: median with its 95 % interval; tick and dotted line: 95 % of the samples are nearer. Below a case: "
        "the share of its samples further out than 95 % of the held-out rows, those in holes. Way: the codes between "
        "those of two test rows; prior: codes from N(0, I), which a variational network is trained to decode, while "
        "the code of a plain one has no unit scale; fitted Gaussian: codes with mean and covariance of the training "
        "codes, whose shares are like for like.",
        held_out_from(data, networks),
    ]
    handles = [
        Line2D([], [], color=_SHADES[LINE], marker="o", ms=4.5, lw=1.4, label="on the way between two test rows"),
        Line2D([], [], color=_SHADES[LINE], lw=1.1, ls=DOTTED, label="95 % on the way are nearer"),
        reference("median of held-out rows"),
        reference("95 % of held-out rows are nearer", DOTTED),
    ]
    figure, axes = page(
        data, _holes_title(table, networks), notes, columns=len(networks), across=2, panel=(4.8, 3.5), sharey=True,
        legend=handles,
    )  # fmt: skip
    for ax, network in zip(axes[0], networks, strict=True):
        here = table[(table["representation"] == network) | (table["case"] == HELD_OUT)]
        _holes(ax, here)
        ax.set_title(in_words(network))
        ax.tick_params(labelleft=True)
    axes[0, 0].set_ylim(0, None)
    for ax in axes[0, :: beside(len(networks), 2)]:
        ax.set_ylabel("Distance to the nearest training row\n(standardised units)")
    return figure, table.reset_index(drop=True)


def neighbourhoods(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """How far each space keeps the neighbours of the features, and how often neighbours share a class, beside chance
    and the features themselves; a panel a measure, a row a space.

    The table: view, representation, case, group (column of classes), x (number of neighbours), metric (trustworthiness,
    continuity, neighbourhood_consistency, knn_purity and their chance), value, low, high, n.
    """
    rows = tested(spec, data, NEIGHBOURHOOD)
    rows = rows[~rows["metric"].eq("silhouette")]
    table = rows[["view", "representation", "case", "group", "x", "metric", "value", "low", "high", "n"]]
    k = int(table["x"].dropna().max())
    spaces = [s for s, _ in table.groupby(["view", "representation"], sort=False)]
    several = len({view for view, _ in spaces}) > 1
    names = [("the features" if r == FEATURES else in_words(r)) + (f" of {in_words(v)}" if several else "")
             for v, r in spaces]  # fmt: skip
    labels = list(dict.fromkeys(table.loc[table["metric"] == "knn_purity", "group"]))
    n = int(table["n"].max())
    notes = [
        f"{k} nearest neighbours of {n:,} rows. Trustworthiness falls with neighbours in the space that are far in the "
        "features, continuity with neighbours in the features that are far in the space; both are about 0.5 by chance. "
        "Kept: mean share of the neighbours in one that are neighbours in the other. Alike: mean share of the "
        "neighbours with the same class; lines: 95 % intervals over draws of whole groups of rows; dashed: chance.",
        "Rows that a space was trained on are among them. Classes were never a feature.",
    ]
    handles = [
        handle("trustworthiness", PALETTE[0]),
        handle("continuity", PALETTE[1], "^"),
        handle("neighbours kept, or alike", PALETTE[2], "D"),
        reference("chance"),
    ]
    panels = [None, "neighbourhood_consistency", *labels]
    high = 0.27 * len(spaces) + 0.95
    figure, axes = page(
        data, _neighbours_title(table, k, spaces, names), notes, columns=len(panels), panel=(3.3, high), sharey=True,
        legend=handles,
    )  # fmt: skip
    for ax, panel in zip(axes[0], panels, strict=True):
        for y, (view, representation) in enumerate(spaces):
            here = table[(table["view"] == view) & (table["representation"] == representation)].set_index("metric")
            if panel is None:
                for metric, shade, shape, offset in (("trustworthiness", PALETTE[0], "o", -0.12),
                                                     ("continuity", PALETTE[1], "^", 0.12)):  # fmt: skip
                    if metric in here.index:
                        point(ax, y + offset, here.loc[metric], shade, shape)
                continue
            metric = panel if panel == "neighbourhood_consistency" else "knn_purity"
            of_panel = here if metric == panel else here[here["group"] == panel]
            if metric in of_panel.index:
                point(ax, y, of_panel.loc[metric], PALETTE[2], "D")
                chance = of_panel.loc[f"{metric}_chance", "value"]
                ax.plot([chance, chance], [y - 0.5, y + 0.5], color=INK, lw=0.9, ls=DASHED, zorder=1)
        if panel is None:
            ax.axvline(0.5, color=INK, lw=0.9, ls=DASHED, zorder=1)
            ax.set(title="Order of neighbours", xlabel="Score (dimensionless)", xlim=(0.45, 1.02))
        elif panel == "neighbourhood_consistency":
            ax.set(title="Neighbours kept", xlabel="Share of the neighbours", xlim=(0, 1.02))
        else:
            ax.set(title=f"Alike in {in_words(panel)}", xlabel="Share of the neighbours", xlim=(0, 1.02))
        row_axis(ax, names, [i for i, (_, r) in enumerate(spaces) if r == FEATURES])
    return figure, table.reset_index(drop=True)


def _holes(ax: Axes, here: pd.DataFrame) -> None:
    way = here[here["case"] == LINE]
    for metric, dash, mark in (("distance", "-", "o"), ("distance_p95", DOTTED, None)):
        curve = way[way["metric"] == metric].sort_values("x")
        ax.plot(curve["x"], curve["value"], color=_SHADES[LINE], lw=1.4, ls=dash, marker=mark, ms=4.5)
        known = curve.dropna(subset=["low", "high"])
        if mark:
            ax.fill_between(known["x"], known["low"], known["high"], color=_SHADES[LINE], alpha=0.18, lw=0)
    cases = [case for case in _BESIDE if case in set(here["case"])]
    ticks, names = [0, 0.5, 1], ["0", "0.5", "1"]
    for place, case in enumerate(cases):
        x = _FIRST + _STEP * place
        of_case = here[here["case"] == case].set_index("metric")
        row, far = of_case.loc["distance"], of_case.loc["distance_p95", "value"]
        ax.plot([x, x], [row["value"], far], color=_SHADES[case], lw=0.8, ls=DOTTED)
        ax.plot([x, x], row[["low", "high"]].astype(float), color=_SHADES[case], lw=2.2, solid_capstyle="butt")
        ax.plot(x, row["value"], marker="o", ms=5.5, color=_SHADES[case])
        ax.plot([x - 0.06, x + 0.06], [far, far], color=_SHADES[case], lw=1.4)
        ticks.append(x)
        names.append(f"{_BESIDE[case]}\n({100 * of_case.loc['share_beyond', 'value']:.0f} %)")
        if case == HELD_OUT:
            ax.axhline(row["value"], color=INK, lw=0.9, ls=DASHED, zorder=1)
            ax.axhline(far, color=INK, lw=0.9, ls=DOTTED, zorder=1)
    ax.axvline(1.08, color=MUTED, lw=0.8)
    ax.set_xticks(ticks, names)
    for label in ax.get_xticklabels()[3:]:
        label.set_fontsize(7.5)
    ax.grid(axis="x", visible=False)
    ax.set_xlim(-0.04, _FIRST + _STEP * (len(cases) - 1) + 0.16)
    ax.set_xlabel("Share of the way")
    ax.xaxis.set_label_coords(0.2, -0.09)


def _holes_title(table: pd.DataFrame, networks: list[str]) -> str:
    """How many samples of each network lie in holes."""
    beyond = table[table["metric"] == "share_beyond"]
    said = []
    for network in networks:
        here = beyond[beyond["representation"] == network]
        way = here[here["case"] == LINE]
        middle = way.loc[(way["x"] - 0.5).abs().idxmin(), "value"] if len(way) else np.nan
        fitted = here.loc[here["case"] == FITTED, "value"].iloc[0]
        drawn = f"{100 * fitted:.0f} % of codes from the fitted Gaussian"
        said.append(f"of {in_words(network)} {drawn} and {100 * middle:.0f} % half-way")
    return f"In holes, further out than 95 % of real rows: {listed(said)}"


def _neighbours_title(table: pd.DataFrame, k: int, spaces: list, names: list[str]) -> str:
    kept = table[table["metric"] == "neighbourhood_consistency"].set_index(["view", "representation"])["value"]
    chance = table.loc[table["metric"] == "neighbourhood_consistency_chance", "value"].iloc[0]
    said = [f"{name} {100 * kept[space]:.0f} %" for space, name in zip(spaces, names, strict=True) if space in kept]
    return f"Of the {k} nearest neighbours are kept by {listed(said)}; by chance {number(100 * chance)} %"
