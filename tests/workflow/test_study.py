"""A user's own study, following docs/add-a-study.md to the letter, and what wrong input gets."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from pymatgen.io.cif import CifWriter

from matlas.simulate.crystals import SampleCrystals, crystals
from matlas.store import open_store
from matlas.tables import read_table, table_info
from tests.unit.materials_project_server import RELEASE, MaterialsProjectServer, rock_salt
from tests.workflow.conftest import SMALL_IMAGES, Project, fresh_project

pytestmark = pytest.mark.workflow

COMPOUNDS = "TiC TiN VC VN ZrC ZrN HfC HfN NbC NbN TaC TaN WC WN MoC MoN CrN CrC SiC AlN BN BC GaN InN".split()


@pytest.fixture
def project(repository, tmp_path) -> Project:
    return fresh_project(repository, tmp_path / "project")


def blocks(repository, language: str, page: str = "add-a-study.md") -> list[str]:
    page = (repository / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, re.S)


def follow_the_docs(project: Project, repository, table: str | None = None) -> None:
    """The study file of the docs, word for word, and a table in the docs' format with enough rows to cluster."""
    header = blocks(repository, "csv")[0].splitlines()[0]
    rows = [f"{formula},{20 + i / 2},{25 + i}" for i, formula in enumerate(COMPOUNDS)]
    (project.folder / "data").mkdir()
    (project.folder / "data" / "hardness.csv").write_text(table or "\n".join([header, *rows]) + "\n")
    (project.folder / "config" / "studies" / "hardness.yaml").write_text(blocks(repository, "yaml")[0])
    project.edit("config/small.yaml", "- estm_families", "- hardness")


def test_a_study_of_the_docs_works_with_no_code(project, repository):
    follow_the_docs(project, repository)
    run = project.snakemake()
    assert run.returncode == 0, run.stdout + run.stderr
    store = open_store(project.results)
    table = store.sql("SELECT * FROM datasets.hardness ORDER BY row_id")
    assert table["composition"].tolist() == COMPOUNDS
    assert table["kelvin"].tolist() == pytest.approx([25 + i + 273.15 for i in range(len(COMPOUNDS))])
    claim = store.claims().set_index("id").loc["hardness-carbides"]
    carbides = sum(formula.endswith("C") for formula in COMPOUNDS) / len(COMPOUNDS)
    assert claim["measured"] == pytest.approx(carbides) and claim["verdict"] == "reproduced"
    query = re.search(r'matlas query "(.*?)"', " ".join(blocks(repository, "sh")))[1]
    assert len(store.sql(query)) == len(COMPOUNDS)
    report = (project.results / "report" / "index.html").read_text(encoding="utf-8")
    assert "Hardness of carbides and nitrides" in report and "SAMPLE DATA" not in report
    assert {p.name for p in (project.results / "figures" / "hardness").glob("*.svg")} == {
        "sweep.svg", "map.svg", "hardness_map.svg", "boxes.svg",
    }  # fmt: skip


def write_micrographs(folder: Path) -> dict[str, str]:
    """Twenty-two grey images of two sizes, a 16-bit TIFF, a colour PNG and a file that is no image; what the clean
    stage must say of each odd one."""
    rng = np.random.default_rng(0)
    (folder / "day_2").mkdir(parents=True)
    for i in range(22):
        size = (80, 100) if i % 2 else (64, 64)
        grey = 90 + 60 * (i % 3) + rng.normal(0, 8, size)
        place = folder / "day_2" if i > 15 else folder
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(place / f"grain_{i:02}.png")
    Image.fromarray(rng.integers(0, 60_000, (70, 70), dtype=np.uint16)).save(folder / "deep.tif")
    Image.fromarray(rng.integers(0, 255, (70, 70, 3), dtype=np.uint8)).save(folder / "colour.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this was a picture once")
    return {"deep.tif": "", "colour.png": "colour to grey"}


