"""From raw rows to a clean table and rejects: planted faults are found, and nothing is lost between the two."""

import json

import numpy as np
import pandas as pd
import pytest

from matlas.clean.compositions import clean_batches, clean_compositions
from matlas.clean.raw import raw_batches, read_raw
from matlas.clean.rejects import as_rejects
from matlas.errors import DataError
from matlas.simulate.thermoelectrics import BAD_ROWS, thermoelectrics, write_thermoelectrics
from schemas.config.datasets import CompositionDataset
from schemas.loading import load_atlas
from schemas.strict_yaml import read_yaml


@pytest.fixture(scope="module")
def estm(repository) -> CompositionDataset:
    return load_atlas(read_yaml(repository / "config" / "config.yaml"), repository).datasets["estm"]


def toy(**changes) -> CompositionDataset:
    definition = {
        "kind": "composition", "title": "toy", "path": "toy.csv", "formula": "formula",
        "columns": {"hardness": {"source": "HV", "unit": "GPa", "description": "hardness", "minimum": 0}},
        "max_reject_share": 1.0,
    }  # fmt: skip
    return CompositionDataset(**(definition | changes))


def test_the_real_table_has_the_published_numbers_of_rows_and_inconsistencies(estm, mirror):
    clean, rejects = clean_compositions(read_raw(mirror / "estm" / "estm.xlsx"), estm, "estm")
    assert len(clean) == 5205 and len(rejects) == 0
    assert clean["composition"].nunique() == 880
    assert clean["reduced_formula"].nunique() == 871
    assert clean["repeated"].sum() == 30
    assert clean["power_factor_inconsistent"].sum() == 104
    assert clean["zt_inconsistent_with_power_factor"].sum() == 193
    assert clean["zt_inconsistent"].sum() == 241
    assert (clean["measurement_id"] == np.arange(1, 5206)).all()
    first = clean.iloc[0]
    assert first["power_factor_recomputed"] == pytest.approx((-110e-6) ** 2 * 27766)
    assert first["zt_recomputed"] == pytest.approx((-110e-6) ** 2 * 27766 * 300 / 0.63)


def test_every_planted_bad_row_is_refused_for_its_reason_and_no_other_row_is(estm):
    sample = thermoelectrics(rows=2000, seed=3)
    clean, rejects = clean_compositions(sample.raw, estm, "estm")
    planted = sample.truth["fault"].to_numpy()
    assert set(rejects["row"]) == set(np.flatnonzero(planted != "") + 1)
    assert len(clean) + rejects["row"].nunique() == 2000
    says = {"unparseable formula": "", "unknown element": "Xx", "negative temperature": "below 0",
            "missing value": "missing value", "text in a number column": "not a number"}  # fmt: skip
    at_fault = {fault: column for fault, column, _ in BAD_ROWS}
    for row in rejects.itertuples():
        fault = planted[row.row - 1]
        assert row.column == at_fault[fault]
        assert says[fault] in row.reason


def test_planted_inconsistencies_and_repeats_are_flagged_not_dropped(estm):
    sample = thermoelectrics(rows=2000, seed=3)
    clean, _ = clean_compositions(sample.raw, estm, "estm")
    truth = sample.truth.iloc[clean["measurement_id"] - 1].reset_index(drop=True)
    assert (clean["power_factor_inconsistent"] == truth["inconsistent"]).all()
    assert truth["inconsistent"].sum() > 20
    # a repeat whose original was refused is no repeat any more
    originals = clean.duplicated(["composition", "temperature", "reference"], keep="first")
    assert (clean["repeated"] == originals).all() and clean["repeated"].sum() > 10


def test_a_row_with_two_faults_is_listed_once_for_each():
    raw = pd.DataFrame({"formula": ["Xx2", "TiC"], "HV": ["hard", 3]})
    clean, rejects = clean_compositions(raw, toy())
    assert clean["row_id"].tolist() == [2]
    assert rejects[["row", "column"]].to_numpy().tolist() == [[1, "HV"], [1, "formula"]]
    assert rejects["value"].tolist() == ["hard", "Xx2"]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [("", "missing"), (None, "missing"), ("12 GPa", "not a number"), ("inf", "not finite"), (-1, "below 0"),
     (True, "not a number"), ("nan", "not a number")],
)  # fmt: skip
def test_a_bad_number_is_refused_with_its_reason(cell, reason):
    raw = pd.DataFrame({"formula": ["TiC", "TiN"], "HV": pd.Series([cell, 3], dtype=object)})
    clean, rejects = clean_compositions(raw, toy())
    assert len(clean) == 1 and reason in rejects["reason"].item()


