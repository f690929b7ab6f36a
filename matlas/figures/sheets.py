"""Sheets of images: examples of each class, the images nearest to each centroid, and those furthest from all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from scipy.spatial.distance import cdist

from matlas.errors import ConfigError, DataError
from matlas.figures.classes import class_numbers, cluster_numbers
from matlas.figures.parameters import at_k, clustered_spaces, clustering_of, finds_k, labels_of
from matlas.figures.study_data import NOISE, SpaceKey, StudyData, most_common
from matlas.figures.style import FAINT, INK, MUTED, by_space, colour, count, marker, number, page, settle
from matlas.images.read import read_images, resized

PIXELS = 110  # the longer side of a thumbnail at most
IMAGES = 6  # in a row, unless the figure says otherwise
_EXAMPLE_ROWS, _OUTLIER_ROWS = 4, 2

# all in points; an image of PIXELS stands pixel by pixel on a screen of 96 dots an inch
_CELL = PIXELS * 72 / 96
_GAP = 5.0
_LINE = 10.5
_CAPTION = 9.0
_BLOCK = 20.0
_WIDEST_HEAD = 170.0
_TRUE_GREY = (
    f"Images scaled down to {PIXELS} pixels where they are larger, their grey values as they are, from black 0 to "
    "white 1: none is stretched, so that differences in lighting show."
)


def image_examples(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """`images` images of each class, a row a class; without classes four rows of them.

    They are evenly spaced among the sorted keys, whatever they show. The table: label (with classes only), position
    (among the sorted keys of the class, from 1), the key.
    """
    n, keys = int(spec.get("images", IMAGES)), data.entities[data.key].astype(str)
    if data.label is None:
        classes = {"": keys}
        shown = min(len(keys), _EXAMPLE_ROWS * n)
        title, among = f"Examples: {shown:,} of {count(len(keys), 'image')}", "all sorted keys"
    else:
        classes = dict(list(keys.groupby(data.entities[data.label])))
        if not classes:
            raise DataError("no image has a class", where=f"study {data.study}, {spec['name']}: {data.label}")
        one = f"the class {next(iter(classes))}"
        title = f"Examples of {one if len(classes) == 1 else f'the {len(classes)} classes'}"
        among = "the sorted keys of each class"
    mark, rows, tables = class_numbers(data), [], []
    for label, members in classes.items():
        positions = evenly_spaced(len(members), n * (_EXAMPLE_ROWS if data.label is None else 1))
        chosen = members.sort_values().iloc[positions].tolist()
        tables.append(pd.DataFrame({"label": label, "position": positions + 1, data.key: chosen}))
        head = (str(label), count(len(members), "image")) if data.label is not None else ()
        rows += [_Row(chosen[i : i + n], head, mark=mark.get(str(label))) for i in range(0, len(chosen), n)]
    notes = [f"A fixed choice, not a picked one: images evenly spaced among {among}. {_TRUE_GREY}"]
    if data.label is not None and (unknown := int(data.entities[data.label].isna().sum())):
        notes.append(f"Not among them: {count(unknown, 'image')} without a class.")
    table = pd.concat(tables, ignore_index=True)
    return _sheet(spec, data, title, notes, {"": rows}), table.drop(columns="label" if data.label is None else [])


def exemplars(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """The `images` images nearest to the centroid of each cluster, nearest first; a row a cluster, a block a space.

    Labels are those at `k`, or at the best K. A centroid is the mean of the scores of its rows; of equal distances the
    dataset's order decides. The table: view, representation, clustering, k, cluster, rank (from 1), the key, distance
    (Euclidean, to the centroid) and, with classes, label; of a space without any cluster one row with k = 0.
    """
    clustering, n = clustering_of(spec, data), int(spec.get("images", IMAGES))
    blocks, tables, numbers, noise = {}, [], {}, {}
    for space in _spaces(spec, data, clustering):
        labels, k = _labels(spec, data, space, clustering)
        scores, clusters, centroids = _centroids(data, space, labels)
        if not len(clusters):
            tables.append(_no_cluster(data, space, clustering, {"cluster": 4}))
        mark = cluster_numbers(data, pd.Series(labels, index=data.spaces[space].scores.index))
        rows = []
        for cluster, centroid in zip(clusters, centroids, strict=True):
            members = np.flatnonzero(labels == cluster)
            distance = np.linalg.norm(scores[members] - centroid, axis=1)
            order = np.argsort(distance, kind="stable")[:n]
            table = _chosen(data, space, clustering, k, members[order], distance[order])
            table.insert(4, "cluster", cluster)
            tables.append(table)
            rows.append(
                _Row(
                    table[data.key].tolist(),
                    (f"cluster {cluster}", *_about(data, space, members)),
                    mark=mark[int(cluster)],
                )
            )
        name = data.space_name(space)
        blocks[name], numbers[name] = rows or [_NO_CLUSTER], count(len(clusters), "cluster")
        noise[name] = count(int((labels == NOISE).sum()), "image")
    notes = [
        f"{at_k(spec, clustering, found=finds_k(data, clustering))}, on {count(len(data.entities), 'image')}. "
        "Each row: the images nearest to the mean of the cluster in the space, the nearest at the left."
        + (
            " Percentage: the share of the cluster that is of its most common class; colour: the class it stands for."
            if data.label
            else ""
        )
        + (f" In no cluster, so not shown: {by_space(noise)}." if set(noise.values()) != {"0 images"} else "")
        + f" {_TRUE_GREY}"
    ]
    title = f"The images nearest to each centroid: {by_space(numbers)}"
    return _sheet(spec, data, title, notes, blocks), pd.concat(tables, ignore_index=True)


def outliers(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """The images furthest from the nearest centroid, furthest first: two rows of `images`, a block a space.

    Parameters and centroids as in `exemplars`; rows in no cluster count too. The table: view, representation,
    clustering, k, rank (from 1), the key, distance (Euclidean, to the nearest centroid), cluster (of that centroid),
    relative_distance (distance over the median of all images; empty where that is 0) and, with classes, label; of a
    space without any cluster one row with k = 0.
    """
    clustering, n = clustering_of(spec, data), int(spec.get("images", IMAGES))
    keys = data.entities[data.key].astype(str)
    names = dict(zip(keys, short_names(keys), strict=True))
    blocks, tables, furthest = {}, [], {}
    for space in _spaces(spec, data, clustering):
        labels, k = _labels(spec, data, space, clustering)
        name = data.space_name(space)
        scores, clusters, centroids = _centroids(data, space, labels)
        if not len(clusters):
            tables.append(_no_cluster(data, space, clustering, {"cluster": 7, "relative_distance": 8}))
            blocks[name], furthest[name] = [_NO_CLUSTER], ""
            continue
        to_all = cdist(scores, centroids)
        distance = to_all.min(axis=1)
        chosen = np.argsort(-distance, kind="stable")[: _OUTLIER_ROWS * n]
        median = float(np.median(distance))
        table = _chosen(data, space, clustering, k, chosen, distance[chosen])
        table.insert(7, "cluster", clusters[to_all[chosen].argmin(axis=1)])
        table.insert(8, "relative_distance", distance[chosen] / median if median > 0 else np.nan)
        tables.append(table)
        said = [
            f"{relative:.2f} × median" if median > 0 else f"distance {number(absolute)}"
            for relative, absolute in zip(table["relative_distance"], table["distance"], strict=True)
        ]
        keys = table[data.key].tolist()
        captions = list(zip((names[key] for key in keys), said, strict=True))
        blocks[name] = [_Row(keys[i : i + n], captions=captions[i : i + n]) for i in range(0, len(keys), n)]
        furthest[name] = said[0].replace("median", "the median distance")
    notes = [
        f"{at_k(spec, clustering, found=finds_k(data, clustering))}, on {count(len(names), 'image')}. "
        "Below each image: its key, and its distance to the nearest centroid over the median of all such distances. "
        + _TRUE_GREY
    ]
    measured = {name: f"up to {said}" if said else "no cluster" for name, said in furthest.items()}
    title = f"The images furthest from all centroids: {by_space(measured)}"
    return _sheet(spec, data, title, notes, blocks), pd.concat(tables, ignore_index=True)


def evenly_spaced(n: int, m: int) -> np.ndarray:
    """The middles of m equal parts of 0 … n - 1; all of them where n <= m."""
    m = min(n, m)
    return (2 * np.arange(m) + 1) * n // (2 * m)


def short_names(keys: Iterable[str]) -> list[str]:
    """Each key without folder and suffix where no other key is then the same, else with its folder, else whole."""
    keys = pd.Series(list(keys), dtype=object)
    paths = keys.map(PurePosixPath)
    names, stems = paths.map(lambda path: str(path.with_suffix(""))), paths.map(lambda path: path.stem)
    names = names.where(~names.duplicated(keep=False), keys)
    return stems.where(~stems.duplicated(keep=False), names).tolist()


@dataclass(frozen=True)
class _Row:
    """Images side by side. head : lines at the left, the first bold, beside the `mark` of that number in the
    palette; captions : lines below each image, none or one tuple an image."""

    keys: Sequence[str]
    head: Sequence[str] = ()
    captions: Sequence[tuple[str, ...]] = ()
    mark: int | None = None


_NO_CLUSTER = _Row((), ("no cluster", "every image is noise"))


def _spaces(spec: Mapping, data: StudyData, clustering: str) -> list[SpaceKey]:
    spaces = clustered_spaces(data, clustering)
    if not spaces:
        raise DataError("no representation to draw", where=f"study {data.study}, {spec['name']}")
    return spaces


def _labels(spec: Mapping, data: StudyData, space: SpaceKey, clustering: str) -> tuple[np.ndarray, int]:
    """(n,) clusters at the K of the figure, or at the best one, and K."""
    labels, k = labels_of(spec, data, space, clustering), spec.get("k")
    if k is None:  # a clustering that finds its own number has no column to compare with
        swept = data.swept(space, clustering)
        same = (k for k in swept if data.labels(space, clustering, k).equals(labels))
        k = next(same, labels[labels != NOISE].nunique())
    return labels.to_numpy(), int(k)


def _centroids(data: StudyData, space: SpaceKey, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (n, d), the clusters (c,) that have rows, none where all is noise, and the means (c, d) of their rows."""
    scores = data.spaces[space].scores.filter(regex=r"^z_\d+$").to_numpy(dtype=float)
    clusters = np.unique(labels[labels != NOISE])
    means = [scores[labels == cluster].mean(axis=0) for cluster in clusters]
    return scores, clusters, np.reshape(means, (len(clusters), scores.shape[1]))