def test_a_folder_of_images_without_labels_needs_one_file_and_no_code(repository, tmp_path):
    settings = {k: v for k, v in SMALL_IMAGES.items() if k != "studies"} | {"studies": ["grains"]}
    project = fresh_project(repository, tmp_path / "project", settings)
    odd = write_micrographs(project.folder / "data" / "micrographs")
    study = project.folder / "config" / "studies" / "grains.yaml"
    study.write_text(blocks(repository, "yaml", "add-a-study-of-images.md")[0])
    run = project.snakemake()
    assert run.returncode == 0, run.stdout + run.stderr
    store = open_store(project.results)
    images = store.sql("SELECT * FROM datasets.grains").set_index("image_id")
    assert len(images) == 24 and images.loc["deep.tif", "bits"] == 16
    assert {name: images.loc[name, "conversion"] for name in odd} == odd
    refused = store.sql("SELECT value, reason FROM rejects.grains")
    assert refused["value"].tolist() == ["broken.jpg"] and refused["reason"][0]
    query = re.search(r'matlas query "(.*?)"', " ".join(blocks(repository, "sh", "add-a-study-of-images.md")))[1]
    assert len(store.sql(query)) == 10
    assert {p.stem for p in (project.results / "figures" / "grains").glob("*.svg")} == {
        "sweep", "clusters", "exemplars", "outliers", "light", "sensitivity",
    }  # fmt: skip
    report = (project.results / "report" / "index.html").read_text(encoding="utf-8")
    assert "broken.jpg" in report and "Micrographs of our alloys" in report

    edited = project.folder / "data" / "micrographs" / "grain_03.png"
    Image.fromarray(np.full((80, 100), 7, dtype=np.uint8) + np.eye(80, 100, dtype=np.uint8)).save(edited)
    assert "clean_images" in project.planned(), "an image edited in place is noticed"


CRYSTALS = "add-a-study-of-crystals.md"


def crystal_table(folder: Path, sample: SampleCrystals) -> pd.DataFrame:
    """A table in the docs' format; every other structure is a file beside it."""
    (folder / "cif").mkdir(parents=True)
    rows = []
    for i, crystal in sample.truth.iterrows():
        cif = str(CifWriter(sample.structure(i)))
        if i % 2:
            (folder / "cif" / f"{i}.cif").write_text(cif)
        rows.append((crystal["material_id"], crystal["formula"], f"cif/{i}.cif" if i % 2 else cif,
                     crystal["bulk_modulus"] * 10))  # fmt: skip
    return pd.DataFrame(rows, columns=["name", "formula", "cif", "K (kbar)"])


@pytest.fixture
def own_crystals(repository, tmp_path) -> tuple[Project, pd.DataFrame]:
    """The study file of the docs, word for word, and a table of 120 crystals."""
    project = fresh_project(repository, tmp_path / "project", {"studies": ["stiffness"]})
    (project.folder / "config" / "studies" / "stiffness.yaml").write_text(blocks(repository, "yaml", CRYSTALS)[0])
    table = crystal_table(project.folder / "data", crystals(120, seed=1))
    header = blocks(repository, "csv", CRYSTALS)[0].splitlines()[0]
    assert header == ",".join(table.columns)
    table.to_csv(project.folder / "data" / "crystals.csv", index=False)
    return project, table


