"""From raw tables of crystals to a clean dataset: every row is kept or refused with its reason, shards add up to the
whole, and what is written is read back as the same crystals."""

import gzip
import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest

from matlas.clean import crystal_tables
from matlas.clean import crystals as clean_module
from matlas.clean.crystal_tables import raw_crystals
from matlas.clean.crystals import clean_crystals, formula_amounts, parse_shard
from matlas.composition import ATOMIC_NUMBER, SYMBOLS, parse_formulas
from matlas.crystals.neighbours import neighbours_within
from matlas.crystals.read import read_crystal
from matlas.crystals.stored import read_crystals, symmetry_frame
from matlas.crystals.structure import Crystal
from matlas.errors import DataError
from matlas.shards import gathered
from matlas.simulate.crystals import crystals, write_crystals
from matlas.tables import write_table
from schemas.config.datasets import CrystalDataset
from schemas.tables.dataset import REJECTS, SYMMETRY, crystal_key, dataset_schema, sites_schema

COLUMNS = {"band_gap": "gap", "lab": {"source": "lab", "dtype": "string", "description": "lab", "nullable": True}}


def poscar(a: float, *sites: str) -> str:
    """A cubic crystal with edges of `a` Å; a site is "El x y z"."""
    symbols, places = zip(*(site.split(" ", 1) for site in sites), strict=True)
    return "\n".join(["c", str(a), "1 0 0", "0 1 0", "0 0 1", " ".join(symbols), "1 " * len(sites), "direct", *places])


def cscl(a: float = 4.0, pair: tuple[str, str] = ("Cs", "Cl")) -> str:
    return poscar(a, f"{pair[0]} 0 0 0", f"{pair[1]} 0.5 0.5 0.5")


def shared(a: float, species: dict[str, float]) -> dict:
    """pymatgen's JSON of a crystal with one site that several elements share."""
    share = [{"element": e, "occu": occupancy} for e, occupancy in species.items()]
    return {"lattice": {"matrix": (a * np.eye(3)).tolist()}, "sites": [{"species": share, "abc": [0, 0, 0]}]}


def one_table(**changes) -> CrystalDataset:
    definition = {"kind": "crystal", "title": "toy", "path": "toy.csv", "id": "name", "structure": "cell",
                  "columns": COLUMNS, "max_reject_share": 1.0}  # fmt: skip
    return CrystalDataset(**(definition | changes))


def several(tables: dict, **changes) -> CrystalDataset:
    definition = {"kind": "crystal", "title": "toy", "source": "toy", "tables": tables, "max_reject_share": 1.0}
    return CrystalDataset(**(definition | changes))


ROWS = [{"name": "a", "cell": cscl(4.1), "gap": 6.1, "lab": "x"}, {"name": "b", "cell": cscl(4.2), "gap": 0.0},
        {"name": "c", "cell": cscl(3.0, ("Al", "Ni")), "gap": 1e-17, "lab": "y"}]  # fmt: skip


def records(path, rows) -> dict:
    path.write_text(json.dumps(rows))
    return {path.name: path}


def cleaned(dataset, files, shards=1):
    parsed = []
    for shard in range(shards):
        raw, _ = raw_crystals(dataset, files, (shard, shards))
        parsed.append(parse_shard(raw, dataset, dataset.key, shard, shards))
    raw, rejects = raw_crystals(dataset, files, share=None)
    parts = [part.crystals for part in parsed[::-1]], [part.rejects for part in parsed]
    clean, rejects = clean_crystals(raw, rejects, *parts, dataset, "toy")
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.parquet" for number in range(shards)]
        for part, path in zip(parsed, paths, strict=True):
            write_table(part.sites, path, sites_schema("toy", crystal_key(dataset)))
        return clean, pd.concat(gathered(paths, clean[dataset.key]), ignore_index=True), rejects


# raw tables


