"""What a silhouette sweep says about the data, in words.

Source: lecture "Machine Learning in Materials Processing & Characterization, Unit 5" (rule of thumb).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matlas.errors import DataError

NOT_CLUSTERABLE = "not clusterable"
NO_DISCRETE_GROUPS = "no discrete groups"
PEAK = "peak"
CATEGORIES = (NOT_CLUSTERABLE, NO_DISCRETE_GROUPS, PEAK)

WEAK_SILHOUETTE = 0.25  # below it for every k: not clusterable, says the lecture's rule of thumb
_CAVEAT = (
    "This is a rule of thumb for one feature space: silhouettes of different feature spaces are not to be compared."
)


@dataclass(frozen=True)
class Verdict:
    """category : one of CATEGORIES; words : two or three sentences for a report."""

    category: str
    words: str


def verdict(k: Sequence[int], silhouette: Sequence[float]) -> Verdict:
    """Judge a sweep by the rule of thumb of the lecture named above.

    k : increasing cluster numbers; silhouette : the mean silhouette at each; NaN where it is undefined, which the words
    mention. Under 0.25 at every k: "not clusterable". Largest at an end of the sweep, so never a peak inside: "no
    discrete groups". Otherwise "peak". Where the first two both hold the category is "not clusterable" and the words
    say both. A largest silhouette at k = 2 is a peak, since no smaller number of clusters has a silhouette.
    Raises DataError with fewer than three k that have a silhouette, or when the lengths or the order are wrong.
    """
    k, silhouette = np.asarray(k), np.asarray(silhouette, dtype=np.float64)
    if k.ndim != 1 or k.shape != silhouette.shape or (np.diff(k) <= 0).any():
        raise DataError(
            "a sweep needs one silhouette for each of increasing k",
            expected=f"{k.shape} silhouettes",
            found=f"{silhouette.shape} for k = {k.tolist()}",
        )
    undefined = k[np.isnan(silhouette)]
    k, silhouette = k[~np.isnan(silhouette)], silhouette[~np.isnan(silhouette)]
    if len(k) < 3:
        raise DataError("too few cluster numbers to see a peak", expected="3 or more with a silhouette", found=len(k))
    best = int(silhouette.argmax())
    at_end = best == len(k) - 1 or (best == 0 and k[0] > 2)
    weak = silhouette[best] < WEAK_SILHOUETTE

    largest = f"The silhouette is largest at k = {k[best]} ({silhouette[best]:.3f})"
    end = f"the {'largest' if best else 'smallest'} k of the sweep ({k[0]} to {k[-1]})"
    if weak:
        words = f"{largest} and under {WEAK_SILHOUETTE} for every k: not clusterable, use a continuous representation."
        if at_end:
            words += f" It is largest at {end} and never peaks inside: no discrete groups either."
    elif at_end:
        words = f"{largest}, {end}, and never peaks inside: no discrete groups."
    else:
        words = f"{largest}: a peak at k = {k[best]}."
        if best == 0:
            words += " As no smaller number has a silhouette, that says only that more clusters do worse."
    if len(undefined):
        words += f" Without a silhouette: k = {', '.join(map(str, undefined))}."
    category = NOT_CLUSTERABLE if weak else NO_DISCRETE_GROUPS if at_end else PEAK
    return Verdict(category, f"{words} {_CAVEAT}")
