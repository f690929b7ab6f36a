"""Clusters back on the image that the pixels come from, hard and soft."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from matlas.errors import ConfigError
from matlas.figures.classes import class_numbers, cluster_names, cluster_numbers
from matlas.figures.image_maps import (
    MAP_WIDTH,
    MAPS_ACROSS,
    WHOLE,
    colour_bar,
    legend_rows,
    of_pixels,
    panel_size,
    patch_legend,
    percent,
    share_of_image,
    show_numbers,
    show_values,
)
from matlas.figures.parameters import at_k, clustered_spaces, clustering_of, finds_k, labels_of
from matlas.figures.study_data import NOISE, SpaceKey, StudyData
from matlas.figures.style import by_space, page

_WIDTH = 4.2  # of a panel of a phase map, inches
_RESPONSIBILITY = "responsibility_"
_SURE = 0.9  # a responsibility


def phase_map(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """The image with each pixel in the colour of its cluster, a panel a space; beside the true classes where the study
    has them, in the colours of the clusters that stand for them.

    The table: view, representation, clustering, the key, pixel_y, pixel_x, cluster, pixels and share (of the image, of
    the pixel's cluster) and, with classes, label.
    """
    clustering = clustering_of(spec, data)
    spaces = clustered_spaces(data, clustering)
    labelings = {space: labels_of(spec, data, space, clustering) for space in spaces}
    found = {data.space_name(s): str(labels[labels != NOISE].nunique()) for s, labels in labelings.items()}
    truth = class_numbers(data)
    notes = [
        f"{at_k(spec, clustering, found=finds_k(data, clustering))}; one colour a cluster, beside its name its share "
        "of all pixels of the image; white: refused pixels."
        + (" Beside the clusters what the source gives, which no clustering has seen." if truth else "")
    ]
    legends = {space: _with_shares(data, labels) for space, labels in labelings.items()}
    rows = max(legend_rows(legend, _WIDTH) for legend in (*legends.values(), *([truth] if truth else [])))
    panel = panel_size(data, _WIDTH, 0.6 + 0.18 * rows)
    columns = len(spaces) + bool(truth)
    figure, axes = page(data, f"Clusters on the image: {by_space(found)}", notes, columns=columns, panel=panel)
    tables = []
    for ax, (space, labels) in zip(axes[0], labelings.items(), strict=False):
        show_numbers(ax, data, labels.map(cluster_numbers(data, labels)))
        ax.set_title(data.space_name(space))
        patch_legend(ax, legends[space], _WIDTH)
        tables.append(_table(data, space, clustering, labels))
    if truth:
        classes = data.entities[data.label].map(truth).fillna(NOISE).astype(int)
        show_numbers(axes[0, -1], data, classes)
        axes[0, -1].set_title(f"{data.label}, as the source gives it")
        shares = {name: percent(share_of_image(data, (classes == n).sum())) for name, n in truth.items()}
        patch_legend(axes[0, -1], {f"{name}, {shares[name]}": n for name, n in truth.items()}, _WIDTH)
    return figure, pd.concat(tables, ignore_index=True)


def soft_map(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Responsibilities of a mixture on the image: the likeliest component of each pixel, a map a component, and how
    evenly a pixel is shared; a row a space.

    The table: view, representation, clustering, the key, pixel_y, pixel_x, cluster (the likeliest), responsibility_0 …
    and entropy, in units of log k: 0 where one component has all, 1 where all have the same.
    Raises ConfigError for a clustering without responsibilities.
    """
    clustering = clustering_of(spec, data)
    spaces = clustered_spaces(data, clustering)
    soft = {space: _responsibilities(spec, data, space, clustering) for space in spaces}
    entropies = {space: _entropy(shares.to_numpy()) for space, shares in soft.items()}
    labels = {s: pd.Series(p.to_numpy().argmax(axis=1), index=p.index, name="cluster") for s, p in soft.items()}
    sure = {data.space_name(s): f"{100 * (p.max(axis=1) > _SURE).mean():.0f} %" for s, p in soft.items()}
    title = f"Pixels in which one component has a responsibility above {_SURE:g}: {by_space(sure)}"
    notes = [
        f"{clustering} at its best K. Responsibility: posterior probability of a component given the pixel's scores; "
        "likeliest: the component with the largest, with its share of the image. Entropy of the responsibilities over "
        "log k: 0, one component has all; 1, all have the same. It says how sure the mixture is, which is not how much "
        "of each material a pixel holds. White: refused pixels."
    ]
    legends = {space: _with_shares(data, found) for space, found in labels.items()}
    rows = max(legend_rows(legend, MAP_WIDTH) for legend in legends.values())
    columns = max(p.shape[1] for p in soft.values()) + 2
    figure, axes = page(
        data, title, notes, rows=len(spaces), columns=columns, across=MAPS_ACROSS,
        panel=panel_size(data, MAP_WIDTH, 0.35 + max(0.45, 0.18 * rows)),
    )  # fmt: skip
    tables = []
    for line, (space, shares) in zip(axes, soft.items(), strict=True):
        names, entropy = cluster_names(data, labels[space]), pd.Series(entropies[space], index=shares.index)
        show_numbers(line[0], data, labels[space].map(cluster_numbers(data, labels[space])))
        patch_legend(line[0], legends[space], MAP_WIDTH)
        line[0].set_title((f"{data.space_name(space)}\n" if len(spaces) > 1 else "") + "Likeliest")
        for component, ax in enumerate(line[1 : 1 + shares.shape[1]]):
            show_values(ax, data, shares.iloc[:, component], WHOLE)
            ax.set_title(names.get(component, str(component)))
            colour_bar(ax, WHOLE, "responsibility")
        show_values(line[1 + shares.shape[1]], data, entropy, WHOLE)
        line[1 + shares.shape[1]].set_title("Entropy")
        colour_bar(line[1 + shares.shape[1]], WHOLE, "entropy / log k")
        for ax in line[2 + shares.shape[1] :]:
            ax.remove()
        values = pd.concat([labels[space], shares, entropy.rename("entropy")], axis=1)
        tables.append(of_pixels(data, _about(space, clustering), values))
    return figure, pd.concat(tables, ignore_index=True)


def _with_shares(data: StudyData, labels: pd.Series) -> dict[str, int]:
    """Name of each cluster with its share of the image, as "3 · iron, 34 %", and its number in the palette."""
    numbered, names, pixels = cluster_numbers(data, labels), cluster_names(data, labels), labels.value_counts()
    shares = {c: percent(share_of_image(data, pixels[c])) for c in numbered}
    return {f"{names.get(c, str(c))}, {shares[c]}": n for c, n in sorted(numbered.items())}


def _table(data: StudyData, space: SpaceKey, clustering: str, labels: pd.Series) -> pd.DataFrame:
    pixels = labels.map(labels.value_counts())
    values = pd.DataFrame({"cluster": labels, "pixels": pixels, "share": share_of_image(data, pixels)})
    if data.label:
        values["label"] = data.entities.loc[labels.index, data.label]
    return of_pixels(data, _about(space, clustering), values)


def _about(space: SpaceKey, clustering: str) -> dict[str, str]:
    return {"view": space[0], "representation": space[1], "clustering": clustering}


def _responsibilities(spec: Mapping, data: StudyData, space: SpaceKey, clustering: str) -> pd.DataFrame:
    """(n, k) by position among the entities."""
    found = data.spaces[space].clusters[clustering].filter(regex=f"^{_RESPONSIBILITY}")
    if not len(found.columns):
        soft = sorted({
            name for of in data.spaces.values() for name, table in of.clusters.items()
            if any(c.startswith(_RESPONSIBILITY) for c in table)
        })  # fmt: skip
        raise ConfigError(
            f"clustering {clustering!r} has no responsibilities", where=f"{spec['name']}: clustering",
            expected=f"a mixture ({', '.join(soft)})" if soft else "a mixture (algorithm gmm), which this study lacks",
            found="columns " + ", ".join(data.spaces[space].clusters[clustering].columns[:4]),
            do="name a mixture, or draw a phase_map of hard labels",
        )  # fmt: skip
    return found


def _entropy(shares: np.ndarray) -> np.ndarray:
    """(n,) of rows (n, k) that sum to 1, in units of log k; 0 for a single component."""
    if shares.shape[1] < 2:
        return np.zeros(len(shares))
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.clip(-(shares * logs).sum(axis=1) / np.log(shares.shape[1]), 0.0, 1.0)
