"""Which entities train, validate and test in each fold of a split.

A split is drawn by the entities' keys and groups, never by their order in a table: the same entities in another order
fall into the same parts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from matlas.errors import ConfigError, DataError, nearest
from matlas.evaluate.alignment import rows_of

log = logging.getLogger(__name__)

TRAIN, VALIDATION, TEST = PARTS = ("train", "validation", "test")


def fold_parts(spec: Mapping, entities: pd.DataFrame) -> pd.DataFrame:
    """The part of each entity in each fold of the split that `spec` describes.

    spec : {"kind": one of KINDS, "by": a column, …}, the rest being arguments of that function below; entities : the
    columns that a split may go by, indexed by the entity key. Of the training rows a share "validation" is set apart,
    for encoders to end their training by: whole groups of the column "validation_by" or, without it, those that the
    kind names. Returns the key, fold (its name) and part (one of PARTS); an entity that a fold has no use for is absent
    from it, as are (counted in the log) those without a value of a column that the split goes by.
    Raises ConfigError for an unknown kind; DataError for a doubled entity, a missing column, too few groups or values
    and an empty part.
    """
    options = dict(spec)
    kind = options.pop("kind")
    if kind not in KINDS:
        raise ConfigError(f"unknown kind of split {kind!r}", expected=nearest(kind, KINDS))
    by = options.pop("by", None)
    if by is None and kind not in ("holdout", "folds"):
        raise ConfigError(f"a split of kind {kind!r} goes by a column", expected="by: <column>", found="none")
    if not entities.index.is_unique:
        raise DataError("entities of a split are doubled", found=repr(entities.index[entities.index.duplicated()][0]))
    validation_by = options.pop("validation_by", None)
    for column in filter(None, (by, validation_by)):
        entities = _with_value(entities, column)
    values = (entities.index if by is None else entities[by]).to_numpy()
    draw = _Draw(entities.index, values, None if validation_by is None else entities[validation_by])
    tables = []
    for fold, part in KINDS[kind](values, draw, **options).items():
        _check_filled(part, fold)
        tables.append(pd.DataFrame({entities.index.name: entities.index, "fold": fold, "part": part}))
    parts = pd.concat(tables, ignore_index=True)
    if by is not None and not options.get("ordinary"):  # those are drawn singly
        check_disjoint(parts, entities[by])
    return parts


def part_of(entities: pd.Index, parts: pd.DataFrame) -> pd.Series:
    """The part of each entity in one fold, "" for none. parts : rows of that fold, as `fold_parts` returns them."""
    return parts.set_index(entities.name)["part"].reindex(entities).fillna("")


def check_disjoint(parts: pd.DataFrame, groups: pd.Series) -> None:
    """Raises DataError when a group has rows in test and in training or validation of one fold.

    parts : as `fold_parts` returns them; groups : group of each entity, indexed by the key.
    """
    group = rows_of(groups, pd.Index(parts[groups.index.name]).unique(), "groups")
    table = pd.DataFrame(
        {"fold": parts["fold"], "group": parts[groups.index.name].map(group), "test": parts["part"] == TEST}
    )
    sides = table.groupby(["fold", "group"], sort=False, dropna=False)["test"].nunique()
    torn = sides[sides > 1]
    if len(torn):
        fold, name = torn.index[0]
        raise DataError(
            "groups are in training and test of one fold", where=f"fold {fold}", expected=f"each {groups.name} in one",
            found=f"{name!r} in both, {len(torn)} such groups in all folds", do=f"split by {groups.name}",
        )  # fmt: skip


def balanced_folds(codes: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) fold 0 … folds - 1 of each row, whole groups together and folds of about equal size.

    codes : (n,) group numbers 0 … G - 1. Groups in random order, the largest first, each to the fold with the fewest
    rows so far (Graham 1969, doi:10.1137/0117039). Raises DataError for fewer groups than folds.
    """
    sizes = np.bincount(codes)
    if len(sizes) < folds:
        raise _too_few("groups", folds, len(sizes))
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of, loads = np.empty(len(sizes), dtype=np.int64), [0] * folds
    for group, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        fold_of[group] = lightest = loads.index(min(loads))
        loads[lightest] += size
    return fold_of[codes]


class _Draw:
    """Random choices of whole groups (by the values of the column `by`) or of single entities.

    validation_by : what validation rows are to be drawn by, where that is declared.
    """

    def __init__(self, keys: pd.Index, values: np.ndarray, validation_by: pd.Series | None):
        self.groups = pd.factorize(values, sort=True)[0]
        self.singles = pd.factorize(keys, sort=True)[0]
        self._declared = None if validation_by is None else pd.factorize(validation_by, sort=True)[0]

    def share(self, rows: np.ndarray, share: float, seed: int, *, codes: np.ndarray) -> np.ndarray:
        """(n,) bool: whole groups among `rows` (n,) bool, as many as come nearest to that share of the rows, but at
        least one, and not all."""
        names, inside = np.unique(codes[rows], return_inverse=True)
        if len(names) < 2:
            raise _too_few("groups", 2, len(names))
        order = np.random.default_rng(seed).permutation(len(names))
        filled = np.cumsum(np.bincount(inside)[order])
        count = int(np.abs(filled[:-1] - share * rows.sum()).argmin()) + 1
        return rows & np.isin(codes, names[order[:count]])

    def parts(self, tested: np.ndarray, validation: float, seed: int, *, codes: np.ndarray) -> np.ndarray:
        """(n,) part of each row: all that are not tested train, but for a share kept for validation."""
        part = np.where(tested, TEST, TRAIN).astype(object)
        if validation:
            codes = codes if self._declared is None else self._declared
            # another seed than the one that drew the test rows
            part[self.share(~tested, validation, seed + 1, codes=codes)] = VALIDATION
        return part


