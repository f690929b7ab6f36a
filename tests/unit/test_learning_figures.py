"""Figures and tables of studies that learn representations and read properties out of them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from matlas.errors import ConfigError, DataError
from matlas.figures.draw import FIGURES, TABLES, draw, tabulate
from matlas.figures.learning.latent import principal_components
from matlas.figures.parameters import narrowed
from matlas.figures.study_data import load_study_data
from matlas.lineage import Lineage
from matlas.tables import write_table
from schemas.config.datasets import CompositionDataset
from schemas.config.studies import FIGURE_KEYS
from schemas.tables.analysis import METRICS, cluster_schema, representation_schema
from schemas.tables.dataset import dataset_schema
from schemas.tables.learning import (
    COMPARISONS,
    HISTORY,
    PROBES,
    SELECTION,
    TESTS,
    failures_schema,
    rebuilt_schema,
    split_schema,
)

DATASET = CompositionDataset(
    kind="composition", path="toy.csv", key="measurement_id", formula="Formula", title="Toy",
    columns={"temperature": "T", "zt": "ZT"}, flags={"metal": {"sql": "zt > 1", "description": "Metal"}},
)  # fmt: skip
SCHEMA = dataset_schema("toy", DATASET)
KEY = SCHEMA.fields[0]
FAMILIES = ("chalcogenide", "halide", "hydride", "intermetallic", "oxide", "pnictide")
VIEW = "crystal_100"
NETWORKS = ("ae10", "vae10")
KEPT = {"ae10": 50, "vae10": 80}  # the best epoch, and the last of a network that was trained to the end
REPRESENTATIONS = ("unit_columns", "pca10_trained", *NETWORKS)
INPUTS = {"descriptors": 0.20, "pca10": 0.33, "ae10": 0.29, "greybox": 0.19}
HEADS = {"ridge": 0.04, "boosting": 0.0}
SPLITS = {"rows_3": 0.7, "systems_3": 1.0, "each_family": 1.6, "highest_formation_energy": 2.4}
WIDTHS = (2, 4, 8, 10, 16, 32)
SIZES = (25, 50, 100, 200, 335)
CAUGHT = "caught"
SVG = "{http://www.w3.org/2000/svg}"
DEFINITIONS = {
    "targets": {
        "formation_energy": {"unit": "eV/atom", "description": "Formation energy"},
        "metal": {"unit": "1", "description": "Whether the crystal is a metal"},
    },
    "splits": {
        "by_system": {"kind": "holdout", "by": "chemical_system", "test": 0.2, "validation": 0.1},
        "rows_3": {"kind": "folds", "by": None, "folds": 3},
        "systems_3": {"kind": "folds", "by": "chemical_system", "folds": 3},
        "each_family": {"kind": "leave_out", "by": "chemical_family", "least": 300},
        "highest_formation_energy": {"kind": "extremes", "by": "zt", "share": 0.05, "end": "high", "ordinary": 0.2},
    },
    "trained_on": {"pca10_trained": "by_system", **dict.fromkeys(NETWORKS, "by_system")},
    "tests": {
        "uncertainty": {"level": 0.9, "target": "formation_energy", "head": "ridge", "split": "each_family"},
        "active_learning": {"split": "by_system"},
    },
}
SPECS = {
    "training_curves": {},
    "reconstruction_parity": {},
    "width_sweep": {},
    "manifold_holes": {},
    "latent_map": {"property": "chemical_family"},
    "probe_leaderboard": {"split": "systems_3", "target": "formation_energy"},
    "family_benefit": {"split": "systems_3", "target": "formation_energy", "compare": ("ae10", "descriptors")},
    "split_comparison": {"target": "formation_energy", "head": "ridge"},
    "neighbourhoods": {},
    "coverage": {},
    "learning_curves": {"test": "transfer"},
    "failure_modes": {},
}


def spec(kind: str, **keys) -> dict:
    return {"name": f"a_{kind}", "kind": kind, **SPECS.get(kind, {}), **keys}


def with_interval(rng, value: float, width: float) -> dict:
    return {"value": value, "low": value - width * rng.uniform(0.6, 1), "high": value + width * rng.uniform(0.6, 1)}


def probes_of(rng) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of every input, head and split, and what ae10 and greybox save over descriptors in each family."""
    scores, differences = [], []
    for split, harder in SPLITS.items():
        for target in ("formation_energy", "metal"):
            regression = target == "formation_energy"
            if not regression and split != "systems_3":
                continue
            extremes = split.startswith("highest")
            metrics = ["top_k_recall", "mae"] if extremes else ["mae", "r2"] if regression else ["roc_auc"]
            place = {"study": "toy_study", "split": split, "target": target,
                     "task": "regression" if regression else "classification"}  # fmt: skip
            models = [(i, h + s) for i in INPUTS for h in HEADS for s in ("", " (shuffled)")] + [("none", "mean")]
            for name, head in models:
                error = harder * (INPUTS.get(name, 0.9) + HEADS.get(head, 0.0))
                error = harder * 0.93 + rng.normal(0, 0.01) if "shuffled" in head else error
                used = {"rows_used": 1000 if head.startswith("boosting") else 1600}
                for metric in metrics:
                    value = error if metric == "mae" else max(0.0, 1 - error / 2.5)
                    for fold in ("fold_0", "all"):
                        found = with_interval(rng, value, 0.02 * harder)
                        at = {"input": name, "head": head, "fold": fold, "group": "", "metric": metric, "n": 2400}
                        scores.append({**place, **at, **used, **found})
                if regression and "shuffled" not in head:
                    for f, family in enumerate(FAMILIES):
                        found = with_interval(rng, error * (0.8 + 0.1 * f), 0.03)
                        at = {"input": name, "head": head, "fold": "all", "group": family, "metric": "mae"}
                        scores.append({**place, **at, **used, **found, "n": 100 * (f + 1)})
            for first in ("ae10", "greybox"):
                for head, easier in HEADS.items():
                    for f, family in enumerate(("", *FAMILIES) if regression else ("",)):
                        value = (f - 3) * 0.03 + easier / 4
                        found = with_interval(rng, value if regression else -value, 0.035)
                        at = {"head": head, "input": first, "against": "descriptors", "group": family,
                              "metric": "mae" if regression else "roc_auc", "n": 100 * f or 2400}  # fmt: skip
                        differences.append({**place, **at, **found})
    comparisons = pd.DataFrame(differences)[COMPARISONS.columns]
    return pd.DataFrame(scores)[PROBES.columns], comparisons