def test_scale_and_offset_convert_into_the_stated_unit():
    columns = {"kelvin": {"source": "T", "unit": "K", "description": "T", "scale": 2.0, "offset": 273.15, "minimum": 0}}
    clean, rejects = clean_compositions(
        pd.DataFrame({"formula": ["TiC", "TiN"], "T": [10, -200]}), toy(columns=columns)
    )
    assert clean["kelvin"].tolist() == [293.15]
    assert rejects["row"].tolist() == [2]


def test_a_nullable_column_may_be_empty():
    columns = {"hardness": {"source": "HV", "unit": "GPa", "description": "h", "nullable": True}}
    clean, rejects = clean_compositions(
        pd.DataFrame({"formula": ["TiC", "TiN"], "HV": [None, 2]}), toy(columns=columns)
    )
    assert clean["hardness"].isna().tolist() == [True, False] and rejects.empty


def test_too_many_bad_rows_stop_the_job_and_say_which():
    raw = pd.DataFrame({"formula": ["TiC"] * 8 + ["Xx", "Yy"], "HV": [1.0] * 10})
    with pytest.raises(DataError, match=r"at most 10.0% of 10 rows refused, that is 1, found 2: .*'Xx' \(row 9: Xx\)"):
        clean_compositions(raw, toy(max_reject_share=0.1), "toy")
    assert len(clean_compositions(raw, toy(max_reject_share=0.2), "toy")[0]) == 8


def test_a_missing_column_is_named_with_those_that_are_there():
    with pytest.raises(DataError, match=r"'HV' is missing.*dataset toy.*hardness_vickers"):
        clean_compositions(pd.DataFrame({"formula": ["TiC"], "hardness_vickers": [1]}), toy(), "toy")


def test_the_key_is_the_row_of_the_source_even_after_refusals():
    raw = pd.DataFrame({"formula": ["Xx", "TiC", "??", "TiN"], "HV": [1, 2, 3, 4]})
    assert clean_compositions(raw, toy())[0]["row_id"].tolist() == [2, 4]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".parquet", ".json"])
def test_the_same_table_is_read_from_every_format(suffix, tmp_path):
    frame = pd.DataFrame({"formula": ["TiC", "NaN"], "HV": [28.5, 1.5]})
    path = tmp_path / f"toy{suffix}"
    write = {".csv": frame.to_csv, ".xlsx": frame.to_excel, ".parquet": frame.to_parquet}
    if suffix == ".tsv":
        frame.to_csv(path, sep="\t", index=False)
    elif suffix == ".json":
        frame.to_json(path, orient="records")
    else:
        write[suffix](path, index=False)
    clean, rejects = clean_compositions(read_raw(path), toy())
    assert clean["composition"].tolist() == ["TiC", "NaN"], "NaN is sodium nitride here, not a missing value"
    assert clean["hardness"].tolist() == [28.5, 1.5]


@pytest.mark.parametrize(
    ("more", "frames"),
    [
        ({"derived": {"root": {"sql": "sqrt(hardness)", "unit": "GPa^0.5", "description": "root"}}}, 3),
        ({"flags": {"hardest": {"sql": "hardness = max(hardness) OVER ()", "description": "hardest of all"}}}, 1),
        ({"repeats": ["composition"]}, 1),
    ],
    ids=["row by row", "window", "repeats"],
)
def test_batches_of_a_long_table_are_cleaned_as_the_whole(more, frames, tmp_path):
    cells = [("TiC", "28"), ("TiN", "21"), ("Xx2", "1"), ("WC", "x"), ("TiC", "28"), ("VC", "30"), ("NaN", "2")]
    path = tmp_path / "t.csv"
    path.write_text("formula,HV\n" + "".join(f"{formula},{hardness}\n" for formula, hardness in cells))
    whole, refused = clean_compositions(read_raw(path), toy(**more))
    rejects: list[pd.DataFrame] = []
    batches = list(clean_batches(raw_batches(path, rows_at_once=3), toy(**more), "dataset", rejects))
    assert [len(batch) for batch in raw_batches(path, rows_at_once=3)] == [3, 3, 1] and len(batches) == frames
    pd.testing.assert_frame_equal(pd.concat(batches, ignore_index=True), whole)
    pd.testing.assert_frame_equal(as_rejects(rejects), refused)
    assert refused["row"].tolist() == [3, 4] and whole["row_id"].tolist() == [1, 2, 5, 6, 7]


