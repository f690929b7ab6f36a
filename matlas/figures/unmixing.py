"""Mixed pixels: shares of endmembers, their spectra, and how well spectra were taken apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from matlas.errors import DataError
from matlas.figures.classes import class_numbers
from matlas.figures.image_maps import MAP_WIDTH, MAPS_ACROSS, WHOLE, colour_bar, of_pixels, panel_size, show_values
from matlas.figures.learning.points import DASHED, handle, point, reference, row_axis
from matlas.figures.parameters import named, table_of
from matlas.figures.spectra import label_peaks, peak_note, peaks, root_note, scale_of, spectra_of, spectral_axis
from matlas.figures.study_data import StudyData, Unmixed, in_words
from matlas.figures.style import INK, PALETTE, beside, by_space, colour, count, listed, log_axis, number, page

ALL = "all"  # the endmember of a score that is about all of them
_ABUNDANCE = "abundance_"
_RANGE = (0.01, 0.99)  # quantiles of residuals that a colour scale spans
_METRICS = {
    "abundance_rmse": "RMSE of shares\n(dimensionless)",
    "spectral_angle": "Spectral angle (degrees)",
    "relative_error": "Relative error\n(dimensionless)",
    "rmse_to_reference": "RMSE of shares between seeds\n(dimensionless)",
}
_OF_TRUTH, _WITHOUT = ("abundance_rmse", "spectral_angle"), ("relative_error", "rmse_to_reference")


def abundance_maps(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Share of each endmember of `unmixing` on the image, a row a view; in a row of their own the shares that the
    source gives, where it gives them.

    The table: view (empty for the source), source (the unmixing, or `given by the source`), the key, pixel_y, pixel_x,
    and share_<endmember> of each.
    """
    name, found = _unmixed(spec, data)
    truth = _given_shares(data)
    lines = {in_words(view): _shares(unmixed) for view, unmixed in found.items()}
    tables = [
        of_pixels(data, {"view": view, "source": name}, shares.add_prefix("share_"))
        for view, shares in zip(found, lines.values(), strict=True)
    ]
    if len(truth.columns):
        lines["the source"] = truth
        about = {"view": None, "source": "given by the source"}
        tables.append(of_pixels(data, about, truth.add_prefix("share_")))
    materials = list(dict.fromkeys(m for shares in (truth, *lines.values()) for m in shares))
    means = {in_words(view): _mean_shares(_shares(unmixed)) for view, unmixed in found.items()}
    notes = [
        f"Unmixing {name}, its first seed. One scale for all maps: 0, nothing of the endmember; 1, nothing else; the "
        "shares of a pixel sum to 1. White: refused pixels."
        + (" An endmember bears the name of the material that it stands for." if len(truth.columns) else "")
        + (" Last row: shares that the source gives, which no unmixing has seen." if len(truth.columns) else ""),
    ]
    figure, axes = page(
        data, f"Mean shares found by {in_words(name)}: {by_space(means)}", notes, rows=len(lines),
        columns=len(materials), across=MAPS_ACROSS, panel=panel_size(data, MAP_WIDTH, 0.2),
    )  # fmt: skip
    for line, (source, shares) in zip(axes, lines.items(), strict=True):
        for ax, material in zip(line, materials, strict=True):
            if material not in shares:
                ax.remove()
                continue
            image = show_values(ax, data, shares[material], WHOLE)
            ax.set_title(f"{_called(material)}, {source}")
    figure.colorbar(image, ax=[ax for ax in axes.flat if ax.figure is not None], label="Share of the endmember",
                    aspect=35, pad=0.02, shrink=0.8)  # fmt: skip
    return figure, pd.concat(tables, ignore_index=True)


