"""Images that repeat an earlier one, pixel by pixel or nearly.

Nearly: the same picture in other brightness or contrast, compressed again, blurred, at another size, or shifted by one
or two pixels of 200. Copies that are rotated, mirrored or cropped, and overlapping fields of view, are not looked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from matlas.threads import Progress

THUMBNAIL = 32  # pixels a side; a smaller image has no details left to compare and no near-duplicates
# Of the pairs of NEU-DET (1,800 images of steel surfaces), two reach 0.7, both one surface seen twice (0.77, 0.74); the
# next, different scratches, 0.66. Of copies of its images, 95 to 100 % reach it after JPEG at quality 50, gain 0.7,
# gamma 1.5, a blur of 2 pixels, half the size, or a shift by 1 or 2 pixels; 76 % with noise of 5 % of white.
NEAR = 0.7
_BLOCK_ROWS = 256
_ROUNDING = 1e-4


def pixel_digest(grey: np.ndarray) -> bytes:
    """Equal for images of equal shape and values, and for no others."""
    digest = hashlib.sha256(repr((grey.shape, grey.dtype.str)).encode())
    digest.update(np.ascontiguousarray(grey))
    return digest.digest()


def details(grey: np.ndarray) -> np.ndarray:
    """(1024,) float32 fingerprint of what an image shows, whatever its brightness: four quarters of unit length.

    grey : (height, width) float32. It is averaged over the cells of a 32 x 32 grid, and each cell less the mean of its
    3 x 3 neighbourhood (edges repeated), which leaves details and takes away uneven lighting. A quarter without
    details is all zero, as is the fingerprint of an image smaller than the grid.
    """
    if min(grey.shape) < THUMBNAIL:
        return np.zeros(THUMBNAIL**2, dtype=np.float32)
    cells = np.asarray(Image.fromarray(grey).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), dtype=np.float64)
    padded = np.pad(cells, 1, mode="edge")
    around = sum(padded[i : i + THUMBNAIL, j : j + THUMBNAIL] for i in range(3) for j in range(3)) / 9
    half = THUMBNAIL // 2
    quarters = (cells - around).reshape(2, half, 2, half).swapaxes(1, 2).reshape(4, half**2)
    quarters -= quarters.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(quarters, axis=1, keepdims=True)
    quarters = np.divide(quarters, lengths, out=np.zeros_like(quarters), where=lengths > 0)
    return quarters.astype(np.float32).ravel()


def repeats(digests: Sequence[bytes], fingerprints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each image the earliest one that it repeats.

    digests : n values of `pixel_digest`; fingerprints : (n, 1024) rows of `details`.
    Returns (n,) int64 positions, -1 for none, and (n,) whether the pixels are the same. An image is nearly the same as
    another when *each* quarter of their details correlates by at least 0.7 (Pearson): one bright line or scale bar
    that two images share is not enough, and so an image with a featureless quarter has no near-duplicates. An exact
    repeat goes before an earlier near one. Memory is linear in n, time quadratic.
    """
    n = len(digests)
    first: dict[bytes, int] = {}
    earliest = np.array([first.setdefault(digest, i) for i, digest in enumerate(digests)], dtype=np.int64)
    exact = earliest < np.arange(n)
    earliest[~exact] = -1
    progress = Progress("images compared", n, verb="")
    for start in range(0, n, _BLOCK_ROWS):
        rows = slice(start, min(start + _BLOCK_ROWS, n))
        sums = fingerprints[rows] @ fingerprints[: rows.stop].T  # over the quarters: few pairs are left to look at
        for i in start + np.flatnonzero(~exact[rows]):
            candidates = np.flatnonzero(sums[i - start, :i] >= 4 * NEAR - _ROUNDING)
            near = candidates[_correlations(fingerprints[candidates], fingerprints[i]).min(axis=1) >= NEAR]
            earliest[i] = near[0] if len(near) else -1
        progress.reached(rows.stop, share=(rows.stop / n) ** 2)  # later blocks have more earlier images
    return earliest, exact


def _correlations(fingerprints: np.ndarray, one: np.ndarray) -> np.ndarray:
    """(n, 4) of each quarter."""
    return (fingerprints * one).reshape(len(fingerprints), 4, THUMBNAIL**2 // 4).sum(axis=2)
