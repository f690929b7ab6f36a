"""Archives into a folder: every entry a plain file below it, within caps, all or nothing."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn

from matlas.errors import SourceError

CHUNK = 1 << 18  # bytes read at a time
CORRUPT = (  # what the readers of the standard library raise on damage (ValueError: names that are not UTF-8)
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, ValueError, NotImplementedError),
)


@dataclass(frozen=True)
class _Entry:
    """One member of an archive. kind : "file", "folder", or a word for what is refused."""

    name: str
    kind: str
    open: Callable[[], BinaryIO | None]


def unpack(
    archive: str | os.PathLike,
    target: str | os.PathLike,
    *,
    kind: Literal["zip", "tar"],
    max_bytes: int,
    max_files: int,
    source_id: str,
) -> list[Path]:
    """Extract `archive` into the folder `target` and return the paths of its files, sorted.

    kind : "zip", or "tar" (plain, gzip, bzip2 or xz). max_bytes : cap on the unpacked bytes, counted as they are
    written, since declared sizes can lie; max_files : cap on entries, folders included. Names with `..`, absolute,
    drive or backslash paths, links, devices and names that occur twice are refused. Owners and modes are not kept.
    Raises SourceError, with nothing left behind, for any of these, for a damaged archive, and when `target` holds
    files already.
    """
    archive, target = Path(archive), Path(target)

    def refuse(what: str, expected: str, found: str, do: str = "") -> NoReturn:
        do = do or "check where the archive came from; it does not look like the one that was registered"
        raise SourceError(
            f"source {source_id}: {what}", where=f"archive {archive}", expected=expected, found=found, do=do
        )

    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        refuse("can't unpack", "a new or empty folder", f"files in {target}", f"remove {target}, then run again")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir()
    raise_caps = "if the archive is as intended, raise max_unpacked_bytes or max_files in config/sources.yaml"
    files, size = [], 0
    try:
        entries = _damage_refused(_ENTRIES[kind](archive), refuse)
        for count, entry in enumerate(entries, start=1):
            if count > max_files:
                refuse("too many entries", f"at most {max_files}", f"more than {max_files}", raise_caps)
            if entry.kind not in ("file", "folder"):
                refuse("unsafe archive", "plain files and folders only", f"{entry.kind} {entry.name!r}")
            relative = _safe_path(entry.name)
            if relative is None or (entry.kind == "file" and not relative.parts):
                refuse("unsafe archive", "relative paths that stay in the folder", repr(entry.name))
            try:
                if entry.kind == "folder":
                    (temporary / relative).mkdir(parents=True, exist_ok=True)
                    continue
                (temporary / relative).parent.mkdir(parents=True, exist_ok=True)
                # "x" also stops names that differ only for the archive: a//b, ./a/b, or case on some file systems
                output = open(temporary / relative, "xb")  # noqa: SIM115
            except (FileExistsError, NotADirectoryError):
                refuse("unsafe archive", "each name once", f"a second {entry.name!r}")
            with output:
                for chunk in _damage_refused(_chunks(entry), refuse):
                    size += len(chunk)
                    if size > max_bytes:
                        found = f"more than {max_bytes} bytes, at {entry.name!r}"
                        refuse("archive too large when unpacked", f"at most {max_bytes} bytes", found, raise_caps)
                    output.write(chunk)
            files.append(target / relative)
        os.replace(temporary, target)
    except OSError as error:
        found = f"{error.strerror or type(error).__name__} at {error.filename or temporary}"
        refuse("can't unpack", "a folder that can be written", found, "check permissions and free disk space")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sorted(files)


def _safe_path(name: str) -> Path | None:
    """`name` as a path below any folder on any system, or None."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name) or "\\" in name or "\0" in name:
        return None
    return Path(*parts)


def _damage_refused(items: Iterator, refuse: Callable) -> Iterator:
    """The items of a reader, whose errors mean that the archive is damaged."""
    try:
        yield from items
    except CORRUPT as error:
        found = f"{type(error).__name__}: {error}"
        refuse("damaged archive", "an archive that can be read to its end", found, "remove it and fetch it again")


def _chunks(entry: _Entry) -> Iterator[bytes]:
    with entry.open() as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _zip_entries(archive: Path) -> Iterator[_Entry]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            form = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on Unix
            kind = "folder" if info.is_dir() else "file"
            if form not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "link" if form == stat.S_IFLNK else "special file"
            elif info.flag_bits & 1:
                kind = "encrypted file"
            # orig_filename: zipfile itself cuts `filename` at a NUL
            yield _Entry(info.orig_filename, kind, lambda info=info: opened.open(info))


def _tar_entries(archive: Path) -> Iterator[_Entry]:
    with tarfile.open(archive) as opened:
        for info in opened:
            kind = "file" if info.isreg() else "folder" if info.isdir() else "special file"
            if info.issym() or info.islnk():
                kind = "link"
            yield _Entry(info.name, kind, lambda info=info: opened.extractfile(info))
        # tarfile takes a damaged header after the first for the end: insist on the block of zeros that marks it
        opened.fileobj.seek(opened.offset)
        if opened.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no end-of-archive mark")
        while opened.fileobj.read(CHUNK):  # to the end of the stream, where gzip and xz check their sums
            pass


_ENTRIES = {"zip": _zip_entries, "tar": _tar_entries}
