"""Scores against classes, conditions, sensitivity and inspection against scikit-learn, SciPy, hand counts and planted
truth."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import f_oneway
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

import matlas.evaluate.inspection as inspection_module
import matlas.evaluate.sensitivity as sensitivity_module
from matlas.cluster.reruns import reruns_frame
from matlas.cluster.study import cluster
from matlas.errors import ConfigError, DataError
from matlas.evaluate.alignment import rows_of
from matlas.evaluate.conditions import conditions, effects
from matlas.evaluate.external import contingency, external_scores, scores
from matlas.evaluate.inspection import ORDERS, inspect, inspections, rank_by_distance, rank_by_tiny_clusters
from matlas.evaluate.sensitivity import median_distance, sensitivities, sensitivity

SPACE = {"dataset": "steel", "view": "pixels", "representation": "pca", "clustering": "kmeans"}


@pytest.fixture
def labelled():
    """Six classes of 300 rows, and labelings from right over noisy to unrelated, with noise (-1) and other names."""
    rng = np.random.default_rng(0)
    classes = rng.integers(6, size=300)
    noisy = np.where(rng.random(300) < 0.3, rng.integers(6, size=300), classes)
    labels = [classes * 11 - 1, noisy, noisy // 2, rng.integers(-1, 9, 300), np.zeros(300, int), np.arange(300)]
    return np.array(list("abcdef"), dtype=object)[classes], np.stack(labels, axis=1)


def entities(n):
    return pd.Index([f"image {i}" for i in range(n)], name="image_id")


# --- external scores --------------------------------------------------------------------------------------------------


def purity_by_hand(truth, labels):
    return sum(max((truth[labels == c] == t).sum() for t in set(truth)) for c in set(labels)) / len(truth)


def test_scores_equal_scikit_learn_for_every_labeling_at_once(labelled):
    truth, labels = labelled
    table = external_scores(truth, labels)
    for row, column in zip(table.itertuples(), labels.T, strict=True):
        assert row.ari == pytest.approx(adjusted_rand_score(truth, column), abs=1e-12)
        nmi = normalized_mutual_info_score(truth, column, average_method="geometric")
        assert row.nmi == pytest.approx(nmi, abs=1e-12)
        assert row.purity == pytest.approx(purity_by_hand(truth, column), abs=1e-12)
    assert table.loc[0, ["ari", "nmi", "purity"]].tolist() == pytest.approx([1, 1, 1], abs=1e-12)
    assert (table["rows"] == 300).all()


@pytest.mark.parametrize("truth", ["aaaa", "aaab", "abcd", "aabb"])
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [1, 0, 0, 0], [5, 5, -1, -1]])
def test_scores_of_degenerate_partitions_are_those_of_scikit_learn(truth, labels):
    table = external_scores(list(truth), np.array(labels)[:, None])
    assert table["ari"].item() == pytest.approx(adjusted_rand_score(list(truth), labels), abs=1e-12)
    nmi = normalized_mutual_info_score(list(truth), labels, average_method="geometric")
    assert table["nmi"].item() == pytest.approx(nmi, abs=1e-12)


def test_rows_without_a_class_are_left_out_and_counted(labelled):
    truth, labels = labelled
    some = truth.copy()
    some[::3] = None
    some[3] = np.nan
    known = pd.notna(some)
    table = external_scores(some, labels)
    pd.testing.assert_frame_equal(
        table[["ari", "nmi", "purity"]], external_scores(truth[known], labels[known])[["ari", "nmi", "purity"]]
    )
    assert (table["rows"] == 200).all()
    with pytest.raises(DataError, match="no row has a class: .*found none of 300"):
        external_scores([None] * 300, labels)


def test_noise_is_one_more_cluster():
    # two rows of class a in cluster 0, two of b in 1, and two of each in the noise, of which one class counts
    table = external_scores(list("aaaabbbb"), np.array([0, 0, -1, -1, 1, 1, -1, -1])[:, None])
    assert table["purity"].item() == 6 / 8


def test_chance_is_what_shuffled_labels_score(labelled):
    truth, labels = labelled
    many = np.repeat(labels[:, :1], 200, axis=1)
    chance = external_scores(truth, many, seed=3)
    assert chance["ari"].min() == 1
    assert abs(chance["ari_chance"].mean()) < 0.002 < chance["ari_chance"].std()
    rng = np.random.default_rng(99)
    shuffled = [purity_by_hand(truth, rng.permutation(labels[:, 0])) for _ in range(200)]
    assert chance["purity_chance"].mean() == pytest.approx(np.mean(shuffled), abs=0.005)
    assert chance["nmi_chance"].mean() > 0.01  # mutual information is not 0 by chance
    pd.testing.assert_frame_equal(chance, external_scores(truth, many, seed=3))
    assert not chance["ari_chance"].equals(external_scores(truth, many, seed=4)["ari_chance"])


@pytest.mark.parametrize("n_clusters", [3, 4, 6])
def test_the_matching_is_the_best_of_all_and_every_pair_is_counted(n_clusters):
    rng = np.random.default_rng(n_clusters)
    truth = rng.choice(["x", "y", "z", "w"], size=60).astype(object)
    labels = rng.integers(n_clusters, size=60) - 1
    table = contingency(truth, labels)
    assert len(table) == 4 * n_clusters and table["entities"].sum() == 60
    count = table.pivot(index="label", columns="cluster", values="entities")
    for label in count.index:
        for name in count.columns:
            assert count.loc[label, name] == ((truth == label) & (labels == name)).sum()
    grid = count.to_numpy() if n_clusters >= 4 else count.to_numpy().T
    best = max(sum(grid[i, j] for i, j in enumerate(p)) for p in permutations(range(grid.shape[1]), len(grid)))
    matched = table[table["matched"]]
    assert matched["entities"].sum() == best
    assert not matched["label"].duplicated().any() and not matched["cluster"].duplicated().any()


def test_pairs_without_a_row_are_counted_as_zero_and_never_matched():
    table = contingency(["a", "a", "b", None], np.array([0, 0, 0, 7]))
    assert table.to_dict("list") == {
        "label": ["a", "a", "b", "b"], "cluster": [0, 7, 0, 7], "entities": [2, 0, 1, 0],
        "matched": [True, False, False, False],
    }  # fmt: skip


def reruns(columns, n):
    return reruns_frame(entities(n), columns).set_index("image_id")


def test_a_study_gets_scores_of_every_seed_and_k_and_contingencies_at_the_number_of_classes(labelled):
    truth, labels = labelled
    table = reruns([(s, k, labels[:, (s + k) % 4]) for s in (0, 1) for k in (5, 6)], 300)
    classes = pd.Series(truth, index=entities(300)).sample(frac=1, random_state=0)  # in another order
    scored, counted = scores("steel_study", [(SPACE, table), (SPACE | {"view": "other"}, table)], classes)
    key = ["study", "dataset", "view", "representation", "clustering", "k", "seed"]
    assert list(scored.columns) == [*key, "metric", "value"]
    assert len(scored) == 2 * 4 * 6 and not scored.duplicated([*key, "metric"]).any()
    assert set(scored["metric"]) == {"ari", "nmi", "purity", "ari_chance", "nmi_chance", "purity_chance"}
    row = scored.query("view == 'pixels' and k == 6 and seed == 1 and metric == 'ari'")
    assert row["value"].item() == pytest.approx(adjusted_rand_score(truth, labels[:, 3]), abs=1e-12)
    assert list(counted.columns) == [*key, "label", "cluster", "entities", "matched"]
    assert set(counted["k"]) == {6} and set(counted["seed"]) == {0, 1}
    assert (counted.groupby(["view", "seed"])["entities"].sum() == 300).all()


def test_without_a_sweep_over_the_number_of_classes_the_contingency_is_empty_with_its_types(labelled):
    truth, labels = labelled
    _, counted = scores("s", [(SPACE, reruns([(0, 5, labels[:, 0])], 300))], pd.Series(truth, index=entities(300)))
    assert counted.empty
    assert counted.dtypes[["k", "cluster", "entities", "matched"]].astype(str).tolist() == ["int64"] * 3 + ["bool"]


def test_entities_that_the_labels_lack_or_name_twice_are_refused(labelled):
    truth, labels = labelled
    table = reruns([(0, 6, labels[:, 0])], 300)
    with pytest.raises(DataError, match="labels lack entities: expected all of 300, found 2 missing, as 'image 298'"):
        scores("s", [(SPACE, table)], pd.Series(truth[:298], index=entities(300)[:298]))
    twice = pd.Series([1, 2], index=pd.Index(["image 0"] * 2))
    with pytest.raises(DataError, match="labels name an entity twice: found 'image 0'"):
        rows_of(twice, entities(1), "labels")


def test_a_whole_study_of_planted_groups_scores_one_where_groups_are_the_classes():
    rng = np.random.default_rng(0)
    classes = np.repeat(["dent", "scratch", "stain"], 40)
    X = rng.normal(size=(120, 5)) + np.repeat(rng.normal(size=(3, 5)) * 20, 40, axis=0)
    stability = {"seeds": 3, "bootstraps": 0}
    result = cluster(X, None, algorithm="kmeans", k=[2, 3, 4], n_init=10, stability=stability)
    table = result.reruns_frame(entities(120)).set_index("image_id")
    scored, counted = scores("s", [(SPACE, table)], pd.Series(classes, index=entities(120)))
    assert scored.query("k == 3 and metric == 'ari'")["value"].tolist() == [1, 1, 1]
    assert counted.query("matched")["entities"].tolist() == [40] * 9


# --- conditions -------------------------------------------------------------------------------------------------------


def epsilon_squared(values, groups):
    """From SciPy's F: (k - 1) (F - 1) / ((k - 1) F + n - k)."""
    names = sorted(set(groups))
    F = f_oneway(*[values[groups == name] for name in names]).statistic
    k, n = len(names), len(values)
    return (k - 1) * (F - 1) / ((k - 1) * F + n - k)


