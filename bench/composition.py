"""Composition features: matlas beside matminer, in one process on one machine, from formulas to a table.

Both sides start from formulas as text. With MATLAS_MIRROR the formulas
are those of the ESTM table (5,205 rows, 880 distinct); otherwise synthetic ones of the same shape, and the rows say so.
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import pandas as pd
from matminer.featurizers.composition import ElementProperty
from pymatgen.core import Composition

from bench.measure import compare
from matlas.composition import SYMBOLS
from matlas.features.composition import feature_batches
from matlas.features.elements import load_element_table

SPEC = {"kind": "composition", "features": "element_statistics", "table": "magpie"}


def run(repeats: int = 5) -> list[dict]:
    """Rows of both comparisons, as `bench.measure.compare` gives it."""
    formulas, origin = _formulas()
    distinct = list(dict.fromkeys(formulas))
    table = load_element_table("magpie")
    preset = ElementProperty.from_preset("magpie")

    def ours_by_row():
        features = pd.concat(feature_batches(list(dict.fromkeys(formulas)), SPEC, table), ignore_index=True)
        return pd.DataFrame({"composition": formulas}).merge(features, on="composition", how="left", validate="m:1")

    def matminer_by_row():
        frame = pd.DataFrame({"composition": [Composition(f) for f in formulas]})
        return preset.featurize_dataframe(frame, "composition", pbar=False)

    def ours_distinct():
        return pd.concat(feature_batches(distinct, SPEC, table), ignore_index=True)

    def matminer_distinct():
        values = [preset.featurize(Composition(f)) for f in distinct]
        return pd.DataFrame(values, columns=preset.feature_labels())

    by_row = f"Magpie statistics, {len(formulas):,} rows ({origin}): beside matminer's featurize_dataframe, "
    by_row += f"{preset.n_jobs} jobs (its default)"
    one_process = f"Magpie statistics, {len(distinct):,} distinct ({origin}): beside matminer, one process"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            *compare("composition_by_row", by_row, ours_by_row, matminer_by_row, _agree, repeats=repeats),
            *compare("composition_distinct", one_process, ours_distinct, matminer_distinct, _agree, repeats=repeats),
        ]


def _agree(ours: pd.DataFrame, peer: pd.DataFrame) -> None:
    found, expected = ours.iloc[:, 1:].to_numpy(), peer.iloc[:, -132:].to_numpy(dtype=float)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def _formulas() -> tuple[list[str], str]:
    mirror = os.environ.get("MATLAS_MIRROR")
    if mirror:
        return pd.read_excel(os.path.join(mirror, "estm", "estm.xlsx"))["Formula"].tolist(), "ESTM"
    rng = np.random.default_rng(0)
    distinct = []
    for _ in range(880):
        elements = rng.choice(94, size=rng.integers(2, 7), replace=False) + 1
        distinct.append("".join(f"{SYMBOLS[z]}{rng.uniform(0.01, 4):.3g}" for z in elements))
    return [distinct[i % 880] for i in range(5205)], "synthetic formulas: MATLAS_MIRROR is not set"
