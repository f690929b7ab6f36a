"""From a spectrum image to a dataset of its pixels and the pixels that were refused."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from matlas.clean.rejects import as_rejects
from matlas.composition import SYMBOLS, parse_formulas
from matlas.cubes.cube import Axis, Cube
from matlas.cubes.formats import opened
from matlas.cubes.prepare import mask, prepare
from matlas.cubes.read import read_cube
from matlas.errors import ConfigError, DataError
from matlas.expressions import add_columns
from schemas.config.datasets import CubeDataset
from schemas.tables.dataset import abundances_of, dataset_schema

log = logging.getLogger(__name__)

TOLERANCE = 1e-3  # within which the shares of a pixel add up to 1


def cube_of(path: str, dataset: CubeDataset) -> Cube:
    """The cube of a dataset, as `matlas.cubes.read.read_cube` reads it, after the dataset's steps; an image laid out in
    one line whose shape the definition doesn't say has that of its truth."""
    shape = dataset.shape
    if shape is None and dataset.truth and "pixel" in (dataset.axes or ()):
        shape = _truth(path, dataset).data.shape[:2]
    cube = read_cube(
        path, counts=dataset.counts, unit=dataset.unit, key=dataset.array, axes=dataset.axes, shape=shape,
        pixel_order=dataset.pixel_order, signal=dataset.signal and dataset.signal.model_dump(),
        pixel_size=dataset.pixel_size, reader=dataset.reader,
    )  # fmt: skip
    return prepare(cube, dataset.steps)


def clean_cube(path: str, dataset: CubeDataset, name: str = "dataset") -> tuple[pd.DataFrame, pd.DataFrame, Cube]:
    """One row a pixel, row by row of the image, and the pixels that are left out by the dataset's mask, or refused:
    those that are 0 in every channel.

    Returns (clean, rejects, cube): clean as `dataset_schema` has it, rejects as REJECTS has it, `row` being the number
    of the pixel. Raises DataError as `read_cube` does, for shares that are no shares, and for too many refused pixels.
    """
    cube = cube_of(path, dataset)
    height, width = cube.y.size, cube.x.size
    total = cube.sum_image.ravel().astype(np.float64)
    y, x = np.divmod(np.arange(height * width), width)
    clean = pd.DataFrame({dataset.key: y * width + x + 1, "pixel_y": y, "pixel_x": x, "total": total})
    if dataset.truth:
        shares = _abundances(path, dataset, (height, width))
        clean[abundances_of(dataset)] = shares
        clean["material"] = np.array(dataset.truth.materials, dtype=object)[shares.argmax(axis=1)]
    masked = _masked(path, dataset, (height, width))
    empty = mask(cube).zero_pixels.ravel() & ~masked
    rejects = as_rejects([pd.DataFrame({
        "row": clean.loc[these, dataset.key], "reason": reason, "column": column, "value": None,
        "raw": [f'{{"pixel_y": {a}, "pixel_x": {b}}}' for a, b in zip(y[these], x[these], strict=True)],
    }) for these, reason, column in ((empty, "0 in every channel", dataset.array or ""),
                                     (masked, "left out by the mask", dataset.mask or ""))])  # fmt: skip
    if empty.sum() > dataset.max_reject_share * len(clean):
        first = ", ".join(map(str, clean.loc[empty, dataset.key].head(5)))
        raise DataError(
            "too many bad pixels: 0 in every channel", where=f"dataset {name}", found=f"{empty.sum()}, at first pixel "
            f"{first}; the file was read as {height} x {width} pixels of {cube.signal.size} channels",
            expected=f"at most {dataset.max_reject_share:.1%} of {len(clean)} pixels",
            do="check `axes` and `shape`; or raise max_reject_share in the dataset's definition",
        )  # fmt: skip
    kept = ~(empty | masked)
    if not kept.any():
        raise DataError("no pixel is left", where=name, found=f"{len(clean)} pixels, all of them 0 or left out")
    clean = add_columns(clean[kept].reset_index(drop=True), dataset.derived, dataset.flags)
    log.info("%s: %d pixels of %d x %d kept, %d refused, %d left out by the mask; %d channels, %s", name, len(clean),
             height, width, empty.sum(), masked.sum(), cube.signal.size, cube.signal.span)  # fmt: skip
    return clean[dataset_schema(name, dataset).columns], rejects, cube


def _masked(path: str, dataset: CubeDataset, size: tuple[int, int]) -> np.ndarray:
    """(pixels,) which are left out. Raises DataError for a mask that is not an image of numbers of this size."""
    if dataset.mask is None:
        return np.zeros(size[0] * size[1], dtype=bool)
    with opened(Path(path), dataset.mask, dataset.reader) as raw:
        image = np.asarray(raw.data)
    if image.shape != size or image.dtype.kind not in "biuf" or (image.dtype.kind == "f" and np.isnan(image).any()):
        raise DataError(
            "the mask doesn't fit the cube", where=f"{path}: {dataset.mask}", expected=f"numbers (y, x) {size}",
            found=f"{image.dtype} {image.shape}", do="check `mask`, and steps that bin pixels",
        )  # fmt: skip
    return image.ravel() == 0


