"""The report says of learned representations what their tables say: splits, networks, probes, families and tests."""

from itertools import product

import lxml.html
import numpy as np
import pandas as pd
import pytest

from matlas.catalog import build_catalog
from matlas.errors import DataError
from matlas.report.build import render
from matlas.report.formats import number, score, share
from matlas.report.representation_tests import AUDITS, FAMILIES
from matlas.tables import read_table
from schemas.fields import FIELDS
from schemas.table import Field, TableSchema
from schemas.tables.analysis import CLAIMS, METRICS
from schemas.tables.dataset import REJECTS
from schemas.tables.learning import COMPARISONS, HISTORY, PROBES, TESTS, failures_schema, split_schema
from tests.unit.results_folder import put

N = 60
KEY = FIELDS["material_id"]
FAMILY_NAMES = ["iodide", "nitride", "oxide"]
HEADS = {"systems_3": ["ridge", "boosting"], "highest_energy": ["ridge"]}
PROBING = {
    "targets": {
        "energy": {"sql": "energy", "unit": "eV/atom", "description": "Formation energy"},
        "metal": {"sql": "gap = 0", "unit": "1", "description": ""},
    },
    "inputs": {name: [f"shape/{name}"] for name in ("descriptors", "pca2", "ae2")},
    "trials": [{"split": split, "heads": heads, "inputs": [], "targets": []} for split, heads in HEADS.items()],
    "resampled_by": "chemical_system", "families": "chemical_family",
    "compare": [["ae2", "descriptors"], ["ae2", "pca2"]], "draws": 500, "random_state": 0,
}  # fmt: skip
ASKED = {
    "bottleneck": {"view": "shape", "encoder": "ae2", "widths": [2, 4, 8], "targets": ["energy"]},
    "manifold": {"view": "shape", "encoders": ["ae2", "vae3"], "samples": 100, "lines": 20},
    "neighbourhood": {"spaces": ["shape/pca2", "shape/ae2"], "labels": ["chemical_family"], "k": 5, "rows": 60},
    "uncertainty": {"target": "energy", "inputs": ["descriptors", "ae2"], "head": "ridge", "split": "systems_3",
                    "level": 0.9},
    "active_learning": {"target": "energy", "spaces": ["shape/ae2"], "split": "by_system", "start": 10, "batch": 5,
                        "rounds": 2, "seeds": 3},
    "audit": {"view": "shape", "encoder": "ae2", "families": "chemical_family"},
    "transfer": {"source": "minerals", "view": "shape", "encoder": "ae2", "columns": [], "group": "composition",
                 "heads": ["ridge"], "targets": ["energy"], "sizes": [5, 10], "seeds": 3},
}  # fmt: skip
STUDY = {
    "title": "What a code is worth", "description": "", "cites": "", "dataset": "hulls", "views": ["shape"],
    "representations": ["pca2", "factors2", "ae2", "vae3"], "maps": [], "clusterings": [],
    "evaluation": {"label": None, "conditions": []}, "figures": [], "tables": [], "claims": [], "probing": PROBING,
    "tests": ASKED,
}  # fmt: skip
STRUCTURE = {
    "dataset": "hulls", "views": ["shape"], "spaces": [("shape", name) for name in STUDY["representations"]],
    "maps": [], "clustered": [], "networks": [("shape", "ae2"), ("shape", "vae3")],
    "splits": ["by_system", "highest_energy", "systems_3"],
}  # fmt: skip
METHODS = {
    "splits": {
        "by_system": {"kind": "holdout", "by": "chemical_system", "test": 0.2, "validation": 0.1, "random_state": 0},
        "systems_3": {"kind": "folds", "by": "chemical_system", "folds": 3, "random_state": 0},
        "highest_energy": {"kind": "extremes", "by": "energy", "share": 0.05, "end": "high", "ordinary": 0.2},
    },
    "representations": {
        "pca2": {"algorithm": "pca", "n_components": 2, "split": "by_system", "standardise": True},
        "factors2": {"algorithm": "factor_analysis", "n_components": 2, "split": "by_system"},
        "ae2": {"algorithm": "autoencoder", "kind": "plain", "layers": [4, 2], "split": "by_system"},
        "vae3": {"algorithm": "autoencoder", "kind": "variational", "layers": [3], "split": "by_system"},
    },
}  # fmt: skip
ERRORS = {"pca2": 0.4, "factors2": 0.45, "ae2": 0.25, "vae3": 0.75}
COLLAPSE = {"ae2": (2, 2, 1.75), "vae3": (3, 1, 1.0)}  # width, active units, participation ratio
LOSSES = {"ae2": [0.9, 0.5, 0.25, 0.25, 0.5], "vae3": [0.9, 0.8, 0.7, 0.75]}
KEPT = {"ae2": 3, "vae3": 4}  # the last of a network that was trained to the end
DATASETS = {
    "hulls": {"kind": "crystal", "title": "All hulls", "source": "mine", "path": None, "tables": {"a": {}, "b": {}}}
}
SOURCES = {"mine": {"title": "Mine", "licence": "some", "citation": "", "notes": "", "files": {}}}


