"""Tables of crystals as they stand: a row a structure, whatever the format, and the rows that are none."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from matlas.clean.columns import convert, problem, require_columns, texts
from matlas.clean.raw import raw_batches
from matlas.clean.rejects import as_rejects
from matlas.crystals.files import ENDINGS, holds_one
from matlas.errors import DataError
from schemas.config.datasets import PLACE, Column, CrystalDataset, CrystalTable

log = logging.getLogger(__name__)

MAX_UNPACKED = 4 * 2**30  # bytes of a table; more than the whole Materials Project as CIFs
MAX_STRUCTURE = 16 * 2**20  # bytes of a file with one structure
CHUNK = 2**20
ROWS_AT_ONCE = 5_000  # a structure is a few thousand bytes


def raw_crystals(
    dataset: CrystalDataset, files: Mapping[str, Path], share: tuple[int, int] | None = (0, 1)
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of all tables of a dataset, one after the other, and those that are refused already; every row is in
    exactly one of the two.

    files : the path of each file by its name in the dataset's definition; a table that names none is all of them, in
    their order. A file may be CSV, TSV, JSON (a list of records), JSON lines (all these also with .gz), Parquet, one
    structure (.cif, .vasp, .poscar, POSCAR…), or a folder of such structures, however deep, whose identifiers are their
    paths below it without the ending. share : (number from 0, of how many) of the crystals, counted as their
    identifiers first occur, whose structures are kept; None: of none. CSV, TSV and Parquet are read in batches, so that
    memory is that of the structures kept and of the other columns.
    Returns (raw, rejects). raw : table, file, row (from 1, counted through all files of all tables: the key of
    rejects), id, structure (text or pymatgen's JSON as a mapping; the text of the file where the source gives its
    path; None outside the share), and every column of any table as number or text. rejects : as REJECTS has it, `value`
    being the identifier where the structure is at fault; its `raw` says table and file too. Refused are rows without
    identifier or structure, an identifier that stands in its table already, a path to no file or out of the folder of
    the table, and cells that a column can't take; an empty one it can, since no table need know everything about its
    crystals.
    Raises DataError for a missing or unreadable file and a missing column.
    """
    kept, refused, before, n_files = [], [], 0, 0
    number: dict[str, int] = {}  # of each crystal, in the order in which identifiers first occur
    for table, part in dataset.parts.items():
        seen: set[str] = set()
        for file in part.files or list(files):
            if file not in files:
                raise DataError("file is missing", where=f"table {table!r} of crystals", expected=file)
            n_files += 1
            for source in batches_of_crystals(Path(files[file]), part.id, part.structure):
                rows, faults = _rows(table, part, file, Path(files[file]), source, before, seen)
                before += len(rows)
                rejects = as_rejects(faults)
                good = rows[~rows["row"].isin(rejects["row"])]
                kept.append(good.assign(structure=_of_share(good, number, share)))
                refused.append(rejects)
    raw = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=list(PLACE))
    log.info("%d rows of crystals in %d files, %d refused as they stand", before, n_files, before - len(raw))
    return raw, as_rejects(refused)


def _of_share(rows: pd.DataFrame, number: dict[str, int], share: tuple[int, int] | None) -> pd.Series:
    """The structures of the crystals of a share, None for others; counts new identifiers."""
    if share is None:
        return pd.Series(None, index=rows.index, dtype=object)
    numbers = np.array([number.setdefault(id, len(number)) for id in rows["id"]], dtype=np.int64)
    return rows["structure"].where(numbers % share[1] == share[0], None)


