"""Counts made fit for methods that expect equal noise everywhere, and denoising by principal components."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from matlas.cubes.cube import Cube
from matlas.errors import ConfigError
from matlas.moments import Moments

log = logging.getLogger(__name__)

# A channel with two counts, both in one pixel, reaches beyond the edge of noise once it is scaled to the variance 1.
# With this many at least in the scale, noise drawn with the sums of an EDXS map (112 counts a pixel, 38 in the median
# of 1,917 channels) reached 0.988 to 0.995 of the edge in four draws; without, it was beyond it in all, up to 1.07.
_LEAST_COUNTS = 50
_TRACY_WIDOM_99 = 2.0234  # the 99 % quantile of the law of order 1 (Johnstone 2001, table 1)


def mapped(cube: Cube, rows: Callable[[np.ndarray, slice], np.ndarray], channels: int | None = None) -> np.ndarray:
    """(H, W, C) of what `rows` makes of each block of spectra, given as float64, and its place; computed in float64,
    held as `cube.real`. channels : of the result, by default as many as there are."""
    result = np.empty((len(cube.spectra), channels or cube.signal.size), cube.real)
    for block in cube.blocks():
        result[block] = rows(cube.spectra[block].astype(np.float64), block)
    return cube.image(result)


def anscombe(cube: Cube) -> Cube:
    """2 sqrt(n + 3/8) of counts n, whose noise has a variance near 1 wherever the mean is above about 4.

    Raises ConfigError where the numbers are not counts. Source: Anscombe 1948, doi:10.1093/biomet/35.3-4.246.
    """
    _only_counts(cube, "anscombe")
    return replace(cube, data=mapped(cube, lambda rows, _: 2 * np.sqrt(rows + 0.375)), counts=False)


def variance_scaled(cube: Cube) -> Cube:
    """Counts over the root of the mean spectrum and the root of the mean image, so that Poisson noise is about as
    strong in every channel and pixel: its variance becomes 1 / the mean of the cube, exactly so where all pixels have
    the same spectrum but for their brightness. Pixels and channels without a count stay 0.

    Raises ConfigError where the numbers are not counts. Source: Keenan and Kotula 2004, doi:10.1002/sia.1657.
    """
    _only_counts(cube, "variance_scaled")
    pixels, channels = poisson_scale(cube)
    data = mapped(cube, lambda rows, block: rows * _inverse(pixels[block, None]) * _inverse(channels))
    return replace(cube, data=data, counts=False)


def poisson_scale(cube: Cube) -> tuple[np.ndarray, np.ndarray]:
    """(H * W,) root of the mean image and (C,) root of the mean spectrum, by which `variance_scaled` divides."""
    pixels = np.sqrt(cube.sum_image.ravel() / cube.signal.size)
    return pixels, np.sqrt(cube.sum_spectrum / len(cube.spectra))


@dataclass(frozen=True)
class Components:
    """Principal components of the spectra, in units in which the noise has the standard deviation 1.

    singular_values : (k,) falling, k the smaller number of pixels and channels; loadings : (C, k) unit vectors, one a
    column; edge : what the largest singular value of noise alone exceeds in one case of a hundred; centre : (C,) the
    spectrum that was subtracted; pixels : (H * W,), channels : (C,) what spectra were divided by; noise : and that.
    """

    singular_values: np.ndarray
    loadings: np.ndarray
    edge: float
    centre: np.ndarray
    pixels: np.ndarray
    channels: np.ndarray
    noise: float

    @property
    def above_edge(self) -> int:
        """How many are stronger than noise."""
        return int((self.singular_values > self.edge).sum())


def components(cube: Cube) -> Components:
    """Principal components of counts scaled as by `variance_scaled` and not centred, so that the first is the mean;
    or of other data, centred. A channel or pixel of fewer than 50 counts is scaled as if it had 50.

    The noise of scaled counts is known. That of other data is taken to be equal and independent in every channel and
    pixel, its standard deviation that which puts the median singular value of noise where the median was found
    (Gavish and Donoho 2014, doi:10.1109/TIT.2014.2323359): it must fill at least half of the components. Noise that
    neighbouring channels share is taken for signal: the number above the edge is then far too large.
    The edge is the upper one of Marchenko and Pastur 1967, sqrt(n) + sqrt(p) for n x p values of unit noise, for
    channels of less in its general form (Silverstein and Choi 1995, doi:10.1006/jmva.1995.1058), and raised by the
    99 % quantile of its spread in a table of finite size (Johnstone 2001, doi:10.1214/aos/1009210544).
    Memory: one C x C matrix of float64 and its eigenvectors; the cube is passed over block by block.
    """
    n, p = cube.spectra.shape
    pixels, channels, noise, variances = np.ones(n), np.ones(p), 1.0, np.ones(p)
    if cube.counts:
        true_pixels, true_channels = poisson_scale(cube)
        pixels = np.maximum(true_pixels, math.sqrt(_LEAST_COUNTS / p))
        channels = np.maximum(true_channels, math.sqrt(_LEAST_COUNTS / n))
        variances = (true_channels / channels) ** 2
        n = int((true_pixels > 0).sum())  # where there is no count, there is no noise
        noise, centre = 1 / math.sqrt((true_channels**2).mean() or 1.0), np.zeros(p)
    moments = Moments(_scaled(cube, pixels, channels))
    gram = moments.comoments
    if cube.counts:
        gram = gram + moments.n * np.outer(moments.mean, moments.mean)
    else:
        centre = moments.mean
    strengths, loadings = np.linalg.eigh(gram)
    k = min(gram.shape[0], moments.n)
    values, loadings = np.sqrt(np.maximum(strengths[::-1][:k], 0)), loadings[:, ::-1][:, :k]
    if not cube.counts:
        n -= 1  # the centre took one
        noise = np.median(values[: min(n, p)]) / math.sqrt(max(n, p) * marchenko_pastur_median(min(n, p) / max(n, p)))
        noise = max(noise, 1e-8 * values[0]) or 1.0  # where half of them are empty, they hold rounding errors
    return Components(values / noise, loadings, _noise_edge(n, variances), centre, pixels, channels, noise)


def denoised(cube: Cube, n_components: int | str) -> Cube:
    """The spectra as their first principal components have them (`components`), in the units that they came in.

    n_components : a number, or "estimated": those above the edge that noise reaches; the number is logged.
    Raises ConfigError for a number beyond those that there are, and where none is above the edge.
    """
    found = components(cube)
    most = len(found.singular_values)
    kept = found.above_edge if n_components == "estimated" else n_components
    if n_components == "estimated":
        log.info("%d of %d principal components are stronger than noise", kept, most)
    if isinstance(kept, bool) or not isinstance(kept, int) or not 1 <= kept <= most:
        raise ConfigError(
            "number of principal components can't be", expected=f"1 to {most}, or 'estimated'",
            found=f"{n_components!r}" + (f", which is {kept}" if n_components == "estimated" else ""),
        )  # fmt: skip
    basis = found.loadings[:, :kept]

    def rebuilt(rows: np.ndarray, block: slice) -> np.ndarray:
        pixels = found.pixels[block, None]
        scaled = rows / pixels / found.channels - found.centre
        return (scaled @ basis @ basis.T + found.centre) * pixels * found.channels

    return replace(cube, data=mapped(cube, rebuilt), counts=False)


def marchenko_pastur_median(ratio: float) -> float:
    """Median eigenvalue of noise of variance 1 in a table whose sides have this ratio, in (0, 1], over the longer."""
    theta = (np.arange(100_000) + 0.5) * (math.pi / 100_000)  # the law is smooth in this angle
    values = 1 + ratio - 2 * math.sqrt(ratio) * np.cos(theta)
    weights = np.cumsum(np.sin(theta) ** 2 / values)
    return float(np.interp(0.5 * weights[-1], weights, values))


def _noise_edge(n: int, variances: np.ndarray) -> float:
    """The singular value that noise in n pixels, of a variance (C,) in each channel, exceeds once in a hundred."""
    variances = variances[variances > 0]
    if n < 2 or not variances.size:
        return 0.0
    most = variances.max()
    shares = variances / most

    def squared(m: float) -> float:
        return 1 / m + (shares / (1 - m * shares)).sum() / n

    edge = minimize_scalar(squared, bounds=(1e-6, 1 - 1e-12), method="bounded", options={"xatol": 1e-10}).fun * n
    low, high = math.sqrt(n - 1), math.sqrt(variances.size)  # the spread as where all variances are equal
    spread = _TRACY_WIDOM_99 * (1 / low + 1 / high) ** (1 / 3) / (low + high)
    return math.sqrt(most * edge * (1 + spread))


def _scaled(cube: Cube, pixels: np.ndarray, channels: np.ndarray) -> Iterator[np.ndarray]:
    for block in cube.blocks():
        yield cube.spectra[block] / pixels[block, None] / channels


def _inverse(scale: np.ndarray) -> np.ndarray:
    """1 / scale, and 0 where it is 0: there all values are."""
    return np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)


def _only_counts(cube: Cube, step: str) -> None:
    if not cube.counts:
        raise ConfigError(f"{step} is for counts", do="declare `counts: true` if these are, or leave out the step")
