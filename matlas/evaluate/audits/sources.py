"""Whether a code tells where a row was taken from, when size and number of elements say nothing about it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from matlas.evaluate.audits.subject import DATA, PLANTED, Subject, notable, told_apart

log = logging.getLogger(__name__)

TEST = "source_bias"
UNMATCHED, RANDOM_LABELS = "unmatched", "random labels"
OFFSET_COLUMNS, OFFSET = 20, 1.0
LEAST = 30  # matched rows of each source


def source_audit(
    subject: Subject, about: pd.DataFrame, sources: tuple[str, str], matched_by: Sequence[str]
) -> list[dict]:
    """How well boosted trees, tested on other groups, read from the codes of test rows which of two sources they are
    from (roc_auc).

    about : the columns of `sources`, two flags, and of `matched_by`, indexed by the entity key; rows with both flags or
    none are left out. Matched: from the rows that agree in all of `matched_by`, equal numbers of both sources are
    drawn. Cases "data" (the code, matched), "data, unmatched", "data, descriptors" and "data, descriptors, unmatched";
    "random labels": the matched rows with their sources shuffled; "planted": 1 standard deviation added to 20 columns
    of all rows of the second source, and the encoder trained on that. caught: the sources are told apart better than
    the random labels.
    Left out, with a warning in the log, where fewer than 30 rows of each source match.
    """
    first, second = (about[name].reindex(subject.features.index).to_numpy(dtype=bool) for name in sources)
    rows = subject.test[(first ^ second)[subject.test]]
    strata = about.reindex(subject.features.index)[list(matched_by)].iloc[rows]
    matched = rows[matched_rows(second[rows], strata, subject.seed)]
    if second[matched].sum() < LEAST:
        log.warning("%d test rows of %s match one of %s: not audited", second[matched].sum(), *sources)
        return []
    planted = subject.planted_offset(OFFSET_COLUMNS, np.flatnonzero(second & ~first), OFFSET)
    biased = subject.retrain(planted, subject.parts)[1].scores
    matrix, source = subject.features.to_numpy(dtype=np.float64), second.astype(float)
    shuffled = source.copy()
    shuffled[matched] = np.random.default_rng(subject.seed).permutation(source[matched])
    cases = {
        DATA: (subject.codes, source, matched),
        f"{DATA}, {UNMATCHED}": (subject.codes, source, rows),
        f"{DATA}, descriptors": (matrix, source, matched),
        f"{DATA}, descriptors, {UNMATCHED}": (matrix, source, rows),
        RANDOM_LABELS: (subject.codes, shuffled, matched),
        PLANTED: (biased, source, matched),
    }
    found = {
        case: told_apart(codes[of], labels[of], subject.groups[of], **subject.redraws)
        for case, (codes, labels, of) in cases.items()
    }
    records = []
    for case, score in found.items():
        place = {"test": TEST, "case": case, "n": len(cases[case][2]), "seed": subject.seed}
        caught = float(notable(score, found[RANDOM_LABELS]))
        records += [
            {**place, "metric": "roc_auc", **score._asdict()},
            {**place, "metric": "caught", "value": caught},
        ]
    return records


def matched_rows(second: np.ndarray, strata: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """Row numbers, ascending, of equally many rows of the first and the second source in each stratum, drawn by seed.

    second : (n,) bool; strata : (n, s) columns, of which rows of one stratum have all values in common; without any
    column all rows are one stratum.
    """
    rng = np.random.default_rng(seed)
    stratum = strata.groupby(list(strata), dropna=False).ngroup().to_numpy() if len(strata.columns) else 0 * second
    chosen = [np.empty(0, dtype=np.int64)]
    for name in np.unique(stratum):
        sides = [np.flatnonzero((stratum == name) & (second == side)) for side in (False, True)]
        count = min(map(len, sides))
        chosen += [rng.permutation(side)[:count] for side in sides]
    return np.sort(np.concatenate(chosen))
