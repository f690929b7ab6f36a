"""Neighbourhoods in spaces against scikit-learn, hand counts and planted truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from matlas.errors import ConfigError, DataError
from matlas.evaluate.neighbourhoods import neighbour_ranks, neighbourhoods, trustworthiness_and_continuity
from matlas.evaluate.resampling import mean_over_groups, mean_over_seeds, median_over_seeds

N, K = 240, 7


@pytest.fixture
def features():
    """240 entities in three groups of 80, five columns in very different units."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(scale=2, size=(3, 5)), 80, axis=0)
    matrix = (centres + rng.normal(size=(N, 5))) * [1, 10, 100, 0.1, 1]
    return pd.DataFrame(matrix, index=pd.Index([f"m{i}" for i in range(N)], name="material_id"))


@pytest.fixture
def labels(features):
    return pd.DataFrame({"family": np.repeat(["a", "b", "c"], 80)}, index=features.index)


def like(features, matrix):
    return pd.DataFrame(matrix, index=features.index)


def projected(features, seed=1):
    """A space that keeps some of the features: a random plane through the standardised columns."""
    plane = np.random.default_rng(seed).normal(size=(5, 2))
    return like(features, StandardScaler().fit_transform(features) @ plane)


def measured(features, space, labels, groups=None, **options):
    records = neighbourhoods({("view", "z"): space}, {"view": features}, labels, groups, k=K, **options)
    table = pd.DataFrame(records)
    return table.set_index(["case", "group", "metric"]).sort_index()


def test_trustworthiness_and_continuity_are_scikit_learns_in_both_directions(features):
    standard, z = StandardScaler().fit_transform(features), projected(features).to_numpy()
    found = trustworthiness_and_continuity(neighbour_ranks(standard), neighbour_ranks(z), K)
    expected = trustworthiness(standard, z, n_neighbors=K), trustworthiness(z, standard, n_neighbors=K)
    assert found == pytest.approx(expected, abs=1e-12)
    assert abs(found[0] - found[1]) > 1e-3  # or the direction would not be tested


def test_ranks_count_the_nearer_rows_and_equal_rows_follow_in_the_order_of_the_table():
    assert neighbour_ranks(np.array([[0.0], [3.0], [1.0], [0.0], [-1.0]])).tolist() == [
        [0, 4, 2, 1, 3],
        [2, 0, 1, 3, 4],
        [1, 3, 0, 2, 4],
        [1, 4, 2, 0, 3],
        [1, 4, 3, 2, 0],
    ]


def test_the_view_is_standardised_before_a_space_is_compared_with_it(features, labels):
    standard = like(features, StandardScaler().fit_transform(features))
    same = measured(features, standard, labels)["value"]
    assert same["space", "", "trustworthiness"] == same["space", "", "continuity"] == 1
    assert same["space", "", "neighbourhood_consistency"] == 1
    in_own_units = measured(features, features, labels)["value"]
    assert in_own_units["space", "", "neighbourhood_consistency"] < 0.6


def test_a_random_space_shares_as_many_neighbours_as_chance_says(features, labels):
    random = like(features, np.random.default_rng(3).normal(size=(N, 3)))
    found = measured(features, random, labels)["value"]
    chance = found["space", "", "neighbourhood_consistency_chance"]
    assert chance == pytest.approx(K / (N - 1))
    assert found["space", "", "neighbourhood_consistency"] == pytest.approx(chance, abs=0.01)
    assert found["space", "", "trustworthiness"] == pytest.approx(0.5, abs=0.03)
    assert found["space", "family", "knn_purity"] == pytest.approx(
        found["space", "family", "knn_purity_chance"], abs=0.03
    )


def test_purity_and_silhouette_are_those_that_scikit_learn_gives_in_the_space_and_in_the_view(features, labels):
    z, standard = projected(features), StandardScaler().fit_transform(features)
    found = measured(features, z, labels)
    for case, codes in (("space", z.to_numpy()), ("features", standard)):
        nearest = NearestNeighbors(n_neighbors=K).fit(codes).kneighbors(return_distance=False)
        family = labels["family"].to_numpy()
        purity = (family[nearest] == family[:, None]).mean()
        assert found.loc[(case, "family", "knn_purity"), "value"] == pytest.approx(purity, abs=1e-12)
        silhouette = silhouette_score(codes, family)
        assert found.loc[(case, "family", "silhouette"), "value"] == pytest.approx(silhouette, abs=1e-12)
    assert found.loc[("space", "family", "knn_purity_chance"), "value"] == pytest.approx(79 / 239)
    assert set(found.loc["features"].index.get_level_values("metric")) == {
        "knn_purity", "knn_purity_chance", "silhouette"
    }  # fmt: skip


