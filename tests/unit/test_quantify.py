"""Jointly fitted lines against planted counts: errors, false detections, limits, overlaps, and another solver."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import xraylib
from scipy.optimize import minimize
from scipy.special import xlogy

from matlas.composition import ATOMIC_NUMBER
from matlas.cubes.cube import Axis
from matlas.cubes.eds import Detector, bremsstrahlung, family_spectra, sensitivity
from matlas.cubes.quantify import cation_ratio, concentrations, fit_lines, poisson_fit
from matlas.cubes.read import read_cube
from matlas.errors import ConfigError, DataError

AXIS = Axis("Energy", "keV", 4.3, 0.01, 360)  # where Nd and Sm L overlap, with Fe K beside them
WHOLE = Axis("Energy", "keV", 0.83151949728, 0.01000467828, 1917)
DETECTOR = Detector(0.00046645, 0.00048069, 0.45, 10.0, 22.0)
BEAM = 200.0
ELEMENTS = ["Fe", "Nd", "Sm"]
PLANTED = {("Fe", "K"): 3000.0, ("Nd", "L"): 1500.0, ("Sm", "L"): 400.0}
BACKGROUND = 8000.0
SEEDS = range(400)


def expected(planted, axis=AXIS, detector=DETECTOR, background=BACKGROUND, powers=(1,)):
    """Counts (C,) expected of {family: counts} and a background."""
    families, spectra = family_spectra(list(dict.fromkeys(e for e, _ in planted)), axis, detector, BEAM)
    amounts = np.array([planted.get(family, 0.0) for family in families])
    return amounts @ spectra + background * bremsstrahlung(axis, detector, BEAM, powers=powers).mean(axis=0)


def fits(mean, seeds=SEEDS, powers=(0, 1)):
    return [
        fit_lines(np.random.default_rng(seed).poisson(mean), AXIS, ELEMENTS, DETECTOR, BEAM, powers=powers)
        for seed in seeds
    ]  # fmt: skip


@pytest.fixture(scope="module")
def planted_fits():
    return fits(expected(PLANTED))


def pulls(found, family=("Sm", "L"), truth=PLANTED["Sm", "L"]):
    rows = [fit.families.loc[family] for fit in found]
    return np.array([(row["counts"] - truth) / row["standard_error"] for row in rows])


@pytest.mark.parametrize("family", list(PLANTED))
def test_pulls_of_planted_families_have_mean_0_and_standard_deviation_1(planted_fits, family):
    found = pulls(planted_fits, family, PLANTED[family])
    assert abs(found.mean()) < 3 / np.sqrt(len(found)) and found.std() == pytest.approx(1, abs=3 / np.sqrt(800))


def test_the_covariance_is_that_of_the_fitted_counts(planted_fits):
    counts = np.array([fit.families["counts"] for fit in planted_fits])
    claimed = np.mean([fit.covariance for fit in planted_fits], axis=0)
    correlation, measured = (c / np.sqrt(np.outer(np.diag(c), np.diag(c))) for c in (claimed, np.cov(counts.T)))
    np.testing.assert_allclose(correlation, measured, atol=0.15)
    assert correlation[1, 2] < -0.1  # Nd and Sm share channels


def test_an_absent_element_is_detected_by_chance_once_in_twenty():
    absent = expected(PLANTED | {("Sm", "L"): 0.0})
    detected = np.mean([fit.families["detected"]["Sm", "L"] for fit in fits(absent)])
    assert detected == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / len(SEEDS)))


def test_an_element_at_its_detection_limit_is_missed_once_in_twenty():
    absent = expected(PLANTED | {("Sm", "L"): 0.0})
    limit = fit_lines(np.rint(absent), AXIS, ELEMENTS, DETECTOR, BEAM, powers=(0, 1)).families["detection_limit"]
    there = fits(expected(PLANTED | {("Sm", "L"): limit["Sm", "L"]}))
    missed = 1 - np.mean([fit.families["detected"]["Sm", "L"] for fit in there])
    assert missed == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / len(SEEDS)))


def test_limits_are_curries_with_the_error_of_the_fit_without_the_family():
    counts = np.random.default_rng(5).poisson(expected(PLANTED))
    row = fit_lines(counts, AXIS, ELEMENTS, DETECTOR, BEAM, powers=(0, 1)).families.loc[("Sm", "L")]
    model = np.vstack(
        [family_spectra(ELEMENTS, AXIS, DETECTOR, BEAM)[1], bremsstrahlung(AXIS, DETECTOR, BEAM, powers=(0, 1))]
    )
    others = [0, 1, 3, 4]
    mean = poisson_fit(counts, model[others]) @ model[others]
    error = np.sqrt(np.linalg.inv((model / mean) @ model.T)[2, 2])
    assert row["decision_limit"] == pytest.approx(1.645 * error, rel=1e-6)
    assert row["detection_limit"] == pytest.approx(2.71 + 3.29 * error, rel=1e-3)


def test_a_window_over_sm_alpha_counts_nd_beta_as_sm_where_the_joint_fit_does_not(planted_fits):
    window = AXIS.window(5.636 - 0.08, 5.636 + 0.08)
    left, right = AXIS.window(5.40, 5.48), AXIS.window(6.0, 6.06)
    mean = expected(PLANTED)
    level = np.concatenate([mean[left], mean[right]]).mean()
    share = family_spectra(["Sm"], AXIS, DETECTOR, BEAM)[1][0, window].sum()
    naive = (mean[window] - level).sum() / share
    assert naive > 1.5 * PLANTED["Sm", "L"]
    joint = np.array([fit.families["counts"]["Sm", "L"] for fit in planted_fits])
    assert joint.mean() == pytest.approx(PLANTED["Sm", "L"], abs=4 * joint.std() / np.sqrt(len(joint)))


def test_a_bent_background_hardly_biases_the_fit():
    bent = expected(PLANTED, powers=(0.5, 2.5))
    assert abs(pulls(fits(bent, range(100), powers=(0, 1, 2))).mean()) < 0.5


def test_widths_wrong_by_a_twentieth_bias_samarium_by_less_than_a_tenth():
    wide = Detector(DETECTOR.variance_offset * 1.05**2, DETECTOR.variance_slope * 1.05**2, 0.45, 10.0, 22.0)
    found = np.array([fit.families["counts"]["Sm", "L"] for fit in fits(expected(PLANTED, detector=wide), range(100))])
    assert found.mean() == pytest.approx(PLANTED["Sm", "L"], rel=0.1)


def test_the_tail_of_iron_is_taken_for_samarium_but_not_around_samarium_s_strongest_line():
    mean = expected({("Fe", "K"): 30000.0, ("Nd", "L"): 500.0})
    tail = np.where(AXIS.values < 6.4, np.exp((AXIS.values - 6.4) / 0.1), 0)  # of incomplete charge collection
    mean += 900 * tail / tail.sum()
    around = AXIS.window(4.3, 6.0)
    detected = {"whole": 0, "around": 0}
    for seed in range(60):
        counts = np.random.default_rng(seed).poisson(mean)
        whole = fit_lines(counts, AXIS, ELEMENTS, DETECTOR, BEAM)
        part = fit_lines(counts[around], AXIS.cut(around), ["Nd", "Sm"], DETECTOR, BEAM, powers=(0, 1))
        detected["whole"] += whole.families["detected"]["Sm", "L"]
        detected["around"] += part.families["detected"]["Sm", "L"]
    assert detected["whole"] > 30 and detected["around"] <= 10


def test_the_fit_is_the_optimum_that_another_solver_finds():
    planted = {("Mg", "K"): 2000.0, ("Si", "K"): 1500.0, ("Fe", "K"): 200.0, ("Sm", "L"): 30.0}
    counts = np.random.default_rng(3).poisson(expected(planted, WHOLE, background=1500.0)).astype(float)
    elements = ["Mg", "Si", "Fe", "Sm", "Nd", "U", "Hf"]
    fit = fit_lines(counts, WHOLE, elements, DETECTOR, BEAM)
    model = np.vstack([family_spectra(elements, WHOLE, DETECTOR, BEAM)[1], bremsstrahlung(WHOLE, DETECTOR, BEAM)])

    def loss(a):
        mean = np.maximum(a @ model, 1e-300)
        return (mean - xlogy(counts, mean)).sum(), model.sum(axis=1) - model @ (counts / mean)

    other = minimize(loss, np.full(len(model), counts.sum() / len(model)), jac=True, bounds=[(0, None)] * len(model),
                     method="L-BFGS-B", options={"maxiter": 20000, "maxfun": 40000, "ftol": 1e-15})  # fmt: skip
    assert -fit.log_likelihood <= other.fun + 1e-7
    assert -fit.log_likelihood == pytest.approx(other.fun, abs=1e-3)
    np.testing.assert_allclose(fit.families["counts"], other.x[: len(fit.families)], atol=1.0)
    assert (fit.families["counts"] == 0).any()  # an active bound was met
    np.testing.assert_allclose(fit.model.sum(), counts.sum(), rtol=1e-9)  # what a likely Poisson mean does


def test_random_problems_satisfy_the_karush_kuhn_tucker_conditions():
    rng = np.random.default_rng(0)
    for _ in range(30):
        model = rng.gamma(0.3, size=(12, 80)) + 1e-6
        counts = rng.poisson(rng.gamma(0.5, size=12) * (rng.random(12) < 0.5) @ model).astype(float)
        a = poisson_fit(counts, model)
        ratio = np.divide(counts, a @ model, out=np.zeros(80), where=counts > 0)
        gradient = (model.sum(axis=1) - model @ ratio) / model.sum(axis=1)
        assert (a >= 0).all() and (gradient > -1e-8).all() and np.abs(gradient[a > 0]).max(initial=0) < 1e-8


def test_goodness_of_fit_is_about_its_degrees_of_freedom_and_tells_a_missing_element():
    counts = np.random.default_rng(1).poisson(20 * expected(PLANTED))
    good, bad = (fit_lines(counts, AXIS, e, DETECTOR, BEAM, powers=(0, 1)) for e in (ELEMENTS, ["Fe", "Nd"]))
    spread = np.sqrt(2 * good.degrees_of_freedom)
    assert good.degrees_of_freedom == pytest.approx(355, abs=1)
    for statistic in ("pearson", "deviance"):
        assert abs(getattr(good, statistic) - good.degrees_of_freedom) < 4 * spread
        assert getattr(bad, statistic) > good.degrees_of_freedom + 20 * spread


def composition(ppm_samarium):
    """Atoms, and the counts that they have on the whole axis in a spectrum of about 200000."""
    atoms = {"Mg": 0.45, "Si": 0.47, "Fe": 0.05, "Ca": 0.03}
    mass = sum(n * xraylib.AtomicWeight(ATOMIC_NUMBER[e]) for e, n in atoms.items()) / (1 - ppm_samarium * 1e-6)
    atoms["Sm"] = ppm_samarium * 1e-6 * mass / xraylib.AtomicWeight(62)
    families, _ = family_spectra(list(atoms), WHOLE, DETECTOR, BEAM)
    detected = sensitivity(families, DETECTOR, BEAM) * [atoms[e] for e, _ in families]
    return atoms, dict(zip(families, 2e5 * detected / detected.sum(), strict=True))


def test_concentrations_and_their_errors_are_those_planted():
    atoms, counts = composition(8000.0)
    mean = expected(counts, WHOLE, background=40000.0)
    tables = []
    for seed in range(40):
        fit = fit_lines(np.random.default_rng(seed).poisson(mean), WHOLE, [*atoms, "Nd"], DETECTOR, BEAM)
        tables.append(concentrations(fit, list(atoms)))
    total = sum(atoms.values())
    for element in atoms:
        values, errors = (np.array([t.loc[element, c] for t in tables]) for c in ("atomic_fraction", "atomic_error"))
        deviation = (values - atoms[element] / total) / errors
        assert abs(deviation.mean()) < 3.5 / np.sqrt(40) and 0.7 < deviation.std() < 1.35, element
    ppm = np.array([t.loc["Sm", "mass_ppm"] for t in tables])
    assert ppm.mean() == pytest.approx(8000, abs=4 * tables[0].loc["Sm", "mass_error"] / np.sqrt(40))
    np.testing.assert_allclose([t["atomic_fraction"].sum() for t in tables], 1)
    assert tables[0].loc["Sm", "family"] == "L" and tables[0].loc["Fe", "family"] == "K"


def test_an_element_that_is_not_detected_has_a_limit_and_no_value():
    atoms, counts = composition(0.0)
    fit = fit_lines(np.rint(expected(counts, WHOLE, background=40000.0)), WHOLE, list(atoms), DETECTOR, BEAM)
    table = concentrations(fit)
    assert not table.loc["Sm", "detected"] and np.isnan(table.loc["Sm", ["mass_ppm", "mass_error"]].astype(float)).all()
    share = fit.families.loc[("Sm", "L")]
    silicon = fit.families.loc[("Si", "K")]
    by_hand = share["detection_limit"] / share["sensitivity"] / (silicon["counts"] / silicon["sensitivity"])
    assert table.loc["Sm", "atomic_limit"] / table.loc["Si", "atomic_fraction"] == pytest.approx(by_hand)
    grams = {e: table.loc[e, "atomic_fraction"] * xraylib.AtomicWeight(ATOMIC_NUMBER[e]) for e in ("Si", "Mg")}
    assert table.loc["Si", "mass_ppm"] / table.loc["Mg", "mass_ppm"] == pytest.approx(grams["Si"] / grams["Mg"])


def test_the_ratio_of_cations_is_that_planted_with_its_error():
    atoms, counts = composition(8000.0)
    mean = expected(counts, WHOLE, background=40000.0)
    found = np.array([
        cation_ratio(fit_lines(np.random.default_rng(s).poisson(mean), WHOLE, list(atoms), DETECTOR, BEAM),
                     ["Mg", "Fe"], ["Si", "Fe"])
        for s in range(40)
    ])  # fmt: skip
    deviation = (found[:, 0] - 0.50 / 0.52) / found[:, 1]
    assert abs(deviation.mean()) < 3.5 / np.sqrt(40) and 0.7 < deviation.std() < 1.35


def test_what_cannot_be_fitted_is_refused_with_reasons():
    counts = np.random.default_rng(0).poisson(expected(PLANTED))
    with pytest.raises(ConfigError, match="no line of O is on the axis"):
        fit_lines(counts, AXIS, [*ELEMENTS, "O"], DETECTOR, BEAM)
    with pytest.raises(ConfigError, match="'Fe'"):
        fit_lines(counts, AXIS, ["Fee"], DETECTOR, BEAM)
    for wrong in (counts * 0.5, counts - 1000, counts * np.nan, counts * 0, counts[:-1]):
        with pytest.raises(DataError):
            fit_lines(wrong, AXIS, ELEMENTS, DETECTOR, BEAM)
    with pytest.raises(DataError, match="told apart"):
        fit_lines(counts, AXIS, ELEMENTS, DETECTOR, BEAM, powers=(1, 1))
    fit = fit_lines(counts, AXIS, ELEMENTS, DETECTOR, BEAM, powers=(0, 1))
    with pytest.raises(ConfigError, match="not fitted"):
        concentrations(fit, ["Fe", "Si"])
    with pytest.raises(ConfigError, match="not fitted"):
        cation_ratio(fit, ["Fe"], ["Si"])


@pytest.mark.skipif(not os.environ.get("MATLAS_MIRROR"), reason="needs the mirror of real sources (MATLAS_MIRROR)")
def test_the_sum_of_a_measured_map_has_its_minerals_lanthanides_and_grid():
    path = Path(os.environ["MATLAS_MIRROR"]) / "stem-edxs-mantle" / "88_ES-LP_G8_selection2_cropped2.hspy"
    cube = read_cube(path, counts=True)
    elements = "Al Ca Fe Hf Lu Mg Nd Si Sm U Cu Ga Pt Zr Mo Cl".split()
    fit = fit_lines(cube.sum_spectrum, cube.signal, elements, DETECTOR, BEAM)
    detected = fit.families["detected"]
    for family in (
        ("Mg", "K"),
        ("Si", "K"),
        ("Ca", "K"),
        ("Fe", "K"),
        ("Sm", "L"),
        ("Nd", "L"),
        ("Lu", "L"),
        ("Cu", "K"),
    ):
        assert detected[family], family
    assert not detected["U", "L"] and not detected["U", "M"]
    np.testing.assert_allclose(fit.model.sum(), cube.sum_spectrum.sum(), rtol=1e-9)
    assert 1 < fit.pearson / fit.degrees_of_freedom < 3  # at 700000 counts, peaks are no exact Gaussians
