"""Entities on the first two components of their space or on a map of their view, coloured by cluster, by true class
or by a property."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from matlas.errors import DataError
from matlas.figures.classes import class_handles, class_numbers, cluster_names, cluster_numbers, matched_classes
from matlas.figures.labels import spread_boxes
from matlas.figures.parameters import (
    at_k,
    clustered_spaces,
    clustering_of,
    column,
    finds_k,
    labels_of,
    map_of,
    mapped_spaces,
    share,
    true_classes,
)
from matlas.figures.study_data import NOISE, Space, SpaceKey, StudyData, in_words
from matlas.figures.style import (
    COLOUR_MAP,
    FAINT,
    INK,
    axis_label,
    by_space,
    colour,
    count,
    extent,
    listed,
    marker,
    not_all,
    number,
    page,
    property_name,
    rows_shown,
    settle,
)  # fmt: skip

_PANEL, _SMALL_PANEL = (4.8, 4.3), (3.9, 3.6)
_NO_EVIDENCE = "Two components are a view of the space, not evidence for groups."
_NO_EVIDENCE_OF_MAP = "A 2-D map is not evidence for groups: sizes and distances in it mean little."


def cluster_map(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Scores, or places on `map`, coloured by cluster; centroids labelled with the class that the cluster stands for,
    else with its most common description.

    The table: view, representation, clustering, map (where there is one), mark (entity or centroid), the key (empty
    for a centroid), cluster, stands_for (with classes: the class matched with the cluster, or empty), the column that
    describes the entities (of a centroid the most common one), z_0, z_1. A centroid is the mean of the scores,
    or places, of its rows; noise has none.
    """
    clustering = clustering_of(spec, data)
    places = _places(spec, data, clustered_spaces(data, clustering))
    labelings = {space: labels_of(spec, data, space, clustering) for space in places}
    tables = {space: _cluster_table(spec, data, space, places[space], labelings[space], clustering) for space in places}
    numbers = {data.space_name(s): str(labels[labels != NOISE].nunique()) for s, labels in labelings.items()}
    shown = {space: int((table["mark"] == "entity").sum()) for space, table in tables.items()}
    title = f"Clusters on {_where(spec)}: {by_space(numbers)}"
    notes = [
        f"{at_k(spec, clustering, found=finds_k(data, clustering))}, on {rows_shown(data, shown)}. "
        + f"Labels: cluster{_named_after(data)}, at the mean of its rows."
        + (" Grey: noise, in no cluster." if any((labels == NOISE).any() for labels in labelings.values()) else "")
        + f" {_no_evidence(spec)}"
    ]
    figure, axes = page(data, title, notes, columns=len(places), panel=_panel(places))
    drawn = []
    for ax, (space, table) in zip(axes[0], tables.items(), strict=True):
        points, centroids = table[table["mark"] == "entity"], table[table["mark"] == "centroid"]
        numbered = cluster_numbers(data, labelings[space])
        scatter(ax, points["z_0"], points["z_1"], points["cluster"].map(numbered))
        for row in centroids.itertuples():
            at = numbered[row.cluster]
            ax.plot(row.z_0, row.z_1, marker=marker(at), ms=6, color=colour(at), mec=INK, mew=1.2)
        _axes_of(ax, data, space, places[space])
        drawn.append((ax, centroids, cluster_names(data, labelings[space]), numbered))
    settle(figure)
    for ax, centroids, names, numbered in drawn:
        if len(centroids):
            _label(figure, ax, centroids, names, numbered)
    return figure, pd.concat(tables.values(), ignore_index=True)


