"""Autoencoders and linear encoders against each other and against theory; what a saved model is and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.linalg import subspace_angles
from scipy.spatial.distance import mahalanobis
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import FactorAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from matlas.autoencoders.apply import embed_rows
from matlas.autoencoders.card import load_model, save_model
from matlas.autoencoders.collapse import collapse_report, participation_ratio
from matlas.autoencoders.estimator import Autoencoder
from matlas.autoencoders.networks import build_network
from matlas.encoders import Factors, PrincipalComponents, Unchanged, encoder_of
from matlas.errors import ConfigError, DataError
from matlas.represent import fit as represent

QUICK = dict(layers=(8, 2), epochs=15, learning_rate=5e-3, device="cpu")
WHOLE = dict(patience=None, validation_share=0, device="cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


def plane(n=600, p=12, seed=0, scales=(3, 2, 1.5)):
    """Rows near a linear subspace, in columns of different units."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(np.random.default_rng(7).normal(size=(p, len(scales))))[0]
    flat = rng.normal(size=(n, len(scales))) * scales @ directions.T + 0.3 * rng.normal(size=(n, p))
    return flat * np.logspace(-2, 3, p) + np.arange(p) * 10


def sheet(n, seed):
    """Rows on a curved surface of two dimensions in 20 columns, with noise of standard deviation 0.01."""
    u, v = (rng := np.random.default_rng(seed)).uniform(-1, 1, (2, n))
    surface = np.stack([u, v, u**2, v**2, u * v, np.sin(3 * u), np.cos(3 * v)], axis=1)
    turned = np.linalg.qr(np.random.default_rng(3).normal(size=(20, 20)))[0][:7]
    return surface @ turned + 0.01 * rng.normal(size=(n, 20))


@pytest.fixture(scope="module")
def fitted():
    return Autoencoder(**QUICK).fit(plane())


@pytest.fixture
def saved(tmp_path, fitted):
    save_model(tmp_path, fitted, ABOUT)
    return tmp_path


ABOUT = {
    "features": [f"column_{i}" for i in range(12)], "data": "planted plane", "split": "none",
    "lineage": "0123456789abcdef",
}  # fmt: skip


# what the networks learn


def test_a_linear_autoencoder_spans_the_principal_subspace():
    rows = plane(1500)
    model = Autoencoder("linear", layers=(3,), epochs=150, learning_rate=1e-2, **WHOLE).fit(rows)
    standardised = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    axes = np.linalg.svd(standardised, full_matrices=False)[2][:3]
    decoder = model.network_.decoder[0].weight.detach().double().numpy()
    assert np.degrees(subspace_angles(decoder, axes.T)).max() < 1
    residual = standardised - standardised @ axes.T @ axes
    assert -model.score(rows) == pytest.approx((residual**2).mean(), rel=1e-3)


def test_a_linear_one_stays_linear_with_hidden_layers():
    rows = plane()
    model = Autoencoder("linear", layers=(6, 2), epochs=2, device="cpu").fit(rows)
    middle = model.transform((rows[:100] + rows[100:200]) / 2)
    np.testing.assert_allclose(middle, (model.transform(rows[:100]) + model.transform(rows[100:200])) / 2, atol=1e-5)


def test_a_code_of_two_follows_a_curved_sheet_where_two_principal_components_cannot():
    train, held_out = sheet(2000, 0), sheet(500, 1)
    model = Autoencoder(layers=(64, 32, 2), activation="gelu", epochs=80, learning_rate=3e-3, device="cpu").fit(train)
    assert -model.score(held_out) < 0.1 * -PrincipalComponents(2).fit(train).score(held_out)