def _no_cluster(data: StudyData, space: SpaceKey, clustering: str, more: Mapping[str, int]) -> pd.DataFrame:
    """The one row about a space in which a clustering found nothing: K is 0, and what is of an image is empty; more :
    further columns and their places."""
    row = _chosen(data, space, clustering, 0, np.array([], dtype=int), np.array([])).reindex([0])
    row = row.assign(view=space[0], representation=space[1], clustering=clustering, k=0)
    for name, place in more.items():
        row.insert(place, name, np.nan)
    return row.astype({"rank": "Int64", "cluster": "Int64"})


def _chosen(
    data: StudyData, space: SpaceKey, clustering: str, k: int, rows: np.ndarray, distance: np.ndarray
) -> pd.DataFrame:
    """The table of images in the order in which they are shown."""
    entities = data.entities.loc[data.spaces[space].scores.index[rows]]
    table = pd.DataFrame(
        {
            "view": space[0], "representation": space[1], "clustering": clustering, "k": k,
            "rank": np.arange(1, len(rows) + 1), data.key: entities[data.key].astype(str).to_numpy(),
            "distance": distance,
        }
    )  # fmt: skip
    return table if data.label is None else table.assign(label=entities[data.label].to_numpy())


def _about(data: StudyData, space: SpaceKey, members: np.ndarray) -> list[str]:
    """How many rows a cluster has, and the share of its most common class; 100 % only where all are of it."""
    lines = [count(len(members), "image")]
    if data.label is not None:
        labels = data.entities.loc[data.spaces[space].scores.index[members], data.label]
        if label := most_common(labels):
            n = int((labels == label).sum())
            percent = 100 if n == len(members) else min(99, max(1, round(100 * n / len(members))))
            lines.append(f"{percent} % {label}")
    return lines