def test_a_table_of_crystals_with_a_property_needs_one_file_and_no_code(own_crystals, repository):
    project, table = own_crystals
    disordered = crystals(120, seed=1).structure(0)
    disordered.replace(0, {disordered[0].specie.symbol: 0.5})
    table.loc[0, "cif"] = str(CifWriter(disordered))
    table.loc[2, "cif"] = table.loc[2, "cif"][:400]
    table.to_csv(project.folder / "data" / "crystals.csv", index=False)
    run = project.snakemake()
    assert run.returncode == 0, run.stdout + run.stderr

    store = open_store(project.results)
    found = store.sql("SELECT * FROM datasets.our_crystals")
    assert found["material_id"].tolist() == table["name"].drop(2).tolist()
    assert found["bulk_modulus"].tolist() == pytest.approx((table["K (kbar)"] / 10).drop(2))
    assert found["reduced_formula"].tolist()[1:] == table["formula"].drop([0, 2]).tolist()
    assert store.sql("SELECT value FROM rejects.our_crystals")["value"].tolist() == [table.loc[2, "name"]]
    failures = store.sql("SELECT * FROM failures.our_crystals__crystal_geometry")
    assert failures["material_id"].tolist() == [table.loc[0, "name"]]
    features = table_info(project.results / "features" / "our_crystals" / "my_40.parquet")
    codes = table_info(project.results / "representations" / "our_crystals" / "my_40" / "ae4_small.parquet")
    assert (features.rows, len(features.columns), codes.rows) == (118, 41, 118)
    assert [name for name in codes.columns if name.startswith("z_")] == ["z_0", "z_1", "z_2", "z_3"]

    commands = blocks(repository, "sh", CRYSTALS)
    errors = store.sql(re.search(r'matlas query "(.*?)"', commands[0])[1]).set_index(["input", "head"])["value"]
    assert {"descriptors", "pca4", "ae4", "none"} == set(errors.index.get_level_values("input"))
    assert errors["descriptors", "ridge"] < min(errors["none", "mean"], errors["descriptors", "ridge (shuffled)"])
    figures = project.results / "figures" / "stiffness"
    assert {p.name for p in figures.glob("*.svg")} == {"training.svg", "families.svg", "readout.svg"}
    report = (project.results / "report" / "index.html").read_text(encoding="utf-8")
    assert "Stiffness of our crystals" in report and "SAMPLE DATA" not in report
    assert table.loc[2, "name"] in report and "our_crystals" in report

    table.loc[[4, 6], ["cif"]].to_csv(project.folder / "new.csv", index=False)
    embed = commands[1].split()[1:]
    command = [sys.executable, "-m", "matlas.cli", "--results", str(project.results), *embed]
    subprocess.run(command, cwd=project.folder, env=project.environment(), check=True, capture_output=True)
    embedded = pd.read_csv(project.folder / "embedded.csv")
    stored = read_table(project.results / "representations" / "our_crystals" / "my_40" / "ae4_small.parquet")
    stored = stored.set_index("material_id").loc[table.loc[[4, 6], "name"]]
    for z in ("z_0", "z_3"):
        assert embedded[z].tolist() == pytest.approx(stored[z].tolist(), abs=1e-4)

    (project.folder / "data" / "cif" / "7.cif").write_text(str(CifWriter(crystals(120, seed=1).structure(9))))
    assert "parse_crystals" in project.planned(), "a file that the table names and that was edited in place is noticed"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda table: table.rename(columns={"cif": "CIF"}), ["column 'cif' is missing", "'CIF'", "crystals.csv"]),
        (lambda table: table.assign(**{"K (kbar)": "stiff"}),
         ["too many bad rows", "our_crystals", "K (kbar): not a number", "row 1: stiff", "at most 2.0%"]),
        (lambda table: table.assign(cif=table["cif"].mask(table.index % 10 == 0, "data_broken")),
         ["too many bad rows", "our_crystals", "found 12", "cif: ", "at most 2.0%"]),
    ],
    ids=["no column of structures", "a property that is text", "unreadable structures"],
)  # fmt: skip
def test_a_bad_table_of_crystals_ends_in_one_sentence(own_crystals, spoil, words):
    project, table = own_crystals
    spoil(table).to_csv(project.folder / "data" / "crystals.csv", index=False)
    run = project.snakemake("stiffness")
    text = run.stdout + run.stderr
    assert run.returncode != 0 and "Traceback" not in text
    last = text[text.rindex("Exiting because a job execution failed") :]
    for word in [*words, "Mend it and run the same command again"]:
        assert word in last, text
    assert last.count("matlas: ") == 1
    assert not (project.results / "datasets").exists()


