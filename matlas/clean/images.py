"""From a folder of images to a clean dataset, which says what each holds, and the files that were refused."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from matlas.clean.labels import labels_of
from matlas.clean.rejects import as_rejects, within_share
from matlas.errors import DataError
from matlas.expressions import add_columns
from matlas.files import sha256_of
from matlas.images.describe import describe
from matlas.images.duplicates import details, pixel_digest, repeats
from matlas.images.files import image_files
from matlas.images.read import ImageError, read_image
from matlas.threads import map_in_order
from schemas.config.datasets import ImageDataset
from schemas.tables.dataset import dataset_schema

log = logging.getLogger(__name__)


def clean_images(
    folder: str | Path, dataset: ImageDataset, name: str = "dataset", *, threads: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Describe the images below `folder`; every one is either in the clean table or among the rejects.

    dataset : which files, of what size, and where their labels stand; threads : that decode, by default the current
    BLAS limit. A few images and 4 KB of each are in memory at any time.
    Returns (clean, rejects): clean as `dataset_schema` has it, in the order of the sorted paths; rejects with row (the
    position in that order, from 1), reason, column, value (the path), raw. An image without any contrast is kept.
    Raises DataError when the folder has no image, for labels that can't be (see `labels_of`), and when more than
    `max_reject_share` of the images or all of them are refused.
    """
    folder = Path(folder)
    files = image_files(folder, dataset.images)
    labels = labels_of(files, dataset.labels, name) if dataset.labels else None
    problems = []

    def look(file: str) -> _Image | str:
        return _look(folder / file, dataset)

    kept: list[int] = []
    images: list[_Image] = []
    for i, seen in enumerate(map_in_order(look, files, what=f"{name}: images read", threads=threads)):
        if isinstance(seen, str):
            problems.append(_problem(folder, files, i, seen))
        else:
            kept.append(i)
            images.append(seen)
    rejects = as_rejects(problems)
    within_share(rejects, len(files), dataset.max_reject_share, name, unit="image")
    if not kept:
        raise DataError("no image is left", where=name, found=f"{len(files)} images, all refused")

    clean = pd.DataFrame({dataset.key: [files[i] for i in kept]})
    clean = clean.join(pd.DataFrame([image.row for image in images]))
    earliest, exact = repeats([image.digest for image in images], np.stack([image.details for image in images]))
    similar_to = [files[kept[i]] if i >= 0 else None for i in earliest]
    clean["similar_to"] = pd.Series(similar_to, dtype=object)
    clean["duplicate"] = exact
    clean["near_duplicate"] = (earliest >= 0) & ~exact
    clean = add_columns(clean, dataset.derived, dataset.flags)
    if labels is not None:  # after the columns computed by SQL, which may become features
        clean["label"] = pd.Series([labels[i] for i in kept], dtype=object)
    log.info(
        "%s: %d images read, %d kept, %d refused; %d repeat an earlier one exactly, %d nearly", name, len(files),
        len(kept), len(files) - len(kept), int(exact.sum()), int(clean["near_duplicate"].sum()),
    )  # fmt: skip
    return clean[dataset_schema(name, dataset).columns], rejects


@dataclass(frozen=True)
class _Image:
    """What is kept of an image once its pixels are gone."""

    row: dict
    digest: bytes
    details: np.ndarray


def _look(path: Path, dataset: ImageDataset) -> _Image | str:
    """What one image holds, or why it is refused."""
    try:
        picture = read_image(path, dataset.white_level)
    except ImageError as error:
        return error.reason
    height, width = picture.grey.shape
    if dataset.size and (width, height) != tuple(dataset.size):
        return f"size {width} x {height}, expected {dataset.size[0]} x {dataset.size[1]}"
    row = {
        "width": width, "height": height, "bits": picture.bits, "channels": picture.channels,
        "conversion": picture.conversion, **describe(picture.grey), "sha256": sha256_of(path),
    }  # fmt: skip
    return _Image(row, pixel_digest(picture.grey), details(picture.grey))


def _problem(folder: Path, files: list[str], i: int, reason: str) -> pd.DataFrame:
    about = {"file": files[i], "bytes": (folder / files[i]).stat().st_size}
    return pd.DataFrame({
        "row": [i + 1], "reason": [reason], "column": ["file"], "value": [files[i]],
        "raw": [json.dumps(about, ensure_ascii=False)],
    })  # fmt: skip
