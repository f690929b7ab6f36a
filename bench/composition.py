"""Composition features: matlas beside matminer, in one process on one machine, from formulas to a table.

`python bench/composition.py` prints the rows that `run()` returns. Both sides start from formulas as text; each repeat
times matlas and matminer one after the other, and the ratio is taken within the repeat. With MATLAS_MIRROR the formulas
are those of the ESTM table (5,205 rows, 880 distinct); otherwise synthetic ones of the same shape, and the rows say so.
"""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from matminer.featurizers.composition import ElementProperty
from pymatgen.core import Composition

from matlas.composition import SYMBOLS
from matlas.features.composition import feature_batches
from matlas.features.elements import load_element_table

SPEC = {"kind": "composition", "features": "element_statistics", "table": "magpie"}


def run(repeats: int = 5) -> list[dict]:
    """One row a comparison: name, ours_s and peer_s (medians), ratio (median of the paired repeats), its lowest and
    highest value, repeats, target, and met (whether the median ratio reaches the target)."""
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

    by_row = f"magpie, {len(formulas):,} rows ({origin}): featurize_dataframe, {preset.n_jobs} jobs (its default)"
    one_process = f"magpie, {len(distinct):,} distinct ({origin}): one process"
    return [
        _compare(by_row, ours_by_row, matminer_by_row, 300, repeats),
        _compare(one_process, ours_distinct, matminer_distinct, 50, repeats),
    ]


def _compare(name: str, ours: Callable, peer: Callable, target: float, repeats: int) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, expected = ours().iloc[:, 1:], peer().iloc[:, -132:]  # a warm-up, and proof that both compute the same
        np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(dtype=float), rtol=1e-9, atol=1e-9)
        pairs = []
        for repeat in range(repeats):  # in turn, so that neither side always runs first
            took = {side: _seconds(side) for side in ((ours, peer) if repeat % 2 else (peer, ours))}
            pairs.append((took[ours], took[peer]))
    ratios = sorted(theirs / mine for mine, theirs in pairs)
    ratio = statistics.median(ratios)
    return {
        "name": name,
        "ours_s": statistics.median(mine for mine, _ in pairs),
        "peer_s": statistics.median(theirs for _, theirs in pairs),
        "ratio": ratio,
        "ratio_min": ratios[0],
        "ratio_max": ratios[-1],
        "repeats": repeats,
        "target": target,
        "met": ratio >= target,
    }


def _seconds(work: Callable) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


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


if __name__ == "__main__":
    for row in run():
        spread = f"{row['ratio_min']:.0f} to {row['ratio_max']:.0f} in {row['repeats']} pairs"
        verdict = "met" if row["met"] else "NOT met"
        print(row["name"])
        print(f"  matlas {row['ours_s'] * 1e3:.1f} ms, matminer {row['peer_s']:.2f} s")
        print(f"  ratio {row['ratio']:.0f} ({spread}), target {row['target']}: {verdict}")
