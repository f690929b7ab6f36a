"""Every failure is caught where it is planted and not where there is none; a linear encoder stands for a network."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from matlas.errors import DataError
from matlas.evaluate.audits.drift import drift_audit
from matlas.evaluate.audits.families import family_audit
from matlas.evaluate.audits.polymorphs import confused, percentiles, polymorph_audit, polymorph_pairs, random_pairs
from matlas.evaluate.audits.shortcut import shortcut_audit
from matlas.evaluate.audits.sources import matched_rows, source_audit
from matlas.evaluate.audits.study import audit
from matlas.evaluate.audits.subject import Subject, read_number, told_apart
from matlas.evaluate.records import tests_frame as frame_of
from matlas.probe.selection import DescriptorSelector
from matlas.probe.splits import fold_parts
from matlas.tables import write_table
from schemas.tables.learning import TESTS

N, P, D, WIDTH = 1500, 40, 10, 6
ENCODER = {"algorithm": "pca", "n_components": WIDTH}
SPLIT = {"kind": "holdout", "by": "chemical_system", "test": 0.3, "validation": 0.1}
TEST = {
    "view": "view", "encoder": "linear", "families": "family", "least": 200, "sources": ["in_a", "in_b"],
    "matched_by": ["n_sites"], "over": "year", "stability": "energy <= 0",
}  # fmt: skip


@pytest.fixture(scope="module")
def about():
    """What is known of rows whose features have nothing to do with it."""
    rng = np.random.default_rng(1)
    in_a = rng.random(N) < 0.5
    return pd.DataFrame(
        {
            "chemical_system": [f"s{i}" for i in rng.integers(0, 300, N)],
            "family": rng.choice(["oxide", "halide", "element"], N, p=[0.5, 0.45, 0.05]),
            "in_a": in_a, "in_b": ~in_a | (rng.random(N) < 0.1), "n_sites": rng.integers(1, 5, N),
            "year": np.where(rng.random(N) < 0.8, rng.integers(1990, 2014, N), np.nan),
            "energy": np.where(np.arange(N) % 2, 0.1, 0.0), "reduced_formula": [f"f{i // 2}" for i in range(N)],
            "prototype": [f"p{i % 2}" for i in range(N)],
        },
        index=pd.Index([f"m{i}" for i in range(N)], name="material_id"),
    )  # fmt: skip


def rows_on(seed=0, n=N):
    """(n, P) rows on a plane of D dimensions, more than the code has, with a little noise."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, D)) @ rng.normal(size=(D, P)) + 0.3 * rng.normal(size=(n, P))


def table(about, values):
    return pd.DataFrame(values, index=about.index, columns=[f"c{i}" for i in range(values.shape[1])])


def subject_of(about, values):
    parts = fold_parts(SPLIT, about)
    return Subject.of(table(about, values), parts, ENCODER, about["chemical_system"], draws=60)


@pytest.fixture(scope="module")
def clean(about):
    return subject_of(about, rows_on())


def of(records, case, metric, group=""):
    (found,) = [r for r in records if (r["case"], r["metric"], r.get("group", "")) == (case, metric, group)]
    return found


def caught(records, case="data", group=""):
    return of(records, case, "caught", group)["value"]


# --- the whole ---


@pytest.fixture(scope="module")
def records(about):
    features = table(about, rows_on())
    return audit(features, fold_parts(SPLIT, about), about, ENCODER, TEST, draws=60)


def test_nothing_is_caught_in_clean_rows(records):
    clean_cases = [r for r in records if r["metric"] == "caught" and r["case"] in ("data", "random labels")]
    assert {r["test"] for r in clean_cases} == {"shortcut", "out_of_family", "polymorphs", "source_bias", "drift"}
    assert [r for r in clean_cases if r["value"]] == []