def residual_ss(values, *factors):
    """Residual sum of squares of a regression on all combinations of the factors."""
    cells = pd.get_dummies(pd.Series(list(zip(*factors, strict=True)))).to_numpy(float)
    return ((values - cells @ np.linalg.lstsq(cells, values, rcond=None)[0]) ** 2).sum(), cells.shape[1]


@pytest.fixture
def conditioned():
    """A condition that follows class and, inside classes, cluster; on an offset, as grey values or years are."""
    rng = np.random.default_rng(5)
    truth, labels = rng.choice(list("abc"), 400), rng.integers(4, size=400)
    values = 1e4 + (truth == "a") * 2.0 + (labels == 1) * 1.5 * (truth != "b") + rng.normal(size=400)
    return values, labels, truth


def test_effects_of_cluster_and_class_equal_the_f_statistic_of_scipy(conditioned):
    values, labels, truth = conditioned
    found = effects(values, labels, truth)
    assert found["effect_of_cluster"] == pytest.approx(epsilon_squared(values, labels), rel=1e-9)
    assert found["effect_of_label"] == pytest.approx(epsilon_squared(values, truth), rel=1e-9)


def test_the_effect_within_classes_is_that_of_nested_regressions(conditioned):
    values, labels, truth = conditioned
    (inside, classes), (left, cells) = residual_ss(values, truth), residual_ss(values, truth, labels)
    expected = 1 - (left / (400 - cells)) / (inside / (400 - classes))
    assert effects(values, labels, truth)["effect_within_label"] == pytest.approx(expected, rel=1e-9)
    assert expected > 0.1


