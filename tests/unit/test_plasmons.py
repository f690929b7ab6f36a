"""The Drude loss function by hand, and its fit against planted plasmons and another solver."""

from __future__ import annotations

import logging
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import curve_fit

from matlas.cubes import plasmons
from matlas.cubes.cube import Axis, Cube
from matlas.cubes.plasmons import (
    DrudeFit,
    Plasmon,
    drude_area,
    drude_fit,
    drude_loss,
    labelled_by_plasmon,
    vectorised_drude_fit,
)
from matlas.errors import ConfigError, DataError

IRON = Plasmon(23.0, 11.0)
E = 10 + 0.1 * np.arange(251)
THICKNESS = 0.5


def expected(plasmon: Plasmon, amplitude: float, tail: float, thickness: float = THICKNESS) -> np.ndarray:
    """The model of the fit, its convolution by quadrature."""
    twice = [quad(lambda x, e=e: drude_loss(x, plasmon) * drude_loss(e - x, plasmon), 0, e)[0] for e in E]
    plural = thickness / 2 * np.array(twice) / drude_area(plasmon)
    return amplitude * (drude_loss(E, plasmon) + plural) + tail * (10 / E) ** 3


def cube_of(counts: np.ndarray, unit: str = "eV", declared: bool = True) -> Cube:
    h, w, c = counts.shape
    return Cube(counts, Axis("y", "px", 0, 1, h), Axis("x", "px", 0, 1, w), Axis("E", unit, 10.0, 0.1, c), declared)


@pytest.fixture(scope="module")
def planted() -> tuple[dict[str, float], Cube, DrudeFit]:
    truth = {"energy": IRON.energy, "width": IRON.width, "amplitude": 150.0, "tail": 30.0}
    mean = expected(IRON, truth["amplitude"], truth["tail"])
    cube = cube_of(np.random.default_rng(0).poisson(mean, (20, 20, len(E))))
    return truth, cube, drude_fit(cube, 10, 35, thickness=THICKNESS)


def test_the_loss_function_is_that_of_the_dielectric_function_of_free_electrons():
    epsilon = 1 - IRON.energy**2 / (E * (E + 1j * IRON.width))
    assert drude_loss(E, IRON) == pytest.approx((-1 / epsilon).imag, rel=1e-12)


def test_at_its_plasmon_energy_the_loss_function_is_that_energy_over_the_width():
    assert drude_loss(np.array(23.0), IRON) == pytest.approx(23 / 11)


def test_the_maximum_lies_where_the_derivative_vanishes_below_the_plasmon_energy():
    # 3 u² - (2 E_p² - Γ²) u - E_p⁴ = 0 in u = E², for E_p = 2, Γ = 1: u = (7 + sqrt(241)) / 6
    fine = np.linspace(1, 3, 200_001)
    assert fine[drude_loss(fine, Plasmon(2.0, 1.0)).argmax()] == pytest.approx(((7 + 241**0.5) / 6) ** 0.5, abs=2e-5)


def test_the_area_is_the_integral_over_all_energies():
    integral = quad(lambda e: drude_loss(e, IRON), 0, np.inf)[0]
    assert drude_area(IRON) == pytest.approx(integral, rel=1e-8)


def test_counts_without_noise_give_back_what_was_planted():
    mean = np.stack([expected(Plasmon(21.3, 8.0), 5e6, 4e5), expected(Plasmon(24.8, 14.0), 3e6, 1e5)])
    fit = drude_fit(cube_of(mean[None]), 10, 35, thickness=THICKNESS)
    assert fit.energy[0] == pytest.approx([21.3, 24.8], abs=2e-4)
    assert fit.width[0] == pytest.approx([8.0, 14.0], abs=1e-3)
    assert fit.amplitude[0] == pytest.approx([5e6, 3e6], rel=1e-4)
    assert fit.tail[0] == pytest.approx([4e5, 1e5], rel=1e-2)


@pytest.mark.parametrize("thickness", [0.0, 0.7])
def test_the_derivatives_are_those_of_the_model(thickness):
    model, p = plasmons._Model(E, 0.1, np.array([thickness]), 3.0), np.array([[23.0, 11.0, 150.0, 30.0]])
    _, slopes = model.both(p)
    for parameter, by in enumerate(1e-5 * np.eye(4)):
        difference = (model.both(p + by)[0] - model.both(p - by)[0]) / 2e-5
        assert slopes[..., parameter] == pytest.approx(difference, rel=1e-5, abs=1e-6)


