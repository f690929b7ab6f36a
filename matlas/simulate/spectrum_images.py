"""A spectrum image of three materials with known shares, as a MATLAB file laid out like the Samson benchmark's.

Planted: each material has a smooth spectrum in [0, 1] with its maximum at 1; the share of each is a smooth random field
(squares of Gaussian noise of a correlation length, to a power, divided by their sum), so that most pixels are nearly
pure and borders are mixed; a pixel's spectrum is the mixture, times a brightness of 1 ± 10 %, plus noise of 0.01.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import savemat
from scipy.ndimage import gaussian_filter

from matlas.errors import ConfigError
from matlas.files import atomic_path

MATERIALS, CHANNELS = 3, 156
LEAST_ROWS = 100
PURITY = 4.0  # power of the fields: the larger, the fewer mixed pixels
BRIGHTNESS, NOISE = 0.1, 0.01


@dataclass(frozen=True, eq=False)
class SpectrumImage:
    """spectra : (H, W, CHANNELS); endmembers : (MATERIALS, CHANNELS), maximum 1; shares : (H, W, MATERIALS), sum 1."""

    spectra: np.ndarray
    endmembers: np.ndarray
    shares: np.ndarray


def spectrum_image(rows: int = 900, seed: int = 0) -> SpectrumImage:
    """A square image of about `rows` pixels. Raises ConfigError for fewer than LEAST_ROWS."""
    if rows < LEAST_ROWS:
        raise ConfigError("impossible number of sample pixels", expected=f"at least {LEAST_ROWS}", found=rows)
    rng, side = np.random.default_rng(seed), round(rows**0.5)
    fields = np.stack([gaussian_filter(rng.normal(size=(side, side)), side / 10) for _ in range(MATERIALS)], axis=-1)
    powers = np.exp(PURITY * fields / fields.std())
    shares = powers / powers.sum(axis=-1, keepdims=True)
    endmembers = gaussian_filter(rng.normal(size=(MATERIALS, CHANNELS)), (0, CHANNELS / 12))
    endmembers -= endmembers.min(axis=1, keepdims=True)
    endmembers /= endmembers.max(axis=1, keepdims=True)
    brightness = 1 + BRIGHTNESS * rng.uniform(-1, 1, (side, side, 1))
    spectra = brightness * (shares @ endmembers) + NOISE * rng.normal(size=(side, side, CHANNELS))
    return SpectrumImage(np.maximum(spectra, 0.0), endmembers, shares)


def write_spectrum_image(path: str | Path, *, rows: int, seed: int = 0) -> None:
    """Write Y (channels, pixels column by column of the image), GT (materials, channels) and S_GT (y, x, materials)."""
    made = spectrum_image(rows, seed)
    arrays = {"Y": made.spectra.transpose(1, 0, 2).reshape(-1, CHANNELS).T, "GT": made.endmembers, "S_GT": made.shares}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        savemat(file, arrays)
