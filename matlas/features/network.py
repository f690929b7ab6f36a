"""Features of images by a frozen network: the pooled output of each of its stages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from matlas.features.images import ImageFeatures, copies_of, image_features, load_copy
from matlas.images.alterations import alteration_plan
from matlas.networks.embed import embed, feature_fields
from matlas.networks.resnet18 import ResNet18


def network_features(
    folder: Path,
    images: pd.Series,
    white_level: float | None,
    network: ResNet18,
    weights: Mapping[str, str],
    *,
    device: torch.device,
    batch_size: int,
    seed: int = 0,
) -> tuple[list[ImageFeatures], float]:
    """One `ImageFeatures` a stage, first stage first, and the images embedded in a second.

    folder : where images (n,), paths named by their key, lie; weights : name, title and licence of the source of the
    weights, which every column and every footer repeats; seed : of the altered copies.
    """
    plan = alteration_plan(images.tolist(), seed=seed)
    items = [(image, "") for image in images] + copies_of(plan)
    load = partial(load_copy, folder=folder, white_level=white_level, seed=seed)
    made = embed(network, items, load, device=device, batch_size=batch_size)
    about = {"weights": weights["name"], "weights_licence": weights["licence"], "device": made.device}
    stages = [
        image_features(
            feature_fields(stage, weights["title"], weights["licence"]), images, plan, values[: len(images)],
            values[len(images) :], about,
        )
        for stage, values in enumerate(made.stages, 1)
    ]  # fmt: skip
    return stages, round(made.images_per_s, 1)
