"""config/studies/*.yaml: the unit that a user adds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StringConstraints, field_validator, model_validator

from schemas.config.base import CLAIM_ID, SPACE, Model, Name
from schemas.config.datasets import CompositionDataset, CrystalDataset, CubeDataset, ImageDataset
from schemas.config.views import JoinedView, SelectedView, SpectrumView


class NamedCompositionDataset(CompositionDataset):
    name: Name


class NamedImageDataset(ImageDataset):
    name: Name


class NamedCrystalDataset(CrystalDataset):
    name: Name


class NamedCubeDataset(CubeDataset):
    name: Name


NamedDataset = Annotated[
    NamedCompositionDataset | NamedImageDataset | NamedCrystalDataset | NamedCubeDataset, Field(discriminator="kind")
]


class NamedJoinedView(JoinedView):
    name: Name


class NamedSelectedView(SelectedView):
    name: Name


class NamedSpectrumView(SpectrumView):
    name: Name


NamedView = Annotated[NamedJoinedView | NamedSelectedView | NamedSpectrumView, Field(discriminator="kind")]


class Use(Model):
    """A method used on some views (and, for a clustering, representations) of the study only."""

    name: Name
    views: list[Name] = []
    representations: list[Name] = []

    def fits(self, view: str, representation: str | None = None) -> bool:
        return view in (self.views or [view]) and representation in (self.representations or [representation])


class Evaluation(Model):
    """What clusters are compared with afterwards: `label`, a column of classes that no clustering sees, and
    `conditions`, columns of numbers on which clusters should not split."""

    label: Name | None = None
    conditions: list[Name] = []


class Target(Model):
    """What a probe predicts: `sql`, an expression over the columns of the dataset, a number or (for classes) a flag, of
    the rows `where` another one holds. Rows for which it is empty are left out, and counted."""

    sql: str
    where: str | None = None
    unit: str = "1"
    description: str = ""


class Trial(Model):
    """Heads under one split; on all inputs and targets of the study, or on those named."""

    split: Name
    heads: list[Name] = Field(min_length=1)
    inputs: list[Name] = []
    targets: list[Name] = []


class Probing(Model):
    """What can be read out of which inputs. An input is one or more spaces, each `view/representation`, side by side;
    everything in it is fitted again on the training rows of each fold. Intervals are drawn over the values of
    `resampled_by`; `compare` names pairs of inputs whose difference is measured on the same rows; `families` is the
    column by which it is said where an input helps."""

    targets: dict[Name, Target] = Field(min_length=1)
    inputs: dict[Name, list[Annotated[str, StringConstraints(pattern=SPACE)]]] = Field(min_length=1)
    trials: list[Trial] = Field(min_length=1)
    resampled_by: Name = "chemical_system"
    families: Name | None = None
    compare: list[tuple[Name, Name]] = []
    draws: int = Field(default=500, ge=20)
    random_state: int = 0


class BottleneckTest(Model):
    """How much survives a code of each of `widths`, on real rows (of networks with `seeds` initial weights) and on rows
    whose columns are shuffled one by one."""

    view: Name
    encoder: Name
    widths: list[Annotated[int, Field(ge=1)]] = Field(min_length=3)
    targets: list[Name] = []
    seeds: int = Field(default=3, ge=1)


class ManifoldTest(Model):
    """How far what encoders make of random codes, and of codes between two materials, lies from any real material."""

    view: Name
    encoders: list[Name] = Field(min_length=1)
    samples: int = Field(default=1000, ge=10)
    lines: int = Field(default=200, ge=5)


class NeighbourhoodTest(Model):
    """Whether neighbours stay neighbours, and share a class of `labels`, in spaces `view/representation`."""

    spaces: list[Annotated[str, StringConstraints(pattern=SPACE)]] = Field(min_length=1)
    labels: list[Name] = []
    k: int = Field(default=10, ge=1)
    rows: int = Field(default=4000, ge=50)


class UncertaintyTest(Model):
    """Conformal intervals at `level`, calibrated on validation rows of each fold of `split` (which leaves groups out),
    inside and outside of the groups that the head was trained on; and what goes with its errors."""

    target: Name
    inputs: list[Name] = Field(min_length=1)
    head: Name
    split: Name
    level: float = Field(default=0.9, gt=0, lt=1)


class ActiveLearningTest(Model):
    """Labels asked for in steps of `batch`, by uncertainty, by novelty and at random, in spaces `view/representation`
    whose training rows are the pool and whose test rows the judge."""

    target: Name
    spaces: list[Annotated[str, StringConstraints(pattern=SPACE)]] = Field(min_length=1)
    split: Name
    start: int = Field(default=100, ge=10)
    batch: int = Field(default=50, ge=1)
    rounds: int = Field(default=8, ge=1)
    seeds: int = Field(default=5, ge=2)


class AuditTest(Model):
    """How an embedding can fail, each failure measured on the data and on data in which it is planted: a shortcut (the
    code carries the place in the file), families that were never seen (`families`), polymorphs that become one, a
    code that tells two sources apart (`sources`, two flags; rows matched by `matched_by`), drift over `over`."""

    view: Name
    encoder: Name
    families: Name | None = None
    least: int = Field(default=200, ge=20)
    sources: tuple[Name, Name] | None = None
    matched_by: list[Name] = []
    over: Name | None = None
    stability: str | None = None  # expression: which polymorphs count as stable


class TransferTest(Model):
    """Whether an encoder trained on the unlabelled compositions of dataset `source` helps where labels are few: heads
    on its frozen code against the same on the descriptors, on principal components and on the code of an encoder
    trained on the study's own rows, for `sizes` labelled entities (groups of `group`)."""

    source: Name
    view: Name
    encoder: Name
    columns: list[Name] = []
    group: Name
    heads: list[Name] = Field(min_length=1)
    targets: list[Name] = Field(min_length=1)
    sizes: list[Annotated[int, Field(ge=5)]] = Field(min_length=1)
    seeds: int = Field(default=10, ge=2)


