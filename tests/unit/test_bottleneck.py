"""Codes of growing width on rows with three directions: where the error bends, against principal components by hand."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from matlas.errors import ConfigError
from matlas.evaluate.bottleneck import bottleneck, elbows, layers_of, shuffled_columns
from matlas.evaluate.records import tests_frame as frame_of
from matlas.probe.splits import fold_parts
from matlas.tables import write_table
from schemas.tables.learning import TESTS

N, P = 600, 12
WIDTHS = [1, 2, 3, 4, 6, 8]
ENCODER = {
    "algorithm": "autoencoder", "kind": "linear", "layers": [4, 2], "split": "held out", "epochs": 200,
    "batch_size": 64, "learning_rate": 0.02, "patience": None, "random_state": 0,
}  # fmt: skip
TEST = {"view": "view", "encoder": "ae", "widths": WIDTHS, "targets": [], "seeds": 2}


@pytest.fixture(scope="module")
def rows():
    """Features on three directions with a little noise; the directions; what else is known of the rows."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(N, 3))
    # rows 2i and 2i + 1 are two structures of one formula, and near each other
    latent[1::2] = latent[::2] + 0.1 * rng.normal(size=(N // 2, 3))
    axes = np.linalg.qr(rng.normal(size=(P, 3)))[0].T * np.sqrt(P)  # about as much of the variance in each direction
    values = latent @ axes + 0.1 * rng.normal(size=(N, P))
    key = pd.Index([f"m{i}" for i in range(N)], name="material_id")
    about = pd.DataFrame(
        {
            "system": [f"s{i // 6}" for i in range(N)],
            "reduced_formula": [f"f{i // 2}" for i in range(N)],
            "prototype": [f"p{i % 2}" for i in range(N)],
        },
        index=key,
    )
    return pd.DataFrame(values, index=key, columns=[f"c{i}" for i in range(P)]), latent, about


@pytest.fixture(scope="module")
def parts(rows):
    return fold_parts({"kind": "holdout", "by": "system", "test": 0.3, "validation": 0.1}, rows[2])


@pytest.fixture(scope="module")
def records(rows, parts):
    features, latent, about = rows
    targets = pd.DataFrame({"sum": latent.sum(axis=1), "positive": (latent[:, 0] > 0) * 1.0}, index=features.index)
    targets.iloc[:30, 0] = np.nan
    tasks = {"sum": "regression", "positive": "classification"}
    found = bottleneck(
        features, parts, about, ENCODER, TEST, targets, tasks, resampled_by="system", draws=100, device="cpu"
    )
    return frame_of("study", "crystals", found)


def of(records, case, metric, group=""):
    chosen = records.query("case == @case and metric == @metric and group == @group")
    return chosen.set_index("x") if len(chosen) > 1 else chosen.iloc[0]


def in_part(rows, parts, name):
    return rows[0].loc[parts["material_id"][parts["part"] == name]].to_numpy()


@pytest.mark.parametrize("case", ["autoencoder", "pca"])
def test_the_error_bends_where_the_directions_end(records, case):
    assert of(records, case, "elbow")["value"] == 3
    assert of(records, case, "elbow")["low"] == of(records, case, "elbow")["high"] == 3
    assert of(records, case, "elbow_strength")["low"] > 0.3


@pytest.mark.parametrize("case", ["autoencoder", "pca"])
def test_shuffled_rows_bend_less_than_real_ones(records, case):
    real, null = (of(records, name, "elbow_strength") for name in (case, f"{case}, shuffled"))
    assert null["high"] < 0.1 < real["low"]
    # of 12 columns that have nothing in common a code of w numbers holds w
    expected = 1 - np.array(WIDTHS) / P
    np.testing.assert_allclose(of(records, "pca, shuffled", "mse")["value"], expected, atol=0.12)


def test_the_error_of_components_is_that_of_scikit_learn(records, rows, parts):
    train, tested = (in_part(rows, parts, name) for name in ("train", "test"))
    scaler = StandardScaler().fit(train)
    for width in WIDTHS:
        model = PCA(width).fit(scaler.transform(train))
        scaled = scaler.transform(tested)
        expected = ((scaled - model.inverse_transform(model.transform(scaled))) ** 2).mean()
        found = of(records, "pca", "mse").loc[width]
        assert found["value"] == pytest.approx(expected, rel=1e-9)
        assert found["low"] < expected < found["high"] and found["n"] == len(tested)


def test_a_linear_autoencoder_finds_the_subspace_of_the_components(records):
    found = of(records, "autoencoder - pca", "mse_difference")
    own, plain = (of(records, case, "mse")["value"] for case in ("autoencoder", "pca"))
    np.testing.assert_allclose(found["value"], own - plain, atol=1e-12)
    assert found["value"].abs().max() < 0.02
    # paired: two errors of the same rows differ by less than either is sure
    assert (found["high"] - found["low"] < 0.5 * (of(records, "pca", "mse")["high"] - plain)).loc[:2].all()


def test_a_target_is_read_from_the_code_as_by_least_squares(records, rows, parts):
    features, latent, _ = rows
    part, known = parts.set_index("material_id")["part"].reindex(features.index), np.arange(N) >= 30
    train, tested = ((part == name).to_numpy() & known for name in ("train", "test"))
    scaler = StandardScaler().fit(features[part == "train"])
    codes = PCA(3).fit(scaler.transform(features[part == "train"])).transform(scaler.transform(features))
    model = LinearRegression().fit(codes[train], latent.sum(axis=1)[train])
    expected = model.score(codes[tested], latent.sum(axis=1)[tested])
    found = of(records, "pca", "r2", "sum")
    assert found.loc[3, "value"] == pytest.approx(expected, abs=1e-3)
    assert found.loc[3, "n"] == tested.sum()
    assert found.loc[1, "high"] < 0.95 < 0.98 < found.loc[3, "low"]


def test_classes_are_judged_by_the_area_under_the_curve(records):
    found = of(records, "autoencoder", "roc_auc", "positive")
    assert found.loc[3, "value"] > 0.98 > found.loc[1, "value"]


def test_a_unit_is_active_whose_variance_is_a_hundredth_of_the_largest(records):
    assert of(records, "pca", "active_units")["value"].tolist()[:3] == [1, 2, 3]
    # the variance of the fourth component is noise, less than a hundredth of the first
    assert of(records, "pca", "active_units").loc[4, "value"] == 3


def test_polymorphs_that_lie_near_stay_near_in_a_code_that_is_wide_enough(records):
    for case in ("autoencoder", "pca"):
        found = of(records, case, "polymorph_percentile")
        assert found.loc[3, "high"] < 0.01 and found.loc[3, "low"] > 0
        assert found.loc[1, "value"] > 3 * found.loc[3, "value"]


def test_records_are_valid_rows_of_the_table(records, tmp_path):
    write_table(records, tmp_path / "bottleneck.parquet", TESTS)
    assert set(records["representation"]) == {"ae"} and set(records["view"]) == {"view"}


def test_shuffled_columns_hold_the_same_values_and_nothing_in_common(rows):
    features = rows[0]
    shuffled = shuffled_columns(features, 1)
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(features, axis=0))
    assert np.abs(np.corrcoef(features.T) - np.eye(P)).max() > 0.8
    assert np.abs(np.corrcoef(shuffled.T) - np.eye(P)).max() < 0.2
    assert shuffled.equals(shuffled_columns(features, 1)) and not shuffled.equals(shuffled_columns(features, 2))


def test_elbows_by_hand():
    # chord from 1 to 0.2 over log2 of 1 to 8: at 2 it is at 1 - 0.8 / 3, and the curve 0.4
    width, strength = elbows([1, 2, 4, 8], np.array([[1, 0.4, 0.3, 0.2], [1, 0.9, 0.7, 0.2], [1, 0.998, 0.996, 0.995]]))
    assert width[0] == 2 and strength[0] == pytest.approx((1 - 0.8 / 3 - 0.4) / 0.8)
    assert np.isnan(width[1]) and strength[1] == 0  # above its chord
    assert np.isnan(width[2]) and strength[2] == 0  # as good as flat


def test_hidden_layers_are_never_narrower_than_the_code(rows, parts, caplog):
    assert layers_of([32, 10], 4) == [32, 4] and layers_of([32, 10], 64) == [64, 64]
    assert layers_of([10], 3) == [3]
    nothing = pd.DataFrame(index=rows[0].index)
    short = {**ENCODER, "epochs": 1}
    with caplog.at_level(logging.INFO):
        found = bottleneck(
            rows[0], parts, rows[2][["system"]], short, {**TEST, "widths": [2, 5, 8]}, nothing, {},
            resampled_by="system", draws=2, device="cpu",
        )  # fmt: skip
    assert "code of 8: hidden layers [4] widened to [8]" in caplog.text
    assert {r["metric"] for r in found} == {
        "mse",
        "mse_difference",
        "elbow",
        "elbow_strength",
        "elbow_linear",
        "elbow_strength_linear",
        "active_units",
    }


def test_a_code_wider_than_the_rows_is_refused(rows, parts):
    with pytest.raises(ConfigError, match="widths to 12"):
        bottleneck(
            rows[0], parts, rows[2], ENCODER, {**TEST, "widths": [2, 4, 13]}, pd.DataFrame(), {}, resampled_by="system"
        )


def test_errors_of_several_initial_weights_are_averaged_and_widen_the_interval(rows, parts):
    none, wide = pd.DataFrame(index=rows[0].index), {**TEST, "widths": [2, 4, 8]}
    untrained = {**ENCODER, "kind": "plain", "epochs": 2}  # so that the initial weights matter

    def errors(encoder, seeds):
        found = bottleneck(
            rows[0], parts, rows[2][["system"]], encoder, {**wide, "seeds": seeds}, none, {}, resampled_by="system",
            draws=50, device="cpu",
        )  # fmt: skip
        return of(frame_of("study", "crystals", found), "autoencoder", "mse")

    both = errors(untrained, 2)
    each = [errors({**untrained, "random_state": seed}, 1) for seed in (0, 1)]
    np.testing.assert_allclose(both["value"], (each[0]["value"] + each[1]["value"]) / 2, rtol=1e-12)
    apart = (each[0]["value"] - each[1]["value"]).abs()
    assert (both["high"] - both["low"] > 0.5 * apart).all() and apart.max() > 0.01


def test_over_the_width_itself_a_curve_that_flattens_bends_where_over_its_logarithm_it_does_not():
    halved = np.array([[8.0, 7, 6, 5]])  # one less with each doubling: straight over the logarithm
    assert np.isnan(elbows([1, 2, 4, 8], halved)[0][0])
    width, strength = elbows([1, 2, 4, 8], halved, linear=True)
    assert width[0] == 4 and strength[0] == pytest.approx((8 - 3 * 3 / 7 - 6) / 3)
