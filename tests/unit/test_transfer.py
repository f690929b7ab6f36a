"""Transfer of an encoder on planted problems: the source lies on the same curved sheet as the study, or on another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from matlas.encoders import encoder_of
from matlas.errors import DataError
from matlas.evaluate.transfer import INPUTS, Own, draw_cases, source_rows, transfer

HEADS = {"ridge": {"algorithm": "ridge", "alphas": [0.01, 1.0, 100.0]}}
ONE_ALPHA = {"ridge": {"algorithm": "ridge", "alphas": [1.0]}}
NETWORK = {
    "algorithm": "autoencoder", "layers": [32, 2], "activation": "tanh", "epochs": 60, "batch_size": 64,
    "learning_rate": 5e-3, "patience": 20, "device": "cpu",
}  # fmt: skip
FACTORS = {"algorithm": "factor_analysis", "n_components": 2}  # an encoder that takes no time
WIDTH = 20


def sheet(places, seed):
    """Places (n, 2) on a curved sheet in 20 dimensions; each seed has another sheet."""
    rng = np.random.default_rng(seed)
    inner, bias, outer = rng.normal(size=(2, 30)) * 1.5, rng.normal(size=30), rng.normal(size=(30, WIDTH)) / 5
    return np.tanh(places @ inner + bias) @ outer


def study(n=60, rows=1):
    """n compounds, each measured `rows` times: noisy descriptors on sheet 1, and where on it the compound lies."""
    rng = np.random.default_rng(0)
    places = rng.uniform(-1, 1, (n, 2))
    X = sheet(places, 1) + 0.3 * rng.normal(size=(n, WIDTH))
    at = pd.Index(range(n * rows), name="measurement_id")
    table = pd.DataFrame(np.repeat(X, rows, axis=0), at, [f"f{i}" for i in range(WIDTH)])
    names = pd.Series(np.repeat([f"Own{i}" for i in range(n)], rows), at)
    target = pd.Series(np.repeat(places[:, 0], rows), at, name="gap")
    return Own(table, names, names, pd.DataFrame(index=at), target.to_frame())


def source(which_sheet, m=800):
    rng = np.random.default_rng(9)
    X = sheet(rng.uniform(-1, 1, (m, 2)), which_sheet) + 0.3 * rng.normal(size=(m, WIDTH))
    return pd.DataFrame(X, columns=[f"f{i}" for i in range(WIDTH)]), pd.Series([f"Foreign{i}" for i in range(m)])


def measured(own, of_source, encoder=FACTORS, heads=ONE_ALPHA, sizes=(8,), seeds=2, **options):
    records = transfer(own, *of_source, encoder, heads, view="magpie", sizes=sizes, seeds=seeds, threads=1, **options)
    return pd.DataFrame(records).set_index(["representation", "metric", "x"]).sort_index()


def test_an_encoder_of_a_source_on_the_same_sheet_helps_where_labels_are_few(one_thread):
    less = measured(study(), source(1), NETWORK, HEADS, sizes=[12], seeds=6).loc["encoder source"]
    assert less.loc[("mae_less_descriptors", 12), "high"] < 0
    assert less.loc[("mae_less_encoder_own", 12), "value"] < -0.02


def test_an_encoder_of_a_source_on_another_sheet_does_not(one_thread):
    less = measured(study(), source(2), NETWORK, HEADS, sizes=[12], seeds=6).loc["encoder source"]
    assert less.loc[("mae_less_descriptors", 12), "low"] > 0
    assert less.loc[("mae_less_encoder_own", 12), "low"] > 0


def test_the_numbers_are_those_of_scikit_learn_on_the_drawn_rows():
    own, of_source = study(), source(1)
    found = measured(own, of_source, seeds=1)
    (case,) = draw_cases(own, [8])
    X, y = own.descriptors.to_numpy(), own.targets["gap"].to_numpy()
    spec = {"algorithm": "pca", "n_components": 2}
    codes = {
        "descriptors": X,
        "pca own": encoder_of(spec).fit(X[case.training]).transform(X),
        "pca source": encoder_of(spec).fit(of_source[0]).transform(X),
        "encoder own": encoder_of(FACTORS).fit(X[case.training]).transform(X),
        "encoder source": encoder_of(FACTORS).fit(of_source[0]).transform(X),
    }
    codes["grey-box"] = np.hstack([X, codes["encoder source"]])
    assert set(codes) == set(INPUTS)
    for name, z in codes.items():
        z = (z - z[case.training].mean(axis=0)) / z[case.training].std(axis=0)
        for size, rows in case.labelled.items():
            model = Ridge(alpha=1.0).fit(z[rows], y[rows])
            error = np.abs(model.predict(z[case.test]) - y[case.test]).mean()
            assert found.loc[(name, "mae", size), "value"] == pytest.approx(error)
            r2 = model.score(z[case.test], y[case.test])
            assert found.loc[(name, "r2", size), "value"] == pytest.approx(r2)
    value = found["value"]
    difference = value["encoder source", "mae", 8] - value["pca source", "mae", 8]
    assert value["encoder source", "mae_less_pca_source", 8] == pytest.approx(difference)


def test_a_compound_is_labelled_or_tested_with_all_of_its_rows_and_sizes_are_nested():
    own = study(n=50, rows=3)
    (case,) = draw_cases(own, [5, 10, 500])
    groups = own.groups.to_numpy()
    assert list(case.labelled) == [5, 10, 40]  # 40 are all; 500 is more than all
    for size, rows in case.labelled.items():
        assert len(set(groups[rows])) == size
        assert len(rows) == 3 * size
    assert set(case.labelled[5]) < set(case.labelled[10]) < set(case.labelled[40]) == set(case.training)
    assert len(case.test) == 30
    assert not set(groups[case.test]) & set(groups[case.training])
    assert groups[case.firsts].tolist() == sorted(set(groups[case.training]))
    assert set(draw_cases(own, [5], number=1)[0].test) != set(case.test)
    assert set(draw_cases(own, [5])[0].labelled[5]) == set(case.labelled[5])  # whatever the other sizes are


def test_compositions_of_the_study_are_no_part_of_the_source():
    own, (table, formulas) = study(), source(1)
    before = measured(own, (table, formulas))
    poison = pd.DataFrame(1e6, index=[900, 901], columns=table.columns)
    shared = pd.Series(["Own3", "Own59"], index=poison.index)
    after = measured(own, (pd.concat([poison, table]), pd.concat([shared, formulas])))
    for metric, count in (("source_compositions", 800), ("shared_compositions", 2)):
        assert after.loc[("encoder source", metric)]["value"].tolist() == [count]
    kept = before.drop(index="shared_compositions", level="metric")
    pd.testing.assert_frame_equal(kept, after.drop(index="shared_compositions", level="metric"))


def test_a_composition_of_the_source_counts_once():
    own, (table, formulas) = study(), source(1, m=30)
    formulas[:] = np.repeat([f"Foreign{i}" for i in range(10)], 3)
    assert source_rows(table, formulas, own).index.tolist() == list(range(0, 30, 3))


def test_a_source_without_a_composition_of_its_own_or_with_other_columns_is_refused():
    own, (table, formulas) = study(), source(1, m=60)
    with pytest.raises(DataError, match="no composition left.*0 of 60"):
        measured(own, (table, pd.Series([f"Own{i}" for i in range(60)])))
    with pytest.raises(DataError, match="other columns"):
        measured(own, (table.iloc[:, ::-1], formulas))
    with pytest.raises(DataError, match="other entities"):
        replace(own, groups=own.groups.iloc[1:])


def test_targets_of_tested_rows_change_nothing_but_the_scores():
    own = study()
    (case,) = draw_cases(own, [8])

    def raised_by(height):
        targets = own.targets.copy()
        targets.iloc[case.test, 0] += height
        return measured(replace(own, targets=targets), source(1), seeds=1)["value"]

    low, high = raised_by(1000), raised_by(3000)  # far above all predictions
    for name in INPUTS:
        assert (high[name, "mae"] - low[name, "mae"]).to_numpy() == pytest.approx(2000, abs=1e-6)


def test_columns_are_part_of_every_input():
    own = study()
    columns = pd.DataFrame({"temperature": own.targets["gap"] * 100 + 300})
    found = measured(replace(own, columns=columns), source(1))["value"]
    for name in INPUTS:
        assert found[name, "mae", 48] < 0.06  # the planted column gives the target away


def test_compounds_without_a_target_are_neither_labelled_nor_tested_but_train_the_own_encoder():
    own = study()
    targets = own.targets.copy()
    targets.iloc[:20] = np.nan
    (case,) = draw_cases(replace(own, targets=targets), [8])
    assert list(case.labelled) == [8, 32]
    assert min(case.test) >= 20
    assert min(case.labelled[32]) >= 20
    assert set(range(20)) < set(case.training)


def test_results_do_not_depend_on_threads():
    own = study()
    two = own.targets.assign(other=-own.targets["gap"])
    records = [
        transfer(
            replace(own, targets=two), *source(1), FACTORS, HEADS, view="magpie", sizes=[8], seeds=3, threads=threads
        )
        for threads in (1, 2)
    ]
    assert records[0] == records[1]