def test_estimates_scatter_around_the_truth_by_their_standard_errors(planted):
    truth, _, fit = planted
    assert fit.converged.all()
    for name, value in truth.items():
        pulls = (getattr(fit, name) - value) / getattr(fit, f"{name}_error")
        assert abs(pulls.mean()) < 4 / 20, name  # 400 pixels: the mean has a standard error of 1/20
        assert 0.87 < pulls.std() < 1.13, name
    found = np.corrcoef(fit.energy.ravel(), fit.width.ravel())[0, 1]
    assert fit.correlation.mean() == pytest.approx(found, abs=4 / 20)


def test_reduced_chi_squared_is_1_where_the_model_holds_and_more_where_it_does_not(planted):
    _, cube, fit = planted
    assert fit.reduced_chi2.mean() == pytest.approx(1, abs=0.03)
    wrong = cube_of(cube.data + (400 * (abs(E - 15) < 0.5)).astype(np.int64))
    assert drude_fit(wrong, 10, 35, thickness=THICKNESS).reduced_chi2.min() > 2


def test_the_fit_agrees_with_curve_fit_on_the_same_model_in_values_and_errors(planted):
    _, cube, fit = planted
    noise = np.sqrt(cube.spectra.mean(axis=0) * cube.sum_image[0, 0] / cube.sum_image.mean())
    values, covariance = curve_fit(
        lambda _, energy, width, amplitude, tail: expected(Plasmon(energy, width), amplitude, tail),
        E, cube.data[0, 0], p0=[22, 9, 100, 10], sigma=noise, absolute_sigma=True,
    )  # fmt: skip
    found = [field[0, 0] for field in (fit.energy, fit.width, fit.amplitude, fit.tail)]
    errors = [field[0, 0] for field in (fit.energy_error, fit.width_error, fit.amplitude_error, fit.tail_error)]
    assert abs(np.array(found) - values) / errors == pytest.approx(0, abs=0.01)
    assert errors == pytest.approx(np.sqrt(np.diag(covariance)), rel=0.01)


@pytest.mark.parametrize(("amplitude", "tail"), [(150.0, 30.0), (1.0, 0.0)])
def test_the_vectorised_fit_finds_the_optimum_of_the_fit_pixel_by_pixel(amplitude, tail):
    counts = np.random.default_rng(1).poisson(expected(IRON, amplitude, tail), (15, 16, len(E)))
    one, all_ = (f(cube_of(counts), 10, 35, thickness=THICKNESS) for f in (drude_fit, vectorised_drude_fit))
    assert one.converged.all() and all_.converged.all()
    for name in ("energy", "width", "amplitude", "tail"):
        apart = abs(getattr(one, name) - getattr(all_, name)) / getattr(one, f"{name}_error")
        assert apart.max() < 0.05, name
    assert all_.reduced_chi2 == pytest.approx(one.reduced_chi2, rel=1e-4)


def test_a_spectrum_without_a_tail_meets_the_bound_and_stays_on_its_side():
    counts = np.random.default_rng(2).poisson(expected(IRON, 20.0, 0.0), (8, 8, len(E)))
    fit = drude_fit(cube_of(counts), 10, 35, thickness=THICKNESS)
    assert fit.tail.min() >= 0 and (fit.tail < 0.01 * fit.tail_error).mean() > 0.2


def test_channels_between_multiples_of_the_step_are_fitted_as_well():
    mean = np.interp(E[:-1] + 0.05, E, expected(IRON, 1e6, 0.0))
    cube = replace(cube_of(mean[None, None]), signal=Axis("E", "eV", 10.05, 0.1, len(mean)))
    assert drude_fit(cube, 10, 35, thickness=THICKNESS).energy[0, 0] == pytest.approx(IRON.energy, abs=1e-3)


def test_electrons_that_excite_two_plasmons_bias_a_fit_that_knows_of_one(planted):
    truth, cube, fit = planted
    alone = drude_fit(cube, 10, 35, thickness=0.0)
    assert alone.energy.mean() - truth["energy"] > 5 * fit.energy_error.mean()


