"""What every model of the configuration is made of."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

NAME = r"^[a-z][a-z0-9_]*$"
SHA256 = r"^[0-9a-f]{64}$"
SPACE = r"^[a-z][a-z0-9_]*/[a-z][a-z0-9_]*$"  # view/representation
CLAIM_ID = r"^[a-z0-9]+(-[a-z0-9]+)*$"
Name = Annotated[str, StringConstraints(pattern=NAME)]
Sha256 = Annotated[str, StringConstraints(pattern=SHA256)]


def _inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("a relative path without '..'")
    return path


RelativePath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_inside)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
