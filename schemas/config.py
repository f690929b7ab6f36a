"""Pydantic models of everything under config/: misspelt keys and wrong types are errors, never ignored."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StringConstraints,
    model_validator,
)

NAME = r"^[a-z][a-z0-9_]*$"
SHA256 = r"^[0-9a-f]{64}$"
CLAIM_ID = r"^[a-z0-9]+(-[a-z0-9]+)*$"
Name = Annotated[str, StringConstraints(pattern=NAME)]
Sha256 = Annotated[str, StringConstraints(pattern=SHA256)]


def _inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("a relative path without '..'")
    return path


RelativePath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_inside)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# --- config.yaml ----------------------------------------------------------------------------------------------------


class Pathvars(Model):
    """Where results, logs and benchmark files go; `<results>` and so on in the rules."""

    results: str = "results"
    logs: str = "logs"
    benchmarks: str = "results/benchmarks"


class Runtime(Model):
    """What every job is started with. BLAS threads are fixed here, not taken from the rule, since they change bits."""

    seed: int = 0
    blas_threads: int = Field(default=2, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class SampleSource(Model):
    """A source replaced by generated files of the same format."""

    generator: Literal["thermoelectrics"]
    rows: int = Field(default=1000, ge=20)
    seed: int = 0


class Settings(Model):
    """config/config.yaml, overlaid by --configfile and --config."""

    pathvars: Pathvars = Pathvars()
    mirror: str | None = None
    studies: list[Name] | None = None
    skip_sources: list[Name] = []
    sample_sources: dict[Name, SampleSource] = {}
    runtime: Runtime = Runtime()


# --- sources.yaml ---------------------------------------------------------------------------------------------------


class SourceFile(Model):
    """One raw file, pinned by hash. `mirror` is its path below the mirror, `urls` its origins, tried in order."""

    urls: list[str] = []
    mirror: RelativePath
    sha256: Sha256
    bytes: int = Field(gt=0)
    unpack: Literal["none", "zip", "tar"] = "none"
    max_unpacked_bytes: int = Field(default=1_000_000_000, gt=0)
    max_files: int = Field(default=100_000, gt=0)
    origin: str = ""


class Source(Model):
    """Raw files from outside."""

    title: str
    licence: str
    citation: str
    files: dict[str, SourceFile] = Field(min_length=1)
    notes: str = ""


# --- datasets.yaml --------------------------------------------------------------------------------------------------


class Column(Model):
    """A column of the dataset: where it comes from in the raw file, and what it means.

    `unit` and `description` may be left out when the data dictionary (schemas/fields.py) knows the name. `scale`
    and `offset` convert into `unit`: value = raw * scale + offset.
    """

    source: str
    unit: str | None = None
    description: str | None = None
    dtype: Literal["float64", "string"] | None = None
    scale: float = 1.0
    offset: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = False


class Derived(Model):
    """A column computed from the others by a DuckDB expression."""

    sql: str
    unit: str | None = None
    description: str | None = None


class Dataset(Model):
    """A cleaned table, one row an entity."""

    kind: Literal["composition"] = "composition"
    title: str
    source: Name | None = None
    path: str | None = None
    file: str | None = None
    sheet: str | None = None
    key: Name = "row_id"
    formula: str
    columns: dict[Name, str | Column] = {}
    derived: dict[Name, str | Derived] = {}
    flags: dict[Name, str | Derived] = {}
    repeats: list[Name] = []
    max_reject_share: float = Field(default=0.02, ge=0, le=1)
    licence: str = ""
    citation: str = ""

    @model_validator(mode="after")
    def _one_origin(self):
        if (self.source is None) == (self.path is None):
            raise ValueError("either `source` (an id of config/sources.yaml) or `path` (a file of yours)")
        return self


# --- views.yaml -----------------------------------------------------------------------------------------------------

Statistic = Literal["minimum", "maximum", "range", "mean", "avg_dev", "std_dev", "mode"]


class ElementFractionsView(Model):
    """One column an element: its atomic fraction."""

    kind: Literal["composition"]
    features: Literal["element_fractions"]
    description: str = ""


class ElementStatisticsView(Model):
    """Statistics of an element-property table over each composition."""

    kind: Literal["composition"]
    features: Literal["element_statistics"]
    table: Literal["magpie", "deml", "matscholar_el", "megnet_el"]
    statistics: list[Statistic] = Field(min_length=1)
    description: str = ""


class JoinedView(Model):
    """Features of other views beside columns of the dataset; joined on reading, never stored twice."""

    kind: Literal["joined"]
    of: list[Name] = Field(min_length=1)
    columns: list[Name] = []
    description: str = ""


CompositionView = Annotated[ElementFractionsView | ElementStatisticsView, Field(discriminator="features")]
View = Annotated[CompositionView | JoinedView, Field(discriminator="kind")]


# --- methods.yaml ---------------------------------------------------------------------------------------------------


class Pca(Model):
    """Principal components of a (standardised) view."""

    algorithm: Literal["pca"]
    n_components: int = Field(ge=1)
    standardise: bool = True
    random_state: int = 0


class Stability(Model):
    """How far labels depend on the seed and on the sample. Bootstrap samples are drawn by `group`, a dataset column,
    since rows of one group are not independent."""

    seeds: int = Field(default=0, ge=0)
    bootstraps: int = Field(default=0, ge=0)
    group: Name = "composition"


class KMeans(Model):
    """k-means++ over a range of K."""

    algorithm: Literal["kmeans"]
    k: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    n_init: int = Field(default=10, ge=1)
    random_state: int = 0
    stability: Stability = Stability()


class Gmm(Model):
    """Gaussian mixtures over a range of K. Random starts by default: scikit-learn's own default starts from k-means,
    which would make agreement with k-means true by construction."""

    algorithm: Literal["gmm"]
    k: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    n_init: int = Field(default=5, ge=1)
    covariance_type: Literal["full", "diag", "tied", "spherical"] = "full"
    init_params: Literal["random_from_data", "kmeans", "k-means++", "random"] = "random_from_data"
    random_state: int = 0
    stability: Stability = Stability()


class Methods(Model):
    """config/methods.yaml: every method once, by name."""

    representations: dict[Name, Pca] = {}
    clusterings: dict[Name, Annotated[KMeans | Gmm, Field(discriminator="algorithm")]] = {}


# --- studies/*.yaml -------------------------------------------------------------------------------------------------


class NamedDataset(Dataset):
    name: Name


class NamedJoinedView(JoinedView):
    name: Name


FIGURE_KEYS = {
    "cluster_sweep": ("clustering",),
    "cluster_map": ("clustering",),
    "property_map": ("property",),
    "property_trend": ("clustering", "property", "against"),
    "property_boxes": ("clustering", "properties"),
    "agreement": ("clustering",),
    "seed_spread": ("clustering",),
}


class Figure(Model):
    """One figure of a study; which parameters apply depends on the kind (docs/figures.md)."""

    name: Name
    kind: Literal[
        "cluster_sweep", "cluster_map", "property_map", "property_trend", "property_boxes", "agreement", "seed_spread"
    ]
    clustering: Name | None = None
    property: Name | None = None
    properties: list[Name] = []
    log: list[Name] = []
    against: Name | None = None
    quantile: float = Field(default=1.0, gt=0, le=1)
    min_rows: int = Field(default=20, ge=1)
    caption: str = ""

    @model_validator(mode="after")
    def _complete(self):
        for key in FIGURE_KEYS[self.kind]:
            if not getattr(self, key):
                raise ValueError(f"a {self.kind} with the key {key!r}")
        return self


class StudyTable(Model):
    """One table of a study: clusters ranked by the median of a property, with the window of a second one."""

    name: Name
    kind: Literal["cluster_ranking"]
    clustering: Name
    rank_by: Name
    window: Name | None = None
    caption: str = ""


class Claim(Model):
    """A published statement and the SQL that measures it here; the query returns one row, whose first column is the
    measured value (a column `detail`, if present, is shown beside it).

    Verdict: |measured - expect| <= tolerance for numbers, equality for booleans.
    """

    id: Annotated[str, StringConstraints(pattern=CLAIM_ID)]
    says: str
    cites: str
    sql: str
    expect: StrictBool | StrictFloat
    tolerance: float = Field(default=0.0, ge=0)
    variant: str = ""


class Study(Model):
    """What is studied, on which dataset, how, and which published statements it tests. The unit a user adds."""

    title: str
    description: str = ""
    cites: str = ""
    dataset: Name | NamedDataset
    views: list[Name | NamedJoinedView] = Field(min_length=1)
    representations: list[Name] = Field(min_length=1)
    clusterings: list[Name] = []
    figures: list[Figure] = []
    tables: list[StudyTable] = []
    claims: list[Claim] = []

    @model_validator(mode="after")
    def _named_once(self):
        for key in ("views", "representations", "clusterings"):
            names = [item if isinstance(item, str) else item.name for item in getattr(self, key)]
            if len(set(names)) < len(names):
                raise ValueError(f"each of the {key} once")
        return self


class Atlas(Model):
    """All configuration, resolved: names point at things that exist."""

    settings: Settings
    sources: dict[Name, Source]
    datasets: dict[Name, Dataset]
    views: dict[Name, View]
    methods: Methods
    studies: dict[Name, Study]

    def dataset_of(self, study: str) -> str:
        dataset = self.studies[study].dataset
        return dataset if isinstance(dataset, str) else dataset.name

    def views_of(self, study: str) -> list[str]:
        return [v if isinstance(v, str) else v.name for v in self.studies[study].views]

    def stored_views(self, view: str) -> list[str]:
        """The stored views that `view` reads: itself, or those it joins."""
        definition = self.views[view]
        return list(definition.of) if isinstance(definition, JoinedView) else [view]

    def skipped(self, study: str) -> str | None:
        """The source that this study needs and the settings leave out, if any."""
        source = self.datasets[self.dataset_of(study)].source
        return source if source in self.settings.skip_sources else None
