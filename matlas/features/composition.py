"""Composition features: atomic fractions, and statistics of element properties weighted by amount.

The columns, values and NaN positions are those of matminer's `ElementFraction` and `ElementProperty` (0.10.1), computed
for all compositions at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from matlas.composition import SYMBOLS, Compositions, n_elements, parse_formulas
from matlas.errors import ConfigError, DataError
from matlas.features.elements import PRESETS, SOURCES, ElementTable, nearest, snake_case
from schemas.table import Field

if TYPE_CHECKING:
    import pandas as pd

# matminer's PropertyStats, in words; the weights are the amounts.
STATISTICS = {
    "minimum": "smallest value among the elements",
    "maximum": "largest value among the elements",
    "range": "largest minus smallest value among the elements",
    "mean": "weighted mean",
    "avg_dev": "weighted mean absolute deviation from the weighted mean",
    "std_dev": "weighted standard deviation, unbiased for reliability weights (0 for one element)",
    "mode": "value of the most abundant element, the smallest of several",
}
_NEVER_NEGATIVE = ("range", "avg_dev", "std_dev")
_FRACTION_TOLERANCE = 1e-8  # pymatgen drops smaller amounts, and matminer asks it for fractions as amounts
_BLOCK = 2048  # compositions worked on at a time: their (p, block) arrays stay in the processor's cache


def feature_fields(spec: Mapping, table: ElementTable | None = None) -> tuple[Field, ...]:
    """The columns that `featurize` returns, in order.

    spec : {"features": "element_fractions"} or {"features": "element_statistics", "table": name of `table`,
    "statistics": names out of STATISTICS, by default those of matminer's preset}.
    Names are matminer's feature labels in snake case (`magpie_data_minimum_number`). matminer labels a fraction by its
    bare symbol; as `as`, `in` and `no` are words of SQL, the column is `fraction_as`, and the label stays `As`.
    Raises ConfigError for an unknown feature set or statistic, or a table other than the one the spec names.
    """
    if not _statistics(spec, table):
        return tuple(
            Field(f"fraction_{s.lower()}", "float64", "1", f"atomic fraction of {s}", minimum=0.0, maximum=1.0, label=s)
            for s in SYMBOLS[1:]
        )
    fields = []
    for column, prop in enumerate(table.properties):
        missing = bool(np.isnan(table.values[1:, column]).any())
        for statistic in _statistics(spec, table):
            label = f"{SOURCES[table.name]} {statistic} {prop.label}"
            fields.append(
                Field(
                    snake_case(label),
                    "float64",
                    prop.unit,
                    f"{prop.description}: {STATISTICS[statistic]}",
                    citation=prop.citation,
                    minimum=0.0 if statistic in _NEVER_NEGATIVE else None,
                    nullable=missing,
                    label=label,
                )
            )
    return tuple(fields)


def featurize(c: Compositions, spec: Mapping, table: ElementTable | None = None) -> np.ndarray:
    """(n, q) float64 features in the order of `feature_fields`; each column is contiguous in memory.

    A statistic is NaN where a value that it needs is missing from the table, as in matminer: `mode` needs only the
    most abundant elements, and `std_dev` of a single element is 0 in any case. Raises as `feature_fields` does.
    """
    statistics = _statistics(spec, table)
    return _element_statistics(c, table.values, statistics) if statistics else _element_fractions(c)


def feature_batches(
    formulas: Sequence[str], spec: Mapping, table: ElementTable | None = None, batch: int = 50_000
) -> Iterator[pd.DataFrame]:
    """Frames of at most `batch` rows: `composition` (the formula as written), then the features.

    No formulas give no frames. Raises DataError at the first batch with a formula that can't be parsed (a clean
    dataset has none).
    """
    import pandas as pd

    columns = [f.name for f in feature_fields(spec, table)]
    for start in range(0, len(formulas), batch):
        compositions, refused = parse_formulas(formulas[start : start + batch])
        if refused:
            position, reason = next(iter(refused.items()))
            raise DataError(
                f"{len(refused)} formulas can't be parsed",
                where=f"formula {start + position}",
                found=reason,
                do="refuse them when the dataset is cleaned (matlas.composition.parse_formulas says which)",
            )
        frame = pd.DataFrame(featurize(compositions, spec, table), columns=columns, copy=False)
        frame.insert(0, "composition", compositions.formulas)
        yield frame


def _statistics(spec: Mapping, table: ElementTable | None) -> tuple[str, ...]:
    """The statistics a spec asks for; none for element fractions. Raises ConfigError."""
    kinds = ("element_fractions", "element_statistics")
    features = spec.get("features")
    if features not in kinds:
        raise ConfigError("unknown composition features", found=repr(features), expected=nearest(features, kinds))
    if features == "element_fractions":
        return ()
    wanted = spec.get("table")
    if table is None or table.name != wanted:
        found = "no table" if table is None else repr(table.name)
        raise ConfigError("wrong element table for these features", expected=repr(wanted), found=found)
    statistics = tuple(spec.get("statistics") or PRESETS[table.name])
    for statistic in statistics:
        if statistic not in STATISTICS:
            raise ConfigError("unknown statistic", found=repr(statistic), expected=nearest(statistic, STATISTICS))
    return statistics


def _element_fractions(c: Compositions) -> np.ndarray:
    out = np.zeros((len(SYMBOLS) - 1, len(c)))
    fractions = c.fractions()
    fractions[fractions < _FRACTION_TOLERANCE] = 0.0
    out[c.z - 1, np.repeat(np.arange(len(c)), n_elements(c))] = fractions
    return out.T


def _element_statistics(c: Compositions, values: np.ndarray, statistics: tuple[str, ...]) -> np.ndarray:
    """Sort by number of elements, so that a block is a (nearly) dense array, and loop over the j-th elements.

    That keeps every operation long and contiguous, where `np.add.reduceat` would start anew for each composition.
    """
    by_property = np.ascontiguousarray(values.T)
    count = n_elements(c)
    order = np.argsort(-count, kind="stable")
    out = np.empty((by_property.shape[0], len(statistics), len(c)))
    for start in range(0, len(c), _BLOCK):
        rows = order[start : start + _BLOCK]
        first, size = c.indptr[rows], count[rows]
        slots = []  # the j-th element of each composition that has one: values (p, m_j), amounts (m_j,), m_j falling
        for j in range(size[0]):
            entry = first[: np.count_nonzero(size > j)] + j
            slots.append((by_property[:, c.z[entry]], c.amount[entry]))
        results = _block_statistics(slots, size, statistics)
        for s, statistic in enumerate(statistics):
            out[:, s, rows] = results[statistic]
    return out.reshape(by_property.shape[0] * len(statistics), len(c)).T


def _block_statistics(slots: list, size: np.ndarray, statistics: tuple[str, ...]) -> dict[str, np.ndarray]:
    """{statistic: (p, m)} by the definitions of matminer.featurizers.utils.stats.PropertyStats."""
    shape = slots[0][0].shape
    results = {}

    def total(term) -> np.ndarray:
        """Sum of term(values, amounts, m) over the slots, added in the order of the elements as matminer does."""
        terms = (term(v, w, len(w)) for v, w in slots)
        result = next(terms)
        for part in terms:
            result[..., : part.shape[-1]] += part
        return result

    def extreme(of, start: float, keep=lambda v, w: v) -> np.ndarray:
        result = np.full(shape, start)
        for v, w in slots:
            of(result[:, : len(w)], keep(v, w), out=result[:, : len(w)])  # NaN stays
        return result

    if {"minimum", "range"} & set(statistics):
        results["minimum"] = extreme(np.minimum, np.inf)
    if {"maximum", "range"} & set(statistics):
        results["maximum"] = extreme(np.maximum, -np.inf)
    if "range" in statistics:
        results["range"] = results["maximum"] - results["minimum"]
    if {"mean", "avg_dev", "std_dev"} & set(statistics):
        weight = total(lambda v, w, m: w.copy())
        mean = results["mean"] = total(lambda v, w, m: v * w) / weight
    if "avg_dev" in statistics:
        results["avg_dev"] = total(lambda v, w, m: np.abs(v - mean[:, :m]) * w) / weight
    if "std_dev" in statistics:
        squares = total(lambda v, w, m: w**2)
        several = size > 1
        beta = np.divide(weight, weight**2 - squares, out=np.zeros_like(weight), where=several)
        results["std_dev"] = np.sqrt(beta * total(lambda v, w, m: (v - mean[:, :m]) ** 2 * w))
        results["std_dev"][:, ~several] = 0.0
    if "mode" in statistics:
        largest = np.zeros(shape[1])
        for _, w in slots:
            np.maximum(largest[: len(w)], w, out=largest[: len(w)])

        def if_most_abundant(v, w):
            close = np.isclose(w, largest[: len(w)])
            return np.where(close, v, np.inf)

        results["mode"] = extreme(np.minimum, np.inf, if_most_abundant)
    return results