def label_map(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Places of the entities on `map`, coloured by true class; a panel a view.

    The table: view, map, trustworthiness, the key, label (empty where the class is not known), z_0, z_1.
    """
    classes, maps = true_classes(spec, data), map_of(spec, data)
    labels = {view: data.entities.loc[space.scores.index, data.label] for view, space in maps.items()}
    unknown = max(int(of_map.isna().sum()) for of_map in labels.values())
    shown = {(view, str(spec["map"])): len(of_map) for view, of_map in labels.items()}
    trust = [space.trustworthiness for space in maps.values()]
    title = f"True classes on {_where(spec)}, which was made without them"
    notes = [
        f"{rows_shown(data, shown)}. Trustworthiness is 1 where neighbours on the map are neighbours in what it shows; "
        f"here {_range(trust)}. " + (f"Grey: {count(unknown, 'row')} without a class. " if unknown else "")
        + _NO_EVIDENCE_OF_MAP
    ]  # fmt: skip
    figure, axes = page(data, title, notes, columns=len(maps), panel=_panel(maps), legend=class_handles(classes))
    tables = []
    for ax, (view, space) in zip(axes[0], maps.items(), strict=True):
        numbers = labels[view].map(classes).fillna(NOISE).astype(int)
        scatter(ax, space.scores["z_0"], space.scores["z_1"], numbers)
        _axes_of(ax, data, (view, str(spec["map"])), space)
        tables.append(
            pd.DataFrame(
                {
                    "view": view, "map": spec["map"], "trustworthiness": space.trustworthiness,
                    data.key: space.scores[data.key], "label": labels[view], "z_0": space.scores["z_0"],
                    "z_1": space.scores["z_1"],
                }
            )
        )  # fmt: skip
    return figure, pd.concat(tables, ignore_index=True)


def property_map(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Scores, or places on `map`, coloured by a property up to its quantile.

    The table: view, representation (or the map), the key, z_0, z_1, property, value, shown (the value, clipped at the
    quantile).
    """
    name = column(spec, "property", data)
    quantile = share(spec, "quantile", 1.0)
    if spec.get("map"):
        places = {(view, str(spec["map"])): space for view, space in map_of(spec, data).items()}
    else:
        places = _places(spec, data, data.spaces)
    drawn = reduce(pd.Index.union, (place.scores.index for place in places.values()))
    values = data.entities[name].astype(float)[drawn]
    if values.isna().all():
        raise DataError(f"property {name!r} has no values", where=f"study {data.study}, {spec['name']}")
    top = float(values.quantile(quantile))
    shown = values.clip(upper=top)
    clipped, missing = int((values > top).sum()), int(values.isna().sum())
    words = property_name(data, name)
    title = f"{property_name(data, name, start=True)} of each row on {_where(spec)}"
    notes = [
        "Large values are drawn last. "
        + (f"Colours end at the {100 * quantile:g} % quantile; {count(clipped, 'row')} above. " if clipped else "")
        + (f"Grey: {count(missing, 'row')} without {words}. " if missing else "")
        + _no_evidence(spec)
        + not_all(data, {space: len(place.scores) for space, place in places.items()})
    ]
    figure, axes = page(data, title, notes, columns=len(places), panel=_panel(places))
    low = float(values.min())
    scale = Normalize(low, top) if top > low else Normalize(low - 0.5, low + 0.5)
    tables = []
    for ax, (space, place) in zip(axes[0], places.items(), strict=True):
        scores, here = place.scores, place.scores.index
        tables.append(
            pd.DataFrame(
                {
                    "view": space[0], "representation": space[1], data.key: scores[data.key],
                    "z_0": scores["z_0"], "z_1": scores["z_1"], "property": name, "value": values[here],
                    "shown": shown[here],
                }
            )
        )  # fmt: skip
        points = scatter_values(ax, scores["z_0"], scores["z_1"], shown[here], scale)
        _axes_of(ax, data, space, place)
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


def _places(spec: Mapping, data: StudyData, spaces) -> dict[SpaceKey, Space]:
    """What each space is drawn on: itself, or the map of its view, where there is one."""
    if not spec.get("map"):
        return {space: data.spaces[space] for space in mapped_spaces(spec, data, spaces)}
    maps = map_of(spec, data)
    found = {space: maps[space[0]] for space in spaces if space[0] in maps}
    if not found:
        raise DataError(
            "no clustered view has the map", where=f"study {data.study}, {spec['name']}: {spec['map']}",
            expected=f"one of {sorted({view for view, _ in spaces})}", found=listed(maps),
        )  # fmt: skip
    return found


def _named_after(data: StudyData) -> str:
    """How the note goes on after "Labels: cluster"."""
    described = f"its most common {in_words(data.described_by)}" if data.described_by else ""
    if class_numbers(data):
        return (
            f" and the class that it is matched with and has the colour of{described and f'; without one {described}'}"
        )
    return described and f" and {described}"


def _where(spec: Mapping) -> str:
    return f"the map {spec['map']}" if spec.get("map") else "the first two components"


def _no_evidence(spec: Mapping) -> str:
    return _NO_EVIDENCE_OF_MAP if spec.get("map") else _NO_EVIDENCE


def _panel(panels: Mapping) -> tuple[float, float]:
    return _PANEL if len(panels) < 3 else _SMALL_PANEL


def _range(values: list[float]) -> str:
    low, high = (f"{value:.2f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _cluster_table(
    spec: Mapping, data: StudyData, space: SpaceKey, place: Space, labels: pd.Series, clustering: str
) -> pd.DataFrame:
    scores = place.scores.loc[place.scores.index.intersection(labels.index)]  # a map may be of a sample
    described = {} if data.described_by is None else {data.described_by: data.entities[data.described_by]}
    matched = matched_classes(data, labels)
    stands_for = {} if data.label is None else {"stands_for": labels.map(matched)}
    points = pd.DataFrame(
        {"mark": "entity", data.key: scores[data.key], "cluster": labels, **stands_for, **described,
         "z_0": scores["z_0"], "z_1": scores["z_1"]}, index=scores.index,
    )  # fmt: skip
    centroids = points[points["cluster"] != NOISE].groupby("cluster", as_index=False)[["z_0", "z_1"]].mean()
    if stands_for:
        centroids["stands_for"] = centroids["cluster"].map(matched)
    centroids = centroids.assign(mark="centroid", **data.described(centroids["cluster"], labels))
    if pd.api.types.is_integer_dtype(points[data.key]):
        points[data.key] = points[data.key].astype("Int64")  # stays whole beside the empty keys of centroids
    table = pd.concat([points, centroids], ignore_index=True)[points.columns]
    about = {"view": space[0], "representation": space[1], "clustering": clustering}
    about |= {"map": spec["map"]} if spec.get("map") else {}
    for position, (name, value) in enumerate(about.items()):
        table.insert(position, name, value)
    return table


def scatter_values(ax: Axes, x: pd.Series, y: pd.Series, values: pd.Series, scale: Normalize) -> PathCollection:
    """Dots in the colours of values, the largest last; grey without one, below the others."""
    order = np.argsort(values.to_numpy(), kind="stable")[: values.notna().sum()]  # NaN sorts last
    without = values.isna().to_numpy()
    if without.any():
        ax.scatter(x[without], y[without], c=FAINT, **_dots(len(x)))
    return ax.scatter(x.iloc[order], y.iloc[order], c=values.iloc[order], cmap=COLOUR_MAP, norm=scale, **_dots(len(x)))


def scatter(ax: Axes, x: pd.Series, y: pd.Series, numbers: pd.Series) -> None:
    """Dots in the colours and with the markers of `numbers`; noise below, the others in an order without meaning."""
    shuffled = np.random.default_rng(0).permutation(len(x))
    order = shuffled[np.argsort(numbers.to_numpy()[shuffled] != NOISE, kind="stable")]
    x, y, numbers = (values.iloc[order] for values in (x, y, numbers))
    for shape, of_shape in numbers.groupby(numbers.map(marker), sort=False):
        ax.scatter(x[of_shape.index], y[of_shape.index], c=of_shape.map(colour), marker=shape, **_dots(len(x)))


def _dots(n: int) -> dict:
    """Size of n dots; many dots become one image inside the SVG."""
    return {"s": float(np.clip(12_000 / n, 5, 30)), "linewidths": 0, "antialiaseds": n <= 300, "rasterized": n > 300}


def _axes_of(ax: Axes, data: StudyData, space: SpaceKey, place: Space) -> None:
    """Title and axes of a panel: components with their share of the variance; a map has no units, but a
    trustworthiness."""
    metrics = place.metrics
    ax.set_title(data.space_name(space) if space in data.spaces else in_words(space[0]))
    if place.trustworthiness is not None:
        ax.set(xticks=[], yticks=[], xlabel=f"Map with a trustworthiness of {place.trustworthiness:.2f}")
        return
    for i, setter in enumerate((ax.set_xlabel, ax.set_ylabel)):
        said = ""
        if len(metrics):
            rows = metrics["metric"] == f"explained_variance_ratio_{i}"
            ratio = metrics.loc[rows & (metrics["method"] == space[1]), "value"]
            said = f" ({100 * ratio.iloc[0]:.1f} % of the variance)" if len(ratio) else ""
        setter(f"Component {i + 1}{said}")


def _label(
    figure: Figure, ax: Axes, centroids: pd.DataFrame, names: Mapping[int, str], numbered: Mapping[int, int]
) -> None:
    """Write each cluster's name beside its centroid, with a line where it had to move away."""
    anchors = ax.transData.transform(centroids[["z_0", "z_1"]].to_numpy())
    texts = [
        ax.text(0, 0, names[c], size=8.5, weight="bold", ha="center", va="center", transform=None, zorder=6,
                parse_math=False,
                bbox={"boxstyle": "round,pad=0.18", "fc": "white", "ec": colour(numbered[c]), "lw": 1.1, "alpha": 0.92})
        for c in centroids["cluster"]
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