def holdout(
    values: np.ndarray, draw: _Draw, *, test: float = 0.2, validation: float = 0.1, random_state: int = 0
) -> dict[str, np.ndarray]:
    """Fold "holdout": whole groups of `by` (single entities without one) drawn until about `test` of the rows."""
    tested = draw.share(np.ones(len(values), dtype=bool), test, random_state, codes=draw.groups)
    return {"holdout": draw.parts(tested, validation, random_state, codes=draw.groups)}


def folds(
    values: np.ndarray, draw: _Draw, *, folds: int, validation: float = 0.0, random_state: int = 0
) -> dict[str, np.ndarray]:
    """Folds "fold 1" …: whole groups of `by` (single entities without one), each tested once."""
    fold_of = balanced_folds(draw.groups, folds, np.random.default_rng(random_state))
    return {
        f"fold {i + 1}": draw.parts(fold_of == i, validation, random_state, codes=draw.groups) for i in range(folds)
    }


def leave_out(
    values: np.ndarray, draw: _Draw, *, least: int = 1, validation: float = 0.0, random_state: int = 0
) -> dict[str, np.ndarray]:
    """A fold a value of `by` that at least `least` entities have, named after it: it is tested, all others train."""
    names, counts = np.unique(values.astype(str), return_counts=True)
    chosen = names[counts >= least].tolist()
    if not chosen or len(names) < 2:
        raise _too_few(f"groups of {least} or more entities", "1 beside others", len(chosen))
    return {
        name: draw.parts(tested, validation, random_state, codes=draw.groups)
        for name, tested in ((name, values.astype(str) == name) for name in chosen)
    }


def ordered(
    values: np.ndarray, draw: _Draw, *, test: float = 0.25, validation: float = 0.0, random_state: int = 0
) -> dict[str, np.ndarray]:
    """One fold, "after …": tested on the entities whose number is above that, cut (never within a value) where the
    test rows come nearest to the share `test`. Validation rows are drawn singly."""
    distinct, counts = np.unique(_numbers(values), return_counts=True)
    if len(distinct) < 2:
        raise _too_few("distinct values", 2, len(distinct))
    after = len(values) - np.cumsum(counts)[:-1]
    cut = distinct[int(np.abs(after - test * len(values)).argmin())]
    tested = values > cut
    name = str(int(cut)) if float(cut).is_integer() else str(cut)
    return {f"after {name}": draw.parts(tested, validation, random_state, codes=draw.singles)}


def extremes(
    values: np.ndarray,
    draw: _Draw,
    *,
    share: float = 0.05,
    end: str = "high",
    ordinary: float = 0.0,
    validation: float = 0.0,
    random_state: int = 0,
) -> dict[str, np.ndarray]:
    """One fold, "highest 5 %" or "lowest 5 %": tested on that share of the numbers, equal ones never parted, and on a
    share `ordinary` of the others, among which the extremes are to be found (Kauwe et al. 2020,
    doi:10.1016/j.commatsci.2019.109498). Those and validation rows are drawn singly: drawn by their values, a value
    that many rows share (a band gap of 0) would be tested or trained on as a whole."""
    high = {"high": True, "low": False}[end]
    outward = _numbers(values) if high else -_numbers(values)
    tested = outward >= np.sort(outward)[::-1][max(1, round(share * len(values))) - 1]
    if ordinary:
        tested |= draw.share(~tested, ordinary, random_state, codes=draw.singles)
    name = f"{'highest' if high else 'lowest'} {100 * share:g} %"
    return {name: draw.parts(tested, validation, random_state, codes=draw.singles)}


KINDS = {"holdout": holdout, "folds": folds, "leave_out": leave_out, "ordered": ordered, "extremes": extremes}


def _with_value(entities: pd.DataFrame, by: str) -> pd.DataFrame:
    if by not in entities.columns:
        raise DataError(
            f"no column {by!r} to split by", where=f"entities by {entities.index.name}",
            expected=nearest(by, entities.columns),
        )  # fmt: skip
    known = entities[by].notna()
    if not known.all():
        log.info("%d of %d entities have no %s and are in no fold", (~known).sum(), len(known), by)
    return entities[known]


def _numbers(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "iuf":
        raise DataError("a split by size needs numbers", expected="a numeric column", found=values.dtype)
    return values


def _check_filled(part: np.ndarray, fold: str) -> None:
    for name in (TRAIN, TEST):
        if not (part == name).any():
            raise DataError(f"no entities in part {name}", where=f"fold {fold}", found=f"0 of {len(part)}")


def _too_few(what: str, expected: object, found: int) -> DataError:
    return DataError(
        f"too few {what} to split by", expected=expected if isinstance(expected, str) else f"{expected} or more",
        found=found, do="ask for fewer folds, or split by another column",
    )  # fmt: skip