def test_effects_of_six_values_are_those_done_by_hand():
    # class means 1 and 5 about 3: between 24; within 2 + 2 = 4, each from 1 ± 1; clusters split low, middle, high
    values, truth = np.array([0.0, 1, 2, 4, 5, 6]), list("aaabbb")
    found = effects(values, np.array([0, 1, 2, 0, 1, 2]), truth)
    assert found["effect_of_label"] == pytest.approx(1 - (4 / 4) / (28 / 5))
    # clusters: means 2, 3, 4, between 4 of 28, so 24 over 3 degrees within
    assert found["effect_of_cluster"] == pytest.approx(1 - (24 / 3) / (28 / 5))
    assert np.isnan(found["effect_within_label"])  # a cell for each row leaves nothing to compare with


def test_unrelated_clusters_have_no_effect_on_average_however_many_they_are(conditioned):
    values, _, truth = conditioned
    rng = np.random.default_rng(0)
    found = pd.DataFrame([effects(values, rng.integers(40, size=400), truth) for _ in range(300)])
    for name in ("effect_of_cluster", "effect_within_label"):
        assert abs(found[name].mean()) < 3 * found[name].std() / np.sqrt(300)
        assert found[name].min() < 0


def test_a_cluster_that_only_follows_class_explains_a_condition_but_nothing_within_class(conditioned):
    values, _, truth = conditioned
    found = effects(values, (truth == "a").astype(int), truth)
    assert found["effect_of_cluster"] > 0.3
    assert found["effect_within_label"] == pytest.approx(0, abs=1e-12)