def test_the_sql_of_a_property_is_checked_before_anything_runs(own_crystals):
    project, _ = own_crystals
    project.edit("config/studies/stiffness.yaml", "sql: bulk_modulus", "sql: bulk_modulos")
    run = project.snakemake("stiffness")
    text = run.stdout + run.stderr
    assert run.returncode != 0 and "Traceback" not in text and not project.results.exists()
    assert "stiffness.yaml: probing: targets" in text and "'bulk_modulus' (nearest), found 'bulk_modulos'" in text


def test_a_folder_of_structures_is_a_dataset_and_an_edit_in_place_is_noticed(own_crystals):
    project, table = own_crystals
    with project.configuration("studies/stiffness") as study:
        for key in ("id", "structure", "columns"):
            del study["dataset"][key]
        study["dataset"]["path"] = "data/cif"
        for key in ("probing", "figures"):
            del study[key]
    clean = "results/datasets/our_crystals.parquet"
    run = project.snakemake(clean)
    assert run.returncode == 0, run.stdout + run.stderr
    found = read_table(project.folder / clean).set_index("material_id")["reduced_formula"]
    assert found.to_dict() == {str(i): table.loc[i, "formula"] for i in range(1, 120, 2)}
    assert project.planned(clean) == {}
    path = project.folder / "data" / "cif" / "7.cif"
    path.write_text((project.folder / "data" / "cif" / "9.cif").read_text())
    assert project.planned(clean) == {"parse_crystals": 4, "clean_crystals": 1}


def test_the_query_of_the_docs_is_a_dataset_that_would_be_asked_for(own_crystals, repository):
    project, _ = own_crystals
    with project.configuration("studies/stiffness") as study:
        study |= yaml.safe_load(blocks(repository, "yaml", CRYSTALS)[1])
        study["views"], study["representations"] = ["magpie"], ["pca10"]
        for key in ("probing", "figures"):
            del study[key]
    plan = project.planned("results/datasets/stiff_oxides.parquet")
    assert plan == {"query_crystals": 1, "parse_crystals": 4, "clean_crystals": 1}


@pytest.mark.skipif(importlib.util.find_spec("mp_api") is None, reason="needs the optional package mp-api")
def test_a_query_becomes_a_dataset_that_says_where_it_comes_from(own_crystals, repository, monkeypatch):
    project, _ = own_crystals
    with project.configuration("studies/stiffness") as study:
        study |= yaml.safe_load(blocks(repository, "yaml", CRYSTALS)[1])
        study["dataset"]["query"] = {"elements": ["O"], "energy_above_hull": [0, 0.05]}
    answers = [
        rock_salt(i, cation, "O", 4 + i / 10, bulk_modulus={"vrh": 100.0 + i, "voigt": 1.0}, energy_above_hull=i / 50)
        for i, cation in enumerate(["Mg", "Ca", "Mn", "Fe"])
    ]
    key = "Sesame0123456789Sesame0123456789"
    with MaterialsProjectServer([*answers, rock_salt(9, "Na", "Cl", 5.6)], key) as server:
        for name, value in {"MP_API_KEY": key, "MP_API_ENDPOINT": server.url, "no_proxy": "127.0.0.1"}.items():
            monkeypatch.setenv(name, value)
        run = project.snakemake("results/datasets/stiff_oxides.parquet")
    assert run.returncode == 0, run.stdout + run.stderr
    path = project.results / "datasets" / "stiff_oxides.parquet"
    found, about = read_table(path), table_info(path).attributes
    assert found["reduced_formula"].tolist() == ["MgO", "CaO", "MnO"]  # iron's lies 0.06 eV/atom above the hull
    assert found["bulk_modulus"].tolist() == [100.0, 101.0, 102.0]
    assert (about["provider"], about["release"]) == ("api", RELEASE) and about["retrieved"]
    assert not [p for p in project.folder.rglob("*") if p.is_file() and key.encode() in p.read_bytes()]


