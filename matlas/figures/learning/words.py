"""How splits, targets and metrics are said in figures of what is learned and read out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from matlas.errors import DataError
from matlas.figures.parameters import named, required, table_of
from matlas.figures.study_data import StudyData, in_words

MEAN, NO_INPUT = "mean", "none"  # the head and the input of a prediction from nothing
ALL = "all"  # the fold that pools all
INTERVAL = "95 % interval over draws of whole groups of rows"
_SHUFFLED = " (shuffled)"
METRICS = {
    "mae": "Mean absolute error",
    "roc_auc": "Area under the ROC curve",
    "top_k_recall": "Recall of the extremes",
}
SMALL_IS_GOOD = ("mae",)


def is_control(head: str) -> bool:
    """Whether a head is none to be compared: the mean, or one that was fitted on shuffled targets."""
    return head == MEAN or is_shuffled(head)


def is_shuffled(head: str) -> bool:
    return head.endswith(_SHUFFLED)


def held_out(data: StudyData, split: str) -> str:
    """A sentence on what a split keeps from training, as far as the configuration is known."""
    about = data.definitions.splits.get(split)
    if about is None:
        return f"Split {split}."
    by = in_words(about["by"]) if about.get("by") else ""
    together = f" Rows with the same {by} are in one part." if by else ""
    if about["kind"] == "holdout":
        said = f"{100 * about['test']:g} % of the {'groups' if by else 'rows'} are kept for testing.{together}"
    elif about["kind"] == "folds":
        said = f"every row is tested once, in {about['folds']} folds.{together}"
    elif about["kind"] == "leave_out":
        said = f"tested on one {by} after another, which training has not seen."
    elif about["kind"] == "ordered":
        said = f"tested on the {100 * about['test']:g} % of rows with the largest {by}, trained on those before."
    else:
        which = "smallest" if about.get("end") == "low" else "largest"
        among = f", among {100 * about['ordinary']:g} % of the others" if about.get("ordinary") else ""
        said = f"tested on the {100 * about['share']:g} % of rows with the {which} {by}{among}; trained on the rest."
    return f"Split {split}: {said}"


def held_out_from(data: StudyData, representations: Iterable[str]) -> str:
    """The same of the splits on whose training rows representations were fitted; "" where that is not known."""
    splits = dict.fromkeys(data.definitions.trained_on.get(name) for name in representations)
    return " ".join(held_out(data, split) for split in splits if split)


def in_units(data: StudyData, target: str) -> str:
    """The unit of a target in brackets."""
    unit = data.definitions.targets.get(target, {}).get("unit")
    return f"({unit})" if unit not in (None, "", "1") else "(dimensionless)" if unit else "(unit of the target)"


def metric_axis(data: StudyData, metric: str, target: str) -> str:
    """Label of an axis; only errors have the unit of the target."""
    return f"{METRICS[metric]} {in_units(data, target) if metric == 'mae' else '(dimensionless)'}"


def judged_by(rows: pd.DataFrame) -> list[str]:
    """The metrics that a figure of probes shows: of classes roc_auc, of extremes top_k_recall and mae, else mae."""
    there = set(rows["metric"])
    return ["roc_auc"] if "roc_auc" in there else [m for m in ("top_k_recall", "mae") if m in there]


def probed(spec: Mapping, data: StudyData, table: str, *, split: bool = True) -> pd.DataFrame:
    """The rows of a table of probes that are about the target (and split) that a figure names; ConfigError with the
    nearest name for one that the table lacks."""
    rows = table_of(spec, data, table)
    for column in ("split", "target") if split else ("target",):
        rows = rows[rows[column] == named(spec, column, rows[column])]
    return rows


def of_head(spec: Mapping, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the head that a figure may name, with the controls that go with it; of all heads by default."""
    if not spec.get("head"):
        return rows
    head = named(spec, "head", [head for head in rows["head"] if not is_control(head)])
    return rows[rows["head"].isin([head, head + _SHUFFLED, MEAN])]


def tested(spec: Mapping, data: StudyData, *tests: str) -> pd.DataFrame:
    """The rows of the table of tests that are about one of some tests; DataError where there are none."""
    rows = table_of(spec, data, "tests")
    rows = rows[rows["test"].isin(tests)]
    if not len(rows):
        raise DataError(
            f"no results of the test {tests[0]!r} to draw" if len(tests) == 1 else "no results of audits to draw",
            where=f"study {data.study}, {spec['name']}", found=f"results of {sorted(set(data.tests['test']))}",
            do="name the test under `tests` of the study, and filters that leave rows of it",
        )  # fmt: skip
    return rows


def defined_test(spec: Mapping, data: StudyData, test: str) -> Mapping:
    """What the study asks of a test; DataError where the configuration was not handed on."""
    found = data.definitions.tests.get(test)
    if not found:
        raise DataError(
            f"the definition of the test {test!r} is not known", where=f"study {data.study}, {spec['name']}",
            do="pass `definitions` with the study's `tests` to load_study_data",
        )  # fmt: skip
    return found


def pair_of(spec: Mapping, rows: pd.DataFrame) -> tuple[str, str]:
    """The two inputs that `compare` names; ConfigError for one that was not compared."""
    inputs = [*rows["input"], *rows["against"]]
    first, second = (named({**spec, "compare": name}, "compare", inputs) for name in required(spec, "compare"))
    return first, second