def test_every_planted_failure_is_caught(records):
    planted = [(r["test"], r.get("group", ""), r["value"]) for r in records
               if r["metric"] == "caught" and r["case"] == "planted"]  # fmt: skip
    assert sorted(planted) == sorted(
        [
            ("shortcut", "row number", 1.0), ("shortcut", "batch", 1.0), ("out_of_family", "", 1.0),
            ("polymorphs", "", 1.0), ("polymorphs", "stable and unstable", 1.0), ("source_bias", "", 1.0),
            ("drift", "", 1.0),
        ]
    )  # fmt: skip


def test_records_are_valid_rows_of_the_table_and_the_same_again(records, about, tmp_path):
    write_table(frame_of("study", "crystals", records), tmp_path / "audit.parquet", TESTS)
    features = table(about, rows_on())
    again = audit(features, fold_parts(SPLIT, about), about, ENCODER, TEST, draws=60)
    pd.testing.assert_frame_equal(frame_of("study", "crystals", again), frame_of("study", "crystals", records))


def test_only_what_is_asked_for_is_audited_and_columns_must_be_there(about):
    features, parts = table(about, rows_on()), fold_parts(SPLIT, about)
    nothing = {**TEST, "families": None, "sources": None, "over": None, "stability": None}
    found = audit(features, parts, about.drop(columns="prototype"), ENCODER, nothing, draws=5)
    assert {r["test"] for r in found} == {"shortcut"}
    with pytest.raises(DataError, match=r"'yaer'.*'year'"):
        audit(features, parts, about, ENCODER, {**nothing, "over": "yaer"})


def test_a_network_is_trained_for_as_long_as_its_method_says_each_time(about):
    spec = {"algorithm": "autoencoder", "layers": [8, 3], "epochs": 70, "patience": None, "batch_size": 1500}
    features, parts = table(about, rows_on()), fold_parts(SPLIT, about)
    subject = Subject.of(features, parts, spec, about["chemical_system"], device="cpu")
    assert len(subject.encoder.history_) == len(subject.retrain(features, parts)[0].history_) == 70


# --- selected views ---

SELECT = {"n_features": 12, "max_correlation": 0.95}


@pytest.fixture(scope="module")
def raw(about):
    """Columns of which some vary only among halides, and others only late."""
    values, noise = rows_on(), np.random.default_rng(7).normal(size=(N, 4))
    values[:, 5:7] = noise[:, :2] * (about["family"] == "halide").to_numpy()[:, None]
    values[:, 8:10] = noise[:, 2:] * (about["year"] > 2007).to_numpy()[:, None]
    return table(about, values)


def chosen_by(raw, parts, rows):
    """The columns that the training rows among some rows choose."""
    train = raw.index.isin(parts.loc[parts["part"] == "train", "material_id"]) & rows
    return raw.iloc[:, DescriptorSelector(**SELECT).fit(raw.to_numpy()[train]).support_]


def test_audits_of_a_selected_view_are_those_of_columns_chosen_by_the_rows_of_each_training(raw, about):
    parts, systems = fold_parts(SPLIT, about), about["chemical_system"]
    stored = chosen_by(raw, parts, True)
    assert {*raw.columns[5:7], *raw.columns[8:10]} <= set(stored.columns)
    asked, known = {**TEST, "sources": None, "least": 600}, about.drop(columns="prototype")
    audited = audit(stored, parts, known, ENCODER, asked, raw=raw, selected=SELECT, draws=20)
    stale = audit(stored, parts, known, ENCODER, asked, draws=20)
    halides = ("out_of_family", "halide", about["family"] != "halide", lambda s: family_audit(s, about["family"], 600))
    later = ("drift", "", about["year"] <= 2007, lambda s: drift_audit(s, about["year"]))
    place = {"view": TEST["view"], "representation": TEST["encoder"]}
    for (test, group, rows, audited_by_hand), gone in ((halides, raw.columns[5:7]), (later, raw.columns[8:10])):
        by_hand = chosen_by(raw, parts, rows.to_numpy())
        assert len(by_hand.columns) == 12 and not set(gone) & set(by_hand.columns)
        of_hand = audited_by_hand(Subject.of(by_hand, parts, ENCODER, systems, draws=20))
        found, without, expected = (
            [r for r in records if (r["test"], r.get("group", "")) == (test, group)]
            for records in (audited, stale, [{**r, **place} for r in of_hand])
        )
        assert len(found) >= 4 and found == expected and found != without


