"""A selected view: the columns that a QR decomposition of the training rows pivots to, and what became of the rest."""

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import qr

from matlas.errors import DataError
from matlas.features.selected import select
from matlas.tables import read_table, write_table
from schemas.tables.learning import SELECTION

SPEC = {"n_features": 4, "max_correlation": 0.95, "split": "by_system"}


@pytest.fixture
def features():
    """Six columns that share their variance, one that follows the first, one that is constant in training only."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    table = pd.DataFrame(values, columns=list("abcdef"), index=pd.Index([f"m{i}" for i in range(200)], name="id"))
    table.insert(1, "like_a", -3 * table["a"] + 0.01 * rng.normal(size=200))
    return table.assign(still=np.where(np.arange(200) < 150, 7.0, np.arange(200)))


@pytest.fixture
def parts(features):
    part = ["train"] * 150 + ["validation"] * 20 + ["test"] * 20
    return pd.DataFrame({"id": features.index[:190], "fold": "holdout", "part": part}).sample(frac=1, random_state=0)


def test_columns_are_the_pivots_of_the_training_rows_in_the_order_of_their_choice(features, parts):
    chosen, _ = select(features, parts, SPEC)
    train = features.iloc[:150][list("abcdef")]
    standardised = (train - train.mean()) / train.std()
    # all columns are equally long, so the first of them is the first pivot; the rest by what it leaves of them
    left = standardised - np.outer(standardised["a"], standardised["a"] @ standardised / 149)
    order = ["a", *left.columns[1:][qr(left.iloc[:, 1:], pivoting=True, mode="r")[1]]]
    assert list(chosen.columns) == order[:4]
    pd.testing.assert_frame_equal(chosen, features[order[:4]])


def test_every_column_has_a_rank_or_a_reason_and_the_explained_variance_is_that_of_least_squares(
    features, parts, tmp_path
):
    chosen, report = select(features, parts, SPEC)
    write_table(report, tmp_path / "selection.parquet", SELECTION)  # as the schema wants it
    report = read_table(tmp_path / "selection.parquet").set_index("feature")
    assert set(report.index) == set(features.columns)
    assert report["rank"].dropna().index.tolist() == list(chosen.columns)
    assert report["rank"].dropna().tolist() == [1, 2, 3, 4]
    assert report.loc["still", "reason"] == "constant"  # in the training rows, which alone count
    assert report.loc["like_a", "reason"].startswith("duplicate of a (ρ=-1.000")
    train = features.iloc[:150].drop(columns="still")
    train = (train - train.mean()) / train.std()
    for rank, name in enumerate(chosen.columns, 1):
        basis = train[list(chosen.columns[:rank])].to_numpy()
        rest = train.to_numpy() - basis @ np.linalg.lstsq(basis, train.to_numpy(), rcond=None)[0]
        assert report.loc[name, "explained"] == pytest.approx(1 - (rest**2).sum() / (train**2).to_numpy().sum())


def test_entities_that_the_split_names_but_no_view_describes_do_not_matter(features, parts):
    more = pd.concat([parts, pd.DataFrame({"id": ["gone"], "fold": "holdout", "part": "train"})])
    pd.testing.assert_frame_equal(select(features, more, SPEC)[0], select(features, parts, SPEC)[0])


def test_a_split_of_several_folds_and_too_few_columns_are_refused(features, parts):
    with pytest.raises(DataError, match="chosen on one fold.*found 2 folds"):
        select(features, pd.concat([parts, parts.assign(fold="other")]), SPEC)
    with pytest.raises(DataError, match="expected 7 or more, found 6"):
        select(features, parts, SPEC | {"n_features": 7})
