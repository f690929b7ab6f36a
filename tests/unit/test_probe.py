"""Heads, preparations, probes and intervals against scikit-learn, planted signals, planted leaks and known values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from matlas.errors import ConfigError, DataError
from matlas.probe import probes
from matlas.probe.heads import HEADS, head_of
from matlas.probe.intervals import paired_differences, score_table
from matlas.probe.preparation import Preparation
from matlas.probe.probes import probe, shuffled
from matlas.probe.splits import balanced_folds, fold_parts

ALPHAS = [0.01, 1.0, 100.0]
HEAD_SPECS = {
    "ridge": {"algorithm": "ridge", "alphas": ALPHAS},
    "kernel_ridge": {"algorithm": "kernel_ridge", "alphas": [0.01, 1.0], "gammas": [0.3, 1.0]},
    "mlp": {"algorithm": "mlp", "hidden": [16], "max_iter": 300},
    "boosting": {"algorithm": "boosting", "max_iter": 30, "learning_rates": [0.05, 0.2]},
}


@pytest.fixture(scope="module")
def planted():
    """600 rows of 8 standardised columns in 60 groups; a target that is linear in three of them, with noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 8))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = 3 + X @ [1, -2, 0.5, 0, 0, 0, 0, 0] + 0.3 * rng.normal(size=600)
    return X, y, rng.integers(60, size=600)


# --- heads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(200, 12), (30, 80)])
def test_ridge_equals_scikit_learn_for_many_rows_and_for_many_columns(shape):
    rng = np.random.default_rng(1)
    X, y = rng.normal(2, 3, size=shape), rng.normal(size=shape[0])
    groups = np.arange(shape[0])
    for alpha in ALPHAS:
        head = head_of({"algorithm": "ridge", "alphas": [alpha]}, "regression").fit(X, y, groups)
        np.testing.assert_allclose(head.predict(X), Ridge(alpha).fit(X, y).predict(X), atol=1e-8)


def test_kernel_ridge_equals_scikit_learn_about_the_mean_target(planted):
    X, y, groups = planted
    spec = {"algorithm": "kernel_ridge", "alphas": [0.1], "gammas": [0.5]}
    head = head_of(spec, "regression").fit(X[:400], y[:400], groups[:400])
    peer = KernelRidge(alpha=0.1, kernel="rbf", gamma=0.5 / 8).fit(X[:400], y[:400] - y[:400].mean())
    np.testing.assert_allclose(head.predict(X), peer.predict(X) + y[:400].mean(), atol=1e-8)


@pytest.mark.parametrize("algorithm", ["ridge", "kernel_ridge"])
def test_the_setting_is_chosen_by_the_error_on_groups_that_were_not_fitted(algorithm, planted):
    X, y, groups = planted
    head = head_of(HEAD_SPECS[algorithm], "regression", seed=4).fit(X, y, groups)
    fold = balanced_folds(np.unique(groups, return_inverse=True)[1], 3, np.random.default_rng(4))
    errors = []
    for gamma in HEAD_SPECS[algorithm].get("gammas", [None]):
        for alpha in HEAD_SPECS[algorithm]["alphas"]:
            squares = 0
            for i in range(3):
                rest = fold != i
                mean = y[rest].mean() if gamma else 0
                peer = KernelRidge(alpha=alpha, kernel="rbf", gamma=gamma / 8) if gamma else Ridge(alpha)
                predicted = peer.fit(X[rest], y[rest] - mean).predict(X[~rest]) + mean
                squares += ((predicted - y[~rest]) ** 2).sum()
            errors.append(squares / len(y))
    np.testing.assert_allclose(head.errors_, errors, rtol=1e-7)
    assert head.chosen_["alpha"] == np.tile(HEAD_SPECS[algorithm]["alphas"], 2)[np.argmin(errors)]