def test_rows_without_a_class_count_for_clusters_only(conditioned):
    values, labels, truth = conditioned
    some = truth.astype(object)
    some[100:] = None
    found, early = effects(values, labels, some), effects(values[:100], labels[:100], truth[:100])
    assert found["effect_of_cluster"] == pytest.approx(epsilon_squared(values, labels), rel=1e-9)
    assert found["effect_of_label"] == pytest.approx(early["effect_of_label"], rel=1e-12)
    assert found["effect_within_label"] == pytest.approx(early["effect_within_label"], rel=1e-12)
    assert np.isnan([effects(values, labels)[name] for name in ("effect_of_label", "effect_within_label")]).all()


def test_a_constant_condition_has_no_effect_to_measure_and_gaps_are_refused(conditioned):
    values, labels, truth = conditioned
    assert np.isnan(list(effects(np.full(400, 0.1), labels, truth).values())).all()
    by_class = effects((truth == "a") * 0.3 + 0.1, labels, truth)
    assert by_class["effect_of_label"] == 1 and np.isnan(by_class["effect_within_label"])
    values[7] = np.nan
    with pytest.raises(DataError, match="conditions hold NaN or infinity"):
        effects(values, labels, truth)


@pytest.fixture
def confounded():
    """Three kinds of grain, photographed in two lights, of which light separates the features more than kind."""
    rng = np.random.default_rng(2)
    kind, light = np.repeat([0, 1, 2], 60), np.tile([0, 1], 90)
    X = rng.normal(size=(180, 4)) + np.outer(light, [12, 0, 0, 0]) + np.outer(kind, [0, 3, 0, 0])
    table = pd.DataFrame({"brightness": 100 + 40.0 * light + rng.normal(size=180), "hour": rng.uniform(0, 24, 180)})
    truth = pd.Series(np.array(["fine", "coarse", "mixed"], object)[kind], index=entities(180))
    return X, table.set_index(entities(180)), truth