def endmembers(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """The spectra of the endmembers of `unmixing`, beside the references of the view; a column a view, a row an
    endmember.

    The table: view, unmixing, endmember, mark (endmember, reference or peak), position, value (each spectrum over its
    largest value), spectral_angle (degrees, of the first seed); of a peak height, element and line too.
    """
    name, found = _unmixed(spec, data)
    views = {view: spectra for view, spectra in spectra_of(spec, data).items() if view in found}
    angles = _angles(data, name)
    wide = 8.6 if len(views) == 1 else 4.4
    drawn, tables = {}, []
    for view, spectra in views.items():
        numbered = _endmember_numbers(data, found[view])
        for place, endmember in enumerate(found[view].names):
            rows = found[view].endmembers
            value, angle = _to_one(_by_channel(rows, "endmember", endmember)), angles.get((view, endmember), np.nan)
            known = _by_channel(spectra.references, "material", endmember)
            given = _to_one(known) if len(known) else None
            at = peaks(data, view, value, wide)
            drawn[view, place] = endmember, value, given, angle, at, numbered[endmember]
            about = {"view": view, "unmixing": name, "endmember": endmember}
            line = pd.DataFrame({"position": spectra.positions, "value": value})
            tables.append(line.assign(**about, mark="endmember", spectral_angle=angle))
            if given is not None:
                line = pd.DataFrame({"position": spectra.positions, "value": given})
                tables.append(line.assign(**about, mark="reference"))
            tables.append(at.drop(columns="significance").assign(**about, mark="peak"))
    table = pd.concat([part for part in tables if len(part)], ignore_index=True)
    columns = [*about, "mark", "position", "value", "spectral_angle", "height", "element", "line"]
    table = table.reindex(columns=[c for c in columns if c in table])
    given = any(reference is not None for _, _, reference, *_ in drawn.values())
    notes = [
        f"Unmixing {name}, its first seed. Every spectrum over its largest value, so that forms can be compared and "
        "not heights. " + root_note(data, views)
        + ("Dashed: the reference spectrum in the same preparation. The spectral angle between the two does not see "
           "their lengths: 0° for one form, 90° for nothing in common." if given else ""),
        peak_note(data, {place: at for place, (*_, at, _) in drawn.items()}),
    ]  # fmt: skip
    most = max(len(found[view].names) for view in views)
    tall = any(len(at) for *_, at, _ in drawn.values())
    figure, axes = page(
        data, _angle_title(name, angles, views), notes, rows=most, columns=len(views),
        panel=(wide, 2.1 if tall else 1.6),
    )  # fmt: skip
    labelled = []
    for column, (view, spectra) in enumerate(views.items()):
        for row, ax in enumerate(axes[:, column]):
            if (view, row) not in drawn:
                ax.remove()
                continue
            endmember, value, given, angle, at, shade = drawn[view, row]
            label = f"{_called(endmember)}, found" + (f": spectral angle {angle:.1f}°" if np.isfinite(angle) else "")
            ax.plot(spectra.positions, value, color=colour(shade), lw=1.4, label=label)
            if given is not None:
                ax.plot(spectra.positions, given, color=INK, lw=1.0, ls=DASHED, label="reference")
            last, scale = row == len(found[view].names) - 1, scale_of(data, spectra)
            spectral_axis(ax, spectra, np.append(value, 1.0), scale=scale, name=last)
            ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, fontsize=8, borderpad=0.2, handlelength=2.0)
            if row == 0:
                ax.set_title(in_words(view), pad=18)
            ax.set_yticks([0, 0.1, 0.5, 1] if scale == "root" else [0, 0.5, 1])
            if column % beside(len(views)) == 0:
                ax.set_ylabel("Over its maximum")
            labelled.append((ax, at))
    label_peaks(figure, labelled)
    return figure, table


