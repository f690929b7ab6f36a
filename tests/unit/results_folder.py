"""A small results folder with every layer, whose numbers are known: what the tests of the store read.

Dataset `ores`: 5 rows of 3 compositions; views `weights` (2 features) and `sizes` (1), joined with the temperature of
the row as `weights_temperature`; one representation, two clusterings, two studies.

Dataset `plates`, apart (`make_image_results`): 6 images of 3 classes; views `raw_pixels` and `resnet18_pq`, whose
weights are not for commercial use, while those of `resnet18` are left out; one study with everything that judges it.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from matlas.catalog import build_catalog
from matlas.lineage import Lineage
from matlas.tables import table_info, write_table
from schemas.config.datasets import ImageDataset
from schemas.fields import FIELDS
from schemas.table import Field, TableSchema
from schemas.tables.analysis import (
    AGREEMENT,
    CLAIMS,
    CONDITIONS,
    CONTINGENCY,
    INSPECTIONS,
    METRICS,
    SCORES,
    cluster_schema,
    representation_schema,
    sensitivity_schema,
)
from schemas.tables.dataset import REJECTS, dataset_schema
from schemas.tables.features import feature_schema

ORES = pd.DataFrame({
    "row_id": [1, 2, 3, 4, 5],
    "composition": ["SnSe", "Bi2Te3", "SnSe", "PbTe", "Bi2Te3"],
    "temperature": [300.0, 300.0, 500.0, 400.0, 600.0],
    "zt": [0.1, 0.9, 0.4, None, 1.2],
})  # fmt: skip
WEIGHTS = pd.DataFrame({
    "composition": ["Bi2Te3", "PbTe", "SnSe"], "mean_weight": [160.2, 167.4, 98.8], "n_atoms": [5, 2, 2],
})  # fmt: skip
SIZES = pd.DataFrame({"composition": ["PbTe", "SnSe", "Bi2Te3"], "mean_radius": [142.0, 129.5, None]})
_PCA1 = ("weights_temperature", "pca1")
STUDIES = {
    "first": {"dataset": "ores", "views": ["weights_temperature", "sizes"], "spaces": [_PCA1, ("sizes", "pca1")],
              "maps": [], "clustered": [(*_PCA1, "kmeans"), (*_PCA1, "gmm")]},
    "second": {"dataset": "ores", "views": ["weights_temperature"], "spaces": [_PCA1], "maps": [],
               "clustered": [(*_PCA1, "kmeans")]},
}  # fmt: skip
JOINED = {
    "weights_temperature": {"kind": "joined", "of": ["weights", "sizes"], "columns": ["temperature"]},
    "unused": {"kind": "joined", "of": ["weights"], "columns": []},
}
SPEC = {"kind": "composition", "features": "element_statistics", "description": "What the atoms weigh"}
KEY = FIELDS["row_id"]
_ZT = Field("zt", "float64", "1", "Figure of merit", minimum=0.0, nullable=True, citation="a paper")
DATASET_SCHEMA = TableSchema("ores", "datasets", ("row_id",), (KEY, FIELDS["composition"], FIELDS["temperature"], _ZT))
WEIGHTS_SCHEMA = feature_schema("weights", FIELDS["composition"], [
    Field("mean_weight", "float64", "g/mol", "Mean atomic weight", label="PeerData mean Weight"),
    Field("n_atoms", "int64", "1", "Atoms in a formula unit", minimum=1),
])  # fmt: skip
SIZES_SCHEMA = feature_schema(
    "sizes", FIELDS["composition"], [Field("mean_radius", "float64", "pm", "Mean covalent radius", nullable=True)]
)
SPACE = {"dataset": "ores", "view": "weights_temperature", "representation": "pca1"}


def put(root: Path, path: str, frame: pd.DataFrame, schema: TableSchema, inputs=(), *, simulated=False, **attributes):
    """Write one table below root; its lineage names the inputs with the hashes they have now."""
    hashes = {name: table_info(root / name).content_hash for name in inputs if name.endswith(".parquet")}
    hashes |= {name: "0" * 16 for name in inputs if not name.endswith(".parquet")}
    simulated |= any(table_info(root / name).lineage.simulated for name in inputs if name.endswith(".parquet"))
    lineage = Lineage(hashes, code="c0de", config="c0f1", simulated=simulated)
    write_table(frame, root / path, schema, lineage=lineage, attributes=attributes)
    return root / path


def write_results(root: Path, *, simulated: bool = False, zt_of_row_1: float = 0.1) -> list[Path]:
    """All tables; returns their paths."""
    ores = ORES.assign(zt=[zt_of_row_1, *ORES["zt"][1:]])
    space = "ores/weights_temperature/pca1"
    scores = ORES[["row_id"]].assign(z_0=[0.5, -1.0, 0.25, 0.0, -0.75], reconstruction_error=0.125)
    labels = ORES[["row_id"]].assign(cluster=[0, 1, 0, 0, 1], distance=0.5, k_2=[0, 1, 0, 0, 1])
    about, raw = {"dataset": "ores"}, ["sources/ores/ores.csv"]
    return [
        put(root, "datasets/ores.parquet", ores, DATASET_SCHEMA, raw, simulated=simulated, **about),
        put(root, "features/ores/weights.parquet", WEIGHTS, WEIGHTS_SCHEMA, ["datasets/ores.parquet"], view="weights",
            spec=json.dumps(SPEC), **about),
        put(root, "features/ores/sizes.parquet", SIZES, SIZES_SCHEMA, ["datasets/ores.parquet"], view="sizes", **about),
        put(root, f"representations/{space}.parquet", scores, representation_schema("pca1", KEY, 1),
            ["datasets/ores.parquet", "features/ores/weights.parquet", "features/ores/sizes.parquet"], **SPACE),
        put(root, f"clusters/{space}/kmeans.parquet", labels, cluster_schema("kmeans", KEY, [2]),
            [f"representations/{space}.parquet"], **SPACE, clustering="kmeans"),
        put(root, f"metrics/representation/{space}.parquet", _metrics("pca1", [(None, "n_features", 4.0)]), METRICS,
            ["datasets/ores.parquet"], **SPACE),
        put(root, f"metrics/clustering/{space}/kmeans.parquet",
            _metrics("kmeans", [(2, "silhouette", 0.75), (3, "silhouette", 0.5), (None, "best_k", 2.0)]), METRICS,
            [f"representations/{space}.parquet"], **SPACE, clustering="kmeans"),
        put(root, f"metrics/clustering/{space}/gmm.parquet", _metrics("gmm", [(2, "silhouette", 0.25)]), METRICS,
            [f"representations/{space}.parquet"], **SPACE, clustering="gmm"),
        put(root, "agreement/first.parquet", _agreement(), AGREEMENT, [f"clusters/{space}/kmeans.parquet"],
            study="first"),
        put(root, "claims/first.parquet", _claims(simulated), CLAIMS, ["datasets/ores.parquet"], study="first"),
    ]  # fmt: skip


def make_results(root: Path, **changes) -> Path:
    """A whole results folder with its catalog; returns its path."""
    tables = write_results(root, **changes)
    build_catalog(root / "matlas.duckdb", tables, root, studies=STUDIES, joined_views=JOINED)
    return root


def _metrics(method: str, values: list[tuple]) -> pd.DataFrame:
    rows = [{**SPACE, "method": method, "k": k, "metric": metric, "value": value, "seed": 0, "split": "all"}
            for k, metric, value in values]  # fmt: skip
    return pd.DataFrame(rows, columns=METRICS.columns).astype({"k": "Int64", "seed": "Int64"})


def _agreement() -> pd.DataFrame:
    row = {"study": "first", "clustering": "kmeans", "view_a": "sizes", "representation_a": "pca1", "k_a": 2,
           "view_b": "weights_temperature", "representation_b": "pca1", "k_b": 2, "ari": 0.5}  # fmt: skip
    return pd.DataFrame([row])[AGREEMENT.columns]


def _claims(simulated: bool) -> pd.DataFrame:
    verdicts = ["agrees on simulated data"] * 2 if simulated else ["reproduced", "contradicted"]
    frame = pd.DataFrame({
        "id": ["ores-rows", "ores-zt"], "variant": "", "study": "first", "says": ["There are 5 ores", "All are good"],
        "cites": "A. Paper 1999", "expected": [5.0, 1.0], "tolerance": 0.0, "measured": [5.0, 0.25],
        "verdict": verdicts, "quantity": "number", "detail": ["", "mean 0.65"],
    })  # fmt: skip
    return frame[CLAIMS.columns]


IMAGE_KEY = FIELDS["image_id"]
PLATES = ImageDataset(kind="image", title="All plates", source="plates", labels={"by": "folder"})
CLASSES = ["crack", "pore", "scratch"]
IMAGES = [f"{label}/{i}.png" for label in CLASSES for i in (1, 2)]
FOUND = 2  # clusters, by hdbscan; the other clusterings have their largest silhouette at 2 too
IMAGE_STUDY = {
    "dataset": "plates",
    "views": ["raw_pixels", "resnet18_pq"],
    "spaces": [("raw_pixels", "as_is"), ("resnet18_pq", "as_is"), ("resnet18_pq", "pca2")],
    "maps": [("resnet18_pq", "tsne")],
    "clustered": [
        ("raw_pixels", "as_is", "kmeans"), ("resnet18_pq", "as_is", "kmeans"), ("resnet18_pq", "as_is", "hdbscan"),
        ("resnet18_pq", "as_is", "ward"), ("resnet18_pq", "pca2", "kmeans"),
    ],
}  # fmt: skip
WEIGHTS_FILE = "sources/plate_weights/weights.pth"
RESTRICTED = {"weights": "plate_weights", "weights_licence": "CC-BY-NC-4.0"}
_WIDTHS = {"raw_pixels": 3, "resnet18_pq": 4}
_SEEDS = {"kmeans": [0, 1, 2], "ward": [0], "hdbscan": [0]}
_SWEPT = {"kmeans": [2, 3], "ward": [2, 3], "hdbscan": [FOUND]}


def write_image_results(root: Path, *, simulated: bool = False, learned: bool = True) -> list[Path]:
    """All tables of the study `cracks` of dataset `plates`; returns their paths. learned : the weights are genuine."""
    draw, n = np.random.default_rng(0), len(IMAGES)
    key = pd.DataFrame({"image_id": IMAGES})
    plates = key.assign(
        label=np.repeat(CLASSES, 2), width=4, height=3, bits=8, channels=1, conversion="",
        brightness=draw.uniform(size=n), contrast=draw.uniform(size=n) / 2, sharpness=draw.uniform(size=n),
        sha256=[f"{i:064x}" for i in range(n)], similar_to=[None, "crack/1.png", None, None, None, None],
        duplicate=False, near_duplicate=[False, True, False, False, False, False],
    )  # fmt: skip
    rejects = pd.DataFrame({"row": [7], "reason": "damaged file", "column": "file", "value": "pore/3.png", "raw": "{}"})
    paths = [
        put(root, "datasets/plates.parquet", plates, dataset_schema("plates", PLATES), simulated=simulated,
            dataset="plates"),
        put(root, "rejects/plates.parquet", rejects, REJECTS, dataset="plates"),
    ]  # fmt: skip

    def put_of(path, frame, schema, **about):
        about = {"simulated": simulated, "dataset": "plates"} | about
        paths.append(put(root, f"{path}.parquet", frame, schema, **about))

    for view, width in _WIDTHS.items():
        values = pd.DataFrame(draw.normal(size=(n, width)), columns=[f"{view}_{i}" for i in range(width)])
        fields = [Field(name, "float64", "1", "A feature") for name in values]
        frame, schema = pd.concat([key, values], axis=1), feature_schema(view, IMAGE_KEY, fields)
        network = view != "raw_pixels"
        about = {"inputs": [WEIGHTS_FILE] if network else [], "simulated": simulated or (network and not learned)}
        put_of(f"features/plates/{view}", frame, schema, view=view, **about, **(RESTRICTED if network else {}))
    for view, name in [*IMAGE_STUDY["spaces"], *IMAGE_STUDY["maps"]]:
        width = _WIDTHS[view] if name == "as_is" else 2
        scores = pd.DataFrame(draw.normal(size=(n, width)), columns=[f"z_{i}" for i in range(width)])
        rebuilt = name == "pca2"
        schema = representation_schema(name, IMAGE_KEY, width, rebuilt=rebuilt)
        frame = pd.concat([key, scores], axis=1).assign(**{"reconstruction_error": 0.25} if rebuilt else {})
        put_of(f"representations/plates/{view}/{name}", frame, schema, view=view)
        values = {"n_features": _WIDTHS[view]}
        values |= {"explained_variance_ratio": 0.75, "reconstruction_error": 0.25} if rebuilt else {}
        values |= {"trustworthiness": 0.98765} if name == "tsne" else {}
        records = [(None, metric, value, None, "all") for metric, value in values.items()]
        put_of(f"metrics/representation/plates/{view}/{name}", _image_metrics(view, name, name, records), METRICS)
    for view, representation, clustering in IMAGE_STUDY["clustered"]:
        swept, seeds = _SWEPT[clustering], _SEEDS[clustering]
        noise = clustering == "hdbscan"
        labels = key.assign(cluster=[0, 0, 1, 1, -1, -1] if noise else [0, 0, 1, 1, 2, 2], distance=0.5)
        space = f"plates/{view}/{representation}/{clustering}"
        put_of(f"clusters/{space}", labels, cluster_schema(clustering, IMAGE_KEY, []), view=view)
        records = [(k, "silhouette", draw.uniform(), None, "all") for k in swept]
        records += [(None, "best_k", swept[0], None, "all")]
        records += [(None, "noise_share", 1 / 3, None, "all")] if noise else []
        records += [(None, "best_k", 2 + seed % 2, seed, "seed") for seed in seeds if len(seeds) > 1]
        put_of(f"metrics/clustering/{space}", _image_metrics(view, representation, clustering, records), METRICS)
    runs = pd.DataFrame(
        [("cracks", "plates", *space, k, seed) for space in IMAGE_STUDY["clustered"] for k in _SWEPT[space[-1]]
         for seed in _SEEDS[space[-1]]],
        columns=["study", "dataset", "view", "representation", "clustering", "k", "seed"],
    )  # fmt: skip
    metrics = [f"{name}{end}" for name in ("ari", "nmi", "purity") for end in ("", "_chance")]
    scores = runs.merge(pd.Series(metrics, name="metric"), how="cross")
    put_of("scores/cracks", scores.assign(value=draw.uniform(size=len(scores))), SCORES)
    counted = runs[runs["k"] == len(CLASSES)].merge(
        pd.DataFrame({"label": CLASSES, "cluster": range(len(CLASSES)), "entities": 2, "matched": True}), how="cross"
    )
    put_of("contingency/cracks", counted, CONTINGENCY)
    split = runs.merge(pd.Series(["brightness", "contrast"], name="condition"), how="cross")
    measured = {f"effect_{of}": draw.uniform(-0.1, 1, size=len(split)) for of in ("of_cluster", "of_label")}
    within = pd.Series(draw.uniform(size=len(split))).where(split["clustering"] != "hdbscan")
    put_of("conditions/cracks", split.assign(**measured, effect_within_label=within), CONDITIONS)
    copies = key.merge(pd.Series(_WIDTHS, name="spread").rename_axis("view").reset_index(), how="cross").merge(
        pd.Series(["shift_5px", "brighter_10pct"], name="alteration"), how="cross"
    )
    copies = copies.assign(study="cracks", dataset="plates", travel=draw.uniform(size=len(copies)))
    copies = copies.astype({"spread": float}).assign(ratio=copies["travel"] / copies["spread"])
    put_of("sensitivity/cracks", copies, sensitivity_schema(IMAGE_KEY))
    looked = pd.DataFrame(
        [("cracks", "plates", "resnet18_pq", "tiny_clusters", order, seed, inspected)
         for order in ("tiny_clusters", "random") for seed in (0, 1, 2) for inspected in (1, 2, 3)],
        columns=[name for name in INSPECTIONS.columns if name != "recall"],
    )  # fmt: skip
    recall = looked["inspected"] * draw.uniform(0.2, 0.3, size=len(looked))
    put_of("inspections/cracks", looked.assign(recall=recall), INSPECTIONS)
    return paths


def make_image_results(root: Path, claims: pd.DataFrame, **changes) -> Path:
    """The results folder of the study of images with its catalog; returns its path."""
    tables = [*write_image_results(root, **changes), put(root, "claims/cracks.parquet", claims, CLAIMS)]
    build_catalog(root / "matlas.duckdb", tables, root, studies={"cracks": IMAGE_STUDY})
    return root


def _image_metrics(view: str, representation: str, method: str, records: list[tuple]) -> pd.DataFrame:
    frame = pd.DataFrame(records, columns=["k", "metric", "value", "seed", "split"])
    frame = frame.assign(dataset="plates", view=view, representation=representation, method=method)
    return frame.astype({"k": "Int64", "seed": "Int64", "value": float})[METRICS.columns]
