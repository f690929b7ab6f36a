"""Holes in what decoders believe to be materials: codes at random, and between two materials, against real rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import pairwise_distances_argmin
from sklearn.preprocessing import StandardScaler

from matlas.encoders import Encoder
from matlas.errors import DataError
from matlas.evaluate.alignment import rows_of
from matlas.evaluate.audits.polymorphs import random_pairs
from matlas.evaluate.resampling import DRAWS, interval, redrawn
from matlas.probe.splits import TEST as TEST_PART
from matlas.probe.splits import TRAIN, part_of
from matlas.threads import Progress

log = logging.getLogger(__name__)

TEST = "manifold"
HELD_OUT, RECONSTRUCTED, PRIOR, FITTED, LINE = ("held-out", "reconstructed", "prior", "fitted Gaussian", "line")
STEPS = np.linspace(0, 1, 11)
QUANTILE = 0.95


def manifold(
    features: pd.DataFrame,
    parts: pd.DataFrame,
    encoders: Mapping[str, tuple[Encoder, Mapping]],
    test: Mapping,
    *,
    groups: pd.Series | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> list[dict]:
    """Records (schema TESTS, but for study and dataset) of how far decoded rows lie from the nearest training row.

    features : (n, p) indexed by the entity key; parts : key, fold, part, of one fold; encoders : fitted ones with their
    model cards, as `card.load_model` returns them, by name; test : a schemas.config.studies.ManifoldTest as plain
    values; groups : group of each entity, for the intervals of real rows (by default each is its own).

    Distances are Euclidean in features standardised by the training rows, over √p, to the nearest of all training rows.
    Cases: "held-out", the test rows themselves, and for each encoder "reconstructed", the same rebuilt; "prior", codes
    from N(0, I); "fitted Gaussian", codes from a Gaussian with mean and covariance of the training codes (a plain
    autoencoder has no other distribution to draw from, and of a variational one it need not be the prior); "line",
    codes at x = 0, 0.1 … 1 of the way between random pairs of test rows, the same pairs for all encoders. Metrics:
    distance, the median; distance_p95, the 95 % quantile; share_beyond, the share of samples further out than 95 % of
    the held-out rows: those in holes. Intervals are of redrawn samples (lines; groups of real rows).
    Raises DataError for an encoder of other features and for a split without training or test rows.
    """
    part = part_of(features.index, parts)
    train, tested = (np.flatnonzero(part == name) for name in (TRAIN, TEST_PART))
    if not len(train) or len(tested) < 2:
        raise DataError(
            "too few rows to look for holes between", expected="training rows and two test rows",
            found=f"{len(train)} and {len(tested)}",
        )  # fmt: skip
    group = np.arange(len(tested)) if groups is None else rows_of(groups, features.index, "groups").to_numpy()[tested]
    matrix = features.to_numpy(dtype=np.float64)
    nearest = Nearest(matrix[train])
    real = nearest.distance(matrix[tested])
    limit = float(np.quantile(real, QUANTILE))
    place = {"test": TEST, "view": test["view"], "seed": seed}
    records = [{**place, **r} for r in _records(HELD_OUT, real, limit, group, draws, seed)]
    progress = Progress("encoders", len(encoders), " sampled")
    for done, (name, (encoder, card)) in enumerate(encoders.items(), 1):
        if list(card["features"]) != list(features.columns):
            raise DataError(
                "an encoder was trained on other features", where=name, expected=f"the {len(features.columns)} columns "
                f"of {test['view']}", found=f"{len(card['features'])}, or another order", do="train it again",
            )  # fmt: skip
        codes = encoder.transform(matrix)
        for case, x, drawn in _codes(codes[train], codes[tested], test["samples"], test["lines"], seed):
            distance = nearest.distance(encoder.inverse_transform(drawn))
            of = group if case == RECONSTRUCTED else np.arange(len(distance))
            for record in _records(case, distance, limit, of, draws, seed):
                records.append({**place, "representation": name, "x": x, **record})
        progress.reached(done)
    progress.finished()
    return records


class Nearest:
    """Distances to the nearest of some rows (n, p), in their standardised columns, over √p."""

    def __init__(self, rows: np.ndarray):
        self.scaler = StandardScaler().fit(rows)
        self.rows = self.scaler.transform(rows)

    def distance(self, rows: np.ndarray) -> np.ndarray:
        """(m,) of rows (m, p)."""
        scaled = self.scaler.transform(rows)
        near = pairwise_distances_argmin(scaled, self.rows)
        # from the difference itself: the expansion that found the nearest loses the digits of small distances
        return np.linalg.norm(scaled - self.rows[near], axis=1) / np.sqrt(scaled.shape[1])


def _codes(
    train: np.ndarray, tested: np.ndarray, samples: int, lines: int, seed: int
) -> Iterator[tuple[str, float | None, np.ndarray]]:
    """Case, x and codes to decode, from the codes of training rows (n, d) and test rows (m, d)."""
    rng = np.random.default_rng(seed)
    standard = rng.normal(size=(samples, train.shape[1]))
    yield RECONSTRUCTED, None, tested
    yield PRIOR, None, standard
    # a root by eigenvectors, as a collapsed dimension makes the covariance singular
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(train.T)))
    yield FITTED, None, train.mean(axis=0) + (standard * np.sqrt(np.maximum(variances, 0))) @ axes.T
    start, end = random_pairs(len(tested), seed, lines).T
    for step in STEPS:
        yield LINE, float(round(step, 10)), (1 - step) * tested[start] + step * tested[end]


def _records(
    case: str, distance: np.ndarray, limit: float, groups: np.ndarray, draws: int, seed: int
) -> Iterator[dict]:
    def statistics(rows: np.ndarray) -> tuple[float, float, float]:
        drawn = distance[rows]
        return *np.quantile(drawn, (0.5, QUANTILE)), (drawn > limit).mean()

    redraws = redrawn(statistics, groups, draws=draws, seed=seed)
    for metric, values in zip(("distance", "distance_p95", "share_beyond"), redraws.T, strict=True):
        yield {"case": case, "metric": metric, **interval(values)._asdict(), "n": len(distance)}
