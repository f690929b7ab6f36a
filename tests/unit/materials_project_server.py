"""The Materials Project on 127.0.0.1: its heartbeat and materials/summary as the real ones answer, and their faults."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs, urlsplit

from pymatgen.core import Lattice, Structure

from tests.unit.misbehaving_server import MisbehavingServer, head

RELEASE = "2026.09.01"
FILTERS = {  # parameter of the server: whether a document passes
    "elements": lambda document, value: set(value.split(",")) <= set(document["elements"]),
    "chemsys": lambda document, value: document["chemsys"] in value.split(","),
    "material_ids": lambda document, value: document["material_id"] in value.split(","),
    "nelements_min": lambda document, value: document["nelements"] >= int(value),
    "nelements_max": lambda document, value: document["nelements"] <= int(value),
    "energy_above_hull_min": lambda document, value: document["energy_above_hull"] >= float(value),
    "energy_above_hull_max": lambda document, value: document["energy_above_hull"] <= float(value),
    "crystal_system": lambda document, value: document["symmetry"]["crystal_system"] == value,
    "spacegroup_number": lambda document, value: document["symmetry"]["number"] == int(value),
}


def rock_salt(number: int, cation: str, anion: str, a: float, **fields) -> dict:
    """A document of materials/summary with a made-up rock-salt crystal of lattice constant `a` in Å."""
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return {
        "material_id": f"mp-{number}",
        "structure": structure.get_primitive_structure().as_dict(),
        "formula_pretty": cation + anion,
        "elements": sorted([cation, anion]),
        "nelements": 2,
        "chemsys": "-".join(sorted([cation, anion])),
        "energy_above_hull": 0.0,
        "band_gap": 5.0,
        "density": float(structure.density),
        "symmetry": {"crystal_system": "Cubic", "symbol": "Fm-3m", "number": 225, "point_group": "m-3m"},
        "bulk_modulus": None,
        "deprecated": False,
        **fields,
    }


class MaterialsProjectServer(MisbehavingServer):
    """Answers for those who know the key. `faults` : answers in place of the right ones to the first questions for
    documents (None: the right one); `releases` : of the database, one a heartbeat, the last one repeats."""

    def __init__(self, documents: list[dict], key: str, *, faults: Iterable = (), releases: Iterable[str] = (RELEASE,)):
        super().__init__(self.answer)
        self.documents, self.key, self.faults, self.releases = documents, key, iter(faults), list(releases)
        self.url += "/"
        self.keys_seen: list[str | None] = []
        self.agents: set[str | None] = set()

    def answer(self, _, handler) -> None:
        url, key = urlsplit(handler.path), handler.headers.get("x-api-key")
        self.keys_seen.append(key)
        self.agents.add(handler.headers.get("User-Agent"))
        if url.path == "/heartbeat":
            release = self.releases.pop(0) if len(self.releases) > 1 else self.releases[0]
            body = {
                "status": "OK",
                "version": "0.86.4",
                "db_version": release,
                "access_controlled_batch_ids": ["gnome"],
            }
            return send_json(handler, 200, body)
        if url.path != "/materials/summary/":
            return send_json(handler, 404, {"detail": "Not Found"})
        if key != self.key:
            return send_json(handler, 401, {"message": f"Invalid authentication credentials {key}"})
        parameters = {name: values[0] for name, values in parse_qs(url.query).items()}
        if "documents" in kinds([handler.path]) and (fault := next(self.faults, None)):
            return fault(self, handler)
        status, body = self.found(parameters)
        send_json(handler, status, body)

    def found(self, parameters: dict) -> tuple[int, dict]:
        """Status and body of a question, as the real server answers it: sorted, cut into pages, reduced to fields."""
        fields, limit = parameters.pop("_fields").split(","), int(parameters.pop("_limit", 100))
        skip, order = int(parameters.pop("_skip", 0)), parameters.pop("_sort_fields", None)
        deprecated = parameters.pop("deprecated", "False") == "True"
        found = [document for document in self.documents if document["deprecated"] == deprecated]
        for name, value in parameters.items():
            if name not in FILTERS:
                return 422, {"detail": [{"loc": ["query", name], "msg": f"not permitted for {self.key}", "type": "x"}]}
            found = [document for document in found if FILTERS[name](document, value)]
        if order:
            found.sort(key=lambda document: document[order])
        page = [{f: document[f] for f in fields if f in document} for document in found[skip : skip + limit]]
        meta = {"api_version": "0.86.4", "total_doc": len(found), "max_limit": 1000, "default_fields": ["material_id"]}
        return 200, {"data": page, "meta": meta}

    @property
    def asked(self) -> Counter:
        """How often "heartbeat", "ids" and "documents" were asked for."""
        return Counter(kinds(path for path, *_ in self.requests))


def kinds(paths: Iterable[str]) -> list[str]:
    def kind(path: str) -> str:
        if urlsplit(path).path == "/heartbeat":
            return "heartbeat"
        return "documents" if "structure" in parse_qs(urlsplit(path).query).get("_fields", [""])[0] else "ids"

    return [kind(path) for path in paths]


def send_json(handler, status: int, body: object, *, stop: int | None = None, announced: int | None = None) -> None:
    """Send `body` up to byte `stop`, though `announced` bytes (all of them) are announced."""
    data = json.dumps(body).encode()
    head(handler, status, Content_Type="application/json", Content_Length=announced or len(data))
    handler.wfile.write(data[:stop])


def changed(change: Callable[[dict], object]) -> Callable:
    """The right answer after `change` of its body."""

    def answer(server, handler):
        parameters = {name: values[0] for name, values in parse_qs(urlsplit(handler.path).query).items()}
        status, body = server.found(parameters)
        change(body)
        send_json(handler, status, body)

    return answer


def dropped(server, handler) -> None:
    """The connection ends in the middle of the body."""
    send_json(handler, 200, {"data": ["x" * 5000]}, stop=2000)


def cut_short(server, handler) -> None:
    """The body ends early, and the announced length agrees."""
    send_json(handler, 200, {"data": ["x" * 5000]}, stop=2000, announced=2000)


def too_many(server, handler) -> None:
    head(handler, 429, Content_Length=0, Retry_After=7)


def elsewhere(url: str) -> Callable:
    return lambda server, handler: head(handler, 302, Content_Length=0, Location=url)