def test_too_many_bad_rows_in_a_late_batch_stop_the_table():
    good, bad = (pd.DataFrame({"formula": [formula] * 3, "HV": 1.0}) for formula in ("TiC", "Xx"))
    batches = clean_batches([good, bad], toy(max_reject_share=0.4), "toy", [])
    assert len(next(batches)) == 3
    with pytest.raises(DataError, match=r"row 4: Xx, row 5: Xx, row 6: Xx"):
        next(batches)


def test_an_unreadable_file_is_one_clear_error(tmp_path):
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(b"not a workbook")
    with pytest.raises(DataError, match="broken.xlsx"):
        read_raw(broken)
    with pytest.raises(DataError, match="missing"):
        read_raw(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="unknown table format"):
        read_raw(tmp_path / "table.docx")


def test_the_sample_spreadsheet_has_the_format_of_the_source_and_is_the_same_each_time(tmp_path):
    write_thermoelectrics(tmp_path / "a.xlsx", rows=200, seed=1)
    write_thermoelectrics(tmp_path / "b.xlsx", rows=200, seed=1)
    write_thermoelectrics(tmp_path / "c.xlsx", rows=200, seed=2)
    a, b, c = (read_raw(tmp_path / f"{name}.xlsx") for name in "abc")
    pd.testing.assert_frame_equal(a, b)
    assert not a.equals(c) and list(a.columns) == list(c.columns)


@pytest.mark.parametrize("first", [True, 1])
def test_true_and_one_are_told_apart_in_a_workbook_whichever_comes_first(first, tmp_path):
    cells = [first, True, 1, 0, False]
    pd.DataFrame({"formula": ["TiC"] * 5, "HV": pd.Series(cells, dtype=object)}).to_excel(
        tmp_path / "t.xlsx", index=False
    )
    clean, rejects = clean_compositions(read_raw(tmp_path / "t.xlsx"), toy())
    boolean = [i + 1 for i, cell in enumerate(cells) if isinstance(cell, bool)]
    assert rejects["row"].tolist() == boolean and set(rejects["reason"]) == {"not a number"}
    assert clean["hardness"].tolist() == [float(c) for c in cells if not isinstance(c, bool)]


@pytest.mark.parametrize("header", ["formula,HV,HV", 'formula,"HV","HV "', "formula,formula ,HV"])
def test_a_header_that_names_a_used_column_twice_is_refused(header, tmp_path):
    (tmp_path / "t.csv").write_text(f"{header}\nTiC,1,2\n")
    with pytest.raises(DataError, match="stands twice in the header"):
        clean_compositions(read_raw(tmp_path / "t.csv"), toy())


def test_a_row_with_a_cell_too_many_is_refused_by_its_number(tmp_path):
    (tmp_path / "t.csv").write_text("formula,HV\nTiC,1\nTiN,2,\n")
    with pytest.raises(DataError, match=r"row of another length.*row 2.*expected 2 values as in the header.*found 3"):
        read_raw(tmp_path / "t.csv")


def test_nested_cells_are_refused_not_crashed_on(tmp_path):
    rows = [
        {"formula": "TiC", "HV": [1], "lab": "a"},
        {"formula": "TiN", "HV": 1, "lab": ["b"]},
        {"formula": "VC", "HV": 2, "lab": "c"},
    ]
    (tmp_path / "t.json").write_text(json.dumps(rows))
    columns = {
        "hardness": {"source": "HV", "unit": "GPa", "description": "h"},
        "lab": {"source": "lab", "dtype": "string", "description": "l"},
    }
    clean, rejects = clean_compositions(read_raw(tmp_path / "t.json"), toy(columns=columns))
    assert clean["composition"].tolist() == ["VC"]
    assert rejects[["row", "reason"]].to_numpy().tolist() == [[1, "not a number"], [2, "not text"]]


def test_an_empty_table_and_a_missing_sheet_are_named(tmp_path):
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(DataError, match="the table is empty"):
        read_raw(tmp_path / "t.csv")
    pd.DataFrame({"a": [1]}).to_excel(tmp_path / "t.xlsx", sheet_name="one", index=False)
    with pytest.raises(DataError, match=r"sheet is missing.*\['one'\].*'two'"):
        read_raw(tmp_path / "t.xlsx", "two")
