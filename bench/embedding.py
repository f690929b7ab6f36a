"""Images to ResNet18 activations: the pipeline from JPEG files beside the bare forward pass, in one process.

Ours reads, decodes, resizes and normalises while the network computes; the peer gets the same batches ready in memory.
So the ratio is the share of the network's own throughput that the pipeline keeps. Both use one network with random
weights (which don't matter to time) in the memory layout that `embed` gives it, and the device that "auto" chooses.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.measure import compare
from matlas.device import choose_device, device_title
from matlas.images.read import read_image
from matlas.networks.embed import embed, prepare
from matlas.networks.resnet18 import ResNet18
from matlas.simulate.micrographs import JPEG_QUALITY, SIZE, micrographs

IMAGES, BATCH = 192, 32


def run(repeats: int = 5) -> list[dict]:
    """Rows of the comparison, as `bench.measure.compare` gives it."""
    device = choose_device("auto")
    torch.manual_seed(0)
    network = ResNet18()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.jpg" for i in range(IMAGES)]
        for path, pixels in zip(paths, micrographs(IMAGES).images, strict=True):
            Image.fromarray(pixels).save(path, quality=JPEG_QUALITY)
        ready = torch.stack([prepare(_load(path)) for path in paths]).split(BATCH)

        def from_files():
            return embed(network, paths, _load, device=device, batch_size=BATCH).stages

        @torch.inference_mode()
        def forward_only():
            batches = [network.pooled_stages(batch.to(device)) for batch in ready]
            return [torch.cat(stage).double().cpu().numpy() for stage in zip(*batches, strict=True)]

        title = (
            f"ResNet18 on {IMAGES} JPEG files of {SIZE} x {SIZE}, {device_title(device)}: beside the bare forward pass"
        )
        return compare("embedding", title, from_files, forward_only, _agree, repeats=repeats)


def _load(path: Path) -> np.ndarray:
    return read_image(path).grey


def _agree(ours: list[np.ndarray], peer: list[np.ndarray]) -> None:
    for found, expected in zip(ours, peer, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
