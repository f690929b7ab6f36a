"""Whether the reconstruction error tells families that an encoder never saw from those it did."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from matlas.autoencoders.ranges import mahalanobis
from matlas.encoders import Encoder, encoder_of
from matlas.evaluate.audits.subject import DATA, PLANTED, Subject, notable
from matlas.evaluate.resampling import score
from matlas.probe.splits import TRAIN

log = logging.getLogger(__name__)

TEST = "out_of_family"
MAHALANOBIS = "Mahalanobis"
OFFSET_COLUMNS, OFFSET = 10, 3.0


def large_families(families: pd.Series, entities: pd.Index, least: int) -> list[str]:
    """Names of the families that `least` of the entities or more belong to, sorted."""
    counts = families.reindex(entities).value_counts()
    return sorted(counts.index[counts >= least])


def family_audit(subject: Subject, families: pd.Series, least: int) -> list[dict]:
    """How well the reconstruction error tells rows of a family from test rows of the others (roc_auc, interval over
    groups), by an encoder trained without that family, on columns that are chosen without it where the view is
    selected; the record's group is the family.

    families : family of each entity, indexed by the key; least : members of a family that is looked at. The yardstick
    is the Mahalanobis distance from the training rows among as many principal components of the same columns as the
    code is wide (cases "…, Mahalanobis"). Planted: test rows with 3 standard deviations added to 10 columns, among the
    test rows as they are. caught: the rows are told apart; an unseen family that is not caught passes for known.
    """
    family = families.reindex(subject.features.index).to_numpy()
    held_out = np.zeros(len(family), dtype=bool)
    held_out[subject.test] = True
    records = []
    for name in (names := large_families(families, subject.features.index, least)):
        foreign = family == name
        without = subject.parts[~subject.parts[subject.features.index.name].isin(subject.features.index[foreign])]
        features = subject.features_for(without)
        encoder, made, part = subject.retrain(features, without)
        seen = features.to_numpy(dtype=np.float64)
        judged = np.flatnonzero(foreign | held_out)
        measures = {
            DATA: made.reconstruction_error[judged],
            f"{DATA}, {MAHALANOBIS}": _distance(encoder, seen[(part == TRAIN).to_numpy()], seen[judged]),
        }
        records += _records(subject, measures, name, foreign[judged], subject.groups[judged])
    log.info("%d families of %d or more entities were left out in turn", len(names), least)
    rows, matrix = subject.test, subject.features.to_numpy(dtype=np.float64)
    offset = subject.planted_offset(OFFSET_COLUMNS, rows, OFFSET).to_numpy()[rows]
    both = np.concatenate([matrix[rows], offset])
    measures = {
        PLANTED: subject.encoder.reconstruction_error(both),
        f"{PLANTED}, {MAHALANOBIS}": _distance(subject.encoder, matrix[subject.train], both),
    }
    strange = np.repeat([False, True], len(rows))
    return records + _records(subject, measures, "", strange, np.tile(subject.groups[rows], 2))


def _records(
    subject: Subject, measures: dict[str, np.ndarray], group: str, strange: np.ndarray, groups: np.ndarray
) -> list[dict]:
    records = []
    for case, values in measures.items():
        found = score("roc_auc", strange.astype(float), values, groups, **subject.redraws)
        place = {"test": TEST, "case": case, "group": group, "n": len(values), "seed": subject.seed}
        records += [
            {**place, "metric": "roc_auc", **found._asdict()},
            {**place, "metric": "caught", "value": float(notable(found))},
        ]
    return records


def _distance(encoder: Encoder, train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(m,) Mahalanobis distance of rows (m, p) from training rows, in principal components as many as the code."""
    plain = encoder_of({"algorithm": "pca", "n_components": encoder.code_width_}).fit(train)
    scores = plain.transform(train)
    precision = np.linalg.pinv(np.atleast_2d(np.cov(scores.T, ddof=0)), hermitian=True)
    return mahalanobis(plain.transform(rows), scores.mean(axis=0), precision)
