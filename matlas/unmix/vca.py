"""Vertex component analysis: endmembers as the pixels at the corners of the simplex that all pixels fill."""

from __future__ import annotations

import numpy as np

from matlas.errors import ConfigError, DataError
from matlas.orientation import signs_of
from matlas.represent import finite_matrix

_PIXELS_AT_ONCE = 4096


def vca(spectra: np.ndarray, n_endmembers: int, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Endmembers (m, c) and the positions (m,) of the pixels that they are, in the order in which they were found.

    spectra : (n, c) pixels; n_endmembers : m of 2 to min(n, c); random_state : of the directions that are searched.
    Assumes that each endmember has a pixel of its own. An endmember is its pixel projected on the signal's subspace
    (which takes noise away), so it equals the pixel where there is no noise, and may be slightly negative.
    The signal-to-noise ratio, estimated from the spectra, decides between the projections of the paper: above
    15 + 10 log10(m) dB pixels are scaled on to a common plane, so that illumination may vary; below, where that would
    amplify the noise, they are projected on the m - 1 principal components.
    Raises ConfigError for another m; DataError for NaN or infinity, for spectra with fewer than m independent pixels,
    and for pixels without brightness (zero) that have no place on the common plane.
    Source: Nascimento & Bioucas-Dias 2005, doi:10.1109/TGRS.2005.844293, algorithm 1.
    """
    spectra = finite_matrix(spectra, "spectra")
    n, c = spectra.shape
    if not 2 <= n_endmembers <= min(n, c):
        raise ConfigError(
            "vca can't find that many endmembers", expected=f"2 to {min(n, c)} for {n} pixels of {c} channels",
            found=n_endmembers,
        )  # fmt: skip
    mean = spectra.mean(axis=0)
    ratio, principal = _signal_to_noise(spectra, mean, n_endmembers)
    if ratio > 15 + 10 * np.log10(n_endmembers):
        origin, axes = np.zeros(c), _axes(spectra, np.zeros(c), n_endmembers)[0]
        coordinates = spectra @ axes.T
        points = _on_a_plane(coordinates)
    else:
        origin, axes = mean, principal[:-1]
        coordinates = (spectra - origin) @ axes.T
        farthest = np.linalg.norm(coordinates, axis=1).max()
        points = np.column_stack([coordinates, np.full(n, farthest)])
    positions = _vertices(points, np.random.default_rng(random_state))
    return coordinates[positions] @ axes + origin, positions


def _signal_to_noise(spectra: np.ndarray, mean: np.ndarray, m: int) -> tuple[float, np.ndarray]:
    """Estimated ratio in dB, with white noise in all c channels and signal in m dimensions; the m principal axes."""
    axes, variances = _axes(spectra, mean, m)
    power = np.einsum("ij,ij->", spectra, spectra) / len(spectra)
    within = variances.sum() + mean @ mean
    noise = power - within
    if noise <= 1e-14 * power:  # rounding
        return np.inf, axes
    signal = within - m / spectra.shape[1] * power
    return (10 * np.log10(signal / noise) if signal > 0 else -np.inf), axes


def _axes(spectra: np.ndarray, origin: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit axes (m, c) along which pixels vary most about `origin`, largest first, and their mean squares (m,)."""
    moments = np.zeros((spectra.shape[1],) * 2)
    for start in range(0, len(spectra), _PIXELS_AT_ONCE):
        block = spectra[start : start + _PIXELS_AT_ONCE] - origin
        moments += block.T @ block
    squares, vectors = np.linalg.eigh(moments / len(spectra))
    axes = vectors[:, : -m - 1 : -1].T
    return axes * signs_of(axes)[:, None], np.maximum(squares[: -m - 1 : -1], 0)


def _on_a_plane(coordinates: np.ndarray) -> np.ndarray:
    """Pixels (n, m) scaled so that all have the same product with their mean."""
    mean = coordinates.mean(axis=0)
    brightness = coordinates @ mean
    dark = brightness <= 1e-12 * (mean @ mean)
    if dark.any():
        raise DataError(
            "pixels without brightness have no spectrum to scale",
            where=f"pixel index {', '.join(map(str, np.flatnonzero(dark)[:20]))}",
            expected="a positive product with the mean spectrum", found=f"{dark.sum()} pixels that have none",
            do="leave out dark pixels",
        )  # fmt: skip
    return coordinates / brightness[:, None]


def _vertices(points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Positions (m,) of the points (n, m) found farthest along directions orthogonal to all found before."""
    m = points.shape[1]
    found = np.zeros((m, m))  # a column a vertex
    found[-1, 0] = 1  # the first direction is orthogonal to the last axis
    positions = np.empty(m, dtype=np.intp)
    for i in range(m):
        direction = random.standard_normal(m)
        direction -= found @ (np.linalg.pinv(found) @ direction)
        direction /= np.linalg.norm(direction)
        positions[i] = np.abs(points @ direction).argmax()
        found[:, i] = points[positions[i]]
    if len(set(positions)) < m or np.linalg.matrix_rank(found) < m:
        raise DataError(
            "spectra span fewer dimensions than endmembers were asked for", expected=f"{m} independent pixels",
            found=np.linalg.matrix_rank(found), do="ask for fewer endmembers",
        )  # fmt: skip
    return positions
