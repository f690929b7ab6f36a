"""What the page says of claims and of each study: verdicts, spaces, sweeps, figures, tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from matlas.cluster.verdict import verdict
from matlas.errors import DataError
from matlas.report import svg
from matlas.report.formats import MISSING, number, share, words

if TYPE_CHECKING:
    from matlas.store import Store

# verdict -> tone of its badge, and a sign that tells it apart without colour
TONES = {
    "reproduced": ("good", "✓"),
    "contradicted": ("bad", "✗"),
    "not evaluated": ("open", "○"),
    "agrees on simulated data": ("sample", "="),
    "differs on simulated data": ("sample", "≠"),
}
_SPACE = ["view", "representation", "clustering"]


@dataclass(frozen=True)
class Claim:
    """A published statement beside what was measured, all numbers as text."""

    id: str
    variant: str
    study: str
    says: str
    cites: str
    expected: str
    tolerance: str
    measured: str
    difference: str
    verdict: str
    detail: str

    @property
    def anchor(self) -> str:
        """The id of its row in the page."""
        return "-".join(filter(None, ["claim", self.id, self.variant]))


@dataclass(frozen=True)
class Space:
    """A representation of a view: width of the view, components, share of variance kept, reconstruction error."""

    view: str
    representation: str
    columns: str
    components: str
    variance: str
    error: str


@dataclass(frozen=True)
class Sweep:
    """A clustering of a space: the swept K, the best K and how it spreads over seeds, agreement of reruns at the best
    K, and the verdict in words (None with fewer than three K)."""

    view: str
    representation: str
    clustering: str
    swept: str
    best_k: str
    silhouette: str
    over_seeds: str
    seed_ari: str
    bootstrap_ari: str
    verdict: str | None


@dataclass(frozen=True)
class Figure:
    name: str
    caption: str
    image: Markup


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


@dataclass(frozen=True)
class Section:
    """A study as its section shows it. A study that was left out has `skipped`, its source, and nothing measured."""

    name: str
    title: str
    description: str
    cites: str
    dataset: str
    views: list[str]
    methods: list[str]
    skipped: str | None
    simulated: bool
    verdicts: Counter
    spaces: Sequence[Space] = ()
    sweeps: Sequence[Sweep] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()

    @property
    def tally(self) -> str:
        """How many claims have which verdict, in words."""
        counts = [(n, verdict) for verdict in TONES if (n := self.verdicts[verdict])]
        return ", ".join(
            f"{n} {verdict if n == 1 else verdict.replace('agrees', 'agree').replace('differs', 'differ')}"
            for n, verdict in counts
        )

    @property
    def caveat(self) -> str:
        """The last sentence of all verdicts where they share it, to be said once."""
        ends = {sweep.verdict.rpartition(". ")[2] for sweep in self.sweeps if sweep.verdict}
        return ends.pop() if len(ends) == 1 else ""


def name_of(item: str | Mapping) -> str:
    """The name of a dataset or view that a study refers to or defines itself."""
    return item if isinstance(item, str) else item["name"]


def claims(store: Store, studies: Mapping[str, Mapping]) -> list[Claim]:
    """Every claim once, in the order of the studies and of their files."""
    found = store.sql(
        "SELECT c.*, d.quantity, d.difference, d.detail FROM claims c JOIN claim_details d USING (id, variant)"
    )
    order = [(study, c["id"], c["variant"]) for study, spec in studies.items() for c in spec["claims"]]
    rank = {key: position for position, key in enumerate(order)}
    rows = sorted(records(found), key=lambda r: rank.get((r["study"], r["id"], r["variant"]), len(rank)))
    return [_claim(row) for row in rows if row["study"] in studies]


def sections(
    store: Store,
    root: Path,
    studies: Mapping[str, Mapping],
    skipped: Mapping[str, str | None],
    simulated: Sequence[str],
    all_claims: Sequence[Claim],
) -> list[Section]:
    """A section a study. simulated : datasets that were generated.

    Raises DataError when metrics, a figure or a table of a study that was not left out are missing.
    """
    units = dict(store.sql("SELECT DISTINCT name, unit FROM registry.columns ORDER BY ALL").itertuples(index=False))
    made = []
    for name, spec in studies.items():
        dataset, views = name_of(spec["dataset"]), [name_of(view) for view in spec["views"]]
        measured = {} if skipped.get(name) else {
            "spaces": _spaces(store, name, views, spec["representations"]),
            "sweeps": _sweeps(store, name, dataset, views, spec["representations"], spec["clusterings"]),
            "figures": [_figure(f, name, root) for f in spec["figures"]],
            "tables": [_table(t, root / "figures" / name, units) for t in spec["tables"]],
        }  # fmt: skip
        made.append(Section(
            name, spec["title"], spec["description"], spec["cites"], dataset, views,
            [*spec["representations"], *spec["clusterings"]], skipped.get(name), dataset in simulated,
            Counter(claim.verdict for claim in all_claims if claim.study == name), **measured,
        ))  # fmt: skip
    return made


def records(frame: pd.DataFrame) -> list[dict]:
    """Rows as mappings, with None for what is missing."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _claim(row: Mapping) -> Claim:
    exact = row["quantity"] == "true or false"

    def shown(value: float | None) -> str:
        if exact and value is not None:
            return "true" if value else "false"
        return number(value)

    return Claim(
        **{name: row[name] for name in ("id", "variant", "study", "says", "cites", "verdict", "detail")},
        expected=shown(row["expected"]), measured=shown(row["measured"]),
        tolerance=MISSING if exact else number(row["tolerance"]),
        difference=MISSING if exact else number(row["difference"], signed=True),
    )  # fmt: skip


