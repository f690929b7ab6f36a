"""Altered copies of images: what each does to known pixels, and which images a plan chooses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import laplace

from matlas.errors import ConfigError, DataError
from matlas.images.alterations import ARTEFACTS, SENSITIVITY, alteration_plan, altered, rng_of

ALL = [*SENSITIVITY, *ARTEFACTS]
IDS = [f"surface_{i}" for i in range(1800)]


@pytest.fixture
def grey():
    """(120, 160) rough texture of grey values between 0.2 and 0.8."""
    return np.random.default_rng(0).uniform(0.2, 0.8, size=(120, 160)).astype(np.float32)


def alter(grey, alteration, seed=0):
    return altered(grey, alteration, np.random.default_rng(seed))


def longest_run(flags):
    return max(len(run) for run in "".join("x" if flag else " " for flag in flags).split(" "))


@pytest.mark.parametrize("alteration", ALL)
@pytest.mark.parametrize("shape", [(120, 160), (3, 2), (1, 1)])
def test_every_alteration_gives_a_new_image_in_range_and_depends_on_its_generator_alone(alteration, shape):
    grey = np.random.default_rng(1).random(shape).astype(np.float32)
    before = grey.copy()
    result = alter(grey, alteration)
    assert (result.dtype, result.shape) == (np.float32, shape)
    assert result.min() >= 0 and result.max() <= 1
    assert not np.shares_memory(result, grey)
    np.testing.assert_array_equal(grey, before)
    np.testing.assert_array_equal(result, alter(grey, alteration))


def test_shifting_moves_the_content_right_by_five_pixels_and_mirrors_the_edge():
    grey = np.arange(8, dtype=np.float32)[None, :] / 10
    np.testing.assert_allclose(alter(grey, "shifted"), [[0.4, 0.3, 0.2, 0.1, 0.0, 0.0, 0.1, 0.2]])


def test_brightening_multiplies_by_1_1_and_stops_at_white():
    np.testing.assert_allclose(alter(np.array([[0.0, 0.5, 0.9, 0.95, 1.0]]), "brighter"), [[0, 0.55, 0.99, 1, 1]])


def test_defocus_keeps_the_mean_and_removes_detail_as_a_gaussian_of_three_per_cent_of_the_shorter_side_does(grey):
    result = alter(grey, "out_of_focus")
    assert result.mean() == pytest.approx(grey.mean(), abs=1e-3)
    assert laplace(result).var() < 1e-4 * laplace(grey).var()
    point = np.zeros((200, 200), dtype=np.float32)
    point[100, 100] = 1
    assert alter(point, "out_of_focus")[100, 100] == pytest.approx(1 / (2 * np.pi * 6**2), rel=0.01)


def test_a_saturated_band_is_15_per_cent_of_the_rows_side_by_side_at_white(grey):
    result = alter(grey, "saturated_band")
    white = (result == 1).all(axis=1)
    assert white.sum() == longest_run(white) == 18
    np.testing.assert_array_equal(result[~white], grey[~white])


def test_a_dead_region_is_one_black_rectangle_of_a_quarter_of_the_area(grey):
    places = set()
    for seed in range(20):
        result = alter(grey, "dead_region", seed)
        black = result == 0
        rows, columns = black.any(axis=1), black.any(axis=0)
        assert black.sum() == rows.sum() * columns.sum() == longest_run(rows) * longest_run(columns)
        assert black.mean() == pytest.approx(0.25, abs=0.01)
        np.testing.assert_array_equal(result[~black], grey[~black])
        places.add((int(rows.argmax()), int(columns.argmax())))
    assert len(places) > 15


def test_charging_streaks_are_few_bright_rows_that_fade_to_the_right(grey):
    added = alter(np.full((200, 200), 0.1, dtype=np.float32), "charging_streaks") - np.float32(0.1)
    streaked = added.max(axis=1) > 0
    assert 1 <= streaked.sum() <= 8 * 6  # eight streaks of at most 3 % of 200 rows
    assert added.max() >= 0.4
    assert added.min() >= 0
    single = added[np.flatnonzero(streaked)[0]]
    begin = np.flatnonzero(single)[0]
    assert begin < 100
    assert single[begin] > single[-1] > 0


def test_inversion_exchanges_black_and_white():
    np.testing.assert_allclose(alter(np.array([[0.0, 0.3, 1.0]]), "inverted"), [[1.0, 0.7, 0.0]], rtol=1e-6)


def test_salt_and_pepper_hits_8_per_cent_of_the_pixels_half_white_half_black(grey):
    result = alter(np.tile(grey, (3, 3)), "salt_and_pepper")
    assert (result == 1).mean() == pytest.approx(0.04, abs=0.003)
    assert (result == 0).mean() == pytest.approx(0.04, abs=0.003)
    untouched = (result != 0) & (result != 1)
    np.testing.assert_array_equal(result[untouched], np.tile(grey, (3, 3))[untouched])


def test_an_unknown_alteration_is_named_with_the_nearest_one(grey):
    with pytest.raises(ConfigError, match="unknown alteration.*expected 'shifted' \\(nearest\\), found 'shiftd'"):
        alter(grey, "shiftd")


def test_a_plan_samples_images_for_each_change_and_plants_each_artefact_in_images_of_its_own():
    plan = alteration_plan(IDS, seed=0)
    assert list(plan.columns) == ["image_id", "alteration"]
    counts = plan["alteration"].value_counts().to_dict()
    assert counts == dict.fromkeys(SENSITIVITY, 150) | dict.fromkeys(ARTEFACTS, 20)
    assert not plan.duplicated().any()
    assert set(plan["image_id"]) <= set(IDS)
    planted = plan[plan["alteration"].isin(list(ARTEFACTS))]
    assert planted["image_id"].is_unique
    shifted, brighter = (plan.loc[plan["alteration"] == name, "image_id"].tolist() for name in SENSITIVITY)
    assert shifted == brighter


def test_at_most_a_tenth_of_few_images_carry_artefacts_spread_over_the_kinds():
    plan = alteration_plan(IDS[:87], seed=0)
    counts = plan["alteration"].value_counts()
    assert [counts[name] for name in SENSITIVITY] == [87, 87]
    assert sorted(counts[list(ARTEFACTS)], reverse=True) == [2, 2, 1, 1, 1, 1]
    assert set(alteration_plan(IDS[:9], seed=0)["alteration"]) == set(SENSITIVITY)
    assert alteration_plan([], seed=0).empty


def test_a_plan_depends_on_the_seed_but_not_on_the_order_of_the_images():
    plan = alteration_plan(IDS, seed=0)
    assert plan.equals(alteration_plan(IDS[::-1], seed=0))
    assert not plan.equals(alteration_plan(IDS, seed=1))


def test_an_image_that_is_listed_twice_is_refused():
    with pytest.raises(DataError, match="not unique: found 'a' twice"):
        alteration_plan(["a", "b", "a"], seed=0)


def test_the_generator_of_a_copy_depends_on_seed_image_and_alteration_and_not_on_the_process():
    first = rng_of(0, "a", "shifted").random()
    assert first == rng_of(0, "a", "shifted").random()
    others = [
        rng_of(1, "a", "shifted"),
        rng_of(0, "b", "shifted"),
        rng_of(0, "a", "brighter"),
        rng_of(0, "as", "hifted"),
    ]
    assert len({first, *(rng.random() for rng in others)}) == 5
    script = "from matlas.images.alterations import rng_of; print(rng_of(0, 'a', 'shifted').random())"
    elsewhere = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(elsewhere.stdout) == first