def records_of(rng) -> pd.DataFrame:
    """What every test records, under the names that it uses."""
    rows = []

    def record(test, representation, case, metric, value, *, group="", x=None, width=None, n=800, view=VIEW):
        limits = {"value": value, "low": None, "high": None} if width is None else with_interval(rng, value, width)
        rows.append({"study": "toy_study", "dataset": "toy", "view": view, "representation": representation,
                     "test": test, "case": case, "group": group, "x": x, "metric": metric, **limits, "n": n,
                     "seed": 0})  # fmt: skip

    for width in WIDTHS:
        error = {"autoencoder": 0.9 * width**-0.75, "pca": 0.97 * width**-0.62}
        for case, mse in error.items():
            record("bottleneck", "ae10", case, "mse", mse, x=width, width=0.05 * mse)
            flat = 1 - width / 100 + (0.02 if case == "autoencoder" else 0)
            record("bottleneck", "ae10", f"{case}, shuffled", "mse", flat, x=width, width=0.01)
            record("bottleneck", "ae10", case, "r2", 0.9 - 0.5 * mse, group="formation_energy", x=width, width=0.03)
            record("bottleneck", "ae10", case, "polymorph_percentile", 0.02 + 0.01 * np.log2(width), x=width,
                   width=0.004)  # fmt: skip
            record("bottleneck", "ae10", case, "active_units", min(width, 20 if case == "autoencoder" else 99), x=width)
        for suffix, value in (("", error["autoencoder"] - error["pca"]), (", shuffled", 0.02)):
            record("bottleneck", "ae10", f"autoencoder - pca{suffix}", "mse_difference", value, x=width, width=0.01)
    for case, elbow in (("autoencoder", 8), ("pca", 10), ("autoencoder, shuffled", None), ("pca, shuffled", None)):
        record("bottleneck", "ae10", case, "elbow", np.nan if elbow is None else elbow)
        record("bottleneck", "ae10", case, "elbow_strength", 0.0 if elbow is None else 0.2)
    for network, hole in (("", 0.0), ("ae10", 1.0), ("vae10", 0.5)):
        cases = [("held-out", None, 0.3, 0.05)] if not network else [
            ("reconstructed", None, 0.28, 0.03), ("prior", None, 0.4 + 2 * hole, 0.1 + 0.8 * hole),
            ("fitted Gaussian", None, 0.35 + 0.3 * hole, 0.1 + 0.3 * hole),
            *(("line", x / 10, 0.3 + hole * x * (10 - x) / 120, 0.05 + x * (10 - x) / 50 * hole) for x in range(11)),
        ]  # fmt: skip
        for case, x, distance, beyond in cases:
            record("manifold", network, case, "distance", distance, x=x, width=0.02)
            record("manifold", network, case, "distance_p95", 1.8 * distance, x=x, width=0.05)
            record("manifold", network, case, "share_beyond", beyond, x=x, width=0.02)
    for r, representation in enumerate(("features", *REPRESENTATIONS[1:])):
        case = "features" if representation == "features" else "space"
        if case == "space":
            for metric, value in (("trustworthiness", 0.99 - 0.03 * r), ("continuity", 0.97 - 0.02 * r),
                                  ("neighbourhood_consistency", 0.7 - 0.1 * r),
                                  ("neighbourhood_consistency_chance", 0.0025)):  # fmt: skip
                record("neighbourhood", representation, case, metric, value, x=10)
        for group, chance in (("chemical_family", 0.22), ("crystal_system", 0.17), ("prototype", 0.02)):
            record("neighbourhood", representation, case, "knn_purity", chance + 0.4 - 0.05 * r, group=group, x=10,
                   width=0.03)  # fmt: skip
            record("neighbourhood", representation, case, "knn_purity_chance", chance, group=group, x=10)
            record("neighbourhood", representation, case, "silhouette", 0.1, group=group, width=0.03)
    for i, name in enumerate(("descriptors", "ae10")):
        for f, family in enumerate(("", *FAMILIES)):
            for case, value in (("inside", 0.9), ("outside", 0.7 - 0.04 * f), ("inside, scaled by distance", 0.89),
                                ("outside, scaled by distance", 0.82 - 0.02 * f)):  # fmt: skip
                here = {"group": family, "view": "", "n": 300}
                record("uncertainty", name, case, "coverage", value - 0.03 * i, width=0.03, **here)
                record("uncertainty", name, case, "width", 1.5 if "scaled" in case else 1.0, width=0.1, **here)
            record("uncertainty", name, "outside", "rho_distance", 0.3, width=0.05, group=family, view="")
    for s, name in enumerate(("descriptors", "pca own", "pca source", "encoder own", "encoder source", "grey-box")):
        for target, unit in (("thermal_conductivity", 1.0), ("zt", 0.2)):
            for h, head in enumerate(("ridge", "mlp")):
                for size in SIZES:
                    value = unit * (0.6 + 0.03 * s) * (size / 25) ** (-0.25 - 0.02 * h)
                    here = {"group": target, "x": size, "view": "magpie", "n": 900}
                    record("transfer", name, head, "mae", value, width=0.08 * unit, **here)
                    if name == "encoder source":
                        low = unit * (0.05 - 0.15 * (size <= 50))
                        record("transfer", name, head, "mae_less_descriptors", low, width=0.02 * unit, **here)
    for space, better in (("unit_columns", 0.0), ("ae10", 0.03)):
        for c, case in enumerate(("uncertainty", "novelty", "random")):
            for size in range(100, 501, 50):
                value = (0.5 - better) * (size / 100) ** -0.3 * (1 + 0.04 * c)
                record("active_learning", space, case, "mae", value, group="formation_energy", x=size, width=0.02)
                if case != "random":
                    record("active_learning", space, case, "mae_less_random", 0.02 - size / 5000,
                           group="formation_energy", x=size, width=0.01)  # fmt: skip
    audits(record)
    frame = pd.DataFrame(rows).astype({"x": float, "value": float, "low": float, "high": float, "seed": "Int64"})
    return frame[TESTS.columns]


def audits(record) -> None:
    """A code that knows the batch, a family that passes for known, polymorphs apart; drift is missed where it is
    planted, and so is the row number in one column."""

    def audit(test, group, metric, data, planted, *, planted_group=None, others=(), width=0.04):
        for case, value, caught, where in (
            ("data", *data, group),
            ("planted", *planted, group if planted_group is None else planted_group),
        ):
            if value is not None:
                record(test, "ae10", case, metric, value, group=where, width=width)
                record(test, "ae10", case, CAUGHT, float(caught), group=where)
        for case, value in others:
            record(test, "ae10", case, metric, value, group=group, width=width)

    chance = [("data, shuffled order", 0.01), ("planted, shuffled order", 0.0)]
    audit("shortcut", "row number", "spearman", (0.05, 0), (0.8, 1), others=chance)
    record("shortcut", "ae10", "planted, one column", "spearman", 0.07, group="row number", width=0.04)
    record("shortcut", "ae10", "planted, one column", CAUGHT, 0.0, group="row number")
    audit("shortcut", "batch", "roc_auc", (0.66, 1), (0.97, 1), others=[("data, shuffled order", 0.5)])
    for f, family in enumerate(FAMILIES[:4]):
        others = [("data, Mahalanobis", 0.6 + 0.05 * f)]
        audit("out_of_family", family, "roc_auc", (0.55 + 0.1 * f, f > 0), (None, 0), others=others)
    audit("out_of_family", "", "roc_auc", (None, 0), (0.93, 1))
    for group in ("", "stable and unstable"):
        audit("polymorphs", group, "share_confused", (0.08, 0), (0.5, 1), others=[("data, descriptors", 0.0)])
        record("polymorphs", "ae10", "data", "percentile", 0.04, group=group, width=0.01)
    others = [("data, unmatched", 0.7), ("data, descriptors", 0.58), ("random labels", 0.5)]
    audit("source_bias", "", "roc_auc", (0.56, 0), (0.9, 1), others=others)
    audit("drift", "", "difference", (0.01, 0), (0.02, 0), width=0.03)
    record("drift", "ae10", "data", "spearman", 0.1, width=0.05)
    record("drift", "ae10", "data", "earlier", 0.2, width=0.01)