def test_a_setting_is_chosen_by_whole_groups_of_some_rows_and_fitted_on_all(planted):
    X, y, groups = planted
    head = head_of({**HEAD_SPECS["ridge"], "selection_rows": 150}, "regression", seed=4).fit(X, y, groups)
    rng = np.random.default_rng(4)
    drawn, rows = [], np.zeros(600, dtype=bool)
    for group in rng.permutation(60):
        if rows.sum() < 150:
            drawn.append(group)
            rows |= groups == group
    assert 150 <= rows.sum() < 180 and rows.sum() == np.isin(groups, drawn).sum()
    fold = balanced_folds(np.unique(groups[rows], return_inverse=True)[1], 3, rng)
    X_drawn, y_drawn, errors = X[rows], y[rows], []
    for alpha in ALPHAS:
        peers = [Ridge(alpha).fit(X_drawn[fold != i], y_drawn[fold != i]) for i in range(3)]
        squares = [((peer.predict(X_drawn[fold == i]) - y_drawn[fold == i]) ** 2).sum() for i, peer in enumerate(peers)]
        errors.append(sum(squares) / rows.sum())
    np.testing.assert_allclose(head.errors_, errors, rtol=1e-7)
    assert head.rows_used_ == 600
    peer = Ridge(head.chosen_["alpha"]).fit(X, y)
    np.testing.assert_allclose(head.predict(X), peer.predict(X), atol=1e-8)
    # three large groups are one for each inner fold, though one alone has enough rows
    coarse = head_of({**HEAD_SPECS["ridge"], "selection_rows": 150}, "regression").fit(X, y, groups % 3)
    assert np.isfinite(coarse.errors_).all()


@pytest.mark.parametrize(
    ("spec", "name", "cautious", "bold"),
    [({"algorithm": "mlp", "hidden": [16], "max_iter": 150, "alphas": [1e-4, 100.0]}, "alpha", 100.0, 1e-4),
     ({"algorithm": "boosting", "max_iter": 10, "learning_rates": [0.01, 0.5]}, "learning_rate", 0.01, 0.5)],
)  # fmt: skip
def test_networks_and_trees_are_cautious_on_noise_and_bold_on_a_signal(spec, name, cautious, bold, planted):
    X, y, groups = planted
    noise = np.random.default_rng(9).normal(size=600)
    for target, expected in ((noise, cautious), (y, bold)):
        for selection_rows in (None, 300):
            head = head_of({**spec, "selection_rows": selection_rows}, "regression").fit(X, target, groups)
            assert head.chosen_ == {name: expected}


def test_every_head_of_the_configuration_has_settings_to_choose_from():
    path = Path(__file__).resolve().parents[2] / "config/methods.yaml"
    rng = np.random.default_rng(0)
    X, groups = rng.normal(size=(60, 3)), np.arange(60)
    for name, spec in yaml.safe_load(path.read_text(encoding="utf-8"))["heads"].items():
        head = head_of({**spec, **({"max_iter": 2} if "max_iter" in spec else {})}, "regression")
        assert len(head.fit(X, X[:, 0], groups).errors_) > 1, name


def test_a_choice_by_rows_would_fit_the_groups_and_a_choice_by_groups_does_not():
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(40), 10)
    X = np.eye(40)[groups] + 0.01 * rng.normal(size=(400, 40))  # features that tell the groups, and nothing else
    y = rng.normal(size=40)[groups]
    spec = {"algorithm": "ridge", "alphas": [1e-3, 1e6]}
    assert head_of(spec, "regression").fit(X, y, groups).chosen_ == {"alpha": 1e6}
    assert head_of(spec, "regression").fit(X, y, np.arange(400)).chosen_ == {"alpha": 1e-3}


@pytest.mark.parametrize("algorithm", HEAD_SPECS)
def test_every_head_reads_a_planted_property_of_new_rows(algorithm, planted):
    X, y, groups = planted
    head = head_of(HEAD_SPECS[algorithm], "regression").fit(X[:450], y[:450], groups[:450])
    assert r2_score(y[450:], head.predict(X[450:])) > 0.8
    classes = (y > 4.5).astype(float)
    score = head_of(HEAD_SPECS[algorithm], "classification").fit(X[:450], classes[:450], groups[:450]).predict(X[450:])
    assert 0.1 < classes.mean() < 0.35
    assert roc_auc_score(classes[450:], score) > 0.95
    assert balanced_accuracy_score(classes[450:], score > 0) > 0.8  # though positives are rare


def test_the_mean_predicts_the_mean_and_has_no_opinion_on_classes(planted):
    X, y, groups = planted
    head = head_of({"algorithm": "mean"}, "regression").fit(X, y, groups)
    np.testing.assert_array_equal(head.predict(X[:3]), [y.mean()] * 3)
    head = head_of({"algorithm": "mean"}, "classification").fit(X, (y > 3).astype(float), groups)
    np.testing.assert_array_equal(head.predict(X[:3]), [0, 0, 0])