@pytest.mark.parametrize(("beta", "active"), [(0.4, 4), (1.4, 3), (4.0, 2), (13.0, 0)])
def test_a_linear_variational_code_keeps_the_directions_that_explain_more_than_half_of_beta(beta, active):
    """Lucas et al. 2019: the optimum is probabilistic PCA with noise beta / 2; KL is ½ log of eigenvalue over noise."""
    eigenvalues = np.array([6, 3, 1.2, 0.4, *[0.1] * 6])
    rng = np.random.default_rng(0)
    white = rng.normal(size=(4000, 10))
    white -= white.mean(axis=0)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(white.T, ddof=0)), white.T).T
    rows = white * np.sqrt(eigenvalues) @ np.linalg.qr(rng.normal(size=(10, 10)))[0].T
    model = Autoencoder("variational", (6,), beta=beta, epochs=150, learning_rate=1e-2, standardise=False, **WHOLE)
    report = collapse_report(model.fit(rows), rows)
    ratio = np.maximum(eigenvalues / (beta / 2), 1)
    assert report["active_units"] == model.active_units_ == active == (ratio > 1).sum()
    assert sum(d["kl"] for d in report["dimensions"]) == pytest.approx(0.5 * np.log(ratio).sum(), rel=0.04, abs=0.01)
    for dimension in report["dimensions"]:
        assert dimension["active"] == (dimension["variance"] > 0.01) == (dimension["kl"] > 0.05)


def test_a_denoising_autoencoder_rebuilds_better_from_noisy_rows_than_a_plain_one():
    train, held_out = sheet(1500, 0), sheet(500, 1)
    noisy = held_out + 0.5 * train.std(axis=0) * np.random.default_rng(2).normal(size=held_out.shape)
    wide = dict(layers=(64, 15), activation="gelu", epochs=60, learning_rate=3e-3, device="cpu")

    def error(kind):
        model = Autoencoder(kind, noise=0.5, **wide).fit(train)
        return np.mean(((model.inverse_transform(model.transform(noisy)) - held_out) / train.std(axis=0)) ** 2)

    assert error("denoising") < 0.7 * error("plain")


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh"])
def test_layers_are_widths_down_to_the_code_mirrored_without_activation_at_code_and_output(activation):
    settings = dict(activation=activation, beta=0.1, noise=0.1, random_state=0)
    network = build_network("plain", 9, [7, 5, 3], **settings)
    linear = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(9, 7), (7, 5), (5, 3), (3, 5), (5, 7), (7, 9)]
    assert [type(m).__name__.lower() for m in network.encoder] == ["linear", activation, "linear", activation, "linear"]
    assert type(network.decoder[-1]).__name__ == type(network.encoder[-1]).__name__ == "Linear"
    assert build_network("variational", 9, [7, 3], **settings).encoder[-1].out_features == 6


# the estimator


def test_reconstruction_error_is_in_standardised_units_and_inverse_transform_in_those_of_the_input(fitted):
    rows, new = plane(), plane(50, seed=5)
    training = rows[~np.isin(np.arange(len(rows)), held_out_rows(fitted, rows))]
    mean, std = training.mean(axis=0), training.std(axis=0)
    rebuilt = fitted.inverse_transform(fitted.transform(new))
    np.testing.assert_allclose(fitted.reconstruction_error(new), (((new - rebuilt) / std) ** 2).mean(axis=1), rtol=1e-6)
    assert fitted.score(new) == pytest.approx(-fitted.reconstruction_error(new).mean())
    assert rebuilt.dtype == np.float64 and fitted.transform(new).dtype == np.float64
    x = torch.tensor((new - mean) / std, dtype=torch.float32)
    with torch.no_grad():
        by_hand = fitted.network_.decoder(fitted.network_.encoder(x)).numpy()
    np.testing.assert_allclose(rebuilt, by_hand * std + mean, rtol=1e-4)
    assert np.corrcoef(rebuilt[:, -1], new[:, -1])[0, 1] > 0.7  # in thousands, unlike column 0


def held_out_rows(model, rows):
    """The rows that early stopping looked at: those whose absence gives the mean of the scaler."""
    order = np.random.default_rng(model.random_state).permutation(len(rows))
    return order[: model.n_validation_]


def test_the_scaler_knows_training_rows_only():
    rows, validation = plane(), plane(100, seed=4)
    means = []
    for factor in (1, 50):
        model = Autoencoder(**QUICK | {"epochs": 1}).fit(rows, validation=validation * factor)
        np.testing.assert_array_equal(model.mean_, StandardScaler().fit(rows).mean_)
        np.testing.assert_array_equal(model.scale_, StandardScaler().fit(rows).scale_)
        np.testing.assert_array_equal(model.ranges_.maximum, rows.max(axis=0))
        means.append(model.history_["validation_loss"][0])
    assert means[1] > 10 * means[0]  # the validation rows were used, for the loss


