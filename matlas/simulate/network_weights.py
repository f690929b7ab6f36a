"""Random ResNet18 weights in the file format of a product-quantised network.

The format is that of "And the bit goes down" (Stock et al. 2020, arXiv:1907.05686): each quantised layer holds K
centroids and the index of a centroid for every block of its weight matrix. The weights are random, He-normal (He et al.
2015): the network has learned nothing, but its pooled random filters still tell textures apart. Its batch norms do
nothing, so the weights alone keep activations near one size through the 18 layers.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import torch

from matlas.files import atomic_path

STEM_CHANNELS = 64
STAGE_CHANNELS = (64, 128, 256, 512)
BLOCKS_IN_STAGE = 2
CATEGORIES = 1000
CONV_CENTROIDS, FC_CENTROIDS = 256, 2048  # 256 fit in uint8
BLOCK_OF_3X3, BLOCK_OF_1X1 = 9, 4  # weights in a block: one 3x3 filter, four input channels


def write_quantised_resnet18(path: str | Path, *, seed: int) -> None:
    """Write a quantised ResNet18 with random weights, to be read by torch.load(weights_only=True).

    The dict of dicts has, for each quantised layer (torchvision's names): `centroids` float16 [K, block],
    `assignments` [N] (uint8; int16 for fc), `n_blocks`, `is_conv` and `k`. conv1 and the batch norms are float16
    `weight`/`bias`, the bias of fc is float32 under `fc_bias`. Equal seeds give equal bytes.
    """
    buffer = io.BytesIO()  # torch.save puts a file's own name into it, and ours is temporary
    torch.save(_weights(torch.Generator().manual_seed(seed)), buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def _weights(rng: torch.Generator) -> dict[str, dict]:
    weights: dict[str, dict] = {}
    for name, c_in, c_out, k in _convolutions():
        block = BLOCK_OF_3X3 if k == 3 else BLOCK_OF_1X1
        # He's 2 is for a layer that a ReLU follows; these two are summed first, and 1 each makes 2
        gain = 2 if name.endswith("conv1") else 1
        weights[name] = _quantised(c_in * k * k, c_out, CONV_CENTROIDS, block, gain, rng) | {"is_conv": True, "k": k}
    fc = _quantised(STAGE_CHANNELS[-1], CATEGORIES, FC_CENTROIDS, BLOCK_OF_1X1, 1, rng)
    weights["fc"] = fc | {"is_conv": False, "k": 1}
    stem = _normal((STEM_CHANNELS, 3, 7, 7), 2 / (3 * 7 * 7), rng)
    stem -= stem.mean((1, 2, 3), keepdim=True)  # filters blind to a uniform grey, as trained ones nearly are
    weights["conv1"] = OrderedDict(weight=stem.half())
    weights["bn1"] = _batch_norm(STEM_CHANNELS)
    for name, _, c_out, _ in _convolutions():
        weights[name.replace("downsample.0", "downsample.1").replace("conv", "bn")] = _batch_norm(c_out)
    weights["fc_bias"] = {"bias": torch.nn.Parameter(torch.zeros(CATEGORIES))}
    return weights


def _convolutions() -> Iterator[tuple[str, int, int, int]]:
    """(name, input channels, output channels, kernel size) of each convolution after the first."""
    c_in = STEM_CHANNELS
    for stage, c_out in enumerate(STAGE_CHANNELS, 1):
        for block in range(BLOCKS_IN_STAGE):
            yield f"layer{stage}.{block}.conv1", c_in, c_out, 3
            yield f"layer{stage}.{block}.conv2", c_out, c_out, 3
            if c_in != c_out:
                yield f"layer{stage}.{block}.downsample.0", c_in, c_out, 1
            c_in = c_out


def _quantised(fan_in: int, fan_out: int, n_centroids: int, block: int, gain: float, rng: torch.Generator) -> dict:
    """Centroids and assignments of a (fan_in, fan_out) weight matrix cut into blocks of `block` rows."""
    n_blocks = fan_in // block
    centroids = _normal((n_centroids, block), gain / fan_in, rng)
    centroids -= centroids.mean(0)  # a common mean would add up over the many blocks that share the centroids
    assignments = torch.randint(n_centroids, (n_blocks * fan_out,), generator=rng)
    return {
        "centroids": centroids.half(),
        "assignments": assignments.to(torch.uint8 if n_centroids <= 256 else torch.int16),
        "n_blocks": n_blocks,
    }


def _normal(shape: tuple[int, ...], variance: float, rng: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=rng) * variance**0.5


def _batch_norm(channels: int) -> dict[str, torch.Tensor]:
    return {"weight": torch.ones(channels).half(), "bias": torch.zeros(channels).half()}
