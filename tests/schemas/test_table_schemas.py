"""Every table schema accepts a good table, and refuses a table that breaks any one of its constraints."""

from dataclasses import replace

import pandas as pd
import pytest
from pandera.errors import SchemaErrors

from matlas.errors import DataError
from matlas.tables import _holds, read_table, write_table
from schemas.config.datasets import (
    Column,
    CompositionDataset,
    CrystalDataset,
    CrystalTable,
    Derived,
    FolderLabels,
    ImageDataset,
)
from schemas.fields import FIELDS
from schemas.table import Field, TableSchema
from schemas.tables.analysis import (
    AGREEMENT,
    CLAIMS,
    CONDITIONS,
    CONTINGENCY,
    INSPECTIONS,
    LOADINGS,
    METRICS,
    SCORES,
    cluster_schema,
    representation_schema,
    reruns_schema,
    sensitivity_schema,
)
from schemas.tables.dataset import REJECTS, dataset_schema, parsed_schema, sites_schema
from schemas.tables.features import altered_schema, element_schema, feature_schema
from schemas.tables.learning import (
    COMPARISONS,
    HISTORY,
    PROBES,
    SELECTION,
    TESTS,
    encodings_schema,
    failures_schema,
    predictions_schema,
    rebuilt_schema,
    split_schema,
)
from tests.schemas.violations import valid_frame, violations

KEY = FIELDS["measurement_id"]
IMAGE = FIELDS["image_id"]
CRYSTAL = FIELDS["material_id"]
DATASET = CompositionDataset(
    kind="composition", title="Alloys", path="alloys.csv", formula="Formula", key="measurement_id",
    repeats=["composition"],
    columns={
        "temperature": "T", "zt": Column(source="ZT", nullable=True), "reference": Column(source="doi", nullable=True),
        "hardness": Column(source="HV", unit="GPa", description="Hardness", minimum=0.1, maximum=100),
    },
    derived={"slope": "zt / temperature"}, flags={"hot": Derived(sql="temperature > 300", description="Hot")},
)  # fmt: skip
IMAGES = ImageDataset(
    kind="image", title="Micrographs", path="micrographs", labels=FolderLabels(by="folder"),
    derived={"grain": "brightness * width"}, flags={"dark": "brightness < 0.2"},
)  # fmt: skip
CRYSTALS = CrystalDataset(
    kind="crystal", title="Crystals", source="minerals", derived={"density": "n_sites / cell_volume"},
    tables={"bands": CrystalTable(columns={"band_gap": "gap"}), "elastic": CrystalTable(columns={"year": "year"})},
)  # fmt: skip
FEATURES = (Field("fraction_of_h", "float64", "1", "", minimum=0.0, maximum=1.0), Field("mean_x", "float64", "K", ""))
SCHEMAS = {
    "dataset": dataset_schema("alloys", DATASET),
    "rejects": REJECTS,
    "images": dataset_schema("micrographs", IMAGES),
    "features": feature_schema("view", FIELDS["composition"], FEATURES),
    "altered": altered_schema("view", IMAGE, FEATURES),
    "elements": element_schema("magpie", (Field("melting_t", "float64", "K", "", nullable=True),)),
    "representation": representation_schema("pca", KEY, width=2),
    "map": representation_schema("tsne", IMAGE, width=2, rebuilt=False),
    "clusters": cluster_schema("gmm", KEY, ks=[2, 3], responsibilities=2),
    "reruns": reruns_schema("kmeans", IMAGE, ["seed_0_k_2", "seed_1_k_2"]),
    "loadings": LOADINGS,
    "metrics": METRICS,
    "agreement": AGREEMENT,
    "scores": SCORES,
    "contingency": CONTINGENCY,
    "conditions": CONDITIONS,
    "inspections": INSPECTIONS,
    "sensitivity": sensitivity_schema(IMAGE),
    "claims": CLAIMS,
    "sites": sites_schema("crystals", CRYSTAL),
    "splits": split_schema("by_system", CRYSTAL),
    "selections": SELECTION,
    "failures": failures_schema("geometry", CRYSTAL),
    "histories": HISTORY,
    "rebuilt": rebuilt_schema("ae", CRYSTAL),
    "encodings": encodings_schema("ae", CRYSTAL, width=2),
    "predictions": predictions_schema("learned", CRYSTAL),
    "probes": PROBES,
    "comparisons": COMPARISONS,
    "tests": TESTS,
    "parsed": parsed_schema("crystals", CRYSTAL),
    "crystals": dataset_schema("crystals", CRYSTALS),
    # no table orders two columns yet
    "ordered": TableSchema("ordered", "test", ("row_id",), (FIELDS["row_id"], *(Field(c, "float64", "1", "") for c in (
        "low", "high"))), ordered=(("low", "high"),)),
}  # fmt: skip
# a field that tables share is broken in the first of them
FIRST = {f: name for name, schema in reversed(SCHEMAS.items()) for f in schema.fields}
FAULTS = [
    pytest.param(schema, fault, id=f"{name}-{fault.field.name if fault.field else 'table'}-{fault.constraint}")
    for name, schema in SCHEMAS.items()
    for fault in violations(schema)
    if fault.field is None or FIRST[fault.field] == name
]


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_table_at_the_bounds_of_its_schema_is_written_and_read_back(schema, tmp_path):
    frame = valid_frame(schema)
    write_table(frame, tmp_path / "table.parquet", schema)
    pd.testing.assert_frame_equal(read_table(tmp_path / "table.parquet"), frame)