@pytest.mark.parametrize("algorithm", HEAD_SPECS)
def test_a_head_above_its_most_rows_is_fitted_on_that_many_by_seed(algorithm, planted):
    X, y, groups = planted
    spec = {**HEAD_SPECS[algorithm], "max_rows": 250}
    head = head_of(spec, "regression", seed=3).fit(X, y, groups)
    rows = np.sort(np.random.default_rng(3).choice(600, 250, replace=False))
    assert head.rows_used_ == 250 and head.prior_ == pytest.approx(y[rows].mean())
    changed = y.copy()
    changed[np.setdiff1d(np.arange(600), rows)] = 1e6
    again = head_of(spec, "regression", seed=3).fit(X, changed, groups)
    np.testing.assert_array_equal(again.predict(X), head.predict(X))
    assert head_of(HEAD_SPECS[algorithm], "regression").fit(X[:99], y[:99], groups[:99]).rows_used_ == 99


def test_heads_refuse_what_they_cannot_learn_from(planted):
    X, y, groups = planted
    with pytest.raises(ConfigError, match="'ridg'.*'ridge'"):
        head_of({"algorithm": "ridg"}, "regression")
    with pytest.raises(DataError, match="too few groups"):
        head_of(HEAD_SPECS["ridge"], "regression").fit(X, y, groups % 2)
    with pytest.raises(DataError, match="not of two classes.*expected targets 0 and 1"):
        head_of(HEAD_SPECS["ridge"], "classification").fit(X, y, groups)
    with pytest.raises(DataError, match="training rows are not of two classes"):
        head_of(HEAD_SPECS["boosting"], "classification").fit(X, np.ones(600), groups)
    with pytest.raises(DataError, match="inner fold are not of two classes"):
        head_of(HEAD_SPECS["ridge"], "classification").fit(X, (groups == 3).astype(float), groups)
    with pytest.raises(DataError, match="not finite"):
        head_of(HEAD_SPECS["ridge"], "regression").fit(X, np.where(groups == 3, np.nan, y), groups)


def test_heads_are_scikit_learn_estimators():
    for algorithm in HEADS:
        head = head_of({"algorithm": algorithm, "max_rows": 9}, "regression", seed=5)
        assert {"task": "regression", "max_rows": 9, "random_state": 5}.items() <= head.get_params().items()


# --- preparation ------------------------------------------------------------------------------------------------------


def grey_box(**select):
    """Three of the first eight columns beside two principal components of the others."""
    return Preparation(
        [
            {"columns": slice(0, 8), "select": {"n_features": 3, "max_correlation": 0.95, **select}, "encoder": None},
            {"columns": np.arange(8, 14), "select": None, "encoder": Components()},
        ]
    )


class Components:
    """An encoder that is no scikit-learn estimator; remembers the groups it was given."""

    def fit(self, X, groups):
        self.pca, self.groups = PCA(2, svd_solver="full").fit(X), groups
        return self

    def transform(self, X):
        return self.pca.transform(X)


@pytest.fixture
def raw():
    rng = np.random.default_rng(3)
    return rng.normal(size=(120, 14)) @ rng.normal(size=(14, 14)), np.arange(120) < 80, rng.integers(20, size=120)


def test_parts_are_selected_encoded_and_standardised_beside_each_other(raw):
    X, train, groups = raw
    preparation = grey_box().fit(X, train, groups)
    design = preparation.transform(X)
    chosen = preparation.blocks_[0].selector.support_
    codes = PCA(2, svd_solver="full").fit(X[train, 8:]).transform(X[:, 8:])
    expected = np.hstack([X[:, chosen], codes])
    expected = (expected - expected[train].mean(axis=0)) / expected[train].std(axis=0)
    np.testing.assert_allclose(design, expected, atol=1e-9)
    np.testing.assert_array_equal(preparation.blocks_[1].encoder.groups, groups[train])


