"""The sign of an axis, which no method that finds axes determines."""

from __future__ import annotations

import numpy as np


def signs_of(axes: np.ndarray) -> np.ndarray:
    """(d,) of axes (d, p): 1 or -1 each, so that the largest loading of an axis, times its sign, is positive."""
    return np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
