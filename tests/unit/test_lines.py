"""X-ray lines against tabulated energies and hand-made weights, and the labels of planted peaks."""

from __future__ import annotations

import numpy as np
import pytest
import xraylib
from scipy.stats import norm

from matlas.cubes.cube import Axis
from matlas.cubes.lines import FAMILIES, ionisation_cross_section, labelled_peaks, xray_lines
from matlas.errors import ConfigError, DataError

AXIS = Axis("Energy", "keV", 0.83, 0.01, 1917)


def fwhm(energies):
    return 2.3548 * np.sqrt(0.00046645 + 0.00048069 * energies)


def spectrum_of(lines, background=20.0):
    """Counts expected of {energy: counts} on AXIS."""
    expected = np.full(AXIS.size, background)
    for energy, height in lines.items():
        expected += height * norm.pdf(AXIS.values, energy, fwhm(energy) / 2.3548) * AXIS.scale
    return expected


def line(table, element, name):
    return table[(table.element == element) & (table.line == name)].iloc[0]


@pytest.mark.parametrize(
    ("element", "name", "energy"),  # X-ray Data Booklet (LBNL), table 1-2
    [("Mg", "Kα1", 1.2536), ("Fe", "Kα1", 6.40384), ("Fe", "Kβ1", 7.05798), ("Nd", "Lα1", 5.2304),
     ("Sm", "Lα1", 5.6361), ("Nd", "Lβ1", 5.7216), ("Hf", "Lα1", 7.8990),
     ("Hf", "Mα1", 1.6446), ("U", "Mα1", 3.1708), ("Cu", "Kα1", 8.04778)],
)  # fmt: skip
def test_lines_have_the_energies_of_the_x_ray_data_booklet(element, name, energy):
    assert line(xray_lines([element], 0.1, 30), element, name).energy == pytest.approx(energy, abs=2e-3)


@pytest.mark.parametrize("beam_energy", [None, 200.0])
def test_weights_of_a_family_sum_to_one_before_the_cut(beam_energy):
    everything = xray_lines(["Ca", "Nd", "Hf", "U"], 0, 200, beam_energy)
    np.testing.assert_allclose(everything.groupby(["element", "family"]).weight.sum(), 1, rtol=1e-12)
    window = xray_lines(["Ca", "Nd", "Hf", "U"], 5, 6, beam_energy)
    assert window.energy.between(5, 6).all() and 0 < window.weight.sum() < 1
    assert line(window, "Nd", "Lα1").weight == line(everything, "Nd", "Lα1").weight


def test_k_lines_are_weighted_by_their_radiative_rates():
    iron = xray_lines(["Fe"], 6, 8, 200)
    beta, alpha = (iron.weight[iron.line.isin(names)].sum() for names in (["Kβ1", "Kβ3"], ["Kα1", "Kα2"]))
    rates = [xraylib.RadRate(26, line) for line in (xraylib.KM2_LINE, xraylib.KM3_LINE)]
    assert beta == pytest.approx(sum(rates), rel=1e-3)
    assert beta / alpha == pytest.approx(0.136, abs=0.01)  # Kβ/Kα of iron measured, Hölzer et al. 1997


def test_l_lines_follow_ionisation_coster_kronig_transfer_and_yield_by_hand():
    z, shells = 62, (xraylib.L1_SHELL, xraylib.L2_SHELL, xraylib.L3_SHELL)
    first, second, third = (
        ionisation_cross_section(n, xraylib.EdgeEnergy(z, shell), "L", 200.0)
        for n, shell in zip((2, 2, 4), shells, strict=True)
    )
    f12, f13, f23, f13_radiative = (
        xraylib.CosKronTransProb(z, transfer)
        for transfer in (xraylib.FL12_TRANS, xraylib.FL13_TRANS, xraylib.FL23_TRANS, xraylib.FLP13_TRANS)
    )
    second += f12 * first
    third += f13 * first + f23 * second
    beta1 = second * xraylib.FluorYield(z, shells[1]) * xraylib.RadRate(z, xraylib.LB1_LINE)
    alpha1 = third * xraylib.FluorYield(z, shells[2]) * xraylib.RadRate(z, xraylib.LA1_LINE)
    samarium = xray_lines(["Sm"], 4, 8, 200.0)
    found = line(samarium, "Sm", "Lβ1").weight / line(samarium, "Sm", "Lα1").weight
    assert found == pytest.approx(beta1 / alpha1, rel=2 * f13_radiative + 1e-9)  # which is left out


def test_m_lines_of_light_lanthanides_are_led_by_m_alpha_though_xraylib_lacks_its_rate():
    neodymium = xray_lines(["Nd"], 0.5, 2, 200.0)
    strongest = neodymium[neodymium.family == "M"].nlargest(1, "weight").iloc[0]
    assert (strongest.line, strongest.energy) == ("Mα1", pytest.approx(0.978, abs=0.005))


