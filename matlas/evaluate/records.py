"""Records of what representations were put through, as one long table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from matlas.errors import DataError
from schemas.tables.learning import TESTS

_TEXT = ("view", "representation", "test", "case", "group", "metric")
_PLACE = ("study", "dataset")


def tests_frame(study: str, dataset: str, records: Iterable[Mapping]) -> pd.DataFrame:
    """Records as schema TESTS has them.

    A record maps columns of TESTS (but study and dataset) to values: test, metric and n always; text that it lacks
    becomes "", numbers become empty. Raises DataError for a record that lacks one of those or has an unknown entry.
    """
    records = [dict(record) for record in records]
    known = [name for name in TESTS.columns if name not in _PLACE]
    for record in records:
        unknown = sorted(set(record) - set(known))
        missing = [name for name in ("test", "metric", "n") if record.get(name) is None]
        if unknown or missing:
            raise DataError(
                "a test recorded too much or too little", where=f"{record.get('test')}: {record.get('metric')}",
                expected=f"entries among {known}", found=f"unknown {unknown}, missing {missing}",
            )  # fmt: skip
    frame = pd.DataFrame(records, columns=known)
    frame[list(_TEXT)] = frame[list(_TEXT)].astype(object).where(frame[list(_TEXT)].notna(), "")
    dtypes = {f.name: "Int64" if f.nullable else "int64" for f in TESTS.fields if f.dtype == "int64"}
    dtypes |= {f.name: "float64" for f in TESTS.fields if f.dtype == "float64"}
    return frame.astype(dtypes).assign(study=study, dataset=dataset)[TESTS.columns]