def interval(draw, n, *, wide=0.1):
    value = draw.uniform(-1, 1, size=n)
    return {"value": value, "low": value - draw.uniform(0, wide, n), "high": value + draw.uniform(0, wide, n)}


def probes_of(probing, trial, draw):
    """Scores of every input and head, of their shuffled controls and of the mean, pooled and in a fold."""
    extremes = trial["split"].startswith("highest")
    rows = []
    for target, about in probing["targets"].items():
        task = "classification" if about["unit"] == "1" else "regression"
        metrics = ["top_k_recall", "mae"] if extremes else ["roc_auc"] if task == "classification" else ["mae", "r2"]
        heads = [*trial["heads"], *(f"{head} (shuffled)" for head in trial["heads"])]
        models = list(product(trial["inputs"] or probing["inputs"], heads))
        rows += [
            (trial["split"], target, task, *model, fold, group, metric)
            for model, fold, metric in product([*models, ("none", "mean")], ["all", "fold 1"], metrics)
            for group in (["", *FAMILY_NAMES] if task == "regression" else [""])
        ]
    frame = pd.DataFrame(rows, columns=["split", "target", "task", "input", "head", "fold", "group", "metric"])
    used = frame["head"].str.startswith("boosting").map({True: 25, False: 40})
    return frame.assign(study="learned", n=N, rows_used=used, **interval(draw, len(frame)))[PROBES.columns]


def comparisons_of(probing, trial, draw):
    rows = []
    for target, about in probing["targets"].items():
        classes = about["unit"] == "1"
        rows += [
            (trial["split"], target, head, *pair, group, "roc_auc" if classes else "mae")
            for head, pair in product(trial["heads"], probing["compare"])
            for group in ([""] if classes else ["", *FAMILY_NAMES])
        ]
    frame = pd.DataFrame(rows, columns=["split", "target", "head", "input", "against", "group", "metric"])
    return frame.assign(study="learned", n=N, **interval(draw, len(frame), wide=1.0))[COMPARISONS.columns]


def places_of(test, asked):
    """(view, representation, test, case, group, x, metric) of every record, as matlas.evaluate writes them."""
    view = asked.get("view", "")
    if test == "bottleneck":
        cases = ["autoencoder", "pca"]
        for case in [f"{case}{end}" for case in cases for end in ("", ", shuffled")]:
            yield from ((view, asked["encoder"], test, case, "", x, "mse") for x in asked["widths"])
            bends = [f"{metric}{axis}" for axis in ("", "_linear") for metric in ("elbow", "elbow_strength")]
            yield from ((view, asked["encoder"], test, case, "", None, m) for m in bends)
        for x, case in product(asked["widths"], cases):
            read = [(target, "r2") for target in asked["targets"]]
            for group, metric in [*read, ("", "active_units"), ("", "polymorph_percentile")]:
                yield view, asked["encoder"], test, case, group, x, metric
        for x, end in product(asked["widths"], ("", ", shuffled")):
            yield view, asked["encoder"], test, f"autoencoder - pca{end}", "", x, "mse_difference"
    if test == "manifold":
        metrics = ("distance", "distance_p95", "share_beyond")
        yield from ((view, "", test, "held-out", "", None, metric) for metric in metrics)
        steps = [("line", x) for x in (0.0, 0.5, 1.0)]
        cases = [("reconstructed", None), ("prior", None), ("fitted Gaussian", None), *steps]
        for encoder, (case, x), metric in product(asked["encoders"], cases, metrics):
            yield view, encoder, test, case, "", x, metric
    if test == "neighbourhood":
        kept = ("trustworthiness", "continuity", "neighbourhood_consistency", "neighbourhood_consistency_chance")
        for view, name in [("shape", "features"), *(space.split("/") for space in asked["spaces"])]:
            case = "features" if name == "features" else "space"
            yield from ((view, name, test, case, "", asked["k"], m) for m in kept if case == "space")
            for label, metric in product(asked["labels"], ("knn_purity", "knn_purity_chance", "silhouette")):
                yield view, name, test, case, label, asked["k"] if metric != "silhouette" else None, metric
    if test == "uncertainty":
        for name, side, fold in product(asked["inputs"], ("inside", "outside"), ("", *FAMILY_NAMES)):
            for case, metric in product((side, f"{side}, scaled by distance"), ("coverage", "width")):
                yield "", name, test, case, fold, None, metric
            for metric in ("mae", "rho_reconstruction", "rho_distance", "explained_by_both"):
                yield "", name, test, side, fold, None, metric
    if test == "active_learning":
        sizes = [asked["start"] + i * asked["batch"] for i in range(asked["rounds"] + 1)]
        for space, case, x in product(asked["spaces"], ("uncertainty", "novelty", "random"), sizes):
            for metric in ("mae", "mae_less_random")[: 1 if case == "random" else 2]:
                yield *space.split("/"), test, case, asked["target"], x, metric
    if test == "audit":
        yield from ((view, asked["encoder"], *rest) for rest in audited())
    if test == "transfer":
        inputs = ["descriptors", "pca own", "pca source", "encoder own", "encoder source", "grey-box"]
        for target, head, x in product(asked["targets"], asked["heads"], [*asked["sizes"], 12]):
            yield from ((view, name, test, head, target, x, m) for name in inputs for m in ("mae", "r2"))
            for other in ("descriptors", "pca_source", "encoder_own"):
                yield view, "encoder source", test, head, target, x, f"mae_less_{other}"
        for metric in ("source_compositions", "shared_compositions"):
            yield view, "encoder source", test, "", "", None, metric


