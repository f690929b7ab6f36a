"""Preparation of a cube by configuration: each step is a function from cube to cube, and logs what it left out."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from matlas.cubes.cube import Cube
from matlas.cubes.eels import align_zero_loss, power_law_background
from matlas.cubes.noise import anscombe, denoised, variance_scaled
from matlas.errors import ConfigError, DataError, nearest

log = logging.getLogger(__name__)

LEFTOVERS = ("error", "drop")


def prepare(cube: Cube, steps: Sequence[Mapping[str, Mapping | None]]) -> Cube:
    """Apply steps in order, each {name: its arguments}, as [{"crop": {"low": 1, "high": 10}}, {"anscombe": {}}].

    Raises ConfigError as `check_steps` does, and what the steps raise.
    """
    check_steps(steps)
    for step in steps:
        ((name, arguments),) = step.items()
        cube = STEPS[name](cube, **(arguments or {}))
    return cube


def check_steps(steps: Sequence[Mapping[str, Mapping | None]]) -> None:
    """Raise ConfigError for an unknown step and for arguments that it doesn't have, before there is a cube."""
    for i, step in enumerate(steps, 1):
        if len(step) != 1:
            raise ConfigError(f"step {i} of the preparation is not one step", expected="{name: arguments}",
                              found=dict(step))  # fmt: skip
        ((name, arguments),) = step.items()
        if name not in STEPS:
            raise ConfigError(f"unknown step {name!r} of the preparation", expected=nearest(name, STEPS))
        try:
            inspect.signature(STEPS[name]).bind(None, **(arguments or {}))
        except TypeError as error:
            expected = list(inspect.signature(STEPS[name]).parameters)[1:]
            raise ConfigError(f"arguments of step {i}, {name}, don't fit", expected=expected, found=error) from error


def crop(cube: Cube, low: float, high: float) -> Cube:
    """The channels at low … high, in the unit of the signal axis, as a view. Raises DataError where there is none."""
    kept = cube.signal.window(low, high)
    axis = cube.signal.cut(kept)
    log.info("cropped to %s: %d of %d channels", axis.span, axis.size, cube.signal.size)
    return replace(cube, data=cube.data[:, :, kept], signal=axis)


def rebin(cube: Cube, signal: int = 1, y: int = 1, x: int = 1, leftovers: str = "error") -> Cube:
    """Bins of whole numbers of channels and pixels: counts are summed, and stay counts; other data are averaged.

    leftovers : channels and pixels at the far ends that fill no bin are an "error", or are dropped ("drop") and
    logged. A bin stands at the mean of the positions in it. Sums are held by the smallest whole dtype that can't
    overflow, means as `cube.real`.
    Raises ConfigError for factors that can't be, DataError for leftovers.
    """
    if leftovers not in LEFTOVERS:
        raise ConfigError("`leftovers` can't be", expected=f"one of {list(LEFTOVERS)}", found=repr(leftovers))
    factors = {"y": y, "x": x, "signal": signal}
    axes = {}
    for name, factor in factors.items():
        axis = getattr(cube, name)
        if isinstance(factor, bool) or not isinstance(factor, int) or not 1 <= factor <= axis.size:
            raise ConfigError(f"factor of {name} can't be", expected=f"a whole number, 1 to {axis.size}", found=factor)
        axes[name] = axis.binned(factor)
        if over := axis.size % factor:
            if leftovers == "error":
                raise DataError(f"axis {name} is no whole number of bins", expected=f"a multiple of {factor}",
                                found=axis.size, do="choose another factor, or `leftovers: drop`")  # fmt: skip
            log.info("rebin: the last %d of %d positions of axis %s fill no bin and are dropped", over, axis.size, name)
    height, width, channels = (axes[name].size for name in ("y", "x", "signal"))
    dtype = _sum_dtype(cube.data.dtype, x * y * signal) if cube.counts else cube.real
    result = np.empty((height, width, channels), dtype)
    for row in range(height):  # a row of bins at a time: a memory-mapped cube is never in memory as a whole
        part = cube.data[row * y : (row + 1) * y, : width * x, : channels * signal]
        bins = part.reshape(y, width, x, channels, signal)
        if cube.counts:
            bins.sum(axis=(0, 2, 4), dtype=dtype, out=result[row])
        else:
            result[row] = bins.mean(axis=(0, 2, 4), dtype=np.float64)
    return replace(cube, data=result, **axes)


