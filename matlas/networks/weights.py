"""A file of weights and its declared format to a frozen network; no code in the file ever runs."""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch

from matlas.errors import ConfigError, DataError, nearest
from matlas.networks.quantised import decode
from matlas.networks.resnet18 import ResNet18

_FORMATS = {"torchvision": "a tensor a name", "product_quantised": "a dictionary a layer"}

# what torch.load raises, found by loading cut, flipped and random files and pickles that name code
_UNREADABLE = (
    OSError, EOFError, RuntimeError, pickle.UnpicklingError, struct.error, LookupError, ValueError, TypeError,
    AttributeError, AssertionError,
)  # fmt: skip


def load_network(path: str | PathLike, format: str) -> ResNet18:
    """ResNet18 with the weights of a file, in eval mode and without gradients, on the CPU.

    format : "torchvision", a state dict such as IMAGENET1K_V1, loaded strictly and unchanged; or "product_quantised",
    which `quantised.decode` decodes. Files are read with weights_only=True.
    Raises ConfigError for another format; DataError when the file is missing, damaged, holds anything but tensors,
    is of the other format, or does not fit ResNet18 in names, shapes and types, or has values that are not finite.
    """
    if format not in _FORMATS:
        raise ConfigError("unknown format of weights", expected=nearest(format, _FORMATS), found=repr(format))
    state = _read(Path(path))
    found = _format_of(state)
    if found != format:
        raise DataError(
            "weights file has another format", where=path, expected=f"{format} ({_FORMATS[format]})",
            found=f"{found} ({_FORMATS[found]})" if found else "neither torchvision nor product_quantised weights",
            do=f"declare its format as {found}" if found else "check that the right file is named",
        )  # fmt: skip
    if format == "product_quantised":
        try:
            state = decode(state)
        except DataError as error:
            raise DataError(f"weights file does not fit: {error}", where=path) from error
    with torch.device("meta"):  # initial values would be drawn from the global random stream, for nothing
        network = ResNet18()
    network.load_state_dict(_fitting(state, network.state_dict(), path), strict=True, assign=True)
    return network.eval().requires_grad_(False)


def _read(path: Path) -> object:
    if not path.is_file():
        raise DataError("weights file is missing", where=path, do="fetch its source first")
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except _UNREADABLE as error:
        # torch's own text advises to load without weights_only, which would run the code
        if name := re.search(r"GLOBAL (\S+)", str(error)):
            raise DataError(
                "weights file refers to code, or is damaged", where=path, expected="tensors only", found=name[1],
                do="don't trust this file; get a plain state dict from its source",
            ) from error  # fmt: skip
        raise DataError(
            "not a PyTorch weights file, or a damaged one", where=path, found=_first_line(error),
            do="delete it and fetch it again",
        ) from error  # fmt: skip


def _first_line(error: Exception) -> str:
    text = "" if isinstance(error, pickle.UnpicklingError) else str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _format_of(state: object) -> str | None:
    if isinstance(state, Mapping) and state:
        if all(isinstance(value, torch.Tensor) for value in state.values()):
            return "torchvision"
        if all(isinstance(value, dict) for value in state.values()):
            return "product_quantised"
    return None


def _fitting(state: Mapping, expected: Mapping[str, torch.Tensor], path: object) -> dict[str, torch.Tensor]:
    """The state, once names, shapes, types and values are right; with the counters of batches, which torchvision's
    older files lack and eval mode does not use."""
    counters = {name: torch.tensor(0) for name in expected if name.endswith("num_batches_tracked")}
    state = counters | dict(state)
    missing, unknown = sorted(set(expected) - set(state)), sorted(map(str, set(state) - set(expected)))
    if missing or unknown:
        found = f"{len(missing)} missing {missing[:5]}, {len(unknown)} unknown {unknown[:5]}"
        raise DataError("weights are not those of ResNet18", where=path, expected=f"{len(expected)} names", found=found)
    for name, wanted in expected.items():
        values = state[name]
        if (values.shape, values.dtype) != (wanted.shape, wanted.dtype):
            raise DataError(
                f"weights of {name} do not fit ResNet18", where=path, expected=f"{tuple(wanted.shape)} {wanted.dtype}",
                found=f"{tuple(values.shape)} {values.dtype}",
            )  # fmt: skip
        if not torch.isfinite(values).all():
            raise DataError(f"weights of {name} are not all finite", where=path, do="fetch the file again")
    return state