def write_study(folder, *, rows=240, mapped=90, failed=12, columns=12) -> list:
    """The tables of a study; the view fails for the last `failed` entities, and the map is of `mapped` others."""
    rng = np.random.default_rng(11)
    family = np.arange(rows) % len(FAMILIES)
    entities = pd.DataFrame(
        {
            "measurement_id": np.arange(1, rows + 1), "composition": [f"X{i // 2}" for i in range(rows)],
            "reduced_formula": [f"X{i // 4}" for i in range(rows)], "n_elements": 2,
            "chemical_family": np.array(FAMILIES)[family].astype(object),
            "dominant_element": np.array(["Te", "Cl", "Pd", "Fe", "O", "Sb"])[family].astype(object),
            "temperature": rng.choice([300.0, 500.0], rows), "zt": rng.gamma(2, 0.4, rows),
        }
    )  # fmt: skip
    entities["metal"] = entities["zt"] > 1
    paths = []

    def write(name, frame, schema, **attributes):
        paths.append(folder / f"{name}.parquet")
        frame = frame.sample(frac=1, random_state=3, ignore_index=True) if KEY.name in frame and paths[1:] else frame
        write_table(frame, paths[-1], schema, lineage=Lineage(), attributes=attributes)

    def metrics(space, name, values):
        made = [{**space, "method": name, "metric": metric, "value": float(v)} for metric, v in values.items()]
        frame = pd.DataFrame(made).assign(k=pd.NA, seed=0, split="all").astype({"k": "Int64", "seed": "Int64"})
        write(f"metrics_{name}", frame[METRICS.columns], METRICS, **space)

    write("dataset", entities[[f.name for f in SCHEMA.fields]], SCHEMA, dataset="toy")
    described = entities[["measurement_id"]].iloc[: rows - failed]
    reason = entities[["measurement_id"]].iloc[rows - failed :].assign(reason="no neighbours")
    write("failures", reason.astype({"reason": object}), failures_schema("crystal_geometry", KEY), dataset="toy",
          view="crystal_geometry")  # fmt: skip
    part = np.array(["train", "train", "train", "validation", "test"], dtype=object)[np.arange(rows) // 6 % 5]
    write("split", entities[["measurement_id"]].assign(fold="holdout", part=part), split_schema("by_system", KEY),
          dataset="toy", split="by_system")  # fmt: skip
    features = [f"magpie_column_{i}" for i in range(columns)]
    chosen = pd.DataFrame({
        "feature": [*features, "other_0", "other_1"], "rank": [*range(1, columns + 1), None, None], "reason": "chosen",
        "explained": [*np.linspace(0.4, 0.93, columns), None, None],
    })  # fmt: skip
    write("selection", chosen.astype({"rank": "Int64", "feature": object, "reason": object}), SELECTION, dataset="toy",
          view=VIEW)  # fmt: skip
    for number, name in enumerate(REPRESENTATIONS):
        space = {"dataset": "toy", "view": VIEW, "representation": name}
        centres = rng.normal(0, 3, (len(FAMILIES), 3))
        z = centres[family[: len(described)]] + rng.normal(0, 1 + number / 2, (len(described), 3))
        frame = described.assign(z_0=z[:, 0], z_1=z[:, 1], z_2=z[:, 2], reconstruction_error=0.1)
        write(f"scores_{name}", frame, representation_schema(name, KEY, 3), **space)
        metrics(space, name, {"n_features": columns})
        if name not in NETWORKS:
            continue
        epochs = np.arange(1, 81)
        falling = 0.15 + 0.85 * np.exp(-epochs / 12)
        history = pd.DataFrame({"epoch": epochs, "train_loss": falling + (0.1 if name == "vae10" else 0.0),
                                "validation_loss": falling + 0.02 + (epochs - 50.0).clip(0) * 2e-3,
                                "learning_rate": 1e-3, "kept": epochs == KEPT[name]})  # fmt: skip
        write(f"history_{name}", history, HISTORY, **space)
        tested = described.loc[part[: len(described)] == "test", "measurement_id"].to_numpy()
        truth = rng.normal(0, 1, (len(tested), columns))
        noise = np.linspace(0.2, 1.2, columns) * (1 + number / 4)
        made = (truth + noise * rng.normal(0, 1, truth.shape)) / (1 + noise**2)
        rebuilt = pd.DataFrame({"measurement_id": np.repeat(tested, columns),
                                "feature": np.tile(np.array(features, dtype=object), len(tested)),
                                "truth": truth.ravel(), "rebuilt": made.ravel()})  # fmt: skip
        write(f"rebuilt_{name}", rebuilt, rebuilt_schema(name, KEY), **space)
    labels = described.assign(cluster=family[: len(described)], distance=1.0, k_6=family[: len(described)])
    write("clusters", labels, cluster_schema("kmeans", KEY, [6]), dataset="toy", view=VIEW, representation="ae10",
          clustering="kmeans")  # fmt: skip
    space = {"dataset": "toy", "view": VIEW, "representation": "tsne_sample"}
    sample = described.iloc[np.sort(rng.choice(len(described), mapped, replace=False))]
    places = rng.normal(0, 1, (mapped, 2))
    write("map", sample.assign(z_0=places[:, 0], z_1=places[:, 1]),
          representation_schema("tsne_sample", KEY, 2, rebuilt=False), **space)  # fmt: skip
    metrics(space, "tsne_sample", {"trustworthiness": 0.93, "n_rows": mapped})
    scores, differences = probes_of(rng)
    for split in SPLITS:
        about = {"study": "toy_study", "split": split}
        write(f"probes_{split}", scores[scores["split"] == split], PROBES, **about)
        write(f"comparisons_{split}", differences[differences["split"] == split], COMPARISONS, **about)
    tests = records_of(rng)
    for test, table in tests.groupby("test", sort=False):
        write(f"tests_{test}", table, TESTS, study="toy_study")
    return paths


def loaded(paths, **about):
    about = {"label": "chemical_family", "described_by": "dominant_element", "definitions": DEFINITIONS} | about
    return load_study_data(paths, "toy_study", "A toy study", **about)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return loaded(write_study(tmp_path_factory.mktemp("tables")))


def drawn(a_spec, data, folder) -> tuple[str, pd.DataFrame]:
    """The text of the SVG as one line, so that wrapping does not matter, and the CSV."""
    a_spec = spec(a_spec) if isinstance(a_spec, str) else a_spec
    svg, csv = folder / "figure.svg", folder / "figure.csv"
    draw(a_spec, data, svg, csv)
    root = ET.fromstring(svg.read_text(encoding="utf-8"))
    text = " ".join("".join(node.itertext()) for node in root.iter(f"{SVG}text"))
    return text, pd.read_csv(csv, keep_default_na=False, na_values=[""])


def shown(a_spec, data):
    """The figure itself and its table."""
    return FIGURES[a_spec["kind"]](a_spec, narrowed(a_spec, data))


def families(data) -> pd.Series:
    return data.entities.set_index("measurement_id")["chemical_family"]


def changed(data, test: str, **columns):
    """The study with other values in the rows of one test."""
    tests = data.tests.copy()
    for name, value in columns.items():
        tests.loc[tests["test"] == test, name] = value
    return replace(data, tests=tests)


def points(ax, shape: str) -> list[tuple[float, float]]:
    """Places of the single points with a marker on a panel."""
    return [(*line.get_xdata(), *line.get_ydata()) for line in ax.lines
            if line.get_marker() == shape and len(line.get_xdata()) == 1]  # fmt: skip


def upright(ax) -> list[float]:
    """Where lines cross a panel from bottom to top."""
    return [line.get_xdata()[0] for line in ax.lines
            if len(line.get_xdata()) == 2 and tuple(line.get_ydata()) == (0, 1)]  # fmt: skip


def test_every_kind_of_figure_and_table_that_a_study_may_ask_for_is_there():
    assert set(FIGURES) == set(FIGURE_KEYS) and set(SPECS) < set(FIGURES)
    assert set(TABLES) == {"cluster_ranking", "family_benefit"}


@pytest.mark.parametrize("kind", SPECS)
def test_every_kind_draws_the_same_bytes_twice_and_a_csv_of_what_it_shows(kind, study, tmp_path):
    _, csv = drawn(kind, study, tmp_path)
    first = (tmp_path / "figure.svg").read_bytes()
    assert len(csv) and b"SAMPLE DATA" not in first
    text, sample = drawn(kind, replace(study, simulated=True), tmp_path)
    assert "SAMPLE DATA" in text and set(sample["sample_data"]) == {"generated, not measured"}
    drawn(kind, study, tmp_path)
    assert (tmp_path / "figure.svg").read_bytes() == first


def test_figures_call_tests_cases_and_controls_as_they_are_recorded():
    from matlas.evaluate import active_learning, bottleneck, manifold, neighbourhoods, transfer, uncertainty
    from matlas.evaluate.audits import drift, families, polymorphs, shortcut, sources, subject
    from matlas.figures.learning import audits, curves, spaces, trust, widths, words
    from matlas.probe import intervals, probes

    assert (widths.TEST, widths.CASES, widths.SHUFFLED) == (bottleneck.TEST, bottleneck.CASES, bottleneck.SHUFFLED)
    names = ("HELD_OUT", "RECONSTRUCTED", "PRIOR", "FITTED", "LINE")
    assert [getattr(spaces, name) for name in names] == [getattr(manifold, name) for name in names]
    assert (spaces.MANIFOLD, spaces.NEIGHBOURHOOD) == (manifold.TEST, neighbourhoods.TEST)
    assert (spaces.FEATURES, spaces.SPACE) == (neighbourhoods.FEATURES, neighbourhoods.SPACE)
    assert (trust.TEST, trust.SIDES, trust.SCALED) == (uncertainty.TEST, uncertainty.SIDES, uncertainty.SCALED)
    assert set(curves.KINDS) == {transfer.TEST, active_learning.TEST}
    assert curves.KINDS[transfer.TEST].shown == transfer.ENCODER_SOURCE
    assert curves.KINDS[transfer.TEST].against in transfer.AGAINST
    assert curves.KINDS[active_learning.TEST].shown == active_learning.UNCERTAINTY
    assert curves.KINDS[active_learning.TEST].against == active_learning.RANDOM
    assert tuple(m.TEST for m in (shortcut, families, polymorphs, sources, drift)) == audits.AUDITS
    assert (audits.DATA, audits.PLANTED) == (subject.DATA, subject.PLANTED)
    assert audits.ONE_COLUMN == shortcut.ONE_COLUMN
    assert (f"data, {shortcut.SHUFFLED}", sources.RANDOM_LABELS) == audits.CHANCE
    assert audits.YARDSTICKS[0] == f"data, {families.MAHALANOBIS}"
    assert (words.MEAN, words.NO_INPUT, words.ALL) == (probes.MEAN, probes.NO_INPUT, intervals.ALL)
    assert words.is_shuffled(probes.shuffled("ridge")) and not words.is_control("ridge") and words.is_control("mean")


# --- maps of a sample, and views that don't describe every entity -----------------------------------------------------


def test_a_map_of_a_sample_and_a_view_that_failed_for_some_entities_keep_the_places_of_their_rows(study):
    scores, sample = study.spaces[VIEW, "ae10"].scores, study.maps[VIEW, "tsne_sample"].scores
    assert len(study.entities) == 240 and len(scores) == 228 and len(sample) == 90
    for frame in (scores, sample, study.spaces[VIEW, "ae10"].clusters["kmeans"]):
        assert study.entities.loc[frame.index, "measurement_id"].tolist() == frame["measurement_id"].tolist()
    labels = study.labels((VIEW, "ae10"), "kmeans")
    assert labels.index.equals(scores.index)


@pytest.mark.parametrize("kind", ["cluster_map", "label_map", "property_map"])
def test_on_a_map_of_a_sample_each_row_has_its_own_class_cluster_and_property(kind, study, tmp_path):
    keys = {"cluster_map": {"clustering": "kmeans"}, "property_map": {"property": "zt"}}.get(kind, {})
    text, csv = drawn(spec(kind, map="tsne_sample", **keys), study, tmp_path)
    assert "90 of 240 rows" in text
    rows = csv[csv["mark"] == "entity"] if "mark" in csv else csv
    own = study.entities.set_index("measurement_id").loc[rows["measurement_id"].astype(int)]
    assert len(rows) == 90
    if kind == "label_map":
        assert rows["label"].tolist() == own["chemical_family"].tolist()
    elif kind == "property_map":
        assert np.allclose(rows["value"], own["zt"])
    else:
        assert rows["stands_for"].tolist() == own["chemical_family"].tolist()
        assert rows["dominant_element"].tolist() == own["dominant_element"].tolist()


def test_figures_of_a_view_that_failed_for_some_entities_say_so_and_leave_those_out(study, tmp_path):
    keys = {"clustering": "kmeans"}
    text, csv = drawn(spec("property_boxes", properties=["zt"], **keys), study, tmp_path)
    described = study.entities.iloc[:228]
    assert "Shown: 228 of 240 rows." in text and csv["rows"].sum() == 228
    assert np.allclose(csv.sort_values("cluster")["median"], described.groupby("chemical_family")["zt"].median())
    text, csv = drawn(spec("contingency", k=6, **keys), study, tmp_path)
    assert "228 of 240 rows" in text and csv["entities"].sum() == 228
    text, _ = drawn(spec("property_trend", property="zt", against="temperature", **keys), study, tmp_path)
    assert "Shown: 228 of 240 rows." in text
    tabulate({"name": "t", "kind": "cluster_ranking", "rank_by": "zt", **keys}, study, tmp_path / "t.csv")
    assert pd.read_csv(tmp_path / "t.csv")["rows"].sum() == 228


def rewritten(paths, name, frame):
    (path,) = [path for path in paths if path.stem == name]
    from matlas.tables import read_table, table_info

    info, table = table_info(path), frame(read_table(path))
    schema = replace(representation_schema("r", KEY, 1), fields=info.fields, key=info.key, layer=info.layer)
    write_table(table, path, schema, attributes=info.attributes)


@pytest.mark.parametrize(
    ("table", "frame", "found"),
    [
        ("scores_ae10", lambda t: t[t["measurement_id"] != 3], r"missing \[3\]"),
        ("scores_ae10", lambda t: pd.concat([t, t.iloc[:1].assign(measurement_id=999)]), r"unexpected \[999\]"),
        ("map", lambda t: t.iloc[1:], r"89 rows; missing"),
        ("map", lambda t: t.assign(measurement_id=t["measurement_id"] + 500), r"unexpected \["),
        ("clusters", lambda t: t[t["measurement_id"] != 7], r"missing \[7\]"),
        ("failures", lambda t: t.iloc[1:], r"missing \["),
    ],
)
def test_rows_are_missed_only_where_a_view_failed_or_a_map_says_that_it_is_of_a_sample(table, frame, found, tmp_path):
    paths = write_study(tmp_path, rows=120, mapped=90)
    rewritten(paths, table, frame)
    with pytest.raises(DataError, match=f"rows don't match the dataset.*{found}"):
        loaded(paths)


# --- networks ---------------------------------------------------------------------------------------------------------


def test_training_curves_mark_the_epochs_whose_weights_were_kept(study, tmp_path):
    text, csv = drawn("training_curves", study, tmp_path)
    kept = csv[csv["kept"]].set_index("representation")
    assert kept["epoch"].to_dict() == KEPT and len(csv) == 160
    assert f"Smallest validation error: {0.17 + 0.85 * np.exp(-50 / 12):.3f} by ae10, kept from epoch 50 of 80" in text
    assert "Split by_system: 20 % of the groups are kept for testing." in text
    figure, _ = shown(spec("training_curves"), study)
    assert {ax.get_yscale() for ax in figure.axes} == {"log"}
    assert [ax.lines[2].get_xdata()[0] for ax in figure.axes] == [50, 80]


def test_parity_counts_every_value_and_judges_columns_as_scikit_learn_does(study, tmp_path):
    from sklearn.metrics import r2_score

    text, csv = drawn("reconstruction_parity", study, tmp_path)
    for name in NETWORKS:
        rebuilt, here = study.rebuilt[VIEW, name], csv[csv["representation"] == name]
        wide = rebuilt.pivot(index="measurement_id", columns="feature")
        columns = here[here["mark"] == "column"].set_index("feature").loc[wide["truth"].columns]
        assert np.allclose(columns["r2"], r2_score(wide["truth"], wide["rebuilt"], multioutput="raw_values"))
        assert np.allclose(columns["mse"], ((wide["truth"] - wide["rebuilt"]) ** 2).mean())
        whole = r2_score(wide["truth"], wide["rebuilt"], multioutput="variance_weighted")
        assert np.isclose(here.loc[here["mark"] == "all", "r2"].iloc[0], whole) and f"R² = {whole:.3f}" in text
        worst = columns["r2"].sort_values().index[:3]
        assert f"by {name} " in text and all(feature in text for feature in worst)
        cells = here[here["mark"] == "cell"]
        edge = cells["truth"].diff().abs().loc[lambda d: d > 1e-9].min() / 2
        limit = 60 * edge
        inside = (rebuilt[["truth", "rebuilt"]].abs() <= limit).all(axis=1).sum()
        assert cells["values"].sum() == inside and (cells["values"] > 0).all()
    assert "crystal 100 has 12 of 14 columns, which explain 93 % of the variance of all." in text


@pytest.mark.parametrize("kind", ["training_curves", "reconstruction_parity", "latent_map"])
def test_a_study_without_networks_has_none_to_draw(kind, study, tmp_path):
    with pytest.raises(DataError, match=r"no network to draw .*Name an autoencoder under `representations`"):
        drawn(kind, replace(study, histories={}, rebuilt={}), tmp_path)
    _, csv = drawn(spec(kind, representations=["vae10", "pca10_trained"]), study, tmp_path)
    assert set(csv["representation"]) == {"vae10"}


def test_the_latent_map_shows_the_test_rows_on_the_principal_components_of_their_code(study, tmp_path):
    from sklearn.decomposition import PCA

    text, csv = drawn("latent_map", study, tmp_path)
    parts = study.parts["by_system"].set_index("measurement_id")["part"]
    here = csv[csv["representation"] == "ae10"]
    scores = study.spaces[VIEW, "ae10"].scores.set_index("measurement_id").loc[here["measurement_id"]]
    assert (
        set(parts[here["measurement_id"]]) == {"test"} and len(here) == (parts.sort_index().iloc[:228] == "test").sum()
    )
    pca = PCA(2).fit(scores[["z_0", "z_1", "z_2"]])
    expected = pca.transform(scores[["z_0", "z_1", "z_2"]])
    for i in range(2):
        assert np.isclose(abs(np.corrcoef(expected[:, i], here[f"component_{i + 1}"])[0, 1]), 1)
        assert np.isclose(expected[:, i].std(), here[f"component_{i + 1}"].std(ddof=0))
        assert f"Component {i + 1} of the code ({100 * pca.explained_variance_ratio_[i]:.0f} % of its" in text
    assert here["value"].tolist() == families(study)[here["measurement_id"]].tolist()
    assert "Shown: test rows, 42 of 240 rows, of ae10 and vae10." in text and "not evidence for groups" in text


def test_without_a_known_split_the_latent_map_shows_all_rows_and_says_so(study, tmp_path):
    text, csv = drawn("latent_map", replace(study, parts={}), tmp_path)
    assert len(csv) == 2 * 228 and "all rows that the view describes, trained on or not, 228 of 240 rows" in text


def test_the_latent_map_has_a_scale_for_numbers_and_greys_for_rare_classes(study, tmp_path):
    text, csv = drawn(spec("latent_map", property="zt"), study, tmp_path)
    assert "ZT (dimensionless)" in text and "Colours end at the 1 and 99 % quantiles" in text
    assert np.allclose(csv["value"], study.entities.set_index("measurement_id").loc[csv["measurement_id"], "zt"])
    text, csv = drawn(spec("latent_map", property="metal"), study, tmp_path)
    assert set(csv["value"]) == {"yes", "no"}
    text, _ = drawn(spec("latent_map", property="reduced_formula"), study, tmp_path)
    there = study.entities["reduced_formula"][
        study.parts["by_system"]
        .set_index("measurement_id")["part"]
        .reindex(study.entities["measurement_id"])
        .eq("test")
        .to_numpy()
    ]
    rare = there.iloc[: (study.entities.loc[there.index, "measurement_id"] <= 228).sum()].nunique() - 12
    assert f"Grey: one of the {rare} rarer classes." in text
    with pytest.raises(ConfigError, match="unknown property .*'chemical_family' \\(nearest\\)"):
        drawn(spec("latent_map", property="chemical_famly"), study, tmp_path)


def test_components_of_a_code_don_t_depend_on_the_sign_of_a_decomposition_and_a_narrow_code_has_one():
    rng = np.random.default_rng(0)
    codes = rng.normal(0, [3, 1, 0.1], (50, 3))
    places, shares = principal_components(codes)
    weights = np.linalg.lstsq(codes - codes.mean(axis=0), places, rcond=None)[0]
    assert (weights[np.abs(weights).argmax(axis=0), [0, 1]] > 0).all() and shares.sum() > 0.99
    places, shares = principal_components(codes[:, :1])
    assert (places[:, 1] == 0).all() and shares.tolist() == [1.0, 0.0]


# --- tests of representations -----------------------------------------------------------------------------------------


def test_the_width_sweep_rings_the_elbows_and_says_where_the_autoencoder_is_better(study, tmp_path):
    text, csv = drawn("width_sweep", study, tmp_path)
    assert "The error bends: autoencoder at 8 and PCA at 10; on shuffled columns nowhere." in text
    assert "The autoencoder beside PCA: better at 2, 4, 8, 10, 16 and 32, worse at no width" in text
    assert len(csv) == (study.tests["test"] == "bottleneck").sum()
    figure, table = shown(spec("width_sweep"), study)
    rings = [line for line in figure.axes[0].lines if line.get_markersize() == 11]
    mse = table[table["metric"] == "mse"].set_index(["case", "x"])["value"]
    assert [line.get_ydata()[0] for line in rings] == [mse["autoencoder", 8], mse["pca", 10]]
    assert [round(line.get_xdata()[0]) for line in rings] == [8, 10]
    assert [ax.get_xscale() for ax in figure.axes] == ["log"] * 4
    worse = changed(study, "bottleneck", low=0.01, high=0.02)
    assert "better at no width, worse at 2, 4, 8, 10, 16 and 32" in drawn("width_sweep", worse, tmp_path)[0]


def test_the_width_sweep_shows_what_was_measured_and_a_panel_for_each_way_to_judge_targets(study):
    only = study.tests[study.tests["metric"].isin(["mse", "elbow", "mse_difference"])]
    assert len(shown(spec("width_sweep"), replace(study, tests=only))[0].axes) == 1
    classes = study.tests[study.tests["metric"] == "r2"].assign(metric="roc_auc", group="metal")
    figure, _ = shown(spec("width_sweep"), replace(study, tests=pd.concat([study.tests, classes])))
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["Rebuilding", "formation energy", "metal", "Polymorphs", "Units"]


def test_holes_of_each_network_stand_beside_the_held_out_rows_whatever_is_narrowed(study, tmp_path):
    text, csv = drawn("manifold_holes", study, tmp_path)
    assert (
        "of ae10 40 % of codes from the fitted Gaussian and 55 % half-way and of vae10 25 % of codes from the fitted "
        "Gaussian and 30 % half-way" in text
    )
    assert "plain one has no unit scale; fitted Gaussian: codes with mean and covariance of the training codes" in text
    _, csv = drawn(spec("manifold_holes", representations=["vae10"], views=[VIEW]), study, tmp_path)
    assert set(csv["representation"].fillna("")) == {"", "vae10"}
    figure, _ = shown(spec("manifold_holes", representations=["vae10"]), study)
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_xticklabels()][3:] == [
        "held-out\n(5 %)", "rebuilt\n(3 %)", "prior\n(50 %)", "fitted\nGaussian\n(25 %)"
    ]  # fmt: skip
    way = ax.lines[0]
    assert np.allclose(way.get_xdata(), np.arange(11) / 10) and np.isclose(way.get_ydata()[5], 0.3 + 0.5 * 25 / 120)
    assert ax.lines[0].get_ydata()[0] == pytest.approx(0.3)


