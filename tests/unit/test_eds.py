"""The forward model of X-ray spectra against sums by hand, hyper-fine integration and limits that are known."""

from __future__ import annotations

import numpy as np
import pytest
import xraylib
from scipy.integrate import quad
from scipy.stats import norm

from matlas.cubes.cube import Axis
from matlas.cubes.eds import Detector, Foil, bremsstrahlung, family_spectra, sensitivity
from matlas.cubes.lines import ionisation_cross_section, xray_lines
from matlas.errors import ConfigError, DataError

AXIS = Axis("Energy", "keV", 0.83151949728, 0.01000467828, 1917)
DETECTOR = Detector(0.00046645, 0.00048069, 0.45, 10.0, 22.0)


def test_width_is_the_full_width_at_half_maximum():
    sigma = np.sqrt(0.00046645 + 0.00048069 * 5.8988)  # Mn Kα
    half = norm.pdf(DETECTOR.width(5.8988) / 2, scale=sigma) / norm.pdf(0, scale=sigma)
    assert half == pytest.approx(0.5)
    assert DETECTOR.width(5.8988) == pytest.approx(0.1350, abs=1e-3)


def test_efficiency_is_what_the_dead_layer_passes_and_the_silicon_stops():
    found = DETECTOR.efficiency(np.array([1.0, 1.9, 5.0, 15.0, 20.0]))
    for energy, value in zip((1.0, 1.9, 5.0, 15.0, 20.0), found, strict=True):
        per_cm = xraylib.CS_Total(14, energy) * 2.329
        assert value == pytest.approx(np.exp(-per_cm * 1e-6) * (1 - np.exp(-per_cm * 0.045)), rel=1e-9)
    assert found[2] > 0.99 and found[4] == pytest.approx(0.38, abs=0.03)


def test_a_family_is_its_lines_as_gaussians_integrated_over_channels():
    families, spectra = family_spectra(["Fe"], AXIS, DETECTOR, 200.0)
    assert families == [("Fe", "K")]  # L is below the axis
    lines = xray_lines(["Fe"], 0, 20, 200.0)
    lines = lines[lines.family == "K"]
    seen = lines.weight * DETECTOR.efficiency(lines.energy)
    sigma = DETECTOR.width(lines.energy.to_numpy()) / np.sqrt(8 * np.log(2))
    for channel in (540, 557, 571, 622):
        centre = AXIS.values[channel]
        density = lambda e: (seen * norm.pdf(e, lines.energy, sigma)).sum() / seen.sum()  # noqa: E731
        assert spectra[0, channel] == pytest.approx(
            quad(density, centre - AXIS.scale / 2, centre + AXIS.scale / 2)[0], rel=1e-6
        )


def test_a_row_sums_to_the_share_of_detected_photons_on_the_axis():
    families, spectra = family_spectra(["Si", "Sm", "Cu"], AXIS, DETECTOR, 200.0)
    shares = dict(zip(families, spectra.sum(axis=1), strict=True))
    assert shares["Si", "K"] == pytest.approx(1, abs=1e-6)
    lines = xray_lines(["Sm"], 0, 60, 200.0)
    lines = lines[lines.family == "M"]
    seen = lines.weight * DETECTOR.efficiency(lines.energy)
    on_axis = norm.sf(
        AXIS.values[0] - AXIS.scale / 2, lines.energy, DETECTOR.width(lines.energy) / np.sqrt(8 * np.log(2))
    )
    assert shares["Sm", "M"] == pytest.approx((seen * on_axis).sum() / seen.sum(), rel=1e-4)
    assert 0.5 < shares["Cu", "L"] < 0.99 and ("Si", "L") not in shares


def test_elements_without_a_line_on_the_axis_are_refused_by_name():
    with pytest.raises(ConfigError, match="O, F"):
        family_spectra(["Si", "O", "F"], AXIS, DETECTOR, 200.0)
    with pytest.raises(ConfigError, match="no elements"):
        family_spectra([], AXIS, DETECTOR, 200.0)
    with pytest.raises(ConfigError, match="Fe.*nearest"):
        family_spectra(["Fee"], AXIS, DETECTOR, 200.0)


def test_a_foil_lets_out_the_mean_over_depths():
    foil = Foil({"Mg": 0.2, "Si": 0.3, "O": 0.5}, 6e-5)
    attenuation = sum(w * xraylib.CS_Total(z, 1.2536) for z, w in ((12, 0.2), (14, 0.3), (8, 0.5)))
    path = attenuation * 6e-5 / np.sin(np.radians(22))
    expected = quad(lambda depth: np.exp(-path * depth), 0, 1)[0]
    assert foil.escape(np.array([1.2536]), 22.0)[0] == pytest.approx(expected, rel=1e-9)
    assert expected < 0.9
    np.testing.assert_array_equal(Foil({"Si": 1.0}, 0.0).escape(np.array([1.0, 5.0]), 22.0), 1.0)
    np.testing.assert_allclose(Foil({"Mg": 2, "Si": 3, "O": 5}, 6e-5).escape(np.array([1.2536]), 22.0), expected)


