"""No leakage: what is learned, and what is said of a row, stays the same whatever the tested rows hold; and a leak
planted in the scaler, the selector, the encoder or the split does not get past the same checks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from matlas.autoencoders.estimator import Autoencoder
from matlas.encoders import PrincipalComponents, encoder_of
from matlas.errors import DataError
from matlas.evaluate.audits.drift import drift_audit
from matlas.evaluate.audits.families import family_audit
from matlas.evaluate.audits.subject import Subject
from matlas.features.selected import select
from matlas.probe import probes, splits
from matlas.probe.preparation import Preparation
from matlas.probe.selection import DescriptorSelector
from matlas.probe.splits import fold_parts
from matlas.probe.study import probe_study
from matlas.rows import held
from matlas.trained import encode_folds, train_on

SPLIT = {"kind": "holdout", "by": "system", "test": 0.3, "validation": 0.2}
PCA = {"algorithm": "pca", "n_components": 2, "standardise": True}
NETWORK = {"algorithm": "autoencoder", "kind": "plain", "layers": [4, 2], "epochs": 60, "patience": 2,
           "learning_rate": 0.2, "random_state": 0, "device": "cpu"}  # fmt: skip
SELECT = {"n_features": 4, "max_correlation": 0.95}


@dataclass(frozen=True)
class World:
    """raw : (n, p) features by entity; target : (n,); systems : group of each entity; parts : of the split."""

    raw: pd.DataFrame
    target: pd.Series
    systems: pd.Series
    parts: pd.DataFrame

    def part(self, name: str) -> np.ndarray:
        return self.raw.index.isin(self.parts.loc[self.parts["part"] == name, "material_id"])

    def rows(self, part: str) -> np.ndarray:
        return self.raw.to_numpy()[self.part(part)]


@pytest.fixture(scope="module")
def world() -> World:
    rng = np.random.default_rng(0)
    key = pd.Index([f"m{i}" for i in range(300)], name="material_id")
    values = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 8)) + 0.3 * rng.normal(size=(300, 8))
    systems = pd.Series([f"system {i}" for i in rng.permutation(300) // 5], key, name="system")
    target = pd.Series(values[:, :3].sum(axis=1) + 0.1 * rng.normal(size=300), key, name="energy")
    parts = fold_parts(SPLIT, systems.to_frame())
    return World(pd.DataFrame(values, key, [f"column_{i}" for i in range(8)]), target, systems, parts)


pytestmark = pytest.mark.usefixtures("one_thread")


def changed(world: World) -> tuple[World, pd.Index]:
    """The world with other features and targets in every second tested row, and those rows."""
    rng = np.random.default_rng(1)
    rows = world.raw.index[world.part("test")][::2]
    raw, target = world.raw.copy(), world.target.copy()
    raw.loc[rows] = rng.normal(5, 20, size=(len(rows), raw.shape[1]))
    target[rows] = rng.normal(100, 50, size=len(rows))
    return replace(world, raw=raw, target=target), rows


# --- the steps: what they learn, and what they make of each row -------------------------------------------------------

Made = tuple[dict[str, np.ndarray], pd.DataFrame]
Step = Callable[[World], Made]


def training(spec) -> Step:
    def step(world: World) -> Made:
        encoder, made, _ = train_on(held(world.raw), world.parts, spec)
        learned = {"mean": encoder.mean_, "scale": encoder.scale_}
        if made.loadings is not None:
            learned["loadings"] = made.loadings
        codes = pd.DataFrame(made.scores, index=world.raw.index)
        return learned, codes.assign(error=made.reconstruction_error)

    return step


def folds(spec, selected=None) -> Step:
    def step(world: World) -> Made:
        codes = encode_folds(world.raw, world.parts, spec, selected=selected, groups=world.systems)
        return {}, codes.set_index("material_id").drop(columns=["fold", "part"])

    return step


def preparation(**part) -> Step:
    def step(world: World) -> Made:
        made = Preparation([{"columns": slice(0, 8), **part}])
        X, groups = world.raw.to_numpy(), world.systems.to_numpy()
        design = made.fit(X, world.part("train"), groups).transform(X)
        (block,) = made.blocks_
        learned = {"mean": block.scaler.mean_, "scale": block.scaler.scale_}
        if block.selector is not None:
            learned["support"] = block.selector.support_
        return learned, pd.DataFrame(design, world.raw.index)

    return step


def selection(world: World) -> Made:
    chosen, report = select(world.raw, world.parts, SELECT)
    explained = report.set_index("feature")["explained"].reindex(world.raw.columns)
    return {"support": np.array(chosen.columns), "explained": explained.to_numpy()}, chosen


def probing(world: World) -> Made:
    parts = [{"columns": slice(0, 8)}, {"columns": slice(0, 8), "select": SELECT, "encoder": encoder_of(PCA)}]
    made = probe_study(
        "a_study", world.raw, {"descriptors": Preparation(parts[:1]), "greybox": Preparation(parts)},
        world.target.to_frame(), {"energy": "regression"}, world.systems.to_frame(), world.parts,
        {"resampled_by": "system", "families": None, "compare": [], "random_state": 0, "draws": 5},
        {"split": "by_system", "targets": None}, {"line": {"algorithm": "ridge", "alphas": [0.1, 10.0]}}, SPLIT,
    ).predictions  # fmt: skip
    return {}, made.pivot(index="material_id", columns=["input", "head"], values="predicted")


STEPS: dict[str, Step] = {
    "scaler of train_on": training({"algorithm": "identity"}),
    "scaler of encode_folds": folds({"algorithm": "identity"}),
    "scaler of a preparation": preparation(),
    "scaler of a network": training(NETWORK),
    "selector of a view": selection,
    "selector of encode_folds": folds({"algorithm": "identity", "standardise": False}, SELECT),
    "selector of a preparation": preparation(select=SELECT),
    "encoder of train_on": training(PCA),
    "encoder of encode_folds": folds(PCA),
    "encoder of a preparation": preparation(encoder=encoder_of(PCA)),
    "network of train_on": training(NETWORK),
    "network of encode_folds": folds(NETWORK),
    "network of a preparation": preparation(encoder=encoder_of(NETWORK)),
    "predictions": probing,
}


def check_blind_to_tested_rows(step: Step, world: World, plant: Callable[[World], AbstractContextManager]) -> None:
    """Other features and targets in some tested rows change nothing that is learned and no other row's result."""
    other, rows = changed(world)
    with plant(world):
        learned, of_rows = step(world)
    with plant(other):
        learned_again, of_rows_again = step(other)
    for name, value in learned.items():
        np.testing.assert_array_equal(learned_again[name], value, err_msg=name)
    kept = ~of_rows.index.isin(rows)
    assert kept.sum() and not kept.all()
    pd.testing.assert_frame_equal(of_rows_again[kept], of_rows[kept], check_exact=True)


