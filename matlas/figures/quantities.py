"""What a fit of all X-ray lines says of each phase, and what noise does to the methods that find the phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from matlas.errors import DataError
from matlas.figures.learning.points import DASHED, DOTTED, handle, offsets, point, row_axis, styles
from matlas.figures.learning.words import tested
from matlas.figures.parameters import table_of
from matlas.figures.study_data import StudyData, in_words
from matlas.figures.style import INK, MARKERS, MUTED, PALETTE, count, listed, log_axis, number, page

RATIO, TRACE = "ratio", "mass_ppm"
NOISE_TEST, PIXEL_FIT = "noise", "pixel_fit"
BEST_K, ALL = "best_k", "all"
_METRICS = {
    BEST_K: "Number of clusters chosen",
    "ari": "Adjusted Rand index",
    "accuracy": "Accuracy",
    "abundance_rmse": "RMSE of shares",
    "spectral_angle": "Spectral angle (degrees)",
}
_DOSE = "Dose (counts of a mean pixel)"
_HIGH_IS_GOOD = ("ari", "accuracy")
_NAMED = 3  # elements that a title names
_OF_PHASE = ("precision", "recall")
_DASHES = ("-", DASHED, DOTTED, (0, (5, 2, 1, 2)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))


def quantities(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Ratios of atoms in each phase beside the stated ones (where there are any, those alone), and trace elements
    beside the limits of detection; a column a phase.

    The table: phase, quantity (ratio or mass_ppm), subject, value, standard_error, decision_limit, detection_limit,
    detected, stated, pixels. Raises DataError where neither was measured.
    """
    table = table_of(spec, data, "quantities")
    table = table[table["quantity"].isin([RATIO, TRACE])].drop(columns=["study", "dataset"])
    ratios, stated = table["quantity"] == RATIO, table["stated"].notna()
    if (ratios & stated).any():  # others may be huge, such as to silicon where there is none
        table = table[~ratios | stated]
    table = table.reset_index(drop=True)
    if not len(table):
        raise DataError("no ratios and no trace elements to draw", where=f"study {data.study}, {spec['name']}",
                        found="atomic fractions and counts only", do="ask for ratios or traces")  # fmt: skip
    phases = list(dict.fromkeys(table["phase"]))
    shown = [q for q in (RATIO, TRACE) if (table["quantity"] == q).any()]
    subjects = {q: list(dict.fromkeys(table.loc[table["quantity"] == q, "subject"])) for q in shown}
    notes = [
        "Summed spectra of the pixels of each phase. Bars: ± 1 standard error by counting; what computed intensities "
        "of lines are good to, some 10 % between K lines and worse for L and M, comes on top."
        + (" Arrow: not detected, the content is most likely below the detection limit (Currie 1968) at which it ends."
           if _missing(table).any() else ""),
    ]  # fmt: skip
    legend = [handle("measured, ± 1 standard error", PALETTE[0])]
    if table["stated"].notna().any():
        legend.append(_dot("stated (formula or literature)", PALETTE[3]))
    if _missing(table).any():
        legend.append(_dot("not detected: detection limit", MUTED, "<"))
    heights = [0.3 * len(subjects[q]) + 0.8 for q in shown]
    figure, axes = page(
        data, _quantity_title(table), notes, rows=len(shown), columns=len(phases), legend=legend,
        panel=(3.9, sum(heights) / len(heights)), sharex="row" if len(phases) < 4 else False,
        height_ratios=heights if len(phases) < 4 else None,
    )  # fmt: skip
    for line, quantity in zip(axes, shown, strict=True):
        of_quantity = table[table["quantity"] == quantity]
        _limits(line, of_quantity, log=quantity == TRACE)
        for ax, phase in zip(line, phases, strict=True):
            here = of_quantity[of_quantity["phase"] == phase].set_index("subject")
            _quantity(ax, here, subjects[quantity])
            pixels = f", {count(int(here['pixels'].iloc[0]), 'pixel')}" if len(here) else ""
            ax.set_title(f"{in_words(phase)}{pixels}")
            ax.set_xlabel("Ratio of atoms (dimensionless)" if quantity == RATIO else "Mass fraction (ppm)")
    return figure, table