def test_neighbourhoods_stand_beside_chance_and_the_features_themselves(study, tmp_path):
    text, csv = drawn("neighbourhoods", study, tmp_path)
    assert "pca10 trained 60 %, ae10 50 % and vae10 40 %; by chance 0.25 %" in text
    assert set(csv["representation"]) == {"features", "pca10_trained", "ae10", "vae10"} and "silhouette" not in text
    assert "silhouette" not in set(csv["metric"]) and "10 nearest neighbours of 800 rows" in text
    figure, _ = shown(spec("neighbourhoods"), study)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:3] == ["Order of neighbours", "Neighbours kept", "Alike in chemical family"] and len(titles) == 5
    purity = figure.axes[2]
    assert [x for x, _ in points(purity, "D")] == pytest.approx([0.62, 0.57, 0.52, 0.47])
    dashed = [line.get_xdata()[0] for line in purity.lines if line.get_linestyle() == "--"]
    assert dashed == pytest.approx([0.22] * 4)
    assert figure.axes[0].get_yticklabels()[0].get_text() == "the features"
    _, csv = drawn(spec("neighbourhoods", representations=["ae10"]), study, tmp_path)
    assert set(csv["representation"]) == {"features", "ae10"}


def test_coverage_is_judged_by_the_level_that_was_asked_for_family_by_family(study, tmp_path):
    text, csv = drawn("coverage", study, tmp_path)
    assert "Intervals that shall hold 90 % of the truths hold 90 % and 87 % in families trained on" in text
    assert "in those left out 70 % from descriptors (82 % scaled) and 67 % from ae10 (79 % scaled)" in text
    assert "1.5 times as wide from descriptors" in text and set(csv["level"]) == {0.9}
    assert set(csv["metric"]) == {"coverage", "width"} and set(csv["input"]) == {"descriptors", "ae10"}
    figure, _ = shown(spec("coverage"), study)
    assert all(0.9 in upright(ax) for ax in figure.axes)
    rows = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert rows == ["all together", *FAMILIES[::-1]]  # planted: the last family is covered worst
    with pytest.raises(DataError, match="definition of the test 'uncertainty' is not known.*definitions"):
        drawn("coverage", replace(study, definitions=loaded_definitions(tests={})), tmp_path)


