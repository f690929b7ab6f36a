"""Scores of a clustering over the number of clusters, and their spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from matlas.errors import ConfigError, DataError
from matlas.figures.parameters import clustered_spaces, clustering_of, of_space, sweep_rows
from matlas.figures.study_data import SpaceKey, StudyData
from matlas.figures.style import FAINT, HIGHLIGHT, INK, MUTED, PALETTE, by_space, page

BAND = (0.05, 0.95)  # quantiles over seeds that a band spans
_METRIC_NAMES = {"inertia": "Inertia", "bic": "BIC", "silhouette": "Mean silhouette"}
_NOT_COMPARABLE = "Silhouettes of different feature spaces can't be compared: each panel has its own axis."


def cluster_sweep(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Inertia or BIC above silhouette, over K; a column a space; the spread over seeds as a band.

    The table: view, representation, clustering, metric, k, value (the reference run), low, high (5 and 95 % over
    `seeds` runs, the reference among them; empty for one run), is_best_k.
    """
    clustering = clustering_of(spec, data)
    spaces = clustered_spaces(data, clustering)
    table = pd.concat([_sweep_table(data, space, clustering) for space in spaces], ignore_index=True)
    best = {data.space_name(s): _best_k(sweep_rows(data, s, clustering)) for s in spaces}
    ends = [name for name, s in zip(best, spaces, strict=True) if best[name] == of_space(table, s)["k"].max()]
    title = f"The silhouette is largest at K = {by_space({name: str(k) for name, k in best.items()})}"
    if ends:
        title += ", the end of the sweep" + (f" for {' and '.join(ends)}" if len(ends) < len(best) else "")
    seeds = int(table["seeds"].max())
    notes = [
        f"{clustering}. Dashed: K with the largest silhouette."
        + (f" Band: 5–95 % over {seeds} seeds; line: the reference." if seeds > 1 else "")
        + (f" {_NOT_COMPARABLE}" if len(spaces) > 1 else "")
        + _sampled([sweep_rows(data, space, clustering) for space in spaces])
    ]
    figure, axes = page(data, title, notes, rows=2, columns=len(spaces), panel=(4.6, 2.5), sharex="col")
    for column, space in enumerate(spaces):
        here = of_space(table, space)
        metrics = [m for m in _METRIC_NAMES if m in set(here["metric"])]
        for ax, metric in zip(axes[:, column], metrics, strict=True):
            curve = here[here["metric"] == metric]
            ax.fill_between(curve["k"], curve["low"], curve["high"], color=PALETTE[0], alpha=0.25, lw=0)
            ax.plot(curve["k"], curve["value"], color=PALETTE[0], marker="o", ms=3.5 if len(curve) < 30 else 2, lw=1.4)
            ax.set_ylabel(_METRIC_NAMES[metric])
            ax.margins(y=0.12)
            _mark_best(ax, curve, best[data.space_name(space)])
        axes[0, column].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace("-", "−")))
        axes[0, column].set_title(data.space_name(space))
        _k_axis(axes[-1, column])
    return figure, table


def _sampled(sweeps: list[pd.DataFrame]) -> str:
    rows = pd.concat(sweeps).query("metric == 'silhouette_rows'")["value"]
    return f" Silhouettes of {int(rows.max()):,} rows drawn at random." if len(rows) else ""


