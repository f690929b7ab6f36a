"""Encoders fitted on the training rows of a split, against scikit-learn and the same encoders fitted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from matlas.autoencoders.collapse import collapse_report
from matlas.autoencoders.estimator import Autoencoder
from matlas.encoders import PrincipalComponents
from matlas.errors import DataError
from matlas.probe.selection import DescriptorSelector
from matlas.probe.splits import fold_parts
from matlas.rows import held
from matlas.trained import angle_to_pca, encode_folds, rebuilt_sample, train_on

PCA2 = {"algorithm": "pca", "n_components": 2, "standardise": True, "random_state": 0, "split": "by_system"}
SMALL = {"kind": "plain", "layers": [5, 2], "epochs": 12, "patience": 3, "learning_rate": 0.02, "random_state": 4}
NETWORK = {"algorithm": "autoencoder", "split": "by_system", **SMALL}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def features():
    """240 crystals near a plane in 7 columns of different units."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(240, 2)) @ rng.normal(size=(2, 7)) + 0.3 * rng.normal(size=(240, 7))
    key = pd.Index([f"m{i}" for i in rng.permutation(240)], name="material_id")
    return pd.DataFrame(values * np.logspace(-2, 3, 7) + np.arange(7), key, [f"column_{i}" for i in range(7)])


@pytest.fixture(scope="module")
def systems(features):
    system = np.random.default_rng(1).integers(40, size=240)
    return pd.Series([f"system {s}" for s in system], features.index, name="chemical_system")


def parts_of(systems, **spec):
    return fold_parts({"by": "chemical_system", **spec}, systems.to_frame())


@pytest.fixture(scope="module")
def holdout(systems):
    """Ten entities are in no part."""
    return parts_of(systems.iloc[10:], kind="holdout", test=0.25, validation=0.15)


def entities(parts, part):
    return parts.loc[parts["part"] == part, "material_id"]


def peer(train, components=2):
    scaler = StandardScaler().fit(train)
    return scaler, PCA(components).fit(scaler.transform(train))


def values_of(records):
    return {(r["metric"], r.get("split", "")): r["value"] for r in records}


# train_on


def test_codes_of_all_rows_are_those_of_components_of_the_training_rows(features, holdout):
    encoder, made, part = train_on(held(features), holdout, PCA2)
    scaler, pca = peer(features.loc[entities(holdout, "train")].to_numpy())
    rows = scaler.transform(features.to_numpy())
    np.testing.assert_allclose(np.abs(made.scores), np.abs(pca.transform(rows)), atol=1e-8)
    np.testing.assert_allclose(made.loadings, encoder.loadings_)
    error = ((rows - pca.inverse_transform(pca.transform(rows))) ** 2).mean(axis=1)
    np.testing.assert_allclose(made.reconstruction_error, error, atol=1e-10)
    assert (part.index == features.index).all() and (part.iloc[:10] == "").all() and (part.iloc[10:] != "").all()
    said = values_of(made.records)
    assert said["n_features", ""] == 7 and said["reconstruction_error", ""] == pytest.approx(error.mean())
    for name in ("train", "validation", "test"):
        here = features.index.isin(entities(holdout, name))
        assert said["entities", name] == here.sum() > 0
        assert said["reconstruction_error", name] == pytest.approx(error[here].mean())
    assert {r["seed"] for r in made.records} == {0}


def test_a_part_that_is_absent_has_no_record(features, systems):
    _, made, _ = train_on(held(features), parts_of(systems, kind="holdout", validation=0), PCA2)
    assert {name for _, name in values_of(made.records)} == {"", "train", "test"}


def test_validation_rows_decide_when_a_training_ends(features, holdout):
    encoder, made, _ = train_on(held(features), holdout, NETWORK, device="cpu")
    train, validation = (features.loc[features.index.isin(entities(holdout, p))] for p in ("train", "validation"))
    model = Autoencoder(**SMALL, device="cpu").fit(train.to_numpy(), validation=validation.to_numpy())
    np.testing.assert_array_equal(made.scores, model.transform(features.to_numpy()))
    assert (encoder.n_train_, encoder.n_validation_) == (len(train), len(validation))
    pd.testing.assert_frame_equal(
        encoder.history_[["train_loss", "validation_loss"]], model.history_[["train_loss", "validation_loss"]]
    )


