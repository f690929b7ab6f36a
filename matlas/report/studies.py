"""What the page says of each study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from matlas.report import evaluation, learning, svg
from matlas.report.claims import TONES, Claim
from matlas.report.formats import words
from matlas.report.representation_tests import representation_tests
from matlas.report.restrictions import Restriction, grouped
from matlas.report.spaces import Map, Space, Sweep, maps, spaces, sweeps
from matlas.report.tables import Part, Table, table
from matlas.report.topics import Topic
from matlas.report.unmixing import unmixing_topics

if TYPE_CHECKING:
    from matlas.store import Store


@dataclass(frozen=True)
class Figure:
    name: str
    caption: str
    image: Markup


@dataclass(frozen=True)
class Section:
    """A study as its section shows it. A study that was left out has `skipped`, its source, and nothing measured.

    left_out : (views, source of their weights) that are not evaluated; generated : what was generated rather than
    measured, by name; sweeps, scores : one a clustering; learned, tested : how representations were learned, and what
    they are worth.
    """

    name: str
    title: str
    description: str
    cites: str
    dataset: str
    views: list[str]
    left_out: list[tuple[list[str], str | None]]
    methods: list[str]
    skipped: str | None
    generated: list[str]
    restrictions: list[Restriction]
    verdicts: Counter
    spaces: Sequence[Space] = ()
    maps: Sequence[Map] = ()
    sweeps: Sequence[Sweep] = ()
    classes: Sequence[str] = ()
    scores: Sequence[evaluation.Score] = ()
    effects: Part | None = None
    sensitivity: Part | None = None
    outliers: Part | None = None
    learned: Sequence[Topic] = ()
    tested: Sequence[Topic] = ()
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
    def judged(self) -> list[Sweep]:
        """The sweeps that have a verdict."""
        return [sweep for sweep in self.sweeps if sweep.verdict]

    @property
    def caveat(self) -> str:
        """The last sentence of all verdicts where they share it, to be said once."""
        ends = {sweep.verdict.rpartition(". ")[2] for sweep in self.judged}
        return ends.pop() if len(ends) == 1 else ""

    @property
    def finds_noise(self) -> bool:
        """Whether a clustering finds its own number of clusters, and leaves the rest as noise."""
        return any(sweep.noise for sweep in self.sweeps)


def name_of(item: str | Mapping) -> str:
    """The name of a dataset, view or method that a study refers to, or defines or restricts itself."""
    return item if isinstance(item, str) else item["name"]


def sections(
    store: Store,
    root: Path,
    studies: Mapping[str, Mapping],
    structures: Mapping[str, Mapping],
    skipped: Mapping[str, str | None],
    left_out: Mapping[str, str],
    restrictions: Mapping[str, Mapping[str, str]],
    generated: Mapping[str, Mapping[str, str]],
    all_claims: Sequence[Claim],
    methods: Mapping[str, Mapping],
) -> list[Section]:
    """A section a study. Arguments as in matlas.report.build.render; generated : as `provenance.generated` returns it.

    Raises DataError when metrics, scores, a figure or a table of a study that was not left out are missing.
    """
    units = dict(store.sql("SELECT DISTINCT name, unit FROM registry.columns ORDER BY ALL").itertuples(index=False))
    made = []
    for name, spec in studies.items():
        structure = structures[name]
        dataset, views = structure["dataset"], structure["views"]
        measured = {} if skipped[name] else _measured(store, root, name, spec, structure, units, methods)
        made.append(Section(
            name=name, title=spec["title"], description=spec["description"], cites=spec["cites"], dataset=dataset,
            views=views, left_out=_left_out(spec, views, left_out), methods=_methods(structure), skipped=skipped[name],
            generated=_generated(generated.get(dataset, {}), views), restrictions=grouped(restrictions[name]),
            verdicts=Counter(claim.verdict for claim in all_claims if claim.study == name), **measured,
        ))  # fmt: skip
    return made


def _measured(
    store: Store,
    root: Path,
    study: str,
    spec: Mapping,
    structure: Mapping,
    units: Mapping[str, str],
    methods: Mapping[str, Mapping],
) -> dict[str, Sequence]:
    evaluated, clustered = spec["evaluation"], bool(structure["clustered"])
    learned = [made(store, study, structure, methods) for made in (learning.splits, learning.networks)]
    read = [made(store, study, spec) for made in (learning.probes, learning.families)]
    found = {
        "spaces": spaces(store, study, structure),
        "maps": maps(store, study, structure),
        "sweeps": sweeps(store, study, structure),
        "sensitivity": evaluation.sensitivity(store, study, structure),
        "outliers": evaluation.outliers(store, study, structure),
        "learned": list(filter(None, learned)),
        "tested": [
            *unmixing_topics(store, study, spec, structure),
            *filter(None, read),
            *representation_tests(store, study, spec),
        ],  # fmt: skip
        "figures": [_figure(f, study, root) for f in spec["figures"]],
        "tables": [table(t, root / "figures" / study, units) for t in spec["tables"]],
    }
    if evaluated["label"] and clustered:
        found |= {
            "scores": evaluation.scores(store, study, structure),
            "classes": evaluation.classes(store, structure["dataset"], evaluated["label"]),
        }
    if evaluated["conditions"] and clustered:
        found["effects"] = evaluation.effects(store, study, structure, evaluated["conditions"])
    return found


def _left_out(spec: Mapping, views: Sequence[str], sources: Mapping[str, str]) -> list[tuple[list[str], str | None]]:
    """The study's views that are not evaluated, by the source of weights that they lack."""
    missing = [view for view in map(name_of, spec["views"]) if view not in views]
    by_source = dict.fromkeys(sources.get(view) for view in missing)
    return [([view for view in missing if sources.get(view) == source], source) for source in by_source]


def _methods(structure: Mapping) -> list[str]:
    names = [representation for _, representation in structure["spaces"]]
    names += [name for _, name in structure["maps"]] + [clustering for *_, clustering in structure["clustered"]]
    names += [unmixing for _, unmixing in structure.get("unmixed", ())]
    return list(dict.fromkeys(names))


def _generated(by_view: Mapping[str, str], views: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(by_view[view] for view in ["", *views] if view in by_view))


def _figure(spec: Mapping, study: str, root: Path) -> Figure:
    caption = spec["caption"] or f"{words(spec['name']).capitalize()}."
    path = root / "figures" / study / f"{spec['name']}.svg"
    return Figure(spec["name"], caption, svg.inline(path, f"figure-{study}-{spec['name']}", caption))
