"""Tables as text: those that studies write as CSV, a median and its quantiles in one cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from matlas.errors import DataError
from matlas.report.formats import MISSING, number, words

_SPACE = ["view", "representation", "clustering"]


@dataclass(frozen=True)
class Part:
    """Cells as text; the header of a column of numbers begins with #."""

    heading: str
    headers: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Table:
    """A table of a study, in parts: one a space where its rows belong to several."""

    name: str
    caption: str
    parts: list[Part]


def table(spec: Mapping, folder: Path, units: Mapping[str, str]) -> Table:
    """One of a study's tables. spec : schemas.config.studies.StudyTable as plain values; folder : where its CSV is;
    units : of columns, by name. Raises DataError when the CSV is missing."""
    path = folder / f"{spec['name']}.csv"
    if not path.is_file():
        raise DataError("table of a study is missing", where=path, do="run the workflow (snakemake --cores all)")
    # the page itself says that data are generated; the column is there for the file once it travels alone
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    frame = frame.drop(columns=["sample_data", "simulated"], errors="ignore")
    lead = [name for name in _SPACE if name in frame]
    groups = frame.groupby(lead, sort=False, dropna=False) if lead else [((), frame)]
    parts = [_part(" · ".join(map(str, space)), group.drop(columns=lead), units) for space, group in groups]
    return Table(spec["name"], spec["caption"] or f"{words(spec['name']).capitalize()}.", parts)


def _part(heading: str, frame: pd.DataFrame, units: Mapping[str, str]) -> Part:
    """Cells as text; a median and the quantiles beside it share a cell."""
    frame, spreads = frame.reset_index(drop=True), _spreads(frame.columns)
    within = {column for low, _, high in spreads.values() for column in (low, high)}
    headers, cells = [], []
    for column in frame.columns.drop(list(within)):
        unit = _unit(column, units)
        is_number = pd.api.types.is_numeric_dtype(frame[column]) and frame[column].dtype != bool
        texts = [number(v) if is_number else MISSING if pd.isna(v) else str(v) for v in frame[column]]
        header = words(column)
        if column in spreads:
            low, _, high = spreads[column]
            header += f", {low.rpartition('_')[2]} to {high.rpartition('_')[2]}"
            texts = [
                f"{text} ({number(a)}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{number(b)})"
                for text, a, b in zip(texts, frame[low], frame[high], strict=True)
            ]
        headers.append(("#" if is_number else "") + header + (f" ({unit})" if is_number and unit else ""))
        cells.append(texts)
    return Part(heading, headers, [list(row) for row in zip(*cells, strict=True)])


def _spreads(columns: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """{median: (low, median, high)} where quantiles stand beside a median: zt_q25, zt_median, zt_q75."""
    stems = [column.removesuffix("_median") for column in columns if column.endswith("_median")]
    ends = (("q25", "q75"), ("p5", "p95"))
    found = [(f"{stem}_{low}", f"{stem}_median", f"{stem}_{high}") for stem in stems for low, high in ends]
    return {triple[1]: triple for triple in found if set(triple) <= set(columns)}


def _unit(column: str, units: Mapping[str, str]) -> str:
    """The unit of a column or of a statistic of one: temperature_top_p5 has that of temperature."""
    known = [name for name in units if column == name or column.startswith(f"{name}_")]
    unit = units[max(known, key=len)] if known else ""
    return "" if unit == "1" or column.endswith("_share") else unit
