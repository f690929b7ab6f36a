"""config/studies/*.yaml: the unit that a user adds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StringConstraints, field_validator, model_validator

from schemas.config.base import CLAIM_ID, Model, Name
from schemas.config.datasets import CompositionDataset, ImageDataset
from schemas.config.views import JoinedView


class NamedCompositionDataset(CompositionDataset):
    name: Name


class NamedImageDataset(ImageDataset):
    name: Name


NamedDataset = Annotated[NamedCompositionDataset | NamedImageDataset, Field(discriminator="kind")]


class NamedJoinedView(JoinedView):
    name: Name


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
    "exemplars": ("clustering",),
    "outliers": ("clustering",),
}


class Figure(Model):
    """One figure of a study; which parameters apply depends on the kind (docs/figures.md)."""

    name: Name
    kind: Literal[tuple(FIGURE_KEYS)]
    clustering: Name | None = None
    clusterings: list[Name] = []
    views: list[Name] = []
    representations: list[Name] = []
    map: Name | None = None
    k: int | None = Field(default=None, ge=2)
    property: Name | None = None
    properties: list[Name] = []
    log: list[Name] = []
    against: Name | None = None
    quantile: float = Field(default=1.0, gt=0, le=1)
    min_rows: int = Field(default=20, ge=1)
    images: int = Field(default=6, ge=1, le=12)
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
    views: list[Name | NamedJoinedView] = Field(min_length=1)
    representations: list[Name | Use] = Field(min_length=1)
    maps: list[Name | Use] = []
    clusterings: list[Name | Use] = []
    evaluation: Evaluation = Evaluation()
    inspections: list[Name | Use] = []
    figures: list[Figure] = []
    tables: list[StudyTable] = []
    claims: list[Claim] = []

    @field_validator("views", "representations", "maps", "clusterings", "inspections")
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