def test_a_planted_confounder_is_named_and_an_unrelated_condition_is_not(confounded):
    X, table, truth = confounded
    result = cluster(X, None, algorithm="kmeans", k=[2, 3], n_init=10, stability={"seeds": 2, "bootstraps": 0})
    run = (SPACE, result.reruns_frame(entities(180)).set_index("image_id"))
    found = conditions("grains", [run], table.iloc[::-1], truth)
    assert list(found.columns) == [
        "study", "dataset", "view", "representation", "clustering", "k", "seed", "condition", "effect_of_cluster",
        "effect_of_label", "effect_within_label",
    ]  # fmt: skip
    assert len(found) == 2 * 2 * 2 and not found.duplicated(["k", "seed", "condition"]).any()
    two = found.query("k == 2")
    bright = two[two["condition"] == "brightness"]
    assert (bright["effect_of_cluster"] > 0.99).all() and (bright["effect_within_label"] > 0.99).all()
    assert (bright["effect_of_label"].abs() < 0.02).all()
    assert (two[two["condition"] == "hour"]["effect_of_cluster"] < 0.05).all()
    labels = result.sweep.labels[:, 0]
    expected = effects(table["hour"].to_numpy(), labels, truth)
    one = two.query("condition == 'hour' and seed == 0").iloc[0]
    assert {name: one[name] for name in expected} == pytest.approx(expected)


# --- sensitivity ------------------------------------------------------------------------------------------------------


@pytest.fixture
def view():
    """Five entities of two classes on a line, and two that are altered."""
    features = pd.DataFrame({"f_0": [0.0, 1, 4, 100, 110], "f_1": 0.0}, index=entities(5))
    altered = pd.DataFrame(
        {"image_id": ["image 4", "image 0", "image 4"], "alteration": ["moved", "moved", "brighter"],
         "f_1": [4.0, 0.0, 0.0], "f_0": [113.0, 2.0, 110.0]}
    )  # fmt: skip
    return features, altered, pd.Series(["dent", "dent", "dent", "stain", "stain"], index=entities(5))


def test_distances_are_in_units_of_the_median_distance_within_the_class(view):
    features, altered, truth = view
    table = sensitivity(features, altered, truth[::-1], view="line")
    # dents lie 1, 3 and 4 apart, stains 10; image 4 moved by (3, 4), image 0 by (2, 0)
    expected = pd.DataFrame(
        {"view": "line", "image_id": ["image 4", "image 0", "image 4"], "alteration": ["moved", "moved", "brighter"],
         "travel": [5.0, 2.0, 0.0], "spread": [10.0, 3.0, 10.0], "ratio": [0.5, 2 / 3, 0.0]}
    )  # fmt: skip
    pd.testing.assert_frame_equal(table, expected)


def test_without_classes_the_spread_is_that_of_all_entities(view):
    features, altered, truth = view
    everything = np.median(pdist(features))
    assert sensitivity(features, altered, view="line")["spread"].tolist() == pytest.approx([everything] * 3)
    truth["image 4"] = None
    table = sensitivity(features, altered, truth, view="line")
    assert table["spread"].tolist() == pytest.approx([everything, 3.0, everything])


def test_a_class_of_one_or_of_equal_entities_has_no_ratio(view):
    features, altered, truth = view
    truth["image 3"] = "other"
    alone = sensitivity(features, altered, truth, view="line")
    assert np.isnan(alone.loc[0, "spread"]) and np.isnan(alone.loc[0, "ratio"]) and alone.loc[1, "spread"] == 3
    features.loc[["image 0", "image 1", "image 2"], "f_0"] = 0.7
    equal = sensitivity(features, altered, truth, view="line")
    assert equal.loc[1, "spread"] == 0 and np.isnan(equal.loc[1, "ratio"])


def test_the_median_distance_is_that_of_all_pairs_far_from_the_origin_too():
    rows = np.random.default_rng(0).normal(size=(51, 30)) + 1e5
    by_hand = [np.linalg.norm(a - b) for a, b in combinations(rows, 2)]
    assert median_distance(rows) == pytest.approx(np.median(by_hand), rel=1e-9)


def test_a_large_class_is_sampled_by_the_seed_and_close_to_the_whole(monkeypatch):
    rng = np.random.default_rng(0)
    features = pd.DataFrame(rng.normal(size=(900, 6)), index=entities(900)).rename(columns="f_{}".format)
    altered = features.head(3).reset_index().assign(alteration="none")
    exact = sensitivity(features, altered, view="v")["spread"].iloc[0]
    assert exact == pytest.approx(np.median(pdist(features)), rel=1e-9)
    monkeypatch.setattr(sensitivity_module, "EXACT_ENTITIES", 300)
    sampled = [sensitivity(features, altered, view="v", seed=seed)["spread"].iloc[0] for seed in (1, 1, 2)]
    assert sampled[0] == sampled[1] != sampled[2]
    assert sampled == pytest.approx([exact] * 3, rel=0.05) and exact not in sampled