def loaded_definitions(**changes):
    from matlas.figures.study_data import Definitions

    return Definitions(**(DEFINITIONS | changes))


@pytest.mark.parametrize(
    ("test", "panels", "lines", "title"),
    [
        ("transfer", 4, 6, "Encoder source makes fewer errors than descriptors in 8 of 20 comparisons (with 25 and 50 "
         "labelled groups), more in 12"),
        ("active_learning", 2, 3, "Uncertainty makes fewer errors than random in 16 of 18 comparisons (with 150 to 500 "
         "labels), more in 0"),
    ],
)  # fmt: skip
def test_learning_curves_have_a_line_a_case_and_tell_certain_differences(test, panels, lines, title, study, tmp_path):
    text, csv = drawn(spec("learning_curves", test=test), study, tmp_path)
    apart = csv[csv["metric"].isin(["mae_less_descriptors", "mae_less_random"])]
    apart = apart[apart["case"].eq("uncertainty") | (apart["representation"] == "encoder source")]
    assert f"in {(apart['high'] < 0).sum()} of {len(apart)} comparisons" in title
    assert title in text
    figure, table = shown(spec("learning_curves", test=test), study)
    assert len(figure.axes) == panels and {ax.get_xscale() for ax in figure.axes} == {"log"}
    for ax in figure.axes:
        curves = [line for line in ax.lines if len(line.get_xdata()) > 2]
        assert len(curves) == lines
    first = table[table["metric"] == "mae"].iloc[0]
    assert figure.axes[0].lines[0].get_ydata()[0] == first["value"]
    with pytest.raises(ConfigError, match="unknown test .*'transfer' \\(nearest\\)"):
        drawn(spec("learning_curves", test="transfr"), study, tmp_path)