def written(name, folder):
    """ROWS in the format that the name asks for."""
    frame, path = pd.DataFrame(ROWS), folder / name
    plain = folder / name.removesuffix(".gz")
    if ".csv" in name or ".tsv" in name:
        frame.to_csv(plain, sep="," if ".csv" in name else "\t", index=False)
    elif ".parquet" in name:
        frame.to_parquet(plain)
    elif ".jsonl" in name:
        plain.write_text("\n".join(map(json.dumps, ROWS)) + "\n")
    else:
        plain.write_text(json.dumps(ROWS))
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


@pytest.mark.parametrize(
    "name", ["t.csv", "t.csv.gz", "t.tsv", "t.tsv.gz", "t.parquet", "t.json", "t.json.gz", "t.jsonl", "t.jsonl.gz"]
)
def test_the_same_table_is_read_from_every_format(name, tmp_path):
    raw, rejects = raw_crystals(one_table(), {name: written(name, tmp_path)})
    assert rejects.empty and raw["row"].tolist() == [1, 2, 3] and set(raw["file"]) == {name}
    assert raw["id"].tolist() == ["a", "b", "c"] and raw["structure"].tolist() == [r["cell"] for r in ROWS]
    assert raw["band_gap"].tolist() == [6.1, 0.0, 1e-17] and raw["lab"].tolist() == ["x", None, "y"]


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_nested_structures_are_kept_and_parsed(suffix, tmp_path):
    rows = [{"name": "a", "cell": shared(3.0, {"Fe": 1.0})}, {"name": "b", "cell": shared(3.0, {"Fe": 0.5, "Co": 0.5})}]
    path = tmp_path / f"t{suffix}"
    path.write_text(json.dumps(rows)) if suffix == ".json" else pd.DataFrame(rows).to_parquet(path)
    clean, sites, _ = cleaned(one_table(columns={}), {path.name: path})
    assert clean["composition"].tolist() == ["Fe", "FeCo"] and clean["disordered"].tolist() == [False, True]
    assert sites[["material_id", "site", "element", "occupancy"]].to_numpy().tolist() == [
        ["a", 0, "Fe", 1.0], ["b", 0, "Fe", 0.5], ["b", 0, "Co", 0.5]
    ]  # fmt: skip


def test_a_folder_of_structures_is_a_table_whose_identifiers_are_the_names(tmp_path, caplog):
    (tmp_path / "deep").mkdir()
    for name in ("b.vasp", "POSCAR_a", "deep/c.poscar", ".hidden.vasp"):
        (tmp_path / name).write_text(cscl(4.0))
    cif = read_cif_of(cscl(4.0))
    (tmp_path / "é.v1.cif").write_bytes(("# Müller\n" + cif).encode("latin-1"))
    (tmp_path / "notes.txt").write_text("no structure")
    with caplog.at_level("INFO"):
        clean, _, rejects = cleaned(one_table(columns={}), {"folder": tmp_path})
    assert rejects.empty and clean["material_id"].tolist() == ["POSCAR_a", "b", "deep/c", "é.v1"]
    assert set(clean["prototype"]) == {"AB_221_a_b"} and "1 files that are no structures" in caplog.text
    single, _, _ = cleaned(one_table(columns={}), {"é.v1.cif": tmp_path / "é.v1.cif"})
    assert single["material_id"].tolist() == ["é.v1"]


def read_cif_of(text: str) -> str:
    from pymatgen.core import Structure

    return Structure.from_str(text, fmt="poscar").to(fmt="cif")