@pytest.mark.parametrize(("schema", "fault"), FAULTS)
def test_one_fault_is_refused_with_column_row_and_value_and_leaves_no_file(schema, fault, tmp_path):
    with pytest.raises(DataError) as caught:
        write_table(fault.frames, tmp_path / "table.parquet", schema)
    for part in fault.message:
        assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_pandera_accepts_the_good_table(schema):
    frame = valid_frame(schema)
    pd.testing.assert_frame_equal(schema.pandera().validate(frame, lazy=True), frame)


@pytest.mark.parametrize(("schema", "fault"), [p for p in FAULTS if p.values[1].field])
def test_the_quick_check_and_pandera_blame_the_same_column(schema, fault):
    assert [f.name for f in schema.fields if not _holds(fault.frame[f.name], f)] == [fault.field.name]
    # the other columns are those of the good table, which pandera accepts
    alone = replace(schema, key=(), fields=(fault.field,), ordered=())
    with pytest.raises(SchemaErrors) as caught:
        alone.pandera().validate(fault.frame[[fault.field.name]], lazy=True)
    assert set(caught.value.failure_cases["column"]) == {fault.field.name}


def test_pandera_refuses_columns_out_of_order_but_not_a_missing_side():
    schema = SCHEMAS["ordered"]
    schema = replace(schema, fields=tuple(replace(f, nullable=f.name == "high") for f in schema.fields))
    frame = valid_frame(schema).assign(low=[1.0, 2.0, 3.0, 4.0], high=[1.0, 2.5, 3.0, None])
    schema.pandera().validate(frame)
    with pytest.raises(SchemaErrors, match="low <= high"):
        schema.pandera().validate(frame.assign(low=[1.0, 2.6, 3.0, 4.0]), lazy=True)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_field_of_a_table_says_what_it_means_in_which_unit(schema):
    for f in schema.fields:
        assert f.name.isidentifier() and f.name.islower()
        assert (f.unit == "") == (f.dtype in ("string", "bool")), f.name


def test_an_empty_key_cell_is_a_value_of_its_own(tmp_path):
    """Methods without a seed leave it empty: once beside seed 0, not twice."""
    frame = valid_frame(SCORES).iloc[[0, 0]].reset_index(drop=True).assign(seed=pd.array([0, None], dtype="Int64"))
    write_table(frame, tmp_path / "table.parquet", SCORES)
    assert read_table(tmp_path / "table.parquet")["seed"].isna().tolist() == [False, True]
    with pytest.raises(DataError, match="not unique.*row 0.*<NA>.*row 1"):
        write_table(frame.assign(seed=pd.array([None, None], dtype="Int64")), tmp_path / "again.parquet", SCORES)