def noise_sweep(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """Scores of each method over the dose, a line a contrast; where there are several contrasts, the number of clusters
    chosen as a map of contrast and dose, a panel a method.

    The table: view, representation, method, contrast (the group), dose, metric, value (median over seeds; of best_k
    the most frequent, the smallest of several), low, high (smallest and largest), seeds, share (of the seeds with that
    best_k).
    """
    rows = tested(spec, data, NOISE_TEST)
    rows = rows.assign(method=_methods(rows), contrast=rows["group"], dose=rows["x"])
    rows = rows[rows["metric"].isin(list(_METRICS))]
    table = _over_seeds(rows)
    methods, contrasts = (list(dict.fromkeys(table[c])) for c in ("method", "contrast"))
    metrics = [m for m in _METRICS if (table["metric"] == m).any()]
    mapped = BEST_K in metrics and len(contrasts) > 1
    curves = [m for m in metrics if not (mapped and m == BEST_K)]
    maps = [m for m in methods if mapped and ((table["method"] == m) & (table["metric"] == BEST_K)).any()]
    looks = styles(methods)
    dashes = {c: _DASHES[i % len(_DASHES)] for i, c in enumerate(contrasts)}
    seeds = int(table["seeds"].max())
    notes = [
        f"Line: median over {count(seeds, 'seed')}; band: smallest to largest. Dose: counts of a mean pixel. "
        "Each seed is another simulation, whose truth is known; clusters are scored at the true number."
        + (" RMSE and angle: small is good." if {"abundance_rmse", "spectral_angle"} & set(curves) else "")
        + (" Maps: the number of clusters chosen most often, and below it by how many of the seeds." if maps else ""),
    ]  # fmt: skip
    legend = [Line2D([], [], color=looks[m][0], marker=looks[m][1], ms=4.5, lw=1.5, label=in_words(m)) for m in methods]
    if len(contrasts) > 1:
        legend += [Line2D([], [], color=INK, lw=1.3, ls=dashes[c], label=c or "all") for c in contrasts]
    figure, axes = page(
        data, _noise_title(table, curves), notes, columns=len(maps) + len(curves),
        across=2 if len(maps) + len(curves) in (2, 4) else 3, panel=(4.0, 2.9), legend=legend,
    )  # fmt: skip
    for ax, method in zip(axes[0], maps, strict=False):
        _best_k_map(ax, table[(table["method"] == method) & (table["metric"] == BEST_K)], contrasts)
        ax.set_title(f"{_METRICS[BEST_K]}, {in_words(method)}")
    for ax, metric in zip(axes[0, len(maps) :], curves, strict=True):
        here = table[table["metric"] == metric]
        for (method, contrast), line in here.groupby(["method", "contrast"], sort=False):
            shade, shape = looks[method]
            line = line.sort_values("dose")
            ax.fill_between(line["dose"], line["low"], line["high"], color=shade, alpha=0.13, lw=0)
            ax.plot(line["dose"], line["value"], color=shade, marker=shape, ms=4.5, lw=1.5, ls=dashes[contrast])
        log_axis(ax, float(here["dose"].min()), float(here["dose"].max()), "x")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda dose, _: number(dose)))
        ax.set(title=_METRICS[metric], xlabel=_DOSE)
        ax.set_ylim(*((min(0.0, float(here["low"].min())), 1.02) if metric in _HIGH_IS_GOOD else (0, None)))
    return figure, table


def pixel_fit(spec: Mapping, data: StudyData) -> tuple[Figure, pd.DataFrame]:
    """How often each method finds the phase of a pixel, over all pixels and for each phase, and the time it took.

    The table: view, representation, method, phase (`all` for all), metric (accuracy, ari, precision, recall or
    seconds), value (of seconds the median over repeats), low, high (of seconds the shortest and longest), repeats.
    """
    rows = tested(spec, data, PIXEL_FIT)
    rows = rows.assign(method=_methods(rows), phase=rows["group"].replace("", ALL))
    over_repeats = rows.groupby(["view", "representation", "method", "phase", "metric"], sort=False)["value"]
    table = over_repeats.agg(value="median", low="min", high="max", repeats="size").reset_index()
    methods = list(dict.fromkeys(table["method"]))
    whole = table[(table["phase"] == ALL) & (table["metric"] != "seconds")]
    of_phase = table[table["metric"].isin(_OF_PHASE) & (table["phase"] != ALL)]
    phases = list(dict.fromkeys(of_phase["phase"]))
    metrics = [m for m in _OF_PHASE if (of_phase["metric"] == m).any()]
    looks, apart = styles(methods), offsets(len(methods))
    known = [m for m in ("accuracy", "ari", *_OF_PHASE) if (whole["metric"] == m).any()]
    notes = [
        "Precision: share of the pixels given to a phase that are of it; recall: share of the pixels of a phase that "
        "are given to it; accuracy: share of all pixels with the right phase; ARI: adjusted Rand index, 0 by chance."
        + " A phase that a method finds nowhere has no precision. Clusters stand for phases by the best one-to-one "
        "matching, made afterwards.",
        _times(table, methods),
    ]
    legend = [handle(in_words(m), *looks[m]) for m in methods]
    panels = [(known, [_METRICS.get(m, m.capitalize()) for m in known], "All pixels")] if known else []
    panels += [(phases, [in_words(p) for p in phases], metric.capitalize()) for metric in metrics]
    most = max(len(names) for _, names, _ in panels)
    figure, axes = page(
        data, _fit_title(table, methods), notes, columns=len(panels), legend=legend,
        panel=(3.6, max(1.7, (0.18 * len(methods) + 0.2) * most + 0.9)),
    )  # fmt: skip
    for ax, (keys, names, title) in zip(axes[0], panels, strict=True):
        for y, key in enumerate(keys):
            for method, offset in zip(methods, apart, strict=True):
                at = table[table["method"] == method]
                at = at[(at["phase"] == ALL) & (at["metric"] == key)] if title == "All pixels" else \
                    at[(at["phase"] == key) & (at["metric"] == title.lower())]  # fmt: skip
                for row in at.itertuples():
                    point(ax, y + offset, row, *looks[method])
        row_axis(ax, names)
        ax.set(title=title, xlabel="Score (dimensionless)" if title == "All pixels" else "Share of pixels")
        ax.set_xlim(min(0.0, float(table["value"].min())) - 0.03, 1.03)
    return figure, table