def test_nothing_fitted_and_no_other_row_changes_with_the_features_of_test_rows(raw):
    """A scaler, selector or encoder fitted on all rows would."""
    X, train, groups = raw
    preparation = grey_box().fit(X, train, groups)
    changed = X.copy()
    changed[100:] = 1e3 * np.random.default_rng(4).normal(size=(20, 14)) + 50
    again = grey_box().fit(changed, train, groups)
    np.testing.assert_array_equal(preparation.transform(X)[:100], again.transform(changed)[:100])
    (selected, encoded), (selected_again, encoded_again) = preparation.blocks_, again.blocks_
    assert selected.selector.support_.tolist() == selected_again.selector.support_.tolist()
    np.testing.assert_array_equal(encoded.encoder.pca.components_, encoded_again.encoder.pca.components_)
    for block, other in zip(preparation.blocks_, again.blocks_, strict=True):
        np.testing.assert_array_equal(block.scaler.mean_, other.scaler.mean_)
        np.testing.assert_array_equal(block.scaler.scale_, other.scaler.scale_)
    # the change does reach what is fitted, where the rows are training rows
    everything = grey_box().fit(changed, np.ones(120, dtype=bool), groups)
    assert not np.allclose(everything.transform(changed)[:100], preparation.transform(X)[:100])


def test_codes_made_outside_are_those_of_the_fold(raw):
    X, train, groups = raw
    codes = {"fold 1": X[:, :2] ** 2, "fold 2": X[:, :2] + 7}
    preparation = Preparation([{"encoder": codes}])
    for fold, z in codes.items():
        design = preparation.fit(X, train, groups, fold).transform(X)
        np.testing.assert_allclose(design, (z - z[train].mean(axis=0)) / z[train].std(axis=0), atol=1e-9)
    with pytest.raises(DataError, match="codes lack a fold.*expected fold 3"):
        preparation.fit(X, train, groups, "fold 3")
    with pytest.raises(DataError, match="codes have other rows.*expected 120, found 80"):
        Preparation([{"encoder": X[:80]}]).fit(X, train, groups)
    with pytest.raises(DataError, match="NaN"):
        Preparation([{"columns": slice(0, 2)}]).fit(np.where(X > 8, np.nan, X), train, groups)


# --- probes -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def study():
    """300 entities in 50 systems, 8 descriptors that give the target and 6 that know nothing of it."""
    rng = np.random.default_rng(5)
    key = pd.Index([f"m-{i}" for i in range(300)], name="material_id")
    raw = rng.normal(size=(300, 14))
    target = pd.Series(raw[:, :8] @ rng.normal(size=8) + 0.2 * rng.normal(size=300), index=key, name="band_gap")
    groups = pd.Series([f"system {s}" for s in rng.integers(50, size=300)], index=key, name="chemical_system")
    split = {"kind": "folds", "by": "chemical_system", "folds": 3, "validation": 0.1}
    inputs = {"descriptors": Preparation([{"columns": slice(0, 8)}]), "both": grey_box()}
    return {
        "raw": raw,
        "inputs": inputs,
        "target": target,
        "groups": groups,
        "parts": fold_parts(split, groups.to_frame()),
        "heads": {"line": HEAD_SPECS["ridge"], "trees": {"algorithm": "boosting", "max_iter": 20}},
        "task": "regression",
    }


def test_every_entity_is_predicted_once_by_a_head_that_never_saw_it(study):
    predictions, fits = probe(**study)
    assert list(predictions.columns) == ["material_id", "input", "head", "fold", "truth", "predicted"]
    per_model = predictions.groupby(["input", "head"])["material_id"]
    assert (per_model.nunique() == 300).all() and (per_model.size() == 300).all()
    assert set(per_model.groups) == {
        ("none", "mean"),
        *((i, h) for i in study["inputs"] for h in ("line", "trees", shuffled("line"))),
    }
    train = study["parts"].query("fold == 'fold 2' and part == 'train'")["material_id"]
    test = study["parts"].query("fold == 'fold 2' and part == 'test'")["material_id"]
    rows = study["target"].index.isin(train)
    X = (study["raw"][:, :8] - study["raw"][rows, :8].mean(axis=0)) / study["raw"][rows, :8].std(axis=0)
    of_fold = fits.query("input == 'descriptors' and head == 'line' and fold == 'fold 2'").iloc[0]
    alpha = float(of_fold["chosen"].removeprefix("alpha="))
    expected = Ridge(alpha).fit(X[rows], study["target"][rows]).predict(X)[study["target"].index.isin(test)]
    found = predictions.query("input == 'descriptors' and head == 'line' and fold == 'fold 2'")
    assert found["material_id"].tolist() == sorted(test, key=study["target"].index.get_loc)
    np.testing.assert_allclose(found["predicted"], expected, atol=1e-8)
    np.testing.assert_array_equal(found["truth"], study["target"][found["material_id"]])
    assert of_fold[["rows_train", "rows_test", "rows_missing", "rows_used"]].tolist() == [
        len(train), len(test), 0, len(train),
    ]  # fmt: skip