def test_a_structure_may_be_a_path_but_none_that_leaves_the_folder_of_its_table(tmp_path):
    inside = tmp_path / "table"
    (inside / "cells").mkdir(parents=True)
    (inside / "cells" / "a.vasp").write_text(cscl())
    (tmp_path / "secret.vasp").write_text(cscl())
    (inside / "link.vasp").symlink_to(tmp_path / "secret.vasp")
    paths = ["cells/a.vasp", "../secret.vasp", str(tmp_path / "secret.vasp"), "link.vasp", "cells/../../secret.vasp",
             "absent.vasp", "cells", "x" * 300, "nul\0", "cells/../cells/a.vasp"]  # fmt: skip
    rows = [{"name": str(i), "cell": path} for i, path in enumerate(paths)]
    raw, rejects = raw_crystals(one_table(columns={}), records(inside / "t.json", rows))
    assert raw["id"].tolist() == ["0", "9"] and set(raw["structure"]) == {cscl()}
    assert rejects["value"].tolist() == [str(i) for i in range(1, 9)]
    out = ["path out of the folder of the table"]
    assert rejects["reason"].tolist() == out * 4 + ["neither a structure nor the path of a file"] * 4


def test_rows_are_refused_as_they_stand_with_reason_column_value_and_whereabouts(tmp_path):
    rows = [
        ROWS[0], {**ROWS[1], "name": None}, {**ROWS[1], "name": " a "}, {**ROWS[1], "cell": ""},
        {**ROWS[2], "gap": "wide"}, {**ROWS[1], "name": "d", "gap": -1}, {**ROWS[1], "name": ["n"]},
        {**ROWS[1], "name": 7},
    ]  # fmt: skip
    files = records(tmp_path / "t.json", rows)
    raw, rejects = raw_crystals(one_table(), files)
    assert raw["id"].tolist() == ["a", "7"] and raw["row"].tolist() == [1, 8]
    assert rejects[["row", "column", "reason", "value"]].to_numpy().tolist() == [
        [2, "name", "missing identifier", None],
        [3, "name", "identifier stands in the table already", " a "],
        [4, "cell", "missing structure", "b"],
        [5, "gap", "not a number", "wide"],
        [6, "gap", "below 0.0 eV", "-1"],
        [7, "name", "not text", "['n']"],
    ]
    assert json.loads(rejects["raw"][3]) == {"_table": "", "_file": "t.json", **rows[4]}
    assert list(rejects.columns) == REJECTS.columns


def test_rows_are_numbered_through_all_files_and_an_identifier_stands_once_in_a_table(tmp_path):
    tables = {t: {"files": [f"{t}{i}.json" for i in (1, 2)], "id": "name", "structure": "cell"} for t in "pq"}
    files = {}
    for name, ids in {"p1": "ab", "p2": "bc", "q1": "a", "q2": "cd"}.items():
        rows = [{"name": i, "cell": cscl()} for i in ids]
        files |= records(tmp_path / f"{name}.json", rows)
    raw, rejects = raw_crystals(several(tables), files)
    assert raw["row"].tolist() == [1, 2, 4, 5, 6, 7] and raw["table"].tolist() == list("pppqqq")
    assert rejects[["row", "value"]].to_numpy().tolist() == [[3, "b"]]
    with pytest.raises(DataError, match=r"file is missing.*table 'q'.*q2.json"):
        raw_crystals(several(tables), {n: p for n, p in files.items() if n != "q2.json"})


def test_what_is_no_table_of_crystals_is_one_clear_error(tmp_path, monkeypatch):
    def read(name, content=None, dataset=None):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        return raw_crystals(dataset or one_table(columns={}), {name: tmp_path / name})

    with pytest.raises(DataError, match="file is missing.*absent.csv"):
        read("absent.csv")
    with pytest.raises(DataError, match=r"damaged gzip file.*t\.csv\.gz"):
        read("t.csv.gz", gzip.compress(b"name,cell\n" + os.urandom(4000))[:-20])
    with pytest.raises(DataError, match="not a list of records"):
        read("t.json", b'{"name": "a"}')
    with pytest.raises(DataError, match="can't read the table.*t.jsonl"):
        read("t.jsonl", b'{"name": "a"}\n{')
    with pytest.raises(DataError, match=r"row of another length.*/t\.csv\.gz, row 1"):
        read("t.csv.gz", gzip.compress(b"name,cell\na\n"))
    with pytest.raises(DataError, match="column 'cell' is missing"):
        read("u.csv", b"name,cif\na,b\n")
    with pytest.raises(DataError, match="column 'gap' is missing"):
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "a.cif").write_text("data_a")
        read("folder", dataset=one_table())
    with pytest.raises(DataError, match="no structure in the folder"):
        (tmp_path / "empty").mkdir()
        read("empty")
    monkeypatch.setattr(crystal_tables, "MAX_UNPACKED", 10_000)
    with pytest.raises(DataError, match="too large when unpacked.*bomb.csv.gz.*10000 bytes"):
        read("bomb.csv.gz", gzip.compress(bytes(50_000_000)))


