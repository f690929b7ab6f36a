"""A property read from several inputs by several heads over the folds of one split, with controls."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from matlas.errors import DataError
from matlas.evaluate.alignment import rows_of
from matlas.probe.heads import Head, head_of
from matlas.probe.preparation import Preparation
from matlas.probe.splits import TEST, TRAIN
from matlas.threads import Progress

log = logging.getLogger(__name__)

MEAN, SHUFFLED = CONTROLS = ("mean", "shuffled")
NO_INPUT = "none"  # the input of the mean


def shuffled(head: str) -> str:
    """Name of the control of a head: itself, fitted on targets permuted among the training rows and judged by targets
    permuted among the test rows (y-randomisation: Rücker et al. 2007, doi:10.1021/ci700157b). Nothing in an input has
    to do with them, so the control is at chance unless the head has seen those that it is judged by. It does not show
    a column that knows the property itself."""
    return f"{head} ({SHUFFLED})"


def probe(
    raw: np.ndarray,
    inputs: Mapping[str, Preparation],
    target: pd.Series,
    groups: pd.Series,
    parts: pd.DataFrame,
    heads: Mapping[str, Mapping],
    *,
    task: str,
    seed: int = 0,
    controls: Collection[str] = CONTROLS,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions of every head on every input for the test rows of every fold.

    raw : (n, p) wide matrix of all columns that inputs take; inputs : their preparations, fitted anew in each fold on
    all its training rows, with or without a target; target : (n,) the property, numbers or for classification truth
    values, missing where unknown, indexed by the entity key; groups : group of each entity, indexed by the key, for
    inner folds; parts : as `fold_parts` returns them; heads : specs as `head_of` takes them; task : one of TASKS; seed
    : of heads and permutations, the same in each fold for all inputs; controls : "mean", a head of that name on the
    input "none"; "shuffled", the first head (only this, to save time) also with permuted targets, named by `shuffled`.

    Heads are fitted on rows of part train only; validation rows are the encoders'. A row without a target is left out.
    Whether train and test share groups is the split's choice: see `check_disjoint`.

    Returns (predictions, fits). predictions : the key, input, head, fold, truth (of the shuffled control the permuted
    one, by which it is judged) and predicted (the property, or the score of the positive class). fits : input, head,
    fold, rows_train and rows_test (both with a target), rows_missing (train and test rows without one), rows_used
    (train rows fitted on), chosen (settings as text), seconds.
    Raises DataError for parts of unknown entities, a part of a fold without any target, and as heads and preparations
    do.
    """
    key = target.index
    if len(raw) != len(key):
        raise DataError("features and targets have different rows", expected=len(key), found=len(raw))
    truth = _numbers(target)
    group = rows_of(groups, key, "groups").to_numpy()
    folds = [_fold_of(name, rows, key, truth) for name, rows in parts.groupby("fold", sort=False)]
    first = next(iter(heads))
    fits_each = len(inputs) * (len(heads) + (SHUFFLED in controls)) + (MEAN in controls)
    progress = Progress("heads", len(folds) * fits_each, " fitted")
    predictions, fits = [], []

    def fit(fold: _Fold, name: str, head: str, spec: Mapping, X: np.ndarray, y: np.ndarray) -> None:
        begun = time.monotonic()
        model = head_of(spec, task, seed).fit(X[fold.train], y[fold.train], group[fold.train])
        predicted = model.predict(X[fold.test])
        place = {"input": name, "head": head, "fold": fold.name}
        predictions.append(
            pd.DataFrame({key.name: key[fold.test], **place, "truth": y[fold.test], "predicted": predicted})
        )
        fits.append({**place, **fold.rows(), "rows_used": model.rows_used_, "chosen": _text(model)})
        fits[-1]["seconds"] = time.monotonic() - begun
        progress.reached(len(fits))

    for fold in folds:
        permuted = _permuted(truth, (fold.train, fold.test), seed)
        if MEAN in controls:
            fit(fold, NO_INPUT, MEAN, {"algorithm": "mean"}, np.empty((len(key), 0)), truth)
        for name, preparation in inputs.items():
            X = preparation.fit(raw, fold.prepared, group, fold.name).transform(raw)
            for head, spec in heads.items():
                fit(fold, name, head, spec, X, truth)
                if SHUFFLED in controls and head == first:
                    fit(fold, name, shuffled(head), spec, X, permuted)
    progress.finished()
    return pd.concat(predictions, ignore_index=True), pd.DataFrame(fits)


@dataclass(frozen=True)
class _Fold:
    """Rows of one fold, each (n,) bool: train and test have a target, prepared are all of part train."""

    name: str
    prepared: np.ndarray
    train: np.ndarray
    test: np.ndarray
    missing: int

    def rows(self) -> dict[str, int]:
        return {
            "rows_train": int(self.train.sum()),
            "rows_test": int(self.test.sum()),
            "rows_missing": self.missing,
        }


def _fold_of(name: str, parts: pd.DataFrame, key: pd.Index, truth: np.ndarray) -> _Fold:
    places = key.get_indexer(parts[key.name])
    if (places < 0).any():
        raise DataError("a split names unknown entities", where=f"fold {name}", found=int((places < 0).sum()))
    if len(np.unique(places)) < len(places):
        raise DataError("an entity is twice in one fold", where=f"fold {name}", expected="one part each")
    prepared, tested = np.zeros(len(key), dtype=bool), np.zeros(len(key), dtype=bool)
    prepared[places[(parts["part"] == TRAIN).to_numpy()]] = True
    tested[places[(parts["part"] == TEST).to_numpy()]] = True
    known = np.isfinite(truth)
    missing = int(((prepared | tested) & ~known).sum())
    if missing:
        log.info("fold %s: %d of %d entities have no target", name, missing, (prepared | tested).sum())
    for part, rows in ((TRAIN, prepared), (TEST, tested)):
        if not (rows & known).any():
            raise DataError(
                f"no entity of part {part} has a target", where=f"fold {name}", found=f"0 of {int(rows.sum())}",
                do="split the entities that have one",
            )  # fmt: skip
    return _Fold(name, prepared, prepared & known, tested & known, missing)


def _numbers(target: pd.Series) -> np.ndarray:
    """(n,) float64, NaN where missing."""
    if not target.index.is_unique:
        raise DataError("targets name an entity twice", found=repr(target.index[target.index.duplicated()][0]))
    values = target.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        raise DataError("targets are infinite", where=target.name, found=int(np.isinf(values).sum()))
    return values


def _permuted(values: np.ndarray, parts: Iterable[np.ndarray], seed: int) -> np.ndarray:
    """Values that change places within each part, (n,) bool."""
    moved, rng = values.copy(), np.random.default_rng(seed)
    for rows in parts:
        moved[rows] = rng.permutation(moved[rows])
    return moved


def _text(head: Head) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in head.chosen_.items())