def scaled(cube: Cube, by: str) -> Cube:
    """Spectra without their brightness: each divided by its largest value ("max"), its sum ("sum") or its Euclidean
    length ("norm"). Spectra of zeros stay so.

    Raises ConfigError for another word, and DataError for a pixel whose sum or maximum is below 0.
    """
    if by not in SCALES:
        raise ConfigError("`by` of step scaled can't be", expected=nearest(by, SCALES), found=repr(by))
    data = np.empty(cube.spectra.shape, cube.real)
    for block in cube.blocks():
        rows = cube.spectra[block].astype(np.float64)
        sizes = SCALES[by](rows)
        sizes[~rows.any(axis=1)] = 1.0
        if (sizes <= 0).any():
            y, x = cube.pixel(block.start + int(np.flatnonzero(sizes <= 0)[0]))
            raise DataError(f"a spectrum can't be divided by its {by}", where=f"pixel (y, x) {(y, x)}",
                            expected="above 0", found=f"{sizes.min():g}", do="choose another scale")  # fmt: skip
        data[block] = rows / sizes[:, None]
    return replace(cube, data=cube.image(data), counts=False)


SCALES = {
    "max": lambda rows: rows.max(axis=1),
    "sum": lambda rows: rows.sum(axis=1),
    "norm": lambda rows: np.linalg.norm(rows, axis=1),
}


def _sum_dtype(dtype: np.dtype, n: int) -> np.dtype:
    if dtype.kind == "f":
        return np.dtype(np.float64)
    largest = int(np.iinfo(dtype).max) * n
    return np.min_scalar_type(largest) if largest < 2**64 else np.dtype(np.uint64)


@dataclass(frozen=True, eq=False)
class Mask:
    """dead_channels : (C,) which have the same value in every pixel; zero_pixels : (H, W) which are 0 all over."""

    dead_channels: np.ndarray
    zero_pixels: np.ndarray


def mask(cube: Cube) -> Mask:
    """Which channels and pixels hold nothing; they are found and logged, and it is for the caller to leave them out.

    In a cube of one pixel, a channel is dead where it is 0.
    """
    low, high = cube.spectra[0].copy(), cube.spectra[0].copy()
    zero = np.empty(len(cube.spectra), dtype=bool)
    for block in cube.blocks():
        rows = cube.spectra[block]
        np.minimum(low, rows.min(axis=0), out=low)
        np.maximum(high, rows.max(axis=0), out=high)
        zero[block] = ~rows.any(axis=1)
    dead = (low == high) if len(zero) > 1 else (high == 0)
    if dead.any():
        positions = cube.signal.values[dead]
        log.warning("%d of %d channels are dead: %s %s%s", dead.sum(), len(dead), ", ".join(f"{v:.6g}" for v in
                    positions[:10]), cube.signal.unit, " …" if dead.sum() > 10 else "")  # fmt: skip
    if zero.any():
        first = [cube.pixel(int(i)) for i in np.flatnonzero(zero)[:10]]
        log.warning("%d of %d pixels are 0 in every channel, at first (y, x) %s", zero.sum(), len(zero), first)
    return Mask(dead, cube.image(zero))


# steps that look at one spectrum at a time, so that a reference spectrum goes through them as a pixel's does
PIXELWISE = ("crop", "rebin", "scaled", "anscombe")
STEPS = {
    step.__name__: step
    for step in (crop, rebin, scaled, anscombe, variance_scaled, power_law_background, align_zero_loss, denoised)
}