def test_altered_copies_of_other_features_or_entities_are_refused(view):
    features, altered, truth = view
    with pytest.raises(DataError, match="1 columns that only one has, as f_1"):
        sensitivity(features, altered.drop(columns="f_1"), view="line")
    with pytest.raises(DataError, match="unknown entities .*found 'image 4'"):
        sensitivity(features.head(4), altered, view="line")
    with pytest.raises(DataError, match="twice .*found moved of 'image 4'"):
        sensitivity(features, pd.concat([altered, altered.head(1)]), view="line")
    with pytest.raises(DataError, match="labels lack entities"):
        sensitivity(features, altered, truth.head(3), view="line")


def test_a_study_measures_each_view_for_the_alterations_that_it_names(view):
    features, altered, truth = view
    keyed = altered.set_index("image_id")
    views = [({"dataset": "steel", "view": name}, features, keyed) for name in ("line", "again")]
    table = sensitivities("s", views, ["moved"], truth, 0)
    assert list(table.columns) == ["study", "dataset", "view", "image_id", "alteration", "travel", "spread", "ratio"]
    assert table["view"].tolist() == ["line", "line", "again", "again"] and set(table["alteration"]) == {"moved"}
    assert table["ratio"].tolist() == pytest.approx([0.5, 2 / 3] * 2)
    with pytest.raises(DataError, match=r"no altered copies \(line\): expected some of \['inverted'\]"):
        sensitivities("s", views, ["inverted"], truth, 0)


# --- inspection -------------------------------------------------------------------------------------------------------


