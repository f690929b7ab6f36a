"""Entities on the first two components of their space, coloured by cluster or by a property."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from matlas.errors import DataError
from matlas.figures.labels import spread_boxes
from matlas.figures.parameters import clustered_spaces, clustering_of, column, mapped_spaces, share
from matlas.figures.study_data import SpaceKey, StudyData
from matlas.figures.style import (
    COLOUR_MAP,
    FAINT,
    INK,
    axis_label,
    by_space,
    colour,
    count,
    extent,
    marker,
    number,
    page,
    property_name,
    settle,
)  # fmt: skip

_PANEL = (4.8, 4.3)
_NO_EVIDENCE = "Two components are a view of the space, not evidence for groups."


def cluster_map(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Scores coloured by cluster; centroids labelled with the cluster's most common dominant element.

    The table: view, representation, clustering, mark (entity or centroid), the key (empty for a centroid), cluster,
    dominant_element, z_0, z_1. A centroid is the mean of the scores of its rows.
    """
    clustering = clustering_of(spec, data)
    spaces = mapped_spaces(spec, data, clustered_spaces(data, clustering))
    tables = {space: _cluster_table(data, space, clustering) for space in spaces}
    numbers = {data.space_name(s): str(t["cluster"].nunique()) for s, t in tables.items()}
    title = f"Clusters on the first two components: {by_space(numbers)}"
    notes = [
        f"{clustering} at its best K, on {count(len(data.entities), 'row')}. Labels: cluster and its most common "
        f"dominant element, at the mean of its rows. {_NO_EVIDENCE}"
    ]
    figure, axes = page(data, title, notes, columns=len(spaces), panel=_PANEL)
    drawn = []
    for ax, (space, table) in zip(axes[0], tables.items(), strict=True):
        points, centroids = table[table["mark"] == "entity"], table[table["mark"] == "centroid"]
        for shape, of_shape in points.groupby(points["cluster"].map(marker), sort=False):
            colours = of_shape["cluster"].map(colour)
            ax.scatter(of_shape["z_0"], of_shape["z_1"], c=colours, marker=shape, **_dots(len(points)))
        for row in centroids.itertuples():
            ax.plot(row.z_0, row.z_1, marker=marker(row.cluster), ms=6, color=colour(row.cluster), mec=INK, mew=1.2)
        _component_axes(ax, data, space)
        names = data.cluster_names(data.labels(space, clustering))
        drawn.append((ax, centroids, names))
    settle(figure)
    for ax, centroids, names in drawn:
        _label(figure, ax, centroids, names)
    return figure, pd.concat(tables.values(), ignore_index=True)


