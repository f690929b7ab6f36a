"""Whether a code carries what no descriptor should know: the place of a row in the file, or its batch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from matlas.evaluate.audits.subject import DATA, NOTABLE_AUC, PLANTED, Subject, notable, read_number, told_apart
from matlas.evaluate.resampling import Interval

TEST = "shortcut"
ROW_NUMBER, BATCH = "row number", "batch"  # groups
SHUFFLED, ONE_COLUMN = "shuffled order", f"{PLANTED}, one column"
TRAININGS = 3
BATCHES = 20  # blocks of rows of equal length; every second one is another batch
ARTEFACT_COLUMNS, OFFSET_COLUMNS = 5, 20
NOTABLE_RHO = 0.1
_NOISE = 0.1  # of the artefact, in units of its standard deviation


def shortcut_audit(subject: Subject) -> list[dict]:
    """What boosted trees read from the codes of test rows, tested on groups they were not fitted on.

    The row number (rank correlation) and the batch, every second of 20 blocks of rows (area under the ROC curve), each
    also after the rows changed places (case "…, shuffled order"): what chance gives. Planted, each with an encoder
    trained on it: an artefact, the row number with a tenth of its spread as noise, in place of 5 descriptors, and (case
    "planted, one column") of a single one, which a narrow code may well squeeze out; and an offset of 1 standard
    deviation in 20 descriptors of every second block.
    caught: the interval lies above that of the shuffled order, where a failure is planted also above that of the data
    as they are, and the correlation is 0.1 or the area 0.6 at least. A file sorted by source or by chemistry is caught,
    too: then codes that know chemistry do know the place.
    """
    n = len(subject.features)
    place = np.arange(n) / n
    batch = np.arange(n) * BATCHES // n % 2
    plants = (
        (ROW_NUMBER, PLANTED, with_artefact(subject, place, ARTEFACT_COLUMNS)),
        (ROW_NUMBER, ONE_COLUMN, with_artefact(subject, place, 1)),
        (BATCH, PLANTED, subject.planted_offset(OFFSET_COLUMNS, np.flatnonzero(batch), 1.0)),
    )
    values, unplanted, records = {ROW_NUMBER: place, BATCH: batch}, {}, []
    for group in values:
        unplanted[group], made = _read(subject, DATA, group, subject.codes, values[group])
        records += made
    for group, case, features in plants:
        codes = subject.retrain(features, subject.parts)[1].scores
        records += _read(subject, case, group, codes, values[group], unplanted[group])[1]
    return records


def with_artefact(subject: Subject, place: np.ndarray, columns: int) -> pd.DataFrame:
    """The features with some columns, drawn by seed, replaced by the place (n,) in their units, with noise."""
    matrix = subject.features.to_numpy(dtype=np.float64, copy=True)
    rng = np.random.default_rng(subject.seed)
    chosen = rng.permutation(matrix.shape[1])[:columns]
    standard = (place - place.mean()) / place.std()
    noisy = standard[:, None] + _NOISE * rng.normal(size=(len(matrix), len(chosen)))
    matrix[:, chosen] = matrix[:, chosen].mean(axis=0) + noisy * matrix[:, chosen].std(axis=0)
    return pd.DataFrame(matrix, index=subject.features.index, columns=subject.features.columns)


def _read(
    subject: Subject, case: str, group: str, codes: np.ndarray, values: np.ndarray, unplanted: Interval | None = None
) -> tuple[Interval, list[dict]]:
    """What is read from codes (n, d) of values (n,), and its records."""
    rows = subject.test
    codes, values, groups = codes[rows], values[rows].astype(float), subject.groups[rows]
    read, metric, least = (
        (read_number, "spearman", NOTABLE_RHO) if group == ROW_NUMBER else (told_apart, "roc_auc", NOTABLE_AUC)
    )
    found = read(codes, values, groups, **subject.redraws)
    chance = read(codes, np.random.default_rng(subject.seed).permutation(values), groups, **subject.redraws)
    caught = notable(found, chance, least) and (unplanted is None or notable(found, unplanted, least))
    common = {"test": TEST, "group": group, "n": len(rows), "seed": subject.seed}
    return found, [
        {**common, "case": case, "metric": metric, **found._asdict()},
        {**common, "case": f"{case}, {SHUFFLED}", "metric": metric, **chance._asdict()},
        {**common, "case": case, "metric": "caught", "value": float(caught)},
    ]
