"""What judges a study's views and clusterings: classes, conditions of the measurement, altered copies, outliers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matlas.report.formats import MISSING, number, score, words
from matlas.report.spaces import present
from matlas.report.tables import Part

if TYPE_CHECKING:
    from matlas.store import Store

SCORES = {"ari": "ARI", "nmi": "NMI", "purity": "Purity"}

# Each clustering at as many clusters as there are classes; where it wasn't asked for that many, or there are no
# classes, at the number that it found or that the silhouette picks.
_CHOSEN = """
    WITH counted AS (SELECT view, representation, clustering, max(k) AS k FROM contingency WHERE study = '{study}'
                     GROUP BY ALL),
         best AS (SELECT view, representation, method AS clustering, max(value)::BIGINT AS k FROM metrics
                  WHERE study = '{study}' AND metric = 'best_k' AND split = 'all' GROUP BY ALL),
         chosen AS (SELECT view, representation, clustering, coalesce(counted.k, best.k) AS k
                    FROM best LEFT JOIN counted USING (view, representation, clustering))"""


@dataclass(frozen=True)
class Score:
    """Agreement of a clustering with the classes. measured : (over seeds, by chance) for each of SCORES."""

    view: str
    representation: str
    clustering: str
    k: str
    seeds: str
    measured: list[tuple[str, str]]


def scores(store: Store, study: str, structure: Mapping) -> list[Score]:
    """One a clustering of the study: median, smallest and largest over seeds. Raises DataError where one is missing."""
    found: dict[tuple, dict] = {}
    for row in store.query(f"""
            {_CHOSEN.format(study=study)}
            SELECT view, representation, clustering, k, metric, count(DISTINCT seed) AS seeds, median(value) AS middle,
                   min(value) AS low, max(value) AS high
            FROM scores JOIN chosen USING (view, representation, clustering, k)
            WHERE study = '{study}' GROUP BY ALL""").to_pylist():  # fmt: skip
        found.setdefault((row["view"], row["representation"], row["clustering"]), {})[row["metric"]] = row
    made = []
    for space in structure["clustered"]:
        by_metric = present(found, space, study)
        measured = [
            (spread(*(by_metric[metric][name] for name in ("middle", "low", "high"))),
             score(by_metric[f"{metric}_chance"]["middle"]))
            for metric in SCORES
        ]  # fmt: skip
        first = by_metric[next(iter(SCORES))]
        made.append(Score(*space, number(first["k"]), number(first["seeds"]), measured))
    return made


def classes(store: Store, dataset: str, label: str) -> list[str]:
    """The classes that clusterings are compared with. label : a column of the dataset."""
    found = store.sql(f"SELECT DISTINCT {label} FROM datasets.{dataset} WHERE {label} IS NOT NULL ORDER BY ALL")
    return found[label].tolist()


def effects(store: Store, study: str, structure: Mapping, conditions: Sequence[str]) -> Part:
    """How far each clustering splits on each condition: medians over seeds. Raises DataError where one is missing."""
    rows = store.query(f"""
        {_CHOSEN.format(study=study)}
        SELECT view, representation, clustering, condition, k, median(effect_of_cluster) AS of_cluster,
               median(effect_of_label) AS of_label, median(effect_within_label) AS within_label
        FROM conditions JOIN chosen USING (view, representation, clustering, k)
        WHERE study = '{study}' GROUP BY ALL""").to_pylist()
    found = {(r["view"], r["representation"], r["clustering"], r["condition"]): r for r in rows}
    cells = []
    for space in ((*clustering, condition) for clustering in structure["clustered"] for condition in conditions):
        row = present(found, space, study)
        measured = [score(row[name]) for name in ("of_cluster", "of_label", "within_label")]
        cells.append([*space[:3], number(row["k"]), words(space[3]), *measured])
    return Part("", [
        "View", "Representation", "Clustering", "#K", "Condition", "#Share explained by clusters",
        "#By classes", "#By clusters within classes",
    ], cells)  # fmt: skip


def sensitivity(store: Store, study: str, structure: Mapping) -> Part | None:
    """Median ratio of travel to spread: a row a view, a column an alteration. None where it wasn't measured."""
    table = f"sensitivity.{study}"
    if not len(store.query("SELECT name FROM registry.tables WHERE name = ?", [table])):
        return None
    copies = store.sql(f"SELECT view, alteration, ratio FROM {table}")
    ratios = copies.groupby(["view", "alteration"])["ratio"]
    medians, entities = ratios.median(), ratios.size().groupby("view").max()
    alterations = list(dict.fromkeys(copies["alteration"]))
    rows = [
        [view, number(int(entities[view])), *(number(medians.get((view, a))) for a in alterations)]
        for view in _in_order(copies["view"], structure["views"])
    ]
    return Part("", ["View", "#Entities", *(f"#{words(a)}" for a in alterations)], rows)


def outliers(store: Store, study: str, structure: Mapping) -> Part | None:
    """Recall of planted outliers at the end of each inspection. None where there was none."""
    rows = store.sql(f"""
        SELECT view, inspection, "order", max(inspected) AS inspected, count(DISTINCT seed) AS seeds,
               median(recall) AS middle, min(recall) AS low, max(recall) AS high
        FROM (SELECT *, max(inspected) OVER (PARTITION BY view, inspection, "order", seed) AS last FROM inspections
              WHERE study = '{study}')
        WHERE inspected = last GROUP BY ALL ORDER BY view, inspection, middle DESC, "order" """)
    cells = [
        [row.view, words(row.inspection), words(row.order), number(row.inspected), number(row.seeds),
         spread(row.middle, row.low, row.high)]
        for view in _in_order(rows["view"], structure["views"]) for row in rows[rows["view"] == view].itertuples()
    ]  # fmt: skip
    headers = ["View", "Inspection", "What was inspected first", "#Inspected", "#Plantings", "#Recall"]
    return Part("", headers, cells) if cells else None


def spread(middle: float | None, low: float | None, high: float | None) -> str:
    """A median of scores with the smallest and the largest, unless all are shown alike."""
    texts = [score(value) for value in (middle, low, high)]
    if len(set(texts)) == 1 or MISSING in texts:
        return texts[0]
    return f"{texts[0]} ({texts[1]}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{texts[2]})"


def _in_order(views, order: Sequence[str]) -> list[str]:
    """Distinct views in the order of the study; the parts of joined views, which it doesn't list, come last."""
    rank = {view: position for position, view in enumerate(order)}
    return sorted(set(views), key=lambda view: (rank.get(view, len(rank)), view))
