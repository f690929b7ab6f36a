"""The hash of a script changes with every project file that it reaches by imports, and with no other."""

import ast
import datetime
import json
import pathlib
import subprocess
import sys

import pytest

from matlas import lineage
from matlas.lineage import Lineage, code_of, digest, import_closure, versions

PROJECT = {
    "workflow_scripts/stage/job.py": "import os\nimport numpy\nfrom matlas.direct import f\nimport matlas.plain\n",
    "workflow_scripts/stage/other.py": "from schemas import contract\n",
    "matlas/__init__.py": '"""Package."""\n',
    "matlas/direct.py": "from matlas import named\nfrom .relative import g\nfrom . import sibling\n",
    "matlas/plain.py": "def f():\n    from matlas.inner.lazy import h as renamed\n",
    "matlas/named.py": "from schemas.contract import Field\n",
    "matlas/relative.py": "import matlas.direct\n",  # a circle
    "matlas/sibling.py": "from .inner import *\n",
    "matlas/unused.py": "",
    "matlas/inner/__init__.py": '"""Inner."""\n',
    "matlas/inner/lazy.py": (
        "from ..above import x\nfrom .deep import leaf\nDATA_FILES = ('page.html', 'data/table.csv')\n"
    ),
    "matlas/inner/deep/__init__.py": "",
    "matlas/inner/deep/leaf.py": "from ... import upmost\nDATA_FILES: tuple = ('../page.css',)\n",
    "matlas/inner/page.html": "<p>",
    "matlas/inner/page.css": "p {}",
    "matlas/inner/data/table.csv": "1",
    "matlas/inner/unread.html": "<p>",
    "matlas/above.py": "",
    "matlas/upmost.py": "try:\n    import matlas.guarded\nexcept ImportError:\n    pass\n",
    "matlas/guarded.py": "",
    "schemas/__init__.py": "",
    "schemas/contract.py": "",
    "schemas/unused.py": "",
    "numpy.py": "",  # not one of the project's packages
}
OUTSIDE = {
    "workflow_scripts/stage/other.py", "matlas/unused.py", "matlas/inner/unread.html", "schemas/unused.py", "numpy.py",
}  # fmt: skip
REACHED = sorted(PROJECT.keys() - OUTSIDE)


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    root = tmp_path.resolve()
    monkeypatch.setattr(lineage, "PROJECT", root)
    monkeypatch.setattr(lineage, "SCRIPTS", root / "workflow_scripts")
    return root


def fresh_hash(script: str) -> str:
    """The hash as the next process would find it: within one, files are read once."""
    lineage._file_hash.cache_clear()
    lineage._imported_files.cache_clear()
    return code_of(script)


def test_the_closure_holds_direct_transitive_relative_lazy_and_data_files_and_nothing_else(project):
    closure = import_closure(project / "workflow_scripts/stage/job.py")
    assert [p.relative_to(project).as_posix() for p in closure] == REACHED


@pytest.mark.parametrize("name", sorted(PROJECT))
def test_an_edit_changes_the_hash_if_the_script_reaches_the_file(project, name):
    before = fresh_hash("stage/job.py")
    with open(project / name, "a") as file:
        file.write("\n# edited\n")
    assert (fresh_hash("stage/job.py") != before) == (name in REACHED)


def test_the_hash_does_not_depend_on_where_the_project_stands(project, tmp_path_factory, monkeypatch):
    here = fresh_hash("stage/job.py")
    elsewhere = project.rename(tmp_path_factory.mktemp("other") / "place").resolve()
    monkeypatch.setattr(lineage, "PROJECT", elsewhere)
    monkeypatch.setattr(lineage, "SCRIPTS", elsewhere / "workflow_scripts")
    assert fresh_hash("stage/job.py") == here


def test_a_module_moved_within_the_closure_changes_the_hash(project):
    before = fresh_hash("stage/job.py")
    (project / "matlas/inner/data").rename(project / "matlas/inner/tables")
    lazy = project / "matlas/inner/lazy.py"
    lazy.write_text(lazy.read_text().replace("data/", "tables/"))
    assert fresh_hash("stage/job.py") != before


@pytest.mark.parametrize("name", ["matlas/inner/page.html", "workflow_scripts/stage/job.py"])
def test_a_file_that_is_named_but_absent_is_an_error(project, name):
    (project / name).unlink()
    with pytest.raises(FileNotFoundError, match=pathlib.Path(name).name):
        fresh_hash("stage/job.py")


def test_the_closure_of_a_real_script_is_what_python_imports(repository):
    """Peer: the project modules in sys.modules after Python itself has run the imports."""
    script = repository / "workflow_scripts/clean/clean_compositions.py"
    code = (
        f"import json, runpy, sys; runpy.run_path({str(script)!r}, run_name='imported');"
        "print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in ('matlas', 'schemas')]))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    imported = {pathlib.Path(p).resolve() for p in json.loads(run.stdout)}
    assert imported and imported <= set(import_closure(script))


def test_a_package_is_described_in_its_init_and_nothing_is_imported_there(repository):
    inits = [p for package in ("matlas", "schemas") for p in (repository / package).rglob("__init__.py")]
    assert len(inits) > 5
    for path in inits:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) == 1 and ast.get_docstring(ast.Module(body, [])), f"{path} holds more than a docstring"


def test_every_folder_of_modules_is_a_package(repository):
    """Without its `__init__` a folder would be imported all the same, but not be part of the installed package."""
    for package in ("matlas", "schemas"):
        folders = {p.parent for p in (repository / package).rglob("*.py")}
        assert [f for f in folders if not (f / "__init__.py").is_file()] == []


def test_a_digest_is_the_same_in_every_process_and_order():
    value = {
        "b": {"y", "x", "z"},
        "a": (1, 2.5, None),
        "p": pathlib.PurePosixPath("a/b"),
        "d": datetime.date(2024, 1, 2),
    }
    code = (
        "import datetime, pathlib; from matlas.lineage import digest;"
        "print(digest({'d': datetime.date(2024, 1, 2), 'p': pathlib.PurePosixPath('a/b'), 'a': [1, 2.5, None],"
        " 'b': {'z', 'y', 'x'}}))"
    )
    found = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(lineage.PROJECT), "PYTHONHASHSEED": seed},
                       capture_output=True, text=True, check=True).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert found == {digest(value)}


@pytest.mark.parametrize("change", [{"a": 2}, {"a": 1.5}, {"a": "1"}, {"b": 1}, {"a": 1, "b": None}, {"a": [1]}])
def test_a_digest_changes_with_any_value_type_or_key(change):
    assert digest(change) != digest({"a": 1})


def test_a_digest_of_something_without_a_lasting_text_is_refused():
    with pytest.raises(TypeError, match="object has no lasting hash"):
        digest({"a": object()})


def test_versions_are_those_that_python_reports():
    import numpy
    import pandas

    assert versions()["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (versions()["numpy"], versions()["pandas"]) == (numpy.__version__, pandas.__version__)


def test_a_lineage_survives_json():
    lineage = Lineage({"a": "1"}, "c", "d", 3, True, {"numpy": "2"})
    assert Lineage(**json.loads(json.dumps(lineage.as_dict()))) == lineage