def test_learning_curves_know_the_unit_of_a_target_where_the_configuration_gives_it(study, tmp_path):
    assert "Mean absolute error (eV/atom)" in drawn(spec("learning_curves", test="active_learning"), study, tmp_path)[0]
    assert "Mean absolute error (unit of the target)" in drawn("learning_curves", study, tmp_path)[0]


def test_failure_modes_tell_what_was_caught_in_the_data_and_where_it_was_planted(study, tmp_path):
    text, csv = drawn("failure_modes", study, tmp_path)
    missed = "shortcut (row number, in one column) and drift of later rows"
    assert f"Planted and missed: {missed}; in the data: shortcut (batch); 1 of 4 unseen" in text
    told = csv.set_index(["audit", "group", "case"])["caught"]
    assert told["shortcut", "batch", "data"] and told["shortcut", "row number", "planted"]
    assert not told["shortcut", "row number", "planted, one column"]
    assert not told["out_of_family", "chalcogenide", "data"] and told["out_of_family", "halide", "data"]
    assert csv.loc[csv["case"].isin(["random labels", "data, Mahalanobis"]), "caught"].isna().all()
    drift = csv[csv["audit"] == "drift"]
    assert set(drift["metric"]) == {"difference"} and not drift["caught"].any()
    assert "percentile" not in set(csv["metric"]) and "data, unmatched" not in set(csv["case"])
    assert text.count("data: not caught; planted: caught") == 4  # row number, polymorphs twice, source
    figure, _ = shown(spec("failure_modes"), study)
    of_places = figure.axes[1]
    rows = [tick.get_text() for tick in of_places.get_yticklabels()]
    assert rows == ["shortcut (row number)", "shortcut (row number, in one column)"]
    assert points(of_places, "D") == [(0.8, 0.2), (0.07, 1.2)]
    assert [text.get_text() for text in of_places.texts] == ["data: not caught; planted: caught", "planted: not caught"]
    hollow = [line for ax in figure.axes for line in ax.lines
              if line.get_marker() in ("o", "D") and line.get_markerfacecolor() == "white"]  # fmt: skip
    assert len(hollow) == (csv["caught"] == False).sum()  # noqa: E712
    all_caught = study.tests["metric"].eq(CAUGHT) & study.tests["case"].str.startswith("planted")
    tests = study.tests.assign(value=study.tests["value"].mask(all_caught, 1.0))
    assert "All 8 planted failures are caught" in drawn("failure_modes", replace(study, tests=tests), tmp_path)[0]