def test_a_structure_longer_than_a_csv_cell_may_usually_be_is_read(tmp_path):
    long = cscl() + "\n" + " " * 200_000
    pd.DataFrame([{"name": "a", "cell": long}]).to_csv(tmp_path / "t.csv", index=False)
    raw, _ = raw_crystals(one_table(columns={}), {"t.csv": tmp_path / "t.csv"})
    assert raw["structure"].item() == long


# shards


def test_only_the_structures_of_a_share_are_kept_and_batches_change_nothing(tmp_path, monkeypatch):
    cell = cscl(3.5)
    lines = [f'{name},"{cell}"' for name in ("a", "b", "", "c", "a", "d", "e")]  # one has no name, one comes twice
    (tmp_path / "t.csv").write_text("name,cell\n" + "\n".join(lines) + "\n")
    files, dataset = {"t.csv": tmp_path / "t.csv"}, one_table(columns={})
    raw, rejects = raw_crystals(dataset, files)
    assert raw["id"].tolist() == ["a", "b", "c", "d", "e"] and rejects["row"].tolist() == [3, 5]
    monkeypatch.setattr(crystal_tables, "ROWS_AT_ONCE", 2)
    in_batches, refused = raw_crystals(dataset, files)
    pd.testing.assert_frame_equal(in_batches.reset_index(drop=True), raw)
    pd.testing.assert_frame_equal(refused, rejects)
    for share, kept in [((0, 2), ["a", "c", "e"]), ((1, 2), ["b", "d"]), (None, [])]:
        some, _ = raw_crystals(dataset, files, share)
        assert some["id"].tolist() == raw["id"].tolist()
        assert some.loc[some["structure"].notna(), "id"].tolist() == kept


def test_shards_add_up_to_the_whole_in_the_order_of_the_source(tmp_path):
    pairs = [("Cs", "Cl"), ("Al", "Ni"), ("Ti", "Fe"), ("Cs", "Br"), ("Cu", "Zn")]
    rows = [{"name": f"n{9 - i}", "cell": cscl(3.5, pair)} for i, pair in enumerate(pairs)]
    files = records(tmp_path / "t.json", [*rows, {"name": "bad", "cell": "nonsense\n"}])
    whole = cleaned(one_table(columns={}), files)
    assert whole[0]["material_id"].tolist() == ["n9", "n8", "n7", "n6", "n5"]
    assert whole[1]["material_id"].tolist() == [f"n{9 - i // 2}" for i in range(10)]
    for shards in (2, 4, 9):
        for one, other in zip(whole, cleaned(one_table(columns={}), files, shards), strict=True):
            pd.testing.assert_frame_equal(one, other)


def test_a_missing_or_doubled_shard_is_noticed(tmp_path):
    dataset = one_table()
    raw, rejects = raw_crystals(dataset, records(tmp_path / "t.json", ROWS))
    parts = [parse_shard(raw, dataset, "material_id", shard, 2) for shard in range(2)]
    for wrong in (parts[:1], [*parts, parts[0]]):
        with pytest.raises(DataError, match="shards don't add up.*expected 3 crystals"):
            clean_crystals(raw, rejects, [part.crystals for part in wrong], [], dataset)


