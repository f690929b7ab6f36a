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
from matlas.represent import Representation, as_records, fit, pca_records
from matlas.rows import HeldRows, Rows, taken
from matlas.threads import Progress

log = logging.getLogger(__name__)

MOST_DESCRIBED = 50_000  # training rows that say which units of a code are used


def train_on(
    features: Rows, parts: pd.DataFrame, spec: Mapping, **options
) -> tuple[Encoder, Representation, pd.Series]:
    """An encoder fitted on the training rows of the one fold of a split, and what it makes of every row.

    features : n rows by entity; parts : key, fold, part, as `fold_parts` returns them; spec : a representation of
    config/methods.yaml; options : what it lacks, such as the device. Where the split has validation rows, they decide
    when a training ends. Returns the encoder, the representation, whose records hold the reconstruction error of each
    part, and the part of each row ("" for one that the split doesn't use).
    Raises DataError for a split of several folds, and as encoders do.
    """
    if parts["fold"].nunique() != 1:
        raise DataError(
            "a representation is fitted on one fold", expected="a split of kind holdout or ordered",
            found=f"{parts['fold'].nunique()} folds",
        )  # fmt: skip
    part = part_of(features.index, parts)
    encoder = encoder_of({**spec, **options})
    _fit(encoder, features, part)
    codes, error = _encoded(encoder, features)
    seed = spec.get("random_state")
    records = as_records({"n_features": features.shape[1], "reconstruction_error": error.mean()}, seed)
    for name in PARTS:
        if (rows := (part == name).to_numpy()).any():
            counted = {"reconstruction_error": error[rows].mean(), "entities": rows.sum()}
            records += [record | {"split": name} for record in as_records(counted, seed)]
    if hasattr(encoder, "active_units_"):  # a network may leave parts of its code unused
        train = _some_rows(features, np.flatnonzero((part == TRAIN).to_numpy()))
        records += _collapse_records(collapse_report(encoder, train), seed)
        if encoder.kind == "linear":
            records += as_records({"angle_to_pca": angle_to_pca(encoder, train)}, seed)
    made = Representation(codes, records, getattr(encoder, "loadings_", None), error)
    return encoder, made, part


def represent_rows(features: Rows, spec: Mapping) -> Representation:
    """The representation of config/methods.yaml of all rows: `represent.fit`, or where they come in batches and an
    encoder of that name learns from batches, what it makes of them."""
    if isinstance(features, HeldRows) or spec["algorithm"] not in ("identity", "pca"):
        return fit(taken(features), **spec)
    encoder = encoder_of({"standardise": False, **spec}).fit_rows(features, np.arange(features.shape[0]))
    codes, error = _encoded(encoder, features)
    if spec["algorithm"] == "identity":
        return Representation(codes, as_records({"n_features": features.shape[1]}, None))
    shares, seed = encoder.explained_variance_ratio_, spec.get("random_state")
    records = pca_records(features.shape[1], shares, error, seed)
    return Representation(codes, records, encoder.loadings_, error)


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
        _fit(encoder, HeldRows(matrix, raw.index, []), part, groups)
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


def rebuilt_sample(encoder: Encoder, features: Rows, part: pd.Series, rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """At most `rows` test rows and what an encoder rebuilds of them: the key, feature, truth and rebuilt, both in
    standardised units of the training rows."""
    test = np.flatnonzero((part == TEST).to_numpy())
    drawn = np.sort(np.random.default_rng(seed).choice(test, min(rows, len(test)), replace=False))
    matrix = taken(features, drawn)
    rebuilt = encoder.inverse_transform(encoder.transform(matrix))
    truth, rebuilt = ((values - encoder.mean_) / encoder.scale_ for values in (matrix, rebuilt))
    return pd.DataFrame({
        features.index.name: np.repeat(features.index[drawn], features.shape[1]),
        "feature": np.tile(np.array(features.columns, dtype=object), len(drawn)),
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


def _fit(encoder: Encoder, features: Rows, part: pd.Series, groups: pd.Series | None = None) -> None:
    train, validation = (np.flatnonzero((part == name).to_numpy()) for name in (TRAIN, VALIDATION))
    if len(validation):
        encoder.fit_rows(features, train, validation=validation)
    else:
        of_row = None if groups is None else groups.reindex(part.index).to_numpy()[train]
        encoder.fit_rows(features, train, groups=of_row)


def _encoded(encoder: Encoder, features: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n, d) and reconstruction errors (n,) of all rows."""
    made = [(encoder.transform(rows), encoder.reconstruction_error(rows)) for rows in features.batches()]
    codes, errors = zip(*made, strict=True)
    return np.concatenate(codes), np.concatenate(errors)


def _some_rows(features: Rows, which: np.ndarray, seed: int = 0) -> np.ndarray:
    """Rows at the positions `which`; of more than MOST_DESCRIBED, that many drawn at random."""
    if len(which) > MOST_DESCRIBED:
        log.info("collapse is described by %d of %d training rows, drawn at random", MOST_DESCRIBED, len(which))
        which = np.sort(np.random.default_rng(seed).choice(which, MOST_DESCRIBED, replace=False))
    return taken(features, which)
