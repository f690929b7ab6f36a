"""Crystals from the Materials Project: one query, its documents asked for in chunks that outlive an interruption.

The client mp-api spells the requests. Here it is kept on the REST endpoint, its answers are checked and kept as they
arrive; matlas/materials_project_session.py waits out faults and hides the key.
"""

from __future__ import annotations

import datetime
import gzip
import hashlib
import inspect
import logging
import os
import typing
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import EnumType
from pathlib import Path

import orjson
import pydantic

from matlas.errors import ConfigError, DataError, MatlasError, SourceError, nearest
from matlas.files import atomic_path
from matlas.materials_project_session import Session, checked_endpoint, hidden, key_of_environment
from matlas.threads import Progress

PAGE = 1000  # the most documents that the server gives in one answer
PAGES = 10_000  # more than there are: a number of pages keeps mp-api off S3, which it reads when a query is empty
LAYOUT = 1  # of the kept files: another number, and older ones are not used
NOT_QUERY = {"self", "num_chunks", "chunk_size", "all_fields", "fields", "_page", "_sort_fields"}

log = logging.getLogger(__name__)


def fetch_crystals(
    query: Mapping,
    fields: list[str],
    path: str | os.PathLike,
    *,
    cache: str | os.PathLike,
    chunk: int = 200,
    endpoint: str | None = None,
    timeout: float = 60.0,
    retries: int = 5,
    backoff: float = 1.0,
) -> dict:
    """Write the crystals that answer `query` to `path` and return their {"release", "retrieved", "rows"}.

    query : keyword arguments of mp-api's `MPRester.materials.summary.search`, such as elements, chemsys, num_elements,
    energy_above_hull=(0, 0.05) in eV/atom; fields : fields of its documents that hold one value, or a part of one that
    holds several ("symmetry.number"). path : gzipped JSON lines, one document a line, sorted by material_id as text:
    {"material_id": str, "structure": pymatgen's as_dict, each field: number, text, truth value, or null where the
    database has none}. Units are the database's: Å, eV, eV/atom, g/cm³, GPa. The same documents give the same bytes.

    cache : folder in which the list of ids and each chunk of documents are kept as they arrive; a later call with the
    same query, fields and chunk asks only for what is missing, as long as the database has the same release. chunk :
    documents a request, at most 1000. endpoint : https, or http on this machine; nothing else is contacted. timeout :
    seconds without a byte; retries : further attempts at a request after a failure that may pass, `backoff * 2**n`
    seconds apart, or as long as the server says (at most 60 s). Crystals of GNoME, which are for non-commercial use
    only, are among the answers unless the query says include_gnome=False.

    retrieved : day (UTC) on which the last of the documents was asked for. Raises ConfigError for an unknown query
    argument or field, SourceError for a missing or wrong key, a query without result and a server that can't be
    reached or breaks off, DataError for a document without structure. Source: Jain et al. 2013,
    doi:10.1063/1.4812323.
    """
    path, cache, key, endpoint = Path(path), Path(cache), key_of_environment(), checked_endpoint(endpoint)
    if not 1 <= chunk <= PAGE:
        raise ConfigError("chunk can't be used", expected=f"1 to {PAGE} documents a request", found=chunk)
    with hidden(key), Session(endpoint, key, timeout, retries, backoff, cache) as session:
        try:
            return _fetch(session, query, fields, path, cache, chunk)
        except OSError as error:
            raise SourceError(
                "can't read or write a file of the Materials Project's crystals",
                where=error.filename or path,
                found=error.strerror or type(error).__name__,
                do="check permissions and free disk space, then run again",
            ) from error


