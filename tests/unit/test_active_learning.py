"""Active learning on a planted problem with a rare region that alone is informative, and against hand counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from matlas.errors import ConfigError, DataError
from matlas.evaluate import active_learning as module
from matlas.evaluate.active_learning import STRATEGIES, active_learning, farthest_first, learning_curve

SPACE = ("magpie", "pca2")
OPTIONS = {"start": 20, "batch": 10, "rounds": 3, "seeds": 4, "threads": 1}


@pytest.fixture(scope="module")
def world():
    """800 materials on a square: 6 % in a far corner, where the property varies; elsewhere it is 0."""
    rng = np.random.default_rng(0)
    rare = rng.random(800) < 0.06
    z = rng.random((800, 2)) + 1.2 * rare[:, None]
    key = pd.Index([f"m{i}" for i in range(800)], name="material_id")
    target = pd.Series(np.where(rare, 10 * z[:, 0] - 10, 0), index=key, name="gap")
    part = np.where(rng.random(800) < 0.3, "test", "train")
    parts = pd.DataFrame({"material_id": key, "fold": "holdout", "part": part})
    return {SPACE: pd.DataFrame(z, index=key)}, target, parts


def measured(world, **options):
    records = pd.DataFrame(active_learning(*world, **{**OPTIONS, **options}))
    return records.set_index(["case", "metric", "x"]).sort_index()


@pytest.fixture(scope="module")
def found(world):
    return measured(world)


@pytest.fixture
def few_trees(monkeypatch):
    monkeypatch.setattr(module, "TREES", 10)


def test_asking_where_the_trees_differ_beats_asking_at_random_when_a_rare_region_matters(found):
    assert found.loc[("uncertainty", "mae_less_random", 50), "high"] < 0
    gain = found["value"]
    assert gain["uncertainty", "mae", 50] < 0.7 * gain["random", "mae", 50]


def test_asking_for_what_is_unlike_all_else_finds_the_far_corner_too(found):
    assert found.loc[("novelty", "mae_less_random", 50), "high"] < 0


def test_all_ways_begin_with_the_same_labels(found):
    first = {found.loc[(s, "mae", 20), "value"] for s in STRATEGIES}
    assert len(first) == 1
    assert found.loc[("uncertainty", "mae_less_random", 20), ["value", "low", "high"]].tolist() == [0, 0, 0]
    assert list(found.loc[("random", "mae")].index) == [20, 30, 40, 50]


def test_novelty_asks_for_the_farthest_row_again_and_again():
    line = np.array([[0.0], [1.0], [2.0], [10.0], [10.0]])
    # 10 is farthest from 0; then 2, at distance 2; then 1, as the other 10 is at distance 0
    assert farthest_first(line, np.array([0]), 3).tolist() == [3, 2, 1]
    assert farthest_first(line, np.array([0]), 4).tolist() == [3, 2, 1, 4]


def test_random_labels_give_the_curve_of_trees_fitted_on_the_first_rows_of_the_order(few_trees):
    rng = np.random.default_rng(1)
    X, y, judge, judged = rng.random((60, 3)), rng.random(60), rng.random((30, 3)), rng.random(30)
    order = rng.permutation(60)
    curve = learning_curve("random", X, y, judge, judged, order, 10, 5, 2, 7)
    for error, count in zip(curve, (10, 15, 20), strict=True):
        trees = ExtraTreesRegressor(10, max_features=1 / 3, random_state=7)
        predicted = trees.fit(X[order[:count]], y[order[:count]]).predict(judge)
        assert error == pytest.approx(np.abs(predicted - judged).mean())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_pool_that_is_asked_for_to_the_last_row_ends_at_one_error_whatever_the_way(strategy, few_trees):
    rng = np.random.default_rng(2)
    X = rng.random((40, 2))
    order = rng.permutation(40)
    X[5:10] = X[0]  # equal rows are asked for once each
    y = X @ [1.0, 2.0]
    assert set(farthest_first(X, order[:10], 30)) == set(order[10:])
    curve = learning_curve(strategy, X, y, X, y, order, 10, 10, 3, 0)
    assert curve[-1] == pytest.approx(0, abs=1e-6)  # every row is labelled: trees that grow to the end know all
    assert curve[0] > 0.01


def test_targets_of_the_judge_change_nothing_but_the_scores(world, few_trees):
    spaces, target, parts = world
    tested = parts.loc[parts["part"] == "test", "material_id"]

    def raised_by(height):
        other = target.copy()
        other[tested] += height
        return measured((spaces, other, parts), rounds=2, seeds=2)["value"]

    # far above all predictions the error is what was added less what was predicted
    low, high = raised_by(1000), raised_by(3000)
    for strategy in STRATEGIES:
        rise = high[strategy, "mae"] - low[strategy, "mae"]
        assert rise.to_numpy() == pytest.approx(2000, abs=1e-6)


def test_results_do_not_depend_on_threads_and_spaces_are_judged_on_the_same_rows(world, few_trees):
    spaces, target, parts = world
    twice = {SPACE: spaces[SPACE], ("magpie", "again"): spaces[SPACE]}
    one, two = (
        pd.DataFrame(active_learning(twice, target, parts, **{**OPTIONS, "threads": t, "seeds": 2})) for t in (1, 2)
    )
    pd.testing.assert_frame_equal(one, two)
    by_space = [table["value"].tolist() for _, table in one.groupby("representation")]
    assert by_space[0] == by_space[1]


def test_rows_without_a_target_are_neither_asked_for_nor_judged(world, few_trees):
    spaces, target, parts = world
    some = target.copy()
    some.iloc[::2] = np.nan
    found = measured((spaces, some, parts), seeds=2)
    known = parts["material_id"].isin(some.index[some.notna()])
    assert set(found["n"]) == {(known & (parts["part"] == "test")).sum()}
    assert np.isfinite(found["value"]).all()


def test_more_labels_than_the_pool_has_and_several_folds_are_refused(world):
    spaces, target, parts = world
    with pytest.raises(ConfigError, match="more labels are asked for than the pool has"):
        measured(world, rounds=100)
    with pytest.raises(DataError, match="needs one fold"):
        measured((spaces, target, pd.concat([parts, parts.assign(fold="other")])))
    with pytest.raises(DataError, match="lack entities"):
        measured(({SPACE: spaces[SPACE].iloc[:400]}, target, parts))
