"""Raw-pixel features: each pixel standardised over the images, then principal components.

Images are held as 8- or 16-bit codes and standardised block by block whenever they are needed: memory grows with the
number of images, and no matrix of images x images, pixels x pixels or floats of all pixels ever exists.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from matlas.errors import DataError
from matlas.images.read import Picture, resized
from matlas.orientation import signs_of
from schemas.table import Field

log = logging.getLogger(__name__)

_BLOCK_BYTES = 32e6  # of standardised pixels: larger blocks were not faster (200 x 200 pixels, 2 cores)
_EXTRA_VECTORS = 14  # beyond the components, in each block of the Krylov space
_MOST_PASSES = 20
_TOLERANCE = 1e-8  # relative change of the leading eigenvalues from pass to pass
_NO_VARIANCE = 1e-10  # relative to the largest singular value
_8_BIT_ERROR = 1e-3  # in grey levels: float32 keeps a code of 8 bits to 3e-5
_16_FROM_8_BIT = np.uint16(65535 // 255)


@dataclass(frozen=True)
class PixelStack:
    """Images of one size, a row each.

    codes : (n, width * height) grey values, row by row of the image: uint8 where every image is exactly that,
    otherwise uint16, rounded to 1/65535 of white; size : (width, height) in pixels.
    """

    codes: np.ndarray
    size: tuple[int, int]

    @property
    def white(self) -> int:
        """The code of white: 255 or 65535."""
        return np.iinfo(self.codes.dtype).max


@dataclass(frozen=True)
class PixelSpace:
    """Principal components of images whose pixels are standardised.

    mean, scale : (p,) mean and standard deviation of each pixel over the images, in units of white (scale is 1 where
    a pixel is constant); components : (d, p) float32 unit vectors, largest variance first, the largest loading of each
    positive and that of a constant pixel 0; explained_variance_ratio : (d,) shares of the total variance.
    """

    mean: np.ndarray
    scale: np.ndarray
    components: np.ndarray
    explained_variance_ratio: np.ndarray

    def transform(self, pixels: np.ndarray | PixelStack) -> np.ndarray:
        """(m, d) float64 coordinates of images: a stack, or (m, p) grey values of which white is 1.

        Raises DataError for images of another number of pixels, and for NaN or infinity.
        """
        codes, white = (pixels.codes, pixels.white) if isinstance(pixels, PixelStack) else (np.asarray(pixels), 1)
        if codes.ndim != 2 or codes.shape[1] != len(self.mean):
            raise DataError(
                "images do not fit the pixel space", expected=f"(m, {len(self.mean)}) pixels", found=codes.shape,
                do="resize them to the size that the space was fitted on",
            )  # fmt: skip
        scores = _Standardised(codes, self.mean * white, self.scale * white) @ self.components.T.astype(np.float64)
        if not np.isfinite(scores).all():
            rows = np.flatnonzero(~np.isfinite(scores).all(axis=1))
            raise DataError(
                "images hold NaN or infinity", where=f"rows {rows[:20].tolist()}", found=f"{len(rows)} rows"
            )
        return scores


def stack_pixels(pictures: Iterable[Picture], n: int, *, size: tuple[int, int] | None = None) -> PixelStack:
    """Flatten `n` pictures into one stack, one picture in memory at a time.

    size : (width, height) in pixels to which every picture is resized; without it all must have the same size.
    Grey pictures of at most 8 bits are held exactly in 8 bits; as soon as one picture is finer, so is the stack: 16
    bits, exact for pictures of 8 or 16 bits and rounded to 1/65535 of white for others (colour, resized).
    Raises DataError for pictures of different sizes, values outside 0…1, and another number of pictures than `n`.
    """
    codes, first = None, None
    for row, picture in enumerate(pictures):
        grey = picture.grey if size is None else resized(picture.grey, *size)
        if row == n:
            raise DataError("more pictures than announced", expected=n)
        if codes is None:
            codes, first = np.empty((n, grey.size), dtype=np.uint8), grey.shape
        if grey.shape != first:
            raise DataError(
                "images have different sizes", where=f"image {row}, counted from 0",
                expected=f"{_pixels(first)} as image 0", found=_pixels(grey.shape),
                do="use a view with a `size` (small_pixels), or give the dataset a `size`, which refuses the others",
            )  # fmt: skip
        values = _codes(grey, row).ravel()
        if values.dtype != codes.dtype:
            if codes.dtype == np.uint8:
                narrow, codes = codes, np.empty(codes.shape, dtype=np.uint16)
                np.multiply(narrow[:row], _16_FROM_8_BIT, out=codes[:row])
            else:
                values = values * _16_FROM_8_BIT
        codes[row] = values
    found = 0 if codes is None else row + 1
    if codes is None or found < n:
        raise DataError("fewer pictures than announced", expected=max(n, 1), found=found)
    exactness = "exactly" if codes.dtype == np.uint8 else "rounded to 1/65535 of white"
    log.info("%d images of %s pixels held as %s, %s", n, _pixels(first), codes.dtype, exactness)
    return PixelStack(codes, (first[1], first[0]))


def fit_pixels(stack: PixelStack, *, n_components: int, random_state: int) -> PixelSpace:
    """Standardise each pixel over the images and find the first `n_components` principal components.

    Components come from a randomised block Krylov iteration in float64 that stops when the leading eigenvalues change
    by less than 1e-8 of themselves; on 1,800 images of steel surfaces (NEU-DET) they then agree with those of the full
    decomposition to 1e-6 (sine of the angle), eigenvalues to 1e-11. Memory is that of the stack, a block, and
    at most 20 (n_components + 14) numbers an image and 4 (n_components + 14) a pixel.
    random_state : seed of the starting vectors; it matters at the level of these tolerances only.
    Raises DataError when images vary in fewer directions than there are components.
    Source: Halko, Martinsson & Tropp 2011, doi:10.1137/090771806; with all powers kept (Krylov), Halko, Martinsson,
    Shkolnisky & Tygert 2011, doi:10.1137/100804139.
    """
    n, p = stack.codes.shape
    if not 1 <= n_components <= min(n - 1, p):
        raise DataError(
            "the number of components does not fit the images", found=n_components,
            expected=f"1 to {min(n - 1, p)} for {n} images of {p} pixels", do="ask for fewer components",
        )  # fmt: skip
    mean, scale, varying = _mean_and_scale(stack.codes)
    if not varying.any():
        raise DataError("images do not differ", expected="at least two different images", found=f"{n} equal ones")
    standardised = _Standardised(stack.codes, mean, scale)
    left = _leading_vectors(standardised, n_components, np.random.default_rng(random_state))
    # an orthonormal basis of the images' coordinates carries over to the pixels through the images themselves
    _, singular, components = np.linalg.svd(standardised.transposed_times(left).T, full_matrices=False)
    if singular[-1] <= _NO_VARIANCE * singular[0]:
        rank = int((singular > _NO_VARIANCE * singular[0]).sum())
        raise DataError(
            "images vary in fewer directions than there are components", expected=f"at least {n_components}",
            found=rank, do="ask for fewer components, or leave out copies of the same image",
        )  # fmt: skip
    components *= signs_of(components)[:, None]
    return PixelSpace(
        mean / stack.white, np.where(varying, scale / stack.white, 1.0),
        components.astype(np.float32), singular**2 / (n * np.count_nonzero(varying)),
    )  # fmt: skip


def feature_fields(n_components: int) -> list[Field]:
    """The columns of the view: coordinates on the components."""
    return [
        Field(f"pixel_pc_{i}", "float64", "1", f"coordinate on principal component {i} of the standardised pixels")
        for i in range(n_components)
    ]


@dataclass(frozen=True)
class _Standardised:
    """The (n, p) matrix (codes - mean) / scale, of which only a block of rows exists at any time."""

    codes: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def __matmul__(self, right: np.ndarray) -> np.ndarray:
        """(n, l) product with a (p, l) matrix."""
        product = np.empty((len(self.codes), right.shape[1]))
        for rows, block in self._blocks():
            product[rows] = block @ right
        return product

    def transposed_times(self, left: np.ndarray) -> np.ndarray:
        """(p, l) product of the transposed matrix with an (n, l) one."""
        product = np.zeros((self.codes.shape[1], left.shape[1]))
        for rows, block in self._blocks():
            product += block.T @ left[rows]
        return product

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        inverse = 1 / self.scale
        buffer = np.empty((_rows_of_a_block(self.codes), self.codes.shape[1]))
        for start in range(0, len(self.codes), len(buffer)):
            rows = slice(start, min(start + len(buffer), len(self.codes)))
            block = np.subtract(self.codes[rows], self.mean, out=buffer[: rows.stop - start])
            block *= inverse
            yield rows, block


def _leading_vectors(matrix: _Standardised, d: int, rng: np.random.Generator) -> np.ndarray:
    """(n, d) orthonormal: the leading left singular vectors of `matrix`, that is eigenvectors of A = matrix matrixᵀ.

    Each pass adds A times the block before to an orthonormal basis; the answer is the best that the basis holds.
    """
    n = len(matrix.codes)
    width = d + _EXTRA_VECTORS
    basis = np.empty((n, min(n, _MOST_PASSES * width)))
    projected = np.zeros((basis.shape[1],) * 2)  # basisᵀ A basis, of which the upper triangle is filled
    block, size, values = rng.standard_normal((n, width)), 0, np.full(d, np.inf)
    for done in range(1, _MOST_PASSES + 1):
        block = _new_directions(block, basis[:, :size])
        new = slice(size, size + block.shape[1])
        size = new.stop
        basis[:, new] = block
        block = matrix @ matrix.transposed_times(block)
        projected[:size, new] = basis[:, :size].T @ block
        before, (values, vectors) = values, np.linalg.eigh(projected[:size, :size], UPLO="U")
        values = values[: -d - 1 : -1]
        change = np.max(np.abs(values - before) / np.maximum(values, np.finfo(float).eps * values[0]))
        log.info("principal components of pixels: pass %d of at most %d, change %.1g", done, _MOST_PASSES, change)
        if change <= _TOLERANCE or size == n:
            break
    else:
        log.warning(
            "principal components of pixels: eigenvalues still change by %.1g of themselves after %d passes; the last "
            "components are mixed with those after them", change, _MOST_PASSES,
        )  # fmt: skip
    return basis[:, :size] @ vectors[:, : -d - 1 : -1]


def _new_directions(block: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """An orthonormal basis of what `block` adds to the span of `basis`; no column where it adds nothing."""
    for _ in range(2):  # twice is enough (Kahan): the first time, rounding leaves a trace of the basis
        rest = block - basis @ (basis.T @ block)
        vectors, lengths, _ = np.linalg.svd(rest, full_matrices=False)
        known = np.linalg.norm(block, 2) if block.size else 0.0
        block = vectors[:, lengths > _NO_VARIANCE * known]
    return block[:, : len(block) - basis.shape[1]]


def _mean_and_scale(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(p,) mean, standard deviation (1 for a constant pixel) and whether the pixel varies, in codes."""
    step = _rows_of_a_block(codes)
    blocks = [codes[start : start + step] for start in range(0, len(codes), step)]
    mean = sum(block.sum(axis=0, dtype=np.int64) for block in blocks) / len(codes)
    variance = sum(np.square(block - mean).sum(axis=0) for block in blocks) / len(codes)
    varying = variance > 0  # exact: the mean of equal codes is that code
    return mean, np.where(varying, np.sqrt(variance), 1.0), varying


def _rows_of_a_block(codes: np.ndarray) -> int:
    return max(1, int(_BLOCK_BYTES / (8 * max(1, codes.shape[1]))))


def _codes(grey: np.ndarray, row: int) -> np.ndarray:
    """The picture as uint8 if that is exact, else as uint16."""
    if not (grey.min() >= 0 and grey.max() <= 1):
        raise DataError(
            "grey values outside 0…1", where=f"image {row}, counted from 0", found=f"{grey.min()}…{grey.max()}"
        )
    levels = grey * np.float32(255)
    codes = np.rint(levels)
    if np.abs(levels - codes).max() <= _8_BIT_ERROR:
        return codes.astype(np.uint8)
    return np.rint(grey * np.float32(65535)).astype(np.uint16)


def _pixels(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]}"
