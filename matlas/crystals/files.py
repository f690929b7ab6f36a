"""Which files hold one structure."""

from __future__ import annotations

from pathlib import Path

from matlas.lineage import fingerprint

ENDINGS = (".cif", ".vasp", ".poscar")  # in any case; so do files named POSCAR…


def holds_one(path: Path) -> bool:
    """Whether a file holds one structure, by its name."""
    return path.suffix.lower() in ENDINGS or path.name.startswith("POSCAR")


def structures_fingerprint(folder: str | Path) -> str:
    """Changes when a file with a structure below `folder` is added, removed, renamed or written to: a hash of names,
    sizes and times, not of content."""
    folder = Path(folder)
    found = sorted(p for p in folder.rglob("*") if holds_one(p) and p.is_file())
    return fingerprint(folder, [p.relative_to(folder).as_posix() for p in found])