def _fetch(session: Session, query: Mapping, fields: list[str], path: Path, cache: Path, chunk: int) -> dict:
    rester_class, refusals = _mp_api()
    query = _arguments(query, rester_class.search)
    fields = _field_names(fields, rester_class.document_model.model_fields)
    release = session.release()
    search = _search(session, rester_class, refusals, release)
    question = [LAYOUT, session.endpoint, release, query]

    def ask_ids() -> list[str]:
        found = search(**query, fields=["material_id"], chunk_size=PAGE, num_chunks=PAGES, _sort_fields="material_id")
        ids = sorted({document["material_id"] for document in found})
        if len(ids) < len(found):
            session.fail(f"{len(found) - len(ids)} ids twice in the answers", "run again")
        if not ids:
            session.fail("no crystal answers the query", "widen the query", expected=f"crystals with {query}")
        return ids

    def ask_documents(ids: list[str]) -> list[dict]:
        # the server leaves deprecated documents out unless asked for, also by their ids
        also = {"deprecated": query["deprecated"]} if "deprecated" in query else {}
        asked = list(dict.fromkeys(["material_id", "structure", *(name.partition(".")[0] for name in fields)]))
        found = search(material_ids=ids, fields=asked, chunk_size=len(ids), num_chunks=1, **also)
        found = sorted(found, key=lambda document: document["material_id"])
        given = [document["material_id"] for document in found]
        if given != ids:
            lacking = ", ".join(sorted(set(ids).difference(given))[:5]) or "none"
            session.fail(f"{len(given)} documents for {len(ids)} ids, lacking {lacking}", "run again")
        return [_document(document, fields) for document in found]

    ids, _ = _kept(cache / f"ids-{_digest(question)}.json.gz", ask_ids)
    parts = [ids[start : start + chunk] for start in range(0, len(ids), chunk)]
    places = [cache / f"{n}-{_digest([*question, fields, part])}.json.gz" for n, part in enumerate(parts)]
    here = sum(place.exists() for place in places)
    log.info("Materials Project %s: %d crystals, %d of %d chunks at hand", release, len(ids), here, len(parts))

    days, valued = set(), set()

    def documents() -> Iterator[dict]:
        progress, done = Progress("crystals of the Materials Project", len(ids)), 0
        for part, place in zip(parts, places, strict=True):
            rows, day = _kept(place, lambda part=part: ask_documents(part))
            days.add(day)
            for row in rows:
                valued.update(name for name, value in row.items() if value is not None)
                yield row
            done += len(part)
            progress.reached(done)
        if session.asked > 1 and (now := session.release()) != release:
            session.fail(f"release {now} after {release} at the start", "run again to fetch the new release")
        progress.finished()

    _write_lines(path, documents())
    for name in fields:
        if name not in valued:
            log.warning("field %s: the Materials Project gives no value for any of the %d crystals", name, len(ids))
    return {"release": release, "retrieved": max(days), "rows": len(ids)}


# --- what is asked ---------------------------------------------------------------------------------------------------


def _mp_api() -> tuple[type, type[Exception]]:
    """Class SummaryRester and the exception MPRestError; imported here, since it takes seconds and is optional."""
    try:
        from mp_api.client.core.exceptions import MPRestError
        from mp_api.client.routes.materials.summary import SummaryRester
    except ImportError as error:
        raise MatlasError(
            "the package mp-api, which asks the Materials Project, can't be imported",
            expected="mp-api 0.46",
            found=error,
            do="make api",
        ) from error
    return SummaryRester, MPRestError


def _search(session: Session, rester_class: type, refusals: type[Exception], release: str) -> Callable[..., list]:
    """mp-api's `MPRester.materials.summary.search` over `session`; SourceError for what the server refuses."""

    class Summary(rester_class):
        # mp-api's own makes the schema of all documents once for each field asked for: seconds a chunk
        available_fields = list(rester_class.document_model.model_fields)

        @staticmethod
        def _get_heartbeat_info(endpoint):
            """mp-api's own asks outside of the session, without timeout, once for the life of the process."""
            return release, []

    # without MPRester, whose constructor asks for the heartbeat once more and makes clients of other services
    rester = Summary(
        api_key=session.key,
        endpoint=session.endpoint,
        session=session,
        timeout=session.timeout,
        use_document_model=False,
        mute_progress_bars=True,
    )

    def search(**arguments) -> list[dict]:
        try:
            return rester.search(**arguments)
        except (refusals, ValueError) as error:
            said = session.shown(str(error).rpartition("with message:")[2])
        session.fail(f"the query refused: {said}", "check the query")

    return search