def _quantity(ax: Axes, here: pd.DataFrame, subjects: Sequence[str]) -> None:
    for y, subject in enumerate(subjects):
        if subject not in here.index:
            continue
        row = here.loc[subject]
        if row["stated"] == 0 and ax.get_xscale() == "log":
            ax.text(0.98, y, "stated: 0", transform=ax.get_yaxis_transform(), size=7.5, ha="right", va="center",
                    color=PALETTE[3])  # fmt: skip
        elif np.isfinite(row["stated"]):
            ax.plot(row["stated"], y, marker="D", ms=7, ls="none", mfc="none", mec=PALETTE[3], mew=1.3)
        if row["detected"]:
            half = row["standard_error"] if np.isfinite(row["standard_error"]) else 0.0
            ax.errorbar(row["value"], y, xerr=half, color=PALETTE[0], marker="o", ms=5, lw=1.4, capsize=2.5)
        elif np.isfinite(row["detection_limit"]):
            ax.annotate("", (row["detection_limit"], y), xytext=(-34, 0), textcoords="offset points",
                        arrowprops={"arrowstyle": "<|-", "color": MUTED, "lw": 1.2, "shrinkA": 0, "shrinkB": 0,
                                    "mutation_scale": 7})  # fmt: skip
            ax.plot(row["detection_limit"], y, marker="|", ms=8, color=MUTED)
            ax.annotate("not detected", (row["detection_limit"], y), xytext=(5, 0), textcoords="offset points",
                        size=7.5, va="center", color=MUTED)  # fmt: skip
    row_axis(ax, subjects)


def _limits(line: np.ndarray, table: pd.DataFrame, *, log: bool) -> None:
    """One axis for all phases, with room for arrows and words where it is logarithmic."""
    detected, missing = table[table["detected"]], table[_missing(table)]
    error = detected["standard_error"].fillna(0.0)
    ends = [detected["value"] - error, detected["value"] + error, missing["detection_limit"], table["stated"]]
    shown = pd.concat(ends).dropna()
    positive = shown[shown > 0]
    for ax in line:
        if log and len(positive):
            log_axis(ax, float(positive.min()) / 2, float(positive.max()) * 8, "x")
        elif not log:
            ax.set_xlim(min(0.0, 1.1 * float(shown.min())), 1.1 * float(shown.max()) or 1.0)


def _missing(table: pd.DataFrame) -> pd.Series:
    return ~table["detected"] & table["detection_limit"].notna()


def _quantity_title(table: pd.DataFrame) -> str:
    ratios = table[(table["quantity"] == RATIO) & table["stated"].abs().gt(0) & table["value"].notna()]
    traces = table[table["quantity"] == TRACE]
    said = []
    if len(ratios):
        off = ((ratios["value"] - ratios["stated"]).abs() / ratios["stated"].abs()).median()
        said.append(f"Ratios of atoms differ by {100 * off:.0f} % from the stated ones (median of {len(ratios)})")
    detected = traces.groupby("subject", sort=False)["detected"].agg(["sum", "size"])
    partly = detected[detected["sum"] < detected["size"]]
    if 0 < len(partly) <= _NAMED:
        there = traces[traces["detected"]].groupby("subject")["phase"].agg(lambda phases: listed(map(in_words, phases)))
        said.append(listed(f"{s} detected in {there.get(s, 'no phase')}" for s in partly.index))
    elif len(traces):
        said.append(f"{count(len(detected) - len(partly), 'element')} of {len(detected)} detected in every phase")
    return "; ".join(said) or "Ratios of atoms in each phase"