def test_a_study_can_be_run_alone_by_its_name(project, repository):
    follow_the_docs(project, repository)
    plan = project.planned("hardness")
    assert "figures_hardness" in plan and "render_report" not in plan


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("config/studies/hardness.yaml", "clusterings:", "clustering:", ["clustering", "hardness.yaml", "clusterings"]),
        ("config/studies/hardness.yaml", "[magpie]", "[magpi]", ["magpi", "hardness.yaml", "magpie"]),
        ("config/studies/hardness.yaml", "property: hardness", "property: hardnes", ["hardnes", "hardness.yaml"]),
        ("config/studies/hardness.yaml", "minimum: 0}", "minimum: zero}", ["minimum", "hardness.yaml", "zero"]),
        ("config/small.yaml", "studies:", "studys:", ["studys", "studies"]),
        ("config/methods.yaml", "n_init: 2", "n_inits: 2", ["n_inits", "methods.yaml", "n_init"]),
        ("config/methods.yaml", "n_init: 2", "n_init: many", ["n_init", "methods.yaml", "many"]),
    ],
)
def test_a_misspelt_or_ill_typed_key_is_named_before_anything_runs(project, repository, file, old, new, words):
    follow_the_docs(project, repository)
    project.edit(file, old, new)
    run = project.snakemake()
    text = run.stdout + run.stderr
    assert run.returncode != 0
    for word in words:
        assert word in text, text
    assert "Traceback" not in text
    assert not project.results.exists()


def test_another_table_in_place_of_the_old_one_is_noticed_however_old_it_is(project, repository):
    clean = "results/datasets/hardness.parquet"
    follow_the_docs(project, repository)
    run = project.snakemake(clean)
    assert run.returncode == 0, run.stdout + run.stderr
    path = project.folder / "data" / "hardness.csv"
    os.utime(path)
    assert project.planned(clean) == {}, "touched, but the same"
    path.write_text(path.read_text().replace(",20.0,", ",21.0,"))
    os.utime(path, (1_000_000_000, 1_000_000_000))  # as cp -p and unzip leave it
    assert project.planned(clean) == {"clean_compositions": 1}


def test_bad_rows_over_the_share_stop_the_run_with_one_sentence_and_leave_nothing(project, repository):
    bad = "formula,HV (GPa),T (C)\n" + "TiC,28,25\n" * 9 + "Xx9,soft,25\n"
    follow_the_docs(project, repository, table=bad)
    run = project.snakemake()
    text = run.stdout + run.stderr
    assert run.returncode != 0
    assert "too many bad rows" in text and "at most 2.0%" in text and "logs/clean/hardness.log" in text
    assert "row 10: Xx9" in text and "row 10: soft" in text
    assert "Mend it and run the same command again" in text[-800:], "the sentence stands at the end, where it is seen"
    assert "Traceback" not in text
    assert not list(project.results.rglob("*.parquet")) or not (project.results / "datasets").exists()


def test_a_missing_table_is_named(project, repository):
    follow_the_docs(project, repository)
    (project.folder / "data" / "hardness.csv").unlink()
    run = project.snakemake()
    text = run.stdout + run.stderr
    assert run.returncode != 0
    assert "data/hardness.csv" in text and "config/studies/hardness.yaml" in text and "Traceback" not in text


def test_a_skipped_source_leaves_its_claims_not_evaluated(project):
    run = project.snakemake("--config", "skip_sources=[estm]")
    assert run.returncode == 0, run.stdout + run.stderr
    claims = open_store(project.results).claims()
    assert set(claims["verdict"]) == {"not evaluated"} and claims["measured"].isna().all()
    report = (project.results / "report" / "index.html").read_text(encoding="utf-8")
    assert "not evaluated" in report


def test_an_unreachable_source_stops_the_run_and_says_what_to_do(project):
    project.edit("config/small.yaml", "sample_sources:", "sample_sources: {}\nunused:")
    text = (project.folder / "config/small.yaml").read_text()
    kept = text[: text.index("unused:")] + text[text.index("studies:") :]
    (project.folder / "config/small.yaml").write_text(kept)
    run = project.snakemake("--config", f"mirror={project.folder}/no-such-mirror")
    text = run.stdout + run.stderr
    assert run.returncode != 0
    assert "no-such-mirror" in text and "estm" in text and "Traceback" not in text
