"""How much of each element a counted X-ray spectrum shows: lines fitted jointly, with errors and detection limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xraylib
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import nnls
from scipy.special import kl_div, xlogy

from matlas.cubes.cube import Axis
from matlas.cubes.eds import Detector, Foil, bremsstrahlung, family_spectra, sensitivity
from matlas.cubes.lines import atomic_numbers
from matlas.errors import ConfigError, DataError, nearest

_ONE_SIDED = 1.645  # quantile of the normal distribution: 5 % false detections, 5 % missed at the detection limit
_OPTIMAL = 1e-9  # what the gradient may miss, relative to that of the model's own counts
_STEPS = 200
_EXPECTED_SHARE = 1e-3  # of the expected in the observed curvature, which can be singular where counts are few
_ROUNDING = 1e-14  # of the likelihood's terms: near the optimum its fall is less
_MOSTLY = 0.5  # of a family on the axis
_LEAST_MEAN = 1e-9  # counts in a channel, below which it would say more than counting can


@dataclass(frozen=True, eq=False)
class LineFit:
    """A spectrum as a sum of families of lines and a smooth background.

    families : indexed by element and family, in counts (of the whole family, lines beyond the axis included):
        counts, standard_error, decision_limit, detection_limit, detected; on_axis, the share of its detected photons
        that are on the axis; and sensitivity (cm², see `matlas.cubes.eds.sensitivity`)
    covariance : (F, F) of the counts; model, background : (C,) expected counts, the former with the background
    log_likelihood : without the terms that no model changes; deviance, pearson : of model and counts, both about
        degrees_of_freedom where counts are many and the model is true; deviance is less where most channels have
        fewer than one count
    """

    families: pd.DataFrame
    covariance: np.ndarray
    model: np.ndarray
    background: np.ndarray
    log_likelihood: float
    deviance: float
    pearson: float
    degrees_of_freedom: int


def fit_lines(
    counts: np.ndarray,
    axis: Axis,
    elements: Sequence[str],
    detector: Detector,
    beam_energy: float,
    *,
    foil: Foil | None = None,
    powers: Sequence[float] = (0, 1, 2),
) -> LineFit:
    """The amplitudes of greatest Poisson likelihood, none negative, of all families of the elements and of the
    background's terms at once.

    counts : (C,) whole, as measured: one spectrum or the sum of many; elements : all whose lines are there, those of
    the grid and the holder too: a missing one biases its neighbours; others as `matlas.cubes.eds.family_spectra` and
    `bremsstrahlung` take them.
    A family is fitted as a whole, so that one line that stands alone (Nd Lα) says how much lies under another (Nd Lβ
    under Sm Lα). Standard errors come from the Fisher information of all amplitudes, so overlaps widen them. A family
    is detected when its counts exceed the decision limit, 1.645 σ0, which one in twenty does by chance where the
    element is absent; of those at the detection limit, 2.71 + 3.29 σ0, one in twenty is missed. σ0 is the standard
    error in the fit without that family. Neighbours that are absent too make both rarer.
    Errors and limits are of counting alone, for a detector and lines that are known exactly. Peaks of measured spectra
    have tails that the model hasn't: of 10⁴ counts and more, a tail is fitted as whatever has a line there (that of Fe
    Kα as Sm Lβ). Whether a trace is real shows on the part of the axis around its strongest line (`Axis.cut`).
    The optimum is exact: the Karush–Kuhn–Tucker conditions are verified.
    Raises ConfigError as `family_spectra`; DataError for values that are no counts, for families that can't be told
    apart, and where no optimum is found.
    Source: Currie 1968, doi:10.1021/ac60259a007 (limits).
    """
    counts = _counted(counts, axis)
    families, lines = family_spectra(elements, axis, detector, beam_energy, foil)
    terms = bremsstrahlung(axis, detector, beam_energy, foil, powers)
    model = np.concatenate([lines, terms])
    amplitudes = poisson_fit(counts, model)
    mean = amplitudes @ model
    n = len(families)
    covariance = _covariance(model, mean)[:n, :n]
    without = np.array([_error_without(counts, model, amplitudes, i) for i in range(n)])
    table = pd.DataFrame({
        "counts": amplitudes[:n], "standard_error": np.sqrt(np.diag(covariance)),
        "decision_limit": _ONE_SIDED * without, "detection_limit": _ONE_SIDED**2 + 2 * _ONE_SIDED * without,
        "detected": amplitudes[:n] > _ONE_SIDED * without,
        "on_axis": lines.sum(axis=1), "sensitivity": sensitivity(families, detector, beam_energy, foil),
    }, index=pd.MultiIndex.from_tuples(families, names=["element", "family"]))  # fmt: skip
    floored = np.maximum(mean, _LEAST_MEAN)
    return LineFit(
        table, covariance, mean, amplitudes[n:] @ terms, float((xlogy(counts, mean) - mean).sum()),
        float(2 * kl_div(counts, mean).sum()), float(((counts - mean) ** 2 / floored).sum()),
        axis.size - int((amplitudes > 0).sum()),
    )  # fmt: skip


def poisson_fit(counts: np.ndarray, model: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Amplitudes (K,), none negative, of the rows of model (K, C) whose sum makes the counts (C,) most likely.

    By Newton's method, each step the minimum over amplitudes of 0 or more of the quadratic that touches the
    likelihood, shortened until it falls; the problem is convex, so the optimum is the only one where rows are
    independent. Raises DataError for counts where no row has any, and where no optimum is found.
    """
    sums = model.sum(axis=1)
    if counts[~model.any(axis=0)].any():
        raise DataError("counts where the model has none", do="leave those channels out")
    amplitudes = np.full(len(model), counts.sum() / len(model)) / sums if start is None else start.copy()

    def loss(a: np.ndarray) -> float:
        mean = a @ model
        with np.errstate(divide="ignore"):
            return float((mean - xlogy(counts, mean)).sum())

    here = loss(amplitudes)
    for _ in range(_STEPS):
        mean = amplitudes @ model
        ratio = np.divide(counts, mean, out=np.zeros_like(mean), where=counts > 0)
        gradient = sums - model @ ratio
        missed = np.where(amplitudes > 0, np.abs(gradient), -gradient) / sums
        if missed.max() <= _OPTIMAL:
            return amplitudes
        weights = np.divide(ratio, mean, out=np.zeros_like(mean), where=counts > 0)
        weights += _EXPECTED_SHARE / np.maximum(mean, _LEAST_MEAN)
        target = _quadratic_minimum((model * weights) @ model.T, gradient, amplitudes)
        step = target - amplitudes
        slope, size = gradient @ step, 1.0
        enough = here + _ROUNDING * np.abs(xlogy(counts, mean)).sum()
        while (there := loss(trial := amplitudes + size * step)) > enough + 1e-4 * size * slope and size > 1e-12:
            size /= 2
        amplitudes, here = (target if size == 1 else trial), there
    raise DataError("no optimum of the likelihood was found", expected=f"optimality within {_OPTIMAL:g}",
                    found=f"{missed.max():.1g}", do="leave out elements without a line of their own")  # fmt: skip