@pytest.fixture
def parade():
    """200 frames in four groups, and strange copies of 30 of them: a pair of kinds, each unlike any frame."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(200, 6)) + np.repeat(rng.normal(size=(4, 6)) * 15, 50, axis=0)
    features = pd.DataFrame(X, index=entities(200)).rename(columns="f_{}".format)
    kinds = {"black": np.full(6, 60.0), "torn": np.full(6, -60.0)}
    planted = pd.concat(
        [features.iloc[:30] * 0.1 + point for point in kinds.values()], keys=kinds, names=["alteration"]
    ).reset_index()
    return features, planted


def test_planted_outliers_are_found_first_and_far_sooner_than_at_random(parade):
    features, planted = parade
    table = inspect(features, planted, k=20, k_few=4, outliers=5, frames=40, seeds=range(4), n_init=3)
    assert list(table.columns) == ["order", "seed", "inspected", "recall"]
    assert len(table) == 3 * 4 * 40 and set(table["order"]) == set(ORDERS)
    recall = table.pivot_table(index="inspected", columns="order", values="recall")
    assert recall.loc[40, "tiny_clusters"] == 1 and recall.loc[40, "random"] < 0.5
    assert (table.groupby(["order", "seed"])["recall"].diff().dropna() >= 0).all()
    pd.testing.assert_frame_equal(
        table, inspect(features, planted, k=20, k_few=4, outliers=5, frames=40, seeds=range(4), n_init=3, threads=1)
    )


def test_random_inspection_finds_the_share_that_it_inspects(parade):
    features, planted = parade
    table = inspect(features, planted, k=2, k_few=2, outliers=10, frames=200, seeds=range(150), n_init=1)
    random = table[table["order"] == "random"].groupby("inspected")["recall"].mean()
    np.testing.assert_allclose(random, np.arange(1, 201) / 200, atol=0.05)
    assert (table[table["inspected"] == 200]["recall"] == 1).all()


def test_recall_counts_the_planted_rows_among_those_inspected(parade, monkeypatch):
    features, planted = parade
    tables = []

    def in_order(rows, **_):
        tables.append(rows)
        return np.arange(len(rows))

    monkeypatch.setattr(inspection_module, "rank_by_tiny_clusters", in_order)
    table = inspect(features, planted, k=9, k_few=2, outliers=6, frames=30, seeds=[8, 9], n_init=1, threads=1)
    assert [(rows != features.to_numpy()).any(axis=1).sum() for rows in tables] == [6, 6]
    replaced = (tables[0] != features.to_numpy()).any(axis=1)
    assert np.flatnonzero(replaced).max() < 30
    for row in np.flatnonzero(replaced):
        copies = planted[planted["image_id"] == f"image {row}"][features.columns].to_numpy()
        assert (tables[0][row] == copies).all(axis=1).sum() == 1
    expected = [replaced[:i].sum() / 6 for i in range(1, 31)]
    found = table[(table["order"] == "tiny_clusters") & (table["seed"] == 8)]
    assert found["recall"].tolist() == pytest.approx(expected)


def test_the_smallest_cluster_comes_first_and_in_it_the_furthest_row():
    rows = np.array([[0.0], [0.3], [0.1], [0.1], [50.0], [53.0], [51.0], [90.0]])
    ranked = rank_by_tiny_clusters(rows, k=3, n_init=10)
    # {90} of one; {50, 51, 53} about 51.33: 53, 50, 51; {0, 0.3, 0.1, 0.1} about 0.125: 0.3, 0, then the equal ones
    assert ranked.tolist() == [7, 5, 4, 6, 1, 0, 2, 3]
    # over all clusters by distance: 53, 50, 51, 0.3, 0, 0.1, 0.1, and the lone 90 at its own centroid last
    assert rank_by_distance(rows, k=3, n_init=10).tolist() == [5, 4, 6, 1, 0, 2, 3, 7]


def test_a_tight_swarm_of_outliers_escapes_the_distance_but_not_the_tiny_clusters(parade):
    features, planted = parade
    swarm = planted[planted["alteration"] == "black"]
    table = inspect(features, swarm, k=12, k_few=5, outliers=5, frames=5, seeds=range(3))
    recall = table[table["inspected"] == 5].groupby("order")["recall"].mean()
    assert recall["tiny_clusters"] == 1 and recall["distance_to_centroid"] == 0


def test_inspections_that_do_not_fit_are_refused(parade):
    features, planted = parade
    options = {"k": 5, "k_few": 2, "outliers": 5, "frames": 10, "seeds": [0]}
    with pytest.raises(ConfigError, match=r"\(frames\): expected 1 to 200, found 201"):
        inspect(features, planted, **options | {"frames": 201})
    with pytest.raises(DataError, match="too few planted entities: expected 31 or more, found 30"):
        inspect(features, planted, **options | {"outliers": 31})
    with pytest.raises(DataError, match="not of the same features"):
        inspect(features, planted.drop(columns="f_0"), **options)
    with pytest.raises(DataError, match="unknown entities: found 'image 0'"):
        inspect(features.tail(190), planted, **options)


def test_a_study_inspects_each_view_for_the_artefacts_that_it_names(parade):
    features, planted = parade
    settings = {"k": 12, "k_few": 5, "outliers": 5, "frames": 20, "seeds": 2, "n_init": 2, "random_state": 7}
    about = {"dataset": "steel", "view": "pixels"}
    table = inspections("s", [("tiny", settings, about, features, planted.set_index("image_id"))], ["torn"])
    columns = ["study", "dataset", "view", "inspection", "order", "seed", "inspected", "recall"]
    assert list(table.columns) == columns and set(table["seed"]) == {7, 8}
    torn = planted[planted["alteration"] == "torn"]
    alone = inspect(features, torn, k=12, k_few=5, outliers=5, frames=20, seeds=[7, 8], n_init=2)
    pd.testing.assert_frame_equal(table[alone.columns], alone)
