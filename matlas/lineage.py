"""What a result was made from: the code that computed it, the inputs it read, the configuration it followed."""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from importlib import metadata
from pathlib import Path, PurePath

PROJECT = Path(__file__).resolve().parent.parent
SCRIPTS = PROJECT / "workflow_scripts"
PACKAGES = ("matlas", "schemas")
RECORDED_VERSIONS = ("numpy", "pandas", "pyarrow", "pandera", "scikit-learn", "matminer", "pymatgen", "duckdb", "torch")


@dataclass(frozen=True)
class Lineage:
    """Where a table comes from. `inputs` maps each input's name to the hash of its content; `simulated` is true
    when any input was generated rather than measured, and follows the data through every later stage. No time stamp
    is kept, so that the same inputs give the same bytes; a file's own time says when it was made."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    config: str = ""
    seed: int | None = None
    simulated: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict:
        return asdict(self)


def digest(value: object) -> str:
    """Short sha256 of a JSON-like value (sets, paths and dates too), independent of key order.

    Raises TypeError for anything else, since its text may differ between two processes.
    """
    text = json.dumps(value, sort_keys=True, default=_plain, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(folder: Path, names: Iterable[str]) -> str:
    """Changes when one of the files `names` below `folder` is added, removed, renamed or written to: a hash of names,
    sizes and times, not of content."""
    stats = ((name, (folder / name).stat()) for name in names)
    return digest([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])


def _plain(value: object) -> object:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (PurePath, date)):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no lasting hash: {value!r}")


def now() -> str:
    """Current time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a number."""
    found = {"python": platform.python_version()}
    for name in RECORDED_VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def code_of(script: str) -> str:
    """Hash of a workflow script and of every project module that it imports, directly or through others.

    Snakemake notices an edited script but not an edited import, so each rule passes this as a parameter.
    script : path below workflow_scripts/. Raises FileNotFoundError for a script that is not there.
    """
    return digest({str(p.relative_to(PROJECT)): _file_hash(p) for p in import_closure(SCRIPTS / script)})


@cache
def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def import_closure(start: Path) -> list[Path]:
    """`start` and all project files reachable from it by import statements, sorted; relative imports included.
    A file that a module reads as data (a template) belongs to it: the module lists it in DATA_FILES."""
    seen: set[Path] = set()
    waiting = [start.resolve()]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            if path.suffix == ".py":
                waiting += _imported_files(path)
    return sorted(seen)


@cache
def _imported_files(path: Path) -> list[Path]:
    found: list[Path] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                package = list(path.relative_to(PROJECT).parent.parts)
                package = package[: len(package) - node.level + 1]
                base = ".".join([*package, *([node.module] if node.module else [])])
            else:
                base = node.module or ""
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Assign | ast.AnnAssign) and "DATA_FILES" in _targets(node):
            found += [(path.parent / name).resolve() for name in ast.literal_eval(node.value)]
            continue
        else:
            continue
        for name in names:
            if name.split(".")[0] in PACKAGES:
                found += _module_files(name)
    return found


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    return [getattr(t, "id", "") for t in (node.targets if isinstance(node, ast.Assign) else [node.target])]


def _module_files(name: str) -> list[Path]:
    """The file of a dotted module name and the `__init__` of each package on the way."""
    parts = name.split(".")
    files = [PROJECT.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)]
    files.append(PROJECT.joinpath(*parts).with_suffix(".py"))
    return [f for f in files if f.is_file()]
