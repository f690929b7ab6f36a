"""What runs again after a change, and what does not."""

import pytest

AFTER_TABLES = {"measure_claims", "build_catalog", "render_report", "figures_estm_families"}

pytestmark = pytest.mark.workflow


def rules(plan: dict[str, int]) -> set[str]:
    return set(plan) - {"all"}


def test_a_second_run_says_that_nothing_is_to_be_done(project):
    run = project.snakemake()
    assert run.returncode == 0
    assert "Nothing to be done" in run.stdout + run.stderr


def test_an_edit_of_a_module_that_a_script_imports_reruns_that_job_and_what_follows(project):
    project.edit("matlas/represent.py", '"""', '"""Edited. ')
    assert rules(project.planned()) == {
        "project_view", "cluster_representation", "compare_clusterings", *AFTER_TABLES,
    }  # fmt: skip


def test_an_edit_of_a_module_imported_through_others_reruns_its_jobs_and_what_follows(project):
    # scripts reach silhouette.py only by way of study.py and sweep.py
    project.edit("matlas/cluster/silhouette.py", '"""', '"""Edited. ')
    assert rules(project.planned()) == {"cluster_representation", "compare_clusterings", *AFTER_TABLES}


def test_an_edit_of_a_module_that_only_the_report_uses_reruns_only_the_report(project):
    project.edit("matlas/report/build.py", '"""', '"""Edited. ')
    assert rules(project.planned()) == {"render_report"}


def test_an_edit_of_the_report_template_reruns_only_the_report(project):
    template = next((project.folder / "matlas" / "report").glob("*.html"))
    template.write_text(template.read_text() + "\n<!-- edited -->\n")
    assert rules(project.planned()) == {"render_report"}


def test_a_changed_parameter_of_one_method_reruns_what_uses_it_and_nothing_else(project):
    methods = project.folder / "config" / "methods.yaml"
    text = methods.read_text()
    assert text.count("kmeans_wide:") == 1
    head, tail = text.split("kmeans_wide:")
    methods.write_text(head + "kmeans_wide:" + tail.replace("n_init: 2", "n_init: 3", 1))
    plan = project.planned()
    assert rules(plan) == {"cluster_representation", "compare_clusterings", *AFTER_TABLES}
    assert plan["cluster_representation"] == 2  # one for each of the two views


def test_a_changed_claim_reruns_no_computation(project):
    project.edit("config/studies/estm_families.yaml", "expect: 880", "expect: 881")
    assert rules(project.planned()) == {"measure_claims", "build_catalog", "render_report"}


def test_a_deleted_table_is_rebuilt_alone_to_the_same_bytes(project):
    table = "results/clusters/estm/magpie_temperature/pca10/kmeans.parquet"
    before = (project.folder / table).read_bytes()
    (project.folder / table).unlink()
    assert project.planned(table) == {"cluster_representation": 1}
    assert project.snakemake(table).returncode == 0
    assert (project.folder / table).read_bytes() == before
    assert project.planned() == {}, "the same bytes are no reason to rerun anything"


@pytest.mark.parametrize(
    ("deleted", "first"),
    [
        ("figures/estm_families/zt_map.svg", "figures_estm_families"),
        ("claims/estm_families.parquet", "measure_claims"),
        ("loadings/estm/magpie_temperature/pca10.parquet", "project_view"),
        ("matlas.duckdb", "build_catalog"),
        ("report/index.html", "render_report"),
    ],
)
def test_a_plain_run_notices_any_deleted_output_and_recomputes_nothing_before_it(project, deleted, first):
    (project.results / deleted).unlink()
    plan = project.planned()
    order = ["simulate_source", "clean_compositions", "tabulate_elements", "featurize_compositions", "project_view",
             "cluster_representation", "compare_clusterings", "measure_claims", "figures_estm_families",
             "build_catalog", "render_report"]  # fmt: skip
    assert plan[first] == 1
    assert not [rule for rule in order[: order.index(first)] if plan.get(rule) and rule != "measure_claims"]
