"""Embeddings are the network's activations of the prepared images, however the work is cut and threaded."""

import ast
import logging
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

import matlas.threads as threads_module
from matlas.errors import ConfigError, DataError
from matlas.networks.embed import embed, feature_fields, prepare
from matlas.networks.resnet18 import ResNet18

CPU = torch.device("cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def network() -> ResNet18:
    torch.manual_seed(0)
    return ResNet18().eval()


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Eleven images of different sizes."""
    rng = np.random.default_rng(0)
    return [rng.random((180 + 11 * i, 230 - 7 * i), dtype=np.float32) for i in range(11)]


# --- prepare


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_image_becomes_its_normalised_value_in_each_channel(value):
    prepared = prepare(np.full((50, 70), value, dtype=np.float32))
    assert prepared.shape == (3, 224, 224)
    assert prepared.dtype == torch.float32
    for channel, mean, std in zip(prepared, MEAN, STD, strict=True):
        assert channel.numpy() == pytest.approx((value - mean) / std, abs=1e-5)


def test_an_image_of_224_pixels_is_not_resampled():
    grey = np.random.default_rng(1).random((224, 224), dtype=np.float32)
    np.testing.assert_allclose(prepare(grey)[1], (grey.astype(float) - MEAN[1]) / STD[1], atol=1e-5)


def test_enlarging_is_plain_bilinear():
    grey = np.random.default_rng(2).random((200, 200), dtype=np.float32)
    plain = functional.interpolate(torch.from_numpy(grey)[None, None], (224, 224), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(prepare(grey)[0] * STD[0] + MEAN[0], plain[0, 0], atol=2e-6)


def test_shrinking_is_antialiased_as_pillow_does_it():
    grey = np.random.default_rng(3).random((600, 501), dtype=np.float32)
    pillow = np.asarray(Image.fromarray(grey).resize((224, 224), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(prepare(grey)[2] * STD[2] + MEAN[2], pillow, atol=1e-5)


def test_height_and_width_keep_their_places():
    grey = np.zeros((100, 300), dtype=np.float32)
    grey[80:, :] = 1  # the lowest fifth
    rows = prepare(grey)[0].mean(dim=1)
    assert (rows[:170] == rows[0]).all()
    assert (rows[190:] > rows[0] + 3).all()


@pytest.mark.parametrize(
    ("grey", "says"),
    [
        (np.zeros((3, 8, 8), np.float32), r"expected \(height, width\) float32, found \(3, 8, 8\) float32"),
        (np.zeros((8, 8), np.uint8), r"found \(8, 8\) uint8"),
        (np.zeros((0, 8), np.float32), r"found \(0, 8\) float32"),
        ([[0.0]], "found list"),
        (np.full((8, 8), 255, np.float32), "expected 0…1, found 255…255"),
        (np.full((8, 8), -0.1, np.float32), "expected 0…1, found -0.1"),
        (np.array([[0.5, np.nan]], np.float32), "expected 0…1, found nan"),
    ],
)  # fmt: skip
def test_what_is_not_a_grey_image_is_refused(grey, says):
    with pytest.raises(DataError, match=says):
        prepare(grey)


# --- embed


def test_embeddings_are_the_pooled_stages_of_prepared_images_in_order(network, images):
    result = embed(network, range(11), lambda i: images[i], device=CPU, batch_size=4)
    assert [(s.shape, s.dtype) for s in result.stages] == [((11, w), np.float64) for w in (64, 128, 256, 512)]
    for row, image in enumerate(images):
        with torch.no_grad():
            alone = network.pooled_stages(prepare(image)[None])
        for stage, expected in zip(result.stages, alone, strict=True):
            np.testing.assert_allclose(stage[row], expected[0], rtol=1e-5, atol=1e-5)
    assert result.device == "cpu"
    assert result.images_per_s > 0
    assert np.ptp(result.stages[3], axis=0).max() > 1e-3  # images differ, so order shows


def test_any_number_of_threads_gives_the_same_bits(network, images):
    few, many = (embed(network, images, np.copy, device=CPU, batch_size=3, threads=n).stages for n in (1, 5))
    assert all(np.array_equal(a, b) for a, b in zip(few, many, strict=True))


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_the_batch_size_changes_rounding_only(network, images, batch_size):
    found = embed(network, images, np.copy, device=CPU, batch_size=batch_size, depth=2).stages
    expected = embed(network, images, np.copy, device=CPU, batch_size=3, depth=2).stages
    assert len(found) == 2
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_network_in_training_mode_is_put_in_eval_mode(images):
    torch.manual_seed(0)
    training = ResNet18().train()
    statistics = training.bn1.running_mean.clone()
    embed(training, images[:2], np.copy, device=CPU, depth=1)
    assert not training.training
    assert torch.equal(training.bn1.running_mean, statistics)


def test_loading_runs_two_batches_ahead_and_no_further(network, monkeypatch):
    """While a batch is computed, the 2 x 3 images after its last but one are loaded, then loading waits."""
    loaded, ready = [], []

    def load(item):
        loaded.append(item)
        return np.full((8, 8), 0.5, dtype=np.float32)

    def pooled_stages(batch, depth):
        expected = min(3 * (len(ready) + 1) - 1 + 6, 20)
        deadline = time.monotonic() + 20
        while len(loaded) < expected and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)  # time to load more than that
        ready.append((len(loaded), expected))
        return [torch.zeros(len(batch), 64)]

    monkeypatch.setattr(network, "pooled_stages", pooled_stages)
    embed(network, range(20), load, device=CPU, batch_size=3, depth=1, threads=2)
    assert len(ready) == 7
    assert all(found == expected for found, expected in ready)
    assert sorted(loaded) == list(range(20))


@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_in_loading_comes_through_and_ends_the_work(network, threads):
    loaded = []

    def load(item):
        loaded.append(item)
        if item == 5:
            raise DataError("JPEG file is cut short", where="5.jpg")
        return np.full((8, 8), 0.5, dtype=np.float32)

    before = threading.active_count()
    with pytest.raises(DataError, match=r"^JPEG file is cut short \(5.jpg\)"):
        embed(network, range(1000), load, device=CPU, batch_size=2, depth=1, threads=threads)
    assert threading.active_count() == before  # no thread is left
    assert len(loaded) < 20  # and nobody went on loading


def test_a_bad_image_is_named_by_its_item(network):
    with pytest.raises(DataError, match=r"grey values out of range \(b.jpg\)"):
        embed(network, ["b.jpg"], lambda _: np.full((8, 8), 2, dtype=np.float32), device=CPU)


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"batch_size": 0}, "batch_size is too small"), ({"threads": 0}, "threads is too small"), ({"depth": 5}, "depth")],
)
def test_settings_out_of_range_are_refused(network, images, settings, says):
    with pytest.raises(ConfigError, match=says):
        embed(network, images, np.copy, device=CPU, **settings)


def test_no_images_are_an_error(network):
    with pytest.raises(DataError, match="no images to embed"):
        embed(network, [], np.copy, device=CPU)


def test_progress_tells_the_time_left(network, images, monkeypatch, caplog):
    monkeypatch.setattr(threads_module, "_LOG_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO, "matlas"):
        embed(network, images[:5], np.copy, device=CPU, batch_size=2, depth=1)
    told = [record.getMessage() for record in caplog.records]
    assert [t.partition(",")[0] for t in told[:2]] == ["images embedded: 2 of 5", "images embedded: 4 of 5"]
    assert all("s left" in t for t in told[:2])
    assert len(told) == 3
    assert told[2].startswith("images embedded: 5 of 5 in")


# --- the columns


def test_columns_name_stage_channel_weights_and_licence():
    fields = feature_fields(3, "ImageNet ResNet18, product-quantised", "CC BY-NC 4.0")
    assert [f.name for f in fields] == [f"stage3_{i}" for i in range(256)]
    assert {(f.dtype, f.unit) for f in fields} == {("float64", "1")}
    assert fields[7].description == "Mean activation of channel 7 after stage 3 of ResNet18"
    assert "ImageNet ResNet18, product-quantised (CC BY-NC 4.0)" in fields[7].citation


def test_there_are_no_columns_of_a_fifth_stage():
    with pytest.raises(ConfigError, match="found 5"):
        feature_fields(5, "w", "l")


def test_embeddings_keep_within_the_bounds_of_their_columns(network, images):
    for stage, values in enumerate(embed(network, images[:3], np.copy, device=CPU).stages, 1):
        assert {f.minimum for f in feature_fields(stage, "w", "l")} == {0.0}
        assert len(feature_fields(stage, "w", "l")) == values.shape[1]
        assert values.min() >= 0.0


def test_nothing_imports_torchvision(repository):
    for path in [*repository.glob("matlas/**/*.py"), *repository.glob("bench/*.py")]:
        for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [n for n in names if n.split(".")[0] == "torchvision"], path