def test_the_structure_is_that_of_the_first_row_where_it_is_good(tmp_path):
    tables = {t: {"files": [f"{t}.json"], "id": "name", "structure": "cell", "columns": {"band_gap": "gap"}}
              for t in ("one", "two", "three")}  # fmt: skip
    near = poscar(4, "Cs 0 0 0", "Cl 0 0 0.05")
    files = {}
    for table, cell, gap in [("one", near, 1.0), ("two", cscl(4.0), 2.0), ("three", cscl(5.0), 3.0)]:
        files |= records(tmp_path / f"{table}.json", [{"name": "a", "cell": cell, "gap": gap}])
    clean, _, rejects = cleaned(several(tables), files)
    assert clean["cell_a"].tolist() == [4.0], "of the second table, since that of the first is refused"
    assert clean["band_gap"].tolist() == [2.0], "and so is its value"
    assert clean[["in_one", "in_two", "in_three"]].to_numpy().tolist() == [[False, True, True]]
    (reject,) = rejects.itertuples()
    assert (reject.row, reject.column, reject.value, reject.reason) == (1, "cell", "a", "atoms closer than 0.5 Å")
    whole = {"table": "one", "file": "one.json", "row": 1, "id": "a", "structure": near, "band_gap": 1.0}
    assert json.loads(reject.raw) == whole


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"shortest_distance": 3.5}, "atoms closer than 3.5 Å"), ({"volume_per_atom": (2, 20)}, "volume per atom")],
)
def test_the_limits_of_the_dataset_decide(limits, reason, tmp_path):
    rows = [{"name": "wide", "cell": cscl(4.0)}, {"name": "other", "cell": poscar(2.7, "Po 0 0 0")}]
    dataset = one_table(columns={}, **limits)
    clean, _, rejects = cleaned(one_table(columns={}), records(tmp_path / "t.json", rows))
    assert len(clean) == 2 and rejects.empty
    raw, _ = raw_crystals(dataset, {"t.json": tmp_path / "t.json"})
    refused = parse_shard(raw, dataset, "material_id").rejects
    assert reason in refused["reason"][0] and refused["value"][0] == "wide"


def test_a_crystal_that_takes_too_long_is_refused_and_the_others_are_not(tmp_path, monkeypatch):
    def slow(structure, key):
        if key == "b":
            time.sleep(30)
        return read_crystal(structure, key)

    monkeypatch.setattr(clean_module, "read_crystal", slow)
    clean, _, rejects = cleaned(one_table(seconds_per_crystal=0.5), records(tmp_path / "t.json", ROWS))
    assert clean["material_id"].tolist() == ["a", "c"]
    assert rejects["reason"].tolist() == ["took longer than 0.5 s"] and rejects["value"].tolist() == ["b"]


def test_symmetry_that_cannot_be_found_is_a_reason(tmp_path):
    rows = [{"name": "a", "cell": poscar(4, "Cs 0 0 0", "Cs 0 0 0.2")}]
    dataset = one_table(columns={}, symmetry_tolerance=1.5)
    raw, _ = raw_crystals(dataset, records(tmp_path / "t.json", rows))
    assert "no symmetry found" in parse_shard(raw, dataset, "material_id").rejects["reason"].item()


def test_a_shard_without_crystals_has_the_columns_of_one_with(tmp_path):
    dataset = one_table()
    raw, _ = raw_crystals(dataset, records(tmp_path / "t.json", ROWS))
    empty, full = (parse_shard(raw, dataset, "material_id", shard, 5) for shard in (4, 0))
    assert len(empty.crystals) == len(empty.sites) == 0
    for a, b in ((empty.crystals, full.crystals), (empty.sites, full.sites)):
        assert a.dtypes.to_dict() == b.dtypes.to_dict()


# compositions