def test_a_view_that_is_selected_needs_all_columns_of_all_its_rows(raw, about):
    parts, systems = fold_parts(SPLIT, about), about["chemical_system"]
    with pytest.raises(DataError, match="no columns to choose a selected view from"):
        Subject.of(raw.iloc[:, :12], parts, ENCODER, systems, selected=SELECT)
    with pytest.raises(DataError, match="raw columns lack entities"):
        Subject.of(raw.iloc[:, :12], parts, ENCODER, systems, raw=raw.iloc[1:], selected=SELECT)
    shuffled = raw.sample(frac=1, random_state=0)
    subject = Subject.of(raw.iloc[:, :12], parts, ENCODER, systems, raw=shuffled, selected=SELECT)
    assert subject.features_for(parts).equals(chosen_by(raw, parts, True))
    assert Subject.of(raw, parts, ENCODER, systems).features_for(parts) is raw


# --- the parts ---


def test_a_reader_is_never_tested_on_groups_it_was_fitted_on():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 10)
    # each group has a place of its own, and a label at random: learned by heart, wrong for new groups
    codes = rng.normal(size=(60, 3))[groups] + 0.01 * rng.normal(size=(600, 3))
    labels = rng.integers(0, 2, 60)[groups].astype(float)
    assert told_apart(codes, labels, groups, draws=20).value < 0.75
    assert told_apart(codes, labels, np.arange(600), draws=20).value > 0.95
    assert read_number(codes, codes[:, 0], groups, draws=20).value > 0.9


def test_a_code_that_follows_the_file_is_a_shortcut(about):
    values = rows_on()
    values += np.linspace(-3, 3, N)[:, None] * np.random.default_rng(5).normal(size=P)
    found = shortcut_audit(subject_of(about, values))
    assert caught(found, group="row number") == 1 and caught(found, group="batch") == 0
    assert of(found, "data", "spearman", "row number")["low"] > 0.3
    # what the file does anyway is not laid to the one column that is planted
    assert caught(found, "planted, one column", "row number") == 0
    chance = of(found, "data, shuffled order", "spearman", "row number")
    assert abs(chance["value"]) < 0.1 < of(found, "data", "spearman", "row number")["low"]


def test_one_column_alone_is_squeezed_out_where_five_are_not(records):
    one, five = (of(records, case, "spearman", "row number") for case in ("planted, one column", "planted"))
    assert one["value"] < 0.5 < 0.9 < five["value"]


def test_an_unseen_family_off_the_plane_is_recognised_since_the_encoder_never_saw_it(about, clean):
    values = rows_on()
    odd = (about["family"] == "halide").to_numpy()
    values[odd] = rows_on(seed=9)[odd]  # another plane
    found = family_audit(subject_of(about, values), about["family"], 200)
    assert caught(found, group="halide") == 1 and of(found, "data", "roc_auc", "halide")["low"] > 0.95
    members = int(odd.sum())
    held_out = (fold_parts(SPLIT, about).query("part == 'test'")["material_id"].isin(about.index[~odd])).sum()
    assert of(found, "data", "roc_auc", "halide")["n"] == members + held_out
    assert {r.get("group") for r in found} == {"oxide", "halide", ""}  # elements are too few
    shifted = of(found, "planted", "roc_auc")
    assert shifted["value"] > 0.95


def test_a_family_beyond_the_others_in_the_plane_is_seen_by_distance_and_not_by_the_error(about):
    rng = np.random.default_rng(3)
    plane, latent = rng.normal(size=(WIDTH, P)), rng.normal(size=(N, WIDTH))
    latent[about["family"] == "halide"] *= 2.5
    found = family_audit(subject_of(about, latent @ plane + 0.3 * rng.normal(size=(N, P))), about["family"], 200)
    assert of(found, "data, Mahalanobis", "roc_auc", "halide")["low"] > 0.9
    assert caught(found, group="halide") == 0


