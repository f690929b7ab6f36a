"""Electron energy loss: the zero-loss peak brought to 0, and the background before an edge taken off."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from matlas.cubes.cube import Axis, Cube
from matlas.cubes.noise import mapped
from matlas.errors import ConfigError, DataError

log = logging.getLogger(__name__)

EDGES = ("crop", "nearest", "zero")


def power_law_background(cube: Cube, low: float, high: float) -> Cube:
    """What lies above the background A E^-r (`power_law`), which is fitted to each pixel at low … high, just before an
    edge, and subtracted there and beyond. Channels below the window, where no such law holds, are cut off, and logged.

    Errors as in `power_law`. Source: Egerton 2011, Electron Energy-Loss Spectroscopy in the Electron Microscope, 4.4.
    """
    amplitude, exponent = (values.reshape(-1, 1) for values in power_law(cube, low, high))
    kept = _from_window_on(cube.signal, cube.signal.window(low, high))
    axis = cube.signal.cut(kept)
    log.info("power law fitted at %g to %g %s; kept %s, cut off %d channels", low, high, axis.unit, axis.span,
             cube.signal.size - axis.size)  # fmt: skip

    def above(rows: np.ndarray, block: slice) -> np.ndarray:
        # through logarithms: A alone overflows where r is large
        return rows[:, kept] - np.exp(np.log(amplitude[block]) - exponent[block] * np.log(axis.values))

    return replace(cube, data=mapped(cube, above, axis.size), signal=axis, counts=False)


def power_law(cube: Cube, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) A and (H, W) r of A E^-r: the straight line of least squares through log intensity over log energy at
    low … high, in the unit of the signal axis. All channels weigh the same, and few counts (below about 10) bias it.

    Raises DataError for a window of fewer than 3 channels or not above 0, and where an intensity in it is not.
    Source: Egerton 2011, Electron Energy-Loss Spectroscopy in the Electron Microscope, 4.4.
    """
    window = cube.signal.window(low, high)
    energies = cube.signal.values[window]
    if len(energies) < 3 or energies.min() <= 0:
        raise DataError("window can't hold a power law", expected="3 channels or more, at energies above 0",
                        found=f"{len(energies)} channels, {low:g} to {high:g} {cube.signal.unit}")  # fmt: skip
    dark = [_shown(cube, block, (cube.spectra[block, window] <= 0).any(axis=1)) for block in cube.blocks()]
    if pixels := sum(dark, []):
        raise DataError(
            "a power law needs intensities above 0 in its window", found=f"{len(pixels)} pixels that have others, "
            f"at first (y, x) {pixels[0]}", do="bin pixels or channels first, denoise, or move the window",
        )  # fmt: skip
    logs = np.log(energies)
    weights = (logs - logs.mean()) / ((logs - logs.mean()) ** 2).sum()
    slope, level = np.empty(len(cube.spectra)), np.empty(len(cube.spectra))
    for block in cube.blocks():
        intensities = np.log(cube.spectra[block, window].astype(np.float64))
        slope[block] = intensities @ weights
        level[block] = intensities.mean(axis=1) - slope[block] * logs.mean()
    return cube.image(np.exp(level)), cube.image(-slope)


def align_zero_loss(cube: Cube, low: float, high: float, edges: str) -> Cube:
    """Spectra shifted so that the zero-loss peak (`zero_loss`, sought at low … high) stands at 0, by linear
    interpolation between channels. That smooths noise by an amount that depends on the shift: the values are no counts.

    edges : what comes in from beyond the ends of a spectrum: "nearest" its last value, "zero" 0; or "crop": only the
    channels that every spectrum has are kept, and their number is logged.
    Raises ConfigError for other edges, DataError as `zero_loss`, and where cropping leaves no channel.
    """
    if edges not in EDGES:
        raise ConfigError("`edges` can't be", expected=f"one of {list(EDGES)}", found=repr(edges))
    axis = cube.signal
    shifts = (zero_loss(cube, low, high) / axis.scale).reshape(-1, 1)  # in channels
    whole = np.round(shifts)
    shifts = np.where(np.abs(shifts - whole) < 1e-9, whole, shifts)  # else rounding would cost a channel when cropping
    kept = slice(0, axis.size)
    if edges == "crop":
        kept = slice(max(0, int(np.ceil(-shifts.min()))), axis.size - max(0, int(np.ceil(shifts.max()))))
        if kept.stop <= kept.start:
            raise DataError("no channel is left where every spectrum has one", found=f"shifts of {shifts.min():.1f} "
                            f"to {shifts.max():.1f} channels", do="choose other `edges`")  # fmt: skip
    cut = axis.cut(kept)
    log.info("zero-loss peak moved by %.3g to %.3g %s; %d of %d channels kept", -shifts.max() * axis.scale,
             -shifts.min() * axis.scale, axis.unit, cut.size, axis.size)  # fmt: skip

    def moved(rows: np.ndarray, block: slice) -> np.ndarray:
        places = np.arange(kept.start, kept.stop) + shifts[block]
        before = np.floor(places).astype(np.int64)
        part = places - before
        last = axis.size - 1
        values = [np.take_along_axis(rows, np.clip(before + i, 0, last), axis=1) for i in (0, 1)]
        result = values[0] * (1 - part) + values[1] * part
        if edges == "zero":
            result[(places < 0) | (places > last)] = 0
        return result

    return replace(cube, data=mapped(cube, moved, cut.size), signal=cut, counts=False)


def zero_loss(cube: Cube, low: float, high: float) -> np.ndarray:
    """(H, W) position of the highest channel at low … high, in the unit of the signal axis, refined by the parabola
    through it and its two neighbours.

    Raises DataError where the highest channel is the first or the last of the window, or of the spectrum, or where
    0 is beyond the axis.
    """
    axis = cube.signal
    if not min(axis.values) <= 0 <= max(axis.values):
        raise DataError("no zero-loss peak on this axis", expected="an axis with 0 on it", found=axis.span)
    window = axis.window(low, high)
    places = np.empty(len(cube.spectra))
    for block in cube.blocks():
        rows = cube.spectra[block, window].astype(np.float64)
        top = rows.argmax(axis=1)
        at_end = (top == 0) | (top == rows.shape[1] - 1)
        if ends := _shown(cube, block, at_end):
            raise DataError("the highest channel is at an end of the window", found=f"pixel (y, x) {ends[0]}",
                            do="give a window with the whole zero-loss peak of every pixel")  # fmt: skip
        before, here, after = (rows[np.arange(len(rows)), top + i] for i in (-1, 0, 1))
        bend = before - 2 * here + after
        places[block] = (
            window.start + top + np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=bend < 0)
        )
    return cube.image(axis.offset + axis.scale * places)


def _from_window_on(axis: Axis, window: slice) -> slice:
    """The channels of the window and those of higher energy."""
    return slice(window.start, axis.size) if axis.scale > 0 else slice(0, window.stop)


def _shown(cube: Cube, block: slice, wrong: np.ndarray) -> list[tuple[int, int]]:
    return [cube.pixel(block.start + int(i)) for i in np.flatnonzero(wrong)]
