"""Spectra of an image: the sum over all pixels, and the mean of each cluster, with the lines of elements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from matlas.cubes.cube import Axis
from matlas.cubes.eds import Detector
from matlas.cubes.lines import labelled_peaks
from matlas.errors import DataError
from matlas.figures.classes import cluster_names, cluster_numbers, sorted_clusters
from matlas.figures.image_maps import colour_bar, panel_size, percent, share_of_image, show_values
from matlas.figures.labels import spread_line
from matlas.figures.parameters import at_k, clustered_spaces, clustering_of, finds_k, labels_of
from matlas.figures.study_data import NOISE, Spectra, StudyData, in_words
from matlas.figures.style import (
    FAINT,
    INK,
    MUTED,
    PALETTE,
    beside,
    by_space,
    colour,
    count,
    extent,
    listed,
    log_axis,
    number,
    page,
    settle,
)
from matlas.tables import read_table

PEAKS = ["position", "height", "significance", "element", "line"]
_VALUES_AT_ONCE = 2**23  # of a table of spectra that are in memory: 64 MB
_AXES = {"keV": "Energy (keV)", "eV": "Energy (eV)", "nm": "Wavelength (nm)", "µm": "Wavelength (µm)",
         "um": "Wavelength (µm)", "cm-1": "Wavenumber (cm⁻¹)", "1/cm": "Wavenumber (cm⁻¹)",
         "band": "Band (number)"}  # fmt: skip
_LABEL = 9.0  # points along the axis that the label of a peak takes
_STRIP, _LEADER = 36.0, 6.0  # points at the top of a panel for labels of peaks, and of them below the labels
_TICK = 0.16  # of the height of a panel, between ticks of a square-root axis
_BAND_REACH = 2.5  # how far above the largest mean a panel shows the spread


def cube_overview(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """The image as the sum over all channels of each pixel, beside the sum over all pixels of each view's spectra.
    Where the dataset says which elements X-rays may come from, peaks bear the element and line that explain them.

    The table: mark (pixel, spectrum or peak); of a pixel the key, pixel_y, pixel_x and total; of a channel of a view
    position and sum; of a peak also height, significance, element and line (empty where no listed element explains it).
    """
    views = spectra_of(spec, data)
    sums = {view: _sums(data, spectra) for view, spectra in views.items()}
    wide = 6.4
    found = {view: peaks(data, view, sums[view], wide) for view in views}
    total = data.entities["total"]
    norm = Normalize(*_ends(total))
    notes = [
        f"Image: sum over all channels of each pixel as the source has it; white: refused pixels. Spectra: sums over "
        f"{count(len(total), 'pixel')}" + (", counts on a logarithmic axis." if _any_counts(views) else "."),
        peak_note(data, found),
    ]
    size = panel_size(data, 3.6, 1.0)
    panel = ((size[0] + wide) / 2, max(size[1] / len(views), 2.1 if any(map(len, found.values())) else 1.8))
    figure, axes = page(
        data, _overview_title(data, views, sums, found), notes, rows=len(views), columns=2, panel=panel,
        width_ratios=(size[0], wide),
    )  # fmt: skip
    grid = axes[0, 0].get_gridspec()
    for ax in axes[:, 0]:
        ax.remove()
    image = figure.add_subplot(grid[:, 0])
    show_values(image, data, total, norm)
    image.set_title("Sum over all channels")
    colour_bar(image, norm, "counts" if _any_counts(views) else "sum (unit of the data)")
    parts = [data.entities[[data.key, "pixel_y", "pixel_x", "total"]].assign(mark="pixel")]
    for ax, (view, spectra) in zip(axes[:, 1], views.items(), strict=True):
        ax.plot(spectra.positions, sums[view], color=PALETTE[0], lw=1.1)
        ax.set_title(f"Sum spectrum of view {in_words(view)}")
        ax.set_ylabel("Counts" if spectra.counts else "Sum (unit of the view)")
        spectral_axis(ax, spectra, sums[view], scale="log" if spectra.counts else "linear")
        parts.append(pd.DataFrame({"view": view, "position": spectra.positions, "sum": sums[view], "mark": "spectrum"}))
        parts.append(found[view].assign(view=view, mark="peak"))
    label_peaks(figure, zip(axes[:, 1], found.values(), strict=True))
    return figure, _stacked(parts, ["mark", "view", data.key, "pixel_y", "pixel_x", "total", "position", "sum"])


def centroid_spectra(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """The mean over the pixels of each cluster of their spectra as the view has them, and how far single pixels are
    from it; a column a space, a row a cluster. Where `views` names views that are not clustered, the spectra of these
    stand beside them.

    The table: view, representation, clustering, cluster, name, pixels, share (of the image), spectra_of (the view that
    the spectra are of), mark (spectrum or peak); of a channel position, mean and std (over pixels); of a peak position,
    height, significance, element and line. Raises DataError where there are no spectra to a space.
    """
    clustering = clustering_of(spec, data)
    spaces = clustered_spaces(data, clustering)
    also = {view for view in spec.get("views") or () if view not in {view for view, _ in spaces}}
    columns = [(space, view) for space in spaces for view in data.spectra if view == space[0] or view in also]
    if not columns:
        raise _no_spectra(spec, data)
    labelings = {space: labels_of(spec, data, space, clustering) for space, _ in columns}
    clusters = {space: sorted_clusters(labels) for space, labels in labelings.items()}
    wide = 8.6 if len(columns) == 1 else 4.4
    blocks, drawn = [], {}
    for space, view in columns:
        of_clusters = _of_clusters(data, view, labelings[space], wide)
        for cluster in clusters[space]:
            about, mean, std, at = of_clusters[cluster]
            drawn[space, view, cluster] = about, mean, std, at
            told = {"view": space[0], "representation": space[1], "clustering": clustering, **about, "spectra_of": view}
            line = pd.DataFrame({"position": data.spectra[view].positions, "mean": mean, "std": std})
            blocks += [line.assign(**told, mark="spectrum"), at.assign(**told, mark="peak")]
    found = {data.space_name(s): str(sum(c != NOISE for c in here)) for s, here in clusters.items()}
    notes = [
        f"{at_k(spec, clustering, found=finds_k(data, clustering))}. Line: mean over the pixels of a cluster of the "
        "spectra of the view, in its unit; band: ± 1 standard deviation over these pixels (how much single pixels "
        "differ, not how well the mean is known), cut off where it leaves the panel. Each panel has its own axis. "
        + root_note(data, {view for _, view in columns})
        + "Colours as in a phase map of the same K; shares are of all pixels of the image.",
        peak_note(data, {place: at for place, (*_, at) in drawn.items()}),
    ]
    tall = any(len(at) for *_, at in drawn.values())
    said = by_space(found)
    title = f"Mean spectra of {said} clusters" if said.isdecimal() else f"Mean spectra of the clusters: {said}"
    figure, axes = page(
        data, title, notes, rows=max(map(len, clusters.values())),
        columns=len(columns), panel=(wide, 2.0 if tall else 1.6),
    )  # fmt: skip
    labelled = []
    for column, (space, view) in enumerate(columns):
        spectra, numbered = data.spectra[view], cluster_numbers(data, labelings[space])
        for ax in axes[len(clusters[space]) :, column]:
            ax.remove()
        for ax, cluster in zip(axes[:, column], clusters[space], strict=False):
            about, mean, std, at = drawn[space, view, cluster]
            shade = colour(numbered[cluster]) if cluster != NOISE else MUTED
            ax.fill_between(spectra.positions, mean - std, mean + std, color=shade, alpha=0.22, lw=0)
            ax.plot(spectra.positions, mean, color=shade, lw=1.3)
            seen = np.minimum(mean + std, _BAND_REACH * mean.max()) if mean.max() > 0 else mean + std
            lowest = mean - std if mean.min() < 0 else mean
            last, scale = cluster == clusters[space][-1], scale_of(data, spectra)
            spectral_axis(ax, spectra, np.concatenate([seen, lowest]), scale=scale, name=last)
            said = f"{about['name']}: {count(about['pixels'], 'pixel')}, {percent(about['share'])}"
            head = data.space_name(space) + (f", spectra of {in_words(view)}" if view != space[0] else "")
            first = len(columns) > 1 and cluster == clusters[space][0]
            ax.set_title(f"{head}\n{said}" if first else said, fontsize=9)
            if column % beside(len(columns)) == 0 or view != columns[0][1]:
                ax.set_ylabel("Counts a pixel" if spectra.counts else "Mean")
            labelled.append((ax, at))
    label_peaks(figure, labelled)
    return figure, _stacked(blocks, [*told, "mark", "position", "mean", "std"])


def spectra_of(spec: Mapping, data: StudyData) -> dict[str, Spectra]:
    """The views of spectra; DataError where there are none."""
    if not data.spectra:
        raise _no_spectra(spec, data)
    return data.spectra


def peaks(data: StudyData, view: str, spectrum: np.ndarray, width: float) -> pd.DataFrame:
    """The peaks of a view's spectrum (c,), with the columns `PEAKS`: the most significant of those that `width` inches
    have room to label; none where the dataset says nothing of X-rays, the axis isn't of their energies, or the spectrum
    has values below 0."""
    eds, spectra = data.definitions.eds, data.spectra[view]
    if not eds or spectra.unit != "keV" or len(spectra.positions) < 3 or spectrum.min() < 0:
        return pd.DataFrame({name: pd.Series(dtype=object if name in PEAKS[3:] else float) for name in PEAKS})
    first, step = float(spectra.positions[0]), float(spectra.positions[1] - spectra.positions[0])
    axis = Axis("energy", "keV", first, step, len(spectra.positions))
    detector = Detector(**eds["detector"])
    found = labelled_peaks(spectrum, axis, eds["elements"], detector.width, beam_energy=eds["beam_energy"])
    room = int(0.8 * width * 72 / _LABEL)
    found["height"] = np.interp(found["position"], spectra.positions, spectrum)  # not of the smoothed spectrum
    kept = found.sort_values("significance", ascending=False, kind="stable").head(room)
    return kept.sort_values("position")[PEAKS].reset_index(drop=True)


def peak_name(row) -> str:
    """Element and line as a detector tells lines apart, "Fe Kα"; "?" where no listed element explains a peak."""
    if not row.element:
        return "?"
    return f"{row.element} {row.line.rstrip('123') if 'α' in row.line else row.line}"


def label_peaks(figure: Figure, panels: Iterable[tuple[Axes, pd.DataFrame]]) -> None:
    """Names in a strip at the top of each panel, joined with its peaks. The figure must be drawn but for this."""
    panels = [(ax, found) for ax, found in panels if len(found)]
    if not panels:
        return
    settle(figure)  # sizes in points are known from now on
    for ax, found in panels:
        width, height = extent(figure, ax.patch)
        strip, (low, high) = min(0.7, _STRIP / height), ax.get_xlim()
        _make_room(ax, strip)
        gap = _LABEL / width * (high - low)
        places = spread_line(found["position"].to_numpy(), gap, low + gap / 2, high - gap / 2)
        above = ax.get_xaxis_transform()  # x in data, y as a share of the panel
        foot = 1 - strip + _LEADER / height
        for row, place in zip(found.itertuples(), places, strict=True):
            line = {"arrowstyle": "-", "color": FAINT, "lw": 0.6, "shrinkA": 0, "shrinkB": 1.5}
            top = max(row.height, ax.get_ylim()[0])
            ax.annotate("", (row.position, top), xytext=(place, foot), textcoords=above, arrowprops=line)
            ax.text(place, foot + 1 / height, peak_name(row), transform=above, rotation=90, size=7, ha="center",
                    va="bottom", color=INK if row.element else MUTED)  # fmt: skip


def _make_room(ax: Axes, strip: float) -> None:
    """Raise the upper limit so that what was shown stays below the strip, a share of the panel; no ticks in it."""
    bottom, top = ax.get_ylim()
    ticks = [tick for tick in ax.get_yticks() if bottom <= tick <= top]
    reach, scale = 1 / (1 - strip), ax.yaxis.get_transform()
    low, high = scale.transform(np.array([bottom, top]))
    ax.set_ylim(bottom, scale.inverted().transform(np.array([low + (high - low) * reach]))[0])
    ax.set_yticks(ticks)


def peak_note(data: StudyData, found: Mapping[object, pd.DataFrame]) -> str:
    """What labels of peaks mean; "" where there are none."""
    if not any(map(len, found.values())):
        return ""
    elements = listed(data.definitions.eds["elements"])
    return (
        "Labels: peaks 5 standard deviations or more above their background, the most significant where room is "
        f"short, with the element of {elements} and the line that explain them; ?: none of these does."
    )


def spectral_axis(ax: Axes, spectra: Spectra, shown: np.ndarray, *, scale: str = "linear", name: bool = True) -> None:
    """The spectral axis with its unit, from the first to the last channel, and that of intensities, whose scale is
    linear, log or root (square roots, for peaks of which some are faint). shown : values that must be in the panel."""
    ends = spectra.positions[[0, -1]]
    ax.set_xlim(ends.min(), ends.max())
    if name:
        ax.set_xlabel(axis_name(spectra))
    low, high = min(0.0, float(shown.min())), float(shown.max())
    positive = shown[shown > 0]
    if scale == "log" and len(positive):
        log_axis(ax, max(float(positive.min()), high * 1e-6), high)
    elif scale == "root" and low == 0 and high > 0:
        ax.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
        ax.set_ylim(0, 1.06 * high)
        ax.set_yticks(_root_ticks(high))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        ax.set_ylim(low - 0.04 * (high - low) * (low < 0), high + 0.06 * (high - low or 1.0))


def _root_ticks(high: float) -> list[float]:
    """0 and those of 1, 2, 5, 10 … up to `high` whose roots are well apart, the largest first."""
    powers = 10.0 ** np.arange(np.floor(np.log10(high)), np.floor(np.log10(high)) - 4, -1)
    kept = []
    for value in (digit * power for power in powers for digit in (5, 2, 1)):
        last = np.sqrt(kept[-1]) if kept else np.sqrt(high) * (1 + _TICK)
        if value <= high and min(last - np.sqrt(value), np.sqrt(value)) > _TICK * np.sqrt(high):
            kept.append(float(value))
    return [0.0, *kept[::-1]]


def scale_of(data: StudyData, spectra: Spectra) -> str:
    """The scale on which a view's spectra are compared: X-ray spectra have peaks of which some are faint."""
    return "root" if data.definitions.eds and spectra.unit == "keV" else "linear"


