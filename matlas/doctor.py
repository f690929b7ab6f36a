"""Checks of an installation and of a results folder, each with what to do where it fails (`matlas doctor`)."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from matlas.errors import MatlasError
from matlas.lineage import PROJECT

SUPPORTED_PYTHON = ((3, 11), (3, 13))
FREE_BYTES = (1e9, 5e9)  # below the first a run fails; below the second it may
SHOWN = 3


@dataclass(frozen=True)
class Check:
    """status : "ok", "warn" or "fail"; do : the next step, empty where all is well."""

    status: str
    subject: str
    detail: str
    do: str = ""


def checks(results: Path, project: Path = PROJECT) -> Iterator[Check]:
    """Every check, in the order in which a problem should be mended. `results` need not exist."""
    yield check_python(sys.version_info[:3])
    yield check_packages(project / "requirements.lock")
    yield check_mirror(os.environ.get("MATLAS_MIRROR") or configured_mirror(project))
    yield check_disk(results)
    yield check_lock(project)
    yield from check_results(results)


def check_python(version: tuple[int, ...]) -> Check:
    name = ".".join(map(str, version))
    lowest, highest = SUPPORTED_PYTHON
    if lowest <= version[:2] <= highest:
        return Check("ok", "Python", name)
    return Check("fail", "Python", name, "use Python 3.11 to 3.13: make PYTHON=python3.12 demo")


def check_packages(lock: Path) -> Check:
    """Installed versions against the lock file; lines for other platforms or Pythons are passed over."""
    from packaging.requirements import Requirement

    if not lock.is_file():
        return Check("warn", "packages", f"{lock.name} is missing", "run matlas from a clone of the repository")
    missing, different = [], []
    lines = [re.split(r"\s#|\s\\|\s--hash", line)[0].strip() for line in lock.read_text(encoding="utf-8").splitlines()]
    wanted = [Requirement(line) for line in lines if re.match(r"[A-Za-z0-9]", line)]
    wanted = [requirement for requirement in wanted if not requirement.marker or requirement.marker.evaluate()]
    for requirement in wanted:
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            different.append(f"{requirement.name} {found} (locked {requirement.specifier})")
    install = "pip install -r requirements.lock, in the environment that make demo made (.venv)"
    if missing:
        return Check("fail", "packages", f"{len(missing)} are missing: {_few(missing)}", install)
    if different:
        return Check("warn", "packages", f"{len(different)} of other versions: {_few(different)}", install)
    return Check("ok", "packages", f"{len(wanted)} as locked")


def configured_mirror(project: Path) -> str | None:
    from schemas.strict_yaml import read_yaml

    try:
        return read_yaml(project / "config" / "config.yaml").get("mirror")
    except MatlasError:
        return None  # matlas may run without a clone; the packages check says so


def check_mirror(mirror: str | None) -> Check:
    if not mirror:
        return Check("ok", "mirror", "none set: sources come from their origin")
    if "://" in mirror:
        return Check("ok", "mirror", mirror)
    if Path(mirror).is_dir():
        return Check("ok", "mirror", f"folder {mirror}")
    return Check("fail", "mirror", f"no folder {mirror}", "correct or unset MATLAS_MIRROR (or `mirror` in config)")


def check_disk(results: Path) -> Check:
    there = next(p for p in [results.resolve(), *results.resolve().parents] if p.exists())
    free = shutil.disk_usage(there).free
    status = "fail" if free < FREE_BYTES[0] else "warn" if free < FREE_BYTES[1] else "ok"
    return Check(status, "disk", f"{free / 1e9:.1f} GB free", "" if status == "ok" else "free some space")


def check_lock(project: Path) -> Check:
    locks = project / ".snakemake" / "locks"
    if locks.is_dir() and any(locks.iterdir()):
        do = "wait if a run is under way; otherwise snakemake --unlock, then the same command again"
        return Check("warn", "workflow", "locked by a run that is under way or was killed", do)
    return Check("ok", "workflow", "not locked")


def check_results(results: Path) -> Iterator[Check]:
    """The folder, its catalog, and every registered file: present, readable, with the registered number of rows."""
    from matlas.store import open_store
    from matlas.tables import table_info

    try:
        store = open_store(results)
        files = store.sql(
            "SELECT path, rows FROM registry.files JOIN registry.tables ON table_name = name ORDER BY path"
        )
    except MatlasError as error:
        do = f"{error.do[0].upper()}{error.do[1:]}" if error.do else "rebuild it with make demo or make reproduce"
        yield Check("fail", "results", f"{error.what}: {error.where}", do)
        return
    yield Check("ok", "results", f"{results}: catalog of {len(files)} tables")
    problems = []
    for path, rows in files.itertuples(index=False):
        try:
            found = table_info(results / path).rows
        except MatlasError as error:
            problems.append(f"{path}: {error.what}")
            continue
        if found != rows:
            problems.append(f"{path}: {found} rows, the catalog says {rows}")
    if problems:
        do = "run snakemake --cores all (with the same --configfile as before)"
        yield Check("fail", "tables", f"{len(problems)} of {len(files)}: {_few(problems)}", do)
    else:
        yield Check("ok", "tables", f"{len(files)} present, rows as registered")


def _few(items: Iterable[str]) -> str:
    items = list(items)
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