# --- the leaks: each fits one step on rows that are tested ------------------------------------------------------------


def scaler(module: str):
    @contextmanager
    def plant(world: World):
        class Leaky(StandardScaler):
            def partial_fit(self, X, y=None, sample_weight=None):  # which fit calls too
                rows = world.raw.to_numpy()
                return super().partial_fit(rows if rows.shape[1] == X.shape[1] else X)  # codes are narrower

        with patch(f"{module}.StandardScaler", Leaky):
            yield

    return plant


def selector(module: str):
    @contextmanager
    def plant(world: World):
        class Leaky(DescriptorSelector):
            def fit(self, X, y=None):
                return super().fit(world.raw.to_numpy())

        with patch(f"{module}.DescriptorSelector", Leaky):
            yield

    return plant


class LeakyComponents(PrincipalComponents):
    def fit(self, X, y=None, *, validation=None, groups=None):
        return super().fit(self.everything)


class StoppedByTestRows(Autoencoder):
    def fit(self, X, y=None, *, validation=None, groups=None):
        return super().fit(X, validation=self.tested)


def leaky(encoder, world: World):
    kind = LeakyComponents if isinstance(encoder, PrincipalComponents) else StoppedByTestRows
    encoder = kind(**encoder.get_params())
    encoder.everything, encoder.tested = world.raw.to_numpy(), world.rows("test")
    return encoder


@contextmanager
def encoder(world: World):
    """Components of all rows; a network whose training ends by the tested rows."""
    with (
        patch("matlas.trained.encoder_of", lambda spec: leaky(encoder_of(spec), world)),
        patch("matlas.probe.preparation.clone", lambda encoder, safe: leaky(encoder, world)),
    ):
        yield


@contextmanager
def parts_of_encoders(world: World):
    """Tested rows pass for training rows."""
    with patch("matlas.trained.part_of", lambda entities, parts: pd.Series("train", entities)):
        yield


@contextmanager
def parts_of_probes(world: World):
    """Tested rows train as well."""
    fold_of = probes._fold_of

    def trained_on_too(*args):
        fold = fold_of(*args)
        return replace(fold, prepared=fold.prepared | fold.test, train=fold.train | fold.test)

    with patch("matlas.probe.probes._fold_of", trained_on_too):
        yield


LEAKS = [
    ("scaler of train_on", scaler("matlas.encoders")),
    ("scaler of encode_folds", scaler("matlas.encoders")),
    ("scaler of a preparation", scaler("matlas.probe.preparation")),
    ("scaler of a network", scaler("matlas.encoders")),
    ("predictions", scaler("matlas.probe.preparation")),
    ("selector of a view", selector("matlas.features.selected")),
    ("selector of encode_folds", selector("matlas.trained")),
    ("selector of a preparation", selector("matlas.probe.preparation")),
    ("predictions", selector("matlas.probe.preparation")),
    ("encoder of train_on", encoder),
    ("encoder of encode_folds", encoder),
    ("encoder of a preparation", encoder),
    ("network of train_on", encoder),
    ("network of encode_folds", encoder),
    ("network of a preparation", encoder),
    ("encoder of train_on", parts_of_encoders),
    ("encoder of encode_folds", parts_of_encoders),
    ("predictions", parts_of_probes),
]


