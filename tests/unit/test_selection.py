"""Choice of descriptors against SciPy's pivoted QR, planted duplicates and least squares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import qr

from matlas.errors import DataError
from matlas.probe.selection import DescriptorSelector


@pytest.fixture
def correlated():
    """400 rows of 12 columns mixed of 12 sources, none nearly equal to another."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 12)) @ rng.normal(size=(12, 12)) * rng.uniform(0.1, 1e6, 12)


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def test_chosen_columns_are_the_pivots_of_a_qr_decomposition_of_the_standardised_rows(correlated):
    selector = DescriptorSelector(7, max_correlation=1.0).fit(correlated)
    # unit columns tie for the first pivot; SciPy is made to take the first too
    unit = standardised(correlated)
    unit[:, 0] *= 1 + 1e-9
    assert selector.support_.tolist() == qr(unit, mode="r", pivoting=True)[1][:7].tolist()
    np.testing.assert_array_equal(selector.transform(correlated), correlated[:, selector.support_])


def test_variance_explained_is_that_of_least_squares_on_the_chosen_columns(correlated):
    selector = DescriptorSelector(7, max_correlation=1.0).fit(correlated)
    Z = standardised(correlated)
    for count in (1, 3, 7):
        basis = Z[:, selector.support_[:count]]
        left = Z - basis @ np.linalg.lstsq(basis, Z, rcond=None)[0]
        assert selector.explained_[count - 1] == pytest.approx(1 - (left**2).sum() / (Z**2).sum(), abs=1e-9)


def test_each_column_has_its_reason_and_a_dropped_one_takes_no_other_with_it():
    rng = np.random.default_rng(1)
    a = standardised(rng.normal(size=(5000, 3)))
    a = standardised(a @ np.linalg.inv(np.linalg.cholesky(np.cov(a.T, bias=True)).T))  # exactly uncorrelated
    close = a[:, 0] + 0.25 * a[:, 1]  # ρ = 0.970 with column 0
    closer = a[:, 0] + 0.5 * a[:, 1]  # 0.894 with column 0, but 0.977 with `close`, which goes
    frame = pd.DataFrame(
        {
            "first": a[:, 0],
            "same": 7.0,
            "rounding": 0.1 + 1e-15 * rng.integers(0, 3, 5000),
            "close": close,
            "closer": closer,
            "negative": -3 * a[:, 0] + 1,
            "third": a[:, 2],
            "second": a[:, 1],
        }
    )
    selector = DescriptorSelector(3, max_correlation=0.95).fit(frame)
    assert dict(zip(frame.columns, selector.reasons_, strict=True)) == {
        "first": "chosen",
        "same": "constant",
        "rounding": "constant",
        "close": "duplicate of first (ρ=0.970)",
        "closer": "not needed",
        "negative": "duplicate of first (ρ=-1.000)",
        "third": "chosen",
        "second": "chosen",
    }
    report = selector.report(frame.columns)
    assert report["feature"].tolist()[:3] == ["first", "third", "second"]  # equal lengths: the earlier column first
    assert report["rank"].tolist()[:3] == [1, 2, 3] and report["rank"].isna().sum() == 5
    assert report["rank"].dtype == "Int64"
    assert report["variance_explained"][2] == pytest.approx(1)
    assert report["variance_explained"][3:].isna().all()


def test_too_few_columns_are_refused_with_how_many_there_are(correlated):
    with pytest.raises(DataError, match="neither constant nor duplicates.*expected 13 or more, found 12"):
        DescriptorSelector(13, 0.9999).fit(np.c_[correlated, np.ones(400), 2 * correlated[:, 3]])
    with pytest.raises(DataError, match="linearly independent.*found 12"):
        DescriptorSelector(13, 0.999).fit(np.c_[correlated, standardised(correlated).sum(axis=1)])
    with pytest.raises(DataError, match="NaN"):
        DescriptorSelector(3).fit(np.where(correlated > 1e6, np.nan, correlated))
    with pytest.raises(DataError, match="expected 12, found 11"):
        DescriptorSelector(3).fit(correlated).transform(correlated[:, :11])
