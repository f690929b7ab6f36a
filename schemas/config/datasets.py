"""config/datasets.yaml: what a clean table is read from, by kind of entity."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from schemas.config.base import Model, Name


class Column(Model):
    """A column of the dataset: where it comes from in the raw file, and what it means.

    `unit` and `description` may be left out when the data dictionary (schemas/fields.py) knows the name. `scale`
    and `offset` convert into `unit`: value = raw * scale + offset.
    """

    source: str
    unit: str | None = None
    description: str | None = None
    dtype: Literal["float64", "string"] | None = None
    scale: float = 1.0
    offset: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = False


class Derived(Model):
    """A column computed from the others by a DuckDB expression."""

    sql: str
    unit: str | None = None
    description: str | None = None


class Entities(Model):
    """What every dataset has, whatever its entities are."""

    title: str
    source: Name | None = None
    path: str | None = None
    file: str | None = None
    derived: dict[Name, str | Derived] = {}
    flags: dict[Name, str | Derived] = {}
    max_reject_share: float = Field(default=0.02, ge=0, le=1)
    licence: str = ""
    citation: str = ""

    @model_validator(mode="after")
    def _one_origin(self):
        if (self.source is None) == (self.path is None):
            raise ValueError("either `source` (an id of config/sources.yaml) or `path` (a file or folder of yours)")
        return self


class CompositionDataset(Entities):
    """One row a measurement of a composition."""

    kind: Literal["composition"]
    sheet: str | None = None
    key: Name = "row_id"
    formula: str
    columns: dict[Name, str | Column] = {}
    repeats: list[Name] = []

    @property
    def resampled_by(self) -> str:
        """Column whose rows belong together: a bootstrap draws them together or not at all."""
        return "composition"

    @property
    def described_by(self) -> str:
        """Column that says in a word what kind of entity a row is."""
        return "dominant_element"


class FolderLabels(Model):
    """The folder that an image lies in is its label."""

    by: Literal["folder"]


class NameLabels(Model):
    """The group `label` of a regular expression, searched in the image's path, is its label."""

    by: Literal["name"]
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _has_a_label(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"a regular expression that compiles ({error})") from error
        if "label" not in groups:
            raise ValueError("a regular expression with a group named label: (?P<label>…)")
        return pattern


class TableLabels(Model):
    """A CSV with the path (or the bare name) of each image in column `file` and its label in column `label`."""

    by: Literal["table"]
    path: str
    file: str = "file"
    label: str = "label"


Labels = Annotated[FolderLabels | NameLabels | TableLabels, Field(discriminator="by")]


class ImageDataset(Entities):
    """One row an image: PNG, JPEG or TIFF below a folder or in an archive (ZIP, TAR).

    `images` picks the files; `size` (width, height in pixels) refuses images of another size; `white_level` is the
    value shown as white, where it isn't the largest that the file can hold (4095 for 12 bits stored in 16).
    """

    kind: Literal["image"]
    key: Name = "image_id"
    max_reject_share: float = Field(default=0.1, ge=0, le=1)  # folders often hold a file or two that are no image
    images: str = "**/*"
    labels: Labels | None = None
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    white_level: float | None = Field(default=None, gt=0)

    @property
    def resampled_by(self) -> None:
        return None

    @property
    def described_by(self) -> str | None:
        return "label" if self.labels else None


Dataset = Annotated[CompositionDataset | ImageDataset, Field(discriminator="kind")]
