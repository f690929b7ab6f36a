"""What a finished run on sample data must show."""

import subprocess
import sys
import zipfile

import pytest
from sklearn.metrics import adjusted_rand_score

from matlas.jobs import read_costs
from matlas.simulate.thermoelectrics import thermoelectrics
from matlas.store import open_store
from matlas.tables import table_info
from tests.workflow.conftest import SMALL

pytestmark = pytest.mark.workflow


def test_every_table_made_from_sample_data_says_so(built):
    tables = [p for p in built.results.rglob("*.parquet") if "elements" not in p.parts]
    assert len(tables) > 20
    assert all(table_info(p).lineage.simulated for p in tables)


def test_no_claim_on_sample_data_is_called_reproduced_anywhere(built):
    verdicts = set(open_store(built.results).claims()["verdict"])
    assert verdicts <= {"agrees on simulated data", "differs on simulated data"}
    report = (built.results / "report" / "index.html").read_text(encoding="utf-8")
    assert "SAMPLE DATA" in report
    assert "reproduced" not in report.lower()
    for figure in (built.results / "figures").rglob("*.svg"):
        assert "SAMPLE DATA" in figure.read_text(encoding="utf-8"), figure


def test_clusters_of_the_sample_find_the_planted_families(built):
    sample = SMALL["sample_sources"]["estm"]
    truth = thermoelectrics(sample["rows"], sample["seed"]).truth["family"]
    labels = open_store(built.results).sql(
        "SELECT measurement_id, k_8 FROM clusters.estm__magpie_temperature__pca10__kmeans"
    )
    assert truth.nunique() == 8
    assert adjusted_rand_score(truth.iloc[labels["measurement_id"] - 1], labels["k_8"]) > 0.8


def test_the_registry_knows_every_table_and_column_with_its_unit(built):
    store = open_store(built.results)
    tables = store.sql("SELECT * FROM registry.tables")
    files = [p for p in built.results.rglob("*.parquet") if not p.name.startswith(".")]
    assert len(files) <= len(tables)
    units = store.sql("SELECT name, unit FROM registry.columns WHERE table_name = 'datasets.estm'")
    units = dict(units.itertuples(index=False))
    assert units["electrical_conductivity"] == "S/m" and units["seebeck_coefficient"] == "µV/K"
    assert units["power_factor"] == "W/(m K²)" and units["thermal_conductivity"] == "W/(m K)"


def test_the_cost_of_every_job_is_recorded_start_up_apart_from_work(built):
    costs = read_costs(built.folder / "logs")
    assert {c["rule"] for c in costs} >= {
        "clean_compositions",
        "project_view",
        "cluster_representation",
        "render_report",
    }
    assert all(c["startup_s"] > 0 and c["work_s"] > 0 and c["peak_rss_mb"] > 50 for c in costs)


def test_snakemakes_own_report_is_made_offline(project):
    run = project.snakemake("--report", "report.zip")
    assert run.returncode == 0, run.stdout + run.stderr
    names = zipfile.ZipFile(project.folder / "report.zip").namelist()
    assert any(name.endswith("report.html") for name in names)


def test_the_catalog_works_from_another_folder(built, tmp_path):
    code = (
        "import sys; from matlas.store import open_store; print(len(open_store(sys.argv[1]).sql('FROM datasets.estm')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(built.results)], cwd=tmp_path, env=built.environment(), capture_output=True,
        text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) == table_info(built.results / "datasets" / "estm.parquet").rows
