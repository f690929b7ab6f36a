"""Loading config/: a good tree resolves to what its files say; files that would be overlooked are refused."""

from pathlib import Path

import pytest

from matlas.errors import ConfigError
from schemas.fields import FIELDS
from schemas.loading import load_atlas
from schemas.tables.dataset import dataset_schema
from tests.schemas.tree import TREE

ROOT = Path(__file__).parents[2]


def test_a_good_tree_resolves_to_what_its_files_say(load):
    atlas = load()
    assert (atlas.settings.runtime.seed, atlas.settings.runtime.device) == (3, "auto")
    assert atlas.sources["archive"].files["b.zip"].unpack == "zip"
    assert (atlas.dataset_of("heat"), atlas.dataset_of("own")) == ("alloys", "mine")
    assert atlas.views_of("own") == ["both"]
    assert atlas.stored_views("both") == ["fractions", "magpie"]
    assert atlas.stored_views("magpie") == ["magpie"]
    assert atlas.datasets["mine"].path == "data/mine.csv"
    assert atlas.methods.clusterings["gmm"].init_params == "random_from_data"
    assert [c.expect for s in ("heat", "own") for c in atlas.studies[s].claims] == [2.0, True]
    assert isinstance(atlas.studies["own"].claims[0].expect, bool)


def test_a_study_uses_each_method_on_the_views_and_representations_that_it_says(load):
    atlas = load()
    assert atlas.spaces_of("defects") == [
        ("pixels", "as_is"),
        ("net", "as_is"),
        ("net", "pca"),
        ("net_stage1", "as_is"),
        ("large", "as_is"),
        ("large", "pca"),
        ("large_stage2", "as_is"),
        ("pixels_and_large", "as_is"),
    ]
    assert atlas.maps_of("defects") == [
        ("pixels", "tsne"),
        ("pixels", "umap"),
        ("net", "tsne"),
        ("net", "umap"),
        ("net_stage1", "umap"),
        ("large", "umap"),
        ("large_stage2", "umap"),
        ("pixels_and_large", "umap"),
    ]
    assert atlas.clustered_in("defects") == [
        ("pixels", "as_is", "kmeans"),
        ("pixels", "as_is", "density"),
        ("net", "as_is", "kmeans"),
        ("net", "as_is", "density"),
        ("net", "as_is", "ward"),
        ("net", "pca", "kmeans"),
        ("net", "pca", "density"),
        ("net", "pca", "gmm"),
        ("net_stage1", "as_is", "kmeans"),
        ("large", "as_is", "kmeans"),
        ("large", "as_is", "ward"),
        ("large", "pca", "kmeans"),
        ("large", "pca", "gmm"),
        ("large_stage2", "as_is", "kmeans"),
        ("pixels_and_large", "as_is", "kmeans"),
    ]
    assert atlas.inspected_in("defects") == [("pixels", "tiny"), ("large", "tiny")]
    assert atlas.spaces_of("own") == [("both", "pca")]
    assert (atlas.maps_of("own"), atlas.clustered_in("own"), atlas.inspected_in("own")) == ([], [], [])


def test_a_network_view_brings_the_views_of_its_earlier_stages(load):
    atlas = load()
    stages = {name: (v.of, v.stage) for name, v in atlas.views.items() if v.kind == "image" and v.features == "stage"}
    assert stages == {f"{net}_stage{i}": (net, i) for net in ("net", "large") for i in (1, 2, 3)}
    assert atlas.views["net_stage2"].description == "A net: pooled output of stage 2"
    assert atlas.views["large_stage2"].description == ""
    assert atlas.network_of("net_stage2") == atlas.network_of("net") == atlas.views["net"]
    assert atlas.network_of("pixels") is None
    assert atlas.stored_views("net_stage2") == ["net_stage2"]


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ("labels: {by: folder}", {"by": "folder"}),
        (r"labels: {by: name, pattern: '(?P<label>\w+)_\d+'}", {"by": "name", "pattern": r"(?P<label>\w+)_\d+"}),
        (
            "labels: {by: table, path: data/labels.csv}",
            {"by": "table", "path": "data/labels.csv", "file": "file", "label": "label"},
        ),
    ],
)
def test_images_are_labelled_by_folder_by_name_or_by_a_table(load, written, labels):
    dataset = load("datasets.yaml", "labels: {by: folder}", written).datasets["steel"]
    assert dataset.labels.model_dump() == labels
    assert (dataset.size, dataset.images, dataset.described_by) == ((200, 100), "**/*", "label")
    assert dataset_schema("steel", dataset).columns[:3] == ["image_id", "label", "width"]


