"""The spectrum of each pixel as features: one column a channel."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from matlas.cubes.cube import Cube
from matlas.cubes.prepare import PIXELWISE, prepare
from matlas.errors import DataError
from matlas.transpose import transposed
from schemas.table import Field

log = logging.getLogger(__name__)


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


def about_axis(prepared: Cube) -> dict[str, str]:
    """What a table of spectra says of its channels: channel i stands at signal_offset + i * signal_scale."""
    axis = prepared.signal
    return {
        "signal": axis.name, "signal_unit": axis.unit, "signal_offset": repr(axis.offset),
        "signal_scale": repr(axis.scale), "counts": str(prepared.counts).lower(),
    }  # fmt: skip


def reference_frame(references: Cube | None, materials: Sequence[str], spec: Mapping) -> pd.DataFrame:
    """The spectra of the materials as the view has spectra, one row a material and channel (schema of references).

    Steps that look at the whole image can't be done to a few spectra: then there are none, and the log says so.
    """
    frame = {"material": [], "channel": [], "position": [], "intensity": []}
    others = [name for step in spec["steps"] for name in step if name not in PIXELWISE]
    if references is not None and others:
        log.info("no reference spectra in this view: step %s looks at the whole image", ", ".join(others))
    elif references is not None:
        prepared = prepare(references, spec["steps"])
        size = prepared.signal.size
        frame["material"] = np.repeat(np.array(materials, dtype=object), size)
        frame["channel"] = np.tile(np.arange(size), len(materials))
        frame["position"] = np.tile(prepared.signal.values, len(materials))
        frame["intensity"] = prepared.spectra.astype(np.float64).ravel()
    return pd.DataFrame(frame).astype({"material": object, "channel": "int64", "position": float, "intensity": float})


def spectrum_batches(
    prepared: Cube, fields: tuple[Field, ...], pixels: pd.Series, rows_at_once: int = 20_000
) -> Iterator[pd.DataFrame]:
    """Frames of the key and the channels. pixels : the dataset's key column, numbers of pixels from 1."""
    names = [f.name for f in fields]
    positions = pixels.to_numpy() - 1
    for start in range(0, len(positions), rows_at_once):
        here = slice(start, start + rows_at_once)
        frame = pd.DataFrame(transposed(prepared.spectra[positions[here]]).T, columns=names)  # column by column
        frame.insert(0, pixels.name, pixels.to_numpy()[here])
        yield frame