def test_an_ordered_and_a_disordered_crystal_of_one_composition_have_one_formula(tmp_path):
    rows = [
        {"name": "ordered", "cell": cscl(2.9, ("Fe", "Co"))},
        {"name": "alloy", "cell": shared(2.3, {"Fe": 0.5, "Co": 0.5})},
        {"name": "rounded", "cell": shared(2.3, {"Co": 0.49999999, "Fe": 0.5})},
        {"name": "vacant", "cell": shared(2.3, {"Fe": 0.45, "Co": 0.45})},
        {"name": "richer", "cell": shared(2.3, {"Fe": 0.9, "Co": 0.1})},
        {"name": "polyanion", "cell": poscar(9, "Ca 0 0 0", "O .5 0 0", "H .6 0 0", "O 0 .5 0", "H 0 .6 0")},
    ]
    clean, _, rejects = cleaned(one_table(columns={}), records(tmp_path / "t.json", rows))
    assert rejects.empty
    found = dict(zip(clean["material_id"], clean["composition"], strict=True))
    assert len({found[n] for n in ("ordered", "alloy", "rounded", "vacant")}) == 1
    amounts, unread = parse_formulas([found["richer"], found["polyanion"]])
    assert not unread and amounts.fractions().tolist() == pytest.approx([0.9, 0.1, 0.2, 0.4, 0.4])
    assert clean["chemical_system"].tolist() == ["Co-Fe"] * 5 + ["Ca-H-O"]
    assert clean["anonymous_formula"].tolist() == ["AB"] * 4 + ["AB9", "AB2C2"]
    assert clean["chemical_family"].tolist() == ["intermetallic"] * 5 + ["oxide"]
    assert clean["disordered"].tolist() == [False, True, True, True, True, False]


def test_amounts_of_a_disordered_crystal_are_the_smallest_whole_ones():
    def amounts(**filled):
        z = np.array([ATOMIC_NUMBER[e] for e in filled])
        whole = formula_amounts(
            Crystal("", np.eye(3), z, np.zeros((len(z), 3)), np.array(list(filled.values())))
        ).items()
        return {SYMBOLS[z]: n for z, n in whole}

    assert amounts(La=0.925, Sr=0.075) == {"Sr": 3, "La": 37}
    assert amounts(La=1.85, Sr=0.15, Cu=1.0, O=4.0) == {"O": 80, "Cu": 20, "Sr": 3, "La": 37}
    assert amounts(Fe=0.333, Co=0.667) == {"Fe": 333, "Co": 667}, "as the source says, not what it may have meant"
    assert amounts(Fe=1 / 3, Co=2 / 3) == {"Fe": 1, "Co": 2}
    assert amounts(Fe=1.0 - 1e-7, Co=1e-7)["Co"] == 1, "a trace is not lost"


# all tables together


def test_a_column_is_of_the_first_table_that_has_a_value_and_differences_are_flagged(tmp_path):
    columns = {"bulk_modulus": "k", "lab": COLUMNS["lab"]}
    tables = {
        t: {"files": [f"{t}.json"], "id": "name", "structure": "cell", "columns": columns} for t in ("one", "two")
    }
    values = {  # id -> (k, lab) in either table
        "same": ((100, "x"), (100.05, "x")), "differ": ((100, "x"), (100.2, "x")), "tiny": ((0.1, "x"), (0.1009, "x")),
        "small": ((0.1, "x"), (0.102, "x")), "gap": ((None, None), (5, "y")), "text": ((1, "x"), (1, "y")),
        "first": ((7, "x"), None), "second": (None, (8, "z")), "zero": ((0, "x"), (3, "x")),
    }  # fmt: skip
    files = {}
    for i, table in enumerate(tables):
        rows = [
            {"name": name, "cell": cscl(), "k": pair[i][0], "lab": pair[i][1]}
            for name, pair in values.items() if pair[i] is not None
        ]  # fmt: skip
        files |= records(tmp_path / f"{table}.json", rows)
    dataset = several(tables, derived={"half": "bulk_modulus / 2"}, flags={"both": "in_one AND in_two"})
    clean, _, rejects = cleaned(dataset, files, shards=2)
    clean = clean.set_index("material_id")
    assert rejects.empty and clean.index.tolist() == [n for n in values if n != "second"] + ["second"]
    assert clean["bulk_modulus"].to_dict() == {
        "same": 100, "differ": 100, "tiny": 0.1, "small": 0.1, "gap": 5, "text": 1, "first": 7, "second": 8, "zero": 0
    }  # fmt: skip
    assert clean["lab"]["gap"] == "y" and clean["lab"]["second"] == "z"
    assert set(clean.index[clean["values_differ"]]) == {"differ", "small", "text", "zero"}
    assert set(clean.index[~clean["both"]]) == {"first", "second"}
    assert (clean["half"] == clean["bulk_modulus"] / 2).all()


