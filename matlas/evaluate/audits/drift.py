"""Whether an encoder trained on early rows rebuilds later ones as well."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from matlas.evaluate.audits.subject import DATA, PLANTED, Subject
from matlas.evaluate.resampling import interval, redrawn, score
from matlas.probe.splits import TEST as TEST_PART
from matlas.probe.splits import fold_parts

log = logging.getLogger(__name__)

TEST = "drift"
LATER = 0.25  # share of the rows
OFFSET_COLUMNS, OFFSET = 10, 3.0
NOTABLE = 0.1  # of the error of earlier rows
LEAST = 20  # test rows on either side


def drift_audit(subject: Subject, time: pd.Series) -> list[dict]:
    """Reconstruction error before and after a time, by an encoder trained on the training rows before it, on columns
    that are chosen by these rows where the view is selected.

    time : a number for each entity, indexed by the key; rows without one are left out. The time is that after which a
    quarter of the rows lie. Only test rows of the split are judged, on both sides, so that both are of groups that the
    encoder has never seen. difference : mean error of later rows less that of earlier ones, with an interval over
    groups; earlier : the mean error before; spearman : of error and time among the later rows. Planted: 10 columns of
    later rows move away, by 3 standard deviations until the last. caught: the difference is above 0 for certain, and a
    tenth of the error of earlier rows at least.
    Left out, with a warning in the log, where fewer than 20 test rows lie on a side.
    """
    when = time.reindex(subject.features.index)
    known = when.dropna().to_frame("time")
    sides = fold_parts({"kind": "ordered", "by": "time", "test": LATER}, known).set_index(known.index.name)["part"]
    later = (sides.reindex(when.index) == TEST_PART).to_numpy()
    earlier = when.notna().to_numpy() & ~later
    held_out = np.zeros(len(when), dtype=bool)
    held_out[subject.test] = True
    counts = [int((side & held_out).sum()) for side in (earlier, later)]
    if min(counts) < LEAST:
        log.warning("%d test rows before and %d after: drift is not audited", *counts)
        return []
    parts, key = subject.parts, subject.features.index.name
    before = parts[parts[key].isin(when.index[earlier])]
    features = subject.features_for(before)
    encoder, made, _ = subject.retrain(features, before)
    year = when.to_numpy(dtype=np.float64)
    began = year[earlier].max()
    moved = np.flatnonzero(later)
    step = OFFSET * (year[moved] - began) / (year[moved].max() - began)
    planted = subject.planted_offset(OFFSET_COLUMNS, moved, step, features).to_numpy()
    judged = np.flatnonzero((earlier | later) & held_out)
    records = []
    for case, error in {DATA: made.reconstruction_error, PLANTED: encoder.reconstruction_error(planted)}.items():
        records += _records(subject, case, error[judged], year[judged], later[judged], subject.groups[judged])
    return records


def _records(
    subject: Subject, case: str, error: np.ndarray, year: np.ndarray, later: np.ndarray, groups: np.ndarray
) -> list[dict]:
    def means(rows: np.ndarray) -> tuple[float, float]:
        after = later[rows]
        return error[rows][~after].mean(), error[rows][after].mean()

    before, after = redrawn(means, groups, **subject.redraws).T
    difference = interval(after - before)
    trend = score("spearman", year[later], error[later], groups[later], **subject.redraws)
    caught = difference.low is not None and difference.low > 0 and difference.value >= NOTABLE * before[0]
    place = {"test": TEST, "case": case, "n": len(error), "seed": subject.seed}
    return [
        {**place, "metric": "earlier", **interval(before)._asdict(), "n": int((~later).sum())},
        {**place, "metric": "difference", **difference._asdict()},
        {**place, "metric": "spearman", **trend._asdict(), "n": int(later.sum())},
        {**place, "metric": "caught", "value": float(caught)},
    ]
