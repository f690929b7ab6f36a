"""Inputs of probes out of stored tables, and all probes of a study: scores by scikit-learn, families, comparisons."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score

from matlas.errors import DataError
from matlas.probe.inputs import folds_with, pairs_of, read_inputs
from matlas.probe.intervals import paired_differences
from matlas.probe.preparation import Preparation
from matlas.probe.selection import DescriptorSelector
from matlas.probe.splits import fold_parts
from matlas.probe.study import LEAST, probe_study
from matlas.tables import write_table
from schemas.fields import FIELDS
from schemas.table import Field, TableSchema
from schemas.tables.features import feature_schema
from schemas.tables.learning import COMPARISONS, PROBES, encodings_schema, predictions_schema
from tests.unit.results_folder import put

KEY = FIELDS["material_id"]
IDENTITY = {"algorithm": "identity", "standardise": True}
PCA2 = {"algorithm": "pca", "n_components": 2, "standardise": True, "random_state": 0}
NETWORK = {"algorithm": "autoencoder", "kind": "plain", "layers": [8, 2]}

# --- inputs from tables -----------------------------------------------------------------------------------------------


def part(view, representation="as_is", *, stored=None, columns=(), select=None, spec=IDENTITY):
    return {"view": view, "representation": representation, "stored": stored or [view], "columns": list(columns),
            "select": select, "spec": spec}  # fmt: skip


@pytest.fixture
def tables(tmp_path):
    """Sixty crystals in an order of their own; view `shapes` leaves out m13; codes of all, for two folds."""
    rng = np.random.default_rng(0)
    keys = [f"m{i}" for i in rng.permutation(60)]
    dataset = pd.DataFrame({"material_id": keys, "temperature": rng.uniform(300, 900, 60), "year": rng.normal(size=60)})
    numbers = [Field(name, "float64", "1", name) for name in ("temperature", "year")]
    views = {
        "sizes": pd.DataFrame({"material_id": keys, "radius": rng.normal(size=60), "volume": rng.normal(size=60)}),
        "shapes": pd.DataFrame({"material_id": keys, "faces": rng.normal(size=60), "edges": rng.normal(size=60),
                                "corners": rng.normal(size=60)}).query("material_id != 'm13'"),
    }  # fmt: skip
    paths = [put(tmp_path, "datasets/made_up.parquet", dataset, TableSchema("made_up", "datasets", ("material_id",),
                                                                            (KEY, *numbers)))]  # fmt: skip
    for name, frame in views.items():
        schema = feature_schema(name, KEY, [Field(c, "float64", "1", c) for c in frame.columns[1:]])
        left_out = {"left_out": str(60 - len(frame))}
        shuffled = frame.sample(frac=1, random_state=1)
        paths.append(put(tmp_path, f"features/made_up/{name}.parquet", shuffled, schema, **left_out))
    codes = pd.concat(
        pd.DataFrame({"material_id": keys, "fold": fold, "part": "train", "z_0": rng.normal(size=60),
                      "z_1": rng.normal(size=60), "reconstruction_error": 0.5}).sample(frac=1, random_state=2)
        for fold in ("fold 1", "fold 2")
    )  # fmt: skip
    codes = codes[(codes["fold"] != "fold 2") | ~codes["material_id"].isin(["m5", "m6"])]  # not in that fold
    encodings = put(tmp_path, "encodings/made_up/sizes/ae2/by_system.parquet", codes, encodings_schema("ae2", KEY, 2))
    return paths[0], paths[1:], [encodings], dataset.merge(views["sizes"]).merge(views["shapes"]), codes


def design(preparation, raw, train, fold="fold 1"):
    groups = np.arange(len(raw))
    return preparation.fit(raw.to_numpy(), train, groups, fold).transform(raw.to_numpy())


def scaled(values, train):
    return (values - values[train].mean(axis=0)) / values[train].std(axis=0)


def test_each_input_is_made_of_the_columns_of_its_views_and_of_the_dataset(tables):
    dataset, views, encodings, merged, codes = tables
    select = {"n_features": 3, "max_correlation": 0.99}
    both = ["sizes", "shapes"]
    raw, inputs = read_inputs(
        dataset, views, encodings,
        {
            "shapes": [part("shapes")],
            "warm": [part("warm_sizes", stored=["sizes"], columns=["temperature"])],
            "selected": [part("selected", stored=both, select=select)],
            "components": [part("both", "pca2", stored=both, spec=PCA2)],
            "greybox": [part("shapes"), part("sizes", "ae2", spec=NETWORK)],
        },
    )  # fmt: skip
    # m13 is in no input, as one view lacks it
    assert raw.index.tolist() == merged["material_id"].tolist() and raw.index.name == "material_id"
    assert "m13" not in raw.index and len(raw) == 59
    train = np.arange(59) < 40
    values = merged.set_index("material_id")
    shapes, sizes = values[["faces", "edges", "corners"]], values[["radius", "volume"]]
    expected = {
        "shapes": scaled(shapes.to_numpy(), train),
        "warm": scaled(values[["temperature", "radius", "volume"]].to_numpy(), train),
    }
    wide = pd.concat([sizes, shapes], axis=1).to_numpy()
    support = DescriptorSelector(3, 0.99).fit(wide[train]).support_
    expected["selected"] = scaled(wide[:, support], train)
    standardised = scaled(wide, train)
    components = PCA(2).fit(standardised[train])
    for name, values in expected.items():
        np.testing.assert_allclose(design(inputs[name], raw, train), values, atol=1e-10)
    found, values = design(inputs["components"], raw, train), scaled(components.transform(standardised), train)
    np.testing.assert_allclose(np.abs(found), np.abs(values), atol=1e-8)
    of_fold = codes[codes["fold"] == "fold 1"].set_index("material_id").loc[raw.index, ["z_0", "z_1"]].to_numpy()
    found = design(inputs["greybox"], raw, train)
    np.testing.assert_allclose(found, np.hstack([expected["shapes"], scaled(of_fold, train)]), atol=1e-10)


def test_codes_are_those_of_the_fold_and_an_entity_without_features_takes_no_other_ones_place(tables):
    dataset, views, encodings, _, codes = tables
    raw, inputs = read_inputs(
        dataset, views, encodings, {"code": [part("sizes", "ae2", spec=NETWORK)], "shapes": [part("shapes")]}
    )
    for fold in ("fold 1", "fold 2"):
        known = codes[codes["fold"] == fold].set_index("material_id").reindex(raw.index)[["z_0", "z_1"]]
        train = known["z_0"].notna().to_numpy() & (np.arange(59) % 3 > 0)
        here = known["z_0"].notna().to_numpy()
        expected = scaled(known.to_numpy(), train)
        np.testing.assert_allclose(design(inputs["code"], raw, train, fold)[here], expected[here], atol=1e-10)
    with pytest.raises(DataError, match="codes lack a fold"):
        design(inputs["code"], raw, train, "fold 3")


def test_folds_with_few_of_a_target_are_named_and_left_out():
    key = pd.Index([f"m{i}" for i in range(12)], name="material_id")
    target = pd.Series([1.0, np.nan] * 6, index=key)
    folds = {"both": "rrrrrreeeeee", "no test": "rrrrrrrrrrre", "few": "revrevrevrev", "idle": "rrrr....eeee"}
    spelled = {"r": "train", "e": "test", "v": "validation"}
    parts = pd.DataFrame([
        {"material_id": m, "fold": fold, "part": spelled[letter]}
        for fold, letters in folds.items() for m, letter in zip(key, letters, strict=True) if letter != "."
    ])  # fmt: skip
    kept, without = folds_with(target, parts, 2)  # the even ones have it
    assert without == ["no test"]
    pd.testing.assert_frame_equal(kept, parts[parts["fold"] != "no test"])
    assert folds_with(target, parts, 3)[1] == ["few", "idle", "no test"]
    kept, without = folds_with(target * np.nan, parts, 1)
    assert kept.empty and without == sorted(folds)


def test_inputs_are_compared_by_the_same_head_and_only_those_that_are_there():
    compare = [["ae", "raw"], ["ae", "gone"], ["raw", "pca"]]
    assert pairs_of(compare, {"raw": 0, "ae": 1, "pca": 2}, ["ridge", "trees"]) == [
        ("ae", "ridge", "raw", "ridge"), ("ae", "trees", "raw", "trees"),
        ("raw", "ridge", "pca", "ridge"), ("raw", "trees", "pca", "trees"),
    ]  # fmt: skip


# --- all probes of a study --------------------------------------------------------------------------------------------

RIDGE = {"algorithm": "ridge", "alphas": [0.1, 10.0]}
PROBING = {"resampled_by": "chemical_system", "families": None, "compare": [["all", "half"], ["all", "gone"]],
           "random_state": 3, "draws": 40}  # fmt: skip
FOLDS = {"kind": "folds", "by": "chemical_system", "folds": 3, "validation": 0.1}
HIGHEST = {"kind": "extremes", "by": "energy", "share": 0.1, "end": "high", "ordinary": 0.3}


class World:
    """360 crystals in 72 systems and three families; targets that the features give, one that few have."""

    def __init__(self):
        rng = np.random.default_rng(0)
        key = pd.Index([f"m{i}" for i in range(360)], name="material_id")
        system = np.arange(360) // 5
        family = np.array(["oxide", "halide", "rare"], dtype=object)[np.where(system < 3, 2, system % 2)]
        self.raw = pd.DataFrame(rng.normal(size=(360, 6)), index=key)
        energy = self.raw.to_numpy() @ [1, -1, 0.5, 1, 2, 0.5] + 0.3 * rng.normal(size=360)
        self.about = pd.DataFrame({"chemical_system": [f"s{s}" for s in system], "family": family}, index=key)
        few = np.where(rng.random(360) < 0.4, 2 * energy, np.nan)
        metal = np.where(np.arange(360) % 9 == 0, np.nan, energy > 0.5)
        self.targets = pd.DataFrame({"energy": energy, "metal": metal, "modulus": few}, index=key)
        self.tasks = {"energy": "regression", "metal": "classification", "modulus": "regression"}
        self.inputs = {"all": Preparation([{"columns": slice(0, 6)}]), "half": Preparation([{"columns": slice(0, 3)}])}

    def probed(self, split, targets, *, parts=None, heads=None, **probing):
        if parts is None:
            parts = fold_parts(split, self.about.assign(energy=self.targets["energy"]))
        trial = {"split": "the_split", "targets": targets}
        return probe_study(
            "a_study", self.raw, self.inputs, self.targets, self.tasks, self.about, parts, PROBING | probing, trial,
            heads or {"ridge": RIDGE}, split,
        )  # fmt: skip


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def by_system(world):
    return world.probed(FOLDS, None, families="family")


def one(rows, **wanted):
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1, (wanted, len(rows))
    return rows.iloc[0]


PEERS = {"mae": mean_absolute_error, "r2": r2_score, "roc_auc": roc_auc_score}


@pytest.mark.parametrize(("target", "metric"), [("energy", "mae"), ("energy", "r2"), ("modulus", "mae"),
                                                ("metal", "roc_auc")])  # fmt: skip
def test_scores_are_those_of_scikit_learn_on_what_was_predicted(target, metric, by_system, world):
    of_target = by_system.predictions[by_system.predictions["target"] == target]
    assert of_target["fold"].nunique() == 3
    for name, head in (("all", "ridge"), ("half", "ridge"), ("none", "mean")):
        model = of_target[(of_target["input"] == name) & (of_target["head"] == head)]
        assert not model["material_id"].duplicated().any()
        np.testing.assert_array_equal(model["truth"], world.targets.loc[model["material_id"], target])
        for fold in ("fold 1", "fold 2", "fold 3", "all"):
            rows = model if fold == "all" else model[model["fold"] == fold]
            found = one(by_system.scores, target=target, input=name, head=head, fold=fold, metric=metric, group="")
            assert found["value"] == pytest.approx(PEERS[metric](rows["truth"], rows["predicted"])), (name, fold)
            assert found["low"] <= found["value"] <= found["high"] and found["n"] == len(rows)
    known = world.targets[target].notna()
    assert set(of_target["material_id"]) == set(world.targets.index[known])


def test_tables_are_as_their_schemas_have_them_and_chance_is_scored_but_not_told_row_by_row(by_system, tmp_path):
    for frame, schema in (
        (by_system.predictions, predictions_schema("a_study", KEY)),
        (by_system.scores, PROBES),
        (by_system.comparisons, COMPARISONS),
    ):
        write_table(frame, tmp_path / f"{schema.name}.parquet", schema)  # raises for a doubled key as well
    assert set(by_system.scores["head"]) == {"ridge", "ridge (shuffled)", "mean"}
    assert set(by_system.predictions["head"]) == {"ridge", "mean"}
    assert set(by_system.scores["study"]) == {"a_study"} and set(by_system.comparisons["split"]) == {"the_split"}
    task = by_system.scores.groupby("target")["task"].unique().str[0].to_dict()
    assert task == {"energy": "regression", "metal": "classification", "modulus": "regression"}
    r2 = one(by_system.scores, target="energy", input="all", head="ridge (shuffled)", fold="all", metric="r2", group="")
    assert r2["value"] < 0.1 < 0.9 < one(
        by_system.scores, target="energy", input="all", head="ridge", fold="all", metric="r2", group=""
    )["value"]  # fmt: skip


def test_scores_say_how_many_training_rows_the_head_used(world):
    parts = fold_parts(FOLDS, world.about)
    some = parts.query("part == 'train' and fold == 'fold 2'")["material_id"].iloc[:100]
    parts = parts[(parts["fold"] != "fold 2") | (parts["part"] == "test") | parts["material_id"].isin(some)]
    heads = {"ridge": RIDGE, "few": {**RIDGE, "max_rows": 150}}
    scores = world.probed(FOLDS, ["energy"], parts=parts, heads=heads, families="family").scores
    train = parts[parts["part"] == "train"].groupby("fold").size().to_dict()
    assert train["fold 2"] == 100 and min(train["fold 1"], train["fold 3"]) > 150
    train["all"] = max(train.values())  # of all folds together the most
    for row in scores.itertuples():
        assert row.rows_used == (min(150, train[row.fold]) if row.head == "few" else train[row.fold])
    assert set(scores["head"]) == {"ridge", "ridge (shuffled)", "few", "mean"}


def test_families_that_are_large_enough_are_scored_over_all_folds_together(by_system, world):
    of_families = by_system.scores[by_system.scores["group"] != ""]
    assert set(of_families["group"]) == {"oxide", "halide"}  # fifteen rows are rare
    assert (world.about["family"] == "rare").sum() == 15 < LEAST
    assert set(of_families["fold"]) == {"all"} and set(of_families["metric"]) == {"mae"}
    assert set(of_families["target"]) == {"energy", "modulus"}  # not classes
    predictions = by_system.predictions.merge(world.about["family"], left_on="material_id", right_index=True)
    for (target, name, head, family), rows in predictions.groupby(["target", "input", "head", "family"]):
        if family == "rare" or target == "metal":
            continue
        found = one(of_families, target=target, input=name, head=head, group=family)
        assert found["value"] == pytest.approx(mean_absolute_error(rows["truth"], rows["predicted"]))
        assert found["n"] == len(rows)


def test_inputs_are_compared_on_the_same_rows_and_draws(by_system, world):
    comparisons = by_system.comparisons
    assert set(zip(comparisons["input"], comparisons["against"], strict=True)) == {("all", "half")}
    metrics = {"energy": "mae", "modulus": "mae", "metal": "roc_auc"}
    assert dict(zip(comparisons["target"], comparisons["metric"], strict=True)) == metrics
    family = by_system.predictions["material_id"].map(world.about["family"])
    for row in comparisons.itertuples():
        chosen = (by_system.predictions["target"] == row.target) & (by_system.predictions["head"] == row.head)
        here = by_system.predictions[chosen & ((family == row.group) | (row.group == ""))]
        scores = {
            name: PEERS[row.metric](rows["truth"], rows["predicted"]) for name, rows in here.groupby("input")
        }  # fmt: skip
        assert row.value == pytest.approx(scores["all"] - scores["half"])
        assert row.n == len(here) / 2
        peer = paired_differences(
            here.assign(fold="pool"), [("all", "ridge", "half", "ridge")], world.about["chemical_system"], row.metric,
            n_bootstrap=40, seed=3,
        ).iloc[0]  # fmt: skip
        assert (row.low, row.high) == pytest.approx((peer["low"], peer["high"]))
    whole = comparisons.set_index(["target", "group"])
    assert whole.loc[("energy", ""), "high"] < 0 < whole.loc[("metal", ""), "low"]  # less error, better ranks
    assert set(comparisons.loc[comparisons["target"] == "energy", "group"]) == {"", "oxide", "halide"}


def test_without_pairs_or_families_there_are_scores_of_all_rows_alone(world, tmp_path):
    made = world.probed(FOLDS, ["energy"], compare=[["all", "gone"]])
    assert set(made.scores["group"]) == {""} and set(made.predictions["target"]) == {"energy"}
    assert made.comparisons.empty
    write_table(made.comparisons, tmp_path / "comparisons.parquet", COMPARISONS)


@pytest.mark.parametrize("end", ["high", "low"])
def test_extremes_are_looked_for_in_the_share_that_lies_beyond_all_training_rows(end, world):
    made = world.probed(HIGHEST | {"end": end}, ["energy"])
    rows = made.predictions[(made.predictions["input"] == "half") & (made.predictions["head"] == "ridge")]
    sign = 1 if end == "high" else -1
    parts = fold_parts(HIGHEST | {"end": end}, world.targets)
    trained = world.targets["energy"][parts.loc[parts["part"] == "train", "material_id"]]
    beyond = (sign * rows["truth"] > (sign * trained).max()).to_numpy()
    assert 30 < beyond.sum() < len(rows) / 2  # a tenth, and ordinary rows that happen to lie between
    found = (-sign * rows["predicted"]).rank(method="first").to_numpy() <= beyond.sum()
    scored = made.scores[(made.scores["input"] == "half") & (made.scores["head"] == "ridge")]
    (fold,) = rows["fold"].unique()
    assert fold == f"{end}est 10 %"
    recall = one(scored, metric="top_k_recall", fold="all")
    assert recall["value"] == pytest.approx((found & beyond).sum() / beyond.sum()) and 0 < recall["value"] < 1
    assert one(scored, metric="mae", fold="all")["value"] == pytest.approx(
        mean_absolute_error(rows["truth"], rows["predicted"])
    )
    assert set(made.comparisons["metric"]) == {"mae"}


def test_a_fold_with_too_few_rows_of_a_target_is_left_out_for_that_target_and_logged(world, caplog):
    parts = fold_parts(FOLDS, world.about)
    tested = parts.loc[(parts["fold"] == "fold 2") & (parts["part"] == "test"), "material_id"]
    kept = tested.iloc[: LEAST - 1]
    spoilt = World()
    spoilt.targets.loc[tested.drop(kept.index), "energy"] = np.nan
    with caplog.at_level(logging.INFO):
        made = spoilt.probed(FOLDS, ["energy", "metal"], parts=parts)
    assert "energy: too few rows in folds fold 2" in caplog.text and "metal: too few" not in caplog.text
    folds = made.scores.groupby("target")["fold"].unique().map(set)
    assert folds["energy"] == {"fold 1", "fold 3", "all"}
    assert folds["metal"] == {"fold 1", "fold 2", "fold 3", "all"}
    assert not made.predictions.loc[made.predictions["target"] == "energy", "material_id"].isin(tested).any()
    # one more row, and the fold counts
    spoilt.targets.loc[tested.iloc[LEAST - 1], "energy"] = 1.0
    again = spoilt.probed(FOLDS, ["energy"], parts=parts)
    assert set(again.scores["fold"]) == {"fold 1", "fold 2", "fold 3", "all"}


def test_a_target_that_no_fold_has_enough_of_is_refused(world):
    spoilt = World()
    spoilt.targets.iloc[30:, 0] = np.nan
    with pytest.raises(DataError, match="target energy can't be probed under split the_split .*study a_study"):
        spoilt.probed(FOLDS, None)


def test_entities_that_no_view_describes_are_not_probed(world):
    fewer = World()
    parts = fold_parts(FOLDS, world.about)
    fewer.raw = fewer.raw.drop(index=["m3", "m200"])
    made = fewer.probed(FOLDS, ["energy"], parts=parts)
    assert made.predictions["material_id"].nunique() == 358
    assert not made.predictions["material_id"].isin(["m3", "m200"]).any()
