"""What a finished run of the studies of crystals on sample data must show."""

import subprocess
import time

import numpy as np
import psutil
import pytest

from matlas.simulate.crystals import FAULTS, crystals
from matlas.store import open_store
from matlas.tables import read_table, table_info
from tests.workflow.conftest import SMALL_CRYSTALS, Project

pytestmark = pytest.mark.workflow

DATASET, STUDY = "materials_project", "mp_autoencoder"
AFTER_TABLES = {"measure_claims": 1, f"figures_{STUDY}": 1, "build_catalog": 1, "render_report": 1, "all": 1}


@pytest.fixture(scope="module")
def truth():
    sample = SMALL_CRYSTALS["sample_sources"][DATASET]
    return crystals(sample["rows"], sample["seed"]).truth.set_index("material_id")


@pytest.fixture(scope="module")
def store(built_crystals):
    return open_store(built_crystals.results)


@pytest.fixture
def project(built_crystals, tmp_path) -> Project:
    return built_crystals.copy_to(tmp_path / "project")


def test_a_second_run_says_that_nothing_is_to_be_done(built_crystals):
    run = built_crystals.snakemake("--dry-run")
    assert run.returncode == 0 and "Nothing to be done" in run.stdout + run.stderr


def test_every_crystal_is_a_row_of_the_dataset_or_refused_for_the_fault_that_was_planted(store, truth):
    crystal = store.sql(f"SELECT * FROM datasets.{DATASET}").set_index("material_id")
    refused = store.sql(f"SELECT value, reason, raw FROM rejects.{DATASET}")
    reasons = {
        "unparseable CIF": "unparseable", "atoms 0.2 Å apart": "atoms closer than 0.5 Å",
        "unknown element": "unknown element 'Zz", "5 Å³ per 8 atoms": "volume per atom outside",
        "10000 Å³ per atom": "volume per atom outside", "text as energy": "not a number",
    }  # fmt: skip
    assert set(reasons) == set(FAULTS) - {"disordered"}
    planted = truth[truth["fault"].isin(reasons.keys())]
    assert len(refused) == len(planted) > 5
    for material_id, fault in planted["fault"].items():
        (found,) = refused[refused["raw"].str.contains(f'"{material_id}"')].itertuples()
        assert reasons[fault] in found.reason
        assert found.value == ("not converged" if fault == "text as energy" else material_id)
    assert crystal.index.is_unique and set(crystal.index) == set(truth.index) - set(planted.index)


def test_a_row_holds_what_each_file_says_of_the_crystal(store, truth):
    crystal = store.sql(f"SELECT * FROM datasets.{DATASET}").set_index("material_id")
    sound = truth[truth["fault"] == ""]
    crystal = crystal.loc[sound.index]
    assert (crystal["reduced_formula"] == sound["formula"]).all() and (crystal["n_sites"] == sound["n_atoms"]).all()
    for table in ("mp_20", "mpts_52"):
        assert (crystal[f"in_{table}"] == (sound[table] != "")).all()
    assert (crystal["in_elasticity"] == sound["elasticity"]).all()
    with_energy = crystal["in_mp_20"] | crystal["in_mpts_52"]
    for column, given in {
        "formation_energy_per_atom": with_energy, "band_gap": crystal["in_mp_20"], "year": crystal["in_mpts_52"],
        "bulk_modulus": crystal["in_elasticity"],
    }.items():  # fmt: skip
        expected = sound[column].where(given).to_numpy(dtype=float)
        np.testing.assert_allclose(crystal[column].to_numpy(dtype=float), expected, err_msg=column)


def test_the_sites_of_every_crystal_join_its_row(store):
    joined = store.sql(f"""
        SELECT d.n_sites, d.disordered, s.* FROM datasets.{DATASET} d
        FULL JOIN (SELECT material_id, count(DISTINCT site) AS stored, sum(occupancy) AS atoms FROM sites.{DATASET}
                   GROUP BY material_id) s USING (material_id)
    """)
    assert (joined["n_sites"] == joined["stored"]).all()
    assert ((joined["atoms"] < joined["stored"] - 1e-9) == joined["disordered"]).all()


def test_a_crystal_with_partly_occupied_sites_has_a_composition_and_no_geometry(store, truth):
    disordered = set(truth.index[truth["fault"] == "disordered"])
    assert len(disordered) == 1
    assert set(store.sql(f"SELECT material_id FROM datasets.{DATASET} WHERE disordered")["material_id"]) == disordered
    failures = store.sql(f"SELECT * FROM failures.{DATASET}__crystal_geometry")
    assert set(failures["material_id"]) == disordered and "partly occupied" in failures["reason"][0]
    described = [
        set(store.sql(f"SELECT material_id FROM features.{DATASET}__{view}")["material_id"])
        for view in ("crystal_geometry", "magpie_geometry", "crystal_100")
    ]
    with_statistics = f"SELECT material_id FROM datasets.{DATASET} JOIN features.{DATASET}__magpie USING (composition)"
    everything = set(store.sql(with_statistics)["material_id"])
    assert all(everything - view == disordered for view in described)


