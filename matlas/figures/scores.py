"""How well clusterings find the true classes: every one beside the others, and over the depth of a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matlas.errors import DataError
from matlas.figures.parameters import finds_k, network_stages, of_space, required, table_of
from matlas.figures.study_data import SpaceKey, StudyData, in_words
from matlas.figures.style import INK, MARKERS, MUTED, PALETTE, beside, count, listed, page

METRICS = ("ari", "nmi", "purity")
_ARI = "Adjusted Rand index with the classes"
_RUN = ["view", "representation", "clustering"]


def score_summary(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Agreement with the classes of every clustering of every space at `k` clusters, over all seeds; clusterings that
    find their own number of clusters are there with it.

    The table: view, representation, clustering, k, found_k (the number was found, not asked for), metric (ari, nmi,
    purity), median, low, high (over `seeds` runs), chance (median of the same labels in random order).
    """
    k = int(required(spec, "k"))
    runs = _runs(spec, data, k)
    table = _summary(runs)
    ari = table[table["metric"] == "ari"]
    chance = runs.loc[runs["metric"] == "ari_chance", "value"].median()
    clusterings = list(dict.fromkeys(ari["clustering"]))
    styles = _styles(clusterings)
    found = [name for name in clusterings if ari.loc[ari["clustering"] == name, "found_k"].any()]
    notes = [
        f"K = {k}. Dot: median over seeds; line: smallest to largest; small dots: single seeds. ARI is 1 for equal "
        "partitions and about 0 for unrelated ones (dashed: the same labels in random order)."
        + (f" Hollow: {listed(found)} found the K beside the dot." if found else ""),
        _says_how_compared(ari),
    ]
    lines, ticks = _lines(data, ari)
    height = 0.155 * (max(lines.max(), max(ticks)) + 1) + 1.0
    handles = [
        Line2D([], [], color=styles[name][0], marker=styles[name][1], ms=5.5, mew=1.2, lw=1.4,
               mfc="white" if name in found else None, label=name)
        for name in clusterings
    ]  # fmt: skip
    handles.append(Line2D([], [], color=INK, lw=0.9, ls=(0, (4, 3)), label="chance"))
    figure, axes = page(data, _best(data, ari) + _what_matters(ari), notes, panel=(8.6, height), legend=handles)
    ax = axes[0, 0]
    seeds = runs[runs["metric"] == "ari"]
    for line, row in zip(lines, ari.itertuples(), strict=True):
        shade, shape = styles[row.clustering]
        single = of_space(seeds, (row.view, row.representation))
        single = single.loc[single["clustering"] == row.clustering, "value"]
        ax.plot(single, np.full(len(single), line), ls="none", marker="o", ms=3, color=shade, mew=0)
        ax.plot([row.low, row.high], [line, line], color=shade, lw=1.1, alpha=0.55, solid_capstyle="butt")
        ax.plot(row.median, line, marker=shape, ms=5.5, color=shade, mfc="white" if row.found_k else shade, mew=1.2)
        if row.found_k:
            ax.annotate(f"K = {row.k}", (row.high, line), xytext=(6, 0), textcoords="offset points", size=7.5,
                        va="center", color=MUTED)  # fmt: skip
    ax.axvline(chance, color=INK, lw=0.9, ls=(0, (4, 3)), zorder=1)
    _group_axis(ax, ticks, lines)
    ax.set_xlabel(f"{_ARI} (dimensionless)")
    return figure, table