def test_a_tenth_of_the_rows_is_held_out_and_leaves_no_trace_in_the_scaler(fitted):
    rows = plane()
    assert (fitted.n_train_, fitted.n_validation_) == (540, 60)
    held_out = held_out_rows(fitted, rows)
    changed = rows.copy()
    changed[held_out] *= 1000
    np.testing.assert_array_equal(Autoencoder(**QUICK | {"epochs": 1}).fit(changed).mean_, fitted.mean_)


def test_groups_are_held_out_whole():
    rows, groups = plane(), np.repeat(np.array(list("abcdefghijklmnopqrst")), 30)
    model = Autoencoder(**QUICK | {"epochs": 1}, validation_share=0.1).fit(rows, groups=groups)
    assert model.n_validation_ == 60
    rest = [g for g in set(groups) if not np.isin(rows[groups == g].max(), model.ranges_.maximum)]
    sums = {g: rows[groups == g].sum(axis=0) for g in rest}
    absent = rows.sum(axis=0) - model.mean_ * model.n_train_
    pairs = [(a, b) for a in rest for b in rest if a < b and np.allclose(sums[a] + sums[b], absent, rtol=1e-6)]
    assert len(pairs) == 1


def test_a_constant_column_is_only_shifted():
    rows = np.column_stack([plane(), np.full(600, 42.0)])
    model = Autoencoder(**QUICK).fit(rows)
    assert model.scale_[-1] == 1 and model.mean_[-1] == 42
    assert np.abs(model.inverse_transform(model.transform(rows))[:, -1] - 42).max() < 1


def test_the_same_seed_gives_the_same_codes_and_another_seed_others(fitted):
    rows = plane()
    np.testing.assert_array_equal(Autoencoder(**QUICK).fit(rows).transform(rows), fitted.transform(rows))
    assert not np.allclose(Autoencoder(**QUICK, random_state=1).fit(rows).transform(rows), fitted.transform(rows))


def test_it_works_in_clone_and_pipeline_as_scikit_learn_wants_it(fitted):
    model = Autoencoder("variational", layers=[8, 2], beta=0.3, epochs=3, device="cpu")
    copy = clone(model)
    assert copy is not model and copy.get_params() == model.get_params() and not hasattr(clone(fitted), "network_")
    pipeline = make_pipeline(copy, KMeans(3, n_init=1, random_state=0)).fit(plane())
    assert pipeline.predict(plane(20)).shape == (20,) and pipeline[0].transform(plane(20)).shape == (20, 2)
    frame = pd.DataFrame(plane(20))
    np.testing.assert_array_equal(fitted.transform(frame), fitted.transform(frame.to_numpy()))