class NoiseTest(Model):
    """A simulation made again at other doses (counts of a mean pixel) and, of simulations that have one, contrasts:
    what number of clusters the silhouette chooses in `spaces` (view/representation), and how far clusters and shares
    (`unmixings`, view/unmixing) are from the truth. Each of `clusterings` sweeps its own K and is scored at as many as
    there are materials."""

    doses: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)
    contrasts: list[Annotated[float, Field(ge=0)]] = []
    rows: int | None = Field(default=None, ge=100)
    spaces: list[Annotated[str, StringConstraints(pattern=SPACE)]] = []
    clusterings: list[Name] = []
    unmixings: list[Annotated[str, StringConstraints(pattern=SPACE)]] = []
    seeds: int = Field(default=3, ge=1)


class PixelFitTest(Model):
    """Plasmons fitted to the spectrum of each pixel at `low` to `high` eV, and each pixel labelled by the nearest of
    `phases` ({material: [energy, width] of its plasmon in eV}), against clusters of `spaces` (view/representation) at
    `k`, each as the material that it stands for in the best matching; all are timed in the same job, by turns."""

    low: float
    high: float
    thickness: float = Field(default=0.5, ge=0)
    phases: dict[Name, tuple[float, float]] = Field(min_length=2)
    spaces: list[Annotated[str, StringConstraints(pattern=SPACE)]] = Field(min_length=1)
    clustering: Name
    k: int = Field(ge=2)
    repeats: int = Field(default=3, ge=1)


class Tests(Model):
    """What a representation is put through."""

    bottleneck: BottleneckTest | None = None
    manifold: ManifoldTest | None = None
    neighbourhood: NeighbourhoodTest | None = None
    uncertainty: UncertaintyTest | None = None
    active_learning: ActiveLearningTest | None = None
    audit: AuditTest | None = None
    transfer: TransferTest | None = None
    noise: NoiseTest | None = None
    pixel_fit: PixelFitTest | None = None


class AtomRatio(Model):
    """Atoms of the elements `above` to those of `below`; `stated`: what the formulas of phases give."""

    name: str
    above: list[str] = Field(min_length=1)
    below: list[str] = Field(min_length=1)
    stated: dict[Name, float] = {}


class TraceWindow(Model):
    """A part of the axis (low to high) in which all lines are fitted by themselves for the sake of some trace
    `elements`: far from strong peaks whose tails, which no Gaussian describes, would be taken for faint lines."""

    elements: list[str] = Field(min_length=1)
    low: float
    high: float


class Quantification(Model):
    """What each phase consists of: the counts of all pixels in which the endmember's share, by `unmixing` of `view`, is
    at least `least_share` are summed, and all lines are fitted to the sum at once, where there are `least_pixels`; a
    trace that has a window of its own is fitted there again. `stated_ppm`: {element: {phase: ppm by mass}} of the
    literature, or as planted."""

    view: Name
    unmixing: Name
    least_share: float = Field(default=0.7, gt=0, le=1)
    least_pixels: int = Field(default=20, ge=1)
    ratios: list[AtomRatio] = []
    windows: list[TraceWindow] = []
    stated_ppm: dict[str, dict[Name, float]] = {}


