"""config/sources.yaml: raw files from outside."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from schemas.config.base import Model, RelativePath, Sha256
from schemas.config.simulated import SampleSource


class SourceFile(Model):
    """One raw file, pinned by hash. `mirror` is its path below the mirror, `urls` its origins, tried in order."""

    urls: list[str] = []
    mirror: RelativePath
    sha256: Sha256
    bytes: int = Field(gt=0)
    unpack: Literal["none", "zip", "tar"] = "none"
    max_unpacked_bytes: int = Field(default=1_000_000_000, gt=0)
    max_files: int = Field(default=100_000, gt=0)
    origin: str = ""


class Source(Model):
    """Raw files from outside; or, where nobody has published any, files that a generator writes by the physics of what
    `citation` names. Whatever is made of those is marked SIMULATED."""

    title: str
    licence: str
    citation: str
    files: dict[str, SourceFile] = {}
    simulated: dict[str, SampleSource] = {}
    notes: str = ""
    optional: bool = False  # left out, and said so, where the mirror is a folder that does not hold it

    @model_validator(mode="after")
    def _some_files(self):
        if bool(self.files) == bool(self.simulated):
            raise ValueError("either `files` (from outside) or `simulated` (files that a generator writes)")
        return self

    @property
    def file_names(self) -> list[str]:
        return [*self.files, *self.simulated]

    @property
    def terms(self) -> str:
        """The licence, and in words what its letters forbid."""
        return self.licence + (" (non-commercial use only)" if "NC" in self.licence.split("-") else "")