def seed_spread(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """How often each K is best over the seeds, above the silhouette of each seed; a column a space.

    The table: view, representation, clustering, metric (best_k or silhouette), k (empty for best_k), seed, value,
    is_reference.
    """
    clustering = clustering_of(spec, data)
    spaces = clustered_spaces(data, clustering)
    table = pd.concat([_seed_table(data, space, clustering) for space in spaces], ignore_index=True)
    seeds = table.groupby(["view", "representation"])["seed"].nunique()
    if seeds.max() < 2:
        raise ConfigError(
            "seed_spread needs runs with other seeds",
            where=spec["name"],
            found="one seed",
            do=f"set stability.seeds of {clustering} in config/methods.yaml to 2 or more",
        )
    chosen = {data.space_name(s): of_space(table, s).query("metric == 'best_k'")["value"] for s in spaces}
    ranges = {n: f"{v.min():.0f}" + (f" to {v.max():.0f}" if v.max() > v.min() else "") for n, v in chosen.items()}
    title = f"Over {seeds.max()} seeds the silhouette picks K = {by_space(ranges)}"
    notes = [f"{clustering}. In red: the reference run." + (f" {_NOT_COMPARABLE}" if len(spaces) > 1 else "")]
    figure, axes = page(data, title, notes, rows=2, columns=len(spaces), panel=(4.6, 2.5), sharex="col")
    for column, space in enumerate(spaces):
        here, name = of_space(table, space), data.space_name(space)
        above, below = axes[:, column]
        picked = chosen[name].astype(int)
        counts = picked.value_counts().sort_index()
        reference = int(here[(here["metric"] == "best_k") & here["is_reference"]]["value"].iloc[0])
        colours = [HIGHLIGHT if k == reference else PALETTE[0] for k in counts.index]
        bars = above.bar(counts.index, counts, color=colours, width=0.8)
        above.bar_label(bars, size=8, padding=1)
        above.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        above.set_ylabel("Seeds with this best K")
        above.set_title(name)
        above.margins(y=0.15)
        curves = here[here["metric"] == "silhouette"]
        for _, curve in curves[~curves["is_reference"]].groupby("seed"):
            below.plot(curve["k"], curve["value"], color=MUTED, lw=0.7, alpha=0.6)
        curve = curves[curves["is_reference"]]
        below.plot(curve["k"], curve["value"], color=HIGHLIGHT, lw=1.6, marker="o", ms=3)
        below.set_ylabel(_METRIC_NAMES["silhouette"])
        _k_axis(below)
    return figure, table


def _sweep_table(data: StudyData, space: SpaceKey, clustering: str) -> pd.DataFrame:
    runs = _runs(sweep_rows(data, space, clustering))
    runs = runs[runs["k"].notna() & runs["value"].notna()]
    elbow = "inertia" if (runs["metric"] == "inertia").any() else "bic"
    runs = runs[runs["metric"].isin([elbow, "silhouette"])]
    reference = runs[runs["split"] == "all"].set_index(["metric", "k"])[["value"]]
    for metric in (elbow, "silhouette"):
        if metric not in reference.index.get_level_values("metric"):
            raise DataError(f"clustering {clustering!r} has no {metric}", where=" / ".join(space))
    over_seeds = runs.groupby(["metric", "k"])["value"]
    table = reference.assign(
        low=over_seeds.quantile(BAND[0]), high=over_seeds.quantile(BAND[1]), seeds=over_seeds.size()
    ).reset_index()
    table.loc[table["seeds"] < 2, ["low", "high"]] = np.nan
    table["is_best_k"] = table["k"] == _best_k(sweep_rows(data, space, clustering))
    return _placed(table, space, clustering).sort_values(["metric", "k"])


def _seed_table(data: StudyData, space: SpaceKey, clustering: str) -> pd.DataFrame:
    runs = _runs(sweep_rows(data, space, clustering))
    runs = runs[runs["metric"].isin(["best_k", "silhouette"]) & runs["value"].notna()]
    table = runs[["metric", "k", "seed", "value"]].assign(is_reference=runs["split"] == "all")
    return _placed(table, space, clustering).sort_values(["metric", "seed", "k"])


def _runs(rows: pd.DataFrame) -> pd.DataFrame:
    """The reference run and its reruns; a rerun with the seed of the reference is the reference once more."""
    runs = rows[rows["split"].isin(["all", "seed"])].sort_values("split", kind="stable")  # "all" comes first
    return runs.drop_duplicates(["metric", "k", "seed"])


def _best_k(rows: pd.DataFrame) -> int:
    best = rows[(rows["metric"] == "best_k") & (rows["split"] == "all")]["value"]
    if len(best) != 1:
        raise DataError("a clustering has one best K", where=rows["method"].iloc[0], expected="1", found=len(best))
    return int(best.iloc[0])


def _placed(table: pd.DataFrame, space: SpaceKey, clustering: str) -> pd.DataFrame:
    for position, (name, value) in enumerate(zip(("view", "representation"), space, strict=True)):
        table.insert(position, name, value)
    table.insert(2, "clustering", clustering)
    return table


def _mark_best(ax: Axes, curve: pd.DataFrame, best: int) -> None:
    ax.axvline(best, color=HIGHLIGHT, lw=1, ls=(0, (4, 3)), zorder=1)
    at = curve[curve["k"] == best]
    ax.plot(at["k"], at["value"], marker="o", ms=7, mfc="none", mec=HIGHLIGHT, mew=1.5, ls="none")
    left = best > curve["k"].median()
    ax.annotate(f"K = {best}", (best, 1), xycoords=("data", "axes fraction"), xytext=(-4 if left else 4, -2),
                textcoords="offset points", ha="right" if left else "left", va="top", color=HIGHLIGHT)  # fmt: skip


def _k_axis(ax: Axes) -> None:
    ax.set_xlabel("Number of clusters K")
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True, steps=[1, 2, 5, 10]))
    ax.tick_params(axis="x", color=FAINT, labelcolor=INK)
