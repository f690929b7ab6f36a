"""What the phases of an X-ray map consist of: a joint fit of all lines to the summed counts of each phase's pixels."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from matlas.cubes.cube import Axis, Cube
from matlas.cubes.eds import Detector, family_spectra, sensitivity
from matlas.cubes.lines import xray_lines
from matlas.cubes.quantify import LineFit, cation_ratio, concentrations, fit_lines
from matlas.errors import ConfigError, DataError

log = logging.getLogger(__name__)

_LIMITS = ["standard_error", "decision_limit", "detection_limit"]
_LEAST_PART = 0.06  # of an element's lines in a window, to be fitted there: `family_spectra` asks for a twentieth
_EMPTY = {"standard_error": np.nan, "decision_limit": np.nan, "detection_limit": np.nan, "stated": np.nan}


def computed_spectrum(formula: Mapping[str, float], cube: Cube, eds: Mapping) -> np.ndarray:
    """(C,) characteristic lines of a thin foil of this composition, without background and absorption, of sum 1.

    formula : atoms by element; those that are not among the `elements` of eds (schemas.config.datasets.Eds as plain
    values) have no lines on the axis. Raises ConfigError where none is, and as `family_spectra`.
    """
    seen = [element for element in formula if element in eds["elements"]]
    if not seen:
        raise ConfigError("no element of the phase is among `elements`", found=dict(formula))
    detector = Detector(**eds["detector"])
    families, rows = family_spectra(seen, cube.signal, detector, eds["beam_energy"])
    strengths = sensitivity(families, detector, eds["beam_energy"])
    spectrum = np.array([formula[element] for element, _ in families]) * strengths @ rows
    return spectrum / spectrum.sum()


def phase_quantities(cube: Cube, shares: pd.DataFrame, eds: Mapping, spec: Mapping) -> pd.DataFrame:
    """Counts of each family of lines, atomic fractions, ppm by mass and ratios of atoms in each phase, as QUANTITIES
    has them but for study and dataset.

    cube : counts, as measured; shares : of each phase (a column each) in the pixels whose place among the cube's
    spectra the index says; eds, spec : schemas.config.datasets.Eds and schemas.config.studies.Quantification as plain
    values. Subject "all" of counts is their sum; a phase of fewer than `least_pixels` has no other row, and the log
    says so. An element that is not detected has no fraction and no ppm, but a detection limit. Sums of pixels that were
    chosen by their own counts are treated as Poisson: the choice goes by the main lines, which are thousands of counts.
    Raises DataError for a cube without counts, and as `fit_lines`.
    """
    if not cube.counts:
        raise DataError("lines are fitted to counts", do="declare `counts: true` if these are")
    detector, elements = Detector(**eds["detector"]), eds["elements"]
    in_sample = [e for e in elements if e not in eds["not_in_sample"]]
    parts = []
    for phase in shares.columns:
        chosen = shares.index[shares[phase] >= spec["least_share"]].to_numpy()
        spectrum = cube.spectra[chosen].sum(axis=0, dtype=np.int64)
        rows = [{**_EMPTY, "quantity": "counts", "subject": "all", "value": float(spectrum.sum()), "detected": True}]
        if len(chosen) < spec["least_pixels"]:
            log.warning("phase %s is not quantified: %d pixels have a share of %g or more, %d are asked for", phase,
                        len(chosen), spec["least_share"], spec["least_pixels"])  # fmt: skip
            parts.append(pd.DataFrame(rows).assign(phase=phase, pixels=len(chosen)))
            continue
        fit = fit_lines(spectrum, cube.signal, elements, detector, eds["beam_energy"])
        log.info("%s: %d pixels, %d counts; Pearson's chi-squared %.0f at %d degrees of freedom", phase, len(chosen),
                 spectrum.sum(), fit.pearson, fit.degrees_of_freedom)  # fmt: skip
        traces = _traces(spectrum, cube.signal, eds, detector, spec["windows"])
        rows += [*_counts(fit, traces), *_composition(fit, in_sample, phase, spec, traces), *_ratios(fit, phase, spec)]
        parts.append(pd.DataFrame(rows).assign(phase=phase, pixels=len(chosen)))
    return pd.concat(parts, ignore_index=True)


def _traces(spectrum: np.ndarray, axis: Axis, eds: Mapping, detector: Detector, windows: list[Mapping]) -> pd.DataFrame:
    """Families as `LineFit` has them, of the trace elements that are fitted in a window of their own; maybe none."""
    found = []
    for window in windows:
        part = axis.window(window["low"], window["high"])
        cut = axis.cut(part)
        lines = xray_lines(eds["elements"], cut.values[0], cut.values[-1], eds["beam_energy"])
        weights = lines.groupby("element")["weight"].sum()
        there = [e for e in eds["elements"] if weights.get(e, 0) >= _LEAST_PART]
        fit = fit_lines(spectrum[part], cut, there, detector, eds["beam_energy"])
        families = fit.families
        found.append(families[families.index.get_level_values("element").isin(window["elements"])])
    nothing = pd.DataFrame(columns=["counts", *_LIMITS], index=pd.MultiIndex.from_arrays([[], []]))
    return pd.concat(found) if found else nothing


def _counts(fit: LineFit, traces: pd.DataFrame) -> list[dict]:
    rows = []
    for family, row in fit.families.iterrows():
        row = traces.loc[family] if family in traces.index else row
        rows.append({**_EMPTY, "quantity": "counts", "subject": " ".join(family), "value": row["counts"],
                     **{name: row[name] for name in _LIMITS}, "detected": bool(row["detected"])})  # fmt: skip
    return rows


def _composition(fit: LineFit, elements: list[str], phase: str, spec: Mapping, traces: pd.DataFrame) -> list[dict]:
    found, rows = concentrations(fit, elements), []
    for amount, error, limit in (
        ("atomic_fraction", "atomic_error", "atomic_limit"), ("mass_ppm", "mass_error", "mass_limit"),
    ):  # fmt: skip
        for element, row in found.iterrows():
            family = (element, row["family"])
            value, wrong, least, detected = row[amount], row[error], row[limit], bool(row["detected"])
            if family in traces.index:
                counted = traces.loc[family]
                per_count = row[limit] / fit.families.loc[family, "detection_limit"]
                value, wrong, least = (per_count * counted[c] for c in ("counts", "standard_error", "detection_limit"))
                detected = bool(counted["detected"])
                value, wrong = (value, wrong) if detected else (np.nan, np.nan)
            stated = spec["stated_ppm"].get(element, {}).get(phase, np.nan) if amount == "mass_ppm" else np.nan
            rows.append({**_EMPTY, "quantity": amount, "subject": element, "value": value, "standard_error": wrong,
                         "detection_limit": least, "detected": detected, "stated": stated})  # fmt: skip
    return rows


def _ratios(fit: LineFit, phase: str, spec: Mapping) -> list[dict]:
    rows = []
    detected = fit.families["detected"].groupby(level="element").any()
    for ratio in spec["ratios"]:
        there = all(detected[side].any() for side in (ratio["above"], ratio["below"]))
        value, error = cation_ratio(fit, ratio["above"], ratio["below"])
        rows.append({**_EMPTY, "quantity": "ratio", "subject": ratio["name"], "value": value, "standard_error": error,
                     "detected": there, "stated": ratio["stated"].get(phase, np.nan)})  # fmt: skip
    return rows
