"""The generated documents are in step with the contracts, and say the same."""

import json

import jsonschema
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from schemas.fields import FIELDS
from schemas.generate import CONFIG_FILES, config_schema, data_dictionary, main
from tests.schemas.tree import TREE

KINDS = {
    "config.yaml": "settings", "demo.yaml": "settings", "sources.yaml": "sources", "datasets.yaml": "datasets",
    "views.yaml": "views", "methods.yaml": "methods",
}  # fmt: skip


def kind_of(name: str) -> str:
    """The definition that describes a file below config/."""
    return "study" if name.startswith("studies/") else KINDS[name]


def problems(kind: str, value: object) -> list:
    schema = json.loads(config_schema())
    return list(
        jsonschema.Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": schema["$defs"]}).iter_errors(value)
    )


def test_the_documents_in_the_repository_are_in_step(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_check_names_each_document_out_of_step_and_writing_mends_it(tmp_path, capsys):
    (tmp_path / "schemas").mkdir()
    (tmp_path / "docs").mkdir()
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    for name in ("schemas/config.schema.json", "docs/data-dictionary.md"):
        written = (tmp_path / name).read_bytes()
        (tmp_path / name).write_text("stale")
        capsys.readouterr()
        assert main(["--check"], tmp_path) == 1
        assert capsys.readouterr().err.startswith(f"{name} is out of step")
        assert (tmp_path / name).read_text() == "stale"
        assert main([], tmp_path) == 0
        assert (tmp_path / name).read_bytes() == written


@pytest.mark.parametrize("name", TREE)
def test_a_json_schema_validator_accepts_good_files(name):
    assert problems(kind_of(name), yaml.safe_load(TREE[name])) == []


def test_a_json_schema_validator_accepts_every_file_of_this_repository(repository):
    folder = repository / "config"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.y*ml"))
    assert {kind_of(name) for name in names} == set(CONFIG_FILES)
    for name in names:
        assert problems(kind_of(name), yaml.safe_load((folder / name).read_text(encoding="utf-8"))) == [], name


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("settings", {"runtme": {}}),
        ("settings", {"runtime": {"blas_threads": 0}}),
        ("sources", {"lab": {"title": "x"}}),
        ("sources", {"Lab": {"title": "x", "licence": "x", "citation": "x", "files": {}}}),
        ("settings", {"sample_sources": {"lab": {"generator": "none"}}}),
        ("datasets", {"ores": {"title": "x", "path": "x", "formula": "x"}}),
        (
            "datasets",
            {"ores": {"kind": "composition", "title": "x", "path": "x", "formula": "x", "columns": {"zt": 5}}},
        ),
        ("datasets", {"ores": {"kind": "image", "title": "x", "path": "x", "formula": "x"}}),
        ("datasets", {"ores": {"kind": "image", "title": "x", "path": "x", "labels": {"by": "table"}}}),
        ("datasets", {"ores": {"kind": "image", "title": "x", "path": "x", "size": [200]}}),
        ("views", {"v": {"kind": "image", "features": "stage", "of": "net", "stage": 1}}),
        ("views", {"v": {"kind": "composition", "features": "element_statistics", "table": "m", "statistics": ["x"]}}),
        ("methods", {"clusterings": {"a": {"algorithm": "kmeans", "k": [1]}}}),
        ("methods", {"clusterings": {"a": {"algorithm": "agglomerative", "k": [2], "stability": {"seeds": 2}}}}),
        ("methods", {"representations": {"a": {"algorithm": "tsne"}}}),
        ("study", {"title": "x", "dataset": "ores", "views": ["v"], "representations": [{"views": ["v"]}]}),
        ("study", {"title": "x", "dataset": "ores", "views": [], "representations": ["pca"]}),
    ],
)
def test_pydantic_and_the_json_schema_refuse_the_same_slips(kind, value):
    with pytest.raises(ValidationError):
        TypeAdapter(CONFIG_FILES[kind]).validate_python(value)
    assert problems(kind, value)


def test_the_dictionary_lists_every_field_once_with_its_unit():
    rows = [line.split(" | ") for line in data_dictionary().splitlines() if line.startswith("| `")]
    assert [row[0].strip("| `") for row in rows] == list(FIELDS)
    by_name = {row[0].strip("| `"): row for row in rows}
    assert by_name["seebeck_coefficient"][1:4] == ["µV/K", "float64", ""]
    assert by_name["ari"][1:4] == ["1", "float64", "-1 to 1"]
    assert by_name["n_elements"][3] == "1 to 118"
    assert by_name["temperature"][3] == "at least 0"
    assert by_name["k"][3] == "at least 1; may be empty"
    assert by_name["chemical_family"][3].startswith("oxide, chalcogenide")
    assert all(len(row) == 6 for row in rows)