def _quadratic_minimum(curvature: np.ndarray, gradient: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The x >= 0 that minimises gradient (x - at) + (x - at) curvature (x - at) / 2, as non-negative least squares."""
    unit = 1 / np.sqrt(np.diag(curvature))
    upper = _factor(curvature * unit * unit[:, None])
    aim = upper @ (at / unit) - np.linalg.solve(upper.T, gradient * unit)
    return nnls(upper, aim)[0] * unit


def _covariance(model: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Inverse of the Fisher information of all amplitudes."""
    information = (model / np.maximum(mean, _LEAST_MEAN)) @ model.T
    unit = 1 / np.sqrt(np.diag(information))
    scaled = cho_solve((_factor(information * unit * unit[:, None]), False), np.eye(len(unit)))
    return scaled * unit * unit[:, None]


def _factor(matrix: np.ndarray) -> np.ndarray:
    try:
        return cholesky(matrix)
    except np.linalg.LinAlgError:
        raise DataError("families or background terms can't be told apart on this axis",
                        do="leave out elements whose lines coincide, or terms of the background") from None  # fmt: skip


def _error_without(counts: np.ndarray, model: np.ndarray, amplitudes: np.ndarray, left_out: int) -> float:
    """Standard error of an amplitude where it is 0 in truth: under the fit without it."""
    others = amplitudes.copy()
    if amplitudes[left_out] > 0:
        kept = np.arange(len(model)) != left_out
        start = np.maximum(amplitudes[kept], 1e-3 * counts.sum() / len(model))
        others[kept], others[left_out] = poisson_fit(counts, model[kept], start), 0.0
    return float(np.sqrt(_covariance(model, others @ model)[left_out, left_out]))


def _counted(counts: np.ndarray, axis: Axis) -> np.ndarray:
    counts = np.asarray(counts, dtype=np.float64)
    if counts.shape != (axis.size,):
        raise DataError("not one spectrum on this axis", expected=(axis.size,), found=counts.shape)
    if not np.isfinite(counts).all() or counts.min() < 0 or (counts != np.rint(counts)).any() or not counts.any():
        raise DataError("values are no counts", expected="whole numbers of 0 or more, not all 0",
                        do="give counts as they were measured, neither scaled nor corrected")  # fmt: skip
    return counts


def concentrations(fit: LineFit, elements: Sequence[str] | None = None) -> pd.DataFrame:
    """Composition by Cliff & Lorimer, relative to the sum of the detected ones among the elements.

    elements : those that are in the sample (not those of grid and holder), by default all that were fitted.
    Returns, indexed by element: family, detected, atomic_fraction and mass_ppm with their errors atomic_error and
    mass_error, and atomic_limit and mass_limit, the detection limits. Fraction, ppm and errors are NaN where the
    element isn't detected: there the limit bounds them. Each element is quantified by one family: the innermost of
    which at least half is on the axis, as K is known best and M worst, whatever was detected (a choice by what was
    detected would favour what an overlap pretends); where there is none, the one of which most is.
    Errors are of counting, with covariances; sensitivities add theirs (`matlas.cubes.eds.sensitivity`).
    Raises ConfigError for an element that wasn't fitted; DataError where none is detected.
    """
    used = _used(fit, elements)
    table = fit.families.loc[used]
    atoms, covariance, limits = _atoms(fit, used)
    detected = table["detected"].to_numpy()
    if not detected.any():
        raise DataError("no element is detected", where=[element for element, _ in used], do="sum more pixels")
    mass = np.array([xraylib.AtomicWeight(z) for z in atomic_numbers([element for element, _ in used])])
    found = {"family": table.index.get_level_values("family"), "detected": detected}
    for amount, error, limit, weights, unit in (
        ("atomic_fraction", "atomic_error", "atomic_limit", np.ones_like(mass), 1.0),
        ("mass_ppm", "mass_error", "mass_limit", mass, 1e6),
    ):
        total = weights[detected] @ atoms[detected]
        shares = weights * atoms / total
        # d share_i / d atoms_j = (weight_i [i = j] - share_i weight_j) / total, j among the detected
        slopes = (np.diag(weights) - np.outer(shares, weights * detected)) / total
        errors = np.sqrt(np.einsum("ij,jk,ik->i", slopes, covariance, slopes))
        found[amount] = np.where(detected, shares * unit, np.nan)
        found[error] = np.where(detected, errors * unit, np.nan)
        found[limit] = weights * limits / total * unit
    return pd.DataFrame(found, index=pd.Index([element for element, _ in used], name="element"))


def cation_ratio(fit: LineFit, above: Sequence[str], below: Sequence[str]) -> tuple[float, float]:
    """Atoms of the elements `above` to atoms of those `below`, such as (Mg + Fe + Al) / Si, and its standard error.

    Elements that aren't detected count with what was fitted. Families and errors as in `concentrations`; an element
    may be on both sides. Raises ConfigError for an element that wasn't fitted; DataError where there is nothing below.
    """
    used = _used(fit, list(dict.fromkeys([*above, *below])))
    atoms, covariance, _ = _atoms(fit, used)
    over, under = (np.array([element in side for element, _ in used], dtype=float) for side in (above, below))
    total = under @ atoms
    if not total > 0:
        raise DataError("nothing to divide by", where=list(below), expected="fitted counts above 0")
    ratio = over @ atoms / total
    slopes = (over - ratio * under) / total
    return float(ratio), float(np.sqrt(slopes @ covariance @ slopes))


def _used(fit: LineFit, elements: Sequence[str] | None) -> list[tuple[str, str]]:
    """The family by which each element is quantified."""
    known = list(dict.fromkeys(fit.families.index.get_level_values("element")))
    used = []
    for element in known if elements is None else elements:
        if element not in known:
            raise ConfigError("element was not fitted", expected=nearest(element, known), found=repr(element))
        families = fit.families.loc[[element]]
        inside = families.index[families["on_axis"] >= _MOSTLY]
        used.append(inside[0] if len(inside) else families["on_axis"].idxmax())
    return used


def _atoms(fit: LineFit, used: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Relative numbers of atoms, their covariance, and their detection limits."""
    places = fit.families.index.get_indexer(used)
    families = fit.families.iloc[places]
    per_count = (families["sensitivity"].max() / families["sensitivity"]).to_numpy()
    covariance = fit.covariance[np.ix_(places, places)] * per_count * per_count[:, None]
    atoms, limits = (families[name].to_numpy() * per_count for name in ("counts", "detection_limit"))
    return atoms, covariance, limits
