"""Random quantised weights: the layout of the real file, and a network that neither explodes nor dies."""

import os
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from matlas.simulate.generators import generate
from matlas.simulate.micrographs import micrographs
from matlas.simulate.network_weights import write_quantised_resnet18


def load(path) -> dict:
    return torch.load(path, weights_only=True, map_location="cpu")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    write_quantised_resnet18(path, seed=7)
    return path


@pytest.fixture(scope="module")
def decoded(written):
    return decode(load(written))


def decode(entries: dict) -> dict[str, torch.Tensor]:
    """Weights by torchvision's names, by the recipe published with the format."""
    weights = {}
    for name, entry in entries.items():
        if "centroids" in entry:
            blocks = entry["centroids"].float()[entry["assignments"].long()]
            weight = torch.cat(blocks.T.chunk(entry["n_blocks"], 1), 0).T
            if entry["is_conv"]:
                weight = weight.reshape(len(weight), -1, entry["k"], entry["k"])
            weights[f"{name}.weight"] = weight
        elif name == "fc_bias":
            weights["fc.bias"] = entry["bias"].detach()
        else:
            weights |= {f"{name}.{key}": value.float() for key, value in entry.items()}
    return weights


def forward(weights: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
    """Outputs of the stem, of the eight blocks and of the classifier (batch norms: mean 0, variance 1)."""

    def convolve(x, name, norm, stride=1, padding=1):
        y = functional.conv2d(x, weights[f"{name}.weight"], stride=stride, padding=padding)
        nothing, one = torch.zeros(y.shape[1]), torch.ones(y.shape[1])
        return functional.batch_norm(y, nothing, one, weights[f"{norm}.weight"], weights[f"{norm}.bias"])

    outputs = [functional.relu(convolve(x, "conv1", "bn1", stride=2, padding=3))]
    x = functional.max_pool2d(outputs[0], 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = functional.relu(convolve(x, f"{at}.conv1", f"{at}.bn1", stride))
            y = convolve(y, f"{at}.conv2", f"{at}.bn2")
            if f"{at}.downsample.0.weight" in weights:
                x = convolve(x, f"{at}.downsample.0", f"{at}.downsample.1", stride, padding=0)
            x = functional.relu(x + y)
            outputs.append(x)
    return [*outputs, functional.linear(x.mean((2, 3)), weights["fc.weight"], weights["fc.bias"])]


def layout(entries: dict) -> list:
    """Everything about a file but its weights: names in order, types, dtypes, shapes, and plain values."""

    def of(value):
        if isinstance(value, torch.Tensor):
            return type(value), value.dtype, tuple(value.shape), value.requires_grad
        return type(value), value

    return [(name, type(entry), [(key, of(value)) for key, value in entry.items()]) for name, entry in entries.items()]


@pytest.mark.skipif(not os.environ.get("MATLAS_MIRROR"), reason="needs the mirror of real sources (MATLAS_MIRROR)")
def test_the_layout_is_that_of_the_real_file(written):
    real = Path(os.environ["MATLAS_MIRROR"]) / "imagenet-resnet18" / "resnet18_small_blocks.pth"
    assert layout(load(written)) == layout(load(real))


def test_the_decoded_network_has_the_parameters_of_resnet18(decoded):
    """11,689,512 is the number that torchvision publishes for ResNet18."""
    assert sum(weight.numel() for weight in decoded.values()) == 11_689_512
    assert decoded["layer3.0.downsample.0.weight"].shape == (256, 128, 1, 1)
    assert decoded["layer4.1.conv2.weight"].shape == (512, 512, 3, 3)
    assert decoded["fc.weight"].shape == (1000, 512)


def test_every_centroid_is_used_and_none_that_is_not_there(written):
    for name, entry in load(written).items():
        if "centroids" in entry:
            used = entry["assignments"].long().unique()
            assert used.tolist() == list(range(len(entry["centroids"]))), name


def test_weights_have_the_variance_of_he_for_their_fan_in(decoded):
    """2 / fan-in before a ReLU, half of that in the two branches that a block adds before its ReLU."""
    for name, gain in {"conv1": 2, "layer2.0.conv1": 2, "layer2.0.conv2": 1, "layer3.0.downsample.0": 1}.items():
        weight = decoded[f"{name}.weight"]
        assert weight.var().item() == pytest.approx(gain / weight[0].numel(), rel=0.2), name


def test_batch_norms_change_nothing(decoded):
    norms = {name: weight for name, weight in decoded.items() if "bn" in name or "downsample.1" in name}
    assert len(norms) == 40
    assert all((weight == (1.0 if name.endswith("weight") else 0.0)).all() for name, weight in norms.items())


@pytest.mark.parametrize("seed", [0, 7])
def test_activations_neither_explode_nor_vanish(seed, tmp_path):
    write_quantised_resnet18(tmp_path / "weights.pth", seed=seed)
    images = torch.from_numpy(micrographs(12, seed=1).images)[:, None].expand(-1, 3, -1, -1)
    x = (images / 255 - 0.45) / 0.225  # about ImageNet's mean and standard deviation
    *activations, logits = forward(decode(load(tmp_path / "weights.pth")), x)
    sizes = [a.std().item() for a in activations]
    assert all(0.1 < size < 5 for size in sizes), sizes
    assert all(0.2 < (a > 0).float().mean() < 0.9 for a in activations)
    assert 0.1 < logits.std() < 10
    features = activations[-1].mean((2, 3))
    assert (features.std(dim=0) > 0.01).float().mean() > 0.9  # almost no channel is the same for every image


def test_the_first_filters_do_not_answer_to_a_uniform_grey(decoded):
    grey = torch.full((1, 3, 64, 64), 0.8)
    answer = functional.conv2d(grey, decoded["conv1.weight"])
    assert answer.abs().max() < 0.01


def test_equal_seeds_give_equal_bytes_whatever_the_file_is_called(written, tmp_path):
    generate(generator="quantised_resnet18", path=str(tmp_path / "other_name.pth"), seed=7)
    assert (tmp_path / "other_name.pth").read_bytes() == written.read_bytes()
    write_quantised_resnet18(tmp_path / "other_seed.pth", seed=8)
    first, second = load(written), load(tmp_path / "other_seed.pth")
    assert not torch.equal(first["fc"]["centroids"], second["fc"]["centroids"])
    assert not torch.equal(first["fc"]["assignments"], second["fc"]["assignments"])