def _thumbnails(spec: Mapping, data: StudyData, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """(h, w) grey values of each image, of PIXELS on the longer side at most."""
    if data.images is None:
        raise ConfigError(f"{spec['kind']} is for datasets of images", where=spec["name"], found="a dataset without")
    keys = list(dict.fromkeys(keys))
    missing = [key for key in keys if not (data.images / key).is_file()]
    if missing:
        raise DataError(
            "an image of the dataset is missing", where=data.images / missing[0], expected=count(len(keys), "image"),
            found=f"{len(keys) - len(missing)} of them",
            do="put it back, or build the dataset anew from the images that there are",
        )  # fmt: skip
    thumbnails = {}
    for key, picture in zip(keys, read_images(data.images, keys, white_level=data.white_level), strict=True):
        height, width = picture.grey.shape
        scale = min(1.0, PIXELS / max(height, width))
        thumbnails[key] = resized(picture.grey, max(1, round(scale * width)), max(1, round(scale * height)))
    return thumbnails


def _sheet(
    spec: Mapping, data: StudyData, title: str, notes: Sequence[str], blocks: Mapping[str, Sequence[_Row]]
) -> Figure:
    """Blocks of rows below one another, each below its name; equal cells, in which images keep their shape."""
    rows = [row for block in blocks.values() for row in block]
    thumbnails = _thumbnails(spec, data, (key for row in rows for key in row.keys))
    cell = max((_drawn_size(grey)[1] for grey in thumbnails.values()), default=0.0)
    lines = max((len(caption) for row in rows for caption in row.captions), default=0)
    deep = max(cell, _LINE * max(len(row.head) for row in rows))
    step = deep + _CAPTION * lines + (3 if lines else 0) + _GAP
    heads = [(text, i == 0) for row in rows for i, text in enumerate(row.head)]
    marked = 14.0 if any(row.mark is not None for row in rows) else 0.0
    left = min(_WIDEST_HEAD, max((_width(text, 8.5, bold) for text, bold in heads), default=-2 * _GAP)) + 2 * _GAP
    left += marked
    width = left + max(len(row.keys) for row in rows) * (_CELL + _GAP)
    height = sum(_BLOCK * bool(name) + step * len(block) for name, block in blocks.items())
    figure, axes = page(data, title, notes, panel=(width / 72 + 0.25, height / 72 + 0.15))
    ax = axes[0, 0]
    ax.set_axis_off()
    settle(figure)
    box = ax.get_window_extent()  # from here on, a unit of the axes is a point
    ax.set(xlim=(0, box.width), ylim=(box.height, 0))
    top = 0.0
    for name, block in blocks.items():
        if name:
            ax.text(0, top + _BLOCK / 2, name, size=10, weight="bold", va="center", parse_math=False)
            top += _BLOCK
        for row in block:
            _draw_head(ax, row, marked, top + deep / 2, left - marked - 2 * _GAP)
            for i, key in enumerate(row.keys):
                x = left + i * (_CELL + _GAP)
                _draw_image(ax, thumbnails[key], x + _CELL / 2, top + deep / 2)
                for line, text in enumerate(row.captions[i] if row.captions else ()):
                    below = top + (deep + cell) / 2 + 3 + line * _CAPTION
                    ax.text(x + _CELL / 2, below, _fitted(text, _CELL, 7), size=7, color=MUTED if line else INK,
                            ha="center", va="top", parse_math=False)  # fmt: skip
            top += step
    return figure


def _draw_head(ax: Axes, row: _Row, x: float, middle: float, width: float) -> None:
    first = middle - _LINE * (len(row.head) - 1) / 2
    if row.mark is not None:
        ax.plot(5, first, marker=marker(row.mark), ms=7, color=colour(row.mark), mec=INK, mew=0.6)
    for line, text in enumerate(row.head):
        ax.text(x, first + line * _LINE, _fitted(text, width, 8.5, line == 0), size=8.5, va="center",
                weight="normal" if line else "bold", color=MUTED if line else INK, parse_math=False)  # fmt: skip


def _draw_image(ax: Axes, grey: np.ndarray, x: float, y: float) -> None:
    """An image around (x, y), with a fine frame."""
    width, height = _drawn_size(grey)
    x, y = x - width / 2, y - height / 2
    # as RGB, because matplotlib's grey map rounds some levels down; "none" puts the pixels as they are into the SVG,
    # where anything else would resample them to its resolution
    levels = np.repeat(np.rint(255 * grey).astype(np.uint8)[:, :, None], 3, axis=2)
    ax.imshow(levels, interpolation="none", origin="upper", extent=(x, x + width, y + height, y), aspect="auto")
    ax.add_patch(Rectangle((x, y), width, height, fill=False, ec=FAINT, lw=0.5))


def _drawn_size(grey: np.ndarray) -> tuple[float, float]:
    """Width and height in points; the longer side fills the cell."""
    scale = _CELL / max(grey.shape)
    return scale * grey.shape[1], scale * grey.shape[0]


def _fitted(text: str, width: float, size: float, bold: bool = False) -> str:
    """`text`, shortened in the middle to at most `width` points."""
    if _width(text, size, bold) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        shorter = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if _width(shorter, size, bold) <= width:
            return shorter
    return "…"


def _width(text: str, size: float, bold: bool = False) -> float:
    """Width in points of a line as matplotlib draws it at 72 dots an inch."""
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    return RendererAgg(1, 1, 72).get_text_width_height_descent(text, font, ismath=False)[0]