def _arguments(query: Mapping, search: Callable) -> dict:
    """The query with the types that `search` declares; raises ConfigError for what it does not take."""
    hints = typing.get_type_hints(search)
    kinds = {name: parameter.kind for name, parameter in inspect.signature(search).parameters.items()}
    names = {name for name, kind in kinds.items() if kind is not inspect.Parameter.VAR_KEYWORD} - NOT_QUERY
    arguments = {}
    for name, value in query.items():
        if name not in names:
            raise ConfigError(
                f"the Materials Project's search has no argument {name!r}", where="query", expected=nearest(name, names)
            )
        kind = hints[name]
        if tuple[float, float] in typing.get_args(kind):
            kind |= float  # one value stands for a range of it
        if name == "crystal_system":
            kind |= list[typing.get_args(kind)[0]]
        try:
            arguments[name] = pydantic.TypeAdapter(kind).validate_python(value)
        except pydantic.ValidationError as error:
            values = [[member.value for member in each] for each in typing.get_args(kind) if isinstance(each, EnumType)]
            wanted = values[0] if values else [each["msg"].removeprefix("Input should be ") for each in error.errors()]
            raise ConfigError(
                f"{name} can't be searched for",
                where="query",
                expected=" or ".join(dict.fromkeys(wanted)),
                found=repr(value),
            ) from None
    return {name: value for name, value in sorted(arguments.items()) if value is not None}


def _field_names(fields: Iterable[str], known: Iterable[str]) -> list[str]:
    for name in fields:
        if name.partition(".")[0] not in known:
            raise ConfigError(
                f"documents of the Materials Project have no field {name!r}",
                where="fields",
                expected=nearest(name.partition(".")[0], known),
            )
    return [name for name in dict.fromkeys(fields) if name not in ("material_id", "structure")]


# --- what is answered ------------------------------------------------------------------------------------------------


def _document(raw: Mapping, fields: list[str]) -> dict:
    """One line of the output; raises DataError when there is no structure, ConfigError for a field of many values."""
    structure, where = raw.get("structure"), f"document {raw['material_id']} of the Materials Project"
    if not isinstance(structure, dict) or not structure.get("lattice") or not structure.get("sites"):
        raise DataError(
            "a crystal has no structure",
            where=where,
            expected="a lattice and sites",
            found=f"fields {sorted(structure)}" if isinstance(structure, dict) else structure,
            do="narrow the query so that it leaves this document out",
        )
    return {"material_id": raw["material_id"], "structure": structure} | {f: _scalar(raw, f, where) for f in fields}


def _scalar(raw: Mapping, field: str, where: str) -> float | int | str | bool | None:
    top, *parts = field.split(".")
    value = raw.get(top)
    for part in parts:
        if value is not None and (not isinstance(value, dict) or part not in value):
            expected = nearest(part, value) if isinstance(value, dict) else f"{top}, which has no parts"
            raise ConfigError(f"field {field!r} has no part {part!r}", where=where, expected=expected)
        value = value and value[part]
    if isinstance(value, (dict, list)):
        raise ConfigError(
            f"field {field!r} holds more than one value",
            where=where,
            expected="a field with one number, text or truth value",
            found=f"parts {sorted(value)}" if isinstance(value, dict) else f"a list of {len(value)}",
            do=f"name one part, such as {field}.{min(value)}" if isinstance(value, dict) and value else "leave it out",
        )
    return value


def _digest(asked: object) -> str:
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _kept(place: Path, ask: Callable[[], list]) -> tuple[list, str]:
    """Rows and day kept at `place`; where there are none, or damaged ones, those that `ask` gives now."""
    if place.exists():
        try:
            held = orjson.loads(gzip.decompress(place.read_bytes()))
            return held["rows"], held["retrieved"]
        except (gzip.BadGzipFile, EOFError, zlib.error, ValueError, KeyError, TypeError):
            log.warning("%s is damaged and asked for again", place)
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    rows = ask()
    _write_lines(place, [{"retrieved": day, "rows": rows}])
    return rows, day


def _write_lines(path: Path, rows: Iterable[dict]) -> None:
    """Gzipped JSON lines, whole or absent; the same rows give the same bytes."""
    with (
        atomic_path(path) as temporary,
        open(temporary, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as stream,
    ):
        for row in rows:
            stream.write(orjson.dumps(row, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