def reference_spectra(path: str, dataset: CubeDataset, cube: Cube) -> tuple[Cube | None, tuple[str, ...]]:
    """The spectra that the source gives for its materials, or that are computed for the phases of an X-ray map, as an
    image of one row of pixels on the axis of `cube`, in its unit, and the materials; (None, ()) where there are none.

    Raises DataError for an array that is not (materials, channels), or has NaN, infinity or a spectrum of zeros.
    """
    if dataset.eds and dataset.eds.phases:
        return _computed(dataset, cube)
    if dataset.truth is None or dataset.truth.spectra is None:
        return None, ()
    where, materials = f"{path}: {dataset.truth.spectra}", tuple(dataset.truth.materials)
    with opened(Path(path), dataset.truth.spectra, dataset.reader) as raw:
        spectra = np.asarray(raw.data, dtype=np.float64)
    if spectra.shape != (len(materials), cube.signal.size):
        raise DataError(
            "spectra of the materials don't fit the cube", where=where, found=spectra.shape,
            expected=f"(materials, channels) {(len(materials), cube.signal.size)}", do="check `truth.spectra`",
        )  # fmt: skip
    if not np.isfinite(spectra).all() or not spectra.any(axis=1).all():
        raise DataError("a spectrum of a material is empty, NaN or infinite", where=where)
    return _line(spectra, cube), materials


def _computed(dataset: CubeDataset, cube: Cube) -> tuple[Cube, tuple[str, ...]]:
    """X-ray spectra of the phases that the definition names, by their formulas, as bright as a mean pixel."""
    from matlas.cubes.phases import computed_spectrum  # xraylib and its tables, for X-rays only

    phases, refused = parse_formulas(list(dataset.eds.phases.values()))
    if refused:
        reasons = {list(dataset.eds.phases)[i]: reason for i, reason in refused.items()}
        raise ConfigError("formula of a phase can't be read", where="eds.phases", found=reasons)
    eds = dataset.eds.model_dump(mode="json")
    mean = cube.sum_spectrum.sum() / len(cube.spectra)
    spectra = []
    for start, stop in pairwise(phases.indptr):
        atoms = dict(zip((SYMBOLS[z] for z in phases.z[start:stop]), phases.amount[start:stop], strict=True))
        spectra.append(mean * computed_spectrum(atoms, cube, eds))
    return _line(np.array(spectra), cube), tuple(dataset.eds.phases)


def _line(spectra: np.ndarray, cube: Cube) -> Cube:
    """Spectra (m, C) as an image of one row of pixels."""
    sides = [Axis(name, "", 0.0, 1.0, size) for name, size in (("y", 1), ("x", len(spectra)))]
    return Cube(spectra[None], *sides, cube.signal, cube.counts)


def about_image(cube: Cube) -> dict[str, str]:
    """What a table of pixels says of the image that they come from: its size, and the step between pixels."""
    return {
        "height": str(cube.y.size), "width": str(cube.x.size), "pixel_step": repr(abs(cube.x.scale)),
        "pixel_unit": cube.x.unit,
    }  # fmt: skip


def _truth(path: str, dataset: CubeDataset) -> Cube:
    """The shares that the source gives, their materials along the signal axis."""
    in_line = "pixel" in dataset.truth.axes
    return read_cube(
        path, counts=False, key=dataset.truth.array, axes=dataset.truth.axes,
        signal={"unit": "material", "offset": 0.0, "scale": 1.0}, shape=dataset.shape if in_line else None,
        pixel_order=dataset.pixel_order if in_line else None,
    )  # fmt: skip


def _abundances(path: str, dataset: CubeDataset, size: tuple[int, int]) -> np.ndarray:
    """(pixels, materials) shares that the source gives."""
    truth, found = dataset.truth, _truth(path, dataset)
    expected = (*size, len(truth.materials))
    if found.data.shape != expected:
        raise DataError(
            "abundances don't fit the cube", where=f"{path}: {truth.array}", expected=f"(y, x, material) {expected}",
            found=found.data.shape, do="check `truth`: its axes and materials",
        )  # fmt: skip
    shares = found.spectra.astype(np.float64)
    if shares.min() < -TOLERANCE or np.abs(shares.sum(axis=1) - 1).max() > TOLERANCE:
        raise DataError(
            "abundances are no shares", where=f"{path}: {truth.array}", expected="none below 0, and 1 in each pixel",
            found=f"from {shares.min():.4g}, sums up to {shares.sum(axis=1).max():.4g}",
        )  # fmt: skip
    return shares