def test_too_many_refused_rows_stop_the_job_whichever_stage_refused_them(tmp_path):
    rows = [*ROWS, {**ROWS[0], "name": "d", "gap": "wide"}, {**ROWS[0], "name": "e", "cell": "nonsense\n"}]
    files = records(tmp_path / "t.json", rows)
    with pytest.raises(DataError, match=r"at most 20.0% of 5 rows refused, that is 1, found 2"):
        cleaned(one_table(max_reject_share=0.2), files)
    clean, _, rejects = cleaned(one_table(max_reject_share=0.4), files)
    assert len(clean) == 3 and rejects["row"].tolist() == [4, 5]
    with pytest.raises(DataError, match="no crystal is left"):
        cleaned(one_table(), records(tmp_path / "u.json", rows[4:]))


def test_every_planted_bad_row_of_the_sample_is_refused_for_its_reason_and_no_other_row_is(tmp_path):
    sample = crystals(rows=120, seed=2)
    names = [f"{t}-{h}.csv.gz" for t in ("mp_20_biternary", "mpts_52") for h in ("val", "test")]
    for name in names:
        write_crystals(tmp_path / name, rows=120, seed=2)
    energy = {"formation_energy_per_atom": "formation_energy_per_atom"}
    tables = {t: {"files": names[i : i + 2], "columns": energy} for t, i in (("mp_20", 0), ("mpts_52", 2))}
    clean, _, rejects = cleaned(several(tables), {name: tmp_path / name for name in names}, shards=2)
    truth = sample.truth.set_index("material_id")
    says = {"unparseable CIF": "unparseable", "atoms 0.2 Å apart": "atoms closer than 0.5 Å",
            "unknown element": "unknown element", "5 Å³ per 8 atoms": "volume per atom",
            "10000 Å³ per atom": "volume per atom", "text as energy": "not a number"}  # fmt: skip
    refused = {json.loads(r.raw).get("material_id", r.value): r.reason for r in rejects.itertuples()}
    faulty = truth["fault"].loc[lambda fault: (fault != "") & (fault != "disordered")]
    assert set(refused) == set(faulty.index) and set(faulty) == set(says)
    assert all(says[faulty[id]] in reason for id, reason in refused.items())
    clean = clean.set_index("material_id")
    assert set(clean.index[clean["disordered"]]) == set(truth.index[truth["fault"] == "disordered"])
    truth = truth.loc[clean.index][~clean["disordered"]]
    assert (clean["reduced_formula"].loc[truth.index] == truth["formula"]).all()
    assert (clean["chemical_family"].loc[truth.index] == truth["family"]).all()
    assert (clean["in_mp_20"].loc[truth.index] == (truth["mp_20"] != "")).all()


# stored