def test_entities_without_a_label_and_classes_of_one_are_left_out_and_counted(features, labels):
    some = labels.copy()
    some.iloc[:10, 0] = None
    some.iloc[-1, 0] = "alone"
    z = projected(features)
    found = measured(features, z, some).loc[("space", "family")]
    assert found["n"].to_dict() == {"knn_purity": 230, "knn_purity_chance": 230, "silhouette": 229}
    rest = slice(10, -1)
    expected = silhouette_score(z.to_numpy()[rest], labels["family"].to_numpy()[rest])
    assert found.loc["silhouette", "value"] == pytest.approx(expected, abs=1e-12)
    known = measured(features.iloc[10:], z.iloc[10:], some.iloc[10:]).loc[("space", "family"), "value"]
    assert found.loc["knn_purity", "value"] == pytest.approx(known["knn_purity"], abs=1e-12)


def test_labels_of_one_class_have_no_silhouette(features):
    one = pd.DataFrame({"family": "a"}, index=features.index)
    found = measured(features, projected(features), one).loc[("space", "family"), "value"]
    assert found.to_dict() == {"knn_purity": 1.0, "knn_purity_chance": 1.0}


def test_intervals_are_wider_where_rows_of_a_group_repeat_each_other(features, labels):
    groups = pd.Series(np.arange(N) // 20, index=features.index)
    z = projected(features)
    for seed in (0, 1):
        single, grouped = (
            measured(features, z, labels, g, seed=seed).loc[("space", "family", "knn_purity")] for g in (None, groups)
        )
        assert single["value"] == grouped["value"]
        assert grouped["high"] - grouped["low"] > 1.2 * (single["high"] - single["low"])


def test_a_sample_has_the_asked_size_and_is_the_same_for_all_spaces(features, labels):
    spaces = {("view", "a"): projected(features), ("view", "b"): projected(features)}
    found = pd.DataFrame(neighbourhoods(spaces, {"view": features}, labels, k=K, rows=100, seed=4))
    values = {name: table.set_index(["group", "metric"])["value"] for name, table in found.groupby("representation")}
    assert values["a"].equals(values["b"])
    assert set(found.loc[found["metric"] == "trustworthiness", "n"]) == {100}
    other = pd.DataFrame(neighbourhoods(spaces, {"view": features}, labels, k=K, rows=100, seed=5))
    assert not other["value"].equals(found["value"])


def test_more_neighbours_than_half_the_rows_an_absent_view_and_absent_entities_are_refused(features, labels):
    z = projected(features)
    with pytest.raises(ConfigError, match="don't fit the sample"):
        neighbourhoods({("view", "z"): z}, {"view": features}, labels, k=N // 2)
    with pytest.raises(DataError, match="no view to be compared with"):
        neighbourhoods({("other", "z"): z}, {"view": features}, labels, k=K)
    with pytest.raises(DataError, match="lack entities"):
        neighbourhoods({("view", "z"): z.iloc[1:]}, {"view": features}, labels, k=K)
    labels.iloc[5:, 0] = None
    with pytest.raises(DataError, match="too few entities have a label"):
        neighbourhoods({("view", "z"): z}, {"view": features}, labels, k=K)


# --- intervals --------------------------------------------------------------------------------------------------------


def test_the_interval_of_a_mean_over_groups_is_the_normal_one_of_the_group_means():
    rng = np.random.default_rng(0)
    of_group = rng.normal(size=400)
    found = mean_over_groups(np.repeat(of_group, 5), np.repeat(np.arange(400), 5), draws=2000)
    half = norm.ppf(0.975) * of_group.std() / np.sqrt(400)
    assert found.value == pytest.approx(of_group.mean())
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.1 * half)


def test_over_seeds_the_median_has_the_range_of_seeds_and_the_mean_its_own():
    values = np.arange(101.0)
    assert median_over_seeds(values) == pytest.approx((50, 2.5, 97.5))
    mean = mean_over_seeds(values)
    half = norm.ppf(0.975) * values.std() / np.sqrt(101)
    assert mean == pytest.approx((50, 50 - half, 50 + half), abs=0.15 * half)