def test_polymorphs_become_one_where_the_features_know_the_composition_only(about, clean):
    values = np.repeat(rows_on(n=N // 2), 2, axis=0)
    found = polymorph_audit(subject_of(about, values), about)
    assert caught(found) == 1
    assert of(found, "data", "percentile")["value"] == 0 and of(found, "data", "share_confused")["value"] == 0.5
    apart = polymorph_audit(clean, about, about["energy"])
    # partners are as far apart as any two rows
    assert of(apart, "data", "percentile")["value"] == pytest.approx(0.5, abs=0.1)
    assert of(apart, "planted", "percentile")["value"] == 0
    assert (
        of(apart, "data", "share_confused")["value"] < 0.05
        and of(apart, "data, descriptors", "share_confused")["value"] == 0
    )
    assert of(apart, "planted", "share_confused")["value"] == 0.5


def test_a_crystal_is_confused_that_is_rebuilt_nearer_to_its_twin():
    truth = np.array([[0.0, 0], [4, 0], [0, 3], [0, 9], [1, 1], [1, 1]])
    rebuilt = np.array([[1.0, 1], [1.5, 0], [0, 6], [0, 5], [7, 7], [0, 0]])
    pairs = np.array([[0, 1], [2, 3], [4, 5]])
    assert confused(rebuilt, truth, pairs).tolist() == [0.5, 0.75, 0.5]  # own, twin; both alike, twin; both alike twice


def test_pairs_are_of_one_formula_and_two_prototypes():
    known = pd.DataFrame({"reduced_formula": list("aabbcddd"), "prototype": list("xyxxxxyx")})
    assert polymorph_pairs(known).tolist() == [[0, 1], [5, 6], [6, 7]]
    many = pd.DataFrame({"reduced_formula": ["a"] * 30, "prototype": map(str, range(30))})
    pairs = polymorph_pairs(many)
    assert len({tuple(p) for p in pairs}) == len(pairs) == 20 and (pairs[:, 0] < pairs[:, 1]).all()
    drawn = random_pairs(5, 0, 20_000)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == 20 and counts.min() > 850  # each of 20 ordered pairs about 1,000 times


def test_a_percentile_is_the_share_of_smaller_distances():
    assert percentiles(np.array([0.0, 2.0, 2.5, 9.0]), np.array([3.0, 1.0, 2.0, 4.0])).tolist() == [0, 0.25, 0.5, 1]


def test_stable_and_unstable_are_pairs_of_both_and_of_known(clean, about):
    stable = (about["energy"] <= 0).astype(float)
    whole = of(polymorph_audit(clean, about, stable), "data", "percentile", "stable and unstable")["n"]
    tested = about.iloc[clean.test]["reduced_formula"]
    assert whole == tested.duplicated().sum()  # partners that are both test rows, one of them stable
    half = stable.where(np.arange(N) < N // 2)
    known = of(polymorph_audit(clean, about, half), "data", "percentile", "stable and unstable")["n"]
    assert known == tested[tested.index.isin(about.index[: N // 2])].duplicated().sum()


def test_matching_takes_as_many_of_both_sources_from_each_stratum():
    rng = np.random.default_rng(0)
    strata = pd.DataFrame({"n_sites": rng.integers(1, 4, 200), "n_elements": rng.integers(1, 3, 200)})
    second = rng.random(200) < 0.2 + 0.2 * strata["n_sites"]
    rows = matched_rows(second.to_numpy(), strata, 1)
    assert len(set(rows)) == len(rows) and (np.diff(rows) > 0).all()
    counts = strata.assign(second=second).groupby(["n_sites", "n_elements"])["second"].agg(["sum", "size"])
    expected = np.minimum(counts["sum"], counts["size"] - counts["sum"])
    for side in (True, False):
        taken = strata.iloc[rows][second.to_numpy()[rows] == side].value_counts().reindex(counts.index, fill_value=0)
        assert taken.tolist() == expected.tolist()
    assert len(matched_rows(np.array([True, False, False]), pd.DataFrame(index=range(3)))) == 2


def test_sources_that_differ_in_size_only_are_told_apart_until_they_are_matched(about):
    rng = np.random.default_rng(2)
    sites = about["n_sites"].to_numpy()
    b = rng.random(N) < np.array([0.15, 0.4, 0.6, 0.85])[sites - 1]
    values = rows_on() + 3 * (sites - 2.5)[:, None] * rng.normal(size=P)
    known = about.assign(in_a=~b, in_b=b)
    found = source_audit(subject_of(about, values), known, ("in_a", "in_b"), ["n_sites"])
    assert caught(found, "data, unmatched") == 1 and caught(found, "data, descriptors, unmatched") == 1
    assert caught(found) == 0 and caught(found, "data, descriptors") == 0
    assert of(found, "data", "roc_auc")["n"] < of(found, "data, unmatched", "roc_auc")["n"]


def test_rows_of_both_sources_or_none_say_nothing(about, clean):
    both = about.assign(in_a=True, in_b=np.arange(N) % 2 == 0)
    both.iloc[:200, both.columns.get_indexer(["in_a", "in_b"])] = False
    found = source_audit(clean, both, ("in_a", "in_b"), [])
    assert found == []  # b is never alone
    alone = both.assign(in_a=~both["in_b"])
    expected = len(clean.test)
    assert of(source_audit(clean, alone, ("in_a", "in_b"), []), "data, unmatched", "roc_auc")["n"] == expected


def test_later_rows_off_the_plane_are_drift(about):
    values = rows_on()
    late = (about["year"] > 2007).to_numpy()
    values[late] = 0.5 * values[late] + 0.5 * rows_on(seed=9)[late]
    found = drift_audit(subject_of(about, values), about["year"])
    assert caught(found) == 1 and of(found, "data", "difference")["low"] > 0
    # no trend among the later rows themselves, unlike where it is planted
    assert abs(of(found, "data", "spearman")["value"]) < 0.25 < of(found, "planted", "spearman")["low"]


def test_the_difference_is_that_of_means_over_test_rows_before_and_after(clean, about):
    found = drift_audit(clean, about["year"])
    parts = clean.parts.set_index("material_id")["part"].reindex(about.index)
    year = about["year"].to_numpy()
    cut = 2007  # a quarter of 24 years
    train = (parts == "train").to_numpy() & (year <= cut)
    matrix = clean.features.to_numpy()
    scaled = (matrix - matrix[train].mean(axis=0)) / matrix[train].std(axis=0)
    axes = np.linalg.svd(scaled[train], full_matrices=False)[2][:WIDTH]
    error = ((scaled - scaled @ axes.T @ axes) ** 2).mean(axis=1)
    tested = (parts == "test").to_numpy()
    before, after = error[tested & (year <= cut)].mean(), error[tested & (year > cut)].mean()
    assert of(found, "data", "earlier")["value"] == pytest.approx(before, rel=1e-6)
    assert of(found, "data", "difference")["value"] == pytest.approx(after - before, rel=1e-4)


def test_too_few_rows_are_left_out_and_the_log_says_so(clean, about, caplog):
    few = about["year"].where(np.arange(N) < 40)
    with caplog.at_level(logging.WARNING):
        assert drift_audit(clean, few) == []
        assert polymorph_audit(clean, about.assign(prototype="one")) == []
    assert "drift is not audited" in caplog.text and "0 pairs of polymorphs" in caplog.text


def test_an_offset_is_planted_in_so_many_columns_and_rows_in_their_units(clean):
    rows = np.arange(10)
    moved = clean.planted_offset(7, rows, 3.0).to_numpy() - clean.features.to_numpy()
    spread = clean.features.to_numpy()[clean.train].std(axis=0)
    columns = np.flatnonzero(moved[0])
    assert len(columns) == 7 and not moved[10:].any()
    np.testing.assert_allclose(moved[:10, columns], np.tile(3 * spread[columns], (10, 1)))
    assert np.count_nonzero(clean.planted_offset(99, rows, 3.0).to_numpy()[0] != clean.features.to_numpy()[0]) == P