def test_changing_test_targets_changes_no_prediction_and_test_features_only_their_own(study):
    predictions, fits = probe(**study)
    fold = study["parts"].query("fold == 'fold 1' and part == 'test'")["material_id"]
    tested = study["target"].index.isin(fold)
    here = (predictions["fold"] == "fold 1").to_numpy()
    twisted = study["target"].where(~tested, -1e3 * study["target"])
    again, refits = probe(**{**study, "target": twisted})
    np.testing.assert_array_equal(again["predicted"][here], predictions["predicted"][here])
    assert not np.array_equal(again["predicted"][~here], predictions["predicted"][~here])

    changed = study["raw"].copy()
    some = np.flatnonzero(tested)[:10]
    changed[some] += 100 * np.random.default_rng(6).normal(size=(10, 14))
    moved, refits = probe(**{**study, "raw": changed})
    others = here & ~predictions["material_id"].isin(study["target"].index[some]).to_numpy()
    np.testing.assert_array_equal(moved["predicted"][others], predictions["predicted"][others])
    same = refits["fold"] == "fold 1"
    pd.testing.assert_series_equal(refits["chosen"][same], fits["chosen"][same])
    assert not np.array_equal(moved["predicted"][here], predictions["predicted"][here])


def test_shuffled_heads_score_at_chance_where_heads_find_the_signal(study):
    predictions, _ = probe(**study)
    rho = pooled(predictions, study, "spearman")
    assert rho["descriptors", "line"] > 0.95 and rho["descriptors", "trees"] > 0.7
    assert abs(rho["descriptors", shuffled("line")]) < 0.2
    assert pooled(predictions, study, "r2")["none", "mean"] == pytest.approx(0, abs=0.05)


def pooled(predictions, study, metric, task="regression"):
    """Score of each input and head over all folds; controls, which have truths of their own, apart."""
    control = predictions["head"].str.endswith("(shuffled)")
    scores = [
        score_table(rows, study["groups"], task, [metric], n_bootstrap=20)
        for rows in (predictions[~control], predictions[control])
    ]
    return pd.concat(scores).query("fold == 'all'").set_index(["input", "head"])["value"]


def test_a_shuffled_head_is_judged_by_targets_that_changed_places_among_the_tested_rows(study):
    predictions, _ = probe(**study)
    chance = predictions[predictions["head"] == shuffled("line")]
    for (_, fold), rows in chance.groupby(["input", "fold"]):
        own = study["target"][rows["material_id"]].to_numpy()
        assert sorted(rows["truth"]) == sorted(own) and (rows["truth"].to_numpy() == own).mean() < 0.1
        first = chance[(chance["fold"] == fold) & (chance["input"] == "descriptors")]
        np.testing.assert_array_equal(rows["truth"], first["truth"])  # one permutation for all inputs
    with pytest.raises(DataError, match="different entities or truths"):
        score_table(predictions, study["groups"], "regression", n_bootstrap=5)


def test_a_shuffled_head_finds_nothing_in_the_target_itself(study):
    inputs = {"itself": Preparation([{"columns": slice(0, 1)}])}  # a line of any slope orders it perfectly, or reversed
    target = pd.Series(study["raw"][:, 0], index=study["target"].index)
    predictions, _ = probe(**{**study, "inputs": inputs, "target": target})
    rho = pooled(predictions, study, "spearman")
    assert rho["itself", "line"] > 0.999 and abs(rho["itself", shuffled("line")]) < 0.25


@pytest.mark.parametrize("leaky", [False, True])
def test_a_shuffled_head_is_far_above_chance_where_heads_are_fitted_on_tested_rows_and_only_there(
    leaky, study, monkeypatch
):
    fold_of = probes._fold_of

    def trained_on_too(*args):
        fold = fold_of(*args)
        return replace(fold, train=fold.train | fold.test)

    if leaky:
        monkeypatch.setattr(probes, "_fold_of", trained_on_too)
    study["heads"] = {"kernel": {"algorithm": "kernel_ridge", "alphas": [1e-4], "gammas": [1.0]}}  # learns by heart
    rho = pooled(probe(**study)[0], study, "spearman")
    for name in study["inputs"]:
        assert (rho[name, shuffled("kernel")] > 0.9) if leaky else abs(rho[name, shuffled("kernel")]) < 0.2


