"""How much of a view survives a code of each width, beside rows in which there is nothing to be learned."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from matlas.autoencoders.collapse import active_dimensions
from matlas.errors import ConfigError
from matlas.evaluate.alignment import rows_of
from matlas.evaluate.audits.polymorphs import (
    LEAST,
    NEEDED,
    distances,
    median_percentile,
    percentiles,
    polymorph_pairs,
    random_pairs,
)
from matlas.evaluate.resampling import DRAWS, Interval, interval, redrawn, score
from matlas.evaluate.retraining import retrained
from matlas.probe.heads import CLASSIFICATION, head_of
from matlas.probe.splits import TEST as TEST_PART
from matlas.probe.splits import TRAIN
from matlas.threads import Progress

log = logging.getLogger(__name__)

TEST = "bottleneck"
AUTOENCODER, PCA = CASES = ("autoencoder", "pca")
SHUFFLED = "shuffled"
RIDGE = {"algorithm": "ridge", "alphas": [0.01, 1.0, 100.0, 10_000.0]}
_FLAT = 0.01  # a curve that falls by less than this share bends nowhere


@dataclass(frozen=True)
class _Fitted:
    """codes : (n, w) of all rows; error : (test rows,)."""

    codes: np.ndarray
    error: np.ndarray


def bottleneck(
    features: pd.DataFrame,
    parts: pd.DataFrame,
    about: pd.DataFrame,
    encoder: Mapping,
    test: Mapping,
    targets: pd.DataFrame,
    tasks: Mapping[str, str],
    *,
    resampled_by: str,
    seed: int = 0,
    draws: int = DRAWS,
    device: str = "auto",
) -> list[dict]:
    """Records (schema TESTS, but for study and dataset) of autoencoders and of principal components of each width.

    features : (n, p) indexed by the entity key; parts : key, fold, part, of one fold; about : columns of the dataset;
    encoder : an autoencoder of config/methods.yaml, of which `layers` get the width as their last (`layers_of`); test :
    a schemas.config.studies.BottleneckTest as plain values; targets, tasks : as `target_values` returns them;
    resampled_by : column of `about` whose rows belong together, for intervals. Everything is fitted on training rows
    and judged on test rows; networks are trained from `seeds` initial weights each, on shuffled rows from one. x is the
    width.

    Cases "autoencoder" and "pca", and "…, shuffled" of the same rows with each column permuted on its own (in the whole
    table, by seed), which leaves nothing to be learned but the columns one by one:
    mse : mean squared reconstruction error in standardised units; mse_difference : of autoencoder less pca, as case
    "autoencoder - pca"; elbow : the width at which the mse lies furthest below the straight line, over the logarithm of
    the width, from the first to the last; elbow_strength : how far, as a share of what the mse falls in all (0 where it
    never lies below, and for a curve that falls by less than 1 %); elbow_linear, elbow_strength_linear : the same over
    the width itself, where any curve that flattens has an elbow. Of the real rows also
    r2 (roc_auc for classes) : of the targets, the records' group, read from the code by a ridge; active_units;
    polymorph_percentile : median share of random pairs of rows that are nearer than two polymorphs, where the dataset
    has formulas and prototypes. Values are means over the seeds. Intervals are over groups, the same draws for all, and
    over the seeds: of errors and elbows the draws of all seeds together, of the others the widest of any.
    Raises ConfigError for widths beyond p, and as encoders and heads do.
    """
    widths = sorted(set(test["widths"]))
    p = features.shape[1]
    if widths[-1] > p:
        raise ConfigError("a code can't be wider than the rows", expected=f"widths to {p}", found=widths[-1])
    group = rows_of(about[resampled_by], features.index, "groups").to_numpy()
    rows = {False: features, True: shuffled_columns(features, seed)}
    progress = Progress("encoders", len(widths) * (test["seeds"] + 3), " trained")
    fitted: dict[tuple[str, bool, int], list[_Fitted]] = {}
    records, trained = [], 0
    place = {"test": TEST, "view": test["view"], "representation": test["encoder"], "seed": seed}
    for is_shuffled, matrix in rows.items():
        for width in widths:
            networks = _narrowed(encoder, width, 1 if is_shuffled else test["seeds"])
            for case, specs in ((AUTOENCODER, networks), (PCA, [_components(width, seed)])):
                runs = fitted[case, is_shuffled, width] = []
                for spec in specs:
                    made, part = retrained(matrix, parts, spec, device=device)[1:]
                    tested = np.flatnonzero(part == TEST_PART)
                    runs.append(_Fitted(made.scores, made.reconstruction_error[tested]))
                    progress.reached(trained := trained + 1)
    progress.finished()
    train, drawn = np.flatnonzero(part == TRAIN), {"draws": draws, "seed": seed}
    common = {**place, "n": len(tested)}
    records += [{**common, **r} for r in _errors(fitted, widths, group[tested], drawn)]
    for case in CASES:
        for width in widths:
            codes = [run.codes for run in fitted[case, False, width]]
            kind = encoder.get("kind", "plain") if case == AUTOENCODER else "plain"
            active = _of_seeds([Interval(int(active_dimensions(z[train], kind).sum())) for z in codes])
            records.append({**common, "case": case, "x": width, "metric": "active_units", **active._asdict()})
            for name in targets.columns:
                values = targets[name].reindex(features.index).to_numpy()
                read = _read(codes, values, tasks[name], train, tested, group, drawn)
                records.append({**place, "case": case, "group": name, "x": width, **read})
    if set(NEEDED) <= set(about.columns):
        known = about.reindex(features.index).iloc[tested]
        records += [{**place, **r} for r in _polymorphs(fitted, widths, known, tested, group[tested], drawn)]
    return records


def shuffled_columns(features: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Each column permuted on its own: the same values, and nothing between columns."""
    values = np.random.default_rng(seed).permuted(features.to_numpy(dtype=np.float64), axis=0)
    return pd.DataFrame(values, index=features.index, columns=features.columns)


