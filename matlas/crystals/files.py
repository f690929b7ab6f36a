"""Which files hold one structure."""

from __future__ import annotations

from pathlib import Path

from matlas.lineage import digest

ENDINGS = (".cif", ".vasp", ".poscar")  # in any case; so do files named POSCAR…


def holds_one(path: Path) -> bool:
    """Whether a file holds one structure, by its name."""
    return path.suffix.lower() in ENDINGS or path.name.startswith("POSCAR")


def structures_fingerprint(folder: str | Path) -> str:
    """Changes when a file with a structure below `folder` is added, removed, renamed or written to: a hash of names,
    sizes and times, not of content."""
    folder = Path(folder)
    found = sorted(p for p in folder.rglob("*") if holds_one(p) and p.is_file())
    stats = ((p.relative_to(folder).as_posix(), p.stat()) for p in found)
    return digest([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])
