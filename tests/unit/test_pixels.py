"""Raw-pixel features against scikit-learn's scaler and full PCA, and the stack that holds the pixels."""

from __future__ import annotations

import logging
import tracemalloc

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from matlas.errors import DataError
from matlas.images import pixels
from matlas.images.pixels import PixelStack, feature_fields, fit_pixels, stack_pixels
from matlas.images.read import Picture, resized

WIDTH, HEIGHT = 20, 12


def picture(grey, bits=8):
    return Picture(np.asarray(grey, dtype=np.float32), bits, 1, "")


def smooth_codes(n, white=255, seed=0):
    """(n, 240) images of 40 waves of falling strength, and noise: a spectrum that falls slowly behind its front."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(40, WIDTH * HEIGHT))
    values = (rng.normal(size=(n, 40)) * 0.9 ** np.arange(40)) @ waves + 0.3 * rng.normal(size=(n, WIDTH * HEIGHT))
    return np.rint(np.clip(0.5 + values / 20, 0, 1) * white).astype(np.uint8 if white == 255 else np.uint16)


def full_pca(codes, d):
    """Scores and model of scikit-learn; the sign of a component makes its largest loading positive."""
    standardised = StandardScaler().fit_transform(codes.astype(np.float64))
    model = PCA(d, svd_solver="full").fit(standardised)
    signs = np.sign(model.components_[np.arange(d), np.abs(model.components_).argmax(axis=1)])
    return model.transform(standardised) * signs, model.components_ * signs[:, None], model.explained_variance_ratio_


@pytest.mark.parametrize(("n", "white"), [(400, 255), (150, 255), (400, 65535)])
def test_features_are_those_of_a_standard_scaler_and_a_full_pca(n, white):
    codes = smooth_codes(n, white)
    scores, components, shares = full_pca(codes, 12)
    stack = PixelStack(codes, (WIDTH, HEIGHT))
    space = fit_pixels(stack, n_components=12, random_state=0)
    np.testing.assert_allclose(space.explained_variance_ratio, shares, rtol=1e-8)
    np.testing.assert_allclose(space.components, components, atol=1e-5)
    np.testing.assert_allclose(space.transform(stack), scores, atol=1e-4)


def test_rows_in_many_blocks_give_what_rows_in_one_block_give(monkeypatch):
    stack = PixelStack(smooth_codes(101), (WIDTH, HEIGHT))
    whole = fit_pixels(stack, n_components=5, random_state=0)
    monkeypatch.setattr(pixels, "_BLOCK_BYTES", 8 * WIDTH * HEIGHT * 7)  # 7 rows: 101 is no multiple
    blocked = fit_pixels(stack, n_components=5, random_state=0)
    np.testing.assert_allclose(blocked.mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(blocked.scale, whole.scale, rtol=1e-12)
    np.testing.assert_allclose(blocked.transform(stack), whole.transform(stack), atol=1e-4)


def test_fitting_takes_less_memory_than_a_matrix_of_images_by_images_pixels_by_pixels_or_both(monkeypatch):
    n = p = 2400
    rng = np.random.default_rng(0)
    codes = np.clip(128 + 20 * rng.normal(size=(n, 3)) @ rng.normal(size=(3, p)), 0, 255).astype(np.uint8)
    monkeypatch.setattr(pixels, "_BLOCK_BYTES", 1e6)
    stack = PixelStack(codes, (60, 40))
    tracemalloc.start()
    try:
        fit_pixels(stack, n_components=3, random_state=0).transform(stack)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < n * p * 4 / 2  # half of such a matrix in float32


def test_a_constant_pixel_has_no_part_in_the_components_or_the_total_variance():
    codes = smooth_codes(200)
    codes[:, 7] = 91
    space = fit_pixels(PixelStack(codes, (WIDTH, HEIGHT)), n_components=4, random_state=0)
    assert space.components[:, 7].tolist() == [0] * 4
    assert (space.mean[7], space.scale[7]) == (91 / 255, 1)
    without = fit_pixels(PixelStack(np.delete(codes, 7, axis=1), (239, 1)), n_components=4, random_state=0)
    np.testing.assert_allclose(space.explained_variance_ratio, without.explained_variance_ratio, rtol=1e-9)
    changed = codes[:5] / 255
    changed[:, 7] = 1
    np.testing.assert_allclose(space.transform(changed), space.transform(codes[:5] / 255), atol=1e-12)


def test_new_images_are_placed_by_the_mean_and_scale_of_the_fitted_ones():
    codes = smooth_codes(300)
    fitted, new = codes[:200], codes[200:]
    space = fit_pixels(PixelStack(fitted, (WIDTH, HEIGHT)), n_components=3, random_state=0)
    expected = (new.astype(float) - fitted.mean(axis=0)) / fitted.std(axis=0) @ full_pca(fitted, 3)[1].T
    np.testing.assert_allclose(space.transform(new / 255), expected, atol=1e-4)  # grey values
    np.testing.assert_allclose(space.transform(PixelStack(new, (WIDTH, HEIGHT))), expected, atol=1e-4)  # 8 bits
    sixteen = PixelStack(new.astype(np.uint16) * 257, (WIDTH, HEIGHT))
    np.testing.assert_allclose(space.transform(sixteen), expected, atol=1e-4)


def test_equal_seeds_give_equal_bits_and_other_seeds_the_same_components_to_the_stated_precision():
    stack = PixelStack(smooth_codes(400), (WIDTH, HEIGHT))
    first, again, other = (fit_pixels(stack, n_components=10, random_state=seed) for seed in (0, 0, 1))
    assert first.components.tobytes() == again.components.tobytes()
    np.testing.assert_allclose(np.einsum("ij,ij->i", first.components, other.components), 1, atol=1e-6)


def test_components_that_do_not_settle_are_reported(caplog, monkeypatch):
    stack = PixelStack(smooth_codes(400), (WIDTH, HEIGHT))
    with caplog.at_level(logging.WARNING, logger="matlas.images.pixels"):
        fit_pixels(stack, n_components=10, random_state=0)
        assert not caplog.records
        monkeypatch.setattr(pixels, "_MOST_PASSES", 3)
        fit_pixels(stack, n_components=10, random_state=0)
    assert "after 3 passes" in caplog.text


def test_components_beyond_the_directions_in_which_images_differ_are_refused():
    few = smooth_codes(200)[np.arange(200) % 4]  # four images, 50 times each: they span three directions
    stack = PixelStack(few, (WIDTH, HEIGHT))
    fitted = fit_pixels(stack, n_components=3, random_state=0)
    assert fitted.explained_variance_ratio.sum() == pytest.approx(1, abs=1e-12)
    with pytest.raises(DataError, match="fewer directions.*at least 4, found 3"):
        fit_pixels(stack, n_components=4, random_state=0)
    with pytest.raises(DataError, match="do not differ"):
        fit_pixels(PixelStack(few[[0, 0, 0]], (WIDTH, HEIGHT)), n_components=1, random_state=0)
    with pytest.raises(DataError, match="number of components.*1 to 9 for 10 images of 240 pixels, found 10"):
        fit_pixels(PixelStack(smooth_codes(10), (WIDTH, HEIGHT)), n_components=10, random_state=0)


def test_images_of_another_size_or_with_nan_do_not_fit_the_space():
    space = fit_pixels(PixelStack(smooth_codes(50), (WIDTH, HEIGHT)), n_components=2, random_state=0)
    with pytest.raises(DataError, match="expected \\(m, 240\\) pixels, found \\(3, 239\\)"):
        space.transform(np.zeros((3, 239)))
    grey = np.zeros((3, 240))
    grey[1, 5] = np.nan
    with pytest.raises(DataError, match="NaN.*rows \\[1\\]"):
        space.transform(grey)


def test_pictures_of_8_bits_are_held_exactly_row_by_row():
    codes = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)[:, ::-1]
    stack = stack_pixels((picture(c / 255) for c in codes), 1)
    assert (stack.codes.dtype, stack.size, stack.white) == (np.uint8, (16, 16), 255)
    assert stack.codes.tobytes() == codes.tobytes()
    wide = stack_pixels([picture(np.array([[0, 1, 0], [1, 1, 0]]), bits=1)], 1)
    assert (wide.size, wide.codes.tolist()) == ((3, 2), [[0, 255, 0, 255, 255, 0]])


@pytest.mark.parametrize("fine_at", [0, 1, 2])
def test_one_finer_picture_makes_the_stack_16_bits_and_leaves_the_others_exact(fine_at):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, size=(3, 4, 5)) / 255
    fine = rng.integers(0, 65536, size=(4, 5))
    grey[fine_at] = fine / 65535
    stack = stack_pixels((picture(g) for g in grey), 3)
    assert (stack.codes.dtype, stack.white) == (np.uint16, 65535)
    assert stack.codes[fine_at].tolist() == fine.ravel().tolist()
    np.testing.assert_array_equal(stack.codes, np.rint(grey.reshape(3, 20) * 65535))


def test_values_between_the_codes_are_rounded_to_a_65535th_of_white():
    grey = np.random.default_rng(0).random((2, 6, 7))
    stack = stack_pixels([picture(g, bits=32) for g in grey], 2)
    assert np.abs(stack.codes / 65535 - grey.reshape(2, -1)).max() <= 0.51 / 65535  # half a step, and float32


def test_pictures_of_different_sizes_need_a_size():
    images = [picture(np.full(shape, 0.2)) for shape in [(4, 6), (4, 6), (5, 8)]]
    with pytest.raises(DataError, match="image 2.*expected 6 x 4 as image 0, found 8 x 5.*with a `size`"):
        stack_pixels(images, 3)
    stack = stack_pixels(images, 3, size=(3, 2))
    assert (stack.size, stack.codes.shape) == ((3, 2), (3, 6))
    assert np.ptp(stack.codes) == 0  # all are the same grey


def test_a_size_resizes_width_to_columns_and_height_to_rows():
    grey = np.random.default_rng(0).random((8, 10)).astype(np.float32)
    stack = stack_pixels([picture(grey)], 1, size=(5, 4))
    expected = grey.reshape(4, 2, 5, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(stack.codes[0] / 65535, resized(grey, 5, 4).ravel(), atol=1e-5)
    assert np.corrcoef(stack.codes[0], expected.ravel())[0, 1] > 0.9


def test_the_number_of_pictures_and_their_values_are_checked():
    good = picture(np.full((2, 2), 0.5))
    with pytest.raises(DataError, match="fewer pictures.*expected 3, found 2"):
        stack_pixels([good, good], 3)
    with pytest.raises(DataError, match="more pictures"):
        stack_pixels([good, good], 1)
    with pytest.raises(DataError, match="fewer pictures"):
        stack_pixels([], 0)
    for wrong in (1.01, -0.01, np.nan):
        with pytest.raises(DataError, match="outside 0…1.*image 1"):
            stack_pixels([good, picture(np.array([[0.1, wrong], [0, 0]]))], 2)


def test_fields_name_the_components_in_order():
    fields = feature_fields(3)
    assert [f.name for f in fields] == ["pixel_pc_0", "pixel_pc_1", "pixel_pc_2"]
    assert {(f.dtype, f.unit) for f in fields} == {("float64", "1")}
    assert "component 2" in fields[2].description