def test_without_validation_rows_some_training_rows_decide(features, systems):
    parts = parts_of(systems, kind="holdout", validation=0)
    encoder, made, _ = train_on(held(features), parts, NETWORK, device="cpu")
    train = features.loc[features.index.isin(entities(parts, "train"))]
    model = Autoencoder(**SMALL, device="cpu").fit(train.to_numpy())
    np.testing.assert_array_equal(made.scores, model.transform(features.to_numpy()))
    assert encoder.n_train_ + encoder.n_validation_ == len(train)


def test_records_of_a_network_say_what_its_code_uses_on_the_training_rows(features, holdout):
    encoder, made, part = train_on(held(features), holdout, NETWORK | {"kind": "variational"}, device="cpu")
    report = collapse_report(encoder, features[(part == "train").to_numpy()].to_numpy())
    said = values_of(made.records)
    for name in ("active_units", "code_width", "participation_ratio"):
        assert said[name, ""] == report[name]
    for i, dimension in enumerate(report["dimensions"]):
        assert said[f"variance_z_{i}", ""] == dimension["variance"] and said[f"kl_z_{i}", ""] == dimension["kl"]
    assert ("angle_to_pca", "") not in said
    plain = values_of(train_on(held(features), holdout, NETWORK, device="cpu")[1].records)
    assert ("variance_z_1", "") in plain and ("kl_z_1", "") not in plain


def test_a_linear_network_comes_near_the_principal_subspace_and_its_angle_says_how_near(features, holdout):
    spec = {**NETWORK, "kind": "linear", "layers": [2], "patience": None}
    angles = []
    for epochs in (1, 400):
        encoder, made, part = train_on(held(features), holdout, {**spec, "epochs": epochs}, device="cpu")
        angles.append(values_of(made.records)["angle_to_pca", ""])
    assert angles[1] < 1 < angles[0]
    _, pca = peer(features[(part == "train").to_numpy()].to_numpy())
    decoder = encoder.network_.decoder[0].weight.detach().double().numpy()
    cosines = np.linalg.svd(np.linalg.qr(decoder)[0].T @ pca.components_.T)[1]
    assert angles[1] == pytest.approx(np.degrees(np.arccos(cosines.min())), abs=1e-3)


def test_a_split_of_several_folds_is_refused(features, systems):
    with pytest.raises(DataError, match="fitted on one fold.*found 3 folds"):
        train_on(held(features), parts_of(systems, kind="folds", folds=3), PCA2)


@pytest.mark.parametrize("standardise", [True, False])
def test_the_angle_is_that_by_which_a_component_was_turned_out_of_the_subspace(features, standardise):
    rows = features.to_numpy()[:, :5] / ([1] * 5 if standardise else np.logspace(-2, 1, 5))
    encoder = PrincipalComponents(2, standardise).fit(rows)
    assert angle_to_pca(encoder, rows) == pytest.approx(0, abs=1e-5)
    first, second, third = PrincipalComponents(3, standardise).fit(rows).loadings_
    turn = np.radians(30)
    encoder.loadings_ = np.stack([first, np.cos(turn) * second + np.sin(turn) * third])
    assert angle_to_pca(encoder, rows) == pytest.approx(30)
    encoder.loadings_ = np.stack([first - second, 5 * (first + second)])  # the same subspace by other axes
    assert angle_to_pca(encoder, rows) == pytest.approx(0, abs=1e-5)


# encode_folds


