"""What a cube is: an image whose pixels are spectra, with calibrated axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from matlas.errors import DataError

_BLOCK_VALUES = 4_000_000  # of a cube that are worked on at a time: 32 MB as float64


@dataclass(frozen=True)
class Axis:
    """Evenly spaced positions: channel i stands at offset + scale * i, in `unit` ("" where it isn't known).

    scale : the step, negative on an axis that runs downwards. Raises DataError for an axis that can't be.
    """

    name: str
    unit: str
    offset: float
    scale: float
    size: int

    def __post_init__(self):
        if not (self.scale and math.isfinite(self.scale) and math.isfinite(self.offset) and self.size >= 1):
            raise DataError(
                f"axis {self.name!r} can't be", expected="finite numbers, a step other than 0, a position at least",
                found=f"offset {self.offset}, scale {self.scale}, size {self.size}",
            )  # fmt: skip

    @property
    def values(self) -> np.ndarray:
        """(size,) positions, in `unit`."""
        return self.offset + self.scale * np.arange(self.size)

    @property
    def span(self) -> str:
        """From where to where, as a reader has it."""
        low, high = sorted((self.offset, self.offset + self.scale * (self.size - 1)))
        return f"{low:.6g} to {high:.6g} {self.unit}".rstrip()

    def window(self, low: float, high: float) -> slice:
        """The channels at low <= position <= high, in `unit`; a millionth of a step is forgiven.

        Raises DataError where there is none.
        """
        slack = 1e-6 * abs(self.scale)
        inside = np.flatnonzero((self.values >= low - slack) & (self.values <= high + slack))
        if not inside.size:
            raise DataError(
                f"window without a channel of axis {self.name!r}", expected=f"a part of {self.span}",
                found=f"{low:g} to {high:g}", do="give the window in the unit of the axis, the lower end first",
            )  # fmt: skip
        return slice(int(inside[0]), int(inside[-1]) + 1)

    def cut(self, channels: slice) -> Axis:
        """The axis of some neighbouring channels; channels : a slice with both ends, as `window` gives it."""
        offset = self.offset + self.scale * channels.start
        return replace(self, offset=offset, size=channels.stop - channels.start)

    def binned(self, factor: int) -> Axis:
        """The axis of bins of `factor` channels; a bin stands at the mean of its channels' positions, and channels
        left over at the end are gone."""
        offset = self.offset + self.scale * (factor - 1) / 2
        return replace(self, offset=offset, scale=self.scale * factor, size=self.size // factor)


@dataclass(frozen=True, eq=False)
class Cube:
    """H x W spectra of C channels.

    data : (H, W, C), whole or real numbers, maybe memory-mapped; y, x, signal : its axes; counts : whether the numbers
    are counts, with Poisson noise, none below 0.
    Raises DataError where the axes don't fit the data, and ValueError for data without a view (H * W, C).
    """

    data: np.ndarray
    y: Axis
    x: Axis
    signal: Axis
    counts: bool

    def __post_init__(self):
        sizes = (self.y.size, self.x.size, self.signal.size)
        if self.data.shape != sizes:
            raise DataError("axes don't fit the data", expected=f"(y, x, signal) {sizes}", found=str(self.data.shape))
        if self.data.dtype.kind not in "uif":
            raise DataError("a cube holds whole or real numbers", found=f"dtype {self.data.dtype}")
        _ = self.spectra

    @property
    def spectra(self) -> np.ndarray:
        """(H * W, C) view, one row a pixel, row by row of the image: row p is pixel (p // W, p % W)."""
        return self.data.reshape(-1, self.signal.size, copy=False)

    def pixel(self, position: int) -> tuple[int, int]:
        """(y, x) of a row of `spectra`. Raises IndexError beyond the last one."""
        if not 0 <= position < self.y.size * self.x.size:
            raise IndexError(f"row {position} of {self.y.size * self.x.size} pixels")
        return divmod(position, self.x.size)

    def image(self, rows: np.ndarray) -> np.ndarray:
        """What was computed for the rows of `spectra`, (H * W, ...), as a map (H, W, ...)."""
        return rows.reshape(self.y.size, self.x.size, *rows.shape[1:])

    @property
    def real(self) -> np.dtype:
        """The floating dtype for what is computed from these numbers: float32 from 16 bits or float32, else float64."""
        return np.result_type(self.data.dtype, np.float32)

    def blocks(self) -> Iterator[slice]:
        """Rows of `spectra`, a few MB at a time, so that a memory-mapped cube is never in memory as a whole."""
        rows, step = self.y.size * self.x.size, max(1, _BLOCK_VALUES // self.signal.size)
        for start in range(0, rows, step):
            yield slice(start, min(start + step, rows))

    @property
    def sum_image(self) -> np.ndarray:
        """(H, W) sum over the channels: int64 of whole numbers, else float64."""
        sums = [self.spectra[block].sum(axis=1, dtype=self._sum_dtype) for block in self.blocks()]
        return self.image(np.concatenate(sums))

    @property
    def sum_spectrum(self) -> np.ndarray:
        """(C,) sum over the pixels: int64 of whole numbers, else float64."""
        total = np.zeros(self.signal.size, self._sum_dtype)
        for block in self.blocks():
            total += self.spectra[block].sum(axis=0, dtype=self._sum_dtype)
        return total

    @property
    def _sum_dtype(self) -> type:
        return np.float64 if self.data.dtype.kind == "f" else np.int64