def _spaces(store: Store, study: str, views: Sequence[str], representations: Sequence[str]) -> list[Space]:
    found = store.sql(f"""
        SELECT view, representation,
               max(value) FILTER (metric = 'n_features') AS columns,
               count(*) FILTER (starts_with(metric, 'explained_variance_ratio_')) AS components,
               max(value) FILTER (metric = 'explained_variance_ratio') AS variance,
               max(value) FILTER (metric = 'reconstruction_error') AS error
        FROM metrics WHERE study = '{study}' AND method = representation AND split = 'all' GROUP BY ALL""")
    rows = {(row["view"], row["representation"]): row for row in records(found)}
    made = []
    for view, representation in ((v, r) for v in views for r in representations):
        row = _present(rows, (view, representation), study)
        texts = [number(row["columns"]), number(row["components"]), share(row["variance"]), number(row["error"])]
        made.append(Space(view, representation, *texts))
    return made


def _sweeps(store: Store, study: str, dataset: str, views, representations, clusterings) -> list[Sweep]:
    by_k = store.sql(f"""
        SELECT view, representation, clustering, k,
               max(value) FILTER (metric = 'silhouette' AND split = 'all') AS silhouette,
               median(value) FILTER (metric = 'ari_to_reference' AND split = 'seed') AS seed_ari,
               median(value) FILTER (metric = 'ari_to_reference' AND split = 'bootstrap') AS bootstrap_ari
        FROM clustering_sweep WHERE dataset = '{dataset}' AND k IS NOT NULL GROUP BY ALL ORDER BY k""")
    best = store.sql(f"""
        SELECT view, representation, method AS clustering,
               max(value) FILTER (split = 'all')::BIGINT AS best_k, count(*) FILTER (split = 'seed') AS seeds,
               min(value) FILTER (split = 'seed')::BIGINT AS low, median(value) FILTER (split = 'seed') AS mid,
               max(value) FILTER (split = 'seed')::BIGINT AS high
        FROM (SELECT DISTINCT * EXCLUDE (study) FROM metrics WHERE dataset = '{dataset}' AND metric = 'best_k')
        GROUP BY ALL""")
    chosen = {tuple(row[name] for name in _SPACE): row for row in records(best)}
    swept = dict(iter(by_k.groupby(_SPACE)))
    wanted = [(v, r, c) for v in views for r in representations for c in clusterings]
    return [_sweep(space, _present(swept, space, study), _present(chosen, space, study)) for space in wanted]


def _present(found: Mapping, space: tuple[str, ...], study: str):
    if space not in found:
        raise DataError(
            "metrics of a study are missing", where=f"study {study}, {' / '.join(space)}",
            do="run the workflow (snakemake --cores all)",
        )  # fmt: skip
    return found[space]


def _sweep(space: tuple[str, str, str], by_k: pd.DataFrame, best: Mapping) -> Sweep:
    at_best = records(by_k[by_k["k"] == best["best_k"]])[0]
    k, silhouette = by_k["k"].astype(int).tolist(), by_k["silhouette"].astype(float)
    judged = verdict(k, silhouette).words if silhouette.notna().sum() >= 3 else None
    over_seeds = MISSING
    if best["seeds"] > 1:
        low, middle, high = (number(best[name]) for name in ("low", "mid", "high"))
        over_seeds = f"{low if low == high else f'{low} to {high}, median {middle}'} ({best['seeds']} seeds)"
    return Sweep(
        *space, f"{k[0]} to {k[-1]}", number(best["best_k"]), number(at_best["silhouette"]), over_seeds,
        number(at_best["seed_ari"]), number(at_best["bootstrap_ari"]), judged,
    )  # fmt: skip


def _figure(spec: Mapping, study: str, root: Path) -> Figure:
    caption = spec["caption"] or f"{words(spec['name']).capitalize()}."
    path = root / "figures" / study / f"{spec['name']}.svg"
    return Figure(spec["name"], caption, svg.inline(path, f"figure-{study}-{spec['name']}", caption))


def _table(spec: Mapping, folder: Path, units: Mapping[str, str]) -> Table:
    path = folder / f"{spec['name']}.csv"
    if not path.is_file():
        raise DataError("table of a study is missing", where=path, do="run the workflow (snakemake --cores all)")
    # the page itself says that data are generated; the column is there for the file once it travels alone
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""]).drop(columns="sample_data", errors="ignore")
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
        values, unit = records(frame[[column]]), _unit(column, units)
        is_number = pd.api.types.is_numeric_dtype(frame[column]) and frame[column].dtype != bool
        texts = [number(v[column]) if is_number else MISSING if v[column] is None else str(v[column]) for v in values]
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
