"""What the page says of a study that learns representations: splits, networks, what can be read out of which input,
and in which families an input helps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from matlas.report.formats import MISSING, number, score, share, words
from matlas.report.tables import Part
from matlas.report.topics import (
    HELPS,
    HURTS,
    TO,
    VERDICTS,
    Folded,
    Topic,
    aside,
    in_order,
    in_unit,
    listed,
    missing,
    verdict_of,
    with_interval,
    with_verdict,
)

if TYPE_CHECKING:
    from matlas.store import Store

SHOWN = 12  # rows of comparisons that are not folded away
MEAN, NO_INPUT = "mean", "none"  # head and input of the prediction that knows nothing but the training targets
_PARTS = {"train": "trains on", "validation": "validates on", "test": "tests on"}
_LINEAR = {"pca": "PCA", "factor_analysis": "factor analysis"}


@dataclass(frozen=True)
class Metric:
    """What probes are judged by. falls : whether less is better."""

    words: str
    short: str
    shown: Callable[..., str]
    falls: bool = False


METRICS = {
    "roc_auc": Metric("area under the ROC curve", "ROC AUC", score),
    "top_k_recall": Metric("share of the most extreme ones that is found", "Recall of extremes", score),
    "mae": Metric("mean absolute error", "MAE", number, falls=True),
}


def splits(store: Store, study: str, structure: Mapping, methods: Mapping[str, Mapping]) -> Topic | None:
    """What each split of a study holds out, and how many entities a fold trains on, validates on and tests on.

    methods : as for matlas.report.build.render. None for a study without splits. Raises DataError for a split without
    a table.
    """
    dataset, names = structure["dataset"], structure.get("splits", ())
    if not names:
        return None
    about = store.query("SELECT name, key, rows FROM registry.tables WHERE dataset = ?", [dataset]).to_pylist()
    tables = {row["name"]: row for row in about}
    base, points = tables[f"datasets.{dataset}"], []
    for name in names:
        table = f"splits.{dataset}__{name}"
        if table not in tables:
            raise missing("the table of a split is", study, name)
        definition = methods.get("splits", {}).get(name, {})
        counts = store.sql(f"SELECT fold, part, count(*) AS n FROM {table} GROUP BY ALL ORDER BY ALL")
        inside = store.sql(f'SELECT count(DISTINCT "{base["key"]}") AS n FROM {table}')["n"].iloc[0]
        said = [_held_out(definition), _sizes(counts), _absent(int(base["rows"] - inside), definition)]
        points.append((name, " ".join(filter(None, said))))
    return Topic("Splits", points=points)


def _held_out(split: Mapping) -> str:
    """What a split holds out, in words; nothing where its definition is not known."""
    if not split:
        return ""
    kind, by = split["kind"], words(split.get("by") or "")
    together = f", all entities of one {by} together" if by else ""
    if kind == "holdout":
        said = f"{share(split['test'])} of the entities are held out{together}"
    elif kind == "folds":
        said = f"Every entity is held out once, in {split['folds']} folds{together}"
    elif kind == "leave_out":
        said = f"One {by} after another is held out, of those with {number(split['least'])} entities or more"
    elif kind == "ordered":
        said = f"The {share(split['test'])} of the entities with the largest {by} are held out"
    else:
        end = "lowest" if split.get("end") == "low" else "highest"
        said = f"The {share(split['share'])} of the entities with the {end} {by} are held out"
        said += f", and {share(split['ordinary'])} of the others" if split.get("ordinary") else ""
    if split.get("validation"):
        group = split.get("validation_by") or (split.get("by") if kind in ("holdout", "leave_out") else None)
        said += f"; {share(split['validation'])} of the rest{f', by {words(group)},' if group else ''} validate"
    return f"{said}."


def _sizes(counts: pd.DataFrame) -> str:
    """counts : fold, part, n."""
    by_part = counts.pivot(index="fold", columns="part", values="n").fillna(0)
    used = [f"{verb} {_range(by_part[part])}" for part, verb in _PARTS.items() if part in by_part]
    fold = "It" if len(by_part) == 1 else f"Each of the {len(by_part)} folds"
    return f"{fold} {listed(used)} entities."


def _range(counts: pd.Series) -> str:
    low, high = number(int(counts.min())), number(int(counts.max()))
    return low if low == high else f"{low}{TO}{high}"


def _absent(count: int, split: Mapping) -> str:
    by = f" for lack of {words(split['by'])}" if split.get("by") else ""
    return f"{number(count)} {'entity is' if count == 1 else 'entities are'} in no fold{by}." if count else ""


def networks(store: Store, study: str, structure: Mapping, methods: Mapping[str, Mapping]) -> Topic | None:
    """A row a trained network, beside linear methods with a code of the same width, fitted on the same rows.

    methods : as for matlas.report.build.render. None for a study without networks. Raises DataError where the history
    or the metrics of one are missing.
    """
    trained = [tuple(space) for space in structure.get("networks", ())]
    if not trained:
        return None
    defined = methods.get("representations", {})
    values: dict[tuple, dict] = {}
    for row in store.query(f"""
            SELECT view, representation, metric, split, max(value) AS value FROM metrics
            WHERE study = '{study}' AND method = representation GROUP BY ALL""").to_pylist():  # fmt: skip
        values.setdefault((row["view"], row["representation"]), {})[row["metric"], row["split"]] = row["value"]
    histories = set(store.sql("SELECT name FROM registry.tables WHERE layer = 'histories'")["name"])
    rows, remarks = [], []
    for view, name in trained:
        table, measured = f"histories.{structure['dataset']}__{view}__{name}", values.get((view, name), {})
        if table not in histories or ("code_width", "all") not in measured:
            raise missing("the history or the metrics of a network are", study, f"{view} / {name}")
        epochs = store.sql(f"SELECT max(epoch) AS run, max(epoch) FILTER (kept) AS kept FROM {table}").iloc[0]
        width, active = (int(measured[metric, "all"]) for metric in ("code_width", "active_units"))
        same_view = {r: values.get((v, r), {}) for v, r in structure["spaces"] if v == view}
        spec = defined.get(name, {})
        alike = {"n_components": width, "split": spec.get("split")}
        beside = [_error(same_view, defined, {"algorithm": algorithm, **alike}) for algorithm in _LINEAR]
        rows.append([
            name, view, spec.get("kind", MISSING), _layers(measured.get(("n_features", "all")), spec.get("layers")),
            number(int(epochs["run"])), number(int(epochs["kept"])),
            *(number(error) for error in (measured.get(("reconstruction_error", "test")), *beside)),
            f"{active} of {width}", number(measured.get(("participation_ratio", "all"))),
        ])  # fmt: skip
        if active < width:
            rest = f"the other {width - active} carry" if width - active > 1 else "the other one carries"
            remarks.append(f"{name} uses {active} of the {width} units of its code: {rest} nothing (collapse).")
        if (angle := measured.get(("angle_to_pca", "all"))) is not None:
            remarks.append(f"{name} spans what as many principal components span, but for {number(angle)}° at most.")
    said = (
        "Held-out error: mean squared error of held-out rows as they are rebuilt, in standardised units, in which the "
        "mean of each column would leave about 1; beside it that of linear methods with as wide a code. Kept: the "
        "epoch with the smallest validation error, or the last of a network that is trained to the end. Participation "
        "ratio: how many dimensions the code uses in effect."
    )
    headers = ["Network", "View", "Kind", "#Layers", "#Epochs", "#Kept", "#Held-out error"]
    headers += [*(f"#Held-out error of {name}" for name in _LINEAR.values()), "#Active units", "#Participation ratio"]
    return Topic("Networks", [said, *remarks], parts=[Part("Trained networks", headers, rows)])


def _error(measured: Mapping[str, Mapping], defined: Mapping[str, Mapping], wanted: Mapping) -> float | None:
    """Error on held-out rows of the first space that is defined as wanted."""
    fits = [values for name, values in measured.items() if wanted.items() <= defined.get(name, {}).items()]
    return fits[0].get(("reconstruction_error", "test")) if fits else None


def _layers(columns: float | None, layers: Sequence[int] | None) -> str:
    if columns is None or not layers:
        return MISSING
    down = [int(columns), *layers]
    return "-".join(map(str, down + down[-2::-1]))


def probes(store: Store, study: str, spec: Mapping) -> Topic | None:
    """What can be read out of which input: a table a target under the first split of the study and differences between
    inputs; the other splits folded. None for a study that probes nothing. Raises DataError for a trial without scores.
    """
    probing = spec.get("probing")
    if not probing:
        return None
    scores = store.sql(f"""SELECT * FROM probes WHERE study = '{study}' AND fold = 'all' AND "group" = '' """)
    tables = {}
    for trial in probing["trials"]:
        rows = scores[scores["split"] == trial["split"]]
        if rows.empty:
            raise missing("the scores of probes are", study, f"split {trial['split']}")
        tables[trial["split"]] = [
            _leaderboard(here[here["metric"] == metric], target, metric, probing, trial["heads"])
            for target, here in in_order(rows, "target", list(probing["targets"]))
            for metric in _judged_by(here["metric"])
        ]
    first, *others = tables
    by = words(probing["resampled_by"])
    said = (
        f"Heads read a target from an input; tested under the split {first}, all folds together, with 95 % intervals "
        f"over draws of whole groups of one {by}. Shuffled: the first head, trained and judged in the same way on "
        "targets that changed places, among the training rows and among the tested ones: what it finds by chance, and "
        "more than that only if it has seen what it is tested on. None: the mean of the training rows, with no input."
    )
    folded = [Folded(f"The same under the split {split}", tables[split]) for split in others]
    faults = _faults(scores, probing)
    folded += [Folded(f"The same question of {pair}", [part]) for pair, part in faults[1:]]
    tally, every = _compared(store, study, probing)
    if sum(len(part.rows) for part in every) > SHOWN:
        folded.insert(0, Folded(f"Each comparison under the split {first}", every))
        every = []
    shown = tables[first] + [part for _, part in faults[:1]] + tally + every
    return Topic("What can be read out", [said], parts=shown, folded=folded)


def _judged_by(metrics: Iterable[str]) -> list[str]:
    """Of classes the area under the curve, of extremes their recall and the error, else the error."""
    there = set(metrics)
    return ["roc_auc"] if "roc_auc" in there else [metric for metric in ("top_k_recall", "mae") if metric in there]


def _leaderboard(rows: pd.DataFrame, target: str, metric: str, probing: Mapping, heads: Sequence[str]) -> Part:
    """Inputs by heads. rows : of one split, target and metric."""
    by, cells = METRICS[metric], {(row.input, row.head): row for row in rows.itertuples()}
    measured = {place: row.value for place, row in cells.items() if place[1] in heads and not pd.isna(row.value)}
    best = (min if by.falls else max)(measured, key=measured.get) if measured else None

    def cell(name: str, head: str) -> str:
        if (name, head) not in cells:
            return MISSING
        texts = [Markup('<strong class="good">best</strong>')] if (name, head) == best else []
        texts.append(with_interval(cells[name, head], by.shown, beside=True))
        if chance := cells.get((name, f"{head} (shuffled)")):
            texts.append(aside(f"shuffled {by.shown(chance.value)}"))
        return Markup(" ").join(texts)

    names = [name for name, _ in in_order(rows, "input", list(probing["inputs"])) if name != NO_INPUT]
    body = [[words(name), *(cell(name, head) for head in heads)] for name in names]
    if (NO_INPUT, MEAN) in cells:
        body.append(["none", cell(NO_INPUT, MEAN), *[MISSING] * (len(heads) - 1)])
    about = probing["targets"][target]
    caption = f"{_said(target, about)}: {by.words}{in_unit(about) if metric == 'mae' else ''}, "
    caption += f"{number(int(rows['n'].max()))} entities{_from_fewer_rows(rows, heads)}"
    return Part(caption, ["Input", *(f"#{words(head)}" for head in heads)], body)


def _from_fewer_rows(rows: pd.DataFrame, heads: Sequence[str]) -> str:
    """Which heads learned from a part of the training rows, all of which the mean uses."""
    used = rows.groupby("head")["rows_used"].max()
    fewer = [
        f"{words(head)} used {number(int(used[head]))}" for head in heads if used.get(head, used.max()) < used.max()
    ]
    return f"; of up to {number(int(used.max()))} training rows {listed(fewer)}" if fewer else ""


def _faults(scores: pd.DataFrame, probing: Mapping) -> list[tuple[str, Part]]:
    """For each compared pair of spaces of one view (a code, and what it is compared with) how the error of the worst
    head on the code splits, in a row a split and target: what the best head on the code saves is the fault of the head,
    what the best head on the other input saves beyond that is the fault of the code. Heads are chosen by the error that
    is shown. Pairs without a target that two heads read from the code are left out.

    scores : value of mae by split, target, input and head, of all folds together.
    """
    errors, found = scores[scores["metric"] == "mae"].dropna(subset="value"), []
    for code, against in map(tuple, probing["compare"]):
        views = [space.partition("/")[0] for name in (code, against) for space in probing["inputs"][name]]
        if len(views) > 2 or len(set(views)) > 1:  # not one space each, or not of the same columns
            continue
        body = []
        for trial in probing["trials"]:
            here = errors[(errors["split"] == trial["split"]) & errors["head"].isin(trial["heads"])]
            for target, rows in in_order(here, "target", list(probing["targets"])):
                of_code, of_other = (rows[rows["input"] == name].set_index("head")["value"] for name in (code, against))
                if len(of_code) > 1 and len(of_other):
                    about = probing["targets"][target]
                    body.append([trial["split"], _said(target, about) + in_unit(about), *_split(of_code, of_other)])
        heading = (
            f"Is a bad prediction the fault of the head or of {words(code)}? The mean absolute error of the worst head "
            f"on it is the sum of the three numbers that follow (below 0, {words(code)} serves better)"
        )
        headers = ["Split", "Target", f"#Worst head on {words(code)}", "#The head's: saved by a better one",
                   f"#The code's: saved beyond that by {words(against)}", "#Left with both"]  # fmt: skip
        if body:
            found.append((f"{words(code)} against {words(against)}", Part(heading, headers, body)))
    return found


def _split(of_code: pd.Series, of_other: pd.Series) -> list[str]:
    """Errors by head on the code and on what it is compared with, as cells."""
    worst, better, left = of_code.max(), of_code.min(), of_other.min()
    steps = [(worst, of_code.idxmax()), (worst - better, of_code.idxmin()), (better - left, of_other.idxmin())]
    return [*(Markup("{} {}").format(number(value), aside(words(head))) for value, head in steps), number(left)]


def _compared(store: Store, study: str, probing: Mapping) -> tuple[list[Part], list[Part]]:
    """How often one input serves better than another under the first split, and each difference; empty where none were
    compared."""
    split, heads = probing["trials"][0]["split"], probing["trials"][0]["heads"]
    rows = _differences(store, study, f"""split = '{split}' AND "group" = '' """)
    if rows.empty:
        return [], []
    tally, every = [], []
    for pair, here in in_order(rows, ["input", "against"], list(map(tuple, probing["compare"]))):
        counts = Counter(here["verdict"])
        tally.append([*map(words, pair), *(number(counts[verdict]) for verdict in VERDICTS)])
        for target, of_target in in_order(here, "target", list(probing["targets"])):
            about, metric = probing["targets"][target], of_target["metric"].iloc[0]
            by, unit = METRICS[metric], in_unit(about) if metric == "mae" else ""
            cells = {row.head: with_verdict(row, by.shown, falls=by.falls) for row in of_target.itertuples()}
            every.append([*map(words, pair), _said(target, about), by.short + unit,
                          *(cells.get(head, MISSING) for head in heads)])  # fmt: skip
    caption = (
        f"Inputs compared on the same rows under the split {split}: for how many targets and heads the first helps or "
        "hurts, which is when the whole 95 % interval of the difference lies on one side of 0. By chance alone about "
        "one in twenty would."
    )
    lead, differences = ["Input", "Against"], "The first input less the second, with the 95 % interval"
    return (
        [Part(caption, [*lead, *(f"#{verdict.capitalize()}" for verdict in VERDICTS)], tally)],
        [Part(differences, [*lead, "Target", "Measured by", *(f"#{words(head)}" for head in heads)], every)],
    )


def families(store: Store, study: str, spec: Mapping) -> Topic | None:
    """Which families an input helps or hurts in: a table a split, those after the first folded. None where inputs were
    not compared by family."""
    probing = spec.get("probing") or {}
    if not probing.get("families"):
        return None
    rows = _differences(store, study, """"group" <> '' """)
    if rows.empty:
        return None
    tables = []
    for split, here in in_order(rows, "split", [trial["split"] for trial in probing["trials"]]):
        body = []
        for pair, of_pair in in_order(here, ["input", "against"], list(map(tuple, probing["compare"]))):
            named = [_most_first(of_pair.loc[of_pair["verdict"] == verdict, "group"]) for verdict in (HELPS, HURTS)]
            compared = of_pair.groupby("group").size().max()
            body.append([*map(words, pair), *named, number(of_pair["group"].nunique()), number(int(compared))])
        headers = ["Input", "Against", "Helps in", "Hurts in", "#Families", "#Targets and heads"]
        tables.append(Part(f"Families under the split {split}", headers, body))
    said = (
        f"The same differences within each {words(probing['families'])}. The number behind a family says for how many "
        "targets and heads the whole 95 % interval lies on that side of 0; one that is not named shows no difference."
    )
    first, *others = tables
    return Topic("Families that benefit", [said], parts=[first], folded=[Folded(t.heading, [t]) for t in others])


def _differences(store: Store, study: str, where: str) -> pd.DataFrame:
    """Comparisons with their verdicts."""
    rows = store.sql(f"SELECT * FROM comparisons WHERE study = '{study}' AND {where}")
    return rows.assign(verdict=[verdict_of(row, falls=METRICS[row.metric].falls) for row in rows.itertuples()])


def _most_first(names: pd.Series) -> str:
    counts = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {n}" for name, n in counts) or MISSING


def _said(target: str, about: Mapping) -> str:
    return about.get("description") or words(target).capitalize()
