"""Product-quantised ResNet18 weights, decoded.

Each quantised layer is a matrix of outputs by inputs, cut into blocks of a few inputs (one 3 x 3 kernel, or 4 inputs);
a block of one output is one of K shared centroids, named by an assignment. Assignments are ordered by block, then by
output. Batch normalisation comes with its running statistics folded into scale and shift.
Source: Stock, Joulin, Gribonval, Graham & Jégou 2020, "And the bit goes down", arXiv:1907.05686.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from matlas.errors import DataError
from matlas.networks.resnet18 import ResNet18

_QUANTISED = {"centroids", "assignments", "n_blocks", "is_conv", "k"}
_LAST_BIAS = "fc_bias"  # the format keeps the bias of fc as a layer of its own
_INTEGERS = (torch.uint8, torch.int16, torch.int32, torch.int64)


def decode(state: dict[str, dict]) -> dict[str, torch.Tensor]:
    """float32 weights under torchvision's names, complete for strict loading into ResNet18.

    state : layer name -> {"weight"}, {"weight", "bias"}, {"bias"} or {"centroids" (K, block), "assignments"
    (n_blocks * outputs,), "n_blocks", "is_conv", "k" (kernel size)}. Running means are 0 and variances 1.
    Raises DataError for unknown or missing layers, entries or shapes that don't fit, and assignments out of range.
    """
    with torch.device("meta"):  # names and shapes only
        layers = {
            name: layer
            for name, layer in ResNet18().named_modules()
            if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear)
        }
    missing, unknown = sorted({*layers, _LAST_BIAS} - set(state)), sorted(map(str, set(state) - {*layers, _LAST_BIAS}))
    if missing or unknown:
        raise DataError(
            "layers are not those of a product-quantised ResNet18", found=f"missing {missing}, unknown {unknown}"
        )
    decoded = {}
    for name, layer in layers.items():
        if isinstance(layer, nn.BatchNorm2d):
            decoded |= _batch_norm(name, state[name], layer.num_features)
        else:
            decoded[f"{name}.weight"] = _weight(name, state[name], layer.weight.shape)
    outputs = layers["fc"].out_features
    decoded["fc.bias"] = _floats(_LAST_BIAS, _entry(_LAST_BIAS, state[_LAST_BIAS], {"bias"})["bias"], (outputs,))
    return decoded


def _batch_norm(name: str, entry: dict, channels: int) -> dict[str, torch.Tensor]:
    entry = _entry(name, entry, {"weight", "bias"})
    return {
        f"{name}.weight": _floats(f"{name}.weight", entry["weight"], (channels,)),
        f"{name}.bias": _floats(f"{name}.bias", entry["bias"], (channels,)),
        f"{name}.running_mean": torch.zeros(channels),
        f"{name}.running_var": torch.ones(channels),
        f"{name}.num_batches_tracked": torch.tensor(0),
    }


def _weight(name: str, entry: dict, shape: torch.Size) -> torch.Tensor:
    """A convolution's or linear layer's weight of this shape, stored as it is or quantised."""
    if isinstance(entry, dict) and "weight" in entry:
        return _floats(f"{name}.weight", _entry(name, entry, {"weight"})["weight"], shape)
    entry = _entry(name, entry, _QUANTISED)
    kind = {"is_conv": len(shape) == 4, "k": shape[2] if len(shape) == 4 else 1}
    found = {key: entry[key] for key in kind}
    if found != kind:
        raise DataError("quantised layer is of another kind", where=name, expected=kind, found=found)

    outputs, inputs = shape[0], math.prod(shape[1:])
    centroids, assignments, blocks = entry["centroids"], entry["assignments"], entry["n_blocks"]
    if type(blocks) is not int or blocks < 1 or inputs % blocks:
        raise DataError(
            "n_blocks does not cut the inputs evenly", where=name, expected=f"a divisor of {inputs}", found=blocks
        )
    count = len(centroids) if isinstance(centroids, torch.Tensor) and centroids.ndim else 0
    centroids = _floats(f"{name}.centroids", centroids, (max(count, 1), inputs // blocks))
    if not isinstance(assignments, torch.Tensor) or assignments.dtype not in _INTEGERS:
        found = getattr(assignments, "dtype", type(assignments).__name__)
        raise DataError("assignments are not whole numbers", where=name, expected="an integer tensor", found=found)
    if assignments.shape != (blocks * outputs,):
        expected = f"{(blocks * outputs,)}, one a block of each output"
        raise DataError(
            "assignments have the wrong shape", where=name, expected=expected, found=tuple(assignments.shape)
        )
    assignments = assignments.long()
    low, high = int(assignments.min()), int(assignments.max())
    if low < 0 or high >= count:
        raise DataError(
            "assignments name centroids that are not there",
            where=name,
            expected=f"0…{count - 1}",
            found=f"{low}…{high}",
        )
    by_block = centroids[assignments].reshape(blocks, outputs, -1)
    return by_block.transpose(0, 1).reshape(shape).contiguous()


def _entry(name: str, entry: object, keys: set[str]) -> dict:
    if not isinstance(entry, dict) or set(entry) != keys:
        found = sorted(map(str, entry)) if isinstance(entry, dict) else type(entry).__name__
        raise DataError("layer has the wrong entries", where=name, expected=sorted(keys), found=found)
    return entry


def _floats(name: str, values: object, shape: tuple[int, ...]) -> torch.Tensor:
    """Floating-point values of this shape as float32."""
    if not isinstance(values, torch.Tensor) or not values.is_floating_point():
        found = getattr(values, "dtype", type(values).__name__)
        raise DataError("values are not floating-point numbers", where=name, expected="a tensor", found=found)
    if values.shape != tuple(shape):
        raise DataError("values have the wrong shape", where=name, expected=tuple(shape), found=tuple(values.shape))
    return values.to(torch.float32)