def audited():
    for group, metric, cases in [("row number", "spearman", ("data", "planted", "planted, one column")),
                                 ("batch", "roc_auc", ("data", "planted"))]:  # fmt: skip
        for case in cases:
            yield "shortcut", case, group, None, metric
            yield "shortcut", f"{case}, shuffled order", group, None, metric
            yield "shortcut", case, group, None, "caught"
    for group in ["", *FAMILY_NAMES]:
        case = "data" if group else "planted"
        for end, metric in product(("", ", Mahalanobis"), ("roc_auc", "caught")):
            yield "out_of_family", f"{case}{end}", group, None, metric
    for group, case in product(("", "stable and unstable"), ("data", "data, descriptors", "planted")):
        yield from (("polymorphs", case, group, None, m) for m in ("percentile", "share_confused", "caught"))
    for case in ("data", "data, unmatched", "data, descriptors", "random labels", "planted"):
        yield from (("source_bias", case, "", None, metric) for metric in ("roc_auc", "caught"))
    for case in ("data", "planted"):
        yield from (("drift", case, "", None, m) for m in ("earlier", "difference", "spearman", "caught"))


def records_of(test, asked, draw):
    columns = ["view", "representation", "test", "case", "group", "x", "metric"]
    frame = pd.DataFrame(places_of(test, asked), columns=columns).astype({"x": float})
    frame = frame.assign(study="learned", dataset="hulls", n=N, seed=0, **interval(draw, len(frame)))
    shares = frame["metric"].isin(["coverage", "share_beyond", "share_confused", "percentile", "polymorph_percentile",
                                   "knn_purity", "explained_by_both", "elbow_strength",
                                   "elbow_strength_linear"])  # fmt: skip
    frame.loc[shares, ["value", "low", "high"]] = (frame.loc[shares, ["value", "low", "high"]] + 1.2) / 2.4
    caught = frame["metric"] == "caught"
    frame.loc[caught, "value"] = np.arange(caught.sum()) % 2.0
    plain = caught | frame["metric"].str.endswith(("_chance", "_compositions"))
    frame.loc[plain, ["low", "high"]] = None
    return frame.astype({"seed": "Int64"})[TESTS.columns]


def parts_of(split, entities):
    """Folds of a split: of the first entity nothing is known under `highest_energy`."""
    if split.startswith("systems"):
        return pd.concat([
            entities.assign(fold=f"fold {i + 1}", part=np.where(np.arange(N) % 3 == i, "test", "train"))
            for i in range(3)
        ])  # fmt: skip
    part = np.where(np.arange(N) < 12, "test", np.where(np.arange(N) < 18, "validation", "train"))
    frame = entities.assign(fold="holdout", part=part)
    return frame[1:].replace("validation", "train") if split.startswith("highest") else frame


