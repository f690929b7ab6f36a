"""Where the numbers come from: data quality, data dictionary, cost, versions, lineage, sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from matlas.report.formats import number
from matlas.report.studies import name_of, records

if TYPE_CHECKING:
    from matlas.store import Store

SHOWN_ROWS = 5  # refused rows listed for each reason
SHOWN_REASONS = 20  # the most common ones; a reason may name the value, so there can be as many as rows


@dataclass(frozen=True)
class Reason:
    """Why rows were refused: how many, and the first of them as (row, value)."""

    reason: str
    column: str
    rows: int
    first: list[tuple[int, str | None]]


@dataclass(frozen=True)
class Quality:
    """What became of the rows of one source file. read = kept + refused; flags as (name, description, rows)."""

    dataset: str
    title: str
    simulated: bool
    kept: int
    refused: int
    distinct: list[tuple[str, int]]
    flags: list[tuple[str, str, int]]
    missing: list[tuple[str, str, float]]
    reasons: list[Reason]
    other_reasons: int

    @property
    def read(self) -> int:
        return self.kept + self.refused


@dataclass(frozen=True)
class Dictionary:
    """The columns of one table, with numbers as text."""

    table: str
    rows: int
    columns: list[dict]


@dataclass(frozen=True)
class Cost:
    """Jobs and their sums. rules, jobs : the same keys (rule, wildcards, jobs, startup_s, work_s, peak_rss_mb), costly
    ones first; busy_s : seconds in which at least one job ran, so pauses between two runs don't count."""

    rules: list[dict]
    jobs: list[dict]
    startup_s: float
    work_s: float
    busy_s: float

    @property
    def startup_share(self) -> float:
        total = self.startup_s + self.work_s
        return self.startup_s / total if total else 0.0


@dataclass(frozen=True)
class SourceEntry:
    """A source, or a file of the user's own, with what its licence and citation say. used_by : datasets."""

    name: str
    title: str
    licence: str
    citation: str
    notes: str
    files: list[tuple[str, int, str]]  # name, bytes, sha256
    used_by: list[str]
    left_out: bool
    simulated: bool


def simulated_datasets(store: Store) -> list[str]:
    """Datasets that were generated rather than measured."""
    found = store.sql("""
        SELECT DISTINCT t.dataset FROM registry.tables t JOIN registry.simulated s ON s.table_name = t.name
        WHERE t.layer = 'datasets' AND s.simulated ORDER BY ALL""")
    return found["dataset"].tolist()


def quality(store: Store, datasets: Mapping[str, Mapping], simulated: Sequence[str]) -> list[Quality]:
    """One entry a dataset of the catalog."""
    present = store.sql("SELECT dataset, name, rows FROM registry.tables WHERE layer = 'datasets' ORDER BY dataset")
    return [
        _quality(store, row["dataset"], row["name"], row["rows"], datasets[row["dataset"]], row["dataset"] in simulated)
        for row in records(present)
    ]


def dictionary(store: Store, inventory: Sequence[Mapping]) -> list[Dictionary]:
    """The columns of each of some tables (entries of `tables`)."""
    columns = store.sql("SELECT * FROM registry.columns")
    return [
        Dictionary(table["name"], table["rows"], records(columns[columns["table_name"] == table["name"]]))
        for table in inventory
    ]


def cost(jobs: Sequence[Mapping]) -> Cost:
    """Sums over jobs (matlas.jobs.read_costs): by rule and in all."""
    by_rule: dict[str, dict] = {}
    for job in jobs:
        rule = by_rule.setdefault(
            job["rule"], {"rule": job["rule"], "jobs": 0, "startup_s": 0.0, "work_s": 0.0, "peak_rss_mb": 0.0}
        )
        rule["jobs"] += 1
        rule["startup_s"] += job["startup_s"]
        rule["work_s"] += job["work_s"]
        rule["peak_rss_mb"] = max(rule["peak_rss_mb"], job["peak_rss_mb"])
    single = [{**job, "jobs": 1, "wildcards": " · ".join(map(str, job["wildcards"].values()))} for job in jobs]

    def costly_first(entries) -> list[dict]:
        return sorted(entries, key=lambda e: (-e["startup_s"] - e["work_s"], e["rule"], e.get("wildcards", "")))

    return Cost(
        costly_first(by_rule.values()), costly_first(single), sum(job["startup_s"] for job in jobs),
        sum(job["work_s"] for job in jobs), busy_seconds(jobs),
    )  # fmt: skip