def score_by_stage(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """ARI with the classes at `k` clusters against the stage of a network; a panel a network and representation.

    Views <network>_stage1 … are the stages and <network> is the last. Views of no network stand beside them as dashed
    lines, in the same representation where they have it, else in that with the largest median. The table: network
    (empty for a view of none), stage, view, representation, clustering, k, metric (ari), median, low, high, seeds,
    chance. Raises DataError where no network has two stages.
    """
    k = int(required(spec, "k"))
    table = _summary(_runs(spec, data, k))
    table = table[(table["metric"] == "ari") & ~table["found_k"]].drop(columns="found_k")
    stages = network_stages(table["view"])
    table.insert(0, "network", table["view"].map(lambda view: stages.get(view, (None, None))[0]))
    table.insert(1, "stage", table["view"].map(lambda view: stages.get(view, (None, None))[1]).astype("Int64"))
    of_networks = table[table["stage"].notna()]
    panels = list(dict.fromkeys(zip(of_networks["network"], of_networks["representation"], strict=True)))
    if not panels:
        raise DataError(
            "no network with several stages", where=f"study {data.study}, {spec['name']}",
            expected="views <network>_stage1 … and <network>", found=sorted(set(table["view"])),
            do="name the stages under `views` of the study",
        )  # fmt: skip
    styles = _styles(list(dict.fromkeys(table["clustering"])))
    seeds = int(table["seeds"].max())
    others = {panel: _beside_network(table, panel[1]) for panel in panels}
    dashed = list(dict.fromkeys(view for other in others.values() for view in other["view"]))
    notes = [
        f"K = {k}. Line: median over {count(seeds, 'seed')}; band: smallest to largest. The last stage is the view "
        "that networks are usually read at."
        + (f" Dashed: {listed(in_words(view) for view in dashed)}, by the same clusterings." if dashed else "")
    ]
    handles = [Line2D([], [], color=c, marker=m, ms=5, lw=1.6, label=name) for name, (c, m) in styles.items()]
    figure, axes = page(
        data, _depth(table, panels), notes, columns=len(panels), panel=(4.3, 3.7), sharey=True, legend=handles
    )
    for ax, (network, representation) in zip(axes[0], panels, strict=True):
        here = table[(table["network"] == network) & (table["representation"] == representation)]
        for name, line in here.groupby("clustering", sort=False):
            line, (shade, shape) = line.sort_values("stage"), styles[name]
            at = line["stage"].astype(int)
            ax.fill_between(at, line["low"], line["high"], color=shade, alpha=0.2, lw=0)
            ax.plot(at, line["median"], color=shade, marker=shape, ms=5, lw=1.6)
        for row in others[network, representation].itertuples():
            ax.axhline(row.median, color=styles[row.clustering][0], lw=1.1, ls=(0, (4, 3)), zorder=1)
        ax.set_title(data.space_name((network, representation)))
        last = int(here["stage"].max())
        whole = network in set(here["view"])
        ax.set_xticks(range(1, last + 1), [*map(str, range(1, last)), f"{last} (last)" if whole else str(last)])
        ax.set(xlabel="Stage of the network", xlim=(0.8, last + 0.2))
        ax.tick_params(labelleft=True)
    for ax in axes[0, :: beside(len(panels))]:
        ax.set_ylabel(f"{_ARI}\n(dimensionless)")
    return figure, table.reset_index(drop=True)


def _runs(spec: Mapping, data: StudyData, k: int) -> pd.DataFrame:
    """The scores of every run at k, or at the number that a clustering found, in the study's order; found_k says so."""
    scores = table_of(spec, data, "scores")
    blocks = []
    for space, held in data.spaces.items():
        for clustering in held.clusters:
            rows = of_space(scores, space)
            rows = rows[rows["clustering"] == clustering]
            found = finds_k(data, clustering)
            blocks.append(rows[found | (rows["k"] == k)].assign(found_k=found))
    runs = pd.concat(blocks, ignore_index=True) if blocks else scores.iloc[:0].assign(found_k=False)
    if not len(runs):
        raise DataError(
            f"no scores at K = {k}", where=f"study {data.study}, {spec['name']}",
            expected=f"one of {sorted(set(scores['k']))}", do="draw a K that was swept",
        )  # fmt: skip
    return runs


def _summary(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a clustering of a space and metric, in the order of the runs."""
    rows = []
    for place, group in runs.groupby(_RUN, sort=False):
        reference = group.loc[group["seed"].idxmin()]
        for metric in METRICS:
            values = group.loc[group["metric"] == metric, "value"]
            if len(values):
                chance = group.loc[group["metric"] == f"{metric}_chance", "value"].median()
                rows.append((*place, reference["k"], reference["found_k"], metric, values.median(), values.min(),
                             values.max(), len(values), chance))  # fmt: skip
    names = [*_RUN, "k", "found_k", "metric", "median", "low", "high", "seeds", "chance"]
    return pd.DataFrame(rows, columns=names)


def _styles(clusterings: list[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each clustering."""
    return {n: (PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]) for i, n in enumerate(clusterings)}


def _best(data: StudyData, ari: pd.DataFrame) -> str:
    best = ari.loc[ari["median"].idxmax()]
    where = data.space_name((best["view"], best["representation"]))
    found = f" at the K = {best['k']} it found" if best["found_k"] else ""
    return f"Nearest to the classes: {best['clustering']} on {where}{found}, ARI {best['median']:.2f}"


def moves(ari: pd.DataFrame, what: str) -> float:
    """Mean absolute difference of the medians of two clusterings that differ in `what` (a column) alone; NaN without
    such a pair. Unlike a range it does not grow with the number of views or algorithms."""
    apart = []
    for _, group in ari.groupby([column for column in _RUN if column != what]):
        i, j = np.triu_indices(len(group), k=1)
        values = group["median"].to_numpy()
        apart.append(np.abs(values[i] - values[j]))
    pooled = np.concatenate(apart) if apart else np.array([])
    return float(pooled.mean()) if len(pooled) else np.nan


def _what_matters(ari: pd.DataFrame) -> str:
    """The end of the title: how far another view and another algorithm move the score."""
    said = [f"with the {word} by {by:.2f}" for word, by in _moved(ari).items() if not np.isnan(by)]
    return f"; on average it moves {' and '.join(said)}" if said else ""


def _says_how_compared(ari: pd.DataFrame) -> str:
    if np.isnan(list(_moved(ari).values())).all():
        return ""
    return "Moves: mean difference of the medians of two clusterings at this K that differ in view or algorithm alone."


def _moved(ari: pd.DataFrame) -> dict[str, float]:
    asked = ari[~ari["found_k"]]
    return {"view": moves(asked, "view"), "algorithm": moves(asked, "clustering")}


def _lines(data: StudyData, ari: pd.DataFrame) -> tuple[np.ndarray, dict[float, tuple[str, bool]]]:
    """The line on which each row stands, from above, and the names at the axis: line -> (name, of a view).

    With several representations the name of a view stands above its representations.
    """
    lines, ticks, at = [], {}, 0.0
    for view, of_view in ari.groupby("view", sort=False):
        if data.several_representations:
            ticks[at], at = (in_words(view), True), at + 1
        for representation, here in of_view.groupby("representation", sort=False):
            lines += [at + i for i in range(len(here))]
            name = (in_words(representation), False) if data.several_representations else (in_words(view), True)
            ticks[at + (len(here) - 1) / 2] = name
            at += len(here) + 0.4
        at += 0.6
    return np.array(lines), ticks


def _group_axis(ax: Axes, ticks: Mapping[float, tuple[str, bool]], lines: np.ndarray) -> None:
    ax.set_yticks(list(ticks), [name for name, _ in ticks.values()])
    for label, (_, of_view) in zip(ax.get_yticklabels(), ticks.values(), strict=True):
        label.set_weight("bold" if of_view else "normal")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_ylim(max(lines) + 0.9, min(min(lines), min(ticks)) - 0.9)
    ax.margins(x=0.06)


def _beside_network(table: pd.DataFrame, representation: str) -> pd.DataFrame:
    """Rows of views of no network, one a view and clustering: in this representation, or the best one there is."""
    rows = table[table["stage"].isna()]
    rows = rows.assign(same=rows["representation"] == representation)
    rows = rows.sort_values(["same", "median"], ascending=False, kind="stable").drop_duplicates(["view", "clustering"])
    return rows.sort_index()


def _depth(table: pd.DataFrame, panels: list[SpaceKey]) -> str:
    """Where the best score of each network lies; the largest median over its clusterings and representations."""
    peaks = {}
    for network in dict.fromkeys(network for network, _ in panels):
        here = table[table["network"] == network]
        peak, last = here.loc[here["median"].idxmax()], here["stage"].max()
        place = f"at stage {peak['stage']} of {last}" if peak["view"] != network else "at the last stage"
        peaks[in_words(network)] = f"{place} ({peak['clustering']}, ARI {peak['median']:.2f})"
    return f"The classes are found best {listed(f'{place} in {name}' for name, place in peaks.items())}"