def property_map(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Scores coloured by a property up to its quantile.

    The table: view, representation, the key, z_0, z_1, property, value, shown (the value, clipped at the quantile).
    """
    name = column(spec, "property", data)
    quantile = share(spec, "quantile", 1.0)
    spaces = mapped_spaces(spec, data, data.spaces)
    values = data.entities[name].astype(float)
    if values.isna().all():
        raise DataError(f"property {name!r} has no values", where=f"study {data.study}, {spec['name']}")
    top = float(values.quantile(quantile))
    shown = values.clip(upper=top)
    clipped, missing = int((values > top).sum()), int(values.isna().sum())
    words = property_name(data, name)
    title = f"{property_name(data, name, start=True)} of each row on the first two components"
    notes = [
        "Large values are drawn last. "
        + (f"Colours end at the {100 * quantile:g} % quantile; {count(clipped, 'row')} above. " if clipped else "")
        + (f"Grey: {count(missing, 'row')} without {words}. " if missing else "")
        + _NO_EVIDENCE
    ]
    figure, axes = page(data, title, notes, columns=len(spaces), panel=_PANEL)
    low = float(values.min())
    scale = Normalize(low, top) if top > low else Normalize(low - 0.5, low + 0.5)
    tables = []
    for ax, space in zip(axes[0], spaces, strict=True):
        scores = data.spaces[space].scores
        tables.append(
            pd.DataFrame(
                {
                    "view": space[0], "representation": space[1], data.key: data.entities[data.key],
                    "z_0": scores["z_0"], "z_1": scores["z_1"], "property": name, "value": values, "shown": shown,
                }
            )
        )  # fmt: skip
        order = np.argsort(shown.to_numpy(), kind="stable")[: len(shown) - missing]  # NaN sorts last
        if missing:
            empty = scores[shown.isna()]
            ax.scatter(empty["z_0"], empty["z_1"], c=FAINT, **_dots(len(scores)))
        points = ax.scatter(
            scores["z_0"].iloc[order], scores["z_1"].iloc[order], c=shown.iloc[order], cmap=COLOUR_MAP, norm=scale,
            **_dots(len(scores)),
        )  # fmt: skip
        _component_axes(ax, data, space)
    bar = figure.colorbar(
        points, ax=list(axes[0]), extend="max" if clipped else "neither", label=axis_label(data, name), pad=0.02,
        aspect=30,
    )  # fmt: skip
    bar.solids.set_alpha(1)
    if clipped:
        ticks = [tick for tick in bar.get_ticks() if low <= tick < top - 0.06 * (top - low)]
        bar.set_ticks([*ticks, top], labels=[*(number(tick) for tick in ticks), f"≥ {number(top)}"])
    elif top == low:
        bar.set_ticks([low], labels=[number(low)])
    return figure, pd.concat(tables, ignore_index=True)


def _cluster_table(data: StudyData, space: SpaceKey, clustering: str) -> pd.DataFrame:
    scores, labels = data.spaces[space].scores, data.labels(space, clustering)
    elements = data.elements(labels)
    own = data.entities.get("dominant_element", "")
    points = pd.DataFrame(
        {"mark": "entity", data.key: data.entities[data.key], "cluster": labels, "dominant_element": own,
         "z_0": scores["z_0"], "z_1": scores["z_1"]}
    )  # fmt: skip
    centroids = points.groupby("cluster", as_index=False)[["z_0", "z_1"]].mean()
    centroids = centroids.assign(mark="centroid", dominant_element=centroids["cluster"].map(elements))
    if pd.api.types.is_integer_dtype(points[data.key]):
        points[data.key] = points[data.key].astype("Int64")  # stays whole beside the empty keys of centroids
    table = pd.concat([points, centroids], ignore_index=True)[points.columns]
    for position, value in enumerate((*space, clustering)):
        table.insert(position, ("view", "representation", "clustering")[position], value)
    return table


def _dots(n: int) -> dict:
    """Size of n dots; many dots become one image inside the SVG."""
    return {"s": float(np.clip(12_000 / n, 5, 30)), "linewidths": 0, "antialiaseds": n <= 300, "rasterized": n > 300}


def _component_axes(ax: Axes, data: StudyData, space: SpaceKey) -> None:
    ax.set_title(data.space_name(space))
    metrics = data.spaces[space].metrics
    for i, setter in enumerate((ax.set_xlabel, ax.set_ylabel)):
        said = ""
        if len(metrics):
            rows = metrics["metric"] == f"explained_variance_ratio_{i}"
            ratio = metrics.loc[rows & (metrics["method"] == space[1]), "value"]
            said = f" ({100 * ratio.iloc[0]:.1f} % of the variance)" if len(ratio) else ""
        setter(f"Component {i + 1}{said}")


def _label(figure: Figure, ax: Axes, centroids: pd.DataFrame, names: Mapping[int, str]) -> None:
    """Write each cluster's name beside its centroid, with a line where it had to move away."""
    anchors = ax.transData.transform(centroids[["z_0", "z_1"]].to_numpy())
    texts = [
        ax.text(0, 0, names[cluster], size=8.5, weight="bold", ha="center", va="center", transform=None, zorder=6,
                bbox={"boxstyle": "round,pad=0.18", "fc": "white", "ec": colour(cluster), "lw": 1.1, "alpha": 0.92})
        for cluster in centroids["cluster"]
    ]  # fmt: skip
    sizes = np.array([extent(figure, text) for text in texts]) + 5  # the frame of the box
    box = ax.get_window_extent()
    places = spread_boxes(anchors, sizes, (box.x0 + 2, box.y0 + 2, box.x1 - 2, box.y1 - 2), clear=5)
    to_axes = ax.transAxes.inverted()
    for text, anchor, place in zip(texts, anchors, places, strict=True):
        text.set_transform(ax.transAxes)
        text.set_position(to_axes.transform(place))
        (x0, y0), (x1, y1) = to_axes.transform(anchor), to_axes.transform(place)
        ax.plot([x0, x1], [y0, y1], color=INK, lw=0.7, transform=ax.transAxes, zorder=5)