def _methods(rows: pd.DataFrame) -> pd.Series:
    """The method of each row; with its space where it was applied to several."""
    spaces = rows["view"].fillna("") + " " + rows["representation"].fillna("")
    several = spaces.groupby(rows["case"]).transform("nunique") > 1
    views = rows["view"].groupby(rows["case"]).transform("nunique") > 1
    place = spaces.where(views, rows["representation"]).map(lambda name: in_words(name).strip())
    return rows["case"].where(~several, rows["case"] + " on " + place)


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    keys = ["view", "representation", "method", "contrast", "dose", "metric"]
    found = []
    for place, group in rows.groupby(keys, sort=False):
        values = group["value"]
        counts = values.value_counts().sort_index()
        chosen = place[-1] == BEST_K
        value = float(counts.idxmax()) if chosen else float(values.median())
        share = counts.max() / len(values) if chosen else np.nan
        found.append({**dict(zip(keys, place, strict=True)), "value": value, "low": values.min(), "high": values.max(),
                      "seeds": len(values), "share": share})  # fmt: skip
    return pd.DataFrame(found)


def _best_k_map(ax: Axes, here: pd.DataFrame, contrasts: Sequence[str]) -> None:
    doses = sorted(here["dose"].unique())
    values = here.pivot(index="contrast", columns="dose", values="value").reindex(index=contrasts, columns=doses)
    shares = here.pivot(index="contrast", columns="dose", values="share").reindex(index=contrasts, columns=doses)
    low, high = values.min().min(), values.max().max()
    top = high + max(2.0, high - low)  # so that black numbers stand on no dark blue
    ax.imshow(values, cmap="Blues", vmin=low - 1, vmax=top, aspect="auto", interpolation="none")
    for (y, x), value in np.ndenumerate(values.to_numpy()):
        if np.isfinite(value):
            ax.text(x, y, f"{value:.0f}\n({100 * shares.iloc[y, x]:.0f} %)", ha="center", va="center", size=8)
    ax.set_xticks(range(len(doses)), [number(d) for d in doses])
    ax.set_yticks(range(len(contrasts)), [c or "all" for c in contrasts])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.set_xlabel(_DOSE)


def _noise_title(table: pd.DataFrame, curves: Sequence[str]) -> str:
    good = next((m for m in ("accuracy", "ari") if m in curves), None)
    if good is None:
        return f"{listed(_METRICS[m] for m in dict.fromkeys(table['metric']))} over the dose"
    lowest = table[(table["metric"] == good) & (table["dose"] == table["dose"].min())]
    means = lowest.groupby("method", sort=False)["value"].mean()
    best = means.idxmax()
    return (
        f"At the lowest dose, {number(table['dose'].min())}, {in_words(best)} does best: {_METRICS[good].lower()} "
        f"{means[best]:.2f}" + (", mean over the contrasts" if lowest["contrast"].nunique() > 1 else "")
    )


def _fit_title(table: pd.DataFrame, methods: Sequence[str]) -> str:
    right = table[(table["metric"] == "accuracy") & (table["phase"] == ALL)].set_index("method")["value"]
    if not len(right):
        return f"Phases of pixels by {listed(map(in_words, methods))}"
    return f"Pixels with the right phase: {listed(f'{in_words(m)} {100 * v:.1f} %' for m, v in right.items())}"


def _times(table: pd.DataFrame, methods: Sequence[str]) -> str:
    seconds = table[table["metric"] == "seconds"].set_index("method")["value"].reindex(methods).dropna()
    if not len(seconds):
        return ""
    said = f"Time, median: {listed(f'{in_words(m)} {number(s)} s' for m, s in seconds.items())}"
    fast, slow = seconds.idxmin(), seconds.idxmax()
    if fast == slow or seconds[fast] <= 0:
        return f"{said}."
    return f"{said}; {in_words(slow)} takes {number(seconds[slow] / seconds[fast])} times as long as {in_words(fast)}."


def _dot(label: str, shade: str, shape: str = MARKERS[3]) -> Line2D:
    return Line2D([], [], ls="none", marker=shape, ms=6.5, mfc="none", mec=shade, mew=1.3, label=label)
