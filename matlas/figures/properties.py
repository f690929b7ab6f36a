"""Measured properties of the clusters, which were found without looking at them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from matlas.errors import ConfigError, DataError
from matlas.figures.classes import class_numbers, cluster_names, cluster_numbers
from matlas.figures.labels import spread_line
from matlas.figures.parameters import at_k, clustered_spaces, clustering_of, column, columns, finds_k, labels_of
from matlas.figures.study_data import SpaceKey, StudyData, in_words
from matlas.figures.style import (
    FAINT,
    INK,
    MUTED,
    axis_label,
    beside,
    by_space,
    colour,
    count,
    listed,
    log_axis,
    marker,
    not_all,
    page,
    property_name,
    settle,
)  # fmt: skip

SOLID_ROWS = 5  # a median of fewer rows is drawn hollow
HIGHLIGHTED = 4  # clusters drawn in colour; more lines can't be told apart
BINS = 15  # at most about this many steps of `against`
_LABEL_POINTS = 11  # height of a line of labels
_STATISTICS = {"p5": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "p95": 0.95}


def property_trend(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Median of `property` against `against`, a line a cluster of at least `min_rows` rows; a column a space.

    The table: view, representation, clustering, cluster, the column that describes the entities (most common value),
    the binned `against` (centre of its bin), rows, property, median, rank of the cluster by its highest bin of at least
    SOLID_ROWS rows. Rows without one of the two values are not counted.
    """
    clustering = clustering_of(spec, data)
    value, against = column(spec, "property", data), column(spec, "against", data)
    min_rows = int(spec.get("min_rows", 20))
    spaces = clustered_spaces(data, clustering)
    own = finds_k(data, clustering)
    labelings = {space: labels_of(spec, data, space, clustering) for space in spaces}
    step = round_step(data.entities[against])
    tables, left_out = {}, {}
    for space, labels in labelings.items():
        table, left_out[data.space_name(space)] = _trend_table(data, labels, value, against, step, min_rows)
        tables[space] = table.assign(view=space[0], representation=space[1], clustering=clustering)[
            ["view", "representation", "clustering", *table.columns]
        ]
    if not any(map(len, tables.values())):
        raise DataError(
            f"no cluster has {min_rows} rows with {value} and {against}",
            where=f"study {data.study}, {spec['name']}", do="lower min_rows",
        )  # fmt: skip
    few = f"fewer than {count(min_rows, 'row')}"
    if any(left_out.values()):
        said = f"Clusters left out, with {few}: {by_space({name: str(n) for name, n in left_out.items()})}."
    else:
        said = f"No cluster has {few}."
    if missing := int(data.entities[[value, against]].isna().any(axis=1).sum()):
        said += f" {count(missing, 'row')} without one of the two values."
    if any((table["rank"] > HIGHLIGHTED).any() for table in tables.values()):
        said = f"In colour: the {HIGHLIGHTED} clusters with the highest step that is not hollow. {said}"
    steps = f"{step:g} {data.fields[against].unit.removesuffix('1')}".rstrip()
    notes = [
        f"{at_k(spec, clustering, found=own)}. Medians in steps of {steps} of {property_name(data, against)}; "
        f"hollow: fewer than {SOLID_ROWS} rows. {said}"
        + not_all(data, {space: len(labels) for space, labels in labelings.items()})
    ]
    words = property_name(data, value, start=True)
    title = f"Median {words} against {property_name(data, against)}{_leaders(data, tables, labelings, against)}"
    figure, axes = page(data, title, notes, columns=len(spaces), panel=(5.0, 4.0), sharey=True, sharex=True)
    ends = []
    for ax, (space, table) in zip(axes[0], tables.items(), strict=True):
        names, numbers = cluster_names(data, labelings[space]), cluster_numbers(data, labelings[space])
        ends.append((ax, _trend_lines(ax, table, against, names, numbers)))
        ax.set_title(data.space_name(space))
        ax.set_xlabel(axis_label(data, against))
        ax.tick_params(labelleft=True)
    for ax in axes[0, :: beside(len(spaces))]:
        ax.set_ylabel(f"Median {axis_label(data, value)}")
    settle(figure)
    for ax, lines in ends:
        _label_ends(ax, lines)
    return figure, pd.concat(tables.values(), ignore_index=True)


