"""The spectrum of each pixel as features: one column a channel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from matlas.cubes.cube import Cube
from matlas.cubes.prepare import prepare
from matlas.errors import DataError
from schemas.table import Field


def spectrum_features(cube: Cube, spec: Mapping) -> tuple[Cube, tuple[Field, ...]]:
    """The prepared cube, and its channels as columns.

    spec : a schemas.config.views.SpectrumView as plain values. Raises DataError for a preparation that changes the
    image, and as its steps do.
    """
    prepared = prepare(cube, spec["steps"])
    if prepared.data.shape[:2] != cube.data.shape[:2]:
        raise DataError(
            "a view can't change the pixels of its dataset", expected=f"{cube.data.shape[:2]}",
            found=f"{prepared.data.shape[:2]}", do="bin the signal axis only (rebin: {signal: 2})",
        )  # fmt: skip
    steps = ", ".join(name for step in spec["steps"] for name in step)
    after = f", after {steps}" if steps else ""
    axis = prepared.signal
    whole = float(axis.offset).is_integer() and float(axis.scale).is_integer()
    digits = 0 if whole else max(0, 1 - int(np.floor(np.log10(abs(axis.scale)))))
    places = [f"{position:.{digits}f} {axis.unit}".rstrip() for position in axis.values]
    unit = "counts" if prepared.counts else "1"
    fields = [
        Field(f"channel_{i}", "float64", unit, f"Spectrum at {place}{after}", label=place)
        for i, place in enumerate(places)
    ]
    return prepared, tuple(fields)


def spectrum_batches(
    prepared: Cube, fields: tuple[Field, ...], pixels: pd.Series, rows_at_once: int = 20_000
) -> Iterator[pd.DataFrame]:
    """Frames of the key and the channels. pixels : the dataset's key column, numbers of pixels from 1."""
    names = [f.name for f in fields]
    positions = pixels.to_numpy() - 1
    for start in range(0, len(positions), rows_at_once):
        here = slice(start, start + rows_at_once)
        frame = pd.DataFrame(prepared.spectra[positions[here]].astype(np.float64), columns=names)
        frame.insert(0, pixels.name, pixels.to_numpy()[here])
        yield frame
