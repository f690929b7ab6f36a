"""What else clusters and views respond to: conditions of the measurement, and alterations of the entities."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matlas.errors import DataError
from matlas.evaluate.conditions import MEDIUM_EFFECT
from matlas.figures.parameters import at_k, clustered_spaces, clustering_of, finds_k, of_space, required, table_of
from matlas.figures.study_data import StudyData, in_words
from matlas.figures.style import INK, MUTED, PALETTE, count, listed, log_axis, page, property_name

# column of the table (after effect_) -> name, colour, marker, offset from the line of its space
_EFFECTS = {
    "of_label": ("classes", INK, "D", -0.24),
    "of_cluster": ("clusters", PALETTE[0], "o", 0.0),
    "within_label": ("clusters within a class", PALETTE[1], "^", 0.24),
}
_LARGE_EFFECT = 0.14  # a "large" share of variance, f = 0.4 in Cohen 1988, is 0.138
_QUANTILES = {"p5": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "p95": 0.95}


def condition_effects(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Share of each condition's variance that clusters, classes, and clusters within the classes explain; a panel a
    condition, a line a space, over all seeds.

    The table: view, representation, clustering, k, condition, effect (of_cluster, of_label, within_label), median, low,
    high (over `seeds` runs).
    """
    clustering, k = clustering_of(spec, data), int(required(spec, "k"))
    spaces = clustered_spaces(data, clustering)
    table = _effect_table(spec, data, clustering, k)
    conditions = list(dict.fromkeys(table["condition"]))
    seeds = int(table["seeds"].max())
    drawn = [effect for effect in _EFFECTS if effect in set(table["effect"])]
    notes = [
        f"{at_k(spec, clustering, found=finds_k(data, clustering))}. Epsilon squared: share of the condition's "
        f"variance that groups explain, less what chance would; 0 for none, 1 for all. "
        f"Dot: median over {count(seeds, 'seed')}; line: smallest to largest."
        + (" Within a class: what a cluster says about the condition beyond its class." if len(drawn) > 1 else "")
        + (f" More than the classes: by over {MEDIUM_EFFECT}." if len(drawn) > 1 else "")
    ]
    legend = [
        Line2D([], [], color=shade, marker=shape, ms=5, lw=1.4, label=f"explained by {name}")
        for name, shade, shape, _ in (_EFFECTS[effect] for effect in drawn)
    ]
    figure, axes = page(
        data, _condition_title(data, table, clustering), notes, columns=len(conditions), legend=legend,
        panel=(3.4, 0.42 * len(spaces) + 1.1), sharey=True, sharex=True,
    )  # fmt: skip
    for ax, condition in zip(axes[0], conditions, strict=True):
        for line, space in enumerate(spaces):
            here = of_space(table[table["condition"] == condition], space).set_index("effect")
            for effect in drawn:
                _, shade, shape, offset = _EFFECTS[effect]
                if effect in here.index:
                    low, middle, high = here.loc[effect, ["low", "median", "high"]]
                    ax.plot([low, high], [line + offset] * 2, color=shade, lw=1.4)
                    ax.plot(middle, line + offset, marker=shape, ms=5, color=shade, ls="none")
        ax.axvline(0, color=MUTED, lw=0.8, zorder=1)
        ax.set_title(_condition_name(data, condition))
        ax.set_yticks(range(len(spaces)), [data.space_name(space) for space in spaces])
        ax.set_ylim(len(spaces) - 0.5, -0.5)
        ax.set_xlabel("Epsilon squared (dimensionless)")
        ax.tick_params(axis="x", labelbottom=True)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", visible=False)
        for line in range(1, len(spaces)):
            ax.axhline(line - 0.5, color="#e6e6e6", lw=0.6, zorder=0)
    return figure, table