def test_stored_crystals_are_those_that_were_parsed(tmp_path):
    oblique = "\n".join(["t", "1.0", "5 0 0", "1 6 0", "-2 1 7", "Ga As", "2 1", "direct", "0.1 0.2 0.3", "0.6 0.1 0.9",
                         "0.4 0.7 -0.2"])  # fmt: skip
    rows = [*ROWS, {"name": "o", "cell": oblique, "gap": 1}, {"name": "s", "gap": 0}]
    rows[-1]["cell"] = json.dumps(shared(3.0, {"Fe": 0.5, "Co": 0.4}))
    dataset = one_table()
    clean, sites, _ = cleaned(dataset, records(tmp_path / "t.json", rows))
    schema = dataset_schema("toy", dataset)
    write_table(clean, tmp_path / "d.parquet", schema)
    backwards = np.argsort(-pd.factorize(sites["material_id"])[0], kind="stable")  # read back by identifier, not place
    write_table(sites.iloc[backwards], tmp_path / "s.parquet", sites_schema("toy", schema.fields[0]))
    stored = read_crystals(tmp_path / "d.parquet", tmp_path / "s.parquet")
    assert stored.keys.tolist() == ["a", "b", "c", "o", "s"]
    for row, there in zip(rows, stored, strict=True):
        here = read_crystal(row["cell"], row["name"])
        assert there.z.tolist() == here.z.tolist() and there.occupancy.tolist() == here.occupancy.tolist()
        np.testing.assert_allclose(there.frac, here.frac)
        distances = [np.sort(neighbours_within(c.lattice, c.frac, 8.0).distance) for c in (here, there)]
        np.testing.assert_allclose(*distances, rtol=1e-9)
    every_second = read_crystals(tmp_path / "d.parquet", tmp_path / "s.parquet", shard=1, shards=2)
    assert every_second.keys.tolist() == ["b", "o"] and every_second.indptr.tolist() == [0, 2, 5]
    np.testing.assert_array_equal(every_second[1].frac, stored[3].frac)
    np.testing.assert_array_equal(every_second[1].lattice, stored[3].lattice)

    symmetry = symmetry_frame(tmp_path / "d.parquet")
    assert symmetry.columns.tolist() == [*SYMMETRY, "n_sites"] and symmetry["n_sites"].tolist() == [2, 2, 2, 3, 1]
    assert symmetry.loc["a", "space_group_number"] == 221 and symmetry.loc["o", "crystal_system"] == "triclinic"

    write_table(sites[sites["material_id"] != "o"], tmp_path / "s.parquet", sites_schema("toy", schema.fields[0]))
    with pytest.raises(DataError, match="sites are not those of the crystals.*1 that stand in one table only: o"):
        read_crystals(tmp_path / "d.parquet", tmp_path / "s.parquet")


# the real tables


def test_the_real_tables_have_the_published_numbers_and_their_space_groups_agree_with_spglib(mirror):
    folder = mirror / "materials-project"
    energies = {"formation_energy_per_atom": "formation_energy_per_atom"}
    tables = {
        "mp_20": {"files": [f"mp_20_biternary-{s}.csv.gz" for s in ("val", "test")], "columns": {
            **energies, "energy_above_hull": "e_above_hull", "band_gap": "band_gap"}},
        "mpts_52": {"files": [f"mpts_52-{s}.csv.gz" for s in ("val", "test")], "columns": {
            **energies, "energy_above_hull": "energy_above_hull", "year": "year"}},
        "elasticity": {"files": ["mp-binary-pbe-elasticity-2025.1.json.gz"], "id": "mp_id", "structure": "structure",
                       "columns": {"bulk_modulus": "bulk_modulus_vrh", "shear_modulus": "shear_modulus_vrh"}},
    }  # fmt: skip
    dataset = several(tables)
    raw, rejects = raw_crystals(dataset, {p.name: p for p in folder.iterdir()})
    ids = {table: set(rows["id"]) for table, rows in raw.groupby("table")}
    assert rejects.empty and {t: len(i) for t, i in ids.items()} == {
        "mp_20": 14258,
        "mpts_52": 13096,
        "elasticity": 3953,
    }
    assert len(ids["mp_20"] & ids["mpts_52"]) == 1369 and raw["id"].nunique() == 28626

    some = parse_shard(raw, dataset, "material_id", 0, 100)
    assert some.rejects.empty and len(some.crystals) == 287
    source = pd.concat(
        pd.read_csv(folder / f, usecols=["material_id", "spacegroup.number"]) for f in tables["mp_20"]["files"]
    )
    numbers = some.crystals.merge(source, on="material_id")
    assert len(numbers) > 100 and (numbers["space_group_number"] == numbers["spacegroup.number"]).mean() > 0.93
