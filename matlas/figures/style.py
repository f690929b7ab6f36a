"""One look for all figures: palette, sizes, names of axes, the SAMPLE DATA mark."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from matlas.figures.study_data import NOISE, SpaceKey, StudyData, in_words

GENERATED = "generated, not measured"

# Taken from the palettes of Okabe & Ito, P. Tol, M. Krzywinski and Petroff 2021 (arXiv:2107.02270) so that any two are
# at least 0.09 apart in OKLab for normal, protan and deutan sight (Machado et al. 2009). After 12 the marker changes.
PALETTE = ("#5790fc", "#e69f00", "#009e73", "#cc3311", "#8400cd", "#92dadd", "#ff5aaf", "#332288", "#ddcc77",
           "#aa3377", "#00c2f9", "#a40122")  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, MUTED, FAINT = "#222222", "#6b6b6b", "#c4c4c4"
HIGHLIGHT = "#cc3311"
ACROSS = 3  # panels side by side; more go into further bands, since a page is scaled down to the reader's width
COLOUR_MAP = "viridis"

_POINTS = 72  # an inch; also the figure's dpi, so that sizes measured in pixels are points of the SVG
_RASTER_DPI = 200
_LOOK = {
    "svg.fonttype": "none",  # text stays text: small, searchable, read aloud
    "font.family": ["sans-serif"],
    # measured in DejaVu Sans, which comes with matplotlib; where a reader lacks it, narrower fonts keep the layout
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "path.simplify": False,
}


@contextmanager
def look(salt: str) -> Iterator[None]:
    """Draw and save within this: the same bytes whatever matplotlibrc says. `salt` keeps the ids of figures that
    stand in one page apart."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_LOOK | {"svg.hashsalt": salt})
        yield