def test_a_column_that_tells_the_target_handed_to_a_head_lifts_the_shuffled_head_too(study, monkeypatch):
    permuted = probes._permuted
    handed = []
    monkeypatch.setattr(probes, "_permuted", lambda *args: handed.append(permuted(*args)) or handed[-1])

    class Telltale(Preparation):
        """Appends the vector that the head of this fold is about to be fitted on and judged by."""

        def transform(self, raw):
            return np.column_stack([super().transform(raw), handed[-1]])

    study["inputs"] = {"descriptors": Telltale([{"columns": slice(0, 8)}])}
    assert pooled(probe(**study)[0], study, "spearman")["descriptors", shuffled("line")] > 0.99


def test_classes_are_probed_by_truth_values_with_gaps(study):
    flags = (study["target"] > study["target"].median()).astype(object)
    flags.iloc[::10] = None
    predictions, fits = probe(**{**study, "target": flags, "task": "classification"}, controls=["shuffled"])
    assert set(predictions["truth"]) == {0.0, 1.0}
    auc = pooled(predictions, study, "roc_auc", "classification")
    assert auc["descriptors", "line"] > 0.95 and abs(auc["descriptors", shuffled("line")] - 0.5) < 0.15
    known = study["parts"][study["parts"]["material_id"].map(flags).notna()]
    line = fits.query("input == 'both' and head == 'line'").set_index("fold")
    assert line["rows_train"].to_dict() == known.query("part == 'train'").groupby("fold").size().to_dict()
    used = study["parts"].query("part != 'validation'").groupby("fold").size()
    assert (line["rows_train"] + line["rows_test"] + line["rows_missing"]).to_dict() == used.to_dict()
    assert (predictions.groupby(["input", "head"]).size() == 270).all()
    assert not predictions["material_id"].isin(flags.index[::10]).any()