FIGURE_KEYS = {
    "cluster_sweep": ("clustering",),
    "cluster_map": ("clustering",),
    "label_map": ("map",),
    "property_map": ("property",),
    "property_trend": ("clustering", "property", "against"),
    "property_boxes": ("clustering", "properties"),
    "agreement": ("clustering",),
    "seed_spread": ("clustering",),
    "score_summary": ("k",),
    "contingency": ("clustering",),
    "score_by_stage": ("k",),
    "condition_effects": ("clustering", "k"),
    "sensitivity": (),
    "outlier_recall": (),
    "image_examples": (),
    "phase_map": ("clustering",),
    "cube_overview": (),
    "centroid_spectra": ("clustering",),
    "soft_map": ("clustering",),
    "abundance_maps": ("unmixing",),
    "endmembers": ("unmixing",),
    "residual_maps": (),
    "unmixing_scores": (),
    "endmember_count": (),
    "quantities": (),
    "noise_sweep": (),
    "pixel_fit": (),
    "exemplars": ("clustering",),
    "outliers": ("clustering",),
    "training_curves": (),
    "reconstruction_parity": (),
    "width_sweep": (),
    "manifold_holes": (),
    "latent_map": ("property",),
    "probe_leaderboard": ("split", "target"),
    "family_benefit": ("split", "target", "compare"),
    "split_comparison": ("target", "head"),
    "neighbourhoods": (),
    "coverage": (),
    "learning_curves": ("test",),
    "failure_modes": (),
}


class Figure(Model):
    """One figure of a study; which parameters apply depends on the kind (docs/figures.md)."""

    name: Name
    kind: Literal[tuple(FIGURE_KEYS)]
    clustering: Name | None = None
    clusterings: list[Name] = []
    views: list[Name] = []
    representations: list[Name] = []
    unmixing: Name | None = None
    unmixings: list[Name] = []
    map: Name | None = None
    k: int | None = Field(default=None, ge=2)
    property: Name | None = None
    properties: list[Name] = []
    log: list[Name] = []
    against: Name | None = None
    quantile: float = Field(default=1.0, gt=0, le=1)
    min_rows: int = Field(default=20, ge=1)
    images: int = Field(default=6, ge=1, le=12)
    target: Name | None = None
    split: Name | None = None
    head: Name | None = None
    compare: tuple[Name, Name] | None = None
    test: Literal["transfer", "active_learning"] | None = None
    caption: str = ""

    @model_validator(mode="after")
    def _complete(self):
        for key in FIGURE_KEYS[self.kind]:
            if not getattr(self, key):
                raise ValueError(f"a {self.kind} with the key {key!r}")
        return self


class ClusterRanking(Model):
    """Clusters ranked by the median of a property, with the window of a second one."""

    name: Name
    kind: Literal["cluster_ranking"]
    clustering: Name
    rank_by: Name
    window: Name | None = None
    caption: str = ""


class FamilyBenefit(Model):
    """In which families of entities, and for which targets, one input of the probes serves better than another."""

    name: Name
    kind: Literal["family_benefit"]
    split: Name
    compare: tuple[Name, Name]
    caption: str = ""


# One table of a study.
StudyTable = Annotated[ClusterRanking | FamilyBenefit, Field(discriminator="kind")]


class Claim(Model):
    """A published statement and the SQL that measures it here; the query returns one row, whose first column is the
    measured value (a column `detail`, if present, is shown beside it).

    Verdict: |measured - expect| <= tolerance for numbers, equality for booleans. With `variants`, views of the study,
    it is measured once for each, with the view's name in place of {variant} in the SQL.
    """

    id: Annotated[str, StringConstraints(pattern=CLAIM_ID)]
    says: str
    cites: str
    sql: str
    expect: StrictBool | StrictFloat
    tolerance: float = Field(default=0.0, ge=0)
    variants: list[Name] = []


class Study(Model):
    """What is studied, on which dataset, how, and which published statements it tests. The unit a user adds."""

    title: str
    description: str = ""
    cites: str = ""
    dataset: Name | NamedDataset
    views: list[Name | NamedView] = Field(min_length=1)
    representations: list[Name | Use] = Field(min_length=1)
    maps: list[Name | Use] = []
    clusterings: list[Name | Use] = []
    endmember_counts: list[Name | Use] = []
    unmixings: list[Name | Use] = []
    quantification: Quantification | None = None
    evaluation: Evaluation = Evaluation()
    inspections: list[Name | Use] = []
    probing: Probing | None = None
    tests: Tests = Tests()
    figures: list[Figure] = []
    tables: list[StudyTable] = []
    claims: list[Claim] = []

    @field_validator("views", "representations", "maps", "clusterings", "endmember_counts", "unmixings", "inspections")
    @classmethod
    def _named_once(cls, items: list) -> list:
        names = names_of(items)
        if len(set(names)) < len(names):
            raise ValueError("each name once")
        return items


def names_of(items: list) -> list[str]:
    """Names of things that a study names or defines in place."""
    return [item if isinstance(item, str) else item.name for item in items]


def uses(items: list[str | Use]) -> list[Use]:
    return [Use(name=item) if isinstance(item, str) else item for item in items]
