"""Sweeps, silhouettes, stability and verdicts against scikit-learn, hand counts and planted groups."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, silhouette_samples, silhouette_score
from sklearn.mixture import GaussianMixture

import matlas.cluster.silhouette as silhouette_module
import matlas.threads as threads_module
from matlas.cluster.mixture import DiagonalMixture
from matlas.cluster.reruns import rerun_labels
from matlas.cluster.silhouette import silhouette_samples_many, silhouettes
from matlas.cluster.stability import (
    bootstrap_stability,
    pairwise_ari,
    resample_groups,
    seed_stability,
)
from matlas.cluster.study import agreement, cluster
from matlas.cluster.sweep import sweep, sweep_seeds
from matlas.cluster.verdict import NO_DISCRETE_GROUPS, NOT_CLUSTERABLE, PEAK, verdict
from matlas.errors import ConfigError, DataError
from matlas.metrics import metrics_frame
from matlas.threads import map_in_threads


@pytest.fixture(scope="module")
def blobs():
    """Five groups well apart, and which row is in which."""
    return make_blobs(400, 4, centers=5, cluster_std=0.5, center_box=(-20, 20), random_state=3)


@pytest.fixture(scope="module")
def compounds():
    """Like a table of compounds measured at several temperatures: near copies of 60 points, some exact copies."""
    rng = np.random.default_rng(0)
    points = np.repeat(rng.normal(size=(60, 10)), 12, axis=0)
    points[:, 9] += np.tile(np.linspace(0, 1, 12), 60)
    points[5] = points[4]
    return points - points.mean(axis=0), np.repeat([f"compound {i}" for i in range(60)], 12)


@pytest.fixture
def structureless():
    return np.random.default_rng(0).normal(size=(500, 6))


# --- silhouettes ------------------------------------------------------------------------------------------------------


def test_silhouettes_equal_scikit_learn_for_every_labeling_at_once(compounds):
    X, _ = compounds
    rng = np.random.default_rng(1)
    labelings = np.stack([rng.integers(k, size=len(X)) * 7 - 3 for k in (2, 3, 5, 12, 40)], axis=1)
    samples = silhouette_samples_many(X, labelings)
    for column, labels in enumerate(labelings.T):
        np.testing.assert_allclose(samples[column], silhouette_samples(X, labels), rtol=0, atol=1e-12)
    expected = [silhouette_score(X, labels) for labels in labelings.T]
    np.testing.assert_allclose(silhouettes(X, labelings), expected, rtol=0, atol=1e-12)


def test_silhouette_of_four_points_on_a_line_is_the_one_done_by_hand():
    X, labels = np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([[0], [0], [1], [1]])
    # outer points: a = 1, b = 10.5; inner points: a = 1, b = 9.5
    outer, inner = 1 - 1 / 10.5, 1 - 1 / 9.5
    np.testing.assert_allclose(silhouette_samples_many(X, labels), [[outer, inner, inner, outer]], rtol=1e-12)


def test_a_row_alone_in_its_cluster_scores_zero_as_in_scikit_learn():
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(30, 3)), np.r_[np.zeros(28, dtype=int), 1, 2]
    samples = silhouette_samples_many(X, labels[:, None])[0]
    assert samples[28] == samples[29] == 0
    np.testing.assert_allclose(samples, silhouette_samples(X, labels), rtol=0, atol=1e-12)


def test_equal_rows_in_different_clusters_score_zero_not_nan():
    X, labels = np.zeros((6, 2)), np.array([0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(silhouette_samples_many(X, labels[:, None]), np.zeros((1, 6)))


def test_one_cluster_or_one_a_row_has_no_silhouette_and_leaves_the_others_alone():
    X = np.random.default_rng(0).normal(size=(20, 2))
    half = np.repeat([0, 1], 10)
    scores = silhouettes(X, np.stack([np.zeros(20, dtype=int), half, np.arange(20)], axis=1))
    assert np.isnan(scores[[0, 2]]).all()
    assert scores[1] == pytest.approx(silhouette_score(X, half), abs=1e-12)


def test_blocks_and_threads_of_any_size_give_the_same_silhouettes(structureless):
    labelings = np.random.default_rng(1).integers(4, size=(500, 3))
    whole = silhouette_samples_many(structureless, labelings)
    one_row_blocks = silhouette_samples_many(structureless, labelings, block_mb=1e-9)
    np.testing.assert_allclose(one_row_blocks, whole, rtol=0, atol=1e-13)
    seven_row_blocks = silhouette_samples_many(structureless, labelings, block_mb=7 * 500 * 8 / 2**20)
    np.testing.assert_allclose(seven_row_blocks, whole, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(silhouette_samples_many(structureless, labelings, threads=1), whole)


def test_silhouettes_of_some_rows_are_those_that_they_have_among_all(structureless):
    labelings = np.random.default_rng(1).integers(4, size=(500, 3))
    expected = np.stack([silhouette_samples(structureless, labels) for labels in labelings.T])
    of = np.array([3, 77, 400, 499])
    some = silhouette_samples_many(structureless, labelings, of=of, block_mb=3 * 500 * 8 / 2**20)
    np.testing.assert_allclose(some, expected[:, of], rtol=0, atol=1e-12)
    drawn = np.sort(np.random.default_rng(5).choice(500, 60, replace=False))
    means = silhouettes(structureless, labelings, rows=60, random_state=5)
    np.testing.assert_allclose(means, expected[:, drawn].mean(axis=1), rtol=0, atol=1e-12)
    assert (silhouettes(structureless, labelings, rows=500) == silhouettes(structureless, labelings)).all()


def test_labelings_that_take_several_passes_get_the_same_silhouettes(structureless):
    labelings = np.random.default_rng(1).integers(4, size=(500, 3))
    apart = silhouette_samples_many(structureless, labelings, clusters_mb=5 * 500 * 8 / 2**20)  # 4 + 4 clusters are 8
    whole = silhouette_samples_many(structureless, labelings)
    np.testing.assert_allclose(apart, whole, rtol=0, atol=1e-13)


def test_a_clustering_says_of_how_many_rows_its_silhouettes_are(structureless):
    sampled = cluster(structureless, None, algorithm="kmeans", k=[2, 3], n_init=1, silhouette_rows=100)
    (record,) = (r for r in sampled.records if r["metric"] == "silhouette_rows")
    assert record["value"] == 100
    whole = cluster(structureless, None, algorithm="kmeans", k=[2, 3], n_init=1, silhouette_rows=500)
    assert "silhouette_rows" not in {r["metric"] for r in whole.records}


def test_renamed_clusters_are_scored_once_and_reported_for_each_labeling(structureless, monkeypatch):
    labels = np.random.default_rng(1).integers(3, size=500)
    widths = []
    one_hot = silhouette_module.one_hot
    monkeypatch.setattr(
        silhouette_module, "one_hot", lambda labelings: widths.append(len(labelings)) or one_hot(labelings)
    )
    scores = silhouettes(structureless, np.stack([labels, 2 - labels, labels + 5, (labels == 0) * 1], axis=1))
    assert widths == [2]
    assert scores[0] == scores[1] == scores[2] != scores[3]


def test_labelings_of_the_wrong_shape_or_type_are_refused(structureless):
    with pytest.raises(DataError, match=r"expected \(500, m\), found \(3, 2\)"):
        silhouettes(structureless, np.zeros((3, 2), dtype=int))
    with pytest.raises(DataError, match="not integers"):
        silhouettes(structureless, np.zeros((500, 1)))


def test_progress_is_logged_with_the_time_left(caplog, monkeypatch):
    monkeypatch.setattr(threads_module, "_LOG_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO, logger="matlas"):
        assert list(map_in_threads(lambda x: x * x, range(4), what="squares", threads=2)) == [0, 1, 4, 9]
    assert "squares: 1 of 4 done, about" in caplog.messages[0]
    assert "squares: 4 of 4 done in" in caplog.messages[-1]


# --- sweep ------------------------------------------------------------------------------------------------------------


def test_a_kmeans_sweep_equals_a_loop_of_scikit_learn(compounds):
    X, _ = compounds
    result = sweep(X, algorithm="kmeans", k=range(2, 13), random_state=0, n_init=3)
    for column, k in enumerate(result.k):
        peer = KMeans(n_clusters=k, init="k-means++", n_init=3, random_state=0).fit(X)
        np.testing.assert_array_equal(result.labels[:, column], peer.labels_)
        np.testing.assert_allclose(result.centers[column], peer.cluster_centers_, atol=1e-12)
        assert result.inertia[column] == pytest.approx(peer.inertia_, rel=1e-12)
        assert result.silhouette[column] == pytest.approx(silhouette_score(X, peer.labels_), abs=1e-12)
    assert result.labels.dtype == np.int64
    assert np.isnan(result.bic).all()
    assert result.responsibilities is None


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_gmm_sweep_equals_scikit_learn_and_its_labels_are_the_largest_responsibilities(
    structureless, covariance_type
):
    result = sweep(
        structureless, algorithm="gmm", k=[2, 3, 5], random_state=4, n_init=2, covariance_type=covariance_type
    )
    for column, k in enumerate(result.k):
        peer = GaussianMixture(
            k, covariance_type=covariance_type, n_init=2, init_params="random_from_data", random_state=4
        ).fit(structureless)
        np.testing.assert_array_equal(result.labels[:, column], peer.predict(structureless))
        np.testing.assert_allclose(result.centers[column], peer.means_, atol=1e-8)
        assert result.bic[column] == pytest.approx(peer.bic(structureless), rel=1e-9)
    assert np.isnan(result.inertia).all()
    best = result.k.index(result.best_k)
    assert result.responsibilities.shape == (500, result.best_k)
    np.testing.assert_allclose(result.responsibilities.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(result.responsibilities.argmax(axis=1), result.labels[:, best])


@pytest.mark.parametrize("init_params", ["random_from_data", "kmeans", "random", "k-means++"])
def test_the_diagonal_mixture_is_scikit_learns_from_every_start(structureless, init_params):
    options = {"covariance_type": "diag", "init_params": init_params, "n_init": 7, "random_state": 2}
    peer = GaussianMixture(4, **options).fit(structureless)
    mixture = DiagonalMixture(4, **options).fit(structureless)
    assert mixture.n_iter_ == peer.n_iter_ and mixture.converged_ and peer.converged_
    assert mixture.lower_bound_ == pytest.approx(peer.lower_bound_, rel=1e-12)
    for name in ("weights_", "means_", "covariances_", "precisions_"):
        np.testing.assert_allclose(getattr(mixture, name), getattr(peer, name), rtol=1e-7, atol=1e-9)


def test_of_starts_that_reach_one_optimum_the_diagonal_mixture_keeps_the_first(blobs):
    X = blobs[0][blobs[1] < 2]
    for seed in range(8):
        options = {"covariance_type": "diag", "init_params": "random_from_data", "random_state": seed}
        first, best = (DiagonalMixture(2, n_init=n, **options).fit(X) for n in (1, 12))
        assert first.lower_bound_ == pytest.approx(best.lower_bound_, rel=1e-12)  # more starts only reach it again
        np.testing.assert_array_equal(first.predict(X), best.predict(X))


def test_a_diagonal_mixture_that_stops_early_says_so_as_scikit_learn_does(structureless):
    options = {"covariance_type": "diag", "init_params": "random_from_data", "random_state": 0, "max_iter": 3}
    with pytest.warns(ConvergenceWarning, match="did not converge in 3 iterations"):
        mixture = DiagonalMixture(4, **options).fit(structureless)
    with pytest.warns(ConvergenceWarning):
        peer = GaussianMixture(4, **options).fit(structureless)
    assert mixture.n_iter_ == peer.n_iter_ == 3 and not mixture.converged_
    np.testing.assert_allclose(mixture.means_, peer.means_, rtol=1e-9)


@pytest.mark.parametrize("algorithm", ["kmeans", "gmm", "agglomerative"])
def test_planted_groups_are_found_with_their_number(blobs, algorithm):
    X, truth = blobs
    result = sweep(X, algorithm=algorithm, k=range(2, 9), **({} if algorithm == "agglomerative" else {"n_init": 10}))
    assert result.best_k == 5
    assert adjusted_rand_score(truth, result.labels[:, result.k.index(5)]) == 1
    if algorithm == "gmm":
        assert result.k[result.bic.argmin()] == 5


def test_float32_scores_are_clustered_in_float64(blobs):
    X = blobs[0].astype(np.float32)
    result = sweep(X, algorithm="gmm", k=[2, 5], n_init=2)
    assert result.centers[0].dtype == np.float64
    np.testing.assert_array_equal(result.labels, sweep(X.astype(float), algorithm="gmm", k=[2, 5], n_init=2).labels)


def test_many_seeds_give_what_each_seed_alone_gives(structureless):
    together = sweep_seeds(structureless, [7, 8, 9], algorithm="kmeans", k=[2, 4, 6], n_init=1)
    for seed, result in zip([7, 8, 9], together, strict=True):
        alone = sweep(structureless, algorithm="kmeans", k=[2, 4, 6], n_init=1, random_state=seed)
        assert result.random_state == seed
        np.testing.assert_array_equal(result.labels, alone.labels)
        np.testing.assert_array_equal(result.inertia, alone.inertia)
        np.testing.assert_allclose(result.silhouette, alone.silhouette, rtol=0, atol=1e-13)
    assert not np.array_equal(together[0].labels, together[1].labels)


@pytest.mark.parametrize("algorithm", ["kmeans", "gmm"])
def test_the_number_of_threads_changes_no_bit(structureless, algorithm):
    one, two = (sweep(structureless, algorithm=algorithm, k=[2, 5, 9], n_init=2, threads=t) for t in (1, 2))
    for name in ("labels", "inertia", "bic", "silhouette"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_the_smaller_k_wins_a_tie_where_copies_leave_fewer_clusters_than_asked_for():
    X = np.repeat([[0.0, 0.0], [5.0, 5.0]], 10, axis=0)
    with pytest.warns(UserWarning, match="distinct clusters"):
        result = sweep(X, algorithm="kmeans", k=[2, 3])
    np.testing.assert_array_equal(result.silhouette, [1.0, 1.0])
    assert result.best_k == 2


def test_rows_that_are_all_equal_have_no_best_k():
    with pytest.warns(UserWarning), pytest.raises(DataError, match="no cluster number has a silhouette"):
        sweep(np.ones((10, 2)), algorithm="kmeans", k=[2, 3])


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_collapsed_mixture_is_explained(covariance_type):
    X = np.repeat(np.eye(3) * 1e12 + np.pi * 1e11, 7, axis=0)
    with pytest.raises(DataError, match=r"collapsed.*gmm with 3 components.*found 3 distinct rows"):
        sweep(X, algorithm="gmm", k=[3], n_init=1, covariance_type=covariance_type)


@pytest.mark.parametrize(
    ("given", "meant"), [("k-means", "kmeans"), ("KMeans", "kmeans"), ("gmmm", "gmm"), ("hdbscn", "hdbscan")]
)
def test_an_unknown_algorithm_is_refused_with_the_nearest_name(structureless, given, meant):
    with pytest.raises(ConfigError, match=rf"'{meant}' \(nearest\)"):
        sweep(structureless, algorithm=given, k=[2])


@pytest.mark.parametrize("k", [[], [1, 2], [3, 2], [2, 2], [2.0, 3.0], [True, 2]])
def test_cluster_numbers_increase_from_two(structureless, k):
    with pytest.raises(ConfigError, match="increasing whole numbers from 2"):
        sweep(structureless, algorithm="kmeans", k=k)


def test_more_clusters_than_rows_and_non_finite_scores_are_refused(structureless):
    with pytest.raises(DataError, match="k up to 500, found 501"):
        sweep(structureless, algorithm="kmeans", k=[2, 501])
    structureless[3, 2] = np.nan
    with pytest.raises(DataError, match=r"scores hold NaN or infinity \(column index 2\)"):
        sweep(structureless, algorithm="kmeans", k=[2])


# --- trees and densities ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def islands():
    """Two dense groups in a thin mist, and which row is in which (-1: mist)."""
    rng = np.random.default_rng(1)
    groups, mist = rng.normal(size=(2, 80, 2)) * 0.2 + [[[0, 0]], [[6, 6]]], rng.uniform(-10, 16, size=(40, 2))
    return np.concatenate([*groups, mist]), np.repeat([0, 1, -1], [80, 80, 40])


@pytest.mark.parametrize("linkage", ["ward", "average", "complete"])
def test_one_tree_cut_at_every_k_gives_the_partitions_of_scikit_learn(compounds, linkage):
    X, _ = compounds  # with exact copies: distances tie
    result = sweep(X, algorithm="agglomerative", k=[2, 3, 5, 12, 40, 700], linkage=linkage)
    for column, k in enumerate(result.k):
        peer = AgglomerativeClustering(k, linkage=linkage).fit(X).labels_
        assert adjusted_rand_score(result.labels[:, column], peer) == 1
        assert result.silhouette[column] == pytest.approx(silhouette_score(X, peer), abs=1e-12)
        members = [X[peer == label] for label in range(k)]
        within = sum(((rows - rows.mean(axis=0)) ** 2).sum() for rows in members)
        assert result.inertia[column] == pytest.approx(within, rel=1e-9)
        centers = np.stack([X[result.labels[:, column] == label].mean(axis=0) for label in range(k)])
        np.testing.assert_allclose(result.centers[column], centers, atol=1e-12)
    assert result.random_state is None and result.responsibilities is None


def test_the_clusters_of_a_tree_are_counted_as_rows_mention_them():
    X = np.array([[5.0], [0.0], [5.1], [9.0], [0.1]])
    result = sweep(X, algorithm="agglomerative", k=[2, 3, 4])
    # 0 and 0.1 merge before 5 and 5.1 (5.1 - 5 is a little under 0.1: these merge first), then 9 joins the fives
    np.testing.assert_array_equal(result.labels[:, 0], [0, 1, 0, 0, 1])
    np.testing.assert_array_equal(result.labels[:, 1], [0, 1, 0, 2, 1])
    np.testing.assert_array_equal(result.labels[:, 2], [0, 1, 0, 2, 3])


def test_a_tree_of_more_rows_than_their_distances_allow_is_refused_at_once():
    with pytest.raises(DataError, match="too many rows for a tree.*at most 30,000 rows, found 30,001"):
        sweep(np.zeros((30_001, 2)), algorithm="agglomerative", k=[2])


def test_a_misspelt_linkage_is_refused_with_the_nearest_name(structureless):
    with pytest.raises(ConfigError, match=r"unknown linkage: expected 'ward' \(nearest\), found 'wards'"):
        sweep(structureless, algorithm="agglomerative", k=[2], linkage="wards")


def test_hdbscan_finds_the_islands_and_leaves_the_mist_out(islands):
    X, truth = islands
    result = sweep(X, algorithm="hdbscan", min_cluster_size=20)
    peer = HDBSCAN(min_cluster_size=20, copy=True).fit(X)
    assert result.k == (2,) and result.best_k == 2
    labels = result.labels[:, 0]
    np.testing.assert_array_equal(labels, peer.labels_)
    clustered, mist = labels >= 0, truth == -1
    assert adjusted_rand_score(truth[clustered & ~mist], labels[clustered & ~mist]) == 1
    assert clustered[~mist].mean() > 0.95 and clustered[mist].mean() < 0.2
    assert result.silhouette[0] == pytest.approx(silhouette_score(X[clustered], labels[clustered]), abs=1e-12)
    assert np.isnan(result.inertia).all() and np.isnan(result.bic).all()


def test_noise_is_counted_and_lies_at_the_nearest_centroid(islands):
    X, _ = islands
    result = cluster(X, None, algorithm="hdbscan", min_cluster_size=20, min_samples=5)
    labels = result.sweep.labels[:, 0]
    noise = labels == -1
    centers = np.stack([X[labels == label].mean(axis=0) for label in range(2)])
    distance = np.linalg.norm(X[:, None] - centers, axis=2)
    np.testing.assert_allclose(result.distance[noise], distance[noise].min(axis=1), atol=1e-12)
    np.testing.assert_allclose(result.distance[~noise], distance[~noise, labels[~noise]], atol=1e-12)
    metrics = {record["metric"]: record["value"] for record in result.records}
    assert set(metrics) == {"silhouette", "best_k", "noise_share"}
    assert metrics["best_k"] == 2 and metrics["noise_share"] == noise.mean() > 0.1
    table = metrics_frame({"dataset": "d", "view": "v", "representation": "r"}, "hdbscan", result.records)
    assert table["seed"].isna().all() and table["seed"].dtype == "Int64"


def test_data_without_a_dense_region_are_all_noise_which_is_no_error(structureless):
    result = cluster(structureless, None, algorithm="hdbscan", min_cluster_size=100)
    assert result.sweep.k == (0,) and result.sweep.best_k == 0
    assert (result.sweep.labels == -1).all() and np.isnan(result.distance).all()
    assert {record["metric"]: record["value"] for record in result.records} == {"best_k": 0, "noise_share": 1.0}
    assert list(result.reruns_frame(pd.RangeIndex(500, name="image_id")).columns) == ["image_id", "seed_0_k_0"]


def test_fewer_rows_than_the_smallest_cluster_are_refused(structureless):
    with pytest.raises(DataError, match="expected 501 or more, found 500"):
        sweep(structureless, algorithm="hdbscan", min_cluster_size=5, min_samples=501)


# --- tables -----------------------------------------------------------------------------------------------------------


def test_the_reruns_table_holds_every_seed_and_k_and_gives_them_back(structureless):
    options = {"algorithm": "kmeans", "k": [2, 4], "n_init": 1}
    result = cluster(structureless, None, random_state=5, stability={"seeds": 3, "bootstraps": 0}, **options)
    entities = pd.Index([f"image {i}" for i in range(500)], name="image_id")
    table = result.reruns_frame(entities)
    columns = [f"seed_{seed}_k_{k}" for seed in (5, 6, 7) for k in (2, 4)]
    assert list(table.columns) == ["image_id", *columns]
    assert (table[columns].dtypes == "int64").all() and table["image_id"].tolist() == entities.tolist()
    for seed in (5, 6, 7):
        alone = sweep(structureless, random_state=seed, **options)
        np.testing.assert_array_equal(table[f"seed_{seed}_k_4"], alone.labels[:, 1])
    np.testing.assert_array_equal(result.labels_frame(entities)["k_2"], table["seed_5_k_2"])
    seeds, ks, labels = rerun_labels(table.set_index("image_id"))
    assert (seeds, ks) == ([5, 5, 6, 6, 7, 7], [2, 4] * 3)
    np.testing.assert_array_equal(labels, table[columns])
    with pytest.raises(DataError, match="not a table of reruns"):
        rerun_labels(table)


def test_only_algorithms_that_sweep_have_columns_of_k(islands):
    X, _ = islands
    entities = pd.RangeIndex(len(X), name="image_id")
    tree = cluster(X, None, algorithm="agglomerative", k=[2, 3], linkage="average")
    density = cluster(X, None, algorithm="hdbscan", min_cluster_size=20)
    assert list(tree.labels_frame(entities).columns) == ["image_id", "cluster", "distance", "k_2", "k_3"]
    assert list(density.labels_frame(entities).columns) == ["image_id", "cluster", "distance"]
    assert (tree.swept, density.swept) == ((2, 3), ())


def test_agreement_leaves_out_a_clustering_that_finds_its_own_number(islands):
    X, _ = islands
    entities = pd.RangeIndex(len(X), name="image_id")
    tables = []
    for name, spec in {
        "ward": {"algorithm": "agglomerative", "k": [2, 3]}, "dense": {"algorithm": "hdbscan", "min_cluster_size": 20}
    }.items():  # fmt: skip
        labels = cluster(X, None, **spec).labels_frame(entities).set_index("image_id")
        tables += [({"view": v, "representation": "pca", "clustering": name}, labels) for v in ("a", "b")]
    table = agreement(tables, "study")
    assert set(table["clustering"]) == {"ward"} and len(table) == 6  # pairs of 2 views x 2 k
    assert table.query("k_a == k_b")["ari"].tolist() == [1.0, 1.0]
    none = agreement(tables[2:], "study")
    assert none.empty and none["ari"].dtype == "float64" and list(none.columns) == list(table.columns)


# --- stability --------------------------------------------------------------------------------------------------------


def test_pairwise_ari_equals_scikit_learn(monkeypatch):
    rng = np.random.default_rng(0)
    truth = rng.integers(6, size=1000)
    noisy = np.where(rng.random(1000) < 0.3, rng.integers(6, size=1000), truth)
    columns = [truth, noisy, truth // 2, rng.integers(-9, 9, 1000), np.zeros(1000, dtype=int), np.arange(1000)]
    labelings = np.stack(columns, axis=1)
    expected = [[adjusted_rand_score(a, b) for b in labelings.T] for a in labelings.T]
    np.testing.assert_allclose(pairwise_ari(labelings), expected, rtol=0, atol=1e-12)
    monkeypatch.setattr("matlas.cluster.stability._ROWS_AT_ONCE", 333)
    np.testing.assert_allclose(pairwise_ari(labelings), expected, rtol=0, atol=1e-12)


def test_renamed_clusters_agree_completely():
    labels = np.array([0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(pairwise_ari(np.stack([labels, 9 - labels], axis=1)), np.ones((2, 2)))


def test_seeds_agree_on_planted_groups_and_not_on_noise(blobs, structureless):
    agreed = {}
    for name, X in {"planted": blobs[0], "noise": structureless}.items():
        reference, *others = sweep_seeds(X, range(4), algorithm="kmeans", k=[2, 5], n_init=5)
        table = seed_stability(others, reference)
        assert list(table.columns) == ["k", "seed", "ari"]
        assert set(zip(table["k"], table["seed"], strict=True)) == {(k, seed) for k in (2, 5) for seed in (1, 2, 3)}
        row = table[(table["k"] == 5) & (table["seed"] == 2)]
        assert row["ari"].item() == pytest.approx(adjusted_rand_score(reference.labels[:, 1], others[1].labels[:, 1]))
        agreed[name] = table.loc[table["k"] == 5, "ari"].mean()
    assert agreed["planted"] == 1
    assert agreed["noise"] < 0.8


def test_sweeps_of_other_k_are_not_compared(structureless):
    reference = sweep(structureless, algorithm="kmeans", k=[2, 3], n_init=1)
    other = sweep(structureless, algorithm="kmeans", k=[2, 4], n_init=1)
    with pytest.raises(DataError, match="not of the same rows and k"):
        seed_stability([other], reference)


def test_a_resample_takes_whole_groups_and_as_many_as_there_are():
    groups = np.array(["a", "b", "a", "c", "b", "a", "d"])
    size = {"a": 3, "b": 2, "c": 1, "d": 1}
    left_out = 0
    for seed in range(50):
        rows = resample_groups(groups, np.random.default_rng(seed))
        times = np.bincount(rows, minlength=len(groups))
        drawn = {name: set(times[groups == name].tolist()) for name in size}
        assert all(len(counts) == 1 for counts in drawn.values())  # every row of a group equally often
        assert sum(min(counts) for counts in drawn.values()) == 4
        left_out += sum(counts == {0} for counts in drawn.values())
    # a group is left out of a draw of 4 from 4 with probability (3/4)^4 = 0.316: 63 of 200 expected
    assert 40 < left_out < 90


@pytest.mark.parametrize("algorithm", ["kmeans", "gmm"])
def test_bootstraps_refit_on_whole_groups_and_label_every_row(blobs, algorithm, monkeypatch):
    X, truth = blobs
    groups = np.arange(len(X)) // 4
    reference = sweep(X, algorithm=algorithm, k=[2, 5], n_init=10)
    seen = []
    fit = {"kmeans": KMeans, "gmm": GaussianMixture}[algorithm].fit
    monkeypatch.setattr(
        {"kmeans": KMeans, "gmm": GaussianMixture}[algorithm],
        "fit",
        lambda model, rows: seen.append(rows) or fit(model, rows),
    )
    table = bootstrap_stability(X, groups, reference, n_bootstrap=3, random_state=10, n_init=10, threads=1)
    assert len(seen) == 3 * 2
    for rows in seen:
        times = (rows[:, None, :] == X[None]).all(axis=2).sum(axis=0)
        assert (times.reshape(-1, 4) == times.reshape(-1, 4)[:, :1]).all()
        assert times.sum() == len(X)
        assert (times == 0).any()
    assert sorted(table["seed"].unique()) == [10, 11, 12]
    assert (table.loc[table["k"] == 5, "ari"] == 1).all()


def test_bootstrap_labels_are_those_of_the_nearest_centroid(structureless):
    reference = sweep(structureless, algorithm="kmeans", k=[3], n_init=2)
    groups = np.arange(500) // 5
    table = bootstrap_stability(structureless, groups, reference, n_bootstrap=1, random_state=6, n_init=2)
    rows = resample_groups(groups, np.random.default_rng(6))
    centers = KMeans(3, n_init=2, random_state=6).fit(structureless[rows]).cluster_centers_
    nearest = ((structureless[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
    assert table["ari"].item() == pytest.approx(adjusted_rand_score(reference.labels[:, 0], nearest), abs=1e-12)


def test_resampling_rows_of_near_copies_looks_more_stable_than_resampling_their_groups(compounds):
    X, groups = compounds
    reference = sweep(X, algorithm="kmeans", k=[8], n_init=5)
    by_group = bootstrap_stability(X, groups, reference, n_bootstrap=20, n_init=5)["ari"].mean()
    by_row = bootstrap_stability(X, np.arange(len(X)), reference, n_bootstrap=20, n_init=5)["ari"].mean()
    assert by_row > by_group + 0.05


def test_without_groups_single_rows_are_drawn(structureless):
    reference = sweep(structureless, algorithm="kmeans", k=[3], n_init=2)
    table = bootstrap_stability(structureless, None, reference, n_bootstrap=2, n_init=2)
    rows = bootstrap_stability(structureless, np.arange(500), reference, n_bootstrap=2, n_init=2)
    pd.testing.assert_frame_equal(table, rows)
    drawn = resample_groups(np.arange(500), np.random.default_rng(0))
    assert len(drawn) == 500 and 280 < len(set(drawn)) < 350  # 500 (1 - 1/e) = 316 expected


def test_bootstraps_without_fitting_groups_are_refused(structureless):
    reference = sweep(structureless, algorithm="kmeans", k=[2, 9], n_init=1)
    with pytest.raises(DataError, match="found 3 groups, 500 labels"):
        bootstrap_stability(structureless, [1, 2, 3], reference, n_bootstrap=1)
    with pytest.raises(DataError, match="rows without a group: found 1 of 500"):
        bootstrap_stability(structureless, ["a"] * 499 + [None], reference, n_bootstrap=1)
    few = np.r_[np.zeros(492, dtype=int), np.arange(1, 9)]  # 9 groups: a draw that misses the large one has 9 rows
    reference = sweep(structureless, algorithm="kmeans", k=[10], n_init=1)
    with pytest.raises(DataError, match="fewer rows than clusters: expected >= 10, found 9"):
        bootstrap_stability(structureless, few, reference, n_bootstrap=20)


# --- verdict ----------------------------------------------------------------------------------------------------------


def test_a_peak_inside_the_sweep_is_named():
    judged = verdict([2, 3, 4, 5], [0.3, 0.5, 0.4, 0.35])
    assert judged.category == PEAK
    assert "a peak at k = 3" in judged.words
    assert "rule of thumb" in judged.words and "not to be compared" in judged.words


def test_a_silhouette_that_climbs_to_the_end_shows_no_discrete_groups():
    judged = verdict(range(2, 13), np.linspace(0.3, 0.4, 11))
    assert judged.category == NO_DISCRETE_GROUPS
    assert "k = 12 (0.400), the largest k of the sweep (2 to 12)" in judged.words
    assert verdict([4, 5, 6], [0.5, 0.4, 0.3]).category == NO_DISCRETE_GROUPS


def test_a_weak_silhouette_everywhere_is_not_clusterable():
    judged = verdict([2, 3, 4], [0.1, 0.2, 0.15])
    assert judged.category == NOT_CLUSTERABLE
    assert "continuous representation" in judged.words and "no discrete groups" not in judged.words


def test_weak_and_climbing_says_both():
    judged = verdict([2, 3, 4], [0.1, 0.15, 0.2])
    assert judged.category == NOT_CLUSTERABLE
    assert "continuous representation" in judged.words and "no discrete groups" in judged.words


def test_exactly_a_quarter_is_not_weak():
    assert verdict([2, 3, 4], [0.1, 0.25, 0.2]).category == PEAK


def test_two_planted_groups_are_a_peak_although_two_is_the_first_k():
    X, _ = make_blobs(200, 3, centers=[[0, 0, 0], [9, 9, 9]], random_state=0)
    result = sweep(X, algorithm="kmeans", k=range(2, 7))
    judged = verdict(result.k, result.silhouette)
    assert judged.category == PEAK
    assert "k = 2" in judged.words


def test_structureless_data_are_not_clusterable(structureless):
    result = sweep(structureless, algorithm="kmeans", k=range(2, 9), n_init=3)
    assert verdict(result.k, result.silhouette).category == NOT_CLUSTERABLE


def test_undefined_silhouettes_are_mentioned_and_too_few_are_refused():
    assert "Without a silhouette: k = 9" in verdict([2, 3, 4, 9], [0.3, 0.5, 0.4, np.nan]).words
    with pytest.raises(DataError, match="found 2"):
        verdict([2, 3, 4], [0.3, 0.5, np.nan])
    with pytest.raises(DataError, match="increasing k"):
        verdict([2, 4, 3], [0.3, 0.5, 0.1])


def test_a_single_labeling_agrees_with_itself():
    np.testing.assert_array_equal(pairwise_ari(np.array([[0], [1], [1]])), [[1.0]])