def test_rows_alone_or_many_have_the_same_codes(fitted):
    rows = plane(20_000, seed=8)
    codes, errors = fitted.transform(rows), fitted.reconstruction_error(rows)
    for i in (0, 8191, 8192, 16_384, 19_999):
        np.testing.assert_allclose(fitted.transform(rows[[i]])[0], codes[i], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(fitted.reconstruction_error(rows[[i]])[0], errors[i], rtol=1e-3)


def test_two_rows_are_enough_and_one_is_not():
    model = Autoencoder(layers=(2,), epochs=2, device="cpu")
    assert model.fit(plane(2)).transform(plane(3)).shape == (3, 2)
    with pytest.raises(DataError, match="at least 2 rows.*found 1 x 12"):
        model.fit(plane(1))


def test_bad_rows_are_refused(fitted):
    rows = plane()
    rows[3, 5] = np.nan
    for call in (Autoencoder(**QUICK).fit, fitted.transform, fitted.reconstruction_error):
        with pytest.raises(DataError, match="NaN or infinity.*column index 5"):
            call(rows)
    with pytest.raises(DataError, match="validation rows hold NaN"):
        Autoencoder(**QUICK).fit(plane(), validation=rows)
    with pytest.raises(DataError, match="expected 12, found 11"):
        fitted.transform(plane()[:, :11])
    with pytest.raises(DataError, match="expected 2, found 3"):
        fitted.inverse_transform(np.zeros((4, 3)))
    with pytest.raises(DataError, match="no validation rows"):
        Autoencoder(**QUICK).fit(plane(), validation=plane()[:0])
    with pytest.raises(DataError, match="one group"):
        Autoencoder(**QUICK).fit(plane(), groups=np.zeros(600))
    with pytest.raises(DataError, match="one for each of 600 rows"):
        Autoencoder(**QUICK).fit(plane(), groups=np.zeros(599))
    with pytest.raises(DataError, match="overflow float32.*1 of 600 rows, first 7"):
        fitted.transform(np.where(np.arange(600)[:, None] == 7, 1e300, plane()))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(layers=()), "layers"), (dict(layers=(8, 0)), "layers"), (dict(layers=(8, 2.5)), "layers"),
        (dict(layers="82"), "layers"), (dict(layers=(13,)), "at most 12"), (dict(layers=(3, 5)), "at most 3"),
        (dict(kind="varational"), "'variational'"), (dict(activation="rel"), "'relu'"), (dict(epochs=0), "epochs"),
        (dict(batch_size=2.0), "batch_size"), (dict(patience=0), "patience"), (dict(random_state=None), "random_state"),
        (dict(learning_rate=0), "learning_rate"), (dict(validation_share=1), "validation_share"),
        (dict(beta=-1), "beta"), (dict(noise=float("nan")), "noise"), (dict(device="gpu"), "device"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Autoencoder(**{**QUICK, **wrong}).fit(plane())


# collapse


def test_a_variational_code_of_pure_noise_collapses_under_a_large_beta_and_the_report_says_so():
    rows = np.random.default_rng(0).normal(size=(1000, 10))
    model = Autoencoder("variational", (16, 4), beta=8.0, epochs=40, learning_rate=3e-3, device="cpu").fit(rows)
    report = collapse_report(model, rows)
    assert report["active_units"] == 0 and report["code_width"] == 4
    assert all(not d["active"] and d["variance"] < 0.01 and d["kl"] < 0.02 for d in report["dimensions"])
    free = Autoencoder("variational", (16, 4), beta=0.01, epochs=40, learning_rate=3e-3, device="cpu").fit(rows)
    assert collapse_report(free, rows)["active_units"] == 4


def test_an_unused_dimension_of_a_plain_code_is_not_active(fitted):
    model = Autoencoder(**QUICK | {"layers": (8, 3)}).fit(plane())
    with torch.no_grad():  # the scale of a plain code means nothing
        model.network_.encoder[-1].weight *= torch.tensor([[1e-3], [1e-5], [1e-3]])
    report = collapse_report(model, plane())
    codes = model.transform(plane())
    np.testing.assert_allclose([d["variance"] for d in report["dimensions"]], codes.var(axis=0))
    assert [d["active"] for d in report["dimensions"]] == [True, False, True]
    assert report["active_units"] == 2 and all(d["kl"] is None for d in report["dimensions"])


def test_participation_ratio_counts_directions_of_equal_variance():
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    square = np.array([[1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]]) @ turned[:3]
    assert participation_ratio(square) == pytest.approx(2)
    assert participation_ratio(square * 0) == 0 and participation_ratio(square[:, :1]) == pytest.approx(1)


def test_divergence_of_a_plain_autoencoder_is_refused(fitted):
    with pytest.raises(ConfigError, match="variational"):
        fitted.divergence(plane())


# saved models


def test_a_saved_model_gives_the_same_numbers_and_a_card_that_describes_it(saved, fitted):
    loaded, card = load_model(saved, device="cpu")
    new = plane(100, seed=6)
    for name in ("transform", "reconstruction_error"):
        np.testing.assert_array_equal(getattr(loaded, name)(new), getattr(fitted, name)(new))
    np.testing.assert_array_equal(loaded.inverse_transform(new[:, :2]), fitted.inverse_transform(new[:, :2]))
    assert card["architecture"] == [12, 8, 2, 8, 12]
    assert card["n_parameters"] == (12 * 8 + 8) + (8 * 2 + 2) + (2 * 8 + 8) + (8 * 12 + 12)
    assert card["parameters"]["layers"] == [8, 2] and card["results"]["epochs_run"] == 15
    assert card["results"]["validation_loss"] == fitted.history_["validation_loss"].min()
    assert all(card[name] == ABOUT[name] for name in ABOUT) and card["versions"]["torch"].startswith("2.")
    assert card["intended_use"] and card["limits"] and "checkpoint" not in card["parameters"]
    assert loaded.active_units_ == fitted.active_units_ and loaded.code_width_ == 2


@pytest.mark.parametrize("kind", ["linear", "variational", "denoising"])
def test_every_kind_can_be_saved(kind, tmp_path):
    model = Autoencoder(kind, **QUICK | {"epochs": 1}, validation_share=0).fit(plane())
    save_model(tmp_path, model, ABOUT)
    loaded, card = load_model(tmp_path)
    np.testing.assert_allclose(loaded.transform(plane(9)), model.transform(plane(9)), rtol=1e-5, atol=1e-6)
    assert card["model"] == f"{kind} autoencoder" and card["results"]["validation_loss"] is None


def test_the_same_training_gives_the_same_files(saved, tmp_path):
    save_model(tmp_path / "again", Autoencoder(**QUICK).fit(plane()), ABOUT)
    for name in ("weights.safetensors", "model.json"):
        assert (saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def edit_card(folder, **changes):
    card = json.loads((folder / "model.json").read_text())
    for key, value in changes.items():
        *path, last = key.split("__")
        place = card
        for name in path:
            place = place[name]
        place[last] = value
    (folder / "model.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "model.json").unlink(), "there is no model"),
        (lambda f: (f / "weights.safetensors").unlink(), "weights of the model are missing"),
        (lambda f: (f / "model.json").write_text("{"), "not a model card"),
        (lambda f: (f / "model.json").write_text("[]"), "another format"),
        (lambda f: edit_card(f, format=2), "another format"),
        (lambda f: edit_card(f, parameters__layer=3), "unknown.*layer"),
        (lambda f: edit_card(f, results={}), "missing.*active_units"),
        (lambda f: edit_card(f, features="abc"), "lacks features"),
        (lambda f: edit_card(f, parameters__layers=[8, 3]), "don't fit the architecture"),
        (lambda f: edit_card(f, parameters__layers=[]), "describes no network"),
        (lambda f: edit_card(f, features=ABOUT["features"][:-1]), "don't fit the architecture"),
        (lambda f: flip_a_byte(f / "weights.safetensors"), "not those of the model card"),
        (lambda f: swap_weights(f, torch.zeros(1)), "don't fit the architecture"),
        (lambda f: swap_weights(f, None), "don't fit the architecture"),
        (lambda f: swap_file(f, b"\x80\x04cos\nsystem\n"), "not a safetensors file"),
    ],
)
def test_a_model_whose_files_are_missing_or_do_not_match_is_refused(spoil, message, saved):
    spoil(saved)
    with pytest.raises(DataError, match=message):
        load_model(saved)


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def swap_weights(folder, mean):
    """Another mean, or none, with the hash made to agree."""
    tensors = load_file(folder / "weights.safetensors")
    del tensors["mean"]
    save_file(tensors | ({} if mean is None else {"mean": mean}), folder / "weights.safetensors")
    swap_file(folder, (folder / "weights.safetensors").read_bytes())


def swap_file(folder, content):
    from matlas.files import sha256_of

    (folder / "weights.safetensors").write_bytes(content)
    edit_card(folder, weights_sha256=sha256_of(folder / "weights.safetensors"))


def test_a_card_needs_to_be_told_where_the_model_comes_from(tmp_path, fitted):
    with pytest.raises(DataError, match=r"missing \['lineage'\], unknown \['linage'\]"):
        save_model(tmp_path, fitted, {k: v for k, v in ABOUT.items() if k != "lineage"} | {"linage": "x"})
    for features in (ABOUT["features"][:-1], ["a"] * 12):
        with pytest.raises(DataError, match="names don't fit"):
            save_model(tmp_path, fitted, ABOUT | {"features": features})
    assert not list(tmp_path.iterdir())


# new rows


def frame_of(rows):
    return pd.DataFrame(rows, columns=ABOUT["features"], index=[f"row {i}" for i in range(len(rows))])


def test_new_rows_are_embedded_by_the_names_of_their_columns(saved, fitted):
    model, card = load_model(saved, device="cpu")
    frame = frame_of(plane(30, seed=5))
    shuffled = frame.assign(other="text")[["other", *ABOUT["features"][::-1]]]
    result = embed_rows(model, card, shuffled)
    assert result.columns.tolist() == ["z_0", "z_1", "reconstruction_error", "outside_range", "why"]
    assert result.index.equals(frame.index)
    np.testing.assert_allclose(result[["z_0", "z_1"]], fitted.transform(frame.to_numpy()), rtol=1e-6)
    np.testing.assert_allclose(result["reconstruction_error"], fitted.reconstruction_error(frame.to_numpy()), rtol=1e-6)
    with pytest.raises(DataError, match="column_3"):
        embed_rows(model, card, frame.drop(columns="column_3"))
    with pytest.raises(DataError, match="NaN"):
        embed_rows(model, card, frame.assign(column_3=np.nan))


def test_a_feature_is_outside_beyond_a_tenth_of_its_training_width(saved):
    model, card = load_model(saved, device="cpu")
    low, high = model.ranges_.minimum, model.ranges_.maximum
    middle = np.tile(model.mean_, (4, 1))
    middle[:, 4] = [high[4] + 0.09 * (high[4] - low[4]), high[4] + 0.11 * (high[4] - low[4]),
                    low[4] - 0.09 * (high[4] - low[4]), low[4] - 0.11 * (high[4] - low[4])]  # fmt: skip
    why = embed_rows(model, card, frame_of(middle))["why"]
    assert [("column_4" in text) for text in why] == [False, True, False, True]
    assert f"column_4 {middle[1, 4]:.4g} outside {low[4]:.4g}…{high[4]:.4g}" in why.iloc[1]


def test_what_is_outside_is_what_numpy_and_scipy_say_of_the_training_rows(tmp_path):
    train = plane()
    settings = dict(layers=(16, 3), activation="tanh", epochs=100, batch_size=64, learning_rate=5e-3)
    save_model(tmp_path, Autoencoder(**settings, **WHOLE).fit(train), ABOUT)
    model, card = load_model(tmp_path, device="cpu")
    codes = model.transform(train)
    inverse = np.linalg.inv(np.cov(codes.T, ddof=0))

    def distances(points):
        return np.array([mahalanobis(z, codes.mean(axis=0), inverse) for z in points])

    limit = np.quantile(distances(codes), 0.999), np.quantile(model.reconstruction_error(train), 0.999)
    assert (model.ranges_.distance_limit, model.ranges_.error_limit) == pytest.approx(limit)
    off_plane = np.random.default_rng(0).permuted(train, axis=0)[:200]  # each column within its range
    new = np.vstack([plane(2000, seed=11), off_plane])
    result = embed_rows(model, card, frame_of(new))
    far, bad = distances(model.transform(new)) > limit[0], model.reconstruction_error(new) > limit[1]
    wide = 0.1 * (train.max(axis=0) - train.min(axis=0))
    beyond = ((new > train.max(axis=0) + wide) | (new < train.min(axis=0) - wide)).any(axis=1)
    assert 0 < far.mean() < 0.1 and bad[2000:].sum() > 100 > bad[:2000].sum() and not (far & bad).all()
    np.testing.assert_array_equal(result["outside_range"], far | bad | beyond)
    np.testing.assert_array_equal(result["why"] != "", result["outside_range"])
    np.testing.assert_array_equal(result["why"].str.contains("distance of the code"), far)
    np.testing.assert_array_equal(result["why"].str.contains("reconstruction error"), bad)
    assert result["outside_range"].iloc[:2000].mean() < 0.02  # rows like the training rows


# linear encoders with the same interface


def test_principal_components_are_those_of_represent(fitted):
    rows = plane()
    model, expected = (
        PrincipalComponents(3).fit(rows),
        represent(rows, algorithm="pca", n_components=3, standardise=True),
    )
    np.testing.assert_allclose(model.transform(rows), expected.scores, atol=1e-9)
    np.testing.assert_allclose(model.reconstruction_error(rows), expected.reconstruction_error, atol=1e-9)
    raw = PrincipalComponents(3, standardise=False).fit(rows)
    np.testing.assert_allclose(
        raw.transform(rows), represent(rows, algorithm="pca", n_components=3).scores, rtol=1e-7, atol=1e-6
    )


def test_factors_are_those_of_scikit_learn_on_rows_scaled_by_the_training_rows():
    rows, new = plane(), plane(40, seed=3)
    scaler = StandardScaler().fit(rows)
    peer = FactorAnalysis(3, random_state=0).fit(scaler.transform(rows))
    model = Factors(3).fit(rows, validation=new)
    codes = peer.transform(scaler.transform(new))
    np.testing.assert_allclose(model.transform(new), codes, atol=1e-10)
    rebuilt = codes @ peer.components_ + peer.mean_
    np.testing.assert_allclose(model.inverse_transform(codes), scaler.inverse_transform(rebuilt), rtol=1e-9)
    expected = ((scaler.transform(new) - rebuilt) ** 2).mean(axis=1)
    np.testing.assert_allclose(model.reconstruction_error(new), expected, rtol=1e-9)
    assert model.score(new) == pytest.approx(-expected.mean())


def test_unchanged_rows_are_their_own_code():
    rows = plane()
    model = Unchanged().fit(rows)
    np.testing.assert_allclose(model.transform(rows), StandardScaler().fit_transform(rows))
    np.testing.assert_allclose(model.inverse_transform(model.transform(rows)), rows)
    assert (model.reconstruction_error(rows) == 0).all() and model.code_width_ == 12
    np.testing.assert_array_equal(Unchanged(standardise=False).fit_transform(rows), rows)
    lengths = np.linalg.norm(Unchanged(normalise=True, standardise=False).fit_transform(rows), axis=1)
    np.testing.assert_allclose(lengths, 1)
    with pytest.raises(DataError, match="no direction"):
        Unchanged(normalise=True).fit(np.eye(3)[:, :2])


@pytest.mark.parametrize("model", [Unchanged(), PrincipalComponents(2), Factors(2)], ids=lambda m: type(m).__name__)
def test_linear_encoders_clone_and_refuse_bad_rows(model):
    rows = plane()
    fitted = clone(model).fit(rows, None, validation=None, groups=np.zeros(len(rows)))
    with pytest.raises(DataError, match="expected 12, found 3"):
        fitted.transform(rows[:, :3])
    rows[0, 0] = np.inf
    with pytest.raises(DataError, match="NaN or infinity"):
        clone(model).fit(rows)
    with pytest.raises(DataError, match="at least 2 rows"):
        clone(model).fit(plane(1))


def test_more_components_than_columns_are_refused():
    for kind in (PrincipalComponents, Factors):
        with pytest.raises(DataError, match="expected 1 to 12.*found 13"):
            kind(13).fit(plane())


def test_encoders_are_built_from_their_description():
    built = encoder_of({"algorithm": "autoencoder", "kind": "linear", "layers": [4], "split": "random", "epochs": 3})
    assert isinstance(built, Autoencoder) and (built.kind, built.layers, built.epochs) == ("linear", [4], 3)
    assert encoder_of({"algorithm": "pca", "n_components": 5, "standardise": False}).get_params() == {
        "n_components": 5, "standardise": False, "random_state": 0, "normalise": False,
    }  # fmt: skip
    assert isinstance(encoder_of({"algorithm": "factor_analysis", "n_components": 2}), Factors)
    assert isinstance(encoder_of({"algorithm": "identity", "normalise": True}), Unchanged)
    with pytest.raises(ConfigError, match="'pca'"):
        encoder_of({"algorithm": "pca2"})
    with pytest.raises(ConfigError, match="'n_components'"):
        encoder_of({"algorithm": "pca", "n_component": 5})
    with pytest.raises(ConfigError, match="lacks.*n_components"):
        encoder_of({"algorithm": "pca"})


def test_linear_encoders_do_not_import_torch(repository):
    code = (
        "import sys; from matlas.encoders import encoder_of; encoder_of({'algorithm': 'pca', 'n_components': 2}); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=repository).returncode == 0
