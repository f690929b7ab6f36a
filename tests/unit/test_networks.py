"""ResNet18 is the published network; weight files load strictly, in the format they are declared in, or not at all."""

import copy
import math
import os
import pickle
from collections import OrderedDict

import matplotlib.cbook
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from matlas.errors import ConfigError, DataError
from matlas.networks.embed import prepare
from matlas.networks.quantised import decode
from matlas.networks.resnet18 import ResNet18
from matlas.networks.weights import load_network

needs_mirror = pytest.mark.skipif(
    not os.environ.get("MATLAS_MIRROR"), reason="needs the mirror of real sources (MATLAS_MIRROR)"
)


@pytest.fixture(scope="module")
def network() -> ResNet18:
    """Random weights, and batch statistics far from 0 and 1, so that an unused one shows."""
    torch.manual_seed(0)
    network = ResNet18()
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.2)
        if name.endswith(("running_var", "bn1.weight", "bn2.weight", "downsample.1.weight")):
            value.uniform_(0.5, 1.5)
        if name.endswith(("bn1.bias", "bn2.bias", "downsample.1.bias")):
            value.normal_(0, 0.3)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def quantised_state() -> dict[str, dict]:
    """A random state in the product-quantised format: 3 x 3 kernels as blocks of 9, the others in blocks of 4."""
    rng, state = np.random.default_rng(0), {}
    for name, value in ResNet18().state_dict().items():
        layer, _, part = name.rpartition(".")
        if layer == "conv1":
            state[layer] = {"weight": torch.from_numpy(rng.normal(size=value.shape)).half()}
        elif value.ndim == 1 and part in ("weight", "bias") and layer != "fc":
            state.setdefault(layer, {})[part] = torch.from_numpy(rng.normal(size=value.shape)).half()
        elif value.ndim > 1:
            kernel = value.shape[2] if value.ndim == 4 else 1
            block = 9 if kernel == 3 else 4
            blocks = value[0].numel() // block
            state[layer] = {
                "centroids": torch.from_numpy(rng.normal(size=(16, block))).half(),
                "assignments": torch.from_numpy(rng.integers(16, size=blocks * len(value))).to(torch.uint8),
                "n_blocks": blocks, "is_conv": value.ndim == 4, "k": kernel,
            }  # fmt: skip
    return state | {"fc_bias": {"bias": torch.from_numpy(rng.normal(size=1000)).float()}}


def decoded_by_loop(entry: dict, outputs: int) -> np.ndarray:
    """(outputs, inputs) weights, block by block: assignments run over the outputs of block 0, then of block 1, …"""
    centroids, assignments = entry["centroids"].double().numpy(), entry["assignments"].tolist()
    block = centroids.shape[1]
    matrix = np.full((outputs, entry["n_blocks"] * block), np.nan)
    position = 0
    for b in range(entry["n_blocks"]):
        for output in range(outputs):
            matrix[output, b * block : (b + 1) * block] = centroids[assignments[position]]
            position += 1
    assert position == len(assignments)
    return matrix


