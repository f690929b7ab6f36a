"""All probes of a study under one split: predictions, scores with intervals, differences between inputs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from matlas.errors import DataError
from matlas.probe.inputs import folds_with, pairs_of
from matlas.probe.intervals import ALL, TASK_METRICS, paired_differences, score_table
from matlas.probe.preparation import Preparation
from matlas.probe.probes import probe, shuffled
from matlas.probe.splits import TEST, TRAIN
from schemas.tables.learning import COMPARISONS, PROBES

log = logging.getLogger(__name__)

LEAST = 20  # rows with the target that a fold must train and test on, and that a family must have to be spoken of
_ERROR = {"regression": "mae", "classification": "roc_auc", "extremes": "mae"}  # what comparisons and families go by


@dataclass(frozen=True)
class Probed:
    """predictions : every row that was predicted; scores, comparisons : as PROBES and COMPARISONS have them."""

    predictions: pd.DataFrame
    scores: pd.DataFrame
    comparisons: pd.DataFrame


def probe_study(
    study: str,
    raw: pd.DataFrame,
    inputs: Mapping[str, Preparation],
    targets: pd.DataFrame,
    tasks: Mapping[str, str],
    about: pd.DataFrame,
    parts: pd.DataFrame,
    probing: Mapping,
    trial: Mapping,
    heads: Mapping[str, Mapping],
    split: Mapping,
) -> Probed:
    """raw, inputs : as `read_inputs` returns them; targets : one column each, indexed by the entity key, NaN where
    there is none, and their tasks; about : the columns of the dataset that intervals and families go by; parts : of
    the split; probing, trial, heads, split : as configured. Raises DataError where no fold has enough of a target."""
    groups = about[probing["resampled_by"]].reindex(raw.index)
    predictions, scores, comparisons = [], [], []
    for target in trial["targets"] or targets.columns:
        values, task = targets[target].reindex(raw.index), tasks[target]
        usable, without = folds_with(values, parts[parts[raw.index.name].isin(raw.index)], LEAST)
        if usable.empty:
            raise DataError(
                f"target {target} can't be probed under split {trial['split']}", where=f"study {study}",
                expected=f"{LEAST} rows with the target to train and to test on in a fold",
                do="leave the target out of the trial",
            )  # fmt: skip
        if without:
            log.info("%s: too few rows in folds %s", target, ", ".join(without))
        made, fits = probe(
            raw.to_numpy(), inputs, values, groups, usable, heads, task=task, seed=probing["random_state"],
        )  # fmt: skip
        place = {"study": study, "split": trial["split"], "target": target, "task": task}
        chance = [shuffled(head) for head in heads]
        predictions.append(made[~made["head"].isin(chance)].assign(**place))  # chance needs no row by row account
        judged = "extremes" if split["kind"] == "extremes" else task
        options = {"n_bootstrap": probing["draws"], "seed": probing["random_state"]}
        if judged == "extremes":
            options |= _extremes(values, usable, largest=split["end"] == "high")
        pairs = pairs_of(probing["compare"], inputs, heads)
        for group, rows, metrics in _groups(made, about, probing["families"], judged):
            by_chance = rows["head"].isin(chance)  # whose truths are others
            for alike in (rows[~by_chance], rows[by_chance]):
                scored = score_table(alike, groups, judged, metrics, **options)
                if group:  # a fold has too few rows of a family
                    scored = scored[scored["fold"] == ALL]
                scores.append(_with_rows_used(scored, fits).assign(**place, group=group))
            if pairs:
                pooled = rows[~by_chance].assign(fold="")  # differences over all folds together
                found = paired_differences(pooled, pairs, groups, _ERROR[judged], **options)
                comparisons.append(found[found["fold"] == ALL].assign(**place, group=group))
    compared = COMPARISONS.empty()
    if comparisons:
        names = {"input_a": "input", "head_a": "head", "input_b": "against", "difference": "value"}
        compared = pd.concat(comparisons, ignore_index=True).rename(columns=names)[COMPARISONS.columns]
    return Probed(
        pd.concat(predictions, ignore_index=True),
        pd.concat(scores, ignore_index=True)[PROBES.columns],
        compared,
    )


def _groups(
    predictions: pd.DataFrame, about: pd.DataFrame, families: str | None, judged: str
) -> Iterator[tuple[str, pd.DataFrame, list[str] | None]]:
    """("", all rows, all metrics), then each family that is large enough, with the metric by which it is compared."""
    yield "", predictions, None
    if families is None or judged == "classification":
        return
    key = about.index.name
    family = about[families].reindex(predictions[key]).to_numpy()
    for name in sorted(set(family)):
        rows = predictions[family == name]
        if rows[key].nunique() >= LEAST:
            yield name, rows.assign(fold=""), [TASK_METRICS["regression"][0]]


def _with_rows_used(scores: pd.DataFrame, fits: pd.DataFrame) -> pd.DataFrame:
    """Scores with the training rows that were fitted on; of all folds together the most in any of them."""
    fit = ["input", "head", "fold"]
    used = pd.concat([fits, fits.assign(fold=ALL)]).groupby(fit)["rows_used"].max()
    return scores.join(used, on=fit)


def _extremes(target: pd.Series, parts: pd.DataFrame, *, largest: bool) -> dict:
    """Which share of the test rows lies beyond all training rows, and is to be found by top_k_recall."""
    values = target if largest else -target
    train, test = (values.loc[parts.loc[parts["part"] == part, target.index.name]].dropna() for part in (TRAIN, TEST))
    return {"top_share": float((test > train.max()).mean()), "largest": largest}
