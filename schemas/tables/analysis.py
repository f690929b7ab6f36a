"""Representations, clusterings, metrics and claims."""

from __future__ import annotations

from dataclasses import replace

from schemas.fields import FIELDS
from schemas.table import Field, TableSchema


def representation_schema(name: str, key: Field, width: int) -> TableSchema:
    """Scores z_0 … of each entity in a representation, and how well they rebuild it."""
    scores = tuple(Field(f"z_{i}", "float64", "1", f"Score on component {i}") for i in range(width))
    return TableSchema(name, "representations", (key.name,), (key, *scores, FIELDS["reconstruction_error"]))


def cluster_schema(name: str, key: Field, ks: list[int], responsibilities: int = 0) -> TableSchema:
    """Labels of each entity: at the best K, and at each K of the sweep; for mixtures the responsibilities too."""
    labels = tuple(Field(f"k_{k}", "int64", "1", f"Cluster label at K = {k}", minimum=0, maximum=k - 1) for k in ks)
    soft = tuple(
        Field(f"responsibility_{i}", "float64", "1", f"Posterior probability of cluster {i} at the best K",
              minimum=0.0, maximum=1.0 + 1e-9)
        for i in range(responsibilities)
    )  # fmt: skip
    return TableSchema(name, "clusters", (key.name,), (key, FIELDS["cluster"], FIELDS["distance"], *labels, *soft))


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

CLAIMS = TableSchema(
    "claims", "claims", ("id", "variant"),
    tuple(FIELDS[f] for f in ("id", "variant", "study", "says", "cites", "expected", "tolerance", "measured", "verdict",
                              "quantity", "detail")),
)  # fmt: skip