def test_sensitivity_is_cross_section_times_yield_times_efficiency():
    values = sensitivity([("Si", "K"), ("Fe", "K")], DETECTOR, 200.0)
    by_hand = []
    for z, energy in ((14, 1.7398), (26, 6.47)):
        edge = xraylib.EdgeEnergy(z, xraylib.K_SHELL)
        logarithm = np.log(0.65 * 123.5 / edge) + 0.6608 - 0.4835
        by_hand.append(logarithm / edge * xraylib.FluorYield(z, xraylib.K_SHELL) * DETECTOR.efficiency(energy)[0])
    assert values[1] / values[0] == pytest.approx(by_hand[1] / by_hand[0], rel=5e-3)


def casnati(edge, beam):
    """K-shell cross-section of Casnati, Tartari & Baraldi 1982, doi:10.1088/0022-3700/15/1/022, good to 10 %."""
    u, i, t = beam / edge, edge / 510.999, beam / 510.999
    phi = 10.57 * np.exp(-1.736 / u + 0.317 / u**2)
    psi = (edge / 0.0136057) ** (-0.0318 + 0.3160 / u - 0.1135 / u**2)
    inner = (i + t) * (2 + t) * (1 + i) ** 2 / (t * (2 + t) * (1 + i) ** 2 + i * (2 + i))
    relativistic = (2 + i) / (2 + t) * ((1 + t) / (1 + i)) ** 2 * inner**1.5
    return 2 * (5.29177e-9 * 0.0136057 / edge) ** 2 * relativistic * psi * phi * np.log(u) / u


@pytest.mark.parametrize("z", [11, 12, 13, 14, 20, 26, 29])
@pytest.mark.parametrize("beam", [100.0, 200.0, 300.0])
def test_k_cross_sections_agree_with_an_empirical_formula(z, beam):
    edge = xraylib.EdgeEnergy(z, xraylib.K_SHELL)
    assert ionisation_cross_section(2, edge, "K", beam) == pytest.approx(casnati(edge, beam), rel=0.08)


def test_absorption_lowers_soft_lines_most():
    foil = Foil({"Mg": 0.2, "Si": 0.3, "O": 0.5}, 6e-5)
    families = [("Mg", "K"), ("Fe", "K")]
    soft, hard = sensitivity(families, DETECTOR, 200.0, foil) / sensitivity(families, DETECTOR, 200.0)
    assert soft == pytest.approx(foil.escape(np.array([1.2536]), 22.0)[0], rel=1e-3)
    assert hard > 0.98


def test_background_terms_are_kramers_law_and_neighbours_seen_by_the_detector():
    terms = bremsstrahlung(AXIS, DETECTOR, 200.0, powers=(0, 1, 2))
    np.testing.assert_allclose(terms.sum(axis=1), 1)
    assert (terms > 0).all()
    kramers = (200 - AXIS.values) / AXIS.values * DETECTOR.efficiency(AXIS.values)
    np.testing.assert_allclose(terms[1], kramers / kramers.sum(), rtol=1e-12)
    assert (np.diff(terms[1] / terms[0]) < 0).all() and (np.diff(terms[2] / terms[1]) < 0).all()


@pytest.mark.parametrize(
    "axis", [Axis("Energy", "keV", 20.0, -0.01, 1900), Axis("Energy", "eV", 831.0, 10.0, 1917),
             Axis("Energy", "keV", -0.2, 0.01, 2000)],
)  # fmt: skip
def test_an_axis_that_holds_no_x_ray_energies_is_refused(axis):
    with pytest.raises(DataError, match="not an axis of X-ray energies"):
        family_spectra(["Si"], axis, DETECTOR, 200.0)
    with pytest.raises(DataError):
        bremsstrahlung(axis, DETECTOR, 200.0)


def test_background_beyond_the_beam_is_refused():
    with pytest.raises(DataError, match="beyond the beam"):
        bremsstrahlung(AXIS, DETECTOR, 15.0)


@pytest.mark.parametrize(
    "change", [{"variance_offset": -1.0}, {"thickness_mm": 0.0}, {"elevation_deg": 0.0}, {"dead_layer_nm": -1.0}]
)
def test_a_detector_that_cannot_be_is_refused(change):
    values = {"variance_offset": 1e-4, "variance_slope": 4e-4, "thickness_mm": 0.45, "dead_layer_nm": 10.0,
              "elevation_deg": 22.0}  # fmt: skip
    with pytest.raises(ConfigError, match="no such detector"):
        Detector(**values | change)


@pytest.mark.parametrize(("fractions", "thickness"), [({"Si": -1.0, "O": 2.0}, 1e-5), ({}, 1e-5), ({"Si": 1.0}, -1e-5)])
def test_a_foil_that_cannot_be_is_refused(fractions, thickness):
    with pytest.raises(ConfigError, match="no such foil"):
        Foil(fractions, thickness)