@pytest.mark.parametrize("fit", [drude_fit, vectorised_drude_fit])
def test_each_pixel_is_fitted_at_its_own_thickness(fit):
    thickness = np.array([[0.0, 0.3, 0.7]])
    mean = np.stack([expected(IRON, 1e6, 1e5, t) for t in thickness[0]])[None]
    assert fit(cube_of(mean), 10, 35, thickness=thickness).energy == pytest.approx(IRON.energy, abs=1e-3)
    with pytest.raises(ConfigError, match=r"\(1, 3\) of 0 or above, found \(3, 1\)"):
        fit(cube_of(mean), 10, 35, thickness=thickness.T)


@pytest.mark.parametrize("fit", [drude_fit, vectorised_drude_fit])
def test_fits_that_do_not_converge_are_marked_counted_and_get_no_label(planted, monkeypatch, caplog, fit):
    monkeypatch.setattr(plasmons, "_MOST_STEPS", 1)
    with caplog.at_level(logging.WARNING):
        stopped = fit(planted[1], 10, 35, thickness=THICKNESS)
        labels = labelled_by_plasmon(stopped, {"a": IRON, "b": Plasmon(25, 11)})
    assert not stopped.converged.any()
    assert (labels == -1).all()
    assert "400 of 400 fits did not converge" in caplog.text and "400 of 400 pixels have no label" in caplog.text


def fit_of(energy, width, energy_error=0.1, width_error=0.1, correlation=0.0) -> DrudeFit:
    values = {field.name: np.ones((1, 1)) for field in fields(DrudeFit)} | {"converged": np.ones((1, 1), bool)}
    given = {"energy": energy, "width": width, "energy_error": energy_error, "width_error": width_error,
             "correlation": correlation}  # fmt: skip
    return DrudeFit(**values | {name: np.array([[value]]) for name, value in given.items()})


def test_labels_weigh_energy_and_width_by_their_errors_and_their_correlation():
    phases = {"a": Plasmon(23.0, 11.0), "b": Plasmon(24.0, 13.0)}
    assert labelled_by_plasmon(fit_of(23.4, 12.4), phases) == [[1]]  # 0.4² + 1.4² against 0.6² + 0.6²
    assert labelled_by_plasmon(fit_of(23.4, 12.4, width_error=1.0), phases) == [[0]]  # the width says little: by energy
    # errors that nearly always go together: a lies along them, b across, though it is nearer
    phases = {"a": Plasmon(23.5, 11.5), "b": Plasmon(23.2, 10.8)}
    assert labelled_by_plasmon(fit_of(23.0, 11.0), phases, floor=0.0) == [[1]]
    assert labelled_by_plasmon(fit_of(23.0, 11.0, correlation=0.95), phases, floor=0.0) == [[0]]


def test_a_fit_that_is_sure_of_its_energy_is_no_surer_than_the_floor():
    phases = {"a": Plasmon(23.0, 11.0), "b": Plasmon(23.1, 12.0)}
    sure = fit_of(23.02, 12.0, energy_error=1e-4, width_error=0.2)
    assert labelled_by_plasmon(sure, phases, floor=0.0) == [[0]]
    assert labelled_by_plasmon(sure, phases, floor=0.05) == [[1]]


def test_what_cannot_be_fitted_is_refused():
    counts = np.ones((2, 2, len(E)), np.int64)
    with pytest.raises(ConfigError, match="for counts"):
        drude_fit(cube_of(counts, declared=False), 10, 35, thickness=0.5)
    with pytest.raises(ConfigError, match="thickness"):
        drude_fit(cube_of(counts), 10, 35, thickness=-0.5)
    with pytest.raises(DataError, match="in eV"):
        drude_fit(cube_of(counts, unit="keV"), 10, 35, thickness=0.5)
    with pytest.raises(DataError, match="4 channels"):
        drude_fit(cube_of(counts), 20, 20.3, thickness=0.5)
    counts[1, 0] = 0
    with pytest.raises(DataError, match=r"1 pixels without, at first \(y, x\) \(1, 0\)"):
        drude_fit(cube_of(counts), 10, 35, thickness=0.5)
    with pytest.raises(ConfigError, match="phases to choose from"):
        labelled_by_plasmon(fit_of(23.0, 11.0), {"a": IRON})