def busy_seconds(jobs: Sequence[Mapping]) -> float:
    """Length of the union of the jobs' spans (finished, startup_s and work_s before it), in seconds."""
    ends = [datetime.fromisoformat(job["finished"]).timestamp() for job in jobs]
    spans = sorted((end - job["startup_s"] - job["work_s"], end) for end, job in zip(ends, jobs, strict=True))
    total, reached = 0.0, float("-inf")
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def tables(store: Store) -> list[dict]:
    """Every table with its hashes, time and inputs [(name, hash)], in the order of layers and names."""
    found = records(store.sql("SELECT * FROM registry.tables ORDER BY layer, name"))
    inputs: dict[str, list] = {}
    for row in records(store.sql("SELECT table_name, input, input_hash FROM registry.lineage ORDER BY ALL")):
        inputs.setdefault(row["table_name"], []).append((row["input"], row["input_hash"]))
    return [{**row, "inputs": inputs.get(row["name"], [])} for row in found]


def source_entries(
    sources: Mapping[str, Mapping],
    datasets: Mapping[str, Mapping],
    studies: Mapping[str, Mapping],
    skipped: Mapping[str, str | None],
    simulated: Sequence[str],
) -> list[SourceEntry]:
    """The sources of all studies, and the files of their own; then the registered sources that no study uses."""
    used = sorted({name_of(spec["dataset"]) for spec in studies.values()})
    entries = []
    for name, source in sources.items():
        users = [d for d in used if datasets[d]["source"] == name]
        files = [(file, about["bytes"], about["sha256"]) for file, about in source["files"].items()]
        entries.append(SourceEntry(
            name, source["title"], source["licence"], source["citation"], source["notes"], files, users,
            left_out=name in skipped.values(), simulated=any(d in simulated for d in users),
        ))  # fmt: skip
    for name in used:
        about = datasets[name]
        if about["path"]:
            entries.append(SourceEntry(
                about["path"], about["title"], about["licence"] or "not stated", about["citation"] or "not stated",
                "", [], [name], left_out=False, simulated=name in simulated,
            ))  # fmt: skip
    return sorted(entries, key=lambda entry: not entry.used_by)


def _quality(store: Store, dataset: str, table: str, kept: int, about: Mapping, simulated: bool) -> Quality:
    columns = records(store.sql(f"SELECT * FROM registry.columns WHERE table_name = '{table}'"))
    flags = [column for column in columns if column["dtype"] == "bool"]
    identities = [c["name"] for c in columns if c["name"] in ("composition", "reduced_formula")]
    counts = ", ".join(
        [f"count(*) FILTER ({flag['name']})" for flag in flags] + [f"count(DISTINCT {name})" for name in identities]
    )
    counted = [int(n) for n in store.sql(f"SELECT count(*), {counts} FROM {table}").iloc[0][1:]] if counts else []
    refused = store.sql(f'SELECT row, reason, "column", value FROM rejects.{dataset} ORDER BY row')
    reasons = [
        Reason(reason, column, len(rows), [(int(r["row"]), r["value"]) for r in records(rows.head(SHOWN_ROWS))])
        for (reason, column), rows in refused.groupby(["reason", "column"])
    ]
    return Quality(
        dataset, about["title"], simulated, int(kept), int(refused["row"].nunique()),
        list(zip(identities, counted[len(flags) :], strict=True)),
        [(flag["name"], flag["description"], n) for flag, n in zip(flags, counted, strict=False)],
        [(c["name"], c["description"], c["null_share"]) for c in columns if c["null_share"]],
        sorted(reasons, key=lambda r: (-r.rows, r.reason, r.column))[:SHOWN_REASONS],
        max(0, len(reasons) - SHOWN_REASONS),
    )  # fmt: skip


def range_of(column: Mapping) -> str:
    """Smallest to largest value of a column."""
    return "" if column["min"] is None else f"{number(column['min'])} to {number(column['max'])}"
