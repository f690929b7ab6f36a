"""Grey images to pooled activations of a frozen network; loading keeps ahead of the device."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from matlas.device import device_title
from matlas.errors import ConfigError, DataError
from matlas.networks.resnet18 import STAGE_WIDTHS, ResNet18
from matlas.threads import Progress, in_order
from schemas.table import Field

INPUT_SIZE = 224  # pixels a side, of training: He et al. 2016, doi:10.1109/CVPR.2016.90
# mean and standard deviation of the red, green and blue of ImageNet's training images, as torchvision's weights expect
# them: https://docs.pytorch.org/vision/stable/models.html
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_BATCHES_AHEAD = 2


@dataclass(frozen=True)
class Embedding:
    """Pooled activations of n images: stages[s - 1] is (n, width) float64 after stage s; and what it took."""

    stages: list[np.ndarray]
    images_per_s: float  # from the first load to the last number
    device: str


def embed(
    network: ResNet18,
    items: Sequence[Any],
    load: Callable[[Any], np.ndarray],
    *,
    device: torch.device,
    batch_size: int = 32,
    depth: int = 4,
    threads: int | None = None,
) -> Embedding:
    """Pooled activations of stages 1…depth for each item, in the order of the items.

    network : is moved to the device and put in eval mode. load : one item to a grey image, as `prepare` takes it;
    called from several threads at once. batch_size : images a forward pass. threads : that load, resize, and keep up
    to two batches ready; as many as PyTorch computes with unless given. Values don't depend on `threads`, and on
    `batch_size` only by rounding (about 1e-6 of their size).
    Raises ConfigError for settings out of range; DataError for no items and for images that are not as `prepare`
    wants them, naming the item; what `load` raises comes through as it is.
    """
    threads = torch.get_num_threads() if threads is None else threads
    for name, value in (("batch_size", batch_size), ("threads", threads)):
        if value < 1:
            raise ConfigError(f"{name} is too small", expected="at least 1", found=value)
    if not len(items):
        raise DataError("no images to embed")
    network = network.to(device).eval()
    if device.type == "cpu":  # 1.3 times as fast as channels first, on 2 cores
        network = network.to(memory_format=torch.channels_last)

    def resized(item: Any) -> torch.Tensor:
        return _resized(load(item), where=item)

    pooled: list[list[np.ndarray]] = []
    progress, done = Progress("images embedded", len(items), verb=""), 0
    with (
        torch.inference_mode(),
        # TF32 keeps 10 bits of each factor: values would differ between devices in the third digit
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        closing(in_order(resized, items, threads=threads, ahead=batch_size * _BATCHES_AHEAD)) as images,
    ):
        while batch := list(itertools.islice(images, batch_size)):
            grey = torch.stack(batch)
            stages = network.pooled_stages(_normalised(grey.to(device)), depth)
            pooled.append([stage.double().cpu().numpy() for stage in stages])
            done += len(batch)
            progress.reached(done)
    title = device_title(device)
    took = progress.finished(f" on {title}")
    return Embedding([np.concatenate(stage) for stage in zip(*pooled, strict=True)], done / took, title)


def prepare(grey: np.ndarray) -> torch.Tensor:
    """What the network sees of a grey image: (3, 224, 224) float32, resized, in three equal channels, normalised.

    grey : (height, width) float32 in 0…1, of any size. Raises DataError for anything else.
    """
    return _normalised(_resized(grey))


def feature_fields(stage: int, weights_title: str, licence: str) -> list[Field]:
    """The columns stage{stage}_0 … of a stage's pooled activations, citing the weights and their licence."""
    if stage not in range(1, len(STAGE_WIDTHS) + 1):
        raise ConfigError("ResNet18 has no such stage", expected="1, 2, 3 or 4", found=stage)
    return [
        Field(
            f"stage{stage}_{channel}", "float64", "1",
            f"Mean activation of channel {channel} after stage {stage} of ResNet18",
            f"He et al. 2016, doi:10.1109/CVPR.2016.90; weights: {weights_title} ({licence})",
            minimum=0.0,  # each stage ends in a ReLU
        )
        for channel in range(STAGE_WIDTHS[stage - 1])
    ]  # fmt: skip


def _resized(grey: np.ndarray, where: object = None) -> torch.Tensor:
    """A grey image as (1, 224, 224) float32; antialiasing matters where it shrinks."""
    if not isinstance(grey, np.ndarray) or grey.ndim != 2 or not grey.size or grey.dtype != np.float32:
        found = f"{grey.shape} {grey.dtype}" if isinstance(grey, np.ndarray) else type(grey).__name__
        raise DataError("not a grey image", where=where, expected="(height, width) float32", found=found)
    low, high = float(grey.min()), float(grey.max())
    if not (low >= 0 and high <= 1):
        raise DataError("grey values out of range", where=where, expected="0…1", found=f"{low:.6g}…{high:.6g}")
    pixels = torch.from_numpy(np.ascontiguousarray(grey))[None, None]
    return functional.interpolate(pixels, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)[0]


def _normalised(grey: torch.Tensor) -> torch.Tensor:
    """(…, 1, height, width) grey to (…, 3, height, width), normalised as ImageNet's colours."""
    mean, std = (torch.tensor(values, device=grey.device).reshape(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (grey - mean) / std