def write_results(root, spec=STUDY, structure=STRUCTURE):
    """All tables of a study of crystals, drawn at random; returns their paths."""
    draw, paths = np.random.default_rng(0), []
    about = {"dataset": structure["dataset"]}
    entities = pd.DataFrame({KEY.name: [f"mp-{i}" for i in range(N)]})
    flags = {"in_a": np.arange(N) < 40, "in_b": np.arange(N) >= 30}  # ten crystals stand in both tables
    hulls = entities.assign(energy=draw.normal(size=N), **flags)
    fields = (KEY, Field("energy", "float64", "eV/atom", "Energy"), *(Field(f, "bool", "", "A table") for f in flags))

    def write(path, frame, schema, **attributes):
        paths.append(put(root, f"{path}.parquet", frame, schema, **about, **attributes))

    origin = {"provider": "snapshot", "source": "hulls.csv", "release": "2024.1", "retrieved": "2025-01"}
    write("datasets/hulls", hulls, TableSchema("hulls", "datasets", (KEY.name,), fields), **origin)
    refused = pd.DataFrame({"row": [3, 9], "reason": "close atoms", "column": "cif", "value": "mp-x", "raw": ""})
    write("rejects/hulls", refused, REJECTS)
    failed = entities[:3].assign(reason=["partial occupancy", "partial occupancy", "took too long"])
    write("failures/hulls/shape", failed, failures_schema("shape", KEY), view="shape")
    for split in structure["splits"]:
        write(f"splits/hulls/{split}", parts_of(split, entities), split_schema(split, KEY), split=split)
    for view, name in structure["spaces"]:
        records = [("n_features", 6.0, "all"), ("reconstruction_error", ERRORS.get(name, 0.5), "all")]
        records += [("reconstruction_error", ERRORS.get(name, 0.5), "test"), ("entities", 12.0, "test")]
        if (view, name) in structure["networks"]:
            values = zip(("code_width", "active_units", "participation_ratio"), COLLAPSE[name], strict=True)
            records += [(metric, float(value), "all") for metric, value in values]
            records += [("angle_to_pca", 0.25, "all")] if name == "ae2" else []
            losses = LOSSES[name]
            history = pd.DataFrame({"epoch": range(1, len(losses) + 1), "validation_loss": losses})
            kept = history["epoch"] == KEPT[name]
            history = history.assign(train_loss=0.5, learning_rate=0.001, kept=kept)[HISTORY.columns]
            write(f"histories/hulls/{view}/{name}", history, HISTORY, view=view, representation=name)
        frame = pd.DataFrame(records, columns=["metric", "value", "split"]).assign(
            dataset="hulls", view=view, representation=name, method=name, k=None, seed=0
        )
        frame = frame.astype({"k": "Int64", "seed": "Int64"})[METRICS.columns]
        write(f"metrics/representation/hulls/{view}/{name}", frame, METRICS)
    for trial in spec["probing"]["trials"]:
        write(f"probes/learned/{trial['split']}", probes_of(spec["probing"], trial, draw), PROBES)
        write(f"comparisons/learned/{trial['split']}", comparisons_of(spec["probing"], trial, draw), COMPARISONS)
    for test, asked in spec["tests"].items():
        write(f"tests/learned/{test}", records_of(test, asked, draw), TESTS)
    write("claims/learned", pd.DataFrame(columns=CLAIMS.columns).astype(str).astype(
        {name: float for name in ("expected", "tolerance", "measured")}), CLAIMS)  # fmt: skip
    return paths


def make_results(root, spec=STUDY, structure=STRUCTURE, *, without=None):
    tables = [path for path in write_results(root, spec, structure) if without is None or without not in str(path)]
    build_catalog(root / "matlas.duckdb", tables, root, studies={"learned": structure})
    return root


def rendered(root, spec=STUDY, structure=STRUCTURE, **changes):
    about = {
        "studies": {"learned": spec}, "structures": {"learned": structure}, "skipped": {"learned": None},
        "left_out": {}, "restrictions": {"learned": {}}, "sources": SOURCES, "datasets": DATASETS,
        "logs": root / "logs", "methods": METHODS,
    } | changes  # fmt: skip
    render(root / "report/index.html", root, **about)
    return lxml.html.parse(str(root / "report/index.html")).getroot()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("learned") / "results")


@pytest.fixture(scope="module")
def page(root):
    return rendered(root)


def text(element):
    return " ".join(element.text_content().split())


def rows_of(page, caption):
    """The body of the first table whose caption begins so, as lists of texts."""
    table = next(t for t in page.iter("table") if text(t.find("caption")).startswith(caption))
    return [[text(cell) for cell in row] for row in table.find("tbody").iter("tr")]


def headings(page):
    return [text(h) for h in page.get_element_by_id("study-learned").iter("h3")]


def table_of(root, path):
    return read_table(root / f"{path}.parquet")


def cell(row, shown=number, **options):
    """A value and its interval, as cells show them."""
    return f"{shown(row['value'], **options)} ({shown(row['low'], **options)} to {shown(row['high'], **options)})"


def one(frame, **where):
    for column, value in where.items():
        frame = frame[frame[column] == value]
    (row,) = frame.to_dict("records")
    return row


def test_every_heading_of_a_study_that_learns_stands_once_and_in_order(page):
    assert headings(page) == [
        "Spaces", "Splits", "Networks", "What can be read out", "Families that benefit", "How narrow a code?",
        "Holes in the code", "Neighbours", "Trust in predictions", "What to label next", "Audits", "Transfer",
    ]  # fmt: skip


def test_splits_say_what_they_hold_out_and_how_many_entities_a_fold_has(page):
    points = {text(li.find("strong")): text(li) for li in page.get_element_by_id("study-learned").iter("li")}
    assert points["by_system"] == (
        "by_system: 20 % of the entities are held out, all entities of one chemical system together; 10 % of the rest, "
        "by chemical system, validate. It trains on 42, validates on 6 and tests on 12 entities."
    )
    assert points["systems_3"] == (
        "systems_3: Every entity is held out once, in 3 folds, all entities of one chemical system together. Each of "
        "the 3 folds trains on 40 and tests on 20 entities."
    )
    assert points["highest_energy"] == (
        "highest_energy: The 5 % of the entities with the highest energy are held out, and 20 % of the others. It "
        "trains on 48 and tests on 11 entities. 1 entity is in no fold for lack of energy."
    )


def test_networks_stand_beside_linear_methods_of_their_width_and_a_collapsed_one_is_told(page):
    assert rows_of(page, "Trained networks") == [
        ["ae2", "shape", "plain", "6-4-2-4-6", "5", "3", "0.25", "0.4", "0.45", "2 of 2", "1.75"],
        ["vae3", "shape", "variational", "6-3-6", "4", "4", "0.75", "–", "–", "1 of 3", "1"],
    ]
    said = text(page.get_element_by_id("study-learned"))
    assert "vae3 uses 1 of the 3 units of its code: the other 2 carry nothing (collapse)." in said
    assert "ae2 uses" not in said
    assert "ae2 spans what as many principal components span, but for 0.25° at most." in said
    assert "vae3 spans" not in said


