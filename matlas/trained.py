"""Representations that are fitted on the training rows of a split, and applied to all others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy.linalg import subspace_angles

from matlas.autoencoders.collapse import collapse_report
from matlas.encoders import Encoder, PrincipalComponents, encoder_of
from matlas.errors import DataError
from matlas.probe.selection import DescriptorSelector
from matlas.probe.splits import PARTS, TEST, TRAIN, VALIDATION, part_of
from matlas.represent import Representation
from matlas.threads import Progress

log = logging.getLogger(__name__)


def train_on(
    features: pd.DataFrame, parts: pd.DataFrame, spec: Mapping, **options
) -> tuple[Encoder, Representation, pd.Series]:
    """An encoder fitted on the training rows of the one fold of a split, and what it makes of every row.

    features : (n, p), indexed by the entity key; parts : key, fold, part, as `fold_parts` returns them; spec : a
    representation of config/methods.yaml; options : what it lacks, such as the device. Where the split has validation
    rows, they decide when a training ends. Returns the encoder, the representation, whose records hold the
    reconstruction error of each part, and the part of each row ("" for one that the split doesn't use).
    Raises DataError for a split of several folds, and as encoders do.
    """
    if parts["fold"].nunique() != 1:
        raise DataError(
            "a representation is fitted on one fold", expected="a split of kind holdout or ordered",
            found=f"{parts['fold'].nunique()} folds",
        )  # fmt: skip
    part = part_of(features.index, parts)
    encoder = encoder_of({**spec, **options})
    _fit(encoder, features.to_numpy(), part)
    matrix = features.to_numpy()
    error = encoder.reconstruction_error(matrix)
    seed = spec.get("random_state")
    records = [
        {"metric": "n_features", "value": float(matrix.shape[1]), "seed": seed},
        {"metric": "reconstruction_error", "value": float(error.mean()), "seed": seed},
    ]
    for name in PARTS:
        if (rows := (part == name).to_numpy()).any():
            value = float(error[rows].mean())
            records.append({"metric": "reconstruction_error", "value": value, "seed": seed, "split": name})
            records.append({"metric": "entities", "value": float(rows.sum()), "seed": seed, "split": name})
    if hasattr(encoder, "active_units_"):  # a network may leave parts of its code unused
        train = matrix[(part == TRAIN).to_numpy()]
        records += _collapse_records(collapse_report(encoder, train), seed)
        if encoder.kind == "linear":
            records.append({"metric": "angle_to_pca", "value": angle_to_pca(encoder, train), "seed": seed})
    made = Representation(encoder.transform(matrix), records, getattr(encoder, "loadings_", None), error)
    return encoder, made, part


def encode_folds(
    raw: pd.DataFrame, parts: pd.DataFrame, spec: Mapping, *, selected: Mapping | None = None, groups: pd.Series,
    **options,
) -> pd.DataFrame:  # fmt: skip
    """Codes of the rows of each fold, by an encoder that has seen its training rows and nothing else.

    raw : (n, p), indexed by the entity key; selected : how columns are chosen first (n_features, max_correlation), in
    each fold anew; groups : group of each entity. Validation rows decide when a training ends; of a fold without any,
    whole groups of training rows do. Returns the key, fold, part, z_0 … and reconstruction_error.
    """
    tables = []
    progress = Progress("encoders", parts["fold"].nunique(), " trained")
    for fold, rows in parts.groupby("fold", sort=False):
        part = part_of(raw.index, rows)
        matrix = raw.to_numpy()
        if selected:
            matrix = DescriptorSelector(**selected).fit(matrix[(part == TRAIN).to_numpy()]).transform(matrix)
        encoder = encoder_of({**spec, **options})
        _fit(encoder, matrix, part, groups)
        used = (part != "").to_numpy()
        codes = encoder.transform(matrix[used])
        table = pd.DataFrame(codes, columns=[f"z_{i}" for i in range(codes.shape[1])])
        table.insert(0, raw.index.name, raw.index[used])
        table.insert(1, "fold", fold)
        table.insert(2, "part", part[used].to_numpy())
        tables.append(table.assign(reconstruction_error=encoder.reconstruction_error(matrix[used])))
        log.info("fold %s: %d training rows", fold, int((part == TRAIN).sum()))
        progress.reached(len(tables))
    progress.finished()
    return pd.concat(tables, ignore_index=True)


def angle_to_pca(encoder: Encoder, rows: np.ndarray) -> float:
    """Largest principal angle in degrees between what a linear encoder can rebuild and the span of as many principal
    components of its training rows (n, p) (Björck & Golub 1973, doi:10.2307/2005662): 0 for the same subspace."""
    width = encoder.code_width_
    rebuilt = encoder.inverse_transform(np.vstack([np.zeros(width), np.eye(width)]))
    directions = (rebuilt[1:] - rebuilt[0]) / encoder.scale_
    components = PrincipalComponents(width, encoder.standardise).fit(rows).loadings_
    return float(np.degrees(subspace_angles(directions.T, components.T).max()))


def rebuilt_sample(
    encoder: Encoder, features: pd.DataFrame, part: pd.Series, rows: int = 300, seed: int = 0
) -> pd.DataFrame:
    """At most `rows` test rows and what an encoder rebuilds of them: the key, feature, truth and rebuilt, both in
    standardised units of the training rows."""
    test = np.flatnonzero((part == TEST).to_numpy())
    drawn = np.sort(np.random.default_rng(seed).choice(test, min(rows, len(test)), replace=False))
    matrix = features.to_numpy()[drawn]
    rebuilt = encoder.inverse_transform(encoder.transform(matrix))
    truth, rebuilt = ((values - encoder.mean_) / encoder.scale_ for values in (matrix, rebuilt))
    return pd.DataFrame({
        features.index.name: np.repeat(features.index[drawn], features.shape[1]),
        "feature": np.tile(features.columns.to_numpy(dtype=object), len(drawn)),
        "truth": truth.ravel(), "rebuilt": rebuilt.ravel(),
    })  # fmt: skip


def _collapse_records(report: Mapping, seed: int | None) -> Iterable[dict]:
    """What `autoencoders.collapse.collapse_report` says, as records of metrics."""
    for name in ("active_units", "code_width", "participation_ratio"):
        yield {"metric": name, "value": float(report[name]), "seed": seed}
    for dimension in report["dimensions"]:
        yield {"metric": f"variance_z_{dimension['dimension']}", "value": dimension["variance"], "seed": seed}
        if dimension["kl"] is not None:
            yield {"metric": f"kl_z_{dimension['dimension']}", "value": dimension["kl"], "seed": seed}


def _fit(encoder: Encoder, matrix: np.ndarray, part: pd.Series, groups: pd.Series | None = None) -> None:
    train, validation = ((part == name).to_numpy() for name in (TRAIN, VALIDATION))
    if validation.any():
        encoder.fit(matrix[train], validation=matrix[validation])
    else:
        of_row = None if groups is None else groups.reindex(part.index).to_numpy()[train]
        encoder.fit(matrix[train], groups=of_row)
