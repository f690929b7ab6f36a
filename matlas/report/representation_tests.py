"""What representations were put through, each test as a compact table in plain words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from matlas.report.formats import MISSING, number, score, share, words
from matlas.report.tables import Part
from matlas.report.topics import (
    Folded,
    Topic,
    in_colour,
    in_order,
    in_unit,
    missing,
    with_interval,
    with_verdict,
)
from matlas.report.unmixing import noise_topic, pixel_fit_topic

if TYPE_CHECKING:
    from matlas.store import Store

_SPACE = ["view", "representation"]
_CASES = {  # of the test for holes, in words
    "held-out": "held-out rows as they are", "reconstructed": "held-out rows, rebuilt",
    "line": "codes half-way between two held-out rows", "prior": "random codes, N(0, I)",
    "fitted Gaussian": "random codes, spread as those of the training rows",
}  # fmt: skip
_STRATEGIES = ("uncertainty", "novelty", "random")
_INPUTS = ("descriptors", "pca own", "pca source", "encoder own", "encoder source", "grey-box")
_AGAINST = {"descriptors": "the descriptors", "pca_source": "PCA of the source", "encoder_own": "the own encoder"}
_SCORES = {"r2": "R²", "roc_auc": "ROC AUC"}


def representation_tests(store: Store, study: str, spec: Mapping) -> list[Topic]:
    """A topic a test of the study, in their order. Raises DataError for one without results."""
    rows = store.sql(f"SELECT * FROM tests WHERE study = '{study}'")
    topics = []
    for name, asked in (spec.get("tests") or {}).items():
        if not asked:
            continue
        names = {audit.test for audit in AUDITS} | {FAMILIES} if name == "audit" else {name}
        found = rows[rows["test"].isin(names)]
        if found.empty:
            raise missing("the results of a test are", study, name)
        topics.append(_TOPICS[name](found, asked, spec.get("probing") or {}))
    return topics


def _one(rows: pd.DataFrame, **where):
    """The row with these values, None where there is none."""
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return next(rows.itertuples(), None)


def _cell(rows: pd.DataFrame, shown: Callable[..., str] = number, *, beside: bool = False, **where) -> str:
    row = _one(rows, **where)
    return MISSING if row is None else with_interval(row, shown, beside=beside)


def _bottleneck(rows: pd.DataFrame, asked: Mapping, probing: Mapping) -> Topic:
    targets, curves = probing.get("targets", {}), ("autoencoder", "pca", "autoencoder, shuffled", "pca, shuffled")
    read = rows.loc[rows["metric"].isin(_SCORES), ["group", "metric"]].drop_duplicates().values.tolist()
    kept = [(group, metric, score) for group, metric in read]
    headers = ["#Width"]
    for target, metric in read:
        named = targets.get(target, {}).get("description") or words(target).capitalize()
        headers += [f"#{named} ({_SCORES[metric]}), autoencoder", f"#{named} ({_SCORES[metric]}), PCA"]
    if (rows["metric"] == "polymorph_percentile").any():
        kept.append(("", "polymorph_percentile", share))
        headers += ["#Polymorphs, autoencoder", "#Polymorphs, PCA"]
    errors, left = [], []
    for width in sorted(rows["x"].dropna().unique()):
        here = rows[rows["x"] == width]
        change = _one(here, case="autoencoder - pca", metric="mse_difference")
        cells = [_cell(here, case=case, metric="mse") for case in curves]
        errors.append([number(width), *cells[:2], MISSING if change is None else with_verdict(change), *cells[2:]])
        left.append([
            number(width),
            *(_cell(here, shown, case=c, metric=m, group=g) for g, m, shown in kept for c in ("autoencoder", "pca")),
            _cell(here, case="autoencoder", metric="active_units"),
        ])  # fmt: skip
    bends = [
        [case.replace("pca", "PCA"),
         *(_cell(rows, shown, case=case, metric=metric + axis) for axis in ("", "_linear")
           for metric, shown in (("elbow", number), ("elbow_strength", share)))]
        for case in curves
    ]  # fmt: skip
    said = (
        f"An autoencoder like {asked['encoder']} and principal components of {asked['view']} at each width of the "
        "code, on the rows as they are and on rows whose columns are shuffled one by one, which leaves nothing to be "
        "learned but the columns themselves; means over networks from several initial weights. Error: mean squared "
        "error of held-out rows in standardised units. Polymorphs: the median share of random pairs that lie nearer "
        "than two crystals of one formula and different prototypes; 0 % is as near as can be."
    )
    parts = [
        Part("Error at each width", ["#Width", "#Autoencoder", "#PCA", "#Autoencoder less PCA",
                                     "#Autoencoder, shuffled", "#PCA, shuffled"], errors),
        Part("Where the error bends: the width at which it lies furthest below a straight line from the first to the "
             "last, and how far, as a share of what it falls in all; over the logarithm of the width, and over the "
             "width itself, where any curve that flattens bends",
             ["Of", "#Width (logarithmic)", "#Below the line", "#Width (linear)", "#Below the line"], bends),
        Part("What can be read from the code at each width", [*headers, "#Active units"], left),
    ]  # fmt: skip
    return Topic("How narrow a code?", [said], parts=parts)


def _manifold(rows: pd.DataFrame, asked: Mapping, probing: Mapping) -> Topic:
    body = []
    for name in ["", *asked["encoders"]]:
        here = rows[(rows["representation"] == name) & ((rows["case"] != "line") | (rows["x"] == 0.5))]
        for case, found in in_order(here, "case", list(_CASES)):
            body.append([
                name or MISSING, _CASES.get(case, case), number(int(found["n"].max())),
                *(_cell(found, metric=metric) for metric in ("distance", "distance_p95")),
                _cell(found, share, metric="share_beyond"),
            ])  # fmt: skip
    said = (
        f"What decoders make of codes, and how far it lies from the nearest training row of {asked['view']} (root mean "
        "square over the standardised columns). In a hole: further out than 95 % of the held-out rows. Codes from "
        "N(0, I) are what a variational encoder is trained for, while the code of a plain autoencoder has no unit "
        "scale: like for like are the shares of codes drawn with the spread of the training codes."
    )
    headers = ["Encoder", "What is decoded", "#Samples", "#Median distance", "#95 % quantile", "#In a hole"]
    return Topic("Holes in the code", [said], parts=[Part("Distance to the nearest training row", headers, body)])


def _neighbourhood(rows: pd.DataFrame, asked: Mapping, probing: Mapping) -> Topic:
    order = [(view, "features") for view in dict.fromkeys(s.split("/")[0] for s in asked["spaces"])]
    order += [tuple(space.split("/")) for space in asked["spaces"]]
    kept, alike = [], {label: [] for label in asked["labels"]}
    for (view, name), here in in_order(rows, _SPACE, order):
        space = [view, "the features themselves" if name == "features" else name]
        if name != "features":
            measured = [_cell(here, score, metric=metric) for metric in ("trustworthiness", "continuity")]
            shares = ("neighbourhood_consistency", "neighbourhood_consistency_chance")
            kept.append([*space, *measured, *(_cell(here, share, metric=metric) for metric in shares)])
        for label, lines in alike.items():
            of_label = here[here["group"] == label]
            measured = [(share, "knn_purity"), (share, "knn_purity_chance"), (score, "silhouette")]
            cells = [_cell(of_label, shown, metric=metric, beside=True) for shown, metric in measured]
            lines.append([words(label), *space, *cells])
    said = (
        f"The {asked['k']} nearest neighbours in each space, against those in the standardised features of its view, "
        f"among at most {number(asked['rows'])} entities. Trustworthiness falls with neighbours that are far in the "
        "features, continuity with neighbours in the features that are far in the space; 1 is all kept."
    )
    headers = ["View", "Space", "#Trustworthiness", "#Continuity", "#Neighbours kept", "#By chance"]
    parts = [Part("Neighbours that stay neighbours", headers, kept)]
    if alike:
        headers = ["Classes", "View", "Space", "#Of the same class", "#By chance", "#Silhouette"]
        parts.append(Part("Neighbours of the same class", headers, sum(alike.values(), [])))
    return Topic("Neighbours", [said], parts=parts)


def _uncertainty(rows: pd.DataFrame, asked: Mapping, probing: Mapping) -> Topic:
    unit = in_unit(probing.get("targets", {}).get(asked["target"], {}))
    intervals, errors = [], []
    for name, here in in_order(rows[rows["group"] == ""], "representation", asked["inputs"]):
        for side in ("inside", "outside"):
            cases = (side, f"{side}, scaled by distance")
            cells = [(share, "coverage"), (number, "width")]
            covered = [_cell(here, shown, case=case, metric=metric) for case in cases for shown, metric in cells]
            intervals.append([words(name), side, *covered])
            rho = [_cell(here, score, case=side, metric=f"rho_{by}") for by in ("reconstruction", "distance")]
            both = _cell(here, share, case=side, metric="explained_by_both")
            errors.append([words(name), side, _cell(here, case=side, metric="mae"), *rho, both])
    by_fold, covered = [], rows[(rows["group"] != "") & (rows["metric"] == "coverage")]
    for fold, here in in_order(covered, "group", sorted(set(covered["group"]))):
        cases = ("outside", "outside, scaled by distance")
        cells = [_cell(here, share, representation=name, case=c) for name in asked["inputs"] for c in cases]
        by_fold.append([fold, number(int(here["n"].max())), *cells])
    level = share(asked["level"])
    said = (
        f"Intervals around predictions of {words(asked['target'])} by {words(asked['head'])} that shall cover {level}, "
        f"under the split {asked['split']}. Inside: on groups like those trained and calibrated on; outside: on groups "
        "that were left out. Scaled: the wider, the further the entity lies from the training rows. ρ: rank "
        "correlation of the size of the error with how badly the entity is rebuilt, and with how far it is; explained: "
        "by both together, as a share of the variance of the ranks."
    )
    lead = ["Input", "Tested"]
    of_intervals = [*lead, "#Covered", f"#Width{unit}", "#Covered, scaled", f"#Width, scaled{unit}"]
    of_errors = [*lead, f"#MAE{unit}", "#ρ with reconstruction error", "#ρ with distance", "#Explained by both"]
    parts = [
        Part(f"Intervals that shall cover {level}", of_intervals, intervals),
        Part("What goes with errors", of_errors, errors),
    ]
    each = [f"#{words(name)}{end}" for name in asked["inputs"] for end in ("", ", scaled")]
    caption = "Share of the entities of a group that was left out whose interval covers the truth"
    folded = Folded(f"Each of {len(by_fold)} groups", [Part(caption, ["Group", "#Entities", *each], by_fold)])
    return Topic("Trust in predictions", [said], parts=parts, folded=[folded] if by_fold else [])


def _active_learning(rows: pd.DataFrame, asked: Mapping, probing: Mapping) -> Topic:
    unit = in_unit(probing.get("targets", {}).get(asked["target"], {}))
    spaces = [tuple(space.split("/")) for space in asked["spaces"]]
    sizes = sorted(rows["x"].dropna().unique())
    first, last = number(sizes[0]), number(sizes[-1])
    body, curves = [], []
    for (view, name), of_space in in_order(rows, _SPACE, spaces):
        for strategy, here in in_order(of_space, "case", _STRATEGIES):
            less = _one(here, x=sizes[-1], metric="mae_less_random")
            ends = [_cell(here, x=size, metric="mae") for size in (sizes[0], sizes[-1])]
            body.append([view, name, strategy, *ends, MISSING if less is None else with_verdict(less)])
            curves.append([view, name, strategy, *(_cell(here, x=size, metric="mae") for size in sizes)])
    said = (
        f"Labels of {words(asked['target'])} are asked for in batches of {asked['batch']}: those that a model is least "
        "sure of, those least like any labelled one, or any; the model is fitted again after each batch and judged on "
        f"entities that are never in the pool. Medians over {asked['seeds']} repetitions with the range of 95 % of "
        "them; the last column is the mean difference to asking at random in the same repetition, with its interval."
    )
    lead = ["View", "Space", "Asked for by"]
    headers = [*lead, f"#MAE with {first} labels{unit}", f"#with {last}{unit}", f"#Less random with {last}{unit}"]
    each = Part(f"Mean absolute error{unit} by number of labels", [*lead, *(f"#{number(s)}" for s in sizes)], curves)
    parts = [Part("Error with the first labels and with all", headers, body)]
    return Topic("What to label next", [said], parts=parts, folded=[Folded("The error after each batch", [each])])


def _transfer(rows: pd.DataFrame, asked: Mapping, probing: Mapping) -> Topic:
    found = rows[rows["group"] != ""]
    sizes, body, parts = sorted(found["x"].unique()), [], []
    for target, of_target in in_order(found, "group", asked["targets"]):
        about = probing.get("targets", {}).get(target, {})
        said, unit = about.get("description") or words(target).capitalize(), in_unit(about)
        for head, of_head in in_order(of_target, "case", asked["heads"]):
            for name, named in _AGAINST.items():
                less = [_one(of_head, x=size, metric=f"mae_less_{name}") for size in sizes]
                cells = [MISSING if row is None else with_verdict(row) for row in less]
                body.append([f"{said}{unit}", words(head), named, *cells])
            errors = [
                [number(size), *(_cell(of_head, x=size, representation=i, metric="mae") for i in _INPUTS)]
                for size in sorted(of_head["x"].unique())
            ]
            headers = ["#Labelled", *(f"#{name}" for name in _INPUTS)]
            parts.append(Part(f"{said}: mean absolute error{unit} of {words(head)}", headers, errors))
    learned, shared = (_one(rows, metric=f"{name}_compositions") for name in ("source", "shared"))
    sentences = [
        f"The encoder {asked['encoder']} learns from the unlabelled compositions of {asked['source']}; frozen, its "
        f"code of {asked['view']} is what heads read from, with few labelled groups ({words(asked['group'])}). "
        "Differences of the mean absolute error to other inputs are means over "
        f"{asked['seeds']} repetitions on the same rows, with 95 % intervals; below 0 the foreign encoder errs less."
    ]
    if learned and shared:
        kept = f"{number(shared.value)} that the study has too were kept from it"
        sentences.append(f"It learned from {number(learned.value)} compositions; {kept}.")
    headers = ["Target", "Head", "Less that of", *(f"#{number(size)} labelled" for size in sizes)]
    adds = Part("What the encoder of the source adds, for each number of labelled groups", headers, body)
    return Topic("Transfer", sentences, parts=[adds], folded=[Folded("The errors themselves", parts)])


# --- audits -----------------------------------------------------------------------------------------------------------

FAMILIES = "out_of_family"


@dataclass(frozen=True)
class Audit:
    """A way to fail, and where its records are. beside : yardsticks (case, metric, in words) on the data; data :
    whether it is looked for in the data at all; planted : the case in which it was planted."""

    test: str
    group: str
    says: str
    metric: str
    beside: Sequence[tuple[str, str, str]] = ()
    data: bool = True
    planted: str = "planted"


_METRICS = {  # in words, and how they are shown
    "spearman": ("ρ", score), "roc_auc": ("ROC AUC", score), "share_confused": ("confused", share),
    "percentile": ("median percentile", share), "difference": ("error", partial(number, signed=True)),
    "earlier": ("error", number),
}  # fmt: skip
_RHO, _AUC = (("data, shuffled order", metric, "in random order") for metric in ("spearman", "roc_auc"))
AUDITS = (
    Audit("shortcut", "row number", "The code knows the place in the file", "spearman", (_RHO,)),
    Audit("shortcut", "row number", "The same, planted in a single descriptor", "spearman", data=False,
          planted="planted, one column"),
    Audit("shortcut", "batch", "The code knows the batch", "roc_auc", (_AUC,)),
    Audit("polymorphs", "", "Polymorphs are taken for each other", "share_confused",
          (("data", "percentile", "in the code"), ("data, descriptors", "percentile", "in the descriptors"))),
    Audit("polymorphs", "stable and unstable", "A stable and an unstable polymorph are, too", "share_confused",
          (("data", "percentile", "in the code"), ("data, descriptors", "percentile", "in the descriptors"))),
    Audit("source_bias", "", "The code tells the sources apart", "roc_auc",
          (("data, descriptors", "roc_auc", "in the descriptors"), ("random labels", "roc_auc", "random labels"))),
    Audit("drift", "", "Later rows are rebuilt worse than earlier ones", "difference",
          (("data", "earlier", "of earlier rows"),)),
)  # fmt: skip


def _audit(rows: pd.DataFrame, asked: Mapping, probing: Mapping) -> Topic:
    body, folded = [], []
    for audit in AUDITS:
        here = rows[(rows["test"] == audit.test) & (rows["group"] == audit.group)]
        if not here.empty:
            beside = [f"{_measured(here, case, metric, bare=True)} {said}" for case, metric, said in audit.beside]
            data = _judgement(here, "data", audit.metric, welcome=False) if audit.data else [MISSING, MISSING]
            planted = _judgement(here, audit.planted, audit.metric, welcome=True)
            body.append([audit.says, *data, "; ".join(beside) or MISSING, *planted])
    families = rows[rows["test"] == FAMILIES]
    unseen = families[(families["group"] != "") & (families["case"] == "data")]
    if not unseen.empty:
        caught, found = (unseen.loc[unseen["metric"] == metric, "value"] for metric in ("caught", "roc_auc"))
        whole = families[families["group"] == ""]
        data = [f"ROC AUC {score(found.min())} to {score(found.max())}",
                in_colour(f"{int(caught.sum())} of {len(caught)} caught", bool(caught.all()))]  # fmt: skip
        beside = f"{_measured(whole, 'planted, Mahalanobis', 'roc_auc', bare=True)} planted, by Mahalanobis distance"
        planted = _judgement(whole, "planted", "roc_auc", welcome=True)
        body.append(["Families that were never seen pass for known", *data, beside, *planted])
        each = []
        for family, of_family in in_order(families[families["group"] != ""], "group", sorted(set(families["group"]))):
            cells = [_judgement(of_family, case, "roc_auc", welcome=True) for case in ("data", "data, Mahalanobis")]
            each.append([family, number(int(of_family["n"].max())), *cells[0], *cells[1]])
        headers = ["Family", "#Rows judged", "#By reconstruction error", "Caught", "#By Mahalanobis distance", "Caught"]
        caption = "How well each family is told from held-out rows of the others by an encoder that has not seen it"
        folded = [Folded(f"Each of {len(each)} families", [Part(caption, headers, each)])]
    said = (
        f"Ways in which {asked['encoder']} on {asked['view']} can fail, each measured on the data and on data in which "
        "the failure is planted. A planted one that is not caught would not be seen in the data either. On the data, "
        "caught means that the embedding has the failure; of families that were never seen, that it gives them away, "
        "as it should."
    )
    if (rows["test"] == "shortcut").any():
        said += (
            " The place in the file is found, too, where the file is sorted, or made of several sources one after the "
            "other: what a code should know of a row then tells its place."
        )
    if (rows["metric"] == "percentile").any():
        said += (
            " Confused: rebuilt from the code nearer to the other polymorph than to itself (half, for a code that "
            "can't tell them apart). Median percentile: the share of random pairs that lie nearer than two polymorphs."
        )
    headers = ["Failure", "#On the data", "Caught", "Beside it", "#Planted", "Caught"]
    return Topic("Audits", [said], parts=[Part("Failures looked for", headers, body)], folded=folded)


def _judgement(rows: pd.DataFrame, case: str, metric: str, *, welcome: bool) -> list[str]:
    """What was measured in a case, and whether it was caught. welcome : whether that is good."""
    caught = _one(rows, case=case, metric="caught")
    if caught is None:
        return [_measured(rows, case, metric), MISSING]
    verdict = "caught" if caught.value else "not caught"
    return [_measured(rows, case, metric), in_colour(verdict, bool(caught.value) == welcome)]


def _measured(rows: pd.DataFrame, case: str, metric: str, *, bare: bool = False) -> str:
    row = _one(rows, case=case, metric=metric)
    if row is None:
        return MISSING
    named, shown = _METRICS[metric]
    return Markup("{} {}").format(named, shown(row.value) if bare else with_interval(row, shown))


_TOPICS = {
    "bottleneck": _bottleneck, "manifold": _manifold, "neighbourhood": _neighbourhood, "uncertainty": _uncertainty,
    "active_learning": _active_learning, "audit": _audit, "transfer": _transfer,
    "noise": noise_topic, "pixel_fit": pixel_fit_topic,
}  # fmt: skip