@pytest.mark.parametrize("kind", ["width_sweep", "manifold_holes", "neighbourhoods", "coverage", "failure_modes"])
def test_a_test_that_was_not_made_is_an_error_that_names_those_that_were(kind, study, tmp_path):
    other = study.tests[study.tests["test"] == "transfer"]
    with pytest.raises(DataError, match=r"no results of .*\['transfer'\].*Name the test under `tests`"):
        drawn(kind, replace(study, tests=other), tmp_path)
    with pytest.raises(DataError, match="no tests to draw"):
        drawn(kind, replace(study, tests=None), tmp_path)


# --- probes -----------------------------------------------------------------------------------------------------------


def test_the_leaderboard_ranks_inputs_beside_the_mean_and_shuffled_targets(study, tmp_path):
    text, csv = drawn("probe_leaderboard", study, tmp_path)
    rows = study.probes.query("split == 'systems_3' and target == 'formation_energy' and fold == 'all' and group == ''")
    rows = rows[rows["metric"] == "mae"].set_index(["input", "head"])["value"]
    figure, _ = shown(spec("probe_leaderboard"), study)
    (ax,) = figure.axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["greybox", "descriptors", "ae10", "pca10"]
    shuffled = min(v for (_, head), v in rows.items() if "shuffled" in head)
    assert sorted(upright(ax)) == sorted([rows["none", "mean"], shuffled])
    assert sorted(x for x, _ in points(ax, "s")) == sorted(rows[i, "boosting"] for i in INPUTS)
    assert "Formation energy is read best from greybox by boosting: mean absolute error 0.19 eV/atom" in text
    assert "Rows with the same chemical system are in one part." in text and "Mean absolute error (eV/atom)" in text
    assert set(csv["head"]) == {"ridge", "boosting", "ridge (shuffled)", "boosting (shuffled)", "mean"}
    assert "Of up to 1,600 training rows boosting used 1,000." in text
    assert dict(zip(csv["head"], csv["rows_used"], strict=True))["boosting"] == 1000
    text, csv = drawn(spec("probe_leaderboard", head="ridge"), study, tmp_path)
    assert "training rows boosting" not in text
    assert set(csv["head"]) == {"ridge", "ridge (shuffled)", "mean"}