def _rows(
    table: str, part: CrystalTable, file: str, path: Path, source: pd.DataFrame, before: int, seen: set[str]
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """A batch of one file and what is wrong with some rows; adds the identifiers to those `seen` in its table."""
    sources = {d if isinstance(d, str) else d.source for d in part.columns.values()}
    require_columns(source, {part.id, part.structure, *sources}, f"{table} ({file})" if table else file)
    rows = np.arange(before + 1, before + len(source) + 1)
    values, faults = convert(source, part.columns, nullable=True)
    ids, of_ids = texts(source[part.id], Column(source=part.id))
    faults += [(part.id, bad, "missing identifier" if reason == "missing value" else reason) for bad, reason in of_ids]
    repeated = ids.isin(seen) | (ids.duplicated() & ids.notna())
    faults.append((part.id, repeated.to_numpy(), "identifier stands in the table already"))
    seen.update(ids.dropna())

    folder = path if path.is_dir() else path.parent
    structures, reasons = _structures(source[part.structure], folder)
    about = pd.DataFrame({"_table": table, "_file": file}, index=source.index)
    whole = pd.concat([about, source], axis=1)
    problems = [problem(np.flatnonzero(bad), reason, column, whole, rows=rows) for column, bad, reason in faults]
    for position, reason in reasons.items():
        found = problem([position], reason, part.structure, whole, rows=rows)
        problems.append(found.assign(value=ids.iloc[position]))
    place = dict(zip(PLACE, (table, file, rows, ids, structures), strict=True))
    return pd.DataFrame(place, index=source.index).join(values), problems


def _structures(cells: pd.Series, folder: Path) -> tuple[pd.Series, dict[int, str]]:
    """Structures as they stand, paths replaced by the text of their files, and why some are none, by position."""
    found, reasons = [], {}
    for position, cell in enumerate(cells):
        if isinstance(cell, Mapping):
            found.append(cell)
            continue
        text = cell.strip() if isinstance(cell, str) else ""
        if not text:
            reasons[position] = "missing structure"
        elif "\n" in text or text.startswith("{"):
            text = cell
        else:
            try:
                text = _text_of(folder, text)
            except _NoStructure as error:
                text, reasons[position] = "", str(error)
        found.append(text)
    return pd.Series(found, index=cells.index, dtype=object), reasons


class _NoStructure(Exception):
    """Why the file that a cell names is not read."""


def _text_of(folder: Path, name: str) -> str:
    """The text of a file below `folder`. Not strictly as UTF-8: names of authors may be in Latin-1."""
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise _NoStructure("path out of the folder of the table")
        if not path.is_file():
            raise _NoStructure("neither a structure nor the path of a file")
        if path.stat().st_size > MAX_STRUCTURE:
            raise _NoStructure(f"file larger than {MAX_STRUCTURE} bytes")
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        raise _NoStructure("neither a structure nor the path of a file") from error


def batches_of_crystals(path: Path, id: str, structure: str) -> Iterator[pd.DataFrame]:
    """A table as it stands; of a folder or a file with one structure, the columns `id` and `structure` (its path)."""
    if path.is_dir():
        yield _folder(path, id, structure)
        return
    if not path.is_file():
        raise DataError("file is missing", where=path)
    if holds_one(path):
        yield pd.DataFrame({id: [_without_ending(path.name)], structure: [path.name]}, dtype=object)
        return
    with _plain(path) as plain:
        try:
            if plain.suffix.lower() in (".json", ".jsonl"):
                yield _records(plain)
            else:
                yield from _raw_batches(plain)
        except DataError as error:  # about the file as it is called here
            where = str(error.where).replace(str(plain), str(path))
            raise DataError(error.what, where=where, expected=error.expected, found=error.found, do=error.do) from error


def _folder(folder: Path, id: str, structure: str) -> pd.DataFrame:
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    files = [p for p in files if not any(part.startswith(".") for part in p.parts)]
    crystals = [p for p in files if holds_one(p)]
    if not crystals:
        raise DataError(
            "no structure in the folder", where=folder, expected=f"files named *{', *'.join(ENDINGS)} or POSCAR*"
        )
    if len(files) > len(crystals):
        log.info("%s: %d files that are no structures are left out", folder, len(files) - len(crystals))
    ids = [_without_ending(p.as_posix()) for p in crystals]
    return pd.DataFrame({id: ids, structure: [p.as_posix() for p in crystals]}, dtype=object)


def _without_ending(name: str) -> str:
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in ENDINGS else name


@contextmanager
def _plain(path: Path) -> Iterator[Path]:
    """The file itself, or what is packed in it, in a folder that is gone afterwards."""
    if path.suffix.lower() != ".gz":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        plain, size = Path(folder) / path.stem, 0
        try:
            with gzip.open(path) as packed, open(plain, "wb") as output:
                while chunk := packed.read(CHUNK):
                    size += len(chunk)
                    if size > MAX_UNPACKED:
                        raise DataError("too large when unpacked", where=path, expected=f"at most {MAX_UNPACKED} bytes")
                    output.write(chunk)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError("damaged gzip file", where=path, found=error, do="fetch it again") from error
        yield plain


def _raw_batches(path: Path) -> Iterator[pd.DataFrame]:
    before = csv.field_size_limit(MAX_STRUCTURE)  # a structure may be longer than the 128 KiB that a cell has else
    try:
        yield from raw_batches(path, rows_at_once=ROWS_AT_ONCE)
    finally:
        csv.field_size_limit(before)


def _records(path: Path) -> pd.DataFrame:
    """JSON records; by the standard library, since pandas rounds numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        records = json.loads(text) if path.suffix.lower() == ".json" else list(map(json.loads, _lines(text)))
    except (ValueError, RecursionError) as error:
        raise DataError("can't read the table", where=path, found=error, do="check the format") from error
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        raise DataError("not a list of records", where=path, expected="[{…}, …], or an object a line in JSON lines")
    frame = pd.DataFrame(records, dtype=object)
    return frame.where(frame.notna(), None)  # what a record lacks


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.split("\n") if line.strip())
