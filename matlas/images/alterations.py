"""Altered copies of images: small changes that features should withstand, and faults of acquisition to be found.

Every alteration takes (height, width) grey values in 0…1 and a random generator, and leaves what it is given as it is;
`altered` clips what comes out at black and white.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from matlas.errors import ConfigError, DataError, nearest

Alteration = Callable[[np.ndarray, np.random.Generator], np.ndarray]

SHIFT_PIXELS = 5
BRIGHTER = 1.10
BLUR = 0.03  # standard deviation of the Gaussian, of the shorter side: 6 pixels of 200
BAND = 0.15  # height of the saturated band, of the image
DEAD_AREA = 0.25  # of the image
DEAD_HEIGHT = (0.4, 0.625)  # of the image; the width follows from the area, and has the same range
STREAKS = 8
STREAK_THICKNESS = (0.005, 0.03)  # of the height
STREAK_BRIGHTNESS = (0.4, 0.9)  # added to the grey values where the streak begins
STREAK_LENGTH = (0.2, 0.8)  # of the width, after which a streak has faded to 1/e
SALT_AND_PEPPER = 0.08  # share of the pixels
MOST_ARTEFACTS = 0.1  # share of the images


def shifted(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The content moved right by SHIFT_PIXELS; the uncovered left edge is the content beside it, mirrored."""
    return np.pad(grey, ((0, 0), (SHIFT_PIXELS, 0)), mode="symmetric")[:, : grey.shape[1]]


def brighter(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey values times BRIGHTER."""
    return grey * BRIGHTER


def out_of_focus(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blurred by a Gaussian."""
    return ndimage.gaussian_filter(grey, BLUR * min(grey.shape), mode="reflect")


def saturated_band(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A horizontal band of white, somewhere."""
    height = max(1, round(BAND * grey.shape[0]))
    top = rng.integers(grey.shape[0] - height + 1)
    result = grey.copy()
    result[top : top + height] = 1
    return result


def dead_region(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A black rectangle over a quarter of the area, somewhere."""
    share = rng.uniform(*DEAD_HEIGHT)
    height, width = (max(1, round(s * n)) for s, n in zip((share, DEAD_AREA / share), grey.shape, strict=True))
    top, left = rng.integers(grey.shape[0] - height + 1), rng.integers(grey.shape[1] - width + 1)
    result = grey.copy()
    result[top : top + height, left : left + width] = 0
    return result


def charging_streaks(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bright streaks along the scan direction that begin in the left half and fade, as of a specimen that charges."""
    rows, columns = grey.shape
    result = grey.copy()
    for _ in range(STREAKS):
        height = max(1, round(rng.uniform(*STREAK_THICKNESS) * rows))
        top, left = rng.integers(rows - height + 1), rng.integers((columns + 1) // 2)
        length = rng.uniform(*STREAK_LENGTH) * columns
        added = rng.uniform(*STREAK_BRIGHTNESS) * np.exp(-np.arange(columns - left) / length)
        result[top : top + height, left:] += added.astype(result.dtype)
    return result


def inverted(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Black and white exchanged."""
    return 1 - grey


def salt_and_pepper(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Single pixels turned white or black."""
    result = grey.copy()
    hit = rng.random(grey.shape) < SALT_AND_PEPPER
    result[hit] = rng.integers(2, size=np.count_nonzero(hit))
    return result


SENSITIVITY: dict[str, Alteration] = {"shifted": shifted, "brighter": brighter}
ARTEFACTS: dict[str, Alteration] = {
    "out_of_focus": out_of_focus, "saturated_band": saturated_band, "dead_region": dead_region,
    "charging_streaks": charging_streaks, "inverted": inverted, "salt_and_pepper": salt_and_pepper,
}  # fmt: skip


def altered(grey: np.ndarray, alteration: str, rng: np.random.Generator) -> np.ndarray:
    """The altered copy: (height, width) float32 in 0…1.

    grey : (height, width) in 0…1; alteration : a name in SENSITIVITY or ARTEFACTS; rng : decides where and how much.
    Raises ConfigError for an unknown alteration.
    """
    alterations = SENSITIVITY | ARTEFACTS
    if alteration not in alterations:
        expected = nearest(alteration, alterations)
        raise ConfigError("unknown alteration of images", expected=expected, found=repr(alteration))
    result = alterations[alteration](np.asarray(grey, dtype=np.float32), rng)
    return np.clip(result, 0, 1).astype(np.float32)


def alteration_plan(image_ids: Sequence[str], *, seed: int, sample: int = 150, planted: int = 20) -> pd.DataFrame:
    """Which altered copies to make: columns `image_id`, `alteration`, a row each.

    The same `sample` random images (all if there are fewer) get each alteration in SENSITIVITY; `planted` others of the
    images for each in ARTEFACTS, none of them twice, and fewer where MOST_ARTEFACTS of the images don't suffice. An
    image may be in the sample and carry an artefact in another copy. The order of `image_ids` doesn't matter.
    Raises DataError for an id that is there twice.
    """
    ids = np.array(sorted(image_ids), dtype=object)
    doubled = ids[1:][ids[1:] == ids[:-1]]
    if len(doubled):
        raise DataError("image ids are not unique", found=f"{doubled[0]!r} twice", do="keep one row an image")
    rng = np.random.default_rng(seed)
    sampled = sorted(rng.permutation(ids)[:sample])
    plan = [(image_id, alteration) for alteration in SENSITIVITY for image_id in sampled]
    most = min(planted * len(ARTEFACTS), int(MOST_ARTEFACTS * len(ids)))
    spoiled = rng.permutation(ids)[:most]
    for i, alteration in enumerate(ARTEFACTS):
        plan += [(image_id, alteration) for image_id in sorted(spoiled[i :: len(ARTEFACTS)])]
    return pd.DataFrame(plan, columns=["image_id", "alteration"], dtype=object)


def rng_of(seed: int, image_id: str, alteration: str) -> np.random.Generator:
    """The generator of one altered copy; it depends on nothing but these three."""
    name = json.dumps([seed, image_id, alteration])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()))
