"""The classes that a source gives to its images: by folder, by name, or in a table."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import pandas as pd

from matlas.clean.raw import read_raw
from matlas.errors import DataError
from schemas.config.datasets import FolderLabels, NameLabels, TableLabels

log = logging.getLogger(__name__)
SHOWN = 5


def labels_of(images: Sequence[str], labels: FolderLabels | NameLabels | TableLabels, name: str) -> list[str | None]:
    """The label of each image, None where it has none, and how many those are in the log. An image without a label is
    an image like any other: whether it is clustered can't hang on its label.

    images : POSIX paths below the folder of dataset `name`. The label by folder is the name of the folder that an
    image lies in, none directly in the dataset's own.
    Raises DataError when a pattern matches no image at all, and for a table that can't be read, lacks a column, names
    an image that is not there or could be several, or names one twice.
    """
    if isinstance(labels, FolderLabels):
        found = [PurePosixPath(image).parent.name or None for image in images]
        if not any(found):
            raise DataError(
                "no image lies in a folder that could be its label", where=f"dataset {name}", found=_some(images),
                do="put the images of each class into a folder, or use labels by name or by table",
            )  # fmt: skip
        return found
    if isinstance(labels, TableLabels):
        return _by_table(images, labels, name)
    matches = [re.search(labels.pattern, image) for image in images]
    found = [match["label"] or None if match else None for match in matches]
    unmatched = [image for image, label in zip(images, found, strict=True) if label is None]
    if len(unmatched) == len(images):
        raise DataError(
            "the pattern of labels matches no image", where=f"dataset {name}",
            expected=f"paths like {labels.pattern!r}", found=_some(images),
            do="mend labels.pattern; it is searched in the path below the folder",
        )  # fmt: skip
    if unmatched:
        log.warning("%s: the pattern of labels does not match %d images, %s", name, len(unmatched), _some(unmatched))
    return found


def _by_table(images: Sequence[str], labels: TableLabels, name: str) -> list[str | None]:
    where = f"{labels.path}, labels of dataset {name}"
    table = read_raw(labels.path)
    for column in (labels.file, labels.label):
        if list(table.columns).count(column) != 1:
            raise DataError(
                f"one column {column!r} is needed", where=where, found=f"columns {list(table.columns)}",
                do="name the columns in labels.file and labels.label",
            )  # fmt: skip
    rows = table.dropna(subset=[labels.file])
    named = [str(PurePosixPath(str(cell).strip())) for cell in rows[labels.file]]

    places: dict[str, list[int]] = {image: [i] for i, image in enumerate(images)}
    at_the_top = set(places)  # an image there goes by its name alone, and others of that name don't
    for i, image in enumerate(images):
        if (bare := PurePosixPath(image).name) not in at_the_top:
            places.setdefault(bare, []).append(i)
    _refuse("images that are not in the folder", [n for n in named if n not in places], where, _some(images))
    _refuse("names of several images", [n for n in named if len(places[n]) > 1], where, "", "give their paths")
    at = pd.Series([places[n][0] for n in named], dtype="int64")
    _refuse("images named twice", [images[i] for i in at[at.duplicated()].unique()], where)

    found: list[str | None] = [None] * len(images)
    for i, cell in zip(at, rows[labels.label], strict=True):
        found[i] = None if pd.isna(cell) or not str(cell).strip() else str(cell).strip()
    if missing := found.count(None):
        log.warning("%s: %d of %d images have no label in %s", name, missing, len(images), labels.path)
    return found


def _refuse(what: str, names: list[str], where: str, expected: str = "", do: str = "mend the table") -> None:
    if names:
        raise DataError(
            f"the table of labels holds {what}", where=where,
            expected=f"names such as {expected}" if expected else None, found=f"{len(names)}: {_some(names)}", do=do,
        )  # fmt: skip


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
