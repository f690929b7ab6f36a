"""Representations, clusterings, metrics and claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from schemas.fields import FIELDS
from schemas.table import Field, TableSchema


def representation_schema(name: str, key: Field, width: int, *, rebuilt: bool = True) -> TableSchema:
    """Scores z_0 … of each entity in a representation and, where it can be `rebuilt` from them, how well."""
    scores = tuple(Field(f"z_{i}", "float64", "1", f"Score on component {i}") for i in range(width))
    error = (FIELDS["reconstruction_error"],) if rebuilt else ()
    return TableSchema(name, "representations", (key.name,), (key, *scores, *error))


def cluster_schema(name: str, key: Field, ks: Sequence[int], responsibilities: int = 0) -> TableSchema:
    """Labels of each entity: at the best K, and at each K of the sweep; for mixtures the responsibilities too."""
    labels = tuple(Field(f"k_{k}", "int64", "1", f"Cluster label at K = {k}", minimum=0, maximum=k - 1) for k in ks)
    soft = tuple(
        Field(f"responsibility_{i}", "float64", "1", f"Posterior probability of cluster {i} at the best K",
              minimum=0.0, maximum=1.0 + 1e-9)
        for i in range(responsibilities)
    )  # fmt: skip
    return TableSchema(name, "clusters", (key.name,), (key, FIELDS["cluster"], FIELDS["distance"], *labels, *soft))


def reruns_schema(name: str, key: Field, columns: Sequence[str]) -> TableSchema:
    """Labels of each entity by every seed at every K; columns : seed_0_k_2 …"""
    labels = tuple(
        Field(column, "int64", "1", "Cluster label with this seed and K; -1 is noise", minimum=-1) for column in columns
    )
    return TableSchema(name, "reruns", (key.name,), (key, *labels))


LOADINGS = TableSchema(
    "loadings", "loadings", ("component", "feature"), tuple(FIELDS[f] for f in ("component", "feature", "loading"))
)

_VALUE = replace(FIELDS["metric_value"], name="value")

METRICS = TableSchema(
    "metrics", "metrics", ("dataset", "view", "representation", "method", "k", "metric", "seed", "split"),
    (*(FIELDS[f] for f in ("dataset", "view", "representation", "method", "k", "metric")), _VALUE,
     *(FIELDS[f] for f in ("seed", "split"))),
    description="Long table of measured numbers",
)  # fmt: skip

AGREEMENT = TableSchema(
    "agreement", "agreement", ("clustering", "view_a", "representation_a", "k_a", "view_b", "representation_b", "k_b"),
    (
        FIELDS["study"], FIELDS["clustering"],
        replace(FIELDS["view"], name="view_a"), replace(FIELDS["representation"], name="representation_a"),
        replace(FIELDS["k"], name="k_a", nullable=False),
        replace(FIELDS["view"], name="view_b"), replace(FIELDS["representation"], name="representation_b"),
        replace(FIELDS["k"], name="k_b", nullable=False), FIELDS["ari"],
    ),
    description="Adjusted Rand index between every two labelings of a study",
)  # fmt: skip

_SPACE = tuple(FIELDS[f] for f in ("study", "dataset", "view", "representation"))
_RUN = (*_SPACE, FIELDS["clustering"], replace(FIELDS["k"], nullable=False, minimum=0), FIELDS["seed"])
_RUN_KEY = ("view", "representation", "clustering", "k", "seed")

SCORES = TableSchema(
    "scores", "scores", (*_RUN_KEY, "metric"), (*_RUN, FIELDS["metric"], replace(FIELDS["score"], name="value")),
    description="Agreement of clusterings with the classes, for each seed",
)  # fmt: skip

CONTINGENCY = TableSchema(
    "contingency", "contingency", (*_RUN_KEY, "label", "cluster"),
    (*_RUN, replace(FIELDS["label"], nullable=False), FIELDS["cluster"], FIELDS["entities"], FIELDS["matched"]),
    description="Entities of each class in each cluster, for each seed, at as many clusters as there are classes",
)  # fmt: skip

CONDITIONS = TableSchema(
    "conditions", "conditions", (*_RUN_KEY, "condition"),
    (*_RUN, *(FIELDS[f] for f in ("condition", "effect_of_cluster", "effect_of_label", "effect_within_label"))),
    description="How far clusters split on conditions of the measurement",
)  # fmt: skip

INSPECTIONS = TableSchema(
    "inspections", "inspections", ("view", "inspection", "order", "seed", "inspected"),
    tuple(FIELDS[f] for f in ("study", "dataset", "view", "inspection", "order", "seed", "inspected", "recall")),
    description="Recall of planted outliers among the entities inspected first",
)  # fmt: skip


def sensitivity_schema(key: Field) -> TableSchema:
    """How far altered copies of entities travel in each view."""
    names = ("alteration", "travel", "spread", "ratio")
    fields = (FIELDS["study"], FIELDS["dataset"], FIELDS["view"], key, *(FIELDS[f] for f in names))
    return TableSchema("sensitivity", "sensitivity", ("view", key.name, "alteration"), fields)


CLAIMS = TableSchema(
    "claims", "claims", ("id", "variant"),
    tuple(FIELDS[f] for f in ("id", "variant", "study", "says", "cites", "expected", "tolerance", "measured", "verdict",
                              "quantity", "detail")),
)  # fmt: skip
