"""From a file to a cube: order of the axes, calibration and values are checked, and nothing is guessed."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from matlas.cubes.cube import Axis, Cube
from matlas.cubes.formats import Raw, even_axis, opened, readable, unit_of
from matlas.errors import ConfigError, DataError
from matlas.files import atomic_path

log = logging.getLogger(__name__)

_BLOCK_BYTES = 32_000_000
_SHOWN = 5
_PER_UNIT = {  # in eV, in m
    **{unit: ("energy", size) for unit, size in {"meV": 1e-3, "eV": 1.0, "keV": 1e3, "MeV": 1e6}.items()},
    **{u: ("length", s) for u, s in {"pm": 1e-12, "Å": 1e-10, "nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "m": 1.0}.items()},
}


def read_cube(
    path: str | Path,
    *,
    counts: bool,
    unit: str | None = None,
    key: str | None = None,
    axes: Sequence[str] | None = None,
    shape: tuple[int, int] | None = None,
    pixel_order: str | None = None,
    signal: Mapping | Sequence[float] | None = None,
    pixel_size: tuple[float, str] | None = None,
    reader: str | None = None,
    into: str | Path | None = None,
) -> Cube:
    """Read a spectrum image from .npy, .npz, .mat (version 7.3 too) or any format of RosettaSciIO (.hspy, .dm3, .dm4,
    .bcf, .emd, .rpl, .tif …).

    counts : whether the numbers are counts; unit : of the signal axis: that of the file is converted, or refused where
    it can't be; key : which array or titled signal, where the file holds several.
    axes : what the axes of the array are, in its order (that of MATLAB for .mat): y, x, signal, or pixel, signal for
    an image laid out in one line, with its `shape` (H, W) and `pixel_order`: "row" where neighbours in the line are
    neighbours in x, "column" where they are in y. By default as the file says.
    signal : the signal axis where the file has none with a unit: {unit, offset, scale}, {unit, values} or a list of
    positions in `unit`; pixel_size : step of y and x and its unit, where the file doesn't say. By default in "px".
    reader : RosettaSciIO's plugin, for extensions that several read.
    into : an .npy file for the cube, written block by block and then memory-mapped, for one larger than memory.

    Raises ConfigError for arguments that contradict each other or the file; DataError for a file that is missing,
    damaged or without that key, for axes that don't fit it, and for values that are complex, NaN, infinite, or
    negative where they are counts.
    """
    path = Path(path)
    with opened(path, key, reader) as raw:
        if (kind := np.dtype(raw.data.dtype).kind) not in "uif":
            raise DataError(
                "complex values in the cube" if kind == "c" else "the array doesn't hold numbers", where=path,
                expected="whole or real numbers", found=f"dtype {raw.data.dtype}",
                do="store the real part or the magnitude" if kind == "c" else "choose another `key`",
            )  # fmt: skip
        layout = _layout(raw, axes, shape, pixel_order, path)
        y, x, channels = (layout.sizes[name] for name in ("y", "x", "signal"))
        calibrated = {
            "y": _spatial(raw, layout, "y", y, pixel_size, path),
            "x": _spatial(raw, layout, "x", x, pixel_size, path),
            "signal": _signal(raw, layout, channels, signal, unit, path),
        }
        if into is None:
            cube = Cube(_arranged(raw, layout, path), **calibrated, counts=counts)
            _check_values(cube, path)
        else:
            with atomic_path(into) as temporary:
                target = np.lib.format.open_memmap(temporary, "w+", layout.dtype, (y, x, channels))
                _copy(raw, layout, target, path)
                target.flush()
                _check_values(Cube(target, **calibrated, counts=counts), path)
            cube = Cube(np.load(into, mmap_mode="r"), **calibrated, counts=counts)
    log.info("%s: %d x %d pixels, %d channels of %s, %s from %s", path.name, y, x, channels, cube.data.dtype,
             cube.signal.name, cube.signal.span)  # fmt: skip
    return cube


@dataclass(frozen=True)
class _Layout:
    """How the array of a file becomes (y, x, signal).

    names : its axes, a line of pixels as the two that it runs over, slow one first; sizes : of y, x, signal;
    declared : its axes as they are; dtype : in the byte order of this machine.
    """

    names: tuple[str, ...]
    sizes: dict[str, int]
    declared: tuple[str, ...]
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.sizes[name] for name in self.names)

    @property
    def to_cube(self) -> tuple[int, ...]:
        return tuple(self.names.index(name) for name in ("y", "x", "signal"))


def _layout(raw: Raw, axes, shape, pixel_order, path: Path) -> _Layout:
    found = tuple(raw.data.shape)
    if axes is None and raw.order is None:
        named = "" if raw.axes is None else f" {[a.name for a in raw.axes]}"
        raise ConfigError(
            "which axes of the array are those of the image and the spectra isn't known", where=path,
            found=f"shape {found}{named}", do="declare `axes`: y, x, signal in their order, or pixel, signal",
        )  # fmt: skip
    declared = tuple(axes or raw.order)
    if sorted(declared) not in (["signal", "x", "y"], ["pixel", "signal"]):
        raise ConfigError(
            "`axes` of a cube can't be", where=path, expected="y, x, signal or pixel, signal, in the array's order",
            found=list(declared),
        )  # fmt: skip
    if len(declared) != len(found):
        raise DataError(
            "wrong number of axes", where=path, expected=f"{len(declared)}: {list(declared)}",
            found=f"{len(found)}: shape {found}", do="mend `axes`, or choose another `key`",
        )  # fmt: skip
    sizes = dict(zip(declared, found, strict=True))
    if 0 in found:
        raise DataError("the array is empty", where=path, found=f"shape {found}")
    dtype = np.dtype(raw.data.dtype).newbyteorder("=")
    if "pixel" not in sizes:
        if shape is not None or pixel_order is not None:
            raise ConfigError("`shape` and `pixel_order` are for an axis `pixel`", where=path, found=list(declared))
        return _Layout(declared, sizes, declared, dtype)
    if shape is None or len(shape) != 2 or pixel_order not in ("row", "column"):
        raise ConfigError(
            "an axis `pixel` needs the shape of the image and the order of its pixels", where=path,
            expected="`shape: [H, W]` and `pixel_order`, row or column", found=f"{shape} and {pixel_order}",
        )  # fmt: skip
    pixels, (height, width) = sizes["pixel"], shape
    if height * width != pixels:
        raise DataError(
            "axes don't fit the array", where=path, expected=f"{height} x {width} = {height * width} pixels",
            found=f"{pixels}, shape {found}", do="mend `shape` or `axes`",
        )  # fmt: skip
    line = ("y", "x") if pixel_order == "row" else ("x", "y")
    names = sum((line if name == "pixel" else (name,) for name in declared), ())
    return _Layout(names, {"y": height, "x": width, "signal": sizes["signal"]}, declared, dtype)


def _arranged(raw: Raw, layout: _Layout, path: Path) -> np.ndarray:
    """(y, x, signal) in memory, or still memory-mapped where it lies in this order."""
    if isinstance(raw.data, np.ndarray):
        arranged = raw.data.reshape(layout.shape).transpose(layout.to_cube)
        return np.ascontiguousarray(arranged, dtype=layout.dtype)
    target = np.empty(tuple(layout.sizes[name] for name in ("y", "x", "signal")), layout.dtype)
    _copy(raw, layout, target, path)
    return target


def _copy(raw: Raw, layout: _Layout, target: np.ndarray, path: Path) -> None:
    """Fill (y, x, signal) from blocks along the first axis of the array, whole chunks of the file where it has any."""
    first, *rest = layout.shape
    per_step = raw.data.shape[0] // first  # pixels in a row or column where the first axis is a line of pixels
    steps = max(1, _BLOCK_BYTES // (layout.dtype.itemsize * math.prod(rest)))
    if chunks := getattr(raw.data, "chunks", None):
        chunk = max(1, (chunks[0][0] if isinstance(chunks[0], tuple) else chunks[0]) // per_step)
        steps = -(-steps // chunk) * chunk
    view = target.transpose(np.argsort(layout.to_cube))  # of the target, in the order of the file
    for start in range(0, first, steps):
        stop = min(start + steps, first)
        with readable(path):
            part = raw.data[start * per_step : stop * per_step]
            part = part.compute(scheduler="synchronous") if hasattr(part, "compute") else part
        view[start:stop] = np.asarray(part).reshape(stop - start, *rest)


def _in_file(raw: Raw, layout: _Layout, name: str) -> Axis | None:
    known = raw.axes is not None and name in layout.declared
    return raw.axes[layout.declared.index(name)] if known else None


def _spatial(raw: Raw, layout: _Layout, name: str, size: int, pixel_size, path: Path) -> Axis:
    axis = _in_file(raw, layout, name)
    if axis is not None and axis.unit:
        if pixel_size is not None:
            raise ConfigError(f"the file says how far apart pixels are in {name}", where=path,
                              found=f"{axis.scale:g} {axis.unit}", do="leave out `pixel_size`")  # fmt: skip
        return replace(axis, name=name)
    if pixel_size is not None:
        step, unit = pixel_size
        return Axis(name, unit_of(unit), 0.0, float(step), size)
    if axis is not None and (axis.offset, axis.scale) != (0.0, 1.0):
        return replace(axis, name=name)
    return Axis(name, "px", 0.0, 1.0, size)


def _signal(raw: Raw, layout: _Layout, size: int, declared, unit: str | None, path: Path) -> Axis:
    axis = _in_file(raw, layout, "signal")
    if axis is not None and axis.unit:
        if declared is not None:
            raise ConfigError("the file has a signal axis of its own", where=path, found=axis.span,
                              do="leave out `signal`, and declare only its `unit`")  # fmt: skip
    elif declared is None:
        raise ConfigError("the file has no signal axis with a unit", where=path,
                          do="declare `signal`: unit, offset and scale, or unit and values")  # fmt: skip
    else:
        axis = _declared_signal(declared, size, unit, path)
    return axis if unit is None else _in_unit(axis, unit_of(unit), path)


def _declared_signal(declared: Mapping | Sequence[float], size: int, unit: str | None, path: Path) -> Axis:
    given = dict(declared) if isinstance(declared, Mapping) else {"unit": unit, "values": declared}
    name = str(given.pop("name", "signal"))
    if set(given) not in ({"unit", "values"}, {"unit", "offset", "scale"}) or not unit_of(given["unit"]):
        raise ConfigError("`signal` can't be", where=path, expected="unit, offset and scale, or unit and values",
                          found={k: v for k, v in given.items() if k != "values"})  # fmt: skip
    if "scale" in given:
        return Axis(name, unit_of(given["unit"]), float(given["offset"]), float(given["scale"]), size)
    if len(given["values"]) != size:
        raise DataError("axes don't fit the array", where=path, expected=f"{size} positions, one a channel",
                        found=f"{len(given['values'])} values of `signal`")  # fmt: skip
    return even_axis(name, unit_of(given["unit"]), given["values"], path)


def _in_unit(axis: Axis, unit: str, path: Path) -> Axis:
    if axis.unit == unit:
        return axis
    (kind, size), (wanted, per) = (_PER_UNIT.get(u, (None, 1.0)) for u in (axis.unit, unit))
    if kind is None or kind != wanted:
        raise DataError(f"unit of axis {axis.name!r} is not the declared one", where=path, expected=unit,
                        found=axis.unit, do="declare the unit that the file has")  # fmt: skip
    log.info("%s: axis %s converted from %s to %s", path.name, axis.name, axis.unit, unit)
    return replace(axis, unit=unit, offset=axis.offset * (size / per), scale=axis.scale * (size / per))


def _check_values(cube: Cube, path: Path) -> None:
    """One pass over the values. Raises DataError with the first few that can't be, and their number."""
    checks = []
    if cube.data.dtype.kind == "f":
        checks.append(("NaN or infinity", lambda values: ~np.isfinite(values)))
    if cube.counts and cube.data.dtype.kind != "u":
        checks.append(("negative counts", lambda values: values < 0))
    for what, wrong in checks:
        total, shown = 0, []
        for block in cube.blocks():
            values = cube.spectra[block]
            if not wrong(np.array([values.min(), values.max()])).any():  # one NaN makes both of them NaN
                continue
            rows, channels = np.nonzero(wrong(values))
            total += len(rows)
            for row, channel in zip(rows[: _SHOWN - len(shown)], channels, strict=False):
                y, x = cube.pixel(block.start + int(row))
                shown.append(f"{cube.data[y, x, channel]} at y {y}, x {x}, channel {channel}")
        if total:
            raise DataError(f"{what} in the cube", where=path, found=f"{total} values: {', '.join(shown)}",
                            do="mend the file; no value is replaced here")  # fmt: skip
