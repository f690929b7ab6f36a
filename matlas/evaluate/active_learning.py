"""Which materials to measure next: those that a model is least sure of, those unlike all measured ones, or any.

A pool of materials whose property is hidden, a model that is fitted again after each batch that is uncovered, and a
judge, materials that are never in the pool.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from sklearn.ensemble import ExtraTreesRegressor

from matlas.errors import ConfigError, DataError
from matlas.evaluate.alignment import rows_of
from matlas.evaluate.resampling import mean_over_seeds, median_over_seeds
from matlas.probe.splits import TEST as TEST_PART
from matlas.probe.splits import TRAIN
from matlas.represent import finite_matrix
from matlas.threads import map_in_threads

TEST = "active_learning"
UNCERTAINTY, NOVELTY, RANDOM = STRATEGIES = ("uncertainty", "novelty", "random")
TREES = 100
_SHARE_OF_COLUMNS = 1 / 3  # that each cut of a tree chooses from, as is usual in regression


def active_learning(
    spaces: Mapping[tuple[str, str], pd.DataFrame],
    target: pd.Series,
    parts: pd.DataFrame,
    *,
    start: int = 100,
    batch: int = 50,
    rounds: int = 8,
    seeds: int = 5,
    seed: int = 0,
    pool: int = 5000,
    judges: int = 3000,
    threads: int | None = None,
) -> list[dict]:
    """Records (schema TESTS, but for study and dataset) of the error after each batch, for each way of choosing.

    spaces : {(view, representation): (n, d) coordinates} indexed by the entity key, taken as they are; target : numbers
    indexed by the key, NaN where unknown; parts : of a split with one fold, whose training rows with a target are the
    pool, whose test rows the judge; start : labels at random to begin with; batch, rounds : how many are asked for, and
    how often; seeds : repetitions, from `seed` on, each with other first labels, the same for all spaces and ways;
    pool, judges : at most so many rows of each, drawn anew in each repetition; threads : repetitions at a time (results
    do not depend on it).

    The model is always extremely randomised trees (Geurts, Ernst and Wehenkel 2006, doi:10.1007/s10994-006-6226-1).
    Cases: "uncertainty" asks for the rows on which the trees differ most (standard deviation); "novelty" for the row
    farthest from all labelled ones, one after another (Gonzalez 1985, doi:10.1016/0304-3975(85)90224-5); "random" for
    any. The record's group is the target, x the number of labels. Metrics: mae, its median over the repetitions and the
    range of 95 % of them; mae_less_random, the mean difference to "random" of the same repetition, with an interval for
    that mean (below 0: fewer errors).
    Raises DataError for a split with several folds and entities that a space lacks, ConfigError for more labels than
    the pool has.
    """
    if parts["fold"].nunique() != 1:
        raise DataError("active learning needs one fold", expected="a split with one", found=parts["fold"].nunique())
    key = target.index.name
    known = set(target.index[target.notna()])
    rows = {part: pd.Index([e for e in parts[key][parts["part"] == part] if e in known]) for part in (TRAIN, TEST_PART)}
    asked = start + batch * rounds
    if asked > min(pool, len(rows[TRAIN])):
        raise ConfigError(
            "more labels are asked for than the pool has", expected=f"at most {min(pool, len(rows[TRAIN]))}",
            found=f"{start} + {rounds} batches of {batch}", do="lower start, batch or rounds",
        )  # fmt: skip
    if rows[TEST_PART].empty:
        raise DataError("no test row has the target, so there is no judge", where=target.name)
    codes = {}
    for space, z in spaces.items():
        name = "/".join(space)
        codes[space] = {part: finite_matrix(rows_of(z, at, name).to_numpy(), name) for part, at in rows.items()}
    truth = {part: rows_of(target, at, "targets").to_numpy(dtype=np.float64) for part, at in rows.items()}

    def repetition(job: tuple[tuple[str, str], int]) -> dict[str, np.ndarray]:
        space, number = job
        rng = np.random.default_rng([seed, number])  # draws the same rows in each space
        draw = {part: _at_most(limit, len(truth[part]), rng) for part, limit in ((TRAIN, pool), (TEST_PART, judges))}
        hidden, judge = ((codes[space][part][at], truth[part][at]) for part, at in draw.items())
        labels = rng.permutation(len(hidden[1]))
        return {s: learning_curve(s, *hidden, *judge, labels, start, batch, rounds, seed + number) for s in STRATEGIES}

    jobs = [(space, number) for space in codes for number in range(seeds)]
    found = dict(zip(jobs, map_in_threads(repetition, jobs, what="repetitions", threads=threads), strict=True))
    n = min(judges, len(truth[TEST_PART]))
    records = []
    for space in codes:
        curves = {s: np.stack([found[space, i][s] for i in range(seeds)]) for s in STRATEGIES}
        for strategy, errors in curves.items():
            place = {"view": space[0], "representation": space[1], "test": TEST, "case": strategy, "group": target.name}
            for i, x in enumerate(range(start, asked + 1, batch)):
                place |= {"x": float(x), "n": n, "seed": None}
                records.append({**place, "metric": "mae", **median_over_seeds(errors[:, i])._asdict()})
                if strategy != RANDOM:
                    less = mean_over_seeds(errors[:, i] - curves[RANDOM][:, i], seed=seed)
                    records.append({**place, "metric": "mae_less_random", **less._asdict()})
    return records


def learning_curve(
    strategy: str,
    hidden: np.ndarray,
    values: np.ndarray,
    judge: np.ndarray,
    judged: np.ndarray,
    labels: np.ndarray,
    start: int,
    batch: int,
    rounds: int,
    seed: int,
) -> np.ndarray:
    """(rounds + 1,) mean absolute error on the judge with start, start + batch, … labels.

    strategy : one of STRATEGIES; hidden, values : (p, d) pool and (p,) its property; judge, judged : (m, d) and (m,);
    labels : (p,) a random order of the pool, which begins with the first labels and which "random" follows.
    """
    hidden, judge = hidden.astype(np.float32), judge.astype(np.float32)  # what trees compute with
    chosen = labels[:start]
    errors = []
    for done in range(rounds + 1):
        model = ExtraTreesRegressor(TREES, max_features=_SHARE_OF_COLUMNS, random_state=seed, n_jobs=1)
        model.fit(hidden[chosen], values[chosen])
        errors.append(np.abs(model.predict(judge) - judged).mean())
        if done == rounds:
            break
        if strategy == RANDOM:
            new = labels[len(chosen) : len(chosen) + batch]
        elif strategy == NOVELTY:
            new = farthest_first(hidden, chosen, batch)
        else:
            spread = np.std([tree.predict(hidden, check_input=False) for tree in model.estimators_], axis=0)
            spread[chosen] = -1
            new = np.argsort(-spread, kind="stable")[:batch]
        chosen = np.concatenate([chosen, new])
    return np.array(errors)


def farthest_first(rows: np.ndarray, chosen: np.ndarray, count: int) -> np.ndarray:
    """(count,) numbers of rows (p, d), each the farthest by Euclidean distance from those chosen before it, the first
    of equally far ones. chosen : (m,) numbers of those to begin with."""
    far = cdist(rows, rows[chosen]).min(axis=1)
    far[chosen] = -1
    new = np.empty(count, dtype=np.int64)
    for i in range(count):
        new[i] = far.argmax()
        np.minimum(far, np.linalg.norm(rows - rows[new[i]], axis=1), out=far)
        far[new[i]] = -1  # equal rows may still be asked for, a row itself only once
    return new


def _at_most(count: int, n: int, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.choice(n, count, replace=False)) if n > count else np.arange(n)