def root_note(data: StudyData, views: Iterable[str]) -> str:
    """That an axis isn't linear; "" where all are."""
    if not any(scale_of(data, data.spectra[view]) == "root" for view in views):
        return ""
    return "Intensities of X-rays on a square-root axis, on which small peaks show. "


def axis_name(spectra: Spectra) -> str:
    """What the spectral axis measures, with its unit."""
    return _AXES.get(spectra.unit, f"Spectral axis ({spectra.unit})" if spectra.unit else "Channel position")


def _sums(data: StudyData, spectra: Spectra) -> np.ndarray:
    return np.concatenate([block.to_numpy().sum(axis=0) for block in _blocks(data, spectra)])


def _of_clusters(data: StudyData, view: str, labels: pd.Series, width: float) -> dict[int, tuple]:
    """Of each cluster its name, pixels and share of the image; the mean (c,) and standard deviation (c,) over its
    pixels of the spectra of a view; and the peaks of the mean. labels : by position among the entities."""
    spectra, means, stds = data.spectra[view], [], []
    for block in _blocks(data, spectra):
        grouped = block.iloc[labels.index].groupby(labels.to_numpy())
        means.append(grouped.mean())
        stds.append(grouped.std(ddof=0))
    means, stds = pd.concat(means, axis=1), pd.concat(stds, axis=1)
    names, pixels, found = cluster_names(data, labels), labels.value_counts(), {}
    for cluster in sorted_clusters(labels):
        n, mean = int(pixels[cluster]), means.loc[cluster].to_numpy()
        # summed, counts are whole numbers again, so that their noise is known
        at = peaks(data, view, np.rint(n * mean) if spectra.counts else mean, width)
        if spectra.counts:
            at["height"] /= n
        about = {"cluster": cluster, "name": names.get(cluster, str(cluster)), "pixels": n,
                 "share": share_of_image(data, n)}  # fmt: skip
        found[cluster] = about, mean, stds.loc[cluster].to_numpy(), at
    return found


