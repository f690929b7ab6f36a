"""Whether what an encoder learned from unlabelled compositions of one dataset helps where labels of another are few.

The code of a frozen encoder competes with the descriptors it is made from, with principal components of the same width,
and with an encoder of the study's own compositions: what it is worth is what it adds to these.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from matlas.encoders import Encoder, encoder_of
from matlas.errors import DataError
from matlas.evaluate.alignment import rows_of
from matlas.evaluate.resampling import mean_over_seeds, median_over_seeds
from matlas.probe.heads import REGRESSION, head_of
from matlas.represent import finite_matrix
from matlas.threads import Progress, map_in_threads

log = logging.getLogger(__name__)

TEST = "transfer"
DESCRIPTORS, PCA_OWN, PCA_SOURCE = "descriptors", "pca own", "pca source"
ENCODER_OWN, ENCODER_SOURCE, GREY_BOX = "encoder own", "encoder source", "grey-box"
INPUTS = (DESCRIPTORS, PCA_OWN, PCA_SOURCE, ENCODER_OWN, ENCODER_SOURCE, GREY_BOX)
AGAINST = (DESCRIPTORS, PCA_SOURCE, ENCODER_OWN)  # what the encoder of the source is compared with
TEST_SHARE = 0.2  # of the groups


@dataclass(frozen=True)
class Own:
    """The study's dataset, all tables with the same rows: descriptors (n, p); formulas, the reduced formula, and
    groups, whose rows are labelled and tested together, of each; columns (n, c), which every input has too, maybe
    none; targets (n, t), NaN where unknown."""

    descriptors: pd.DataFrame
    formulas: pd.Series
    groups: pd.Series
    columns: pd.DataFrame
    targets: pd.DataFrame

    def __post_init__(self):
        for name, table in vars(self).items():
            if not table.index.equals(self.descriptors.index):
                raise DataError(f"{name} and descriptors have other entities", do="take both from the same dataset")


def transfer(
    own: Own,
    source: pd.DataFrame,
    source_formulas: pd.Series,
    encoder: Mapping,
    heads: Mapping[str, Mapping],
    *,
    view: str,
    sizes: Sequence[int],
    seeds: int = 10,
    seed: int = 0,
    threads: int | None = None,
) -> list[dict]:
    """Records (schema TESTS, but for study and dataset) of errors for each number of labelled groups.

    source : (m, p) descriptors of the other dataset, and source_formulas, their reduced formulas, with the same index;
    it is used without labels, one row a formula, without the formulas of `own`; encoder : of `encoder_of`, and the
    width of the principal components; heads : {name: spec of `head_of`}; view : the name of the descriptors; sizes :
    numbers of labelled groups, to which "all" training groups are added; those that are more than all are left out;
    seeds : repetitions, from `seed` on, each with other groups tested (a fifth) and labelled; threads : repetitions at
    a time (results do not depend on it).

    "own" principal components and encoders are fitted on one row of each training group of the repetition, without
    labels; smaller training sets are parts of larger ones; columns of inputs are standardised over all rows of the
    training groups. "grey-box" is the descriptors beside the code of the
    source's encoder.

    A record's representation is the input (one of INPUTS), its case the head, its group the target, x the number of
    labelled groups, n that of tested rows (median). Metrics: mae and r2, the median over the repetitions and the range
    of 95 % of them; mae_less_descriptors, mae_less_pca_source and mae_less_encoder_own, of "encoder source" only, the
    mean difference to that input on the same rows, with an interval for that mean (below 0: fewer errors). Then
    source_compositions and shared_compositions: how many the source's encoder was trained on and how many it was not,
    as `own` has them.
    Raises DataError when the source has no composition left or other columns, and for NaN, infinity, entities that a
    table lacks and fewer than 5 groups with a target.
    """
    foreign = source_rows(source, source_formulas, own)
    width = _width_of(encoder)
    source_matrix = finite_matrix(foreign.to_numpy(), "descriptors of the source")
    of_source = encoder_of(encoder).fit(source_matrix)
    pca_source = encoder_of(_pca(width)).fit(source_matrix)
    descriptors = finite_matrix(own.descriptors.to_numpy(), "descriptors")
    fixed = {
        DESCRIPTORS: descriptors,
        PCA_SOURCE: pca_source.transform(descriptors),
        ENCODER_SOURCE: of_source.transform(descriptors),
    }
    fixed[GREY_BOX] = np.hstack([descriptors, fixed[ENCODER_SOURCE]])
    cases = [c for number in range(seeds) for c in draw_cases(own, sizes, seed=seed, number=number)]
    # targets that the same groups have share their training groups, so the encoders too
    distinct = {case.trained_on: case for case in cases}
    trained, progress = {}, Progress("encoders of own compositions", len(distinct), " trained")
    for done, (trained_on, case) in enumerate(distinct.items(), 1):
        trained[trained_on] = _own_codes(descriptors, case, encoder, width)
        progress.reached(done)
    progress.finished()
    columns = finite_matrix(own.columns.to_numpy(), "columns")

    def fit(case: Case) -> pd.DataFrame:
        truth = own.targets[case.target].to_numpy(dtype=np.float64)
        groups = own.groups.to_numpy()
        rows, test, found = case.training, case.test, []
        for name, codes in (fixed | trained[case.trained_on]).items():
            X = _standardised(np.hstack([codes, columns]), rows)
            for size, labelled in case.labelled.items():
                for head, spec in heads.items():
                    model = head_of(spec, REGRESSION, case.number + seed)
                    predicted = model.fit(X[labelled], truth[labelled], groups[labelled]).predict(X[test])
                    error = truth[test] - predicted
                    spread = ((truth[test] - truth[test].mean()) ** 2).sum()
                    scores = {"mae": np.abs(error).mean(), "r2": 1 - (error**2).sum() / spread if spread else np.nan}
                    found.append({"input": name, "head": head, "size": size, **scores})
        return pd.DataFrame(found).assign(target=case.target, number=case.number, n=len(test))

    scores = pd.concat(map_in_threads(fit, cases, what="repetitions", threads=threads), ignore_index=True)
    place = {"view": view, "test": TEST, "seed": None}
    records = [{**place, **record} for record in _records(scores, seed)]
    shared = source_formulas.nunique() - len(foreign)
    for metric, value in {"source_compositions": len(foreign), "shared_compositions": shared}.items():
        about = {"representation": ENCODER_SOURCE, "case": "", "group": "", "x": None, "metric": metric}
        records.append({**place, **about, "value": float(value), "low": None, "high": None, "n": len(foreign)})
    return records


def source_rows(source: pd.DataFrame, formulas: pd.Series, own: Own) -> pd.DataFrame:
    """One row of the source for each reduced formula that `own` does not have, the first one. Raises DataError where
    columns differ or none is left."""
    if list(source.columns) != list(own.descriptors.columns):
        raise DataError(
            "descriptors of the source are other columns", expected=f"the {own.descriptors.shape[1]} of the study",
            found=source.shape[1], do="compute the same view for both datasets",
        )  # fmt: skip
    formulas = rows_of(formulas, source.index, "formulas of the source")
    new = ~formulas.duplicated() & ~formulas.isin(set(own.formulas))
    log.info("source: %d of %d compositions are not in the study", new.sum(), formulas.nunique())
    if new.sum() < 2:
        raise DataError(
            "the source has no composition left to learn from", expected="compositions that the study does not have",
            found=f"{int(new.sum())} of {formulas.nunique()}", do="take another dataset as source",
        )  # fmt: skip
    return source[new]


@dataclass(frozen=True)
class Case:
    """Row numbers of one repetition for one target: all of the training groups, the first of each, those labelled at
    each size, and those tested, the last two with the target. trained_on : tells sets of training groups apart."""

    number: int
    target: str
    trained_on: tuple
    training: np.ndarray
    firsts: np.ndarray
    labelled: dict[int, np.ndarray]
    test: np.ndarray


def draw_cases(own: Own, sizes: Sequence[int], *, seed: int = 0, number: int = 0) -> list[Case]:
    """The case of each target in repetition `number`. Raises DataError for fewer than 5 groups with a target."""
    cases = []
    codes = np.unique(own.groups.to_numpy().astype(str), return_inverse=True)[1]
    for target, values in own.targets.items():
        known = values.notna().to_numpy()
        groups = np.unique(codes[known])
        if len(groups) < 5:
            raise DataError("too few groups have the target", where=target, expected="5 or more", found=len(groups))
        rng = np.random.default_rng([seed, number])
        order = rng.permutation(groups)
        count = max(1, round(TEST_SHARE * len(order)))
        tested, trained = order[:count], order[count:]
        labelled = {}
        for size in [*sorted(s for s in set(sizes) if s < len(trained)), len(trained)]:
            rows = np.flatnonzero(known & np.isin(codes, trained[:size]))
            labelled[size] = rows
        training = np.flatnonzero(~np.isin(codes, tested))
        firsts = training[np.unique(codes[training], return_index=True)[1]]
        test = np.flatnonzero(known & np.isin(codes, tested))
        cases.append(Case(number, target, (number, *sorted(tested.tolist())), training, firsts, labelled, test))
    return cases


def _own_codes(descriptors: np.ndarray, case: Case, encoder: Mapping, width: int) -> dict[str, np.ndarray]:
    rows = descriptors[case.firsts]
    fitted: dict[str, Encoder] = {
        PCA_OWN: encoder_of(_pca(min(width, *rows.shape))).fit(rows),
        ENCODER_OWN: encoder_of(encoder).fit(rows),
    }
    return {name: model.transform(descriptors) for name, model in fitted.items()}


def _pca(width: int) -> dict:
    return {"algorithm": "pca", "n_components": width}


def _width_of(encoder: Mapping) -> int:
    return encoder["layers"][-1] if "layers" in encoder else encoder["n_components"]


def _standardised(X: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Columns of X (n, p) in standard deviations of the training rows, without those that are constant there: a head
    could not learn what they mean."""
    mean, scale = X[training].mean(axis=0), X[training].std(axis=0)
    varying = scale > 1e-9 * np.abs(X[training]).max(axis=0)
    return (X[:, varying] - mean[varying]) / scale[varying]


def _records(scores: pd.DataFrame, seed: int) -> list[dict]:
    records = []
    for (target, head, size), rows in scores.groupby(["target", "head", "size"], sort=False):
        at = {"case": head, "group": target, "x": float(size), "n": int(rows["n"].median())}
        by_input = {name: r.sort_values("number") for name, r in rows.groupby("input", sort=False)}
        for name in INPUTS:
            for metric in ("mae", "r2"):
                found = median_over_seeds(by_input[name][metric].to_numpy())
                records.append({**at, "representation": name, "metric": metric, **found._asdict()})
        mae = by_input[ENCODER_SOURCE]["mae"].to_numpy()
        for other in AGAINST:
            found = mean_over_seeds(mae - by_input[other]["mae"].to_numpy(), seed=seed)
            metric = f"mae_less_{other.replace(' ', '_')}"
            records.append({**at, "representation": ENCODER_SOURCE, "metric": metric, **found._asdict()})
    return records
