"""Which files of a folder are the images of a dataset."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from matlas.errors import DataError
from matlas.lineage import fingerprint

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")  # in any case
SHOWN = 5


def image_files(folder: str | Path, pattern: str = "**/*") -> list[str]:
    """Sorted POSIX paths, below `folder`, of the image files that match `pattern` (as in pathlib: `**/*`, `train/*`).

    Files and folders whose names begin with a dot, and the `__MACOSX` folders of some archives, don't count.
    Raises DataError when the folder is missing, when no image matches, for a link that is broken or leads out of the
    folder, and for a name that is not UTF-8.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("folder of images is missing", where=folder, do="check `path` and `source` of the dataset")
    try:
        matching = [path for path in folder.glob(pattern) if _counts(path.relative_to(folder).parts)]
    except (ValueError, NotImplementedError) as error:  # an empty or absolute pattern, or one that climbs out
        raise DataError(
            "pattern of images can't be used", where=folder, expected="a pattern below the folder, such as **/*",
            found=repr(pattern),
        ) from error  # fmt: skip
    images = [path for path in matching if path.suffix.lower() in SUFFIXES]
    _stay_inside(images, folder)
    names = sorted(path.relative_to(folder).as_posix() for path in images if path.is_file())
    if not names:
        raise DataError(
            f"no image matches {pattern!r}", where=folder, expected=f"files that end in {', '.join(SUFFIXES)}",
            found=_kinds(matching or [p for p in folder.glob("**/*") if _counts(p.relative_to(folder).parts)]),
        )  # fmt: skip
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError("file name is not UTF-8", where=folder, found=ascii(name), do="rename the file") from error
    return names


def folder_fingerprint(folder: str | Path, pattern: str = "**/*") -> str:
    """Changes when an image is added, removed, renamed or written to: a hash of names, sizes and times, not of content.

    Errors as in `image_files`.
    """
    return fingerprint(Path(folder), image_files(folder, pattern))


def _counts(parts: tuple[str, ...]) -> bool:
    return not any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)


def _stay_inside(paths: list[Path], folder: Path) -> None:
    root = folder.resolve()
    # a folder is resolved once, not with each file in it
    for path in {path.parent for path in paths} | {path for path in paths if path.is_symlink()}:
        target = path.resolve()
        if not target.is_relative_to(root) or not target.exists():
            raise DataError(
                "path leads out of the folder of images, or nowhere", where=path, expected=f"a file below {root}",
                found=target, do="put the image itself into the folder",
            )  # fmt: skip


def _kinds(paths: list[Path]) -> str:
    """What is there instead of images: how many files of which suffix, and some names."""
    files = sorted(path.name for path in paths if path.is_file())
    if not files:
        return "no files"
    suffixes = Counter(Path(name).suffix or "no suffix" for name in files).most_common(SHOWN)
    counts = ", ".join(f"{count} with {suffix}" for suffix, count in suffixes)
    return f"{len(files)} files ({counts}), such as {', '.join(files[:SHOWN])}"
