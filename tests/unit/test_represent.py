"""Principal components against the eigenvectors of the covariance, preprocessing and maps by hand, and the errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.manifold import trustworthiness

from matlas import maps
from matlas.errors import DataError
from matlas.represent import finite_matrix, fit, map_in_two_dimensions


def pca(features, *, standardise=True, **parameters):
    return fit(features, algorithm="pca", standardise=standardise, **parameters)


def shares(result):
    return [r["value"] for r in result.records if r["metric"].startswith("explained_variance_ratio_")]


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 3)) @ rng.normal(size=(3, 8)) * 10 + rng.normal(size=(300, 8)) + np.arange(8)


def standardised(features):
    return (features - features.mean(axis=0)) / features.std(axis=0)


def test_components_are_the_eigenvectors_of_the_correlation_matrix(features):
    values, vectors = np.linalg.eigh(np.corrcoef(features.T))
    values, vectors = values[::-1], vectors[:, ::-1]
    result = pca(features, n_components=4)
    np.testing.assert_allclose(shares(result), values[:4] / 8, rtol=1e-10)
    np.testing.assert_allclose(np.abs(result.loadings @ vectors[:, :4]), np.eye(4), atol=1e-8)
    np.testing.assert_allclose(result.scores, standardised(features) @ result.loadings.T, atol=1e-10)


def test_reconstruction_error_is_the_variance_that_the_components_leave(features):
    result = pca(features, n_components=3)
    residual = standardised(features) - result.scores @ result.loadings
    np.testing.assert_allclose(result.reconstruction_error, (residual**2).mean(axis=1), atol=1e-12)
    # standardised columns have unit variance: what is not explained is the mean error
    assert result.reconstruction_error.mean() == pytest.approx(1 - sum(shares(result)), abs=1e-12)


def test_reconstruction_error_covers_every_row_of_a_long_table():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(10_000, 3))
    result = pca(features, n_components=2)
    residual = standardised(features) - result.scores @ result.loadings
    np.testing.assert_allclose(result.reconstruction_error, (residual**2).mean(axis=1), atol=1e-12)


def test_an_outlier_off_the_plane_has_the_largest_reconstruction_error():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 6)) + 0.01 * rng.normal(size=(200, 6))
    features[17] += [3, -3, 3, -3, 3, -3]
    assert pca(features, n_components=2).reconstruction_error.argmax() == 17


def test_signs_do_not_depend_on_the_sign_of_the_features(features):
    result, mirrored = pca(features, n_components=4), pca(-features, n_components=4)
    largest = np.abs(result.loadings).argmax(axis=1)
    assert (result.loadings[np.arange(4), largest] > 0).all()
    np.testing.assert_allclose(mirrored.loadings, result.loadings, atol=1e-10)
    np.testing.assert_allclose(mirrored.scores, -result.scores, atol=1e-10)


def test_a_constant_column_has_no_loading(features):
    features[:, 5] = 3.3
    result = pca(features, n_components=2)
    np.testing.assert_allclose(result.loadings[:, 5], 0, atol=1e-14)


def test_without_standardisation_the_column_of_largest_scale_dominates(features):
    features[:, 2] *= 1e4
    assert np.abs(pca(features, n_components=1, standardise=False).loadings[0, 2]) > 0.999
    assert np.abs(pca(features, n_components=1).loadings[0, 2]) < 0.9


def test_integers_and_float32_become_float64():
    result = pca(np.array([[0, 1], [2, 5], [3, 3]], dtype=np.int32), n_components=1)
    assert result.scores.dtype == np.float64
    assert finite_matrix(np.ones((2, 2), dtype=np.float32), "x").dtype == np.float64


def test_nan_and_infinity_are_counted_and_their_columns_named(features):
    features[3, 1] = np.nan
    features[4, 1] = np.inf
    features[9, 6] = -np.inf
    with pytest.raises(DataError, match=r"column index 1, 6\).*found 3 of 2400 values"):
        pca(features, n_components=2)


@pytest.mark.parametrize(("shape", "n_components"), [((5, 3), 4), ((3, 9), 4), ((9, 9), 0)])
def test_more_components_than_rows_or_columns_is_an_error(shape, n_components):
    with pytest.raises(DataError, match=f"found {n_components}"):
        pca(np.random.default_rng(0).normal(size=shape), n_components=n_components)


def test_rows_that_are_all_equal_have_no_components():
    with pytest.raises(DataError, match="no variance"):
        pca(np.full((10, 3), 0.1), n_components=1)


def test_a_vector_is_not_a_table():
    with pytest.raises(DataError, match="expected 2 dimensions"):
        finite_matrix(np.arange(3.0), "scores")


def test_the_identity_is_the_view_itself_and_cannot_be_rebuilt_from_less(features):
    result = fit(features, algorithm="identity")
    np.testing.assert_array_equal(result.scores, features)
    assert result.loadings is None and result.reconstruction_error is None
    assert result.records == [{"metric": "n_features", "value": 8.0, "seed": None}]


def test_rows_come_to_unit_length_before_columns_are_standardised(features):
    unit = features / np.sqrt((features**2).sum(axis=1))[:, None]
    np.testing.assert_allclose(fit(features, algorithm="identity", normalise=True).scores, unit)
    both = fit(features, algorithm="identity", normalise=True, standardise=True).scores
    np.testing.assert_allclose(both, (unit - unit.mean(axis=0)) / unit.std(axis=0))


def test_a_row_of_zeros_has_no_direction(features):
    features[[3, 5]] = 0
    with pytest.raises(DataError, match="no direction.*found 2 of 300"):
        fit(features, algorithm="identity", normalise=True)


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(3)
    return np.repeat(rng.normal(size=(3, 60)) * 10, 40, axis=0) + rng.normal(size=(120, 60))


@pytest.mark.parametrize(
    "spec",
    [{"algorithm": "tsne", "perplexity": 10, "init": "pca"}, {"algorithm": "umap", "n_neighbors": 10, "min_dist": 0.1}],
    ids=lambda spec: spec["algorithm"],
)
def test_a_map_keeps_planted_groups_apart_is_repeatable_and_says_how_far_to_trust_it(blobs, spec):
    spec |= {"n_components": 20, "random_state": 0}
    made, again = fit(blobs, **spec), fit(blobs, **spec)
    np.testing.assert_array_equal(made.scores, again.scores)
    group = np.repeat(range(3), 40)
    distance = np.linalg.norm(made.scores[:, None] - made.scores[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (group[distance.argmin(axis=1)] == group).all()
    said = {r["metric"]: r["value"] for r in made.records}
    assert said["n_features"] == 60
    assert said["trustworthiness"] == pytest.approx(trustworthiness(blobs, made.scores, n_neighbors=5))


def test_a_map_of_too_few_rows_says_how_many_it_needs(blobs):
    with pytest.raises(DataError, match="at least 90 for a perplexity of 30, found 40"):
        fit(blobs[:40], algorithm="tsne", perplexity=30, init="pca", n_components=5, random_state=0)
    with pytest.raises(DataError, match="more than 15 neighbours, found 15"):
        fit(blobs[:15], algorithm="umap", n_neighbors=15, min_dist=0.1, n_components=5, random_state=0)


@pytest.fixture
def seen(monkeypatch):
    """What a map is made of: it takes the first two columns, and keeps what it was given."""
    kept = []

    def corner(space, *, random_state):
        kept.append(space)
        return space[:, :2]

    monkeypatch.setitem(maps.MAPS, "corner", corner)
    return kept


def test_a_map_of_some_rows_is_of_a_random_sample_and_says_which(features, seen):
    made = fit(features, algorithm="corner", standardise=True, n_components=8, random_state=5, rows=40)
    assert made.rows.tolist() == sorted(set(made.rows.tolist())) and len(made.rows) == 40 and made.rows.max() > 100
    np.testing.assert_allclose(seen[0], standardised(features)[made.rows])  # scaled over all rows
    np.testing.assert_array_equal(made.scores, seen[0][:, :2])
    said = {r["metric"]: r["value"] for r in made.records}
    assert said["n_rows"] == 40 and said["n_features"] == 8
    assert said["trustworthiness"] == pytest.approx(trustworthiness(seen[0], made.scores, n_neighbors=5))
    keys = pd.Index([f"m{i}" for i in range(300)], name="material_id")
    frame = made.scores_frame(keys)
    assert list(frame.columns) == ["material_id", "z_0", "z_1"]
    assert frame["material_id"].tolist() == [f"m{i}" for i in made.rows]
    again, other = (
        map_in_two_dimensions(features, algorithm="corner", n_components=8, random_state=seed, rows=40)
        for seed in (5, 6)
    )
    np.testing.assert_array_equal(again.rows, made.rows)
    assert not np.array_equal(other.rows, made.rows)


@pytest.mark.parametrize("rows", [None, 300, 999])
def test_a_map_of_no_fewer_rows_than_there_are_is_of_all_in_their_order(rows, features, seen):
    made = fit(features, algorithm="corner", n_components=8, random_state=0, rows=rows)
    assert made.rows is None and "n_rows" not in {r["metric"] for r in made.records}
    np.testing.assert_array_equal(seen[0], features)


def test_shuffling_keeps_the_values_of_each_column_and_nothing_that_ties_columns(seen):
    rng = np.random.default_rng(4)
    features = rng.normal(size=(1500, 1)) + 0.3 * rng.normal(size=(1500, 5))
    off_diagonal = ~np.eye(5, dtype=bool)
    assert np.corrcoef(features.T)[off_diagonal].min() > 0.8
    made = fit(features, algorithm="corner", n_components=5, random_state=0, shuffle=True)
    assert np.abs(np.corrcoef(seen[0].T)[off_diagonal]).max() < 5 / np.sqrt(1500)  # five standard errors
    np.testing.assert_array_equal(np.sort(seen[0], axis=0), np.sort(features, axis=0))
    assert made.rows is None
    # judged against the rows that were mapped
    said = {r["metric"]: r["value"] for r in made.records}
    assert said["trustworthiness"] == pytest.approx(trustworthiness(seen[0], made.scores, n_neighbors=5))


def test_a_shuffled_map_of_some_rows_holds_the_values_of_those_rows(features, seen):
    made = fit(features, algorithm="corner", n_components=8, random_state=0, rows=50, shuffle=True)
    np.testing.assert_array_equal(np.sort(seen[0], axis=0), np.sort(features[made.rows], axis=0))
    assert not np.array_equal(seen[0], features[made.rows])
    again = fit(features, algorithm="corner", n_components=8, random_state=0, rows=50, shuffle=True)
    np.testing.assert_array_equal(again.scores, made.scores)
