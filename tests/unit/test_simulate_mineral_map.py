"""The simulated mineral map: what is planted is there, and can be found again."""

from __future__ import annotations

import numpy as np
import pytest
import xraylib

from matlas.composition import ATOMIC_NUMBER
from matlas.cubes.lines import labelled_peaks
from matlas.cubes.quantify import cation_ratio, concentrations, fit_lines
from matlas.errors import ConfigError
from matlas.files import sha256_of
from matlas.simulate.mineral_map import (
    AXIS,
    BEAM_ENERGY,
    DETECTOR,
    LEAST_ROWS,
    PHASES,
    SAMARIUM_PPM,
    cations,
    mineral_map,
    write_mineral_map,
)

ELEMENTS = ["Mg", "Al", "Si", "Ca", "Fe", "Nd", "Sm", "Lu", "Hf", "U", "Cu"]


@pytest.fixture(scope="module")
def made():
    return mineral_map(rows=3600, seed=1)


def test_counts_are_as_many_and_as_sparse_as_in_the_measured_map(made):
    assert made.counts.shape == (60, 60, AXIS.size) and made.counts.dtype == np.uint8
    assert made.counts.sum() / 3600 == pytest.approx(112, rel=0.005)
    assert (made.counts > 0).mean() == pytest.approx(0.032, abs=0.004)  # measured: 3.2 %


def test_counts_are_poisson_about_the_mixture_of_endmembers_times_thickness(made):
    mean = (made.thickness[..., None] * made.abundances) @ made.endmembers
    residual = (made.counts - mean) / np.sqrt(mean)
    assert residual.mean() == pytest.approx(0, abs=5 / np.sqrt(residual.size))
    assert (residual**2).mean() == pytest.approx(1, abs=5 * np.sqrt((residual**2).var() / residual.size))
    assert made.thickness.mean() == pytest.approx(1) and made.thickness.std() > 0.05


def test_abundances_sum_to_one_with_pure_grains_of_each_phase_and_mixed_borders(made):
    np.testing.assert_allclose(made.abundances.sum(axis=-1), 1)
    assert ((made.abundances > 0.99).mean(axis=(0, 1)) > 0.01).all()
    assert 0.1 < (made.abundances.max(axis=-1) < 0.95).mean() < 0.6
    assert (np.diff(made.abundances.mean(axis=(0, 1))) < 0).all()


@pytest.mark.parametrize("phase", range(len(PHASES)))
def test_an_endmember_holds_the_composition_that_was_planted(made, phase):
    spectrum = np.rint(made.endmembers[phase] * 1e6)
    table = concentrations(fit_lines(spectrum, AXIS, ELEMENTS, DETECTOR, BEAM_ENERGY), ELEMENTS[:-1])
    planted = cations(phase, SAMARIUM_PPM[phase])
    for element in ELEMENTS[:-1]:
        if planted.get(element):
            assert table.loc[element, "atomic_fraction"] == pytest.approx(planted[element], rel=0.01), element
        else:
            assert table["atomic_fraction"].fillna(0)[element] < 1e-4, element
    if SAMARIUM_PPM[phase]:
        assert table.loc["Sm", "mass_ppm"] == pytest.approx(SAMARIUM_PPM[phase], rel=0.01)


def test_traces_are_by_mass_of_the_cations():
    atoms = cations(2, 30000.0)
    mass = {element: n * xraylib.AtomicWeight(ATOMIC_NUMBER[element]) for element, n in atoms.items()}
    assert "O" not in atoms and sum(atoms.values()) == pytest.approx(1)
    assert mass["Sm"] / sum(mass.values()) == pytest.approx(0.03)
    assert atoms["Ca"] / atoms["Si"] == pytest.approx(0.93 / 0.96)


def test_pure_grains_are_quantified_from_their_counts(made):
    pure = made.counts[made.abundances[..., 0] == 1].sum(axis=0)
    fit = fit_lines(pure, AXIS, ELEMENTS, DETECTOR, BEAM_ENERGY)
    ratio, error = cation_ratio(fit, ["Mg", "Fe", "Al"], ["Si"])
    assert ratio == pytest.approx((0.89 + 0.05 + 0.10) / 0.94, abs=3.5 * error) and error < 0.02
    assert abs(fit.pearson - fit.degrees_of_freedom) < 5 * np.sqrt(4 * fit.degrees_of_freedom)


def test_peaks_of_the_sum_spectrum_are_all_explained_by_what_was_planted(made):
    total = made.counts.sum(axis=(0, 1))
    found = labelled_peaks(total, AXIS, ELEMENTS, DETECTOR.width, beam_energy=BEAM_ENERGY)
    labels = set(zip(found.element, found.line, strict=True))
    assert {("Mg", "Kα1"), ("Si", "Kα1"), ("Ca", "Kα1"), ("Fe", "Kα1"), ("Cu", "Kα1")} <= labels
    assert "" not in set(found.element)
    without = labelled_peaks(total, AXIS, ELEMENTS[:-1], DETECTOR.width, beam_energy=BEAM_ENERGY)
    assert without[without.element == ""].position.sub(8.046).abs().min() < 0.02


def test_the_file_is_the_same_to_the_byte_for_a_seed_and_another_for_another(tmp_path):
    paths = [tmp_path / name for name in ("a.npz", "b.npz", "c.npz")]
    for path, seed in zip(paths, (3, 3, 4), strict=True):
        write_mineral_map(path, rows=LEAST_ROWS, seed=seed)
    first, second, third = map(sha256_of, paths)
    assert first == second != third
    made = mineral_map(LEAST_ROWS, 3)
    with np.load(paths[0]) as arrays:
        assert sorted(arrays) == ["abundances", "counts", "endmembers"]
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], getattr(made, name))
            assert arrays[name].dtype == getattr(made, name).dtype


@pytest.mark.parametrize(
    "wrong",
    [{"rows": LEAST_ROWS - 1}, {"dose": 0.0}, {"samarium_ppm": (1.0, 2.0)},
     {"samarium_ppm": (1.0, 2.0, -3.0)}, {"samarium_ppm": (1.0, 2.0, float("nan"))}],
)  # fmt: skip
def test_a_map_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="impossible"):
        mineral_map(**{"rows": LEAST_ROWS} | wrong)
