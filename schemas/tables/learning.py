"""Splits, trained models, probes and tests of representations."""

from __future__ import annotations

from dataclasses import replace

from schemas.fields import FIELDS
from schemas.table import Field, TableSchema

_VALUE = replace(FIELDS["metric_value"], name="value")
_INTERVAL = (_VALUE, FIELDS["low"], FIELDS["high"], FIELDS["n"])


def split_schema(name: str, key: Field) -> TableSchema:
    """What each fold of a split uses an entity for; an entity that it doesn't use is absent."""
    return TableSchema(name, "splits", (key.name, "fold"), (key, FIELDS["fold"], FIELDS["part"]))


SELECTION = TableSchema(
    "selections", "selections", ("feature",), (*(FIELDS[f] for f in ("feature", "rank", "reason", "explained")),),
    description="Columns that a selected view took and left out, and why",
)  # fmt: skip


def failures_schema(name: str, key: Field) -> TableSchema:
    """Entities that a view could not be computed for."""
    reason = replace(FIELDS["reason"], description="Why the entity has no features")
    return TableSchema(name, "failures", (key.name,), (key, reason))


HISTORY = TableSchema(
    "histories", "histories", ("epoch",),
    tuple(FIELDS[f] for f in ("epoch", "train_loss", "validation_loss", "learning_rate", "kept")),
    description="How the training of a network went",
)  # fmt: skip


def rebuilt_schema(name: str, key: Field) -> TableSchema:
    """Some test rows and what an encoder rebuilds of them, in standardised units."""
    truth = replace(FIELDS["truth"], description="Standardised value of the feature")
    fields = (key, FIELDS["feature"], truth, FIELDS["rebuilt"])
    return TableSchema(name, "rebuilt", (key.name, "feature"), fields)


def encodings_schema(name: str, key: Field, width: int) -> TableSchema:
    """Codes of each entity by the encoder of each fold, which was trained on the training rows of the fold."""
    codes = tuple(Field(f"z_{i}", "float64", "1", f"Component {i} of the code") for i in range(width))
    fields = (key, FIELDS["fold"], FIELDS["part"], *codes, FIELDS["reconstruction_error"])
    return TableSchema(name, "encodings", (key.name, "fold"), fields)


_SPLIT = replace(FIELDS["split"], description="Split as named in config/methods.yaml")
_PROBE = (FIELDS["study"], _SPLIT, *(FIELDS[f] for f in ("target", "task", "input", "head", "fold")))


def predictions_schema(study: str, key: Field) -> TableSchema:
    """What each probe predicted for entities that it had not seen."""
    fields = (*_PROBE, key, FIELDS["truth"], FIELDS["predicted"])
    return TableSchema(study, "predictions", ("target", "input", "head", "fold", key.name), fields)


PROBES = TableSchema(
    "probes", "probes", ("split", "target", "input", "head", "fold", "group", "metric"),
    (*_PROBE, FIELDS["group"], FIELDS["metric"], *_INTERVAL, FIELDS["rows_used"]),
    description="Scores of probes; fold `all` pools the folds, group is a family of entities or empty for all",
)  # fmt: skip

COMPARISONS = TableSchema(
    "comparisons", "comparisons", ("split", "target", "head", "input", "against", "group", "metric"),
    (FIELDS["study"], _SPLIT, *(FIELDS[f] for f in ("target", "head", "input")),
     replace(FIELDS["input"], name="against", description="The input that it is compared with"),
     FIELDS["group"], FIELDS["metric"], *_INTERVAL),
    description="Differences between two inputs on the same entities; below 0 the first has the smaller error",
)  # fmt: skip

TESTS = TableSchema(
    "tests", "tests", ("test", "view", "representation", "case", "group", "x", "metric", "seed"),
    (*(FIELDS[f] for f in ("study", "dataset", "view", "representation", "test", "case", "group", "x", "metric")),
     *_INTERVAL, FIELDS["seed"]),
    description="What representations were put through",
)  # fmt: skip
