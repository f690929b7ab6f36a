"""The encoder under audit, what it makes of the rows, and how it is trained again on altered ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from matlas.encoders import Encoder
from matlas.errors import DataError
from matlas.evaluate.alignment import rows_of
from matlas.evaluate.resampling import DRAWS, Interval, score
from matlas.evaluate.retraining import retrained
from matlas.features.selected import select
from matlas.probe.heads import CLASSIFICATION, REGRESSION, head_of
from matlas.probe.splits import TEST, TRAIN, balanced_folds
from matlas.represent import Representation
from matlas.threads import Progress

DATA, PLANTED = "data", "planted"  # cases
NOTABLE_AUC = 0.6  # an area under the ROC curve below this is not worth a warning, however certain
_HEAD = {"algorithm": "boosting", "max_iter": 60, "learning_rates": [0.1]}
_FOLDS = 3


@dataclass
class Subject:
    """An encoder, trained on the training rows of a split with one fold.

    features : (n, p) indexed by the entity key; parts : key, fold, part; spec : of the encoder; groups : (n,) group of
    each row, which grouped cross-validation keeps together and intervals redraw; selected : of a selected view, how its
    columns are chosen (n_features, max_correlation), and raw (n, q) all that they are chosen from, rows as in features;
    trainings : how many are planned, for the progress in the log. Made by `of`: encoder; codes (n, d); error : (n,)
    reconstruction error; train, test : row numbers of these parts.
    """

    features: pd.DataFrame
    parts: pd.DataFrame
    spec: Mapping
    groups: np.ndarray
    raw: pd.DataFrame | None = None
    selected: Mapping | None = None
    seed: int = 0
    draws: int = DRAWS
    device: str = "auto"
    progress: Progress = field(default_factory=lambda: Progress("encoders", 1, " trained"))
    trained: int = 0

    @classmethod
    def of(
        cls, features: pd.DataFrame, parts: pd.DataFrame, spec: Mapping, groups: pd.Series, *, trainings: int = 1,
        **options,
    ) -> Subject:  # fmt: skip
        """groups : indexed by the entity key; options : raw, selected, seed, draws, device. Raises DataError for
        entities without a group or raw columns and for a split without test rows, and as `train_on` does."""
        group = rows_of(groups, features.index, "groups").to_numpy()
        subject = cls(features, parts, spec, group, **options)
        if subject.selected is not None:
            if subject.raw is None:
                raise DataError("no columns to choose a selected view from", do="pass those of its views as `raw`")
            subject.raw = rows_of(subject.raw, features.index, "raw columns")
        subject.progress = Progress("encoders", trainings, " trained")
        subject.encoder, made, part = subject.retrain(features, parts)
        subject.codes, subject.error = made.scores, made.reconstruction_error
        subject.train, subject.test = (np.flatnonzero(part == name) for name in (TRAIN, TEST))
        if not len(subject.test):
            raise DataError("no test rows to judge an encoder by", do="use a split that keeps some for testing")
        return subject

    def retrain(self, features: pd.DataFrame, parts: pd.DataFrame) -> tuple[Encoder, Representation, pd.Series]:
        """The same encoder, trained on other rows."""
        made = retrained(features, parts, self.spec, device=self.device)
        self.trained += 1
        self.progress.reached(self.trained)
        return made

    def features_for(self, parts: pd.DataFrame) -> pd.DataFrame:
        """The features of an encoder that must not know the rows outside `parts`: the columns of a selected view are
        chosen anew by the training rows, those of any other view stay. Raises DataError where too few are left."""
        return self.features if self.selected is None else select(self.raw, parts, self.selected)[0]

    @property
    def redraws(self) -> dict[str, int]:
        return {"draws": self.draws, "seed": self.seed}

    def planted_offset(
        self, columns: int, rows: np.ndarray, size: np.ndarray | float, features: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """The features (by default those of the subject) with `size` (one number, or one for each of `rows`) standard
        deviations of the training rows added to `columns` columns (or all, where there are fewer), drawn by seed, in
        the rows (numbers)."""
        features = self.features if features is None else features
        matrix = features.to_numpy(dtype=np.float64, copy=True)
        spread = matrix[self.train].std(axis=0)
        varying = np.flatnonzero(spread > 0)
        chosen = np.random.default_rng(self.seed).permutation(varying)[:columns]
        matrix[np.ix_(rows, chosen)] += np.broadcast_to(size, len(rows))[:, None] * spread[chosen]
        return pd.DataFrame(matrix, index=features.index, columns=features.columns)


def told_apart(
    codes: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """roc_auc of labels (n,) of 0 and 1 read from codes (n, d) by boosted trees, tested on other groups (n,)."""
    return score("roc_auc", labels, _read(codes, labels, groups, CLASSIFICATION, seed), groups, draws=draws, seed=seed)


def read_number(
    codes: np.ndarray, values: np.ndarray, groups: np.ndarray, *, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """Spearman's ρ of values (n,) and what boosted trees read of them from codes (n, d), tested on other groups."""
    predicted = _read(codes, values, groups, REGRESSION, seed)
    return score("spearman", values, predicted, groups, draws=draws, seed=seed)


def notable(found: Interval, chance: Interval | None = None, least: float = NOTABLE_AUC) -> bool:
    """Whether a score is above chance for certain (its interval above that of `chance`, by default above a half), and
    large enough to matter."""
    limit = 0.5 if chance is None else chance.high
    return None not in (found.low, limit) and found.low > limit and found.value >= least


def _read(codes: np.ndarray, values: np.ndarray, groups: np.ndarray, task: str, seed: int) -> np.ndarray:
    fold = balanced_folds(pd.factorize(groups, sort=True)[0], _FOLDS, np.random.default_rng(seed))
    predicted = np.empty(len(codes))
    with threadpool_limits(1):  # trees this small only wait for each other's threads
        for held in (fold == i for i in range(_FOLDS)):
            head = head_of(_HEAD, task, seed).fit(codes[~held], values[~held], groups[~held])
            predicted[held] = head.predict(codes[held])
    return predicted
