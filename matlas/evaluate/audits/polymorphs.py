"""Whether crystals of one composition stay apart: polymorphs, and the stable one from the others."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from matlas.evaluate.audits.subject import DATA, PLANTED, Subject
from matlas.evaluate.resampling import interval, mean_over_groups, redrawn

log = logging.getLogger(__name__)

TEST = "polymorphs"
FORMULA, PROTOTYPE = NEEDED = ("reduced_formula", "prototype")
RANDOM_PAIRS = 200_000
CONFUSED = 0.25  # half-way from never to guessing
LEAST = 10  # pairs that must be there to speak of them
_PAIRS_A_FORMULA = 20  # drawn at random, so that the few formulas with hundreds of polymorphs don't speak for all
_PAIRS_AT_ONCE = 50_000


def polymorph_audit(subject: Subject, about: pd.DataFrame, stable: pd.Series | None = None) -> list[dict]:
    """How near polymorphs lie in the code, among the test rows.

    about : reduced_formula and prototype of each entity; stable : 1, 0 or NaN for each, both indexed by the entity key.
    Cases "data" (the code), "data, descriptors" (standardised by the training rows) and "planted": the code of rows
    replaced by the mean of all rows of their formula, descriptors that know the composition only. For all pairs, and
    for those of a stable and an unstable one (the record's group): percentile, the median share of random pairs of test
    rows that lie nearer than a pair; share_confused, the share of crystals that are rebuilt from their code no nearer
    to themselves than to the other of the pair (half where both are as near: 0.5 for a code that can't tell them
    apart), both with intervals over groups; caught: whether CONFUSED or more are.
    """
    rows = subject.test
    known = about.reindex(subject.features.index)
    pairs = polymorph_pairs(known.iloc[rows], subject.seed)
    if len(pairs) < LEAST:
        log.warning("%d pairs of polymorphs among the test rows, fewer than %d: not audited", len(pairs), LEAST)
        return []
    means = subject.features.groupby(known[FORMULA].to_numpy()).transform("mean")
    scaler = StandardScaler().fit(subject.features.to_numpy()[subject.train])
    descriptors = scaler.transform(subject.features.to_numpy()[rows])
    merged = subject.encoder.transform(means.to_numpy()[rows])
    rebuilt = lambda codes: scaler.transform(subject.encoder.inverse_transform(codes))  # noqa: E731
    spaces = {
        DATA: (subject.codes[rows], rebuilt(subject.codes[rows])),
        f"{DATA}, descriptors": (descriptors, descriptors),
        PLANTED: (merged, rebuilt(merged)),
    }
    subsets = {"": np.ones(len(pairs), dtype=bool)}
    if stable is not None:
        flag = stable.reindex(subject.features.index).to_numpy()[rows][pairs]
        subsets["stable and unstable"] = np.abs(flag[:, 0] - flag[:, 1]) == 1  # NaN is neither
    records, groups = [], subject.groups[rows][pairs[:, 0]]
    for case, (codes, seen) in spaces.items():
        chance = distances(codes, random_pairs(len(rows), subject.seed))
        ranks, wrong = percentiles(distances(codes, pairs), chance), confused(seen, descriptors, pairs)
        for group, chosen in subsets.items():
            if chosen.sum() < LEAST:
                log.warning("%d pairs of polymorphs, %s: not audited", chosen.sum(), group)
                continue
            place = {"test": TEST, "case": case, "group": group, "n": int(chosen.sum()), "seed": subject.seed}
            of, drawn = groups[chosen], {"draws": subject.draws, "seed": subject.seed}
            share = mean_over_groups(wrong[chosen], of, **drawn)
            records += [
                {**place, "metric": "percentile", **median_percentile(ranks[chosen], of, **drawn)},
                {**place, "metric": "share_confused", **share._asdict()},
                {**place, "metric": "caught", "value": float(share.value >= CONFUSED)},
            ]
    return records


def polymorph_pairs(about: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """(m, 2) row numbers of pairs with the same reduced_formula and different prototypes, at most 20 a formula, drawn
    by seed."""
    rng = np.random.default_rng(seed)
    prototypes = pd.factorize(about[PROTOTYPE])[0]
    found = [np.empty((0, 2), dtype=np.int64)]
    formulas = pd.Series(np.arange(len(about))).groupby(about[FORMULA].to_numpy())
    for _, rows in formulas:
        rows = rows.to_numpy()
        if len(rows) < 2:
            continue
        first, second = np.triu_indices(len(rows), 1)
        pairs = np.stack([rows[first], rows[second]], axis=1)
        pairs = pairs[prototypes[pairs[:, 0]] != prototypes[pairs[:, 1]]]
        if len(pairs) > _PAIRS_A_FORMULA:
            pairs = pairs[np.sort(rng.choice(len(pairs), _PAIRS_A_FORMULA, replace=False))]
        found.append(pairs)
    return np.concatenate(found)


def random_pairs(n: int, seed: int, count: int = RANDOM_PAIRS) -> np.ndarray:
    """(count, 2) numbers of two different rows of n, drawn with replacement."""
    rng = np.random.default_rng(seed)
    first = rng.integers(n, size=count)
    return np.stack([first, (first + rng.integers(1, n, size=count)) % n], axis=1)


def distances(codes: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(m,) Euclidean distance of pairs (m, 2) of rows of codes (n, d)."""
    parts = [pairs[start : start + _PAIRS_AT_ONCE] for start in range(0, len(pairs), _PAIRS_AT_ONCE)]
    return np.concatenate([np.linalg.norm(codes[p[:, 0]] - codes[p[:, 1]], axis=1) for p in parts])


def confused(rebuilt: np.ndarray, truth: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(m,) of pairs (m, 2) of rows, the share (0 to 1) of the two whose `rebuilt` (n, d) is nearer to the other's truth
    (n, d) than to their own; a half of one for equally near."""
    wrong = np.zeros(len(pairs))
    for own, other in (pairs.T, pairs.T[::-1]):
        margin = np.linalg.norm(rebuilt[own] - truth[own], axis=1) - np.linalg.norm(rebuilt[own] - truth[other], axis=1)
        wrong += (1 + np.sign(margin)) / 4
    return wrong


def percentiles(apart: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """(m,) share of the distances `chance` that are smaller than each of the distances `apart` (m,)."""
    return np.searchsorted(np.sort(chance), apart, side="left") / len(chance)


def median_percentile(ranks: np.ndarray, groups: np.ndarray, *, draws: int, seed: int) -> dict[str, float | None]:
    """value, low and high of the median of ranks (m,)."""
    return interval(redrawn(lambda rows: np.median(ranks[rows]), groups, draws=draws, seed=seed))._asdict()