def _blocks(data: StudyData, spectra: Spectra) -> Iterator[pd.DataFrame]:
    """Some channels of all pixels at a time, since a table of spectra may be larger than the memory."""
    if not read_table(spectra.path, [data.key])[data.key].equals(data.entities[data.key]):
        raise DataError("spectra are not in the order of the dataset", where=spectra.path,
                        do="rerun the steps that follow the dataset")  # fmt: skip
    columns, step = spectra.columns, max(1, _VALUES_AT_ONCE // max(1, len(data.entities)))
    for start in range(0, len(columns), step):
        yield read_table(spectra.path, columns[start : start + step])


def _stacked(parts: list[pd.DataFrame], first: list[str]) -> pd.DataFrame:
    """Marks of several sorts as one table; what a mark has none of is empty."""
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    names = [*first, *(name for name in PEAKS if name not in first and name in table)]
    return table[names]


def _overview_title(data: StudyData, views: Mapping, sums: Mapping, found: Mapping) -> str:
    told = pd.concat([at for at in found.values()])
    if not len(told):
        largest = {view: float(spectra.positions[np.argmax(sums[view])]) for view, spectra in views.items()}
        said = {in_words(v): _place(at, views[v].unit) for v, at in largest.items()}
        return f"The sum over {count(len(data.entities), 'pixel')} is largest at {by_space(said)}"
    elements = [e for e in data.definitions.eds["elements"] if e in set(told["element"])]
    missing = [e for e in data.definitions.eds["elements"] if e not in elements]
    unknown = max(int((at["element"] == "").sum()) for at in found.values())
    return (
        f"Peaks of {listed(elements) if elements else 'no listed element'} in the sum spectrum"
        + (f", none of {listed(missing)}" if missing else "")
        + (f"; {count(unknown, 'peak')} unexplained" if unknown else "")
    )


def _place(position: float, unit: str) -> str:
    return f"{unit} {number(position)}" if unit == "band" else f"{number(position)} {unit}".rstrip()


def _ends(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low, low + 1.0)


def _any_counts(views: Mapping[str, Spectra]) -> bool:
    return any(spectra.counts for spectra in views.values())


def _no_spectra(spec: Mapping, data: StudyData) -> DataError:
    return DataError(
        f"no spectra for a {spec['kind']}", where=f"study {data.study}, {spec['name']}",
        expected="a view of kind spectrum and its table of features", do="name one under `views` of the study",
    )  # fmt: skip