def test_classes_are_judged_by_the_area_and_extremes_by_recall_and_error(study, tmp_path):
    text, csv = drawn(spec("probe_leaderboard", target="metal"), study, tmp_path)
    assert set(csv["metric"]) == {"roc_auc"} and "Area under the ROC curve (dimensionless) better →" in text
    rows = csv[csv["head"] == "boosting"]
    assert rows["input"].tolist()[0] == rows.loc[rows["value"].idxmax(), "input"] == "greybox"
    asked = spec("probe_leaderboard", split="highest_formation_energy")
    text, csv = drawn(asked, study, tmp_path)
    assert set(csv["metric"]) == {"top_k_recall", "mae"} and len(shown(asked, study)[0].axes) == 2
    assert "tested on the 5 % of rows with the largest zt, among 20 % of the others; trained on the rest." in text


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        ("probe_leaderboard", {"split": "system_3"}, "unknown split .*'systems_3' \\(nearest\\)"),
        ("probe_leaderboard", {"target": "formation_enrgy"}, "unknown target .*'formation_energy'"),
        ("probe_leaderboard", {"head": "rigde"}, "unknown head .*'ridge'"),
        ("probe_leaderboard", {"head": "mean"}, "unknown head"),
        ("probe_leaderboard", {"target": "metal", "split": "rows_3"}, "unknown target .*'metal'"),
        ("split_comparison", {"head": None}, "needs the key 'head'"),
        ("family_benefit", {"compare": ("ae1", "descriptors")}, "unknown compare .*'ae10'"),
        ("family_benefit", {"compare": None}, "needs the key 'compare'"),
    ],
)
def test_names_that_were_not_probed_are_refused_with_the_nearest(kind, keys, message, study, tmp_path):
    with pytest.raises(ConfigError, match=message):
        drawn(spec(kind, **keys), study, tmp_path)


def test_families_are_ordered_by_the_benefit_and_filled_where_it_is_certain(study, tmp_path):
    text, csv = drawn(spec("family_benefit", head="ridge"), study, tmp_path)
    stored = study.comparisons.query(
        "split == 'systems_3' and target == 'formation_energy' and head == 'ridge' and input == 'ae10'"
    ).set_index("group")
    assert csv["family"].tolist() == ["all", *stored.loc[[*FAMILIES], "value"].sort_values().index]
    for row in csv.itertuples():
        low, high = stored.loc["" if row.family == "all" else row.family, ["low", "high"]]
        assert row.verdict == ("helps" if high < 0 else "hurts" if low > 0 else "no difference shown")
    helps, hurts = ((csv["verdict"].iloc[1:] == v).sum() for v in ("helps", "hurts"))
    assert f"of 6 families in {helps} better and in {hurts} worse" in text
    figure, _ = shown(spec("family_benefit", head="ridge"), study)
    hollow = [
        line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white" and line.get_marker() == "o"
    ]
    assert len(hollow) == (csv["verdict"] == "no difference shown").sum() > 0
    assert "n = 2,400" in text and "n = 600" in text and "← ae10 better | descriptors better →" in text
    assert "Of 6 intervals about 0.3 would do so by chance alone" in text


def test_a_pair_named_the_other_way_round_is_the_same_comparison_turned_round(study, tmp_path):
    _, one = drawn("family_benefit", study, tmp_path)
    text, other = drawn(spec("family_benefit", compare=("descriptors", "ae10")), study, tmp_path)
    one, other = (t.set_index(["head", "family"]).sort_index() for t in (one, other))
    assert np.allclose(one["difference"], -other["difference"]) and np.allclose(one["low"], -other["high"])
    opposite = {"helps": "hurts", "hurts": "helps", "no difference shown": "no difference shown"}
    assert one["verdict"].map(opposite).tolist() == other["verdict"].tolist()
    assert "← descriptors better | ae10 better →" in text
    with pytest.raises(DataError, match="two inputs were not compared .*ae10 and descriptors"):
        drawn(spec("family_benefit", compare=("greybox", "ae10")), study, tmp_path)
    with pytest.raises(DataError, match="no families to compare in"):
        drawn(spec("family_benefit", target="metal"), study, tmp_path)


def test_the_table_of_benefits_has_both_errors_and_a_verdict_for_each_target_head_and_family(study, tmp_path):
    asked = {"name": "benefits", "kind": "family_benefit", "split": "systems_3", "compare": ("greybox", "descriptors")}
    tabulate(asked, study, tmp_path / "t.csv")
    table = pd.read_csv(tmp_path / "t.csv").set_index(["target", "head", "family"])
    assert len(table) == 2 * (1 + len(FAMILIES)) + 2
    probes = study.probes.query("split == 'systems_3' and target == 'formation_energy' and fold == 'all'")
    probes = probes[probes["metric"] == "mae"].set_index(["input", "head", "group"])["value"]
    row = table.loc["formation_energy", "ridge", "oxide"]
    assert row["value_input"] == probes["greybox", "ridge", "oxide"] and row["n"] == 500 and row["unit"] == "eV/atom"
    assert row["value_against"] == probes["descriptors", "ridge", "oxide"]
    assert row["verdict"] == "hurts" and table.loc[("formation_energy", "ridge", "chalcogenide"), "verdict"] == "helps"
    classes = table.loc["metal", "ridge", "all"]  # of classes a larger area is the better one
    assert classes["metric"] == "roc_auc" and classes["difference"] > 0 and classes["verdict"] == "helps"
    with pytest.raises(ConfigError, match="unknown split"):
        tabulate({**asked, "split": "sytems_3"}, study, tmp_path / "t.csv")


def test_splits_are_compared_on_inputs_that_were_tried_under_each_of_them(study, tmp_path):
    partly = study.probes[~((study.probes["input"] == "pca10") & (study.probes["split"] == "rows_3"))]
    text, csv = drawn("split_comparison", replace(study, probes=partly), tmp_path)
    assert set(csv["input"]) == {"descriptors", "ae10", "greybox", "none"} and set(csv["split"]) == set(SPLITS)
    assert "Not under every split, so not shown: pca10." in text and set(csv["metric"]) == {"mae"}
    greybox = csv[csv["input"] == "greybox"].set_index("split")["value"]
    assert f"from greybox between {greybox['rows_3']:.3g} (rows 3)" in text
    assert f"{greybox['highest_formation_energy']:.3g} (highest formation energy)" in text
    for split in SPLITS:
        assert f"Split {split}: " in text
    nothing = study.probes[study.probes["input"] != "none"]
    nothing = nothing[(nothing["input"] == "ae10") == (nothing["split"] == "rows_3")]
    with pytest.raises(DataError, match="no input was tried under every split"):
        drawn("split_comparison", replace(study, probes=nothing), tmp_path)


def test_a_split_of_which_the_configuration_was_not_handed_on_is_named_only(study, tmp_path):
    text, _ = drawn(
        "probe_leaderboard", replace(study, definitions=loaded_definitions(splits={}, targets={})), tmp_path
    )
    assert "Split systems_3." in text and "(unit of the target)" in text
