"""The bench as a page of the report: paired ratios with their spread, limits of time and memory, what falls short."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import matlas.report
from matlas.files import write_text
from matlas.report.formats import MISSING, number
from matlas.report.tables import Part
from matlas.tables import read_table, table_info

_RATIOS = ("ratio", "ratio_of_fastest", "pandas_by_ours")
_HIDDEN = ("ours", "peer", "pandas")  # bare seconds and memory say more of the machine than of the code
_OF_RUN = ("bench", "finished", "took", "commit", "cores", "machine")


def write_page(results: Path) -> Path:
    """Render results/bench/*.parquet to results/report/bench.html, which it returns."""
    paths = sorted((results / "bench").glob("*.parquet"))
    rows = pd.concat([read_table(path) for path in paths], ignore_index=True)
    attributes = [table_info(path).attributes for path in paths]
    styles = Path(matlas.report.__file__).parent / "report.css"
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    ratios = rows[rows["metric"].isin(_RATIOS)]
    limits = rows[~rows["metric"].isin((*_RATIOS, *_HIDDEN))]
    versions = {name: value for name, value in attributes[0].items() if name not in _OF_RUN}
    output = results / "report" / "bench.html"
    write_text(
        output,
        environment.get_template("page.html").render(
            css=styles.read_text(encoding="utf-8"), parts=[_ratios(ratios), _limits(limits), _runs(attributes)],
            missed=rows[~rows["met"]]["title"].drop_duplicates().tolist(), versions=versions,
            report=(results / "report" / "index.html").is_file(),
        ),
    )  # fmt: skip
    return output


def _ratios(rows: pd.DataFrame) -> Part:
    body = []
    for _, here in rows.groupby("comparison", sort=False):
        by_metric = {row.metric: row for row in here.itertuples()}
        main = by_metric.get("ratio", here.iloc[0])
        fastest = by_metric.get("ratio_of_fastest")
        body.append([
            main.title, number(main.value), _spread(main), number(fastest.value) if fastest else MISSING, _target(main),
            _verdict(list(by_metric.values())),
        ])  # fmt: skip
    headers = ["Compared", "#Peer by ours", "#Smallest to largest", "#Fastest by fastest", "#Target", ""]
    return Part("How many times the peer takes what ours takes (time, or memory where it says so)", headers, body)


def _limits(rows: pd.DataFrame) -> Part:
    body = []
    for row in rows.itertuples():
        value = f"{number(row.value)}{_unit(row)}"
        body.append([row.title, row.metric.replace("_", " "), value, _spread(row), _target(row), _verdict([row])])
    return Part(
        "Limits of time, memory and growth", ["Measured", "What", "#Value", "#Smallest to largest", "#Target", ""], body
    )


def _runs(attributes: Sequence[dict[str, str]]) -> Part:
    body = [[about[name] for name in _OF_RUN] for about in attributes]
    return Part("When, and on which commit", [name.capitalize() for name in _OF_RUN], body)


def _spread(row) -> str:
    return f"{number(row.low)} to {number(row.high)} ({row.repeats})" if row.repeats > 1 else MISSING


def _target(row) -> str:
    held = [("≥", row.least), ("≤", row.most)]
    return ", ".join(f"{sign} {number(limit)}{_unit(row)}" for sign, limit in held if not pd.isna(limit)) or MISSING


def _verdict(rows: list) -> str:
    if all(pd.isna(row.least) and pd.isna(row.most) for row in rows):
        return ""
    return "met" if all(row.met for row in rows) else "falls short"


def _unit(row) -> str:
    return "" if row.unit == "1" else f" {row.unit}"