def test_each_target_has_its_inputs_by_heads_with_controls_and_its_best_cell(page, root):
    scores = table_of(root, "probes/learned/systems_3").query("fold == 'all' and group == ''")
    for caption, target, metric, shown, best in [
        ("Formation energy: mean absolute error (eV/atom), 60 entities", "energy", "mae", number, "idxmin"),
        ("Metal: area under the ROC curve, 60 entities", "metal", "roc_auc", score, "idxmax"),
    ]:
        here = scores[(scores["target"] == target) & (scores["metric"] == metric)]
        winner = here.loc[getattr(here.loc[here["head"].isin(HEADS["systems_3"]), "value"], best)()]
        *inputs, nothing = rows_of(page, caption)
        assert [row[0] for row in inputs] == ["descriptors", "pca2", "ae2"]
        for name, *cells in inputs:
            for head, found in zip(HEADS["systems_3"], cells, strict=True):
                is_best = (name, head) == (winner["input"], winner["head"])
                chance = one(here, input=name, head=f"{head} (shuffled)")["value"]
                expected = "best " * is_best + cell(one(here, input=name, head=head), shown)
                assert found == f"{expected} shuffled {shown(chance)}"
        assert nothing == ["none", cell(one(here, head="mean"), shown), "–"]
    assert "draws of whole groups of one chemical system" in text(page)


def test_captions_name_the_heads_that_learned_from_a_part_of_the_training_rows(page):
    captions = [text(caption) for caption in page.iter("caption")]
    energy = "Formation energy: mean absolute error (eV/atom), 60 entities"
    assert f"{energy}; of up to 40 training rows boosting used 25" in captions
    assert energy in captions  # ridge alone, which used all


def test_the_error_splits_into_the_fault_of_the_head_that_of_the_code_and_what_is_left(tmp_path):
    errors = {
        ("ae2", "ridge"): 0.5, ("ae2", "boosting"): 0.3, ("descriptors", "ridge"): 0.25,
        ("descriptors", "boosting"): 0.125, ("pca2", "ridge"): 0.375, ("pca2", "boosting"): 0.4,
        ("both", "ridge"): 0.1, ("both", "boosting"): 0.2,
    }  # fmt: skip
    compare = [["both", "ae2"], ["ae2", "descriptors"], ["ae2", "pca2"]]  # both is no code of its own
    inputs = PROBING["inputs"] | {"both": ["shape/descriptors", "shape/ae2"]}
    spec = STUDY | {"probing": PROBING | {"inputs": inputs, "compare": compare}}
    root = tmp_path / "results"
    tables = write_results(root, spec)
    frame = table_of(root, "probes/learned/systems_3")
    places = list(zip(frame["input"], frame["head"], strict=True))
    frame["value"] = [errors.get(place, value) for place, value in zip(places, frame["value"], strict=True)]
    put(root, "probes/learned/systems_3.parquet", frame, PROBES)
    build_catalog(root / "matlas.duckdb", tables, root, studies={"learned": STRUCTURE})
    page = rendered(root, spec=spec)
    question = "Is a bad prediction the fault of the head or of ae2?"
    lead = ["systems_3", "Formation energy (eV/atom)", "0.5 ridge", "0.2 boosting"]
    shown, folded = [t for t in page.iter("table") if text(t.find("caption")).startswith(question)]
    assert rows_of(page, question) == [[*lead, "0.175 boosting", "0.125"]]  # 0.3 - 0.125
    assert [text(cell) for cell in folded.find("tbody")[0]] == [*lead, "−0.075 ridge", "0.375"]  # 0.3 - 0.375
    assert len(folded.find("tbody")) == 1 and not list(shown.iterancestors("details"))
    (details,) = folded.iterancestors("details")
    assert text(details.find("summary")) == "The same question of ae2 against pca2"
    assert "fault of the head or of both" not in text(page)


def test_the_other_splits_are_folded_and_extremes_have_their_recall(page):
    summary = "The same under the split highest_energy"
    (folded,) = [d for d in page.iter("details") if text(d.find("summary")) == summary]
    captions = [text(caption) for caption in folded.iter("caption")]
    assert captions[:2] == [
        "Formation energy: share of the most extreme ones that is found, 60 entities",
        "Formation energy: mean absolute error (eV/atom), 60 entities",
    ]