def layers_of(layers: Sequence[int], width: int) -> list[int]:
    """`layers` with a code of another width; hidden layers narrower than the code are made as wide, since the code must
    be the narrowest."""
    return [*(max(hidden, width) for hidden in layers[:-1]), width]


def elbows(widths: Sequence[int], losses: np.ndarray, *, linear: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Where curves (m, w) of losses over ascending widths (w,) bend, and how much.

    The distance of a curve below its chord, over the logarithm of the width or (`linear`) the width, is largest at the
    elbow (Satopää et al. 2011, doi:10.1109/ICDCSW.2011.20, without its smoothing). Returns widths (m,), NaN for curves
    that never lie below their chord or fall by less than 1 %, and that distance over the height of the chord (m,), then
    0.
    """
    x = np.asarray(widths, dtype=float) if linear else np.log2(widths)
    x = (x - x[0]) / (x[-1] - x[0])
    first, height = losses[:, :1], losses[:, :1] - losses[:, -1:]
    below = first - height * x - losses
    falls = height[:, 0] > _FLAT * first[:, 0]
    strength = np.divide(below.max(axis=1), height[:, 0], out=np.zeros(len(losses)), where=falls)
    bends = strength > 1e-9  # the ends lie on the chord but for rounding
    return np.where(bends, np.asarray(widths, dtype=float)[below.argmax(axis=1)], np.nan), strength * bends


def _narrowed(encoder: Mapping, width: int, seeds: int) -> list[dict]:
    """The encoder with a code of `width`, from as many initial weights."""
    layers = layers_of(encoder["layers"], width)
    if layers[:-1] != list(encoder["layers"][:-1]):
        log.info("code of %d: hidden layers %s widened to %s", width, list(encoder["layers"][:-1]), layers[:-1])
    first = encoder.get("random_state", 0)
    return [{**encoder, "layers": layers, "random_state": first + i} for i in range(seeds)]


def _components(width: int, seed: int) -> dict:
    return {"algorithm": "pca", "n_components": width, "standardise": True, "random_state": seed}


def _errors(fitted: Mapping, widths: Sequence[int], groups: np.ndarray, drawn: Mapping) -> list[dict]:
    """mse, differences and elbows, all from the same draws."""
    curves = [(case, is_shuffled) for is_shuffled in (False, True) for case in CASES]
    runs = {curve: np.array([[run.error for run in fitted[*curve, w]] for w in widths]) for curve in curves}
    errors = np.concatenate([runs[curve].reshape(-1, len(groups)) for curve in curves]).T
    means = redrawn(lambda rows: errors[rows].mean(axis=0), groups, **drawn)
    ends = np.cumsum([runs[curve].shape[0] * runs[curve].shape[1] for curve in curves])[:-1]
    by_curve = {  # (1 + draws, w, seeds)
        curve: part.reshape(len(means), len(widths), -1)
        for curve, part in zip(curves, np.split(means, ends, axis=1), strict=True)
    }
    records = []
    for (case, is_shuffled), by_seed in by_curve.items():
        name, curve = f"{case}, {SHUFFLED}" if is_shuffled else case, _pooled(by_seed)
        records += _along(name, "mse", widths, curve)
        for suffix, linear in (("", False), ("_linear", True)):
            for metric, values in zip(("elbow", "elbow_strength"), elbows(widths, curve, linear=linear), strict=True):
                records.append({"case": name, "metric": metric + suffix, **interval(values)._asdict()})
    for is_shuffled in (False, True):
        name = f"{AUTOENCODER} - {PCA}" + (f", {SHUFFLED}" if is_shuffled else "")
        apart = by_curve[AUTOENCODER, is_shuffled] - by_curve[PCA, is_shuffled]
        records += _along(name, "mse_difference", widths, _pooled(apart))
    return records


def _pooled(redraws: np.ndarray) -> np.ndarray:
    """(1 + draws · seeds, w) of (1 + draws, w, seeds) redraws: their mean over the seeds, then the draws of each."""
    return np.concatenate([redraws[:1].mean(axis=2), *np.moveaxis(redraws[1:], 2, 0)])


def _of_seeds(found: Sequence[Interval]) -> Interval:
    """Mean of the seeds, and the widest limits of any; of numbers without limits their range."""
    limits = [v for f in found for v in (f.low, f.high) if v is not None] or [f.value for f in found]
    return Interval(float(np.mean([f.value for f in found])), float(min(limits)), float(max(limits)))


def _along(case: str, metric: str, widths: Sequence[int], values: np.ndarray) -> list[dict]:
    return [
        {"case": case, "x": width, "metric": metric, **interval(column)._asdict()}
        for width, column in zip(widths, values.T, strict=True)
    ]


def _read(
    codes: Sequence[np.ndarray], values: np.ndarray, task: str, train: np.ndarray, tested: np.ndarray,
    group: np.ndarray, drawn: Mapping,
) -> dict:  # fmt: skip
    """How well a ridge reads a target, of the rows that have it."""
    train, tested = (rows[np.isfinite(values[rows])] for rows in (train, tested))
    metric, found = "roc_auc" if task == CLASSIFICATION else "r2", []
    for z in codes:
        scaler = StandardScaler().fit(z[train])
        head = head_of(RIDGE, task, drawn["seed"]).fit(scaler.transform(z[train]), values[train], group[train])
        predicted = head.predict(scaler.transform(z[tested]))
        found.append(score(metric, values[tested], predicted, group[tested], **drawn))
    return {"metric": metric, **_of_seeds(found)._asdict(), "n": len(tested)}


def _polymorphs(
    fitted: Mapping, widths: Sequence[int], about: pd.DataFrame, tested: np.ndarray, groups: np.ndarray, drawn: Mapping
) -> list[dict]:
    pairs = polymorph_pairs(about, drawn["seed"])
    if len(pairs) < LEAST:
        log.warning("%d pairs of polymorphs among the test rows, fewer than %d: not measured", len(pairs), LEAST)
        return []
    chance, of = random_pairs(len(tested), drawn["seed"]), groups[pairs[:, 0]]
    records = []
    for case in CASES:
        for width in widths:
            found = []
            for run in fitted[case, False, width]:
                z = run.codes[tested]
                ranks = percentiles(distances(z, pairs), distances(z, chance))
                found.append(Interval(**median_percentile(ranks, of, **drawn)))
            place = {"case": case, "x": width, "metric": "polymorph_percentile", "n": len(pairs)}
            records.append({**place, **_of_seeds(found)._asdict()})
    return records
