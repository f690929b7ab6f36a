"""A small results folder with every layer, whose numbers are known: what the tests of the store read.

Dataset `ores`: 5 rows of 3 compositions; views `weights` (2 features) and `sizes` (1), joined with the temperature of
the row as `weights_temperature`; one representation, two clusterings, two studies.
"""

import json
from pathlib import Path

import pandas as pd

from matlas.catalog import build_catalog
from matlas.lineage import Lineage
from matlas.tables import table_info, write_table
from schemas.fields import FIELDS
from schemas.table import Field, TableSchema
from schemas.tables.analysis import AGREEMENT, CLAIMS, METRICS, cluster_schema, representation_schema
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
STUDIES = {
    "first": {"dataset": "ores", "views": ["weights_temperature", "sizes"], "representations": ["pca1"],
              "clusterings": ["kmeans", "gmm"]},
    "second": {"dataset": "ores", "views": ["weights_temperature"], "representations": ["pca1"],
               "clusterings": ["kmeans"]},
}  # fmt: skip
JOINED = {
    "weights_temperature": {"kind": "joined", "of": ["weights", "sizes"], "columns": ["temperature"]},
    "unused": {"kind": "joined", "of": ["weights"], "columns": []},
}
SPEC = {"kind": "composition", "features": "element_statistics", "description": "What the atoms weigh"}
KEY = FIELDS["row_id"]
_ZT = Field("zt", "float64", "1", "Figure of merit", minimum=0.0, nullable=True, citation="a paper")
DATASET_SCHEMA = TableSchema("ores", "datasets", ("row_id",), (KEY, FIELDS["composition"], FIELDS["temperature"], _ZT))
WEIGHTS_SCHEMA = feature_schema("weights", [
    Field("mean_weight", "float64", "g/mol", "Mean atomic weight", label="PeerData mean Weight"),
    Field("n_atoms", "int64", "1", "Atoms in a formula unit", minimum=1),
])  # fmt: skip
SIZES_SCHEMA = feature_schema("sizes", [Field("mean_radius", "float64", "pm", "Mean covalent radius", nullable=True)])
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