def test_a_comparison_helps_only_when_its_whole_interval_lies_on_the_better_side_of_0(tmp_path):
    rows = [  # target, metric, value, low, high, verdict
        ("energy", "mae", -0.25, -0.5, -0.125, "helps"), ("energy", "mae", 0.25, 0.125, 0.5, "hurts"),
        ("metal", "roc_auc", 0.25, 0.125, 0.5, "helps"),
        ("metal", "roc_auc", -0.25, -0.5, 0.125, "no difference shown"),
    ]  # fmt: skip
    frame = pd.DataFrame({
        "study": "learned", "split": "systems_3", "target": [row[0] for row in rows], "head": ["ridge", "boosting"] * 2,
        "input": "ae2", "against": "descriptors", "group": "", "metric": [row[1] for row in rows],
        "value": [row[2] for row in rows], "low": [row[3] for row in rows], "high": [row[4] for row in rows], "n": N,
    })  # fmt: skip
    root = tmp_path / "results"
    tables = write_results(root)
    put(root, "comparisons/learned/systems_3.parquet", frame[COMPARISONS.columns], COMPARISONS)
    build_catalog(root / "matlas.duckdb", tables, root, studies={"learned": STRUCTURE})
    page = rendered(root)
    assert rows_of(page, "Inputs compared on the same rows") == [["ae2", "descriptors", "2", "1", "1"]]
    assert rows_of(page, "The first input less the second") == [
        ["ae2", "descriptors", "Formation energy", "MAE (eV/atom)", "−0.25 (−0.5 to −0.125) helps",
         "+0.25 (+0.125 to +0.5) hurts"],
        ["ae2", "descriptors", "Metal", "ROC AUC", "0.250 (0.125 to 0.500) helps",
         "−0.250 (−0.500 to 0.125) no difference shown"],
    ]  # fmt: skip


def test_families_are_named_with_how_often_an_input_helps_or_hurts_in_them(page, root):
    found = table_of(root, "comparisons/learned/systems_3").query("group != ''")
    shown = {(row[0], row[1]): row[2:] for row in rows_of(page, "Families under the split systems_3")}
    assert list(shown) == [tuple(pair) for pair in PROBING["compare"]]
    named = 0
    for (first, second), cells in shown.items():
        pair = found[(found["input"] == first) & (found["against"] == second)]
        for side, cell_text in [(pair["high"] < 0, cells[0]), (pair["low"] > 0, cells[1])]:
            counts = pair.loc[side, "group"].value_counts()
            assert (
                cell_text == "–"
                if counts.empty
                else sorted(cell_text.split(", ")) == sorted(f"{family} {n}" for family, n in counts.items())
            )
            named += len(counts)
        assert cells[2:] == ["3", "2"]  # families; one target of numbers, two heads
    assert named


def test_the_bottleneck_has_a_row_a_width_and_says_where_the_error_bends(page, root):
    tests = table_of(root, "tests/learned/bottleneck")
    rows, left = rows_of(page, "Error at each width"), rows_of(page, "What can be read from the code")
    assert [row[0] for row in rows] == [row[0] for row in left] == ["2", "4", "8"]
    cases = ["autoencoder", "pca", None, "autoencoder, shuffled", "pca, shuffled"]
    for row, read in zip(rows, left, strict=True):
        of_width = tests[tests["x"] == float(row[0])]
        for place, case in enumerate(cases, 1):
            if case:
                assert row[place] == cell(one(of_width, case=case, metric="mse"))
        assert read[1] == cell(one(of_width, case="autoencoder", metric="r2"), score)
        assert read[4] == cell(one(of_width, case="pca", metric="polymorph_percentile"), share)
        assert read[5] == cell(one(of_width, case="autoencoder", metric="active_units"))
        assert row[3].startswith(cell(one(of_width, case="autoencoder - pca", metric="mse_difference"), signed=True))
    bends = {row[0]: row[1:] for row in rows_of(page, "Where the error bends")}
    assert bends["PCA"][0] == cell(one(tests, case="pca", metric="elbow"))
    assert bends["PCA"][2:] == [
        cell(one(tests, case="pca", metric="elbow_linear")),
        cell(one(tests, case="pca", metric="elbow_strength_linear"), share),
    ]
    assert bends["autoencoder, shuffled"][1] == cell(
        one(tests, case="autoencoder, shuffled", metric="elbow_strength"), share
    )


def test_holes_are_counted_for_every_way_of_drawing_codes_and_on_lines_half_way(page, root):
    tests = table_of(root, "tests/learned/manifold")
    rows = rows_of(page, "Distance to the nearest training row")
    assert len(rows) == 1 + 2 * 4 and rows[0][:2] == ["–", "held-out rows as they are"]
    drawn = {row[0]: row[5] for row in rows if row[1] == "random codes, spread as those of the training rows"}
    standard = {row[0]: row[5] for row in rows if row[1] == "random codes, N(0, I)"}
    for case, shown in (("fitted Gaussian", drawn), ("prior", standard)):
        of_case = tests[(tests["case"] == case) & (tests["metric"] == "share_beyond")]
        assert shown == {name: cell(one(of_case, representation=name), share) for name in ("ae2", "vae3")}
    assert "the code of a plain autoencoder has no unit scale: like for like are the shares of codes drawn" in text(
        page
    )
    (line,) = [row for row in rows if row[:2] == ["vae3", "codes half-way between two held-out rows"]]
    here = tests.query("representation == 'vae3' and case == 'line' and x == 0.5")
    assert line[3:] == [
        cell(one(here, metric="distance")), cell(one(here, metric="distance_p95")),
        cell(one(here, metric="share_beyond"), share),
    ]  # fmt: skip


