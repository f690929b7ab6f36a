"""Features of images and of altered copies of some of them, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from matlas.images.alterations import alteration_plan, altered, rng_of
from matlas.images.pixels import feature_fields, fit_pixels, stack_pixels
from matlas.images.read import Picture, read_image, read_images
from schemas.table import Field


@dataclass(frozen=True)
class ImageFeatures:
    """One view of n images.

    features : the key and the columns of `fields`, a row an image; altered : the key, alteration and the same columns,
    a row an altered copy (matlas.images.alterations); about : what the table's footer says of how they were made.
    """

    fields: list[Field]
    features: pd.DataFrame
    altered: pd.DataFrame
    about: dict[str, str] = field(default_factory=dict)


def pixel_features(folder: Path, images: pd.Series, white_level: float | None, spec: Mapping) -> ImageFeatures:
    """Principal components of the pixels of all images, and of altered copies in the same components.

    folder : where images (n,), paths named by their key, lie; spec : a schemas.config.views.PixelsView as plain values.
    Raises DataError for images of different sizes where the view sets none, and for more components than images.
    """
    stack = stack_pixels(read_images(folder, images, white_level=white_level), len(images), size=spec["size"])
    space = fit_pixels(stack, n_components=spec["n_components"], random_state=spec["random_state"])
    plan = alteration_plan(images.tolist(), seed=spec["random_state"])
    copies = stack_pixels(_altered(folder, plan, white_level, spec["random_state"]), len(plan), size=spec["size"])
    kept = f"; all {spec['n_components']} keep {space.explained_variance_ratio.sum():.1%} of the variance of the pixels"
    fields = [replace(f, description=f.description + kept) for f in feature_fields(spec["n_components"])]
    return image_features(fields, images, plan, space.transform(stack), space.transform(copies), {})


def image_features(
    fields: list[Field],
    images: pd.Series,
    plan: pd.DataFrame,
    features: np.ndarray,
    of_copies: np.ndarray,
    about: dict[str, str],
) -> ImageFeatures:
    """Arrays (n, d) and (copies, d) as tables; plan : as `alteration_plan` returns it."""
    names = [f.name for f in fields]
    keyed = [images.reset_index(drop=True), plan.rename(columns={"image_id": images.name})]
    tables = [
        pd.concat([key, pd.DataFrame(np.asarray(values, dtype=np.float64), columns=names)], axis=1)
        for key, values in zip(keyed, (features, of_copies), strict=True)
    ]
    return ImageFeatures(fields, *tables, about)


def copies_of(plan: pd.DataFrame) -> list[tuple[str, str]]:
    """(image, alteration) of each row of a plan, as `load_copy` takes it."""
    return list(zip(plan["image_id"], plan["alteration"], strict=True))


def load_copy(copy: tuple[str, str], *, folder: Path, white_level: float | None, seed: int) -> np.ndarray:
    """One image (height, width), altered unless its alteration is empty; grey values of 0 to 1."""
    image, alteration = copy
    grey = read_image(folder / image, white_level).grey
    return altered(grey, alteration, rng_of(seed, image, alteration)) if alteration else grey


def _altered(folder: Path, plan: pd.DataFrame, white_level: float | None, seed: int) -> Iterator[Picture]:
    for copy in copies_of(plan):
        grey = load_copy(copy, folder=folder, white_level=white_level, seed=seed)
        yield Picture(grey, bits=32, channels=1, conversion=copy[1])
