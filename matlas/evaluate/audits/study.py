"""All audits of one encoder."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pandas as pd

from matlas.errors import DataError, nearest
from matlas.evaluate.audits.drift import drift_audit
from matlas.evaluate.audits.families import family_audit, large_families
from matlas.evaluate.audits.polymorphs import NEEDED, polymorph_audit
from matlas.evaluate.audits.shortcut import TRAININGS, shortcut_audit
from matlas.evaluate.audits.sources import source_audit
from matlas.evaluate.audits.subject import Subject
from matlas.evaluate.resampling import DRAWS
from matlas.probe.targets import target_values

log = logging.getLogger(__name__)


def audit(
    features: pd.DataFrame,
    parts: pd.DataFrame,
    about: pd.DataFrame,
    encoder: Mapping,
    test: Mapping,
    *,
    raw: pd.DataFrame | None = None,
    selected: Mapping | None = None,
    resampled_by: str = "chemical_system",
    seed: int = 0,
    draws: int = DRAWS,
    device: str = "auto",
) -> list[dict]:
    """Records (schema TESTS, but for study and dataset) of every audit that `test` asks for.

    features : (n, p) in the order of the file, indexed by the entity key; parts : key, fold, part, of one fold with
    test rows; about : columns of the dataset, indexed by the key; encoder : a representation of config/methods.yaml;
    test : a schemas.config.studies.AuditTest as plain values; resampled_by : column whose rows belong together: they
    stay together in cross-validation and are drawn together for intervals; selected : how the columns of a selected
    view are chosen (n_features, max_correlation) from raw (n, q), so that encoders trained without a family or without
    later rows have columns chosen without them, too. The polymorphs are audited where the dataset has formulas and
    prototypes. The encoder is trained once as it is, and again for planted failures, for every family and for the
    earlier rows, each time for as long as the published one.
    Raises DataError for a column that the dataset lacks, and as the encoder and the selection do.
    """
    named = [test["families"], *(test["sources"] or ()), *test["matched_by"], test["over"], resampled_by]
    for column in filter(None, named):
        if column not in about.columns:
            raise DataError(f"no column {column!r} to audit by", expected=nearest(column, about.columns))
    families = about[test["families"]] if test["families"] else None
    left_out = [] if families is None else large_families(families, features.index, test["least"])
    trainings = 1 + TRAININGS + len(left_out) + bool(test["sources"]) + bool(test["over"])
    subject = Subject.of(
        features, parts, encoder, about[resampled_by], trainings=trainings, raw=raw, selected=selected,
        seed=seed, draws=draws, device=device,
    )  # fmt: skip
    records = shortcut_audit(subject)
    if families is not None:
        records += family_audit(subject, families, test["least"])
    if set(NEEDED) <= set(about.columns):
        stability = test["stability"]
        stable = target_values(about, {"stable": {"sql": stability}})[0]["stable"] if stability else None
        records += polymorph_audit(subject, about, stable)
    if test["sources"]:
        records += source_audit(subject, about, tuple(test["sources"]), test["matched_by"])
    if test["over"]:
        records += drift_audit(subject, about[test["over"]])
    subject.progress.finished()
    for record in records:
        if record["metric"] == "caught":
            verdict = "caught" if record["value"] else "not caught"
            log.info("%s, %s, %s: %s", record["test"], record["case"], record.get("group", ""), verdict)
    return [{**record, "view": test["view"], "representation": test["encoder"]} for record in records]