def test_neighbours_of_a_class_stand_beside_chance_and_the_features_themselves(page, root):
    tests = table_of(root, "tests/learned/neighbourhood")
    assert [row[1] for row in rows_of(page, "Neighbours that stay neighbours")] == ["pca2", "ae2"]
    rows = rows_of(page, "Neighbours of the same class")
    assert [row[2] for row in rows] == ["the features themselves", "pca2", "ae2"]
    here = tests.query("representation == 'ae2' and group == 'chemical_family'")
    chance = share(one(here, metric="knn_purity_chance")["value"])
    assert rows[2] == [
        "chemical family", "shape", "ae2", cell(one(here, metric="knn_purity"), share), chance,
        cell(one(here, metric="silhouette"), score),
    ]  # fmt: skip


def test_coverage_is_shown_inside_and_outside_of_the_groups_and_for_each_of_them(page, root):
    tests = table_of(root, "tests/learned/uncertainty")
    rows, errors = rows_of(page, "Intervals that shall cover 90 %"), rows_of(page, "What goes with errors")
    assert [row[:2] for row in rows] == [row[:2] for row in errors] == [
        [name, side] for name in ("descriptors", "ae2") for side in ("inside", "outside")
    ]  # fmt: skip
    here = tests.query("representation == 'ae2' and group == ''")
    assert rows[3][2] == cell(one(here, case="outside", metric="coverage"), share)
    assert rows[3][4] == cell(one(here, case="outside, scaled by distance", metric="coverage"), share)
    assert errors[3][4] == cell(one(here, case="outside", metric="rho_distance"), score)
    each = rows_of(page, "Share of the entities of a group that was left out")
    assert [row[0] for row in each] == FAMILY_NAMES
    nitride = tests.query("representation == 'descriptors' and group == 'nitride'")
    assert each[1][2] == cell(one(nitride, case="outside", metric="coverage"), share)


def test_labels_asked_for_by_uncertainty_are_compared_with_labels_at_random(page, root):
    tests = table_of(root, "tests/learned/active_learning")
    rows = {row[2]: row[3:] for row in rows_of(page, "Error with the first labels and with all")}
    assert list(rows) == ["uncertainty", "novelty", "random"] and rows["random"][2] == "–"
    last = tests.query("case == 'novelty' and x == 20")
    assert rows["novelty"][1] == cell(one(last, metric="mae"))
    assert rows["novelty"][2].startswith(cell(one(last, metric="mae_less_random"), signed=True))


def test_transfer_compares_the_foreign_encoder_with_three_others_at_each_number_of_labels(page, root):
    tests = table_of(root, "tests/learned/transfer")
    rows = rows_of(page, "What the encoder of the source adds")
    assert [row[:3] for row in rows] == [
        ["Formation energy (eV/atom)", "ridge", other]
        for other in ("the descriptors", "PCA of the source", "the own encoder")
    ]
    less = tests.query("x == 12 and metric == 'mae_less_encoder_own'")
    assert rows[2][5].startswith(cell(one(less, case="ridge"), signed=True))
    errors = rows_of(page, "Formation energy: mean absolute error (eV/atom) of ridge")
    assert [row[0] for row in errors] == ["5", "10", "12"]
    assert errors[1][6] == cell(one(tests.query("x == 10 and metric == 'mae'"), representation="grey-box"))
    learned = one(tests, metric="source_compositions")["value"]
    assert f"It learned from {number(learned)} compositions" in text(page)


def test_every_failure_says_whether_it_was_caught_in_the_data_and_where_it_was_planted(page, root):
    tests = table_of(root, "tests/learned/audit")
    rows = {row[0]: row[1:] for row in rows_of(page, "Failures looked for")}
    assert len(rows) == len(AUDITS) + 1

    def caught(**where):
        return "caught" if one(tests, metric="caught", **where)["value"] else "not caught"

    batch = {"test": "shortcut", "group": "batch"}
    planted = one(tests, **batch, case="planted", metric="roc_auc")
    chance = one(tests, **batch, case="data, shuffled order", metric="roc_auc")
    assert rows["The code knows the batch"] == [
        f"ROC AUC {cell(one(tests, **batch, case='data', metric='roc_auc'), score)}", caught(**batch, case="data"),
        f"ROC AUC {score(chance['value'])} in random order", f"ROC AUC {cell(planted, score)}",
        caught(**batch, case="planted"),
    ]  # fmt: skip
    assert "found, too, where the file is sorted, or made of several sources one after the other" in text(page)
    one_column = rows["The same, planted in a single descriptor"]
    assert one_column[:2] == ["–", "–"]
    assert one_column[4] == caught(test="shortcut", group="row number", case="planted, one column")
    drift = one(tests, test="drift", case="data", metric="difference")
    assert rows["Later rows are rebuilt worse than earlier ones"][0] == f"error {cell(drift, signed=True)}"
    unseen = tests.query("test == 'out_of_family' and case == 'data'")
    n = int(unseen.query("metric == 'caught'")["value"].sum())
    assert rows["Families that were never seen pass for known"][1] == f"{n} of 3 caught"
    each = rows_of(page, "How well each family is told")
    assert [row[0] for row in each] == FAMILY_NAMES
    assert each[0][3] == caught(test="out_of_family", group="iodide", case="data")


