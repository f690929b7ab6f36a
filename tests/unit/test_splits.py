"""Splits: whole groups, declared shares, and a guard that finds a group on both sides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from matlas.errors import ConfigError, DataError
from matlas.probe.splits import balanced_folds, check_disjoint, fold_parts


@pytest.fixture
def entities():
    """500 materials in 60 systems of very different sizes, in three families, of 1990 to 2019."""
    rng = np.random.default_rng(0)
    system = np.sort(np.minimum(rng.geometric(0.05, 500), 60))
    return pd.DataFrame(
        {
            "chemical_system": [f"system {s}" for s in system],
            "chemical_family": np.array(["oxide", "halide", "nitride"], dtype=object)[np.minimum(system // 10, 2)],
            "year": rng.integers(1990, 2020, 500),
            "energy": rng.normal(size=500),
        },
        index=pd.Index([f"m-{i}" for i in rng.permutation(500)], name="material_id"),
    )


SPECS = {
    "holdout": {"kind": "holdout", "by": "chemical_system", "test": 0.2, "validation": 0.1, "random_state": 0},
    "single": {"kind": "holdout", "by": None, "test": 0.2, "validation": 0, "random_state": 0},
    "folds": {"kind": "folds", "by": "chemical_system", "folds": 3, "validation": 0.1, "random_state": 0},
    "singles": {"kind": "folds", "by": None, "folds": 4, "random_state": 0},
    "leave_out": {"kind": "leave_out", "by": "chemical_family", "least": 150},
    "ordered": {"kind": "ordered", "by": "year", "test": 0.25, "validation": 0.1},
    "extremes": {"kind": "extremes", "by": "energy", "share": 0.05, "end": "high"},
    "extremes among others": {"kind": "extremes", "by": "energy", "share": 0.05, "end": "low", "ordinary": 0.2},
}


def counts(parts):
    return parts.groupby(["fold", "part"], sort=False).size()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_an_entity_has_one_part_in_a_fold_and_its_place_in_the_table_does_not_matter(spec, entities):
    parts = fold_parts(spec, entities)
    assert list(parts.columns) == ["material_id", "fold", "part"]
    assert not parts.duplicated(["material_id", "fold"]).any()
    assert (parts.groupby("fold").size() == 500).all()
    again = fold_parts(spec, entities.sample(frac=1, random_state=1))
    key = ["fold", "material_id"]
    pd.testing.assert_frame_equal(parts.sort_values(key, ignore_index=True), again.sort_values(key, ignore_index=True))


def test_holdout_takes_whole_systems_near_the_asked_shares(entities):
    parts = fold_parts(SPECS["holdout"], entities)
    systems = parts["material_id"].map(entities["chemical_system"])
    assert parts.groupby(systems)["part"].nunique().max() == 1
    sizes = counts(parts)["holdout"]
    largest = entities["chemical_system"].value_counts().max()
    assert abs(sizes["test"] - 100) <= largest / 2
    assert abs(sizes["validation"] - 0.1 * (500 - sizes["test"])) <= largest / 2


def test_holdout_of_single_entities_has_the_asked_share_and_another_seed_takes_others(entities):
    parts = fold_parts(SPECS["single"], entities)
    assert counts(parts)["holdout"].to_dict() == {"train": 400, "test": 100}
    other = fold_parts({**SPECS["single"], "random_state": 1}, entities)
    assert 0 < (parts["part"] != other["part"]).sum() <= 200


def test_every_system_is_tested_in_one_of_the_folds_of_equal_size(entities):
    parts = fold_parts({**SPECS["folds"], "validation": 0}, entities)
    tested = parts[parts["part"] == "test"]
    assert sorted(tested["material_id"]) == sorted(entities.index)
    assert tested.groupby(tested["material_id"].map(entities["chemical_system"]))["fold"].nunique().max() == 1
    sizes = tested.groupby("fold").size()
    assert list(sizes.index) == ["fold 1", "fold 2", "fold 3"]
    assert sizes.max() - sizes.min() <= 2  # many small systems level what the large ones leave
    assert set(parts["part"]) == {"train", "test"}


def test_balanced_folds_give_the_largest_groups_to_different_folds():
    codes = np.repeat(np.arange(5), [4, 4, 2, 1, 1])
    of = balanced_folds(codes, 3, np.random.default_rng(0))
    assert np.bincount(of).tolist() == [4, 4, 4]
    assert len({of[0], of[4], of[8]}) == 3
    with pytest.raises(DataError, match="expected 6 or more, found 5"):
        balanced_folds(codes, 6, np.random.default_rng(0))


def test_a_family_of_enough_entities_is_left_out_in_the_fold_of_its_name(entities):
    parts = fold_parts(SPECS["leave_out"], entities)
    sizes = entities["chemical_family"].value_counts()
    assert sizes.min() < 150  # or the threshold is not tried
    assert set(parts["fold"]) == set(sizes[sizes >= 150].index)
    for fold, rows in parts.groupby("fold"):
        tested = rows["material_id"].map(entities["chemical_family"]) == fold
        assert ((rows["part"] == "test") == tested).all() and ((rows["part"] == "train") == ~tested).all()


def test_validation_rows_are_whole_groups_of_the_column_that_is_declared(entities):
    spec = {**SPECS["leave_out"], "validation": 0.2, "validation_by": "chemical_system"}
    parts, plain = fold_parts(spec, entities), fold_parts(SPECS["leave_out"], entities)
    pd.testing.assert_series_equal(parts["part"] == "test", plain["part"] == "test")
    for _, rows in parts[parts["part"] != "test"].groupby("fold"):
        systems = rows["material_id"].map(entities["chemical_system"])
        assert rows.groupby(systems)["part"].nunique().max() == 1
        assert (rows["part"] == "validation").mean() == pytest.approx(0.2, abs=0.05)


def test_an_ordered_split_cuts_between_years_never_within_one():
    years = pd.Series([2000] * 5 + [2001] * 2 + [2002] * 3 + [None], dtype="Int64")
    entities = pd.DataFrame({"year": years.to_numpy(dtype=object)}, index=pd.Index(range(11), name="id"))
    entities["year"] = entities["year"].astype("Int64")
    parts = fold_parts({"kind": "ordered", "by": "year", "test": 0.25}, entities)
    assert parts["fold"].unique().tolist() == ["after 2001"]
    assert parts["part"].tolist() == ["train"] * 7 + ["test"] * 3  # the one without a year is absent
    halves = fold_parts({"kind": "ordered", "by": "year", "test": 0.5}, entities)
    assert halves["fold"].unique().tolist() == ["after 2000"]


def test_extremes_are_withheld_with_all_that_equal_them():
    values = pd.DataFrame({"x": [5.0, 1, 9, 9, 3, 2, 9, 4, 6, 7]}, index=pd.Index(range(10), name="id"))
    high = fold_parts({"kind": "extremes", "by": "x", "share": 0.2, "end": "high"}, values)
    assert high["fold"].unique().tolist() == ["highest 20 %"]
    assert high.query("part == 'test'")["id"].tolist() == [2, 3, 6]
    low = fold_parts({"kind": "extremes", "by": "x", "share": 0.2, "end": "low"}, values)
    assert low["fold"].unique().tolist() == ["lowest 20 %"]
    assert low.query("part == 'test'")["id"].tolist() == [1, 5]
    mixed = fold_parts({"kind": "extremes", "by": "x", "share": 0.2, "end": "low", "ordinary": 0.25}, values)
    tested = mixed.query("part == 'test'")["id"].tolist()
    assert len(tested) == 4 and {1, 5} <= set(tested)


def test_a_value_that_most_rows_share_is_tested_and_trained_on_like_others():
    gaps = pd.DataFrame({"gap": np.r_[np.zeros(700), np.linspace(0.1, 5, 300)]}, index=pd.Index(range(1000), name="id"))
    spec = {"kind": "extremes", "by": "gap", "share": 0.05, "end": "high", "ordinary": 0.2}
    tested = fold_parts(spec, gaps).query("part == 'test'")["id"].to_numpy()
    assert (tested >= 950).sum() == 50 and len(tested) == 50 + 190
    of_metals = (tested < 700).sum() / 700
    assert of_metals == pytest.approx(0.2, abs=0.04)  # 2.6 standard deviations of such a draw


def test_a_system_planted_in_training_and_test_is_found(entities):
    parts = fold_parts(SPECS["folds"], entities)
    check_disjoint(parts, entities["chemical_system"])
    test_row = parts.query("fold == 'fold 2' and part == 'test'").index[0]
    system = entities["chemical_system"][parts["material_id"][test_row]]
    assert (entities["chemical_system"] == system).sum() > 1
    for part in ("train", "validation"):
        leaky = parts.copy()
        leaky.loc[test_row, "part"] = part
        with pytest.raises(DataError, match=rf"fold fold 2.*'{system}' in both, 1 such"):
            check_disjoint(leaky, entities["chemical_system"])
    with pytest.raises(DataError, match="groups are in training and test"):
        check_disjoint(fold_parts(SPECS["single"], entities), entities["chemical_system"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by": "systm"}, "no column 'systm'"),
        ({"by": "one"}, "too few groups.*expected 2 or more, found 1"),
        ({"kind": "folds", "folds": 61}, "too few groups"),
        ({"kind": "leave_out", "least": 501}, "too few groups of 501"),
        ({"kind": "ordered", "by": "one"}, "too few distinct values"),
        ({"kind": "extremes", "by": "one"}, "no entities in part train"),
        ({"kind": "ordered", "by": "chemical_system"}, "needs numbers"),
    ],
)
def test_a_split_that_cannot_be_drawn_says_why(change, message, entities):
    spec = {"kind": "holdout", "by": "chemical_system", **change}
    with pytest.raises(DataError, match=message):
        fold_parts(spec, entities.assign(one=1))


def test_unknown_kinds_and_doubled_entities_are_refused(entities):
    with pytest.raises(ConfigError, match="'holdouts'.*'holdout'"):
        fold_parts({"kind": "holdouts"}, entities)
    with pytest.raises(ConfigError, match="goes by a column"):
        fold_parts({"kind": "ordered"}, entities)
    with pytest.raises(DataError, match="doubled"):
        fold_parts({"kind": "holdout"}, pd.concat([entities, entities.iloc[:1]]))