def test_each_fold_is_encoded_by_what_its_own_training_rows_chose_and_taught(features, systems):
    parts = parts_of(systems.iloc[10:], kind="folds", folds=3)
    selected = {"n_features": 4, "max_correlation": 0.99}
    codes = encode_folds(features, parts, PCA2, selected=selected, groups=systems)
    assert list(codes.columns) == ["material_id", "fold", "part", "z_0", "z_1", "reconstruction_error"]
    assert not codes["material_id"].isin(features.index[:10]).any() and len(codes) == len(parts)
    merged = codes.merge(parts, on=["material_id", "fold"], suffixes=("", "_of_split"), validate="one_to_one")
    assert len(merged) == len(parts) and (merged["part"] == merged["part_of_split"]).all()
    supports = []
    for fold, rows in codes.groupby("fold"):
        train = features.loc[features.index.isin(entities(parts[parts["fold"] == fold], "train"))].to_numpy()
        support = DescriptorSelector(4, 0.99).fit(train).support_
        supports.append(support.tolist())
        scaler, pca = peer(train[:, support])
        here = scaler.transform(features.loc[rows["material_id"]].to_numpy()[:, support])
        np.testing.assert_allclose(np.abs(rows[["z_0", "z_1"]]), np.abs(pca.transform(here)), atol=1e-8)
        error = ((here - pca.inverse_transform(pca.transform(here))) ** 2).mean(axis=1)
        np.testing.assert_allclose(rows["reconstruction_error"], error, atol=1e-10)


def test_whole_groups_or_else_the_validation_rows_end_the_training_of_a_fold(features, systems):
    for validation in (0, 0.2):
        parts = parts_of(systems, kind="folds", folds=2, validation=validation)
        codes = encode_folds(features, parts, NETWORK, groups=systems, device="cpu")
        for fold, rows in codes.groupby("fold"):
            here = parts[parts["fold"] == fold]
            train, held = (features.index.isin(entities(here, part)) for part in ("train", "validation"))
            options = {"validation": features[held].to_numpy()} if validation else {"groups": systems[train].to_numpy()}
            model = Autoencoder(**SMALL, device="cpu").fit(features[train].to_numpy(), **options)
            expected = model.transform(features.loc[rows["material_id"]].to_numpy())
            np.testing.assert_allclose(rows[["z_0", "z_1"]], expected, rtol=1e-6, atol=1e-6)


# rebuilt_sample


def test_test_rows_stand_beside_what_is_rebuilt_of_them_in_units_of_the_training_rows(features, holdout):
    encoder, _, part = train_on(held(features), holdout, PCA2)
    rebuilt = rebuilt_sample(encoder, held(features), part, rows=20, seed=3)
    assert list(rebuilt.columns) == ["material_id", "feature", "truth", "rebuilt"]
    drawn = rebuilt["material_id"].drop_duplicates()
    assert len(drawn) == 20 and set(drawn) <= set(entities(holdout, "test"))
    scaler, pca = peer(features.loc[entities(holdout, "train")].to_numpy())
    truth = scaler.transform(features.loc[drawn].to_numpy())
    wide = rebuilt.pivot(index="material_id", columns="feature").loc[drawn]
    np.testing.assert_allclose(wide["truth"][features.columns], truth, atol=1e-10)
    expected = pca.inverse_transform(pca.transform(truth))
    np.testing.assert_allclose(wide["rebuilt"][features.columns], expected, atol=1e-10)
    pd.testing.assert_frame_equal(rebuilt_sample(encoder, held(features), part, rows=20, seed=3), rebuilt)
    assert set(rebuilt_sample(encoder, held(features), part, rows=20, seed=4)["material_id"]) != set(drawn)


def test_a_sample_larger_than_the_test_rows_is_all_of_them(features, holdout):
    encoder, _, part = train_on(held(features), holdout, PCA2)
    rebuilt = rebuilt_sample(encoder, held(features), part, rows=1000)
    expected = [key for key in features.index if key in set(entities(holdout, "test"))]
    assert rebuilt["material_id"].tolist() == np.repeat(expected, 7).tolist()
    assert rebuilt["feature"].tolist() == list(features.columns) * len(expected)