def sensitivity(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """How far altered copies travel in each view over the spread of a class there; a panel an alteration, a line a
    view.

    The table: view, alteration, copies, p5, q25, median, q75, p95 (of the ratio). Raises DataError for no copies.
    """
    rows = table_of(spec, data, "sensitivity")
    grouped = rows.groupby(["alteration", "view"], sort=False)["ratio"]
    table = pd.DataFrame({"copies": grouped.size(), **{n: grouped.quantile(q) for n, q in _QUANTILES.items()}})
    table = table.reset_index()[["view", "alteration", "copies", *_QUANTILES]]
    views, alterations = (list(dict.fromkeys(rows[column])) for column in ("view", "alteration"))
    two, another = ("two entities of a class", "another of its class") if data.label else ("two entities", "any other")
    notes = [
        f"Travel: distance between an entity and its altered copy in the view. Spread: median distance between {two} "
        f"there. At 1 (dashed) a copy is as far from its original as {another} typically is: what was done to it hides "
        "which it was. Box: quartiles; stroke: median; line: 5–95 %."
    ]
    panel = (3.8 if len(alterations) < 3 else 2.5, 0.27 * len(views) + 0.95)
    figure, axes = page(
        data, _sensitivity_title(table), notes, columns=len(alterations), across=4, panel=panel, sharex=True,
        sharey=True,
    )  # fmt: skip
    for ax, alteration in zip(axes[0], alterations, strict=True):
        here = table[table["alteration"] == alteration].set_index("view")
        for line, view in enumerate(views):
            if view in here.index:
                p5, q25, median, q75, p95 = here.loc[view, list(_QUANTILES)]
                ax.plot([p5, p95], [line, line], color=PALETTE[0], lw=1.2)
                ax.plot([q25, q75], [line, line], color=PALETTE[0], lw=6, solid_capstyle="butt")
                ax.plot([median, median], [line - 0.27, line + 0.27], color=INK, lw=1.8, solid_capstyle="butt")
        ax.axvline(1, color=INK, lw=0.9, ls=(0, (4, 3)), zorder=1)
        ax.set_title(in_words(alteration))
        ax.set_yticks(range(len(views)), [in_words(view) for view in views])
        ax.set_ylim(len(views) - 0.4, -0.6)
        ax.set_xlabel("Travel over spread")
        ax.tick_params(axis="x", labelbottom=True)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", visible=False)
    _ratio_axis(axes[0, 0], table)
    return figure, table


def _effect_table(spec: Mapping, data: StudyData, clustering: str, k: int) -> pd.DataFrame:
    measured = table_of(spec, data, "conditions")
    rows = measured[(measured["clustering"] == clustering) & (finds_k(data, clustering) | (measured["k"] == k))]
    if not len(rows):
        known = sorted(set(measured.loc[measured["clustering"] == clustering, "k"]))
        raise DataError(
            f"no effects of {clustering} at K = {k}", where=f"study {data.study}, {spec['name']}: conditions",
            expected=f"one of {known}", do="draw a K that was swept",
        )  # fmt: skip
    key = ["view", "representation", "clustering", "k", "condition"]
    long = rows.melt([*key, "seed"], [f"effect_{e}" for e in _EFFECTS], "effect", "value").dropna(subset="value")
    long["effect"] = long["effect"].str.removeprefix("effect_")
    over_seeds = long.groupby([*key, "effect"], sort=False)["value"]
    return over_seeds.agg(median="median", low="min", high="max", seeds="size").reset_index()


def _condition_name(data: StudyData, condition: str) -> str:
    return property_name(data, condition, start=True) if condition in data.fields else in_words(condition)


def _condition_title(data: StudyData, table: pd.DataFrame, clustering: str) -> str:
    """Whether clusters split on conditions more than the classes do, by the medians and by more than MEDIUM_EFFECT, and
    where they split a class most."""
    wide = table.pivot(index=["condition", "view", "representation"], columns="effect", values="median")
    if "of_label" not in wide:
        most, share = wide["of_cluster"].idxmax()[0], wide["of_cluster"].max()
        return f"Of the conditions, clusters of {clustering} explain most of {in_words(most)}: {100 * share:.0f} %"
    more = wide["of_cluster"] > wide["of_label"].clip(lower=0) + MEDIUM_EFFECT
    more = more.groupby("condition", sort=False).agg(["sum", "size"])
    said = [f"{in_words(name)} in {row['sum']} of {row['size']}" for name, row in more.iterrows()]
    spaces = "spaces" if data.several_representations else "views"
    on = f"more than the classes do on {listed(said)} {spaces}"
    on = on if more["sum"].any() else "on no condition more than the classes do"
    return f"Clusters of {clustering} split {on}{_within_classes(data, wide)}"


def _within_classes(data: StudyData, wide: pd.DataFrame) -> str:
    """The end of the title: the largest effect inside the classes, where it is a large one."""
    within = wide["within_label"].dropna() if "within_label" in wide else pd.Series(dtype=float)
    if not len(within) or within.max() < _LARGE_EFFECT:
        return ""
    condition, *space = within.idxmax()
    return (
        f"; within a class, clusters of {data.space_name(tuple(space))} explain up to {100 * within.max():.0f} % of "
        f"{in_words(condition)}"
    )


def _sensitivity_title(table: pd.DataFrame) -> str:
    """The alteration that moves copies furthest, and where it does so most and least."""
    worst = table.loc[table["median"].idxmax()]
    of_it = table[table["alteration"] == worst["alteration"]]
    least = of_it.loc[of_it["median"].idxmin()]
    title = (
        f"{in_words(worst['alteration']).capitalize()} moves copies furthest: in {in_words(worst['view'])} "
        f"{worst['median']:.2f} times the spread"
    )
    return title + (f", in {in_words(least['view'])} {least['median']:.2f}" if len(of_it) > 1 else "")


def _ratio_axis(ax, table: pd.DataFrame) -> None:
    """A logarithmic axis where medians differ by more than a factor of 30; 1 is always on it."""
    medians = table["median"].dropna()
    low, high = float(table["p5"].min()), float(max(table["p95"].max(), 1.0))
    if medians.min() > 0 and medians.max() > 30 * medians.min():
        positive = table.loc[table["p5"] > 0, "p5"]
        log_axis(ax, float(min(positive.min() if len(positive) else medians.min(), 1.0)), high, "x")
    else:
        ax.set_xlim(min(0.0, low), 1.05 * high)
