"""All configuration, resolved."""

from __future__ import annotations

from schemas.config.base import Model, Name
from schemas.config.datasets import Dataset
from schemas.config.methods import Autoencoder, Methods
from schemas.config.settings import Settings
from schemas.config.simulated import SampleSource
from schemas.config.sources import Source
from schemas.config.studies import Study, names_of, uses
from schemas.config.views import JoinedView, NetworkView, SelectedView, StageView, View


class Atlas(Model):
    """All configuration, resolved: names point at things that exist."""

    settings: Settings
    sources: dict[Name, Source]
    datasets: dict[Name, Dataset]
    views: dict[Name, View | StageView]
    methods: Methods
    studies: dict[Name, Study]
    skipped_sources: frozenset[str] = frozenset()

    def dataset_of(self, study: str) -> str:
        return names_of([self.studies[study].dataset])[0]

    def views_of(self, study: str) -> list[str]:
        """The views of a study, without those whose weights are left out."""
        return [v for v in names_of(self.studies[study].views) if self.left_out(v) is None]

    def spaces_of(self, study: str) -> list[tuple[str, str]]:
        """(view, representation) of everything that a study clusters."""
        return [
            (v, r.name) for v in self.views_of(study) for r in uses(self.studies[study].representations) if r.fits(v)
        ]

    def maps_of(self, study: str) -> list[tuple[str, str]]:
        """(view, map) of everything that a study only looks at."""
        return [(v, m.name) for v in self.views_of(study) for m in uses(self.studies[study].maps) if m.fits(v)]

    def clustered_in(self, study: str) -> list[tuple[str, str, str]]:
        """(view, representation, clustering) of each clustering of a study."""
        clusterings = uses(self.studies[study].clusterings)
        return [(v, r, c.name) for v, r in self.spaces_of(study) for c in clusterings if c.fits(v, r)]

    def unmixed_in(self, study: str) -> list[tuple[str, str]]:
        """(view, unmixing) of each unmixing of a study."""
        return [(v, u.name) for v in self.views_of(study) for u in uses(self.studies[study].unmixings) if u.fits(v)]

    def counted_in(self, study: str) -> list[tuple[str, str]]:
        """(view, count) of each count of endmembers: those that a study names, and those that its unmixings need."""
        named = uses(self.studies[study].endmember_counts)
        counted = [(v, c.name) for v in self.views_of(study) for c in named if c.fits(v)]
        counted += [(v, c) for v, u in self.unmixed_in(study) if (c := self.count_of(u))]
        return list(dict.fromkeys(counted))

    def count_of(self, unmixing: str) -> str | None:
        """The count that finds the number of endmembers of an unmixing, if one does."""
        number = getattr(self.methods.unmixings[unmixing], "endmembers", None)
        return number if isinstance(number, str) else None

    def inspected_in(self, study: str) -> list[tuple[str, str]]:
        """(view, inspection) of each search for outliers."""
        return [(v, i.name) for v in self.views_of(study) for i in uses(self.studies[study].inspections) if i.fits(v)]

    def sources_of(self, study: str) -> list[str]:
        """The sources that a study's entities, and those that its encoders learn from, come from."""
        transfer = self.studies[study].tests.transfer
        datasets = [self.dataset_of(study), *([transfer.source] if transfer else [])]
        return [s for d in datasets if (s := self.datasets[d].source)]

    def is_network(self, representation: str) -> bool:
        """Whether a network must be trained for a representation."""
        return isinstance(self.methods.representations.get(representation), Autoencoder)

    @staticmethod
    def parts_of(spaces: list[str]) -> list[tuple[str, str]]:
        """(view, representation) of each `view/representation`."""
        return [tuple(space.split("/")) for space in spaces]

    def raw_views(self, view: str) -> list[str]:
        """The stored views that hold everything `view` is chosen from or made of: of a selected view those that its
        columns are selected from, for work that must select again."""
        definition = self.views[view]
        if not isinstance(definition, SelectedView):
            return self.stored_views(view)
        return list(dict.fromkeys(s for part in definition.of for s in self.stored_views(part)))

    def stored_views(self, view: str) -> list[str]:
        """The stored views that `view` reads: itself, or those it joins."""
        definition = self.views[view]
        return list(definition.of) if isinstance(definition, JoinedView) else [view]

    def network_of(self, view: str) -> NetworkView | None:
        """The network view behind a view, if there is one."""
        definition = self.views[view]
        definition = self.views[definition.of] if isinstance(definition, StageView) else definition
        return definition if isinstance(definition, NetworkView) else None

    def left_out(self, view: str) -> str | None:
        """The source of weights that this view, or one that it joins, needs and the settings leave out, if any."""
        networks = [self.network_of(stored) for stored in self.stored_views(view)]
        return next((n.weights for n in networks if n and n.weights in self.skipped_sources), None)

    def simulation(self, source: str, file: str) -> SampleSource | None:
        """What writes a file of a source, where it doesn't come from outside: a generator in place of the source, as
        the settings say, or that of a source which is simulated."""
        return self.settings.sample_sources.get(source) or self.sources[source].simulated.get(file)

    def simulated_by_design(self, dataset: str) -> bool:
        """Whether the subject of a dataset is a simulation; in a demo all data are sample data instead."""
        source = self.datasets[dataset].source
        return bool(source and self.sources[source].simulated and source not in self.settings.sample_sources)

    def skipped(self, study: str) -> str | None:
        """The source that this study can't do without and the settings leave out, if any."""
        if missing := next((s for s in self.sources_of(study) if s in self.skipped_sources), None):
            return missing
        return self.left_out(names_of(self.studies[study].views)[0]) if not self.views_of(study) else None