def test_the_same_probe_twice_is_the_same_and_another_seed_shuffles_otherwise(study):
    study["heads"] = {"mlp": {"algorithm": "mlp", "hidden": [4], "max_iter": 5, "max_rows": 100}}
    first, again, other = (probe(**study, seed=seed)[0] for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not np.array_equal(first["predicted"], other["predicted"])


def test_probes_refuse_splits_that_do_not_fit(study):
    parts = study["parts"]
    twice = pd.concat([parts, parts.query("part == 'test'").head(1).assign(part="train")])
    with pytest.raises(DataError, match="an entity is twice in one fold"):
        probe(**{**study, "parts": twice})
    with pytest.raises(DataError, match="unknown entities.*found 1"):
        probe(**{**study, "parts": parts.replace({"material_id": {"m-7": "m-700"}}).query("fold == 'fold 1'")})
    tested = parts.query("fold == 'fold 3' and part == 'test'")["material_id"]
    with pytest.raises(DataError, match="no entity of part test has a target.*fold 3"):
        probe(**{**study, "target": study["target"].mask(study["target"].index.isin(tested))})
    with pytest.raises(DataError, match="different rows"):
        probe(**{**study, "raw": study["raw"][:-1]})


# --- intervals --------------------------------------------------------------------------------------------------------


def predicted(truth, columns, folds=None, key="row"):
    """Predictions of heads 0 … on one input, and the index of their entities."""
    entities = pd.Index([f"e{i}" for i in range(len(truth))], name=key)
    folds = np.full(len(truth), "holdout", dtype=object) if folds is None else folds
    frames = [
        pd.DataFrame({key: entities, "input": "x", "head": f"h{i}", "fold": folds, "truth": truth, "predicted": column})
        for i, column in enumerate(np.transpose(columns))
    ]
    return pd.concat(frames, ignore_index=True), entities


@pytest.fixture
def ranked():
    """200 rows in 40 groups, two folds; a good head, and one with many equal scores."""
    rng = np.random.default_rng(7)
    truth = np.round(rng.normal(size=200), 1)
    columns = np.stack([truth + rng.normal(size=200), np.round(truth + rng.normal(size=200))], axis=1)
    folds = np.where(rng.random(200) < 0.4, "a", "b").astype(object)
    return truth, columns, folds, rng.integers(40, size=200)


def top_recall(truth, score, k):
    return len(set(np.argsort(-truth)[:k]) & set(np.argsort(-score)[:k])) / k


PEERS = {
    "regression": {
        "mae": mean_absolute_error,
        "rmse": root_mean_squared_error,
        "r2": r2_score,
        "spearman": lambda y, p: spearmanr(y, p).statistic,
    },
    "classification": {
        "roc_auc": roc_auc_score,
        "average_precision": average_precision_score,
        "balanced_accuracy": lambda y, p: balanced_accuracy_score(y, p > 0),
    },
}


@pytest.mark.parametrize("task", PEERS)
def test_scores_are_those_of_scikit_learn_and_scipy_in_each_fold_and_pooled(task, ranked):
    truth, columns, folds, group = ranked
    truth = truth if task == "regression" else (truth > 0.5).astype(float)
    predictions, entities = predicted(truth, columns, folds)
    table = score_table(predictions, pd.Series(group, entities, name="g"), task, n_bootstrap=30)
    assert list(table.columns) == ["input", "head", "fold", "metric", "value", "low", "high", "n", "groups"]
    assert len(table) == 2 * 3 * len(PEERS[task])
    for row in table.itertuples():
        rows = np.full(200, True) if row.fold == "all" else folds == row.fold
        expected = PEERS[task][row.metric](truth[rows], columns[rows, int(row.head[1:])])
        assert row.value == pytest.approx(expected, abs=1e-12), row
        assert (row.n, row.groups) == (rows.sum(), len(set(group[rows])))
        assert row.low < row.value < row.high


@pytest.mark.parametrize("task", PEERS)
def test_intervals_are_percentiles_of_scores_of_redrawn_groups(task, ranked):
    """Each draw again, by repeating rows."""
    truth, columns, _, group = ranked
    truth = truth if task == "regression" else (truth > 0.5).astype(float)
    predictions, entities = predicted(truth, columns)
    groups = pd.Series(group, entities, name="g")
    table = score_table(predictions, groups, task, n_bootstrap=60, seed=8).query("fold == 'all'")
    rng, names = np.random.default_rng(8), np.unique(group)
    drawn = [names[rng.integers(len(names), size=len(names))] for _ in range(60)]
    rows = [np.concatenate([np.flatnonzero(group == g) for g in draw]) for draw in drawn]
    for row in table.itertuples():
        column, peer = columns[:, int(row.head[1:])], PEERS[task][row.metric]
        limits = np.quantile([peer(truth[r], column[r]) for r in rows], [0.025, 0.975])
        assert [row.low, row.high] == pytest.approx(limits.tolist(), abs=1e-10), row


def test_top_recall_counts_the_extremes_among_the_first_predicted():
    rng = np.random.default_rng(9)
    truth, score = rng.normal(size=95), rng.normal(size=95)
    predictions, entities = predicted(truth, (truth + score)[:, None])
    groups = pd.Series(np.arange(95), entities, name="g")
    options = {"n_bootstrap": 10, "top_share": 0.2}
    high = score_table(predictions, groups, "extremes", **options).query("fold == 'all'").set_index("metric")
    assert high.loc["top_k_recall", "value"] == pytest.approx(top_recall(truth, truth + score, 19))
    assert high.loc["mae", "value"] == pytest.approx(np.abs(score).mean())
    low = score_table(predictions, groups, "extremes", ["top_k_recall"], largest=False, **options)
    assert low["value"][0] == pytest.approx(top_recall(-truth, -truth - score, 19))
    assert low["value"][0] != high.loc["top_k_recall", "value"]


def test_equal_scores_find_as_many_extremes_as_chance():
    truth = np.arange(20.0)
    ties = np.where(truth >= 12, 1.0, 0.0)  # eight called alike, of which four are the top
    predictions, entities = predicted(truth, np.stack([np.zeros(20), ties], axis=1))
    groups = pd.Series(np.arange(20), entities, name="g")
    table = score_table(predictions, groups, "extremes", ["top_k_recall"], n_bootstrap=10, top_share=0.2)
    assert table.query("fold == 'all'")["value"].tolist() == pytest.approx([0.2, 0.5])


def test_a_bootstrap_over_groups_is_wider_than_over_rows_and_covers_the_truth():
    """Errors of rows share most of their variance in groups; the mean absolute error of the population is known."""
    rng = np.random.default_rng(10)
    n_groups, size, runs = 80, 10, 150
    shared = np.repeat(rng.normal(size=(runs, n_groups)), size, axis=1)
    errors = np.sqrt(0.8) * shared + np.sqrt(0.2) * rng.normal(size=(runs, n_groups * size))
    predictions, entities = predicted(np.zeros(n_groups * size), errors.T)
    known = np.sqrt(2 / np.pi)  # of a standard normal
    tables = {}
    for name, group in {"groups": np.repeat(np.arange(n_groups), size), "rows": np.arange(n_groups * size)}.items():
        table = score_table(predictions, pd.Series(group, entities, name="g"), "regression", ["mae"], n_bootstrap=400)
        tables[name] = table.query("fold == 'all'")
    covered = {name: ((t["low"] < known) & (known < t["high"])).mean() for name, t in tables.items()}
    width = {name: (t["high"] - t["low"]).mean() for name, t in tables.items()}
    assert 0.90 <= covered["groups"] <= 0.99
    assert covered["rows"] < 0.75
    assert width["groups"] > 2 * width["rows"]


def test_differences_are_paired_over_the_same_draws(ranked):
    truth, _, _, group = ranked
    rng = np.random.default_rng(11)
    hard = rng.normal(size=40)[group]  # what all heads fail at alike
    columns = np.stack([truth + hard, truth + hard * 1.2, truth + rng.normal(size=200)], axis=1)
    predictions, entities = predicted(truth, columns)
    groups = pd.Series(group, entities, name="g")
    pairs = [("x", "h1", "x", "h0"), ("x", "h0", "x", "h1"), ("x", "h2", "x", "h2")]
    table = paired_differences(predictions, pairs, groups, "mae", n_bootstrap=200).query("fold == 'all'")
    scores = score_table(predictions, groups, "regression", ["mae"], n_bootstrap=200).query("fold == 'all'")
    a, b = scores["value"][:2]
    up, down, same = table.itertuples()
    assert up.difference == pytest.approx(0.2 * np.abs(hard).mean()) == pytest.approx(b - a)
    assert 0 < up.low < up.difference < up.high and up.share_above_0 == 1
    assert (down.difference, down.low, down.high) == pytest.approx((-up.difference, -up.high, -up.low))
    assert down.share_above_0 == 0
    assert (same.difference, same.low, same.high, same.share_above_0) == (0, 0, 0, 0)
    # far narrower than either score's own interval
    assert up.high - up.low < 0.4 * (scores["high"] - scores["low"]).iloc[0]
    ranks = paired_differences(predictions, pairs[:1], groups, "spearman", n_bootstrap=50).iloc[0]
    assert ranks["difference"] == pytest.approx(
        spearmanr(truth, columns[:, 1]).statistic - spearmanr(truth, columns[:, 0]).statistic
    )


def test_a_metric_that_is_not_defined_is_missing_not_made_up():
    truth = np.array([1.0, 1, 1, 1])
    predictions, entities = predicted(truth, np.array([[0.1], [0.4], [-0.2], [0.3]]))
    groups = pd.Series(list("aabb"), entities, name="g")
    for task in ("regression", "classification"):
        table = score_table(predictions, groups, task, n_bootstrap=20).query("fold == 'all'").set_index("metric")
        undefined = table.index.difference(["mae", "rmse"])
        assert table.loc[undefined, ["value", "low", "high"]].isna().all(axis=None)
        assert table.drop(undefined)["value"].notna().all()


def test_intervals_refuse_predictions_that_cannot_be_compared(ranked):
    truth, columns, folds, group = ranked
    predictions, entities = predicted(truth, columns, folds)
    groups = pd.Series(group.astype(object), entities, name="g")
    with pytest.raises(DataError, match="tested on different entities"):
        score_table(predictions.drop(3), groups, "regression")
    with pytest.raises(DataError, match="tested on different entities or truths"):
        score_table(predictions.assign(truth=predictions["truth"].where(predictions.index != 3, 0.05)), groups,
                    "regression")  # fmt: skip
    with pytest.raises(DataError, match="different inputs and heads"):
        score_table(predictions.query("fold == 'a' or head == 'h0'"), groups, "regression")
    with pytest.raises(DataError, match="groups lack entities"):
        score_table(predictions, groups.iloc[1:], "regression")
    with pytest.raises(DataError, match="without a group"):
        score_table(predictions, groups.where(groups != 3, None), "regression")
    with pytest.raises(DataError, match="name of the pool"):
        score_table(predictions.assign(fold="all"), groups, "regression")
    with pytest.raises(ConfigError, match="'mea'.*'mae'"):
        score_table(predictions, groups, "regression", ["mea"])
    with pytest.raises(DataError, match=r"no predictions.*\('x', 'h9'\)"):
        paired_differences(predictions, [("x", "h0", "x", "h9")], groups, "mae")