def residual_maps(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """What each unmixing leaves of each pixel on the image: a row a view with one colour scale, a column an unmixing.

    The table: view, unmixing, the key, pixel_y, pixel_x, residual (root of the mean squared difference between spectrum
    and mixture, in the unit of the view). Raises DataError without unmixings.
    """
    found = _all_unmixed(spec, data)
    views, names = (list(dict.fromkeys(place[i] for place in found)) for i in (0, 1))
    tables, medians, norms = [], {}, {}
    for view in views:
        here = {name: found[view, name].abundances["residual"] for name in names if (view, name) in found}
        norms[view] = _residual_scale(pd.concat(here.values()))
        medians[view] = {name: float(residual.median()) for name, residual in here.items()}
        tables += [of_pixels(data, {"view": view, "unmixing": n}, r.to_frame("residual")) for n, r in here.items()]
    least = {in_words(view): min(of_view, key=of_view.get) for view, of_view in medians.items()}
    notes = [
        "Residual: root of the mean squared difference between a pixel's spectrum and its mixture, in the unit of the "
        "view; first seeds. One logarithmic scale a view, from the 1 % to the 99 % quantile of all its residuals. "
        "Above a map: the median over the pixels. Where forms of the image stand out in a residual, the endmembers "
        "can't make them. A method whose shares need not sum to 1 leaves less for that alone. White: refused "
        "pixels."
    ]
    figure, axes = page(
        data, f"Least is left by {by_space(least)} (median of the pixels)", notes, rows=len(views),
        columns=max(map(len, medians.values())), across=MAPS_ACROSS, panel=panel_size(data, MAP_WIDTH, 1.0),
    )  # fmt: skip
    for line, view in zip(axes, views, strict=True):
        for ax in line[len(medians[view]) :]:
            ax.remove()
        for ax, name in zip(line, medians[view], strict=False):
            show_values(ax, data, found[view, name].abundances["residual"], norms[view])
            ax.set_title(f"{name}: {number(medians[view][name])}" + (f"\n{in_words(view)}" if len(views) > 1 else ""))
            colour_bar(ax, norms[view], "residual", extend="both")
    return figure, pd.concat(tables, ignore_index=True)


def unmixing_scores(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """How well each unmixing of each view does, over its seeds: by the truth where there is one (error of the shares
    beside that of equal shares everywhere, angle of the spectra), else by what it leaves and what other seeds find.

    The table: view, unmixing, metric, value (mean over seeds), low, high (smallest and largest), seeds, constant (of
    abundance_rmse: that of equal shares everywhere).
    """
    scores = table_of(spec, data, "unmixings")
    scores = scores[scores["endmember"] == ALL]
    metrics = [m for m in _OF_TRUTH if (scores["metric"] == m).any()]
    if "abundance_rmse" not in metrics:
        metrics += [m for m in _WITHOUT if (scores["metric"] == m).any()]
    over_seeds = scores[scores["metric"].isin(metrics)].groupby(["view", "unmixing", "metric"], sort=False)["value"]
    table = over_seeds.agg(value="mean", low="min", high="max", seeds="size").reset_index()
    constants = scores[scores["metric"] == "abundance_rmse_constant"].groupby("view")["value"].first()
    table["constant"] = table["view"].map(constants).where(table["metric"] == "abundance_rmse")
    rows = list(dict.fromkeys(zip(table["view"], table["unmixing"], strict=True)))
    several = len({view for view, _ in rows}) > 1
    names = [f"{name}, {in_words(view)}" if several else name for view, name in rows]
    seeds = int(table["seeds"].max())
    notes = [
        f"Dot: mean over seeds (up to {seeds}); line: smallest to largest."
        + (" Error of shares against those that the source gives." if "abundance_rmse" in metrics else "")
        + (" Spectral angle to the reference spectra, mean over materials; none where these were given to the unmixing."
           if "spectral_angle" in metrics else "")
        + (" Relative error: the norm of what the mixture leaves over that of the spectra. Between seeds: shares of "
           "other seeds against the first, so 0 is one result for all; it says nothing of the truth."
           if "relative_error" in metrics else ""),
    ]  # fmt: skip
    legend = [handle("mean and range over seeds", PALETTE[0])]
    if table["constant"].notna().any():
        legend.append(reference("equal shares everywhere"))
    figure, axes = page(
        data, _score_title(table, metrics[0], several), notes, columns=len(metrics), sharey=True, legend=legend,
        panel=(4.3, 0.24 * len(rows) + 0.9),
    )  # fmt: skip
    for ax, metric in zip(axes[0], metrics, strict=True):
        of_metric = table[table["metric"] == metric].set_index(["view", "unmixing"])
        for y, place in enumerate(rows):
            if place not in of_metric.index:
                continue
            row = of_metric.loc[place]
            point(ax, y, row, PALETTE[0])
            if np.isfinite(row["constant"]):
                ax.plot([row["constant"]] * 2, [y - 0.5, y + 0.5], color=INK, lw=0.9, ls=DASHED)
        row_axis(ax, names)
        ax.set_xlabel(_METRICS[metric])
        ax.set_xlim(0, 1.08 * float(of_metric[["high", "constant"]].max().max()) or 1.0)
    return figure, table


def endmember_count(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """The next singular value over the number of endmembers beside what noise alone reaches; a panel a view.

    The table: view, endmember_count, endmembers, singular_value, noise_up_to, accepted.
    """
    table = table_of(spec, data, "endmember_counts").drop(columns="dataset")
    panels = [place for place, _ in table.groupby(["view", "endmember_count"], sort=False)]
    several = len({name for _, name in panels}) > 1
    titles = {place: in_words(place[0]) + (f", {in_words(place[1])}" if several else "") for place in panels}
    said = {}
    for place in panels:
        here = table[(table["view"] == place[0]) & (table["endmember_count"] == place[1])]
        accepted = here.loc[here["accepted"], "endmembers"]
        said[titles[place]] = str(accepted.iloc[0]) if len(accepted) else f"more than {here['endmembers'].max()}"
    notes = [
        "With so many endmembers taken out, the next singular value of the counts, scaled to unit noise; grey: what "
        "that of simulated counts with nothing more in them rarely exceeds. Dashed: the first number that leaves no "
        "more than noise. Fewer may be there in earnest where brightness or thickness bend the mixing; rarer ones than "
        "noise lets through are not seen."
    ]
    legend = [
        Line2D([], [], color=PALETTE[0], marker="o", ms=4.5, lw=1.4, label="next singular value"),
        Line2D([], [], color="#8a8a8a", lw=1.4, label="noise reaches up to"),
        reference("accepted number"),
    ]
    figure, axes = page(
        data, f"The counts support {by_space(said)} endmembers", notes, columns=len(panels), panel=(4.6, 3.2),
        legend=legend,
    )  # fmt: skip
    for ax, place in zip(axes[0], panels, strict=True):
        here = table[(table["view"] == place[0]) & (table["endmember_count"] == place[1])].sort_values("endmembers")
        ax.fill_between(here["endmembers"], 1e-12, here["noise_up_to"], color="#8a8a8a", alpha=0.25, lw=0)
        ax.plot(here["endmembers"], here["noise_up_to"], color="#8a8a8a", lw=1.4)
        ax.plot(here["endmembers"], here["singular_value"], color=PALETTE[0], marker="o", ms=4.5, lw=1.4)
        for m in here.loc[here["accepted"], "endmembers"]:
            ax.axvline(m, color=INK, lw=0.9, ls=DASHED, zorder=1)
        values = here[["singular_value", "noise_up_to"]].to_numpy()
        values = values[values > 0]
        if len(values):
            log_axis(ax, float(values.min()), float(values.max()))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(title=titles[place], xlabel="Number of endmembers", ylabel="Singular value (unit noise)")
    return figure, table.reset_index(drop=True)


def _unmixed(spec: Mapping, data: StudyData) -> tuple[str, dict[str, Unmixed]]:
    """The unmixing that a figure names, of each view that has it."""
    name = named(spec, "unmixing", [name for _, name in _all_unmixed(spec, data)])
    return name, {view: found for (view, other), found in data.unmixed.items() if other == name}


def _all_unmixed(spec: Mapping, data: StudyData) -> dict[tuple[str, str], Unmixed]:
    if not data.unmixed:
        raise DataError(
            f"no unmixing for a {spec['kind']}", where=f"study {data.study}, {spec['name']}",
            expected="tables of abundances and endmembers", do="name one under `unmixings` of the study",
        )  # fmt: skip
    return data.unmixed


def _shares(unmixed: Unmixed) -> pd.DataFrame:
    shares = unmixed.abundances[[f"share_{name}" for name in unmixed.names]]
    return shares.set_axis(unmixed.names, axis=1)


def _given_shares(data: StudyData) -> pd.DataFrame:
    """Shares that the source gives, a column a material; no columns where it gives none."""
    columns = [c for c in data.entities if c.startswith(_ABUNDANCE)]
    return data.entities[columns].rename(columns=lambda c: c.removeprefix(_ABUNDANCE))


def _mean_shares(shares: pd.DataFrame) -> str:
    return listed(f"{100 * mean:.0f} % {_called(name)}" for name, mean in shares.mean().items())


def _endmember_numbers(data: StudyData, unmixed: Unmixed) -> dict[str, int]:
    """Number in the palette of each endmember: that of its class, further ones for the others."""
    classes = class_numbers(data)
    others = [name for name in unmixed.names if name not in classes]
    return {**classes, **{name: len(classes) + i for i, name in enumerate(others)}}


def _angles(data: StudyData, unmixing: str) -> dict[tuple[str, str], float]:
    """Spectral angle of each view and endmember in the first run; nothing where no reference is known."""
    if data.unmixings is None:
        return {}
    rows = data.unmixings[(data.unmixings["unmixing"] == unmixing) & (data.unmixings["metric"] == "spectral_angle")]
    rows = rows[rows["endmember"] != ALL].sort_values("seed", kind="stable")
    return rows.groupby(["view", "endmember"])["value"].first().to_dict()


def _angle_title(name: str, angles: Mapping[tuple[str, str], float], views: Mapping) -> str:
    of_views = {view: [angle for (other, _), angle in angles.items() if other == view] for view in views}
    if not any(of_views.values()):
        return f"Endmembers of {in_words(name)}"
    said = {in_words(v): f"{min(a):.1f}° to {max(a):.1f}°" for v, a in of_views.items() if a}
    return f"Endmembers of {in_words(name)}: spectral angles of {by_space(said)} to the references"


def _called(endmember: str) -> str:
    """The material that an endmember stands for, else "endmember 2"."""
    return f"endmember {endmember}" if endmember.isdecimal() else endmember


def _by_channel(spectra: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """(c,) intensities of one spectrum of a long table."""
    return spectra[spectra[column] == name].sort_values("channel")["intensity"].to_numpy()


def _to_one(spectrum: np.ndarray) -> np.ndarray:
    """Over its largest value; a spectrum without one above 0 stays."""
    return spectrum / spectrum.max() if spectrum.max() > 0 else spectrum


def _residual_scale(residuals: pd.Series) -> Normalize:
    positive = residuals[residuals > 0]
    if not len(positive):
        return WHOLE
    low, high = positive.quantile(_RANGE[0]), positive.quantile(_RANGE[1])
    return LogNorm(low, high if high > low else 2 * low, clip=True)


def _score_title(table: pd.DataFrame, metric: str, several: bool) -> str:
    of_metric = table[table["metric"] == metric]
    best = of_metric.loc[of_metric["value"].idxmin()]
    on = f" on {in_words(best['view'])}" if several else ""
    what = {"abundance_rmse": "comes nearest to the given shares", "spectral_angle": "comes nearest to the references",
            "relative_error": "leaves the least", "rmse_to_reference": "varies least over seeds"}[metric]  # fmt: skip
    said = f"{best['unmixing']}{on} {what}: {metric.replace('_', ' ').replace('rmse', 'RMSE')} {number(best['value'])}"
    if metric != "abundance_rmse":
        return said + ("°" if metric == "spectral_angle" else "")
    worse = int((of_metric["value"] > of_metric["constant"]).sum())
    said += f", equal shares {number(best['constant'])}" if np.isfinite(best["constant"]) else ""
    return said + (f"; {worse} of {count(len(of_metric), 'result')} worse than these" if worse else "")
