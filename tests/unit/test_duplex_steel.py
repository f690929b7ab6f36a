"""The simulated steel against its own physics: shares, sizes, noise, spectra and bytes."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from scipy import ndimage
from scipy.integrate import quad

from matlas.cubes.cube import Axis, Cube
from matlas.cubes.plasmons import drude_area, drude_loss, labelled_by_plasmon, vectorised_drude_fit
from matlas.errors import ConfigError
from matlas.simulate.duplex_steel import (
    COMPOSITIONS,
    DOSE,
    ENERGIES,
    PHASES,
    PIXEL,
    duplex_steel,
    write_duplex_steel,
)


@pytest.fixture(scope="module")
def steel():
    return duplex_steel()


def test_the_image_has_the_published_size_axis_and_dose(steel):
    assert steel.counts.shape == (100, 100, 251) and steel.counts.dtype == np.uint32
    assert pytest.approx(18) == PIXEL * 100
    assert (ENERGIES[0], ENERGIES[-1]) == (10, 35) and np.diff(ENERGIES) == pytest.approx(0.1)
    assert steel.expected.sum(axis=-1).mean() == pytest.approx(DOSE)
    assert steel.counts.sum(axis=-1).mean() == pytest.approx(DOSE, rel=4 / (DOSE * 10_000) ** 0.5)


def test_shares_sum_to_1_with_equal_matrix_phases_and_a_few_per_cent_of_sigma(steel):
    assert steel.abundances.min() >= 0
    assert steel.abundances.sum(axis=-1) == pytest.approx(1)
    ferrite, austenite, sigma = steel.abundances.mean(axis=(0, 1))
    assert ferrite == pytest.approx(austenite, abs=0.01)
    assert 0.015 < sigma < 0.025
    mixed = steel.abundances.max(axis=-1) < 1
    assert 0.03 < mixed.mean() < 0.2
    assert abs(25 * steel.abundances - np.round(25 * steel.abundances)).max() < 1e-9  # of 5 x 5 points


def test_precipitates_are_about_200_nm_and_lie_on_the_interface(steel):
    sigma = steel.abundances[..., 2]
    regions, n = ndimage.label(sigma > 0, np.ones((3, 3)))
    areas = PIXEL**2 * ndimage.sum_labels(sigma, regions, np.arange(1, n + 1))  # µm²: a mixed pixel counts by its share
    alone = [max(part.stop - part.start for part in box) <= 3 for box in ndimage.find_objects(regions)]
    diameters = 2 * np.sqrt(areas[alone] / np.pi)
    assert len(diameters) > 20 and np.median(diameters) == pytest.approx(0.2, abs=0.02)
    matrix = np.where(sigma == 0, steel.abundances[..., 0], np.nan)
    for y, x in np.argwhere(sigma > 0.5):
        near = matrix[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4]
        assert np.nanmin(near) < 0.5 < np.nanmax(near), f"one phase only around sigma at y {y}, x {x}"


def test_counts_scatter_as_poisson_numbers_independently_from_channel_to_channel(steel):
    z = (steel.counts - steel.expected) / np.sqrt(steel.expected)
    assert abs(z.mean()) < 4 / z.size**0.5
    assert (z**2).mean() == pytest.approx(1, abs=4 * (2 / z.size) ** 0.5)  # Fano factor 1
    assert abs((z[..., 1:] * z[..., :-1]).mean()) < 4 / z.size**0.5
    sums = steel.counts.sum(axis=-1) - steel.expected.sum(axis=-1)
    assert (sums**2).mean() / DOSE == pytest.approx(1, abs=4 * (2 / 10_000) ** 0.5)


def test_a_pure_pixel_has_the_spectrum_of_its_phase_scattered_at_its_thickness(steel):
    """The ratio of two energies, worked out by quadrature for the first pure pixel of each matrix phase."""
    for phase, plasmon in enumerate(list(PHASES.values())[:2]):
        y, x = np.argwhere(steel.abundances[..., phase] == 1)[0]
        t = steel.thickness[y, x]
        area = drude_area(plasmon)

        def once(e, plasmon=plasmon, area=area):
            return drude_loss(e, plasmon) / area

        def twice(e, once=once):
            return quad(lambda u: once(u) * once(e - u), 0, e)[0]

        def thrice(e, once=once, twice=twice):
            return quad(lambda u: once(u) * twice(e - u), 0, e)[0]

        def intensity(e, t=t, once=once, twice=twice, thrice=thrice):
            tail = 1e-3 * (10 / e) ** 3
            return np.exp(-t) * (tail + t * once(e) + t**2 / 2 * twice(e) + t**3 / 6 * thrice(e))

        at_20, at_34 = steel.expected[y, x, [100, 240]]
        assert at_34 / at_20 == pytest.approx(intensity(34.0) / intensity(20.0), rel=1e-4)


def test_thickness_spans_its_range_smoothly(steel):
    assert (steel.thickness.min(), steel.thickness.max()) == (pytest.approx(0.3), pytest.approx(0.7))
    assert abs(np.diff(steel.thickness, axis=0)).max() < 0.02


def test_pixels_are_mixtures_of_the_endmembers_but_for_the_effects_of_thickness(steel):
    usual = abs(steel.thickness - 0.5) < 0.005
    mixtures = steel.abundances[usual] @ steel.endmembers
    assert steel.expected[usual] == pytest.approx(mixtures, rel=0.01)


def test_plasmon_energies_follow_from_the_composition_and_the_volume_of_an_atom():
    energy = {"Fe": 23.0, "Cr": 24.9, "Ni": 20.7, "Mo": 25.2}  # eV
    volume = {"Fe": 11.78, "Cr": 12.00, "Ni": 10.94, "Mo": 15.58}  # Å³
    atom = {"ferrite": 2.88**3 / 2, "austenite": 3.60**3 / 4, "sigma": 8.80**2 * 4.56 / 30}
    for phase, composition in COMPOSITIONS.items():
        assert sum(composition.values()) == pytest.approx(1)
        electrons = sum(share * energy[element] ** 2 * volume[element] for element, share in composition.items())
        assert PHASES[phase].energy == pytest.approx((electrons / atom[phase]) ** 0.5, abs=0.02)


def test_a_fit_tells_the_phases_apart_where_pixels_are_pure(steel):
    axes = (Axis("y", "µm", 0, PIXEL, 100), Axis("x", "µm", 0, PIXEL, 100), Axis("energy loss", "eV", 10, 0.1, 251))
    labels = labelled_by_plasmon(
        vectorised_drude_fit(Cube(steel.counts, *axes, counts=True), 10, 35, thickness=0.5), PHASES
    )
    pure = steel.abundances.max(axis=-1) == 1
    assert (labels == steel.abundances.argmax(axis=-1))[pure].mean() > 0.98


def test_contrast_scales_how_far_the_phases_lie_apart_and_0_makes_them_equal():
    none, double = duplex_steel(900, contrast=0.0), duplex_steel(900, contrast=2.0)
    assert none.endmembers == pytest.approx(np.broadcast_to(none.endmembers[0], (3, 251)))
    apart = double.phases["sigma"].width - double.phases["ferrite"].width
    assert apart == pytest.approx(2 * (PHASES["sigma"].width - PHASES["ferrite"].width))
    assert none.abundances == pytest.approx(double.abundances)


def test_the_file_has_the_arrays_and_the_same_bytes_each_time(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_duplex_steel(tmp_path / name, rows=900, seed=3)
    write_duplex_steel(tmp_path / "other.npz", rows=900, seed=4)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.npz").read_bytes() != (tmp_path / "other.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:  # else the bytes would depend on the day
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    made = duplex_steel(900, 3)
    with np.load(tmp_path / "a.npz") as arrays:
        assert sorted(arrays) == ["abundances", "counts", "endmembers"]
        for name in arrays:
            assert (arrays[name] == getattr(made, name)).all()


@pytest.mark.parametrize("wrong", [{"rows": 899}, {"dose": 0.0}, {"contrast": -1.0}, {"contrast": float("nan")}])
def test_what_cannot_be_simulated_is_refused(wrong):
    with pytest.raises(ConfigError):
        duplex_steel(**wrong)