def property_boxes(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Box plots of `properties` per cluster, ordered by the median of the first; a row a property, a column a space.

    The table: view, representation, clustering, property, cluster, the column that describes the entities (most common
    value), rows, missing, non_positive, p5, q25, median, q75, p95 (of all values, the non-positive among them),
    median_of_all (over all clusters).
    """
    clustering = clustering_of(spec, data)
    names = columns(spec, "properties", data)
    log = list(spec.get("log") or [])
    for name in log:
        if name not in names:
            raise ConfigError(
                f"log axis for {name!r}, which is not drawn", where=f"{spec['name']}: log", expected=f"one of {names}"
            )
    spaces = clustered_spaces(data, clustering)
    own = finds_k(data, clustering)
    labelings = {space: labels_of(spec, data, space, clustering) for space in spaces}
    tables = {space: _box_table(data, space, clustering, labels, names) for space, labels in labelings.items()}
    table = pd.concat(tables.values(), ignore_index=True)
    first = property_name(data, names[0])
    title = (
        f"{listed([property_name(data, n, start=i == 0) for i, n in enumerate(names)])} by cluster"
        f", ordered by median {first}"
    )
    hidden = {n: int((data.entities[n] <= 0).sum()) for n in log}
    told = [f"{count(k, 'row')} with {property_name(data, n)} of 0 or less" for n, k in hidden.items() if k]
    notes = [
        f"{at_k(spec, clustering, found=own)}. Box: quartiles and median; whiskers: 5–95 %; dashed: median of all "
        "rows."
        + not_all(data, {space: len(labels) for space, labels in labelings.items()})
        + (f" Not to be shown on a log axis, though counted in the boxes: {listed(told)}." if told else "")
    ]
    widest = max(t["cluster"].nunique() for t in tables.values())
    width = max(4.6, 0.34 * widest + 0.7)
    written = {space: cluster_names(data, labels) for space, labels in labelings.items()}
    longest = max(
        len(part) for names_of in written.values() for name in names_of.values() for part in name.split(" · ")
    )
    upright = 0.075 * longest > (width - 0.7) / widest  # names would cover one another
    high = 2.05 + (0.075 * (longest + 4) / len(names) if upright else 0.0)
    figure, axes = page(
        data, title, notes, rows=len(names), columns=len(spaces), panel=(width, high), sharey="row", sharex="col"
    )  # fmt: skip
    for j, (space, here) in enumerate(tables.items()):
        clusters = list(here.loc[here["property"] == names[0], "cluster"])
        numbers = cluster_numbers(data, labelings[space])
        for i, name in enumerate(names):
            _boxes(axes[i, j], here[here["property"] == name], numbers)
        axes[0, j].set_title(data.space_name(space))
        below = [written[space][c] if upright else written[space][c].replace(" · ", "\n") for c in clusters]
        axes[-1, j].set_xticks(range(len(clusters)), below, rotation=90 if upright else 0, parse_math=False)
        and_what = f" and its most common {in_words(data.described_by)}" if data.described_by else ""
        and_what = " and the class that it stands for, if any" if class_numbers(data) else and_what
        axes[-1, j].set_xlabel(f"Cluster{and_what}")
    for i, name in enumerate(names):
        for ax in axes[i, :: beside(len(spaces))]:
            ax.set_ylabel(axis_label(data, name).replace(" (", "\n("))
        _value_axis(axes[i, 0], table[table["property"] == name], name in log)
    return figure, table


def round_step(values: pd.Series) -> float:
    """A step of 1, 2 or 5 times a power of ten that cuts the range of `values` into at most BINS steps; 1 where there
    is no range."""
    span = float(values.max() - values.min())
    if not span > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(span / BINS))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power * BINS >= span * (1 - 1e-12)))


def _binned(values: pd.Series, step: float) -> pd.Series:
    """The centre of the step that each value lies in; rounded, so that 0.3 is 0.3."""
    return (np.floor(values / step + 0.5) * step).round(12)


def _trend_table(
    data: StudyData, labels: pd.Series, value: str, against: str, step: float, min_rows: int
) -> tuple[pd.DataFrame, int]:
    """The lines of one space, and how many clusters are too small for one."""
    about = data.entities.loc[labels.index]
    rows = pd.DataFrame({"cluster": labels, "at": _binned(about[against], step), "value": about[value]}).dropna()
    sizes = rows.groupby("cluster").size().reindex(sorted(labels.unique()), fill_value=0)
    large = sizes.index[sizes >= min_rows]
    rows = rows[rows["cluster"].isin(large)]
    table = rows.groupby(["cluster", "at"])["value"].agg(rows="size", median="median").reset_index()
    # the highest step counts; a cluster that has only thin steps comes after those with solid ones
    peak = table[table["rows"] >= SOLID_ROWS].groupby("cluster")["median"].max().reindex(large)
    rank = peak.rank(ascending=False, method="first", na_option="bottom").astype(int)
    table = pd.DataFrame(
        {
            "cluster": table["cluster"], **data.described(table["cluster"], labels), against: table["at"],
            "rows": table["rows"], "property": value, "median": table["median"],
            "rank": table["cluster"].map(rank),
        }
    )  # fmt: skip
    return table, int((sizes < min_rows).sum())


def _leaders(
    data: StudyData, tables: Mapping[SpaceKey, pd.DataFrame], labelings: Mapping[SpaceKey, pd.Series], against: str
) -> str:
    """The end of the title: the cluster with the highest step in each space that has a line, and where that is."""
    leaders = {}
    unit = data.fields[against].unit.removesuffix("1")
    for space, table in tables.items():
        line = table[table["rank"] == 1]
        solid = line[line["rows"] >= SOLID_ROWS]
        if len(line):
            peak = line.loc[(solid if len(solid) else line)["median"].idxmax()]
            name = cluster_names(data, labelings[space])[peak["cluster"]]
            leaders[data.space_name(space)] = f"{name} at {peak[against]:g} {unit}".rstrip()
    if pd.concat(tables.values())["median"].nunique() < 2:
        return ", by cluster"
    several = "s" if len(set(leaders.values())) > 1 else ""
    return f" is highest in cluster{several} {by_space(leaders)} (steps of {SOLID_ROWS} rows or more)"


def _trend_lines(
    ax: Axes, table: pd.DataFrame, against: str, names: Mapping[int, str], numbers: Mapping[int, int]
) -> list[tuple[str, str, bool, float, float]]:
    """Draw each cluster's line, the highlighted on top; returns name, colour, highlighted and end of each."""
    ends = []
    for cluster, line in table.groupby("cluster"):
        strong = line["rank"].iloc[0] <= HIGHLIGHTED
        shade = colour(numbers[cluster]) if strong else FAINT
        few = line["rows"] < SOLID_ROWS
        style = {"color": shade, "zorder": 3 if strong else 2, "ms": 4.2 if strong else 2.5}
        dots = style | {"marker": marker(numbers[cluster]), "ls": "none"}
        ax.plot(line[against], line["median"], **style, lw=1.8 if strong else 1.0)
        ax.plot(line[against][~few], line["median"][~few], **dots)
        ax.plot(line[against][few], line["median"][few], **dots, mfc="white")
        name = names[cluster]
        ends.append((name, shade, strong, line[against].iloc[-1], line["median"].iloc[-1]))
        # holds the room that the label beside the panel will need
        ax.annotate(name, (1, 0.5), xycoords="axes fraction", xytext=(16, 0), textcoords="offset points", alpha=0,
                    weight="bold", gid="room")  # fmt: skip
    return ends


def _label_ends(ax: Axes, ends: list) -> None:
    """Write the name of each line right of the panel, as near to the height of its end as the others allow."""
    for placeholder in [text for text in ax.texts if text.get_gid() == "room"]:
        placeholder.remove()
    points_high = ax.get_window_extent().height
    if len(ends) * _LABEL_POINTS > points_high:  # too many to read: the muted lines stay without a name
        ends = [end for end in ends if end[2]]
    if not ends:
        return
    to_axes = ax.transAxes.inverted()
    points = np.array([to_axes.transform(ax.transData.transform(end[3:])) for end in ends])
    heights = spread_line(points[:, 1], _LABEL_POINTS / points_high, 0.0, 1.0)
    point = 1 / ax.get_window_extent().width
    for (name, shade, strong, *_), (x, y), height in zip(ends, points, heights, strict=True):
        ax.plot([x + 4 * point, 1, 1 + 12 * point], [y, y, height], transform=ax.transAxes, clip_on=False, color=shade,
                lw=0.8 if strong else 0.6, ls=":" if not strong else "-", alpha=0.8, zorder=1)  # fmt: skip
        ax.text(1 + 15 * point, height, name, transform=ax.transAxes, va="center", size=8.5 if strong else 8,
                weight="bold" if strong else "normal", color=INK if strong else MUTED)  # fmt: skip


def _box_table(data: StudyData, space: SpaceKey, clustering: str, labels: pd.Series, names: list[str]) -> pd.DataFrame:
    blocks = []
    for name in names:
        values = data.entities.loc[labels.index, name].astype(float)
        grouped = values.groupby(labels.to_numpy())
        block = pd.DataFrame(
            {
                "rows": grouped.size(),
                "missing": grouped.apply(lambda v: int(v.isna().sum())),
                "non_positive": grouped.apply(lambda v: int((v <= 0).sum())),
                **{label: grouped.quantile(q) for label, q in _STATISTICS.items()},
                "median_of_all": values.median(),
            }
        )
        blocks.append(block.rename_axis("cluster").reset_index().assign(property=name))
    order = blocks[0].sort_values(["median", "cluster"], ascending=[False, True])["cluster"]  # no median: last
    blocks = [block.set_index("cluster").loc[order].reset_index() for block in blocks]
    table = pd.concat(blocks, ignore_index=True)
    described = data.described(table["cluster"], labels)
    table = table.assign(**described, view=space[0], representation=space[1])
    lead = ["view", "representation", "clustering", "property", "cluster", *described]
    return table.assign(clustering=clustering)[[*lead, *(c for c in table.columns if c not in lead)]]


def _boxes(ax: Axes, here: pd.DataFrame, numbers: Mapping[int, int]) -> None:
    statistics, positions, shades = [], [], []
    for position, row in enumerate(here.itertuples()):
        if np.isfinite(row.median):
            statistics.append({"med": row.median, "q1": row.q25, "q3": row.q75, "whislo": row.p5, "whishi": row.p95})
            positions.append(position)
            shades.append(colour(numbers[row.cluster]))
    drawn = ax.bxp(
        statistics, positions=positions, widths=0.66, showfliers=False, patch_artist=True, manage_ticks=False,
        medianprops={"color": INK, "lw": 1.6}, boxprops={"lw": 0.8, "ec": INK}, whiskerprops={"color": INK, "lw": 0.8},
        capprops={"color": INK, "lw": 0.8},
    )  # fmt: skip
    for patch, shade in zip(drawn["boxes"], shades, strict=True):
        patch.set_facecolor(shade)
        patch.set_alpha(0.75)
    ax.axhline(here["median_of_all"].iloc[0], color=INK, lw=0.9, ls=(0, (4, 3)), zorder=1)
    ax.set_xlim(-0.6, len(here) - 0.4)
    ax.grid(axis="x", visible=False)


def _value_axis(ax: Axes, here: pd.DataFrame, log: bool) -> None:
    values = here[list(_STATISTICS)].to_numpy().ravel()
    values = values[np.isfinite(values)]
    if not log:
        ax.margins(y=0.08)
    elif (values > 0).any():
        log_axis(ax, values[values > 0].min(), values.max())
    else:
        ax.text(0.5, 0.5, "no positive value for a log axis", transform=ax.transAxes, ha="center", color=MUTED)