@pytest.mark.parametrize("name", STEPS)
def test_nothing_that_is_learned_or_said_of_a_row_depends_on_the_tested_rows(name, world):
    check_blind_to_tested_rows(STEPS[name], world, lambda _: nullcontext())


@pytest.mark.parametrize(("name", "plant"), LEAKS, ids=[name for name, _ in LEAKS])
def test_a_leak_planted_in_a_step_is_caught_by_the_same_check(name, plant, world):
    with pytest.raises(AssertionError, match="not equal|are different"):
        check_blind_to_tested_rows(STEPS[name], world, plant)


# --- audits that train an encoder without some rows ------------------------------------------------------------------

LEFT_OUT = "told_by_rows_left_out"
AUDITS = {
    "family": lambda subject, away: family_audit(subject, away.map({True: "nitride", False: "oxide"}), 100),
    "drift": lambda subject, away: drift_audit(subject, away.map({True: 2010, False: 1990})),
}


def check_columns_are_chosen_without(audit: str, world: World, plant: AbstractContextManager) -> None:
    """A column that is constant but in the rows left out is no feature of the encoder that is trained without them."""
    away = pd.Series(np.arange(300) % 3 == 0, world.raw.index)
    noise = np.random.default_rng(2).normal(size=300)
    raw = world.raw.assign(**{LEFT_OUT: np.where(away, noise, 1.0)})
    stored, _ = select(raw, world.parts, SELECT)
    assert LEFT_OUT in stored.columns
    subject = Subject.of(stored, world.parts, PCA, world.systems, raw=raw, selected=SELECT, draws=5)
    trained = []

    def retrain(features: pd.DataFrame, parts: pd.DataFrame):
        trained.append((list(features.columns), away[parts["material_id"]].any()))
        return Subject.retrain(subject, features, parts)

    with plant, patch.object(subject, "retrain", retrain):
        AUDITS[audit](subject, away)
    without = [columns for columns, seen in trained if not seen]
    assert len(without) == 1 and len(without[0]) == SELECT["n_features"]
    assert LEFT_OUT not in without[0], "columns are not equal to those that the rows at hand choose"


@pytest.mark.parametrize("audit", AUDITS)
def test_an_audit_chooses_columns_without_the_rows_that_its_encoder_must_not_know(audit, world):
    check_columns_are_chosen_without(audit, world, nullcontext())


@pytest.mark.parametrize("audit", AUDITS)
def test_the_stored_selection_is_caught_in_an_audit_by_the_same_check(audit, world):
    stored = patch.object(Subject, "features_for", lambda subject, parts: subject.features)
    with pytest.raises(AssertionError, match="not equal"):
        check_columns_are_chosen_without(audit, world, stored)


# --- the split --------------------------------------------------------------------------------------------------------

KINDS = {
    "holdout": SPLIT,
    "folds": {"kind": "folds", "by": "system", "folds": 3, "validation": 0.1},
    "leave_out": {"kind": "leave_out", "by": "family", "least": 50},
    "ordered": {"kind": "ordered", "by": "year"},
    "extremes": {"kind": "extremes", "by": "year", "share": 0.2},
}


@pytest.fixture(scope="module")
def about(world):
    return pd.DataFrame({
        "system": world.systems, "family": np.array(["oxide", "halide", "nitride"])[np.arange(300) % 3],
        "year": 1990 + np.arange(300) % 20, "energy": world.target,
    })  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_depends_on_what_it_goes_by_and_on_nothing_else(kind, about):
    parts = fold_parts(KINDS[kind], about)
    by = KINDS[kind]["by"]
    pd.testing.assert_frame_equal(fold_parts(KINDS[kind], about.assign(energy=-about["energy"])), parts)
    pd.testing.assert_frame_equal(fold_parts(KINDS[kind], about[[by]]), parts)


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_split_that_puts_a_group_on_both_sides_is_refused_before_it_is_used(kind, part, about):
    drawn = splits.KINDS[kind]

    def torn(*args, **options):
        made = drawn(*args, **options)
        of_rows = next(iter(made.values()))
        of_rows[np.flatnonzero(of_rows == "test")[0]] = part
        return made

    by = KINDS[kind]["by"]
    with (
        patch.dict(splits.KINDS, {kind: torn}),
        pytest.raises(DataError, match=f"groups are in training and test of one fold.*expected each {by} in one"),
    ):
        fold_parts(KINDS[kind], about)


def test_a_probe_refuses_an_entity_that_is_on_both_sides(world):
    tested = world.parts[world.parts["part"] == "test"].iloc[:1]
    for part in ("train", "validation"):
        torn = replace(world, parts=pd.concat([world.parts, tested.assign(part=part)], ignore_index=True))
        with pytest.raises(DataError, match="an entity is twice in one fold"):
            probing(torn)
