"""A user's own study, following docs/add-a-study.md to the letter, and what wrong input gets."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from matlas.store import open_store
from tests.workflow.conftest import SMALL_IMAGES, Project, fresh_project

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("study")]

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