def test_a_caught_failure_is_bad_in_the_data_and_good_where_it_was_planted(page):
    (table,) = [t for t in page.iter("table") if text(t.find("caption")) == "Failures looked for"]
    tones = {"caught": ("bad", "good"), "not caught": ("good", "bad")}
    found = 0
    for row in table.find("tbody").iter("tr"):
        if "never seen" not in text(row[0]):
            for place, welcome in ((2, 0), (5, 1)):
                for span in row[place].iter("span"):
                    assert span.get("class") == tones[text(span)][welcome]
                    found += 1
    assert found == 2 * len(AUDITS) - 1


def test_the_names_in_the_tables_are_those_that_the_tests_write():
    from matlas.evaluate import (
        active_learning,
        bottleneck,
        manifold,
        neighbourhoods,
        noise,
        pixel_fit,
        transfer,
        uncertainty,
    )  # fmt: skip
    from matlas.evaluate.audits import drift, families, polymorphs, shortcut, sources
    from matlas.report import representation_tests as report

    modules = (shortcut, polymorphs, sources, drift)
    assert {audit.test for audit in AUDITS} == {module.TEST for module in modules} and FAMILIES == families.TEST
    assert {audit.group for audit in AUDITS} >= {shortcut.ROW_NUMBER, shortcut.BATCH}
    assert {audit.planted for audit in AUDITS} == {shortcut.PLANTED, shortcut.ONE_COLUMN}
    assert set(report._CASES) == {
        manifold.HELD_OUT, manifold.RECONSTRUCTED, manifold.PRIOR, manifold.FITTED, manifold.LINE
    }  # fmt: skip
    assert report._STRATEGIES == active_learning.STRATEGIES and report._INPUTS == transfer.INPUTS
    assert list(report._AGAINST) == [name.replace(" ", "_") for name in transfer.AGAINST]
    named = [m.TEST for m in (bottleneck, manifold, neighbourhoods, uncertainty, active_learning, transfer)]
    of_spectra = {noise.TEST, pixel_fit.TEST}
    assert set(named) | {"audit"} | of_spectra == set(report._TOPICS) and set(ASKED) | of_spectra == set(report._TOPICS)


@pytest.mark.parametrize("changes", [{"probing": None, "tests": {}}, {"probing": None, "tests": dict.fromkeys(ASKED)}])
def test_a_study_that_learns_nothing_says_nothing_of_it(root, changes):
    structure = {name: value for name, value in STRUCTURE.items() if name not in ("networks", "splits")}
    assert headings(rendered(root, spec=STUDY | changes, structure=structure)) == ["Spaces"]


def test_without_the_definitions_of_methods_there_are_still_the_numbers(root):
    page = rendered(root, methods=None)
    points = [text(li) for li in page.get_element_by_id("study-learned").iter("li")]
    assert "by_system: It trains on 42, validates on 6 and tests on 12 entities." in points
    first = rows_of(page, "Trained networks")[0]
    assert first[2:4] == ["–", "–"] and first[4:7] == ["5", "3", "0.25"]


@pytest.mark.parametrize(
    ("table", "named"),
    [("splits/hulls/systems_3", "systems_3"), ("histories/hulls/shape/ae2", "shape / ae2"),
     ("probes/learned/highest_energy", "split highest_energy"), ("tests/learned/audit", "audit")],
)  # fmt: skip
def test_a_missing_table_is_named(tmp_path, table, named):
    root = make_results(tmp_path / "results", without=table)
    with pytest.raises(DataError, match=f"missing .*study learned, {named}"):
        rendered(root)


def test_crystals_say_where_they_are_from_how_many_rows_hold_them_and_which_have_no_geometry(page):
    quality = text(page.get_element_by_id("quality"))
    # 40 and 30 rows in two tables, 2 refused
    assert "72 rows read = 70 kept + 2 refused (2.78 %). They hold 60 crystals." in quality
    assert "Origin: a pinned snapshot, release 2024.1, retrieved 2025-01." in quality
    assert (
        "View shape describes 57 of the 60 crystals; 3 are without it: partial occupancy (2), took too long (1)."
        in quality
    )


def test_headings_descend_one_level_at_a_time_and_the_page_loads_nothing(page):
    levels = [int(e.tag[1]) for e in page.iter("h1", "h2", "h3", "h4", "h5", "h6")]
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
    assert not [e.tag for e in page.iter("script", "iframe", "img")]
    assert all(cell.get("scope") for cell in page.iter("th"))
    labels = [e.get("aria-label") for e in page.get_element_by_id("study-learned").iter("div") if e.get("role")]
    assert len(labels) == len(set(labels))
