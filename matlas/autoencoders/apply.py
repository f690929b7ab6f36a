"""A trained autoencoder on new rows: their codes, and which rows are unlike anything it was trained on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from matlas.autoencoders.estimator import Autoencoder
from matlas.errors import DataError

_MARGIN = 0.1  # of the width of a feature's training range
_NAMED = 3  # features that `why` names


def embed_rows(model: Autoencoder, card: Mapping, frame: pd.DataFrame) -> pd.DataFrame:
    """Codes of new rows, with a warning for each row that the model has no grounds to judge.

    model, card : as `card.load_model` gives them; frame : the features by name (other columns are ignored), finite.
    Returns z_0 …, reconstruction_error (in standardised units), outside_range and why, with the index of `frame`. A row
    is outside when a feature lies beyond its training range by more than 10 % of the width of that range, or its
    reconstruction error or the Mahalanobis distance of its code is above the 99.9 % quantile of the training rows (so
    that about 0.1 % of rows like those are, too); `why` names which (empty otherwise).
    Raises DataError for missing features and for NaN.
    """
    features, ranges = list(card["features"]), model.ranges_
    if missing := [name for name in features if name not in frame.columns]:
        raise DataError(
            "rows lack features of the model", expected=f"{len(features)} columns by name",
            found=f"without {missing[:5]}" + (f" and {len(missing) - 5} more" if missing[5:] else ""),
        )  # fmt: skip
    rows = frame[features].to_numpy(dtype=np.float64)
    codes, errors = model.transform(rows), model.reconstruction_error(rows)
    distances = ranges.distance(codes)
    margin = _MARGIN * (ranges.maximum - ranges.minimum)
    beyond = (rows < ranges.minimum - margin) | (rows > ranges.maximum + margin)
    odd = beyond.any(axis=1) | (errors > ranges.error_limit) | (distances > ranges.distance_limit)
    why = np.full(len(rows), "", dtype=object)
    for i in np.flatnonzero(odd):
        columns = np.flatnonzero(beyond[i])
        reasons = [
            f"{features[j]} {rows[i, j]:.4g} outside {ranges.minimum[j]:.4g}…{ranges.maximum[j]:.4g}"
            for j in columns[:_NAMED]
        ]
        if columns[_NAMED:].size:
            reasons.append(f"{len(columns) - _NAMED} more features outside their ranges")
        if errors[i] > ranges.error_limit:
            reasons.append(f"reconstruction error {errors[i]:.4g} above {ranges.error_limit:.4g}")
        if distances[i] > ranges.distance_limit:
            reasons.append(f"distance of the code {distances[i]:.4g} above {ranges.distance_limit:.4g}")
        why[i] = "; ".join(reasons)
    result = pd.DataFrame(codes, columns=[f"z_{i}" for i in range(codes.shape[1])], index=frame.index)
    return result.assign(reconstruction_error=errors, outside_range=odd, why=why)