def test_splits_use_every_crystal_and_keep_what_they_go_by_together(store):
    system = store.sql(f"SELECT material_id, chemical_system, chemical_family, year FROM datasets.{DATASET}")

    def parts(split):
        return store.sql(f"SELECT * FROM splits.{DATASET}__{split}").merge(system, on="material_id", validate="m:1")

    once = parts("by_system")
    assert sorted(once["material_id"]) == sorted(system["material_id"])
    assert once.groupby("chemical_system")["part"].nunique().max() == 1
    tested = parts("systems_3").query("part == 'test'")
    assert sorted(tested["material_id"]) == sorted(system["material_id"])
    assert tested.groupby("chemical_system")["fold"].nunique().max() == 1
    left_out = parts("each_family")
    assert left_out["fold"].nunique() > 1
    for fold, rows in left_out.groupby("fold"):
        assert set(rows[rows["part"] == "test"]["chemical_family"]) == {fold}
        assert fold not in set(rows[rows["part"] != "test"]["chemical_family"])
    years = parts("later_years").groupby("part")["year"].agg(["min", "max"])
    assert years.loc["train", "max"] < years.loc["test", "min"]


def test_the_selected_view_has_the_chosen_columns_in_their_order(built_crystals, store):
    selection = store.sql(f"SELECT feature FROM selections.{DATASET}__crystal_100 WHERE rank IS NOT NULL ORDER BY rank")
    info = table_info(built_crystals.results / "features" / DATASET / "crystal_100.parquet")
    assert info.columns == ["material_id", *selection["feature"]] and len(selection) == 40


def test_the_catalog_holds_every_probe_comparison_and_test_of_the_studies(built_crystals, store):
    with built_crystals.configuration(f"studies/{STUDY}") as study:
        trials = {trial["split"] for trial in study["probing"]["trials"]}
    for relation in ("probes", "comparisons"):
        found = store.sql(f"SELECT DISTINCT split FROM {relation} WHERE study = '{STUDY}'")
        assert set(found["split"]) == trials, relation
    counts = {path.stem: table_info(path).rows for path in (built_crystals.results / "tests").rglob("*.parquet")}
    assert set(counts) == {*study["tests"], "transfer"}
    assert store.sql("SELECT count(*) AS n FROM tests")["n"][0] == sum(counts.values())
    origin = store.sql(f"SELECT * FROM registry.origins WHERE table_name = 'datasets.{DATASET}'")
    assert origin["provider"].tolist() == ["snapshot"] and origin["release"][0]


def test_planted_formation_energies_are_read_from_what_they_were_made_of(store):
    """Of the composition and, by a term of the structure type that it can't tell, of the geometry."""
    error = store.sql(f"""
        SELECT input, head, value, low, high FROM probes WHERE study = '{STUDY}' AND split = 'systems_3'
        AND target = 'formation_energy' AND fold = 'all' AND "group" = '' AND metric = 'mae'
    """).set_index(["input", "head"])
    for space in ("magpie", "magpie_geometry", "descriptors"):
        for control in (("none", "mean"), (space, "ridge (shuffled)")):
            assert error.loc[(space, "ridge"), "high"] < error.loc[control, "low"], (space, control)
    assert error.loc[("magpie_geometry", "ridge"), "value"] < 0.3 * error.loc[("none", "mean"), "value"]
    (difference,) = store.sql(f"""
        SELECT high FROM comparisons WHERE study = '{STUDY}' AND split = 'systems_3' AND target = 'formation_energy'
        AND head = 'ridge' AND input = 'magpie_geometry' AND against = 'magpie' AND "group" = '' AND metric = 'mae'
    """)["high"]
    assert difference < 0


def test_codes_and_history_of_a_network_are_those_of_its_model(built_crystals):
    from matlas.autoencoders.card import load_model

    results, space = built_crystals.results, f"{DATASET}/crystal_100/ae10"
    network, card = load_model(results / "models" / space, "cpu")
    features = read_table(results / "features" / DATASET / "crystal_100.parquet").set_index("material_id")
    codes = read_table(results / "representations" / f"{space}.parquet").set_index("material_id").filter(like="z_")
    assert card["features"] == list(features.columns) and card["data"]["sample_data"] is True
    np.testing.assert_allclose(network.transform(features.loc[codes.index].to_numpy()), codes.to_numpy(), atol=1e-5)
    assert len(read_table(results / "histories" / f"{space}.parquet")) == 5  # epochs


def test_a_map_of_a_code_is_trusted_as_far_as_it_keeps_the_neighbours_in_the_code(built_crystals, store):
    from sklearn.manifold import trustworthiness

    of, drawn = (
        read_table(built_crystals.results / f"representations/{DATASET}/crystal_100/{name}.parquet")
        .set_index("material_id").filter(like="z_")
        for name in ("ae10", "tsne_code")
    )  # fmt: skip
    said = store.sql("""SELECT max(value) AS value FROM metrics WHERE study = 'mp_autoencoder'
                        AND representation = 'tsne_code' AND metric = 'trustworthiness'""")["value"][0]
    assert said == pytest.approx(trustworthiness(of.loc[drawn.index], drawn, n_neighbors=5), abs=1e-9)


