"""Conformal intervals and what goes with errors, against hand counts, SciPy and planted families."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, spearmanr
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import NearestNeighbors

from matlas.errors import DataError
from matlas.evaluate.uncertainty import conformal_quantile, reconstruction_errors, uncertainty
from matlas.probe.preparation import Preparation
from matlas.probe.splits import fold_parts
from matlas.tables import write_table
from schemas.table import Field
from schemas.tables.learning import encodings_schema

FAMILIES = ("oxide", "halide", "nitride", "far")
EACH = 400
RIDGE = {"algorithm": "ridge", "alphas": [1.0]}
MEAN = {"algorithm": "mean"}


@pytest.fixture(scope="module")
def world():
    """Three families that are alike and one that is shifted, where a straight line through the others is wrong: raw
    features (n, 4), target, groups of four rows, and parts that leave each family out."""
    rng = np.random.default_rng(0)
    n = EACH * len(FAMILIES)
    family = np.repeat(FAMILIES, EACH)
    raw = rng.normal(size=(n, 4))
    raw[family == "far", 0] += 3 * rng.random(EACH) + 0.5
    key = pd.Index([f"m{i:04d}" for i in range(n)], name="material_id")
    truth = raw @ [1.0, 0.5, 0, 0] + 0.3 * np.maximum(raw[:, 0] - 1, 0) ** 2 + 0.3 * rng.normal(size=n)
    about = pd.DataFrame({"family": family, "system": np.arange(n) // 4}, index=key)
    parts = fold_parts({"kind": "leave_out", "by": "family", "least": 100}, about)
    kept = rng.permutation(n // 4) < n // 10  # whole systems of all families
    parts.loc[(parts["part"] == "train") & kept[about.loc[parts["material_id"], "system"]], "part"] = "validation"
    return raw, pd.Series(truth, index=key, name="gap"), about["system"], parts


def measured(world, *, head=RIDGE, target=None, **options):
    raw, truth, groups, parts = world
    inputs = {"descriptors": Preparation([{"columns": slice(0, 4)}])}
    target = truth if target is None else target
    records = uncertainty(raw, inputs, target, groups, parts, head, draws=100, **options)
    return pd.DataFrame(records).set_index(["case", "group", "metric"]).sort_index()


@pytest.fixture(scope="module")
def found(world):
    return measured(world)


def test_the_bound_is_the_score_at_the_rank_that_the_level_asks_for():
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 10))
    assert conformal_quantile(scores, 0.8) == 8  # the 0.8 · 10th smallest of 9
    assert conformal_quantile(scores, 0.81) == 9
    with pytest.raises(DataError, match="19 or more for a level of 0.95"):
        conformal_quantile(scores, 0.95)


def test_intervals_cover_exchangeable_numbers_as_often_as_they_promise():
    draws = np.random.default_rng(0).normal(size=(4000, 20)) ** 2
    covered = [one <= conformal_quantile(others, 0.9) for one, *others in draws]
    # ⌈20 · 0.9⌉ = 18th of 19 others: the rank of the one is uniform on 20
    assert np.mean(covered) == pytest.approx(18 / 20, abs=0.015)


def test_coverage_is_nominal_inside_and_for_families_that_are_like_the_others(found):
    value = found["value"]
    for family in FAMILIES:
        assert value["inside", family, "coverage"] == pytest.approx(0.9, abs=0.06)
    assert value["inside", "", "coverage"] == pytest.approx(0.9, abs=0.03)
    for family in FAMILIES[:3]:
        assert value["outside", family, "coverage"] == pytest.approx(0.9, abs=0.06)


def test_coverage_fails_for_the_shifted_family_and_scaling_by_distance_repairs_part_of_it(found):
    plain = found.loc[("outside", "far", "coverage")]
    scaled = found.loc[("outside, scaled by distance", "far", "coverage")]
    assert plain["high"] < 0.8
    assert scaled["value"] > plain["value"] + 0.1
    assert found.loc[("inside, scaled by distance", "", "coverage"), "value"] == pytest.approx(0.9, abs=0.04)
    width = found["value"]
    assert width["outside, scaled by distance", "far", "width"] > 1.2 * width["outside", "far", "width"]
    assert width["outside", "far", "width"] == pytest.approx(width["inside", "far", "width"])  # one q for a fold


def test_the_distance_says_where_the_shifted_family_is_predicted_badly_and_nothing_about_noise(found):
    assert found.loc[("outside", "far", "rho_distance"), "low"] > 0.3
    oxide = found.loc[("outside", "oxide", "rho_distance")]
    assert oxide["value"] < 0.3


def test_with_the_mean_as_head_every_number_is_that_of_a_hand_count(world):
    """Errors of the mean are |y - mean of train|, so all can be computed without the module."""
    raw, truth, groups, parts = world
    rng = np.random.default_rng(5)
    index = pd.MultiIndex.from_frame(parts[["material_id", "fold"]])
    errors = pd.Series(rng.random(len(parts)), index=index)
    found = measured(world, head=MEAN, errors={"descriptors": errors})
    part = parts[parts["fold"] == "far"].set_index("material_id")["part"].reindex(truth.index).to_numpy()
    y, train, test = truth.to_numpy(), part == "train", part == "test"
    error = np.abs(y - y[train].mean())[test]
    standard = (raw - raw[train].mean(axis=0)) / raw[train].std(axis=0)
    distance = NearestNeighbors(n_neighbors=5).fit(standard[train]).kneighbors(standard[test])[0].mean(axis=1)
    rebuilt = errors.xs("far", level="fold")[truth.index[test]].to_numpy()
    far = found.loc[("outside", "far")]["value"]
    assert far["mae"] == pytest.approx(error.mean())
    assert far["coverage"] == pytest.approx((error <= far["width"] / 2).mean())
    assert far["rho_reconstruction"] == pytest.approx(spearmanr(error, rebuilt)[0])
    assert far["rho_distance"] == pytest.approx(spearmanr(error, distance)[0])
    both = np.column_stack([rankdata(rebuilt), rankdata(distance)])
    assert far["explained_by_both"] == pytest.approx(
        LinearRegression().fit(both, rankdata(error)).score(both, rankdata(error))
    )
    assert found.loc[("outside", "far", "mae"), "n"] == EACH
    assert found.loc[("outside", "", "mae"), "n"] == len(FAMILIES) * EACH


def test_calibration_and_the_inside_share_the_validation_rows_in_halves_of_whole_groups(world, found):
    parts = world[3]
    validation = parts[(parts["fold"] == "far") & (parts["part"] == "validation")]
    assert found.loc[("inside", "far", "mae"), "n"] == pytest.approx(len(validation) / 2, abs=4)


def test_targets_of_test_rows_change_nothing_but_the_scores_of_the_test_rows(world, found):
    raw, truth, groups, parts = world
    one = parts[parts["fold"] == "far"]
    tested = one.loc[one["part"] == "test", "material_id"]
    of_fold = (raw, truth, groups, one)
    wrong = truth.copy()
    wrong[tested] += 100
    before, after = measured(of_fold), measured(of_fold, target=wrong)
    inside = [case for case in before.index.levels[0] if case.startswith("inside")]
    pd.testing.assert_frame_equal(before.loc[inside], after.loc[inside])
    widths = [row for row in before.index if row[2] == "width"]
    pd.testing.assert_frame_equal(before.loc[widths], after.loc[widths])
    assert after.loc[("outside", "", "coverage"), "value"] == 0


def test_rows_without_the_target_and_folds_with_few_of_them_are_left_out(world):
    some = world[1].copy()
    some[world[1].index[3 * EACH + 10 :]] = np.nan  # 10 of the far family are left
    found = measured(world, target=some)
    assert "far" not in found.index.get_level_values("group")
    assert found.loc[("outside", "", "mae"), "n"] == 3 * EACH


def test_a_split_without_validation_rows_is_refused(world):
    raw, truth, groups, parts = world
    with pytest.raises(DataError, match="too few validation groups.*validation"):
        measured((raw, truth, groups, parts[parts["part"] != "validation"]))
    with pytest.raises(DataError, match="too few validation rows.*999 or more"):
        measured(world, level=0.999)


def test_errors_of_networks_are_read_for_the_inputs_that_they_encode(tmp_path):
    key = Field("material_id", "string", "", "")
    paths = []
    for encoder, errors in (("ae", [1.0, 2.0, 3.0]), ("vae", [3.0, 4.0, 5.0])):
        table = pd.DataFrame({"material_id": ["a", "b", "a"], "fold": ["f", "f", "g"], "part": "test", "z_0": 0.0})
        paths.append(tmp_path / "magpie" / encoder / "split.parquet")
        paths[-1].parent.mkdir(parents=True)
        write_table(table.assign(reconstruction_error=errors), paths[-1], encodings_schema("split", key, 1))
    inputs = {
        name: [{"view": "magpie", "representation": r} for r in spaces]
        for name, spaces in {"raw": ["as_is"], "grey": ["as_is", "ae"], "both": ["ae", "vae"]}.items()
    }
    found = reconstruction_errors(paths, inputs)
    assert set(found) == {"grey", "both"}
    assert found["grey"].to_dict() == {("a", "f"): 1, ("b", "f"): 2, ("a", "g"): 3}
    assert found["both"].to_dict() == {("a", "f"): 2, ("b", "f"): 3, ("a", "g"): 4}