def page(
    data: StudyData,
    title: str,
    notes: Iterable[str] = (),
    *,
    rows: int = 1,
    columns: int = 1,
    across: int = ACROSS,
    panel: tuple[float, float] = (4.6, 3.6),
    sharex: bool | str = False,
    sharey: bool | str = False,
    legend: Sequence[Line2D] = (),
    **grid,
) -> tuple[Figure, np.ndarray]:
    """A figure of rows x columns panels, each about `panel` inches, below a title and a `legend` (handles with labels)
    and above notes, the last of which say what must be said of the views (data.restrictions).

    Returns the figure and its axes (rows, columns). More than `across` columns go on in a band of rows below, and so
    on; sharex and sharey are True, "row" or "col", of rows and columns as they are returned; `grid` goes to
    `Figure.subplots`.
    """
    width_in_panels = beside(columns, across)
    bands = math.ceil(columns / width_in_panels)
    width = max(6.4, panel[0] * width_in_panels)
    head, foot = _wrapped([title], width, size=12), _wrapped([*notes, *_restrictions(data)], width, size=8)
    beside_in_legend = _legend_columns(legend, width)
    legend_height = 0.1 + 0.19 * math.ceil(len(legend) / beside_in_legend) if legend else 0.0
    above = 0.16 + 0.22 * len(head) + (0.3 if data.simulated else 0.0) + legend_height
    below = 0.1 + 0.155 * len(foot)
    height = above + panel[1] * rows * bands + below
    figure = Figure(figsize=(width, height), dpi=_POINTS, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(rect=(0.005, below / height, 0.99, 1 - (above + below) / height), w_pad=0.08)
    top = 1.0
    if data.simulated:
        band = 0.26 / height
        figure.add_artist(Rectangle((0, 1 - band), 1, band, transform=figure.transFigure, color=HIGHLIGHT, lw=0))
        said = f"{data.mark} — {GENERATED}"
        figure.text(0.5, 1 - band / 2, said, color="white", weight="bold", size=10, ha="center", va="center")
        top -= 0.3 / height
    for line, text in enumerate(head):
        figure.text(0.012, top - (0.08 + 0.22 * line) / height, text, size=12, weight="bold", va="top")
    if legend:
        place = (0.012, top - (0.12 + 0.22 * len(head)) / height)
        dots_only = all(handle.get_linestyle() == "None" for handle in legend)
        drawn = figure.legend(
            handles=legend, loc="upper left", bbox_to_anchor=place, ncols=beside_in_legend, fontsize=8.5,
            borderpad=0, borderaxespad=0, labelspacing=0.4, handlelength=0.8 if dots_only else 2.2, columnspacing=1.6,
        )  # fmt: skip
        drawn.set_in_layout(False)
    for line, text in enumerate(foot):
        from_below = 0.07 + 0.155 * (len(foot) - 1 - line)
        figure.text(0.012, from_below / height, text, size=8, color=MUTED, va="bottom")
    placed = figure.subplots(rows * bands, width_in_panels, squeeze=False, **grid)
    axes = np.concatenate([placed[band * rows : (band + 1) * rows] for band in range(bands)], axis=1)
    for ax in axes[:, columns:].flat:
        ax.remove()
    axes = axes[:, :columns]
    _share(axes, width_in_panels, sharex, sharey)
    return figure, axes


def beside(columns: int, across: int = ACROSS) -> int:
    """How many of so many columns a page puts side by side in a band."""
    return math.ceil(columns / math.ceil(columns / across))


def _share(axes: np.ndarray, width: int, sharex: bool | str, sharey: bool | str) -> None:
    """One scale for panels, and tick labels at the left and lower edge of each band only."""
    first = {True: lambda i, j: axes[0, 0], "col": lambda i, j: axes[0, j], "row": lambda i, j: axes[i, 0]}
    for (i, j), ax in np.ndenumerate(axes):
        if sharex and ax is not (other := first[sharex](i, j)):
            ax.sharex(other)
        if sharey and ax is not (other := first[sharey](i, j)):
            ax.sharey(other)
        if sharex and i < len(axes) - 1:
            ax.tick_params(axis="x", labelbottom=False)
        if sharey in (True, "row") and j % width:
            ax.tick_params(axis="y", labelleft=False)


def save(figure: Figure, path, title: str) -> None:
    """Write the SVG; the same figure gives the same bytes."""
    settle(figure)
    metadata = {"Date": None, "Creator": "matlas", "Title": title}
    figure.savefig(path, format="svg", dpi=_RASTER_DPI, metadata=metadata)


def settle(figure: Figure) -> None:
    """Lay the figure out for good, so that places measured from now on hold.

    The solver behind the layout gives the last digits of places differently from call to call, so they are rounded.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.set_position(np.round(ax.get_position(original=True).bounds, 6))


def extent(figure: Figure, artist) -> tuple[float, float]:
    """Width and height of an artist in points."""
    box = artist.get_window_extent(figure.canvas.get_renderer())
    return box.width, box.height


def colour(number: int) -> str:
    """A colour of the palette; grey for noise. Clusters and classes: matlas.figures.classes."""
    return FAINT if number == NOISE else PALETTE[number % len(PALETTE)]


def marker(number: int) -> str:
    """The marker that goes with a colour of the palette, which returns after 12."""
    return MARKERS[0] if number == NOISE else MARKERS[number // len(PALETTE) % len(MARKERS)]


def axis_label(data: StudyData, column: str) -> str:
    """Name and unit of a dataset's column."""
    unit = data.fields[column].unit
    return f"{property_name(data, column, start=True)} ({'dimensionless' if unit in ('', '1') else unit})"


def property_name(data: StudyData, column: str, start: bool = False) -> str:
    """A column's label in the data dictionary, or its name in words (ZT for zt); `start` of a sentence."""
    name = data.fields[column].label or (column.upper() if len(column) <= 2 else in_words(column))
    return name[0].upper() + name[1:] if start else name


def number(value: float) -> str:
    """Three significant digits without exponent where that is shorter."""
    return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-").replace("-", "−")


def count(n: int, thing: str) -> str:
    """A number of things: 1 row, 5,205 rows."""
    return f"{n:,} {thing if n == 1 else thing + 's'}"


def listed(items: Iterable[str]) -> str:
    """a, b and c."""
    *most, last = list(items)
    return f"{', '.join(most)} and {last}" if most else last


def log_axis(axes: Axes, lowest: float, highest: float, which: str = "y") -> None:
    """A logarithmic axis from lowest to highest (both > 0), labelled 10² rather than by mathtext, which an SVG with
    real text sets badly."""
    axes.set(**{f"{which}scale": "log", f"{which}lim": (lowest / 1.7, highest * 1.7)})
    axis = axes.yaxis if which == "y" else axes.xaxis
    powers = highest / lowest >= 10
    axis.set_major_formatter(FuncFormatter(_power_of_ten if powers else lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: "" if powers else f"{value:g}"))


def by_space(values: Mapping[str, str]) -> str:
    """One thing said of each space: "12 for element fractions and 11 for magpie", without names for a single space; of
    more than four spaces what is said of them, as "2 to 12, depending on the view" where it is numbers."""
    said = set(values.values())
    if len(said) == 1:
        return f"{said.pop()}{' for each view' if len(values) > 1 else ''}"
    if len(values) > 4:
        numbers = all(text.isdecimal() for text in said)
        ends = " to ".join(map(str, sorted(map(int, said))[:: len(said) - 1])) if numbers else " or ".join(sorted(said))
        return f"{ends}, depending on the view"
    return listed(f"{value} for {name}" for name, value in values.items())


def rows_shown(data: StudyData, rows: Mapping[SpaceKey, int]) -> str:
    """How many rows a figure shows of each space or map: "600 rows", or "500 of 600 rows" where a map is of a sample or
    a view does not describe every entity."""
    total = len(data.entities)
    if set(rows.values()) <= {total}:
        return count(total, "row")
    return by_space({data.space_name(space): f"{shown:,} of {count(total, 'row')}" for space, shown in rows.items()})


def not_all(data: StudyData, rows: Mapping[SpaceKey, int]) -> str:
    """A sentence of a note on the rows that a figure shows; "" for all."""
    return "" if set(rows.values()) <= {len(data.entities)} else f" Shown: {rows_shown(data, rows)}."


def _power_of_ten(value: float, _position: int) -> str:
    exponent = round(np.log10(value))
    if -2 <= exponent <= 1:
        return f"{10.0**exponent:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _restrictions(data: StudyData) -> list[str]:
    """What must be said of the views that are shown, once for views of which the same is said."""
    views: dict[str, list[str]] = {}
    for view, said in data.restrictions.items():
        views.setdefault(said, []).append(view)
    return [f"{listed(names)}: {said.rstrip('.')}." for said, names in views.items()]


def _legend_columns(legend: Sequence[Line2D], width: float) -> int:
    """How many entries of a legend go beside one another on `width` inches."""
    letters = max((len(handle.get_label()) for handle in legend), default=0)
    return max(1, min(len(legend), int(width / (0.07 * letters + 0.55))))


def _wrapped(texts: Iterable[str], width: float, size: float) -> list[str]:
    """Lines of at most `width` inches; a letter of DejaVu Sans is about 0.5 of its size wide, bold 0.57 (measured)."""
    letters = int(width * _POINTS * 0.97 / (size * (0.61 if size > 10 else 0.54)))
    whole = (text.replace(" %", "\N{NO-BREAK SPACE}%") for text in texts if text)  # a number keeps its sign
    return [
        line.replace("\N{NO-BREAK SPACE}", " ")
        for text in whole
        for line in textwrap.wrap(text, letters, break_on_hyphens=False)
    ]