def test_the_cross_section_is_bethes_with_relativistic_terms():
    # Cu K at 200 keV by hand: β² = 0.4835, T = 123.5 keV, ln(0.65 * 123.5 / 8.979) + 0.6608 - 0.4835 = 2.369
    expected = 6.51e-20 * 2 * 0.9 / (8.979 * 123.5) * 2.369
    assert ionisation_cross_section(2, 8.979, "K", 200.0) == pytest.approx(expected, rel=2e-3)


def test_shells_that_the_beam_cannot_ionise_have_no_lines():
    low = xray_lines(["Fe", "Sm"], 0.1, 60, beam_energy=7.5)  # Sm: L2 7.31, L1 7.74, K 46.8 keV
    assert set(low[low.element == "Sm"].family) == {"L", "M"}
    assert line(low, "Sm", "Lβ1").weight > 0 and not low[low.element == "Sm"].line.isin(["Lβ3", "Lβ4"]).any()
    assert low[(low.element == "Fe") & (low.family == "K")].weight.sum() == pytest.approx(1)
    assert "K" not in set(xray_lines(["Fe"], 0.1, 60, beam_energy=7.0).family)


@pytest.mark.parametrize(
    ("wrong", "expected"), [(["Fee"], "'Fe'"), (["si"], "'Si'"), (["Mg", "Mg"], "twice"), (["H"], "lines")]
)
def test_what_is_no_element_with_lines_is_refused(wrong, expected):
    with pytest.raises(ConfigError, match=expected):
        xray_lines(wrong, 1, 20)


def test_each_family_knows_all_transitions_to_its_subshells():
    tungsten = xray_lines(["W"], 0, 100)
    for family, shells in FAMILIES.items():
        names = set(tungsten[tungsten.family == family].line)
        assert len(names) > 2 * len(shells), family


def test_planted_peaks_are_found_and_labelled_and_an_unlisted_element_is_seen():
    lines = {1.2536: 20000, 1.7398: 15000, 6.4: 3000, 7.058: 400, 8.04: 5000, 9.25: 800}
    counts = np.random.default_rng(0).poisson(spectrum_of(lines))
    found = labelled_peaks(counts, AXIS, ["Mg", "Si", "Fe", "Sm"], fwhm)
    np.testing.assert_allclose(found.position, list(lines), atol=0.02)
    assert list(zip(found.element, found.line, strict=True)) == [
        ("Mg", "Kα1"), ("Si", "Kα1"), ("Fe", "Kα1"), ("Fe", "Kβ1"), ("", ""), ("", ""),
    ]  # fmt: skip
    assert labelled_peaks(counts, AXIS, ["Cu", "Ga"], fwhm).element.tolist() == ["", "", "", "", "Cu", "Ga"]
    assert found.height[0] == pytest.approx(spectrum_of(lines).max(), rel=0.2)


def test_a_weak_line_explains_nothing_where_its_family_s_strongest_line_is_no_peak():
    counts = np.random.default_rng(1).poisson(spectrum_of({7.058: 4000}))  # where Fe Kβ is, without Fe Kα
    assert labelled_peaks(counts, AXIS, ["Fe"], fwhm).element.tolist() == [""]


def test_noise_on_a_sloping_background_hardly_has_peaks():
    slope = 2000 / AXIS.values
    found = [len(labelled_peaks(np.random.default_rng(s).poisson(slope), AXIS, ["Fe"], fwhm)) for s in range(20)]
    assert sum(found) == 0


def test_an_endmember_in_any_unit_has_the_peaks_of_the_counts_it_is_in_proportion_to():
    counts = np.random.default_rng(2).poisson(spectrum_of({1.7398: 15000, 6.4: 3000}))
    as_counts = labelled_peaks(counts, AXIS, ["Si", "Fe"], fwhm)
    scaled = labelled_peaks(counts * 1.23e-4, AXIS, ["Si", "Fe"], fwhm)
    np.testing.assert_allclose(scaled.position, as_counts.position)
    np.testing.assert_allclose(scaled.height, as_counts.height * 1.23e-4)
    np.testing.assert_allclose(scaled.significance, as_counts.significance, rtol=0.15)


@pytest.mark.parametrize("resolution", [0.0, -0.1, np.nan, lambda energies: energies - 1])
def test_a_width_that_no_peak_has_is_refused(resolution):
    with pytest.raises(ConfigError, match="resolution"):
        labelled_peaks(np.ones(AXIS.size), AXIS, ["Fe"], resolution)


@pytest.mark.parametrize("wrong", [np.zeros(5), np.full(AXIS.size, -1.0), np.full(AXIS.size, np.nan)])
def test_what_is_no_spectrum_on_the_axis_is_refused(wrong):
    with pytest.raises(DataError, match="not a spectrum"):
        labelled_peaks(wrong, AXIS, ["Fe"], fwhm)
