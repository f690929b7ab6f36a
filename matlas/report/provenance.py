"""Where the numbers come from: data quality, data dictionary, cost, versions, lineage, sources."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from matlas.report.formats import number
from matlas.report.studies import name_of

if TYPE_CHECKING:
    from matlas.store import Store

GATHERED = 10  # numbered columns from which on they share a line
SHOWN_ROWS = 5  # refused rows listed for each reason
SHOWN_REASONS = 20  # the most common ones; a reason may name the value, so there can be as many as rows
_UNITS = {"image": "file", "crystal": "crystal"}
_PROVIDERS = {"snapshot": "a pinned snapshot", "api": "the database itself", "file": "a file of the user's own"}
_IDENTITIES = ("composition", "reduced_formula", "label")  # columns whose different values are counted


@dataclass(frozen=True)
class Reason:
    """Why rows were refused: how many, and the first of them as (row, value)."""

    reason: str
    column: str
    rows: int
    first: list[tuple[int, str | None]]


@dataclass(frozen=True)
class Quality:
    """What became of the rows of one source file, or of the files of a folder (`unit_read`), which are the entities of
    the dataset (`unit`) but for crystals, of which several tables may hold one. used : rows or files that gave one;
    read = used + refused; flags as (name, description, entities); origin : which copy of which database it is, where
    that is stated; without : (view, entities, reasons as (reason, entities)) of views that lack some."""

    dataset: str
    title: str
    unit: str
    simulated: bool
    kept: int
    used: int
    refused: int
    distinct: list[tuple[str, int]]
    flags: list[tuple[str, str, int]]
    missing: list[tuple[str, str, float]]
    reasons: list[Reason]
    other_reasons: int
    origin: str
    without: list[tuple[str, int, list[tuple[str, int]]]]

    @property
    def unit_read(self) -> str:
        return "file" if self.unit == "file" else "row"

    @property
    def read(self) -> int:
        return self.used + self.refused


@dataclass(frozen=True)
class Dictionary:
    """The columns of one table, with numbers as text."""

    table: str
    rows: int
    columns: list[dict]


@dataclass(frozen=True)
class Cost:
    """Jobs and their sums. rules, jobs : the same keys (rule, wildcards, jobs, startup_s, work_s, peak_rss_mb), costly
    ones first, a job's notes too; busy_s : seconds in which at least one job ran, so pauses between two runs don't
    count."""

    rules: list[dict]
    jobs: list[dict]
    startup_s: float
    work_s: float
    busy_s: float

    @property
    def noted(self) -> bool:
        """Whether any job measured more of itself than its cost."""
        return any(job["notes"] for job in self.jobs)

    @property
    def startup_share(self) -> float:
        total = self.startup_s + self.work_s
        return self.startup_s / total if total else 0.0


@dataclass(frozen=True)
class SourceEntry:
    """A source, or a file of the user's own, with what its licence and citation say. used_by : datasets, or the views
    that it holds the weights of."""

    name: str
    title: str
    licence: str
    citation: str
    notes: str
    files: list[tuple[str, int, str]]  # name, bytes, sha256
    used_by: list[str]
    left_out: bool
    simulated: bool


@dataclass(frozen=True)
class Weights:
    """Where the weights behind a view of a dataset come from; genuine : the file is the one that the source names."""

    dataset: str
    view: str
    source: str
    genuine: bool


def simulated_datasets(store: Store) -> list[str]:
    """Datasets that were generated rather than measured."""
    found = store.sql("""
        SELECT DISTINCT t.dataset FROM registry.tables t JOIN registry.simulated s ON s.table_name = t.name
        WHERE t.layer = 'datasets' AND s.simulated ORDER BY ALL""")
    return found["dataset"].tolist()


def weights_of(store: Store, sources: Mapping[str, Mapping], datasets: Mapping[str, Mapping]) -> list[Weights]:
    """The weights behind each view that was computed by a network: files of a source beside that of the dataset."""
    known = {(name, file["sha256"][:16]) for name, source in sources.items() for file in source["files"].values()}
    rows = store.query("""
        SELECT DISTINCT t.dataset, t.view, split_part(l.input, '/', 2) AS source, l.input_hash
        FROM registry.tables t JOIN registry.lineage l ON l.table_name = t.name
        WHERE t.layer = 'features' AND regexp_full_match(l.input, 'sources/[^/]+/.+') ORDER BY ALL""").to_pylist()
    return [
        Weights(row["dataset"], row["view"], row["source"], (row["source"], row["input_hash"]) in known)
        for row in rows if row["source"] != datasets[row["dataset"]]["source"]
    ]  # fmt: skip


def generated(store: Store, simulated: Sequence[str], weights: Sequence[Weights]) -> dict[str, dict[str, str]]:
    """What was generated rather than measured, by name: {dataset: {view: name}}, with the view "" for the dataset
    itself. Weights count: what a network that has learned nothing says of measured data is no measurement."""
    found = {dataset: {"": dataset} for dataset in simulated}
    for used in weights:
        if not used.genuine:
            found.setdefault(used.dataset, {})[used.view] = used.source
    marked = store.query("""
        SELECT t.dataset, t.view FROM registry.tables t JOIN registry.simulated s ON s.table_name = t.name
        WHERE t.layer = 'features' AND s.simulated ORDER BY ALL""").to_pylist()
    for row in marked:
        if row["dataset"] not in simulated:
            found.setdefault(row["dataset"], {}).setdefault(row["view"], row["view"])
    return found


def quality(store: Store, datasets: Mapping[str, Mapping], simulated: Sequence[str]) -> list[Quality]:
    """One entry a dataset of the catalog."""
    present = store.query(
        "SELECT dataset, name, rows FROM registry.tables WHERE layer = 'datasets' ORDER BY dataset"
    ).to_pylist()
    return [
        _quality(store, row["dataset"], row["name"], row["rows"], datasets[row["dataset"]], row["dataset"] in simulated)
        for row in present
    ]


def dictionary(store: Store, inventory: Sequence[Mapping]) -> list[Dictionary]:
    """The columns of each of some tables (entries of `tables`)."""
    columns: dict[str, list] = {}
    for row in store.query("SELECT * FROM registry.columns ORDER BY rowid").to_pylist():
        columns.setdefault(row["table_name"], []).append(row)
    return [Dictionary(table["name"], table["rows"], gathered(columns[table["name"]])) for table in inventory]


def gathered(columns: Sequence[Mapping]) -> list[Mapping]:
    """Columns with long runs of numbered ones (z_0, z_1 …) as one line each: its range is that of all of them."""
    made = []
    for _, run in groupby(columns, lambda c: (re.sub(r"\d+$", "", c["name"]), c["unit"], c["dtype"], c["citation"])):
        run = list(run)
        if len(run) < GATHERED:
            made += run
            continue
        bounds = {"min": min(c["min"] for c in run), "max": max(c["max"] for c in run)}
        shares = {"null_share": max(c["null_share"] for c in run)}
        made.append({**run[0], "name": f"{run[0]['name']} … {run[-1]['name']}", **bounds, **shares})
    return made


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
    single = [
        {"notes": {}, **job, "jobs": 1, "wildcards": " · ".join(map(str, job["wildcards"].values()))} for job in jobs
    ]

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
    found = store.query("SELECT * FROM registry.tables ORDER BY layer, name").to_pylist()
    inputs: dict[str, list] = {}
    for row in store.query("SELECT table_name, input, input_hash FROM registry.lineage ORDER BY ALL").to_pylist():
        inputs.setdefault(row["table_name"], []).append((row["input"], row["input_hash"]))
    return [{**row, "inputs": inputs.get(row["name"], [])} for row in found]


def source_entries(
    sources: Mapping[str, Mapping],
    datasets: Mapping[str, Mapping],
    studies: Mapping[str, Mapping],
    skipped: Mapping[str, str | None],
    left_out: Mapping[str, str],
    simulated: Sequence[str],
    weights: Sequence[Weights],
) -> list[SourceEntry]:
    """The sources of all studies, and the files of their own; then the registered sources that no study uses.

    left_out : {view: source of its weights} that the settings leave out; simulated : datasets.
    """
    used = sorted({name_of(spec["dataset"]) for spec in studies.values()})
    views = sorted({name_of(view) for spec in studies.values() for view in spec["views"]})
    entries = []
    for name, source in sources.items():
        users = [d for d in used if datasets[d]["source"] == name]
        users += sorted({w.view for w in weights if w.source == name} | {v for v in views if left_out.get(v) == name})
        files = [(file, about["bytes"], about["sha256"]) for file, about in source["files"].items()]
        entries.append(SourceEntry(
            name, source["title"], source["licence"], source["citation"], source["notes"], files, users,
            left_out=name in skipped.values() or name in left_out.values(),
            simulated=any(d in simulated for d in users) or any(w.source == name and not w.genuine for w in weights),
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
    columns = store.query(f"SELECT * FROM registry.columns WHERE table_name = '{table}' ORDER BY rowid").to_pylist()
    flags = [column for column in columns if column["dtype"] == "bool"]
    identities = [c["name"] for c in columns if c["name"] in _IDENTITIES]
    counts = ", ".join(
        [f"count(*) FILTER ({flag['name']})" for flag in flags] + [f"count(DISTINCT {name})" for name in identities]
    )
    counted = [int(n) for n in store.sql(f"SELECT count(*), {counts} FROM {table}").iloc[0][1:]] if counts else []
    refused = store.query(f'SELECT row, reason, "column", value FROM rejects.{dataset} ORDER BY row').to_pylist()
    found: dict[tuple[str, str], list[tuple[int, str | None]]] = {}
    for row in refused:
        found.setdefault((row["reason"], row["column"]), []).append((row["row"], row["value"]))
    reasons = [Reason(*fault, len(rows), rows[:SHOWN_ROWS]) for fault, rows in found.items()]
    return Quality(
        dataset, about["title"], _UNITS.get(about["kind"], "row"), simulated, int(kept),
        _used(store, dataset, about, int(kept)),
        len({row["row"] for row in refused}), list(zip(identities, counted[len(flags) :], strict=True)),
        [(flag["name"], flag["description"], n) for flag, n in zip(flags, counted, strict=False)],
        [(c["name"], c["description"], c["null_share"]) for c in columns if c["null_share"]],
        sorted(reasons, key=lambda r: (-r.rows, r.reason, r.column))[:SHOWN_REASONS],
        max(0, len(reasons) - SHOWN_REASONS), _origin(store, table), _without(store, dataset),
    )  # fmt: skip


def _used(store: Store, dataset: str, about: Mapping, kept: int) -> int:
    """Rows that gave the entities of a dataset: those of crystals stand in one table or in several."""
    flags = " + ".join(f"count(*) FILTER (in_{name})" for name in about.get("tables") or {})
    return int(store.sql(f"SELECT {flags} AS n FROM datasets.{dataset}")["n"].iloc[0]) if flags else kept


def _origin(store: Store, table: str) -> str:
    """Which copy of which database a dataset is, in words; empty where its table says nothing of it."""
    found = store.query("SELECT * FROM registry.origins WHERE table_name = ?", [table]).to_pylist()
    if not found:
        return ""
    about = found[0]
    stated = [f"{name} {about[name]}" for name in ("release", "retrieved") if about[name]]
    parts = [_PROVIDERS.get(about["provider"], about["provider"]), *(stated or ["release not stated"])]
    return f"Origin: {', '.join(parts)}."


def _without(store: Store, dataset: str) -> list[tuple[str, int, list[tuple[str, int]]]]:
    """Of each view that can fail, how many entities it has no features for, and why."""
    views = store.query(
        "SELECT name, view, rows FROM registry.tables WHERE layer = 'failures' AND dataset = ? ORDER BY name", [dataset]
    ).to_pylist()
    found = []
    for row in views:
        reasons = store.query(f"SELECT reason, count(*) AS n FROM {row['name']} GROUP BY ALL ORDER BY n DESC, reason")
        listed = [(reason["reason"], reason["n"]) for reason in reasons.to_pylist()[:SHOWN_REASONS]]
        found.append((row["view"], row["rows"], listed))
    return found


def range_of(column: Mapping) -> str:
    """Smallest to largest value of a column."""
    return "" if column["min"] is None else f"{number(column['min'])} to {number(column['max'])}"
