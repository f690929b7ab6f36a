"""Preparation of cubes against sums by hand, planted laws, planted shifts and noise whose variance is known."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matlas.cubes import cube as cube_module
from matlas.cubes import noise
from matlas.cubes.cube import Axis, Cube
from matlas.cubes.eels import align_zero_loss, power_law, power_law_background, zero_loss
from matlas.cubes.noise import (
    anscombe,
    components,
    denoised,
    marchenko_pastur_median,
    variance_scaled,
)
from matlas.cubes.prepare import STEPS, crop, mask, prepare, rebin
from matlas.cubes.read import read_cube
from matlas.errors import ConfigError, DataError

MIRROR = os.environ.get("MATLAS_MIRROR")


def cube_of(data, counts=False, offset=0.0, scale=1.0, unit="eV"):
    data = np.asarray(data)
    h, w, c = data.shape
    return Cube(data, Axis("y", "nm", 0, 2, h), Axis("x", "nm", 0, 3, w), Axis("E", unit, offset, scale, c), counts)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(cube_module, "_BLOCK_VALUES", 2000)


def poisson(means, seed=0):
    return cube_of(np.random.default_rng(seed).poisson(means).astype(np.uint16), counts=True)


# crop, bins, masks


def test_cropping_keeps_the_window_with_both_ends_and_copies_nothing():
    cube = cube_of(np.arange(24).reshape(2, 2, 6), counts=True, offset=10, scale=0.5)
    cut = crop(cube, 10.5, 11.5)
    assert cut.data.tolist() == [[[1, 2, 3], [7, 8, 9]], [[13, 14, 15], [19, 20, 21]]]
    assert cut.signal.values.tolist() == [10.5, 11.0, 11.5] and cut.counts
    assert np.shares_memory(cut.data, cube.data) and cut.spectra.shape == (4, 3)
    with pytest.raises(DataError, match="window without a channel"):
        crop(cube, 20, 30)


def test_bins_of_counts_are_sums_by_hand():
    cube = cube_of([[[1, 2, 3, 4], [10, 20, 30, 40]], [[0, 0, 1, 1], [5, 5, 5, 5]]], counts=True, offset=100, scale=10)
    assert rebin(cube, signal=2).data.tolist() == [[[3, 7], [30, 70]], [[0, 2], [10, 10]]]
    assert rebin(cube, y=2).data.tolist() == [[[1, 2, 4, 5], [15, 25, 35, 45]]]
    assert rebin(cube, x=2).data.tolist() == [[[11, 22, 33, 44]], [[5, 5, 6, 6]]]
    both = rebin(cube, signal=2, x=2)
    assert both.signal.values.tolist() == [105, 125]  # the mean of 100 and 110, of 120 and 130
    assert both.x.values.tolist() == [1.5] and both.counts


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_bins_of_counts_agree_with_numpy_and_lose_no_count(dtype):
    data = np.random.default_rng(0).integers(90, 128, (6, 8, 12)).astype(dtype)
    binned = rebin(cube_of(data, counts=True), signal=3, y=2, x=4)
    expected = np.add.reduceat(
        np.add.reduceat(np.add.reduceat(data.astype(int), range(0, 6, 2), 0), range(0, 8, 4), 1), range(0, 12, 3), 2
    )
    np.testing.assert_array_equal(binned.data, expected)
    assert binned.data.sum(dtype=int) == data.sum(dtype=int)
    assert expected.max() > np.iinfo(np.uint8).max  # the dtype had to grow


def test_bins_of_other_data_are_means():
    data = np.random.default_rng(0).normal(size=(2, 3, 4))
    binned = rebin(cube_of(data), signal=2, y=2)
    expected = [[[data[:, x, c : c + 2].mean() for c in (0, 2)] for x in range(3)]]
    np.testing.assert_allclose(binned.data, expected, rtol=1e-12)


def test_leftovers_are_an_error_or_dropped_and_logged(caplog):
    cube = cube_of(np.arange(30).reshape(2, 3, 5), counts=True)
    with pytest.raises(DataError, match="axis signal is no whole number of bins: expected a multiple of 2, found 5"):
        rebin(cube, signal=2)
    with caplog.at_level(logging.INFO):
        binned = rebin(cube, signal=2, x=2, leftovers="drop")
    assert binned.data.tolist() == [[[0 + 1 + 5 + 6, 2 + 3 + 7 + 8]], [[15 + 16 + 20 + 21, 17 + 18 + 22 + 23]]]
    assert "the last 1 of 5 positions of axis signal" in caplog.text
    assert "the last 1 of 3 positions of axis x" in caplog.text
    for wrong in ({"signal": 0}, {"signal": 6}, {"y": 1.0}, {"x": True}, {"leftovers": "keep"}):
        with pytest.raises(ConfigError):
            rebin(cube, **wrong)


def test_dead_channels_and_zero_pixels_are_found_and_logged(caplog):
    data = np.random.default_rng(0).integers(1, 99, (20, 30, 8))
    data[:, :, 2], data[:, :, 5] = 0, 7  # nothing, and stuck at 7
    data[3, 4] = data[19, 29] = 0
    data[3, 4, 5] = data[19, 29, 5] = 7  # the stuck channel says so in empty pixels too
    cube = cube_of(data, counts=True, offset=100)
    with caplog.at_level(logging.WARNING):
        found = mask(cube)
    assert np.flatnonzero(found.dead_channels).tolist() == [2, 5] and not found.zero_pixels.any()
    assert "2 of 8 channels are dead: 102, 105 eV" in caplog.text
    data[3, 4, 5] = data[19, 29, 5] = 0
    found = mask(cube)
    assert np.flatnonzero(found.dead_channels).tolist() == [2]
    assert np.argwhere(found.zero_pixels).tolist() == [[3, 4], [19, 29]]


# noise


def test_anscombe_is_the_formula_and_makes_the_variance_of_poisson_counts_one():
    counts = cube_of([[[0, 1, 100]]], counts=True)
    assert anscombe(counts).data[0, 0] == pytest.approx([2 * 0.375**0.5, 2 * 1.375**0.5, 2 * 100.375**0.5])
    means = np.array([10, 100, 1000])
    variances = anscombe(poisson(np.broadcast_to(means, (100, 100, 3)))).spectra.var(axis=0)
    assert variances == pytest.approx(1, abs=0.06)  # four times the error of 10,000 draws
    with pytest.raises(ConfigError, match="anscombe is for counts"):
        anscombe(cube_of([[[1.0]]]))


def test_variance_scaling_divides_by_the_roots_of_the_mean_image_and_spectrum():
    data = np.array([[[4, 0, 2], [0, 0, 0]], [[8, 0, 10], [1, 0, 5]]])
    scaled = variance_scaled(cube_of(data, counts=True))
    image, spectrum = data.mean(axis=2), data.mean(axis=(0, 1))
    assert scaled.data[1, 0, 2] == pytest.approx(10 / (image[1, 0] ** 0.5 * spectrum[2] ** 0.5))
    assert scaled.data[0, 1].tolist() == [0, 0, 0] and (scaled.data[:, :, 1] == 0).all()
    assert not scaled.counts
    with pytest.raises(ConfigError, match="variance_scaled is for counts"):
        variance_scaled(scaled)


def test_variance_scaling_makes_noise_equal_in_bright_and_dark_channels_and_pixels():
    brightness, spectrum = np.repeat([20.0, 200.0], 2000)[:, None], np.repeat([0.5, 5.0], 20)
    cube = poisson((brightness * spectrum).reshape(40, 100, 40))
    grand = cube.data.mean()
    scaled = variance_scaled(cube).spectra * np.sqrt(grand)
    for pixels in (slice(0, 2000), slice(2000, 4000)):
        for channels in (slice(0, 20), slice(20, 40)):
            assert scaled[pixels, channels].var() == pytest.approx(1, abs=0.05)


def phases(n_phases, counts_a_pixel, shape=(40, 50), channels=80, seed=0):
    """(H, W, C) mean counts of planted phases with spectra of their own, side by side with mixed borders."""
    rng = np.random.default_rng(seed)
    spectra = rng.gamma(0.7, size=(n_phases, channels)) + 0.05
    spectra /= spectra.sum(axis=1, keepdims=True)
    x = np.linspace(0, n_phases - 1, shape[1])
    abundances = np.maximum(0, 1 - np.abs(x[:, None] - np.arange(n_phases)))
    return np.broadcast_to(counts_a_pixel * abundances @ spectra, (*shape, channels))


@pytest.mark.parametrize("n_phases", [1, 2, 4])
def test_the_estimated_number_of_components_of_counts_is_that_of_the_planted_phases(n_phases):
    assert components(poisson(phases(n_phases, 200), seed=n_phases)).above_edge == n_phases


def test_rare_channels_do_not_pass_for_components():
    means = np.full((60, 80, 300), 0.1)
    means[:, :, ::2] = 0.002  # about ten counts in all: two in one pixel would stand out
    assert [components(poisson(means, seed)).above_edge for seed in range(3)] == [1, 1, 1]


def test_denoised_counts_are_closer_to_the_truth_and_keep_their_sum():
    means = phases(3, 100)
    cube = poisson(means, seed=5)
    clean = denoised(cube, "estimated")
    assert ((clean.data - means) ** 2).mean() < 0.15 * ((cube.data - means) ** 2).mean()
    assert clean.sum_spectrum.sum() == pytest.approx(cube.sum_spectrum.sum(), rel=0.01)
    assert not clean.counts and clean.data.dtype == np.float32
    assert np.array_equal(clean.data, denoised(cube, 3).data)


def test_empty_channels_and_pixels_stay_empty_when_counts_are_denoised():
    data = poisson(phases(2, 100)).data.copy()
    data[3, 4], data[:, :, 7] = 0, 0
    clean = denoised(cube_of(data, counts=True), 2)
    assert np.abs(clean.data[3, 4]).max() < 1e-6 and np.abs(clean.data[:, :, 7]).max() < 1e-6


def test_components_of_other_data_are_those_of_a_singular_value_decomposition():
    rng = np.random.default_rng(0)
    planted = rng.normal(size=(30 * 40, 3)) @ rng.normal(size=(3, 50)) + 7
    data = planted + 0.2 * rng.normal(size=planted.shape)
    cube = cube_of(data.reshape(30, 40, 50))
    found = components(cube)
    u, s, vt = np.linalg.svd(data - data.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.singular_values * found.noise, s, rtol=1e-6)
    assert found.noise == pytest.approx(0.2, rel=0.03)  # three of fifty are signal, and raise the median
    assert found.above_edge == 3
    expected = (u[:, :3] * s[:3]) @ vt[:3] + data.mean(axis=0)
    np.testing.assert_allclose(denoised(cube, "estimated").spectra, expected, atol=1e-8)


def test_noise_alone_has_no_component_above_the_edge_and_can_not_be_denoised():
    noise_only = [cube_of(np.random.default_rng(s).normal(3, 0.1, (25, 40, 60))) for s in range(10)]
    assert sum(components(cube).above_edge for cube in noise_only) <= 1
    with pytest.raises(ConfigError, match=r"expected 1 to 60.*'estimated', which is 0"):
        denoised(noise_only[0], "estimated")
    for wrong in (0, 61, True, 2.0, "all"):
        with pytest.raises(ConfigError):
            denoised(noise_only[0], wrong)


def test_the_edge_of_noise_is_where_singular_values_end():
    n, p = 1500, 300
    largest = [np.linalg.norm(np.random.default_rng(s).normal(size=(n, p)), 2) for s in range(5)]
    edge = noise._noise_edge(n, np.ones(p))
    assert all(0.97 * edge < value < edge for value in largest)
    assert edge == pytest.approx(n**0.5 + p**0.5, rel=0.02)
    deviations = np.repeat([0.5, 0.2], p // 2)  # half of the channels with less noise
    largest = [np.linalg.norm(np.random.default_rng(s).normal(size=(n, p)) * deviations, 2) for s in range(5)]
    edge = noise._noise_edge(n, deviations**2)
    assert all(0.96 * edge < value < edge for value in largest)


@pytest.mark.parametrize("ratio", [0.02, 0.5, 1.0])
def test_the_median_of_marchenko_and_pastur_is_that_of_noise(ratio):
    p = int(1000 * ratio)
    values = np.linalg.svd(np.random.default_rng(0).normal(size=(1000, p)), compute_uv=False) ** 2 / 1000
    assert marchenko_pastur_median(ratio) == pytest.approx(np.median(values), rel=0.03)


def test_the_median_of_a_square_table_gives_the_threshold_of_gavish_and_donoho():
    assert 4 / 3**0.5 / marchenko_pastur_median(1.0) ** 0.5 == pytest.approx(2.858, abs=5e-4)  # their omega(1)


# electron energy loss


def test_a_planted_power_law_is_found_and_taken_off_and_the_edge_behind_it_stays():
    energies = 200 + 2.0 * np.arange(150)
    exponent = np.array([[2.0, 3.0, 4.5], [2.5, 3.5, 5.0]])
    amplitude = 500 * 250**exponent
    background = amplitude[..., None] * energies ** -exponent[..., None]
    edge = np.where(energies >= 400, 30.0, 0.0) * np.array([[[0], [1], [2]], [[3], [4], [5]]])
    cube = cube_of(background + edge, offset=200, scale=2)
    a, r = power_law(cube, 250, 380)
    np.testing.assert_allclose(r, exponent, rtol=1e-9)
    np.testing.assert_allclose(a, amplitude, rtol=1e-7)
    above = power_law_background(cube, 250, 380)
    assert above.signal.values[[0, -1]].tolist() == [250, 498]
    np.testing.assert_allclose(above.data, edge[:, :, 25:], atol=1e-7)


def test_a_power_law_through_noise_is_the_line_of_least_squares_in_logarithms():
    energies = 100 + 5.0 * np.arange(40)
    data = np.random.default_rng(0).gamma(50, size=(2, 2, 40)) * energies**-2.0
    a, r = power_law(cube_of(data, offset=100, scale=5), 120, 250)
    inside = (energies >= 120) & (energies <= 250)
    slope, level = np.polyfit(np.log(energies[inside]), np.log(data[1, 0, inside]), 1)
    assert (r[1, 0], a[1, 0]) == (pytest.approx(-slope), pytest.approx(np.exp(level)))


def test_a_power_law_needs_energies_and_intensities_above_zero():
    data = np.ones((2, 3, 20))
    with pytest.raises(DataError, match="window can't hold a power law"):
        power_law(cube_of(data, offset=-5), -5, 10)
    with pytest.raises(DataError, match="3 channels or more"):
        power_law(cube_of(data, offset=5), 5, 6)
    data[1, 2, 4] = 0
    with pytest.raises(DataError, match=r"found 1 pixels that have others, at first \(y, x\) \(1, 2\)"):
        power_law(cube_of(data, offset=5), 5, 15)


def shifted_peaks(shifts, sigma=3.0, offset=-20.0, scale=0.5, channels=120):
    """Gaussian zero-loss peaks at planted positions, with a weaker loss 15 eV behind each."""
    energies = offset + scale * np.arange(channels)
    shifts = np.asarray(shifts)[..., None]
    width = sigma * scale
    peak = np.exp(-(((energies - shifts) / width) ** 2) / 2) + 0.1 * np.exp(-(((energies - shifts - 15) / 2) ** 2) / 2)
    return cube_of(1000 * peak, offset=offset, scale=scale)


def test_a_parabola_is_found_where_its_top_is():
    places = np.array([[-1.3, 0.0, 0.4], [2.25, -0.75, 3.1]])
    energies = -10 + 0.5 * np.arange(40)
    cube = cube_of(100 - (energies - places[..., None]) ** 2, offset=-10, scale=0.5)
    np.testing.assert_allclose(zero_loss(cube, -8, 8), places, atol=1e-10)


def test_planted_shifts_of_the_zero_loss_peak_are_found_and_undone():
    shifts = np.array([[0.0, 1.0, -2.3], [0.7, 3.35, -1.1]])
    cube = shifted_peaks(shifts)
    np.testing.assert_allclose(zero_loss(cube, -6, 6), shifts, atol=0.01)  # 0.02 channels
    aligned = align_zero_loss(cube, -6, 6, edges="crop")
    np.testing.assert_allclose(zero_loss(aligned, -6, 6), 0, atol=0.01)
    losses = aligned.signal.window(12, 18)
    assert (np.abs(aligned.signal.values[losses][aligned.data[:, :, losses].argmax(axis=2)] - 15) <= 0.5).all()


def test_whole_shifts_move_channels_unchanged_and_edges_are_filled_as_declared():
    base = np.array([1.0, 2, 4, 9, 5, 3, 2, 1, 1, 1])
    data = np.stack([np.roll(base, s) for s in (0, 1, 2)])[None]  # peaks at channel 3, 4, 5
    data[0, 1, 0], data[0, 2, :2] = 7, (7, 7)
    data[0, :, 9] = 6  # the last value of each, which comes in from beyond the end
    symmetric = data.copy()
    for i in range(3):
        symmetric[0, i, 2 + i] = symmetric[0, i, 4 + i] = 4  # so that parabolas stand on channels
    cube = cube_of(symmetric, offset=-3.0)  # 0 is channel 3
    nearest = align_zero_loss(cube, -2.5, 5, edges="nearest").data[0]
    zero = align_zero_loss(cube, -2.5, 5, edges="zero").data[0]
    assert nearest[0].tolist() == symmetric[0, 0].tolist()
    assert nearest[1].tolist() == [*symmetric[0, 1, 1:], 6]
    assert nearest[2].tolist() == [*symmetric[0, 2, 2:], 6, 6]
    assert zero[2].tolist() == [*symmetric[0, 2, 2:], 0, 0]
    cropped = align_zero_loss(cube, -2.5, 5, edges="crop")
    assert cropped.signal == replace(cube.signal, size=8)
    np.testing.assert_array_equal(cropped.data[0], [symmetric[0, i, i : i + 8] for i in range(3)])


def test_cropping_whole_shifts_costs_no_channel_by_rounding():
    data = np.zeros((1, 3, 12))
    for x, top in enumerate((3, 4, 6)):
        data[0, x, top - 1 : top + 2] = 1, 2, 1
    for offset, scale in ((-0.3, 0.1), (-0.9, 0.3), (-2.1, 0.7)):
        assert align_zero_loss(cube_of(data, offset=offset, scale=scale), -9, 9, edges="crop").signal.size == 12 - 3


def test_alignment_is_linear_interpolation_and_cropping_leaves_only_what_every_spectrum_has():
    cube = shifted_peaks([[0.3, 1.0, -2.3], [0.7, 3.35, -1.1]])
    energies, found = cube.signal.values, zero_loss(cube, -6, 6)
    for edges, fill in (("nearest", None), ("zero", 0), ("crop", np.nan)):
        aligned = align_zero_loss(cube, -6, 6, edges=edges)
        for y, x in np.ndindex(2, 3):
            places = aligned.signal.values + found[y, x]
            expected = np.interp(places, energies, cube.data[y, x], left=fill, right=fill)
            np.testing.assert_allclose(aligned.data[y, x], expected, atol=1e-7)
    lost = (found.max() - min(found.min(), 0)) / 0.5
    assert lost <= 120 - aligned.signal.size <= lost + 2


def test_an_axis_that_runs_downwards_is_treated_alike():
    cube = shifted_peaks([[0.0, 1.5, -0.8]])
    turned = cube_of(cube.data[:, :, ::-1].copy(), offset=cube.signal.values[-1], scale=-cube.signal.scale)
    np.testing.assert_allclose(zero_loss(turned, -6, 6), [[0, 1.5, -0.8]], atol=0.01)
    forwards, backwards = (align_zero_loss(c, -6, 6, edges="zero").data for c in (cube, turned))
    np.testing.assert_allclose(backwards[:, :, ::-1], forwards, atol=1e-9)
    law = 1e6 * (100 + 2.0 * np.arange(50)) ** -3.0
    falling = cube_of(law[None, None, ::-1].copy(), offset=198, scale=-2)
    above = power_law_background(falling, 120, 160)
    assert above.signal.values[[0, -1]].tolist() == [198, 120]
    np.testing.assert_allclose(above.data, 0, atol=1e-9)


def test_peaks_at_the_end_of_the_window_and_axes_without_zero_are_refused():
    cube = shifted_peaks([[0.0, 5.0]])
    with pytest.raises(DataError, match=r"highest channel is at an end of the window.*\(0, 1\)"):
        zero_loss(cube, -3, 3)
    with pytest.raises(DataError, match="no zero-loss peak on this axis"):
        zero_loss(cube_of(np.ones((1, 1, 5)), offset=10), 10, 14)
    with pytest.raises(ConfigError, match="`edges` can't be"):
        align_zero_loss(cube, -6, 6, edges="wrap")


# by configuration


def test_steps_are_applied_in_their_order_and_mistakes_are_named():
    cube = poisson(np.full((4, 6, 10), 20.0))
    prepared = prepare(cube, [{"crop": {"low": 2, "high": 7}}, {"rebin": {"signal": 3, "x": 2}}, {"anscombe": None}])
    expected = 2 * np.sqrt(cube.data[:, :, 2:8].reshape(4, 3, 2, 2, 3).sum(axis=(2, 4)) + 0.375)
    np.testing.assert_allclose(prepared.data, expected, rtol=1e-6)
    assert prepare(cube, []) is cube
    with pytest.raises(ConfigError, match=r"unknown step 'croop'.*'crop' \(nearest\)"):
        prepare(cube, [{"croop": {}}])
    with pytest.raises(ConfigError, match=r"step 1, crop, don't fit.*\['low', 'high'\].*missing"):
        prepare(cube, [{"crop": {"low": 2}}])
    with pytest.raises(ConfigError, match="step 2 of the preparation is not one step"):
        prepare(cube, [{"anscombe": {}}, {"crop": {}, "rebin": {}}])


@pytest.mark.parametrize("name", sorted(STEPS))
def test_no_step_changes_the_cube_that_it_is_given(name):
    arguments = {
        "crop": {"low": -5, "high": 5}, "rebin": {"signal": 2}, "power_law_background": {"low": 2, "high": 12},
        "align_zero_loss": {"low": -5, "high": 5, "edges": "zero"}, "denoised": {"n_components": 2},
        "scaled": {"by": "sum"},
    }  # fmt: skip
    energies = -20 + 0.5 * np.arange(120)
    means = 3000 * np.exp(-(((energies - np.arange(6)[:, None] / 4) / 1.5) ** 2) / 2) + 200
    cube = poisson(np.broadcast_to(means, (4, 6, 120)))
    cube = replace(cube, signal=Axis("E", "eV", -20, 0.5, 120))
    before = cube.data.copy()
    cube.data.flags.writeable = False
    STEPS[name](cube, **arguments.get(name, {}))
    np.testing.assert_array_equal(cube.data, before)


# real data


@pytest.mark.skipif(not MIRROR, reason="needs the mirror of real sources (MATLAS_MIRROR)")
def test_the_mantle_map_has_few_components_above_its_noise(monkeypatch):
    pytest.importorskip("rsciio")
    monkeypatch.undo()
    path = Path(MIRROR) / "stem-edxs-mantle" / "88_ES-LP_G8_selection2_cropped2.hspy"
    cube = read_cube(path, counts=True)
    found = mask(cube)
    assert not found.dead_channels.any() and not found.zero_pixels.any()
    binned = rebin(cube, signal=4, leftovers="drop")
    assert binned.data.sum(dtype=int) == cube.data[:, :, :1916].sum(dtype=int)
    assert 3 <= components(binned).above_edge <= 8  # three phases; 11 elements
