"""What an image looks like in three numbers."""

from __future__ import annotations

import numpy as np


def describe(grey: np.ndarray) -> dict[str, float]:
    """Brightness, contrast and sharpness of one image; dimensionless.

    grey : (height, width) values between 0 black and 1 white.
    brightness is their mean and contrast their (population) standard deviation. sharpness is the variance of the
    Laplacian, up + down + left + right - 4 centre, over the pixels that have all four neighbours; 0 for an image that
    has no such pixel, since nothing in it could be sharp.
    Source: variance of the Laplacian, Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548.
    """
    grey = np.asarray(grey, dtype=np.float64)
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": float(laplacian.var()) if laplacian.size else 0.0,
    }
