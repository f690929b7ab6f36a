"""The generated documents are in step with the contracts, and say the same."""

import json

import jsonschema
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from schemas.fields import FIELDS
from schemas.generate import CONFIG_FILES, config_schema, data_dictionary, main
from tests.schemas.test_config import TREE

FILES = {
    "settings": "config.yaml", "sources": "sources.yaml", "datasets": "datasets.yaml", "views": "views.yaml",
    "methods": "methods.yaml", "study": "studies/own.yaml",
}  # fmt: skip


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


@pytest.mark.parametrize("kind", CONFIG_FILES)
def test_a_json_schema_validator_accepts_good_files(kind):
    assert problems(kind, yaml.safe_load(TREE[FILES[kind]])) == []


@pytest.mark.parametrize("kind", CONFIG_FILES)
def test_a_json_schema_validator_accepts_the_files_of_this_repository(kind, repository):
    name = FILES[kind] if kind != "study" else "studies/*.yaml"
    paths = list((repository / "config").glob(name))
    assert paths
    for path in paths:
        assert problems(kind, yaml.safe_load(path.read_text(encoding="utf-8"))) == [], path


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("settings", {"runtme": {}}),
        ("settings", {"runtime": {"blas_threads": 0}}),
        ("sources", {"lab": {"title": "x"}}),
        ("sources", {"Lab": {"title": "x", "licence": "x", "citation": "x", "files": {}}}),
        ("datasets", {"ores": {"title": "x", "path": "x", "formula": "x", "columns": {"zt": 5}}}),
        ("views", {"v": {"kind": "composition", "features": "element_statistics", "table": "m", "statistics": ["x"]}}),
        ("methods", {"clusterings": {"a": {"algorithm": "kmeans", "k": [1]}}}),
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