def test_images_without_labels_have_no_column_for_them(load):
    study = TREE["studies/own_images.yaml"]
    line = next(line for line in study.splitlines() if "labels:" in line)
    dataset = load("studies/own_images.yaml", f"{line}\n", "").datasets["ores"]
    assert (dataset.labels, dataset.described_by) == (None, None)
    assert dataset_schema("ores", dataset).columns[:2] == ["image_id", "width"]


def test_a_folder_or_an_archive_of_images_will_do(load):
    atlas = load()
    assert (atlas.datasets["steel"].path, atlas.datasets["ores"].path) == ("data/steel", "data/ores.zip")
    atlas = load("studies/own_images.yaml", "path: data/ores.zip", "path: data/steel")
    assert atlas.datasets["ores"].path == "data/steel"


LARGE = ["large", "large_stage2", "pixels_and_large"]  # the views that need the optional source of weights


def test_an_optional_source_that_the_mirror_lacks_is_left_out_with_its_views(load, tmp_path):
    (tmp_path / "mirror").mkdir()
    atlas = load("config.yaml", "studies: null", f"studies: null\nmirror: {tmp_path}/mirror")
    assert atlas.skipped_sources == {"large_weights"}  # `weights` is no less absent, but must be had
    assert [atlas.left_out(view) for view in LARGE] == ["large_weights"] * 3
    assert [atlas.left_out(view) for view in ("pixels", "net", "net_stage1")] == [None] * 3
    assert atlas.views_of("defects") == ["pixels", "net", "net_stage1"]
    assert {view for view, _ in atlas.spaces_of("defects")} == {"pixels", "net", "net_stage1"}
    assert {view for view, *_ in atlas.clustered_in("defects")} == {"pixels", "net", "net_stage1"}
    assert {view for view, _ in atlas.maps_of("defects")} == {"pixels", "net", "net_stage1"}
    assert atlas.inspected_in("defects") == [("pixels", "tiny")]
    assert atlas.studies["defects"].claims[0].variants == ["net", "large"]
    # a study goes only when none of its views is left
    assert (atlas.skipped("defects"), atlas.skipped("own_images")) == (None, "large_weights")


def test_an_optional_source_that_the_mirror_holds_is_used(load, tmp_path):
    (tmp_path / "mirror/large").mkdir(parents=True)
    (tmp_path / "mirror/large/large.pth").touch()
    atlas = load("config.yaml", "studies: null", f"studies: null\nmirror: {tmp_path}/mirror")
    assert atlas.skipped_sources == frozenset()
    assert set(atlas.views_of("defects")) >= set(LARGE)
    assert atlas.skipped("own_images") is None


@pytest.mark.parametrize("mirror", ["null", "https://example.org/mirror", "/no/such/folder"])
def test_without_a_folder_as_mirror_an_optional_source_is_used(load, mirror):
    atlas = load("config.yaml", "studies: null", f"studies: null\nmirror: {mirror}")
    assert atlas.skipped_sources == frozenset()
    assert set(atlas.views_of("defects")) >= set(LARGE)


@pytest.mark.parametrize("written", ["{}", "file://{}", "~"])
def test_the_variable_wins_over_the_configured_mirror(load, tmp_path, monkeypatch, written):
    for folder in ("empty", "full/large"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "full/large/large.pth").touch()
    for named, other, left_out in (("empty", "full", {"large_weights"}), ("full", "empty", set())):
        monkeypatch.setenv("HOME", str(tmp_path / named))
        monkeypatch.setenv("MATLAS_MIRROR", written.format(tmp_path / named))
        atlas = load("config.yaml", "studies: null", f"studies: null\nmirror: {tmp_path / other}")
        assert atlas.skipped_sources == left_out


