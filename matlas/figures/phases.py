"""Clusters back on the image that the pixels come from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matlas.figures.classes import class_numbers, cluster_names, cluster_numbers
from matlas.figures.parameters import at_k, clustered_spaces, clustering_of, finds_k, labels_of
from matlas.figures.study_data import NOISE, SpaceKey, StudyData
from matlas.figures.style import INK, by_space, colour, number, page

_REFUSED = "white"  # a pixel that is in no table
_NICE = (1, 2, 5)  # leading digits of a scale bar


def phase_map(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """The image with each pixel in the colour of its cluster, a panel a space; beside the true classes where the study
    has them, in the colours of the clusters that stand for them.

    The table: view, representation, clustering, the key, pixel_y, pixel_x, cluster and, with classes, label.
    """
    clustering = clustering_of(spec, data)
    spaces = clustered_spaces(data, clustering)
    labelings = {space: labels_of(spec, data, space, clustering) for space in spaces}
    numbers = {data.space_name(s): str(labels[labels != NOISE].nunique()) for s, labels in labelings.items()}
    truth = class_numbers(data)
    notes = [
        f"{at_k(spec, clustering, found=finds_k(data, clustering))}; one colour a cluster, white: refused pixels."
        + (" Beside them what the source gives, which no clustering has seen." if truth else "")
    ]
    drawn = len(spaces) + bool(truth)
    height, width = _size(data)
    panel = (4.2, 4.2 * min(1.6, height / width) + 0.9)
    figure, axes = page(data, f"Clusters on the image: {by_space(numbers)}", notes, columns=drawn, panel=panel)
    tables = []
    for ax, (space, labels) in zip(axes[0], labelings.items(), strict=False):
        numbered, names = cluster_numbers(data, labels), cluster_names(data, labels)
        _image(ax, data, labels.map(numbered))
        ax.set_title(data.space_name(space))
        _legend(ax, {names.get(c, str(c)): n for c, n in sorted(numbered.items())})
        tables.append(_table(data, space, clustering, labels))
    if truth:
        _image(axes[0, -1], data, data.entities[data.label].map(truth).fillna(NOISE).astype(int))
        axes[0, -1].set_title(f"{data.label}, as the source gives it")
        _legend(axes[0, -1], truth)
    return figure, pd.concat(tables, ignore_index=True)


def _table(data: StudyData, space: SpaceKey, clustering: str, labels: pd.Series) -> pd.DataFrame:
    here = data.entities.loc[labels.index]
    view, representation = space
    table = pd.DataFrame({"view": view, "representation": representation, "clustering": clustering,
                          data.key: here[data.key], "pixel_y": here["pixel_y"], "pixel_x": here["pixel_x"],
                          "cluster": labels})  # fmt: skip
    return table.assign(label=here[data.label]) if data.label else table


def _size(data: StudyData) -> tuple[int, int]:
    return int(data.attributes["height"]), int(data.attributes["width"])


def _image(ax: Axes, data: StudyData, numbers: pd.Series) -> None:
    """Pixels in the colours of the palette; numbers : by position among the entities."""
    height, width = _size(data)
    image = np.full((height, width, 3), to_rgb(_REFUSED))
    here = data.entities.loc[numbers.index]
    palette = {n: to_rgb(colour(int(n))) for n in numbers.unique()}
    image[here["pixel_y"], here["pixel_x"]] = np.array([palette[n] for n in numbers])
    ax.imshow(image, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    _scale_bar(ax, data)


def _scale_bar(ax: Axes, data: StudyData) -> None:
    """A bar of a round length, at most a third of the width, below the image."""
    height, width = _size(data)
    step, unit = float(data.attributes["pixel_step"]), data.attributes["pixel_unit"]
    most = width * step / 3
    power = 10.0 ** np.floor(np.log10(most))
    length = max(digit * power for digit in _NICE if digit * power <= most)
    below = height - 0.5 + 0.04 * height
    ax.plot([-0.5, -0.5 + length / step], [below, below], color=INK, lw=3, solid_capstyle="butt", clip_on=False)
    ax.text(length / step + 0.02 * width, below, f"{number(length)} {unit}", size=8, va="center", color=INK)
    ax.set_ylim(height - 0.5, -0.5)


def _legend(ax: Axes, numbers: Mapping[str, int]) -> None:
    handles = [
        Line2D([], [], ls="none", marker="s", ms=7, color=colour(n), mec="none", label=name)
        for name, n in numbers.items()
    ]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=min(4, len(handles)), fontsize=8,
              frameon=False, handletextpad=0.2, columnspacing=1.0)  # fmt: skip