def test_everything_that_comes_of_sample_data_says_so(built_crystals, store):
    tables = [p for p in built_crystals.results.rglob("*.parquet") if "elements" not in p.parts]
    assert len(tables) > 60
    assert all(table_info(p).lineage.simulated for p in tables)
    assert set(store.claims()["verdict"]) <= {"agrees on simulated data", "differs on simulated data"}
    figures = list((built_crystals.results / "figures").rglob("*.svg"))
    assert len(figures) > 15
    assert all("SAMPLE DATA" in figure.read_text(encoding="utf-8") for figure in figures)
    report = (built_crystals.results / "report" / "index.html").read_text(encoding="utf-8")
    assert "SAMPLE DATA" in report and "What a learned embedding of crystals is worth" in report


@pytest.mark.parametrize(
    ("encoder", "reruns"),
    [
        ("ae10_denoising", {"train_autoencoder": 1}),
        ("vae10", {"train_autoencoder": 1, "encode_folds": 4, "probe_properties": 4, "sample_manifold": 1,
                   "measure_neighbourhoods": 1}),
    ],
)  # fmt: skip
def test_other_epochs_of_one_encoder_rerun_what_depends_on_it_and_nothing_else(project, encoder, reruns):
    with project.configuration("methods") as methods:
        methods["representations"][encoder]["epochs"] += 1
    assert project.planned() == reruns | AFTER_TABLES


def test_jobs_that_ask_for_no_gpu_run_where_torch_cannot_be_imported(project):
    (project.folder / "torch").mkdir()
    (project.folder / "torch" / "__init__.py").write_text("raise ImportError('this machine has no torch')")
    space = f"{DATASET}/crystal_100"
    tables = [
        f"representations/{space}/factors10", f"probes/{STUDY}/later_years", f"tests/{STUDY}/uncertainty",
        f"tests/{STUDY}/neighbourhood", f"tests/{STUDY}/active_learning", f"claims/{STUDY}",
    ]  # fmt: skip
    targets = [f"results/{table}.parquet" for table in tables]
    plan = project.planned("--force", *targets)
    assert sum(plan.values()) == len(targets), plan
    run = project.snakemake("--force", *targets)
    assert run.returncode == 0, run.stdout + run.stderr
    training = f"results/models/{space}/ae10/model.json"
    assert "this machine has no torch" in project.snakemake("--force", training).stderr


WEIGHTS = f"results/models/{DATASET}/crystal_100/ae10/weights.safetensors"


def train_for_long(project: Project) -> None:
    """A training of many epochs, each of which leaves a checkpoint."""
    project.edit("matlas/autoencoders/training.py", "CHECKPOINT_EVERY_S = 60.0", "CHECKPOINT_EVERY_S = 0.0")
    with project.configuration("methods") as methods:
        methods["representations"]["ae10"] |= {"epochs": 600, "patience": 600}


def kill_the_job(snakemake: subprocess.Popen, rule: str) -> int:
    """SIGKILL to the jobs of a rule; returns how many there were."""
    jobs = [p for p in psutil.Process(snakemake.pid).children(recursive=True) if f"{rule}.py" in " ".join(p.cmdline())]
    for job in jobs:
        job.kill()
    return len(jobs)


def test_a_training_that_is_killed_goes_on_from_its_checkpoint_to_the_same_weights(built_crystals, tmp_path):
    killed, whole = (built_crystals.copy_to(tmp_path / name) for name in ("killed", "whole"))
    for project in (killed, whole):
        train_for_long(project)
    checkpoint = killed.results / "checkpoints" / f"{DATASET}-crystal_100-ae10"
    snakemake = subprocess.Popen(
        killed.command(WEIGHTS), cwd=killed.folder, env=killed.environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    limit = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < limit:
        time.sleep(0.01)
    assert kill_the_job(snakemake, "train_autoencoder") > 0, "the training was over before it could be killed"
    assert snakemake.wait(timeout=120) != 0
    assert checkpoint.exists() and not (killed.folder / WEIGHTS).exists()

    run = killed.snakemake(WEIGHTS)
    assert run.returncode == 0, run.stdout + run.stderr
    log = (killed.folder / "logs" / "represent" / DATASET / "crystal_100" / "ae10.log").read_text(encoding="utf-8")
    assert "going on after epoch" in log and "600 epochs" in log
    assert not checkpoint.exists()
    assert whole.snakemake(WEIGHTS).returncode == 0
    assert (killed.folder / WEIGHTS).read_bytes() == (whole.folder / WEIGHTS).read_bytes()
    assert (whole.folder / WEIGHTS).read_bytes() != (built_crystals.folder / WEIGHTS).read_bytes()