def test_sample_data_stand_in_for_an_optional_source(load, tmp_path):
    atlas = load(
        "config.yaml",
        "sample_sources: {",
        f"mirror: {tmp_path}\nsample_sources: {{large_weights: {{generator: quantised_resnet18}}, ",
    )
    assert atlas.skipped_sources == frozenset()
    assert atlas.settings.sample_sources["large_weights"].seed == 0


def test_a_source_can_be_left_out_by_hand(load):
    atlas = load("config.yaml", "studies: null", "studies: null\nskip_sources: [weights]")
    assert atlas.views_of("defects") == ["pixels", *LARGE]


def test_settings_choose_studies_and_tell_which_miss_their_source(load):
    atlas = load("config.yaml", "studies: null", "studies: [heat]\nskip_sources: [lab]")
    assert list(atlas.studies) == ["heat"]
    assert atlas.skipped("heat") == "lab"


def numbers_in(value, at=()):
    """{path of keys: value} of all that stands in nested plain values."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {path: found for key, inner in items for path, found in numbers_in(inner, (*at, key)).items()}
    return {at: value}


def test_a_quick_look_lowers_all_repetitions_wherever_they_stand_and_nothing_else():
    whole, quick = (load_atlas({"runtime": {"repetitions": n}}, ROOT) for n in (None, 2))
    parts = [
        {"methods": a.methods.model_dump(), **{n: s.model_dump() for n, s in a.studies.items()}} for a in (whole, quick)
    ]
    before, after = map(numbers_in, parts)
    changed = {path: (before[path], after[path]) for path in before | after if before[path] != after[path]}
    assert {path[-1] for path in changed} == {"seeds", "bootstraps", "inner_folds"}
    assert all(old > 2 and new == 2 for old, new in changed.values())
    assert changed["methods", "clusterings", "kmeans", "stability", "bootstraps"] == (10, 2)
    assert changed["methods", "inspections", "tiny_clusters", "seeds"] == (10, 2)
    assert changed["mp_transfer_estm", "tests", "transfer", "seeds"] == (10, 2)
    assert changed["mp_autoencoder", "tests", "active_learning", "seeds"] == (5, 2)  # a default
    assert changed["methods", "heads", "boosting", "inner_folds"] == (3, 2)


def test_the_table_of_a_dataset_takes_units_from_the_dictionary_and_from_the_definition(load):
    schema = dataset_schema("alloys", load().datasets["alloys"])
    fields = {f.name: f for f in schema.fields}
    assert fields["temperature"] == FIELDS["temperature"]
    assert (fields["zt"].nullable, fields["zt"].minimum) == (True, 0.0)
    assert (fields["hardness"].unit, fields["hardness"].minimum) == ("GPa", 0.0)
    assert (fields["zt_per_kelvin"].dtype, fields["zt_per_kelvin"].nullable) == ("float64", True)
    assert (fields["hot"].dtype, fields["hot"].description) == ("bool", "Above room temperature")
    assert schema.key == ("row_id",)
    assert schema.columns[-1] == "repeated"


def test_a_table_of_crystals_holds_the_columns_of_all_tables_and_says_which_hold_a_crystal(load):
    dataset = load().datasets["crystals"]
    fields = {f.name: f for f in dataset_schema("crystals", dataset).fields}
    assert dataset.raw_columns == ["gap", "first_published", "k_vrh", "pbe_gap", "kic"]
    assert list(fields)[0] == dataset.key == "material_id"
    # no table need hold all crystals, but what a structure says is there for each
    assert {name for name in ("band_gap", "year", "bulk_modulus", "toughness") if fields[name].nullable} == {
        "band_gap", "year", "bulk_modulus", "toughness",
    }  # fmt: skip
    assert not any(fields[name].nullable for name in ("prototype", "crystal_system", "cell_volume"))
    assert (fields["toughness"].unit, fields["band_gap"].unit) == ("MPa m^½", "eV")
    assert [name for name, f in fields.items() if name.startswith("in_")] == ["in_bands", "in_elastic"]
    assert fields["in_bands"].dtype == "bool" and list(fields)[-1] == "values_differ"
    assert (dataset.resampled_by, dataset.described_by) == ("chemical_system", "chemical_family")


def test_crystals_come_from_tables_of_a_source_from_a_query_or_from_a_folder(load):
    atlas = load()
    assert [atlas.datasets[name].provider for name in ("crystals", "silica")] == ["snapshot", "api"]
    assert list(atlas.datasets["crystals"].parts) == ["bands", "elastic"]
    (only,) = atlas.datasets["silica"].parts.values()
    assert (only.files, only.id, only.columns) == ([], "material_id", {"energy_above_hull": "e_hull"})
    query = "query: {elements: [Si, O], is_stable: true}"
    silica = load("studies/own_crystals.yaml", query, "path: data/steel").datasets["silica"]
    assert (silica.provider, silica.query, silica.path) == ("file", None, "data/steel")
    assert "values_differ" not in dataset_schema("silica", silica).columns


def test_a_selected_view_is_stored_itself_and_knows_what_it_is_chosen_from(load):
    atlas = load()
    assert (atlas.stored_views("chosen"), atlas.raw_views("chosen")) == (["chosen"], ["magpie", "geometry"])
    assert atlas.raw_views("few") == ["geometry"]
    assert atlas.raw_views("both") == ["fractions", "magpie"]


def test_a_study_says_what_is_trained_tried_and_tested(load):
    atlas = load()
    study = atlas.studies["learned"]
    assert atlas.spaces_of("learned") == [("chosen", "as_is"), ("chosen", "code"), ("chosen", "noisy_code")]
    assert [name for name in atlas.methods.representations if atlas.is_network(name)] == ["code", "noisy_code"]
    assert atlas.maps_of("learned") == [("chosen", "noise")]
    assert atlas.parts_of(study.probing.inputs["greybox"]) == [("chosen", "as_is"), ("chosen", "code")]
    assert [trial.split for trial in study.probing.trials] == ["systems", "families", "years"]
    assert [name for name, test in study.tests if test] == [
        "bottleneck", "manifold", "neighbourhood", "uncertainty", "active_learning", "audit",
    ]  # fmt: skip
    assert study.figures[6].compare == ("descriptors", "codes")  # the pair of the probing, turned round


def test_a_bottleneck_without_targets_needs_no_probing(load):
    tests = "tests: {bottleneck: {view: few, encoder: code, widths: [2, 3, 4]}}"
    atlas = load("studies/own_crystals.yaml", "representations: [as_is]", f"representations: [code]\n{tests}")
    assert atlas.studies["own_crystals"].tests.bottleneck.widths == [2, 3, 4]


def test_a_study_that_transfers_an_encoder_needs_both_sources(load):
    assert load().sources_of("transferred") == ["lab", "minerals"]
    atlas = load("config.yaml", "studies: null", "studies: null\nskip_sources: [minerals]")
    assert [atlas.skipped(study) for study in ("transferred", "learned", "heat")] == ["minerals", "minerals", None]


def test_a_missing_file_is_named(load, tmp_path):
    load()
    (tmp_path / "config/views.yaml").unlink()
    with pytest.raises(ConfigError, match=r"configuration file is missing \(.*views\.yaml\)"):
        load_atlas({}, tmp_path)


def test_a_file_that_is_not_utf8_is_named(load, tmp_path):
    load()
    (tmp_path / "config/views.yaml").write_bytes("température: 1".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(.*views\.yaml\)"):
        load_atlas({}, tmp_path)


@pytest.mark.parametrize("name", ["all", "figures_heat", "clean_ores"])
def test_a_study_with_the_name_of_a_rule_is_refused(load, tmp_path, name):
    load()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "clean.smk").write_text("rule clean_ores:\n    output:\n")
    (tmp_path / "config/studies" / f"{name}.yaml").write_text(TREE["studies/heat.yaml"])
    with pytest.raises(ConfigError, match=rf"name of a rule.*{name}.yaml.*[Rr]ename the file"):
        load_atlas({}, tmp_path)


@pytest.mark.parametrize(
    ("name", "message"), [("other.yml", "rename it to other"), ("My-study.yaml", "a lower-case letter")]
)
def test_a_study_file_that_would_be_overlooked_is_refused(load, tmp_path, name, message):
    load()
    (tmp_path / "config/studies" / name).write_text(TREE["studies/heat.yaml"])
    with pytest.raises(ConfigError, match=rf"(?i){name}.*{message}"):
        load_atlas({}, tmp_path)
