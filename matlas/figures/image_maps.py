"""Something of each pixel, drawn on the image that the pixels come from, with a scale bar."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize, to_rgb
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from matlas.errors import DataError
from matlas.figures.study_data import StudyData
from matlas.figures.style import COLOUR_MAP, INK, colour, number

REFUSED = "white"  # a pixel that is in no table
WHOLE = Normalize(0.0, 1.0)  # the scale of shares
MAP_WIDTH, MAPS_ACROSS = 2.7, 4  # inches, and how many side by side, of maps of which there are many
_ABOUT_IMAGE = ("height", "width", "pixel_step", "pixel_unit")
_NICE = (1, 2, 5)  # leading digits of a scale bar
_LETTER, _MARK = 0.068, 0.42  # inches: a letter of a legend, and what stands beside its text


def image_size(data: StudyData) -> tuple[int, int]:
    """Height and width in pixels. Raises DataError for a dataset that isn't of the pixels of an image."""
    if missing := [name for name in _ABOUT_IMAGE if name not in data.attributes]:
        raise DataError(
            "the dataset is not of the pixels of an image", where=f"study {data.study}",
            expected=f"a table with {', '.join(missing)} in its footer", do="take a dataset of kind cube",
        )  # fmt: skip
    return int(data.attributes["height"]), int(data.attributes["width"])


def panel_size(data: StudyData, width: float, below: float) -> tuple[float, float]:
    """Size of a panel, in inches, whose image is at most `width` wide; below : what its legend or title needs."""
    pixels_high, pixels_wide = image_size(data)
    return width, width * min(1.6, pixels_high / pixels_wide) + below


def show_numbers(ax: Axes, data: StudyData, numbers: pd.Series) -> None:
    """Pixels in the colours of the palette; numbers : by position among the entities."""
    image = np.full((*image_size(data), 3), to_rgb(REFUSED))
    here = data.entities.loc[numbers.index]
    palette = {n: to_rgb(colour(int(n))) for n in numbers.unique()}
    image[here["pixel_y"], here["pixel_x"]] = np.array([palette[n] for n in numbers])
    _finish(ax, data, ax.imshow(image, interpolation="nearest"))


def show_values(ax: Axes, data: StudyData, values: pd.Series, norm: Normalize) -> AxesImage:
    """Pixels in the colours of a scale; values : by position among the entities."""
    image = np.full(image_size(data), np.nan)
    here = data.entities.loc[values.index]
    image[here["pixel_y"], here["pixel_x"]] = values
    shown = np.ma.masked_invalid(image)
    return _finish(ax, data, ax.imshow(shown, interpolation="nearest", cmap=COLOUR_MAP, norm=norm))


def colour_bar(ax: Axes, norm: Normalize, label: str, extend: str = "neither") -> Colorbar:
    """The scale of an image, below it on the right, beside the scale bar."""
    place = ax.inset_axes((0.58, -0.085, 0.42, 0.04))
    bar = ax.figure.colorbar(ScalarMappable(norm, COLOUR_MAP), cax=place, orientation="horizontal", extend=extend)
    bar.minorticks_off()
    ends = (0, 0.5, 1) if norm is WHOLE else (norm.vmin, norm.vmax)
    bar.set_ticks(ends, labels=[f"{end:,.0f}" if abs(end) >= 100 else number(end) for end in ends])
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, length=2)
    bar.set_label(label, size=8, labelpad=1)
    return bar


def patch_legend(ax: Axes, numbers: Mapping[str, int], width: float) -> None:
    """Names beside their colours, below an image that is `width` inches wide."""
    handles = [
        Line2D([], [], ls="none", marker="s", ms=7, color=colour(n), mec="none", label=name)
        for name, n in numbers.items()
    ]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=_beside(numbers, width),
              fontsize=8, handletextpad=0.2, columnspacing=1.0)  # fmt: skip


def legend_rows(numbers: Mapping[str, int], width: float) -> int:
    """How many rows `patch_legend` takes."""
    return -(-len(numbers) // _beside(numbers, width))


def of_pixels(data: StudyData, about: Mapping, values: pd.DataFrame) -> pd.DataFrame:
    """Values by position among the entities, beside key and place of the pixels."""
    here = data.entities.loc[values.index, [data.key, "pixel_y", "pixel_x"]]
    table = pd.concat([here, values], axis=1)
    for place, (name, value) in enumerate(about.items()):
        table.insert(place, name, value)
    return table


def share_of_image(data: StudyData, pixels: float) -> float:
    """So many pixels over all of the image, refused ones too."""
    height, width = image_size(data)
    return pixels / (height * width)


def percent(share: float) -> str:
    """A share as text: 34 %, 0.4 %, <0.1 %."""
    if 0 < share < 0.001:
        return "<0.1 %"
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def _beside(numbers: Mapping[str, int], width: float) -> int:
    letters = max(len(name) for name in numbers)
    return max(1, min(4, len(numbers), int(width / (_LETTER * letters + _MARK))))


def _finish(ax: Axes, data: StudyData, image: AxesImage) -> AxesImage:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    _scale_bar(ax, data)
    return image


def _scale_bar(ax: Axes, data: StudyData) -> None:
    """A bar of a round length, at most a third of the width, below the image."""
    height, width = image_size(data)
    step, unit = float(data.attributes["pixel_step"]), data.attributes["pixel_unit"]
    most = width * step / 3
    power = 10.0 ** np.floor(np.log10(most))
    length = max(digit * power for digit in _NICE if digit * power <= most)
    below = height - 0.5 + 0.04 * height
    ax.plot([-0.5, -0.5 + length / step], [below, below], color=INK, lw=3, solid_capstyle="butt", clip_on=False)
    ax.text(length / step + 0.02 * width, below, f"{number(length)} {unit}", size=8, va="center", color=INK)
    ax.set_ylim(height - 0.5, -0.5)