def forward_by_functions(state: dict, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Pooled stages and logits from a state dict alone, layer by layer."""

    def norm(x, name):
        mean, var = (state[f"{name}.running_{what}"][:, None, None] for what in ("mean", "var"))
        scale, shift = state[f"{name}.weight"][:, None, None], state[f"{name}.bias"][:, None, None]
        return (x - mean) / torch.sqrt(var + 1e-5) * scale + shift

    x = norm(functional.conv2d(x, state["conv1.weight"], stride=2, padding=3), "bn1")
    x = functional.max_pool2d(x.clamp(min=0), 3, stride=2, padding=1)
    pooled = []
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            out = functional.conv2d(x, state[f"{at}.conv1.weight"], stride=stride, padding=1)
            out = functional.conv2d(norm(out, f"{at}.bn1").clamp(min=0), state[f"{at}.conv2.weight"], padding=1)
            if stride == 2:
                x = functional.conv2d(x, state[f"{at}.downsample.0.weight"], stride=2)
                x = norm(x, f"{at}.downsample.1")
            x = (norm(out, f"{at}.bn2") + x).clamp(min=0)
        pooled.append(x.sum(dim=(2, 3)) / (x.shape[2] * x.shape[3]))
    return pooled, pooled[-1] @ state["fc.weight"].T + state["fc.bias"]


# --- ResNet18


def test_resnet18_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in ResNet18().parameters()) == 11_689_512


def test_names_are_those_of_torchvision():
    names = set(ResNet18().state_dict())
    assert len(names) == 122  # as torchvision's resnet18().state_dict()
    expected = (
        "conv1.weight bn1.running_var layer1.0.conv1.weight layer2.0.downsample.0.weight layer4.1.bn2.bias fc.bias"
    )
    assert names.issuperset([*expected.split(), "layer4.0.downsample.1.num_batches_tracked"])
    assert not any("layer1.0.downsample" in name for name in names)


def test_forward_equals_an_implementation_from_the_raw_state_dict(network):
    x = torch.randn(2, 3, 72, 72, generator=torch.Generator().manual_seed(1))
    pooled, logits = forward_by_functions({k: v.double() for k, v in network.state_dict().items()}, x.double())
    stages = network.pooled_stages(x)
    assert [s.shape for s in stages] == [(2, 64), (2, 128), (2, 256), (2, 512)]
    for found, expected in zip([*stages, network(x)], [*pooled, logits], strict=True):
        assert expected.std() > 0.01  # there is something to compare
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


def test_a_smaller_depth_gives_the_first_stages_and_computes_no_further(network):
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    shallow = copy.deepcopy(network)
    shallow.layer3 = shallow.layer4 = shallow.fc = None  # would fail if called
    for found, expected in zip(shallow.pooled_stages(x, depth=2), network.pooled_stages(x), strict=False):
        assert torch.equal(found, expected)
    assert len(shallow.pooled_stages(x, depth=2)) == 2


@pytest.mark.parametrize("depth", [0, 5])
def test_a_depth_without_a_stage_is_refused(network, depth):
    with pytest.raises(ConfigError, match=f"expected 1, 2, 3 or 4, found {depth}"):
        network.pooled_stages(torch.zeros(1, 3, 32, 32), depth=depth)


def test_pooling_is_the_mean_over_pixels():
    """With every residual branch at zero, stage 1 passes on what max-pooling leaves: a mean that paper can give."""
    network = ResNet18().eval()
    for name, value in network.state_dict().items():
        if name.startswith("layer1") and name.endswith("conv2.weight"):
            value.zero_()
    network.conv1.weight.data.zero_()
    network.conv1.weight.data[0, 1, 3, 3] = 1  # channel 0 copies every second pixel of green
    x = torch.zeros(1, 3, 8, 8)
    x[0, 1] = torch.arange(64.0).reshape(8, 8)
    # rows and columns 0, 2, 4, 6 remain; of those, maxima over rows and columns (0, 2) and (2, 4, 6)
    maxima = [18.0, 22.0, 50.0, 54.0]
    pooled = network.pooled_stages(x, depth=1)[0][0]
    assert pooled[0].item() == pytest.approx(sum(maxima) / 4 / math.sqrt(1 + 1e-5), rel=1e-6)
    assert pooled[1:].abs().max() == 0


# --- product-quantised weights


def test_decoding_equals_a_slow_loop_over_blocks(quantised_state):
    decoded = decode(quantised_state)
    for name in ("layer1.0.conv1", "layer2.0.downsample.0", "layer3.1.conv2", "fc"):
        weight = decoded[f"{name}.weight"]
        expected = decoded_by_loop(quantised_state[name], len(weight))
        np.testing.assert_array_equal(weight.reshape(len(weight), -1).double().numpy(), expected)


def test_one_kernel_of_a_decoded_layer_by_hand(quantised_state):
    entry = quantised_state["layer2.0.conv1"]  # 128 outputs of 64 inputs
    kernel = entry["centroids"][int(entry["assignments"][5 * 128 + 77])].float()  # input 5 of output 77
    assert torch.equal(decode(quantised_state)["layer2.0.conv1.weight"][77, 5], kernel.reshape(3, 3))


def test_a_decoded_state_loads_strictly_with_neutral_batch_statistics(quantised_state):
    network = ResNet18()
    network.load_state_dict(decode(quantised_state), strict=True)
    assert torch.equal(network.layer3[1].bn2.running_mean, torch.zeros(256))
    assert torch.equal(network.layer3[1].bn2.running_var, torch.ones(256))
    assert torch.equal(network.fc.bias, quantised_state["fc_bias"]["bias"])
    assert torch.equal(network.bn1.bias, quantised_state["bn1"]["bias"].float())
    assert all(value.dtype == torch.float32 for value in network.parameters())


def _without(key):
    return lambda entry: entry.pop(key)


def _with(key, change):
    return lambda entry: entry.update({key: change(entry[key])})


@pytest.mark.parametrize(
    ("layer", "damage", "says"),
    [
        ("fc", _with("assignments", lambda a: torch.cat([a[:-1], torch.tensor([16])])), "expected 0…15, found 0…16"),
        ("fc", _with("assignments", lambda a: a.to(torch.int16) - 1), "expected 0…15, found -1…14"),
        ("fc", _with("assignments", lambda a: a[:-1]), r"assignments have the wrong shape \(fc\)"),
        ("fc", _with("assignments", lambda a: a.float()), "assignments are not whole numbers"),
        ("fc", _with("n_blocks", lambda n: n + 1), "expected a divisor of 512, found 129"),
        ("fc", _with("n_blocks", lambda n: n // 2), r"expected \(16, 8\), found \(16, 4\)"),
        ("fc", _with("is_conv", lambda is_conv: True), "layer is of another kind"),
        ("fc", _with("centroids", lambda c: c.to(torch.uint8)), "fc.centroids.*found torch.uint8"),
        ("fc", _with("centroids", lambda c: c.tolist()), "fc.centroids.*found list"),
        ("fc", _with("centroids", lambda c: c[:0]), r"found \(0, 4\)"),
        ("layer1.0.conv1", _with("k", lambda k: 1), "'k': 3.*'k': 1"),
        ("layer1.0.conv1", _without("assignments"), "wrong entries.*layer1.0.conv1"),
        ("conv1", _with("weight", lambda w: w[:, :1]), r"conv1.weight.*\(64, 3, 7, 7\), found \(64, 1, 7, 7\)"),
        ("bn1", _without("bias"), r"wrong entries.*bn1.*expected \['bias', 'weight'\], found \['weight'\]"),
        ("bn1", _with("bias", lambda b: b[:3]), r"bn1.bias.*expected \(64,\), found \(3,\)"),
        ("fc_bias", _with("bias", lambda b: b[:3]), r"fc_bias.*expected \(1000,\), found \(3,\)"),
    ],
)  # fmt: skip
def test_a_layer_that_breaks_the_format_is_named(quantised_state, layer, damage, says):
    state = quantised_state | {layer: dict(quantised_state[layer])}
    damage(state[layer])
    with pytest.raises(DataError, match=says):
        decode(state)


def test_missing_and_unknown_layers_are_named_together(quantised_state):
    state = {name: entry for name, entry in quantised_state.items() if name != "layer4.1.bn2"} | {"layer5": {}}
    with pytest.raises(DataError, match=r"missing \['layer4.1.bn2'\], unknown \['layer5'\]"):
        decode(state)


@pytest.fixture(scope="module")
def real_path(mirror):
    return mirror / "imagenet-resnet18" / "resnet18_small_blocks.pth"


@needs_mirror
def test_every_layer_of_the_real_file_equals_the_slow_loop(real_path):
    stored = torch.load(real_path, weights_only=True, map_location="cpu")
    decoded = decode(stored)
    quantised = [name for name, entry in stored.items() if "assignments" in entry]
    assert len(quantised) == 20  # all but the first convolution
    for name in quantised:
        weight = decoded[f"{name}.weight"]
        expected = decoded_by_loop(stored[name], len(weight))
        np.testing.assert_array_equal(weight.reshape(len(weight), -1).double().numpy(), expected, err_msg=name)
    for name in set(stored) - set(quantised) - {"fc_bias"}:
        for part, values in stored[name].items():
            assert torch.equal(decoded[f"{name}.{part}"], values.float()), name


@needs_mirror
def test_the_real_network_recognises_a_uniform_in_a_grey_photo(real_path):
    """Grace Hopper in naval uniform, matplotlib's sample photo: ImageNet's class 652 is "military uniform"."""
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg")) as photo:
        grey = np.asarray(photo.convert("L"), dtype=np.float32) / 255
    network = load_network(real_path, "product_quantised")
    assert network(prepare(grey)[None]).argmax().item() == 652


@needs_mirror
def test_the_real_file_is_not_taken_for_torchvisions(real_path):
    with pytest.raises(DataError, match="expected torchvision .*found product_quantised .*Declare its format"):
        load_network(real_path, "torchvision")


# --- files of weights


def test_a_saved_state_dict_loads_unchanged_frozen_and_gives_equal_outputs(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "w.pth")
    stream = torch.get_rng_state()
    loaded = load_network(tmp_path / "w.pth", "torchvision")
    assert torch.equal(torch.get_rng_state(), stream)  # loading draws no random numbers
    assert not any(module.training for module in loaded.modules())
    assert not any(p.requires_grad for p in loaded.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    assert torch.equal(loaded(x), network(x))


def test_an_old_torchvision_file_loads_without_batch_counters(network, tmp_path):
    """torchvision's ImageNet files hold Parameters, in PyTorch's format before 1.6, and 102 of 122 names."""
    state = OrderedDict(
        (name, torch.nn.Parameter(value) if name.endswith(("weight", "bias")) else value)
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    )
    assert len(state) == 102
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    loaded = load_network(tmp_path / "w.pth", "torchvision")
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    assert torch.equal(loaded(x), network(x))
    assert not any(p.requires_grad for p in loaded.parameters())


def test_a_quantised_file_loads_as_what_decode_gives(quantised_state, tmp_path):
    torch.save(quantised_state, tmp_path / "w.pth")
    loaded = load_network(tmp_path / "w.pth", "product_quantised").state_dict()
    decoded = decode(quantised_state)
    assert set(loaded) == set(decoded)
    assert all(torch.equal(loaded[name], decoded[name]) for name in decoded)


def test_each_format_is_refused_for_the_other(network, quantised_state, tmp_path):
    torch.save(network.state_dict(), tmp_path / "plain.pth")
    torch.save(quantised_state, tmp_path / "quantised.pth")
    with pytest.raises(DataError, match=r"plain.pth.*expected product_quantised .*Declare its format as torchvision"):
        load_network(tmp_path / "plain.pth", "product_quantised")
    with pytest.raises(DataError, match=r"quantised.pth.*expected torchvision .*format as product_quantised"):
        load_network(tmp_path / "quantised.pth", "torchvision")


@pytest.mark.parametrize("content", [{}, [1, 2], torch.zeros(3), {"state_dict": {}, "epoch": 3}])
def test_a_file_of_neither_format_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(DataError, match="found neither torchvision nor product_quantised weights"):
        load_network(tmp_path / "w.pth", "torchvision")


def test_an_unknown_format_is_named_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="expected 'torchvision' .nearest., found 'torchvison'"):
        load_network(tmp_path / "w.pth", "torchvison")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("fc.bias"), r"1 missing \['fc.bias'\], 0 unknown"),
        (lambda s: s.update({"layer5.weight": torch.zeros(1)}), r"0 missing \[\], 1 unknown \['layer5.weight'\]"),
        (lambda s: s.update({"fc.bias": torch.zeros(10)}), r"fc.bias do not fit .*\(1000,\) .* found \(10,\)"),
        (lambda s: s.update({"fc.bias": torch.zeros(1000).double()}), r"fc.bias do not fit .* found .*torch.float64"),
        (lambda s: s.update({"fc.bias": torch.full((1000,), torch.nan)}), "fc.bias are not all finite"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(network, change, says, tmp_path):
    state = dict(network.state_dict())
    change(state)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(DataError, match=says):
        load_network(tmp_path / "w.pth", "torchvision")


class _Code:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize(
    "save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
def test_a_file_with_code_is_refused_and_the_code_never_runs(save, tmp_path):
    save({"conv1.weight": _Code(str(tmp_path / "ran"))}, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"refers to code.*w.pth.*found posix.mkdir") as caught:
        load_network(tmp_path / "w.pth", "torchvision")
    assert "weights_only" not in str(caught.value)  # torch advises to switch the protection off
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_a_file_cut_short_anywhere_is_damaged(zipped, tmp_path):
    torch.save(
        {"a": torch.arange(50.0), "b": {"c": torch.arange(3)}},
        tmp_path / "whole.pth",
        _use_new_zipfile_serialization=zipped,
    )
    whole = (tmp_path / "whole.pth").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "w.pth").write_bytes(whole[:length])
        with pytest.raises(DataError, match="damaged"):
            load_network(tmp_path / "w.pth", "torchvision")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_a_file_with_wrong_bytes_anywhere_never_gets_through(zipped, tmp_path):
    """PyTorch raises ten kinds of error for these; what it takes all the same is no network."""
    content = {"a": torch.arange(10.0), "b": {"c": torch.arange(3).half()}}
    torch.save(content, tmp_path / "whole.pth", _use_new_zipfile_serialization=zipped)
    whole, rng = (tmp_path / "whole.pth").read_bytes(), np.random.default_rng(0)
    for _ in range(1000):
        wrong = bytearray(whole)
        for position in rng.integers(len(whole), size=3):
            wrong[position] = rng.integers(256)
        (tmp_path / "w.pth").write_bytes(wrong)
        with pytest.raises(DataError, match=r"w\.pth"):
            load_network(tmp_path / "w.pth", "torchvision")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_bytes_of_something_else_are_no_weights_file(tmp_path):
    rng = np.random.default_rng(0)
    others = [rng.bytes(n) for n in rng.integers(1, 300, size=300)]
    for content in [*others, b"<html>not found</html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"]:
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(DataError, match=r"w\.pth"):
            load_network(tmp_path / "w.pth", "torchvision")


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(DataError, match=r"weights file is missing .*none.pth.*Fetch its source first"):
        load_network(tmp_path / "none.pth", "torchvision")
