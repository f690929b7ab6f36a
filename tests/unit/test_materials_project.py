"""Crystals of the Materials Project arrive whole, are asked for once, and the key stands nowhere."""

import ast
import gzip
import http.client
import importlib.util
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from datetime import date
from pathlib import Path

import pytest
from pymatgen.core import Structure

from matlas import materials_project_session
from matlas.errors import ConfigError, DataError, MatlasError, SourceError
from matlas.materials_project import fetch_crystals
from matlas.materials_project_session import hidden
from tests.unit.materials_project_server import (
    RELEASE,
    MaterialsProjectServer,
    changed,
    cut_short,
    dropped,
    elsewhere,
    rock_salt,
    too_many,
)
from tests.unit.misbehaving_server import MisbehavingServer, hang, html_page, status

KEY = "Sesame0123456789Sesame0123456789"
FIELDS = ["band_gap", "formula_pretty", "symmetry.number"]
HALIDES = {"num_elements": (2, 2)}
DOCUMENTS = [
    rock_salt(30 - i, cation, anion, 4.0 + 0.1 * i, band_gap=float(i), energy_above_hull=0.01 * i)
    for i, (cation, anion) in enumerate(itertools.product(["Li", "Na", "K", "Rb"], ["F", "Cl"]))
]
OLD = rock_salt(99, "Cs", "Cl", 6.0, deprecated=True)

needs_mp_api = pytest.mark.skipif(
    importlib.util.find_spec("mp_api") is None, reason="needs the optional package mp-api"
)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("MP_API_KEY", KEY)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "crystals.jsonl.gz"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def get(path, cache):
    """Fetch HALIDES in chunks of three, impatiently."""

    def get(server, query=HALIDES, fields=FIELDS, **options):
        options = {"chunk": 3, "retries": 2, "backoff": 0.001, "timeout": 5.0} | options
        return fetch_crystals(query, fields, path, cache=cache, endpoint=getattr(server, "url", server), **options)

    return get


def server_of(*faults, documents=DOCUMENTS, **options):
    return MaterialsProjectServer([*documents, OLD], KEY, faults=faults, **options)


def lines_of(path):
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def chunks_in(cache):
    return sorted(place.name.split("-")[0] for place in cache.glob("*.json.gz"))


def backwards(documents):
    """The documents from the last to the first, with the keys at every depth from the last to the first."""
    texts = [json.dumps(document) for document in reversed(documents)]
    return [json.loads(text, object_pairs_hook=lambda pairs: dict(reversed(pairs))) for text in texts]


# --- what arrives ----------------------------------------------------------------------------------------------------


@needs_mp_api
def test_one_line_a_crystal_sorted_by_id_with_the_fields_asked_for(get, path):
    with server_of() as server:
        told = get(server)
    assert told == {"release": RELEASE, "retrieved": told["retrieved"], "rows": 8}
    assert abs((date.today() - date.fromisoformat(told["retrieved"])).days) <= 1
    lines = lines_of(path)
    assert [line["material_id"] for line in lines] == [f"mp-{n}" for n in range(23, 31)]
    first, truth = lines[0], DOCUMENTS[-1]
    assert first["band_gap"] == 7.0 and first["formula_pretty"] == "RbCl" and first["symmetry.number"] == 225
    assert set(first) == {"material_id", "structure", *FIELDS}
    assert Structure.from_dict(first["structure"]) == Structure.from_dict(truth["structure"])


@needs_mp_api
def test_the_same_documents_give_the_same_bytes_whatever_the_chunks_and_the_order_of_keys(get, path, cache):
    with server_of() as server:
        get(server)
        before = path.read_bytes()
        for place in cache.iterdir():
            place.unlink()
        server.documents = backwards(server.documents)
        get(server, chunk=5)
    assert path.read_bytes() == before
    assert before[4:8] == bytes(4)  # no time of writing (RFC 1952)


@needs_mp_api
@pytest.mark.parametrize(
    ("query", "formulas"),
    [
        ({"elements": ["Na"]}, {"NaF", "NaCl"}),
        ({"chemsys": ["F-Li", "Cl-K"]}, {"LiF", "KCl"}),
        ({"energy_above_hull": [0.015, 0.035]}, {"NaF", "NaCl"}),
        ({"energy_above_hull": 0.0}, {"LiF"}),
        ({"material_ids": ["mp-30", "mp-29"]}, {"LiF", "LiCl"}),
        ({"crystal_system": "Cubic", "elements": ["K"]}, {"KF", "KCl"}),
        ({"crystal_system": ["Cubic", "Trigonal"], "elements": ["K"]}, {"KF", "KCl"}),
        ({"deprecated": True}, {"CsCl"}),
        ({}, {document["formula_pretty"] for document in DOCUMENTS}),
    ],
)
def test_a_query_selects(get, path, query, formulas):
    with server_of() as server:
        get(server, query)
    assert {line["formula_pretty"] for line in lines_of(path)} == formulas


@needs_mp_api
def test_more_ids_than_a_page_holds_are_all_there(get, path):
    document = DOCUMENTS[0]
    many = [document | {"material_id": f"mp-{n}"} for n in range(1, 2502)]
    with server_of(documents=many) as server:
        assert get(server, fields=[], chunk=1000)["rows"] == 2501
        assert server.asked == {"heartbeat": 2, "ids": 3, "documents": 3}
    assert [line["material_id"] for line in lines_of(path)] == sorted(d["material_id"] for d in many)


@needs_mp_api
def test_ids_that_are_too_many_for_one_address_are_asked_for_in_parts(get, path):
    documents = [DOCUMENTS[0] | {"material_id": f"mp-{n}"} for n in range(1, 151)]
    with server_of(status(414), documents=documents) as server:
        get(server, fields=[], chunk=150)
        assert server.asked["documents"] == 3
    assert len(lines_of(path)) == 150


@needs_mp_api
def test_an_id_that_comes_twice_is_an_error(get, path):
    with server_of(documents=[*DOCUMENTS, DOCUMENTS[0]]) as server, pytest.raises(SourceError, match="1 ids twice"):
        get(server)
    assert not path.exists()


@needs_mp_api
def test_what_the_database_does_not_know_is_null_and_said_in_the_log(get, path, caplog):
    with server_of() as server, caplog.at_level(logging.WARNING):
        get(server, fields=["bulk_modulus.vrh", "efermi", "band_gap"])
    assert all(line["bulk_modulus.vrh"] is None and line["efermi"] is None for line in lines_of(path))
    said = [record.getMessage() for record in caplog.records]
    assert [line.split()[1] for line in said if "gives no value" in line] == ["bulk_modulus.vrh:", "efermi:"]


# --- interruptions ---------------------------------------------------------------------------------------------------


@needs_mp_api
def test_a_second_call_asks_only_for_the_release(get, path):
    with server_of() as server:
        told = get(server)
        before = path.read_bytes()
        assert server.asked == {"heartbeat": 2, "ids": 1, "documents": 3}
        path.unlink()
        assert get(server) == told and path.read_bytes() == before
        assert server.asked == {"heartbeat": 3, "ids": 1, "documents": 3}


@needs_mp_api
def test_too_many_requests_are_waited_out_as_long_as_the_server_says(get, path, monkeypatch):
    slept = []
    monkeypatch.setattr(materials_project_session.time, "sleep", slept.append)
    with server_of(too_many, None) as server:
        get(server)
        assert server.asked["documents"] == 4
    assert slept == [7.0] and len(lines_of(path)) == 8


@needs_mp_api
@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(503),
        dropped,
        cut_short,
        html_page,
        changed(lambda body: body["data"].pop()),
        changed(lambda body: body["meta"].update(total_doc="count failed")),
    ],
    ids=["500", "503", "dropped", "cut_short", "page", "short", "uncounted"],
)
def test_a_fault_that_passes_is_outlived_and_one_that_stays_is_an_error(get, path, cache, fault):
    with server_of(None, fault) as server:
        get(server)
        assert server.asked["documents"] == 4
    assert len(lines_of(path)) == 8
    path.unlink()
    for place in cache.iterdir():
        place.unlink()
    with server_of(None, *[fault] * 9) as server, pytest.raises(SourceError, match="3 times") as caught:
        get(server)
    assert server.asked["documents"] == 1 + 3  # one chunk, and the first attempt with two retries
    assert "is kept" in caught.value.do and chunks_in(cache) == ["0", "ids"] and not path.exists()


@needs_mp_api
def test_after_a_fault_only_the_missing_chunks_are_asked_for(get, path, cache):
    with server_of(None, *[status(500)] * 3) as server:
        with pytest.raises(SourceError, match="HTTP 500"):
            get(server)
        assert server.asked == {"heartbeat": 1, "ids": 1, "documents": 4}
        assert get(server)["rows"] == 8
        assert server.asked == {"heartbeat": 3, "ids": 1, "documents": 6}
    assert chunks_in(cache) == ["0", "1", "2", "ids"] and len(lines_of(path)) == 8


@needs_mp_api
def test_a_killed_process_leaves_two_chunks_that_the_next_one_does_not_ask_for(get, path, cache):
    code = """if True:
        import sys
        from matlas.materials_project import fetch_crystals
        url, path, cache = sys.argv[1:]
        fetch_crystals({"num_elements": (2, 2)}, ["band_gap", "formula_pretty", "symmetry.number"], path,
                       cache=cache, chunk=3, endpoint=url)
    """
    with server_of(None, None, hang) as server:
        arguments = [sys.executable, "-c", code, server.url, str(path), str(cache)]
        child = subprocess.Popen(arguments, cwd=Path(__file__).parents[2])
        try:
            give_up = time.monotonic() + 60
            while server.asked["documents"] < 3:
                assert child.poll() is None and time.monotonic() < give_up, "the child did not ask for the third chunk"
                time.sleep(0.02)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert chunks_in(cache) == ["0", "1", "ids"] and not path.exists()
        before = server.asked
        get(server)
        assert server.asked - before == {"heartbeat": 2, "documents": 1}
    assert len(lines_of(path)) == 8


@needs_mp_api
@pytest.mark.parametrize(
    "other",
    [{"query": {"num_elements": 2}}, {"fields": ["band_gap"]}, {"chunk": 4}, {"releases": ["2026.10.02"]}],
    ids=["query", "fields", "chunk", "release"],
)
def test_what_another_question_left_is_not_used(get, path, other):
    with server_of() as server:
        get(server)
        server.requests.clear()
        server.releases = other.pop("releases", server.releases)
        told = get(server, **other)
        assert server.asked["documents"] == (2 if "chunk" in other else 3)
        assert told["release"] == server.releases[0]
    assert set(lines_of(path)[0]) == {"material_id", "structure", *other.get("fields", FIELDS)}


@needs_mp_api
@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b"no gzip", lambda b: gzip.compress(b"[1]")])
def test_a_damaged_chunk_is_asked_for_again(get, path, cache, damage):
    with server_of() as server:
        get(server)
        before = path.read_bytes()
        place = next(cache.glob("1-*.json.gz"))
        place.write_bytes(damage(place.read_bytes()))
        get(server)
        assert server.asked["documents"] == 4
    assert path.read_bytes() == before


@needs_mp_api
def test_a_release_that_changes_meanwhile_is_an_error_and_the_next_call_takes_the_new_one(get, path):
    with server_of(releases=[RELEASE, "2026.10.02"]) as server:
        with pytest.raises(SourceError, match="release 2026.10.02 after 2026.09.01"):
            get(server)
        assert not path.exists()
        assert get(server)["release"] == "2026.10.02"
        assert server.asked["documents"] == 6


# --- what can't be had -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "  ", "short", KEY[:-1] + "\n", KEY + "0", KEY[:-1] + "é", "a b" * 10 + "cd"])
def test_without_a_key_the_error_says_where_to_get_one(get, monkeypatch, key):
    monkeypatch.setenv("MP_API_KEY", key)
    with server_of() as server, pytest.raises(SourceError, match="MP_API_KEY") as caught:
        get(server)
    assert server.requests == [] and "next-gen.materialsproject.org/api" in caught.value.do
    assert not key.strip() or key.strip() not in str(caught.value)


def test_without_mp_api_the_error_says_how_to_install_it(get, monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] == "mp_api":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mp_api", None)
    with server_of() as server, pytest.raises(MatlasError, match="Make api"):
        get(server)
    assert server.requests == []


@pytest.mark.parametrize(
    "endpoint", ["http://example.org", "ftp://x", "example.org", "https://", "https://a:b@x.org", "http://[half"]
)
def test_an_endpoint_that_would_show_the_key_is_refused(get, endpoint):
    with pytest.raises(ConfigError, match="endpoint") as caught:
        get(endpoint)
    assert "https" in caught.value.expected


@needs_mp_api
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"element": ["Na"]}, "'elements' (nearest)"),
        ({"num_element": 2}, "'num_elements' (nearest)"),
        ({"energy_above_hul": (0, 1)}, "'energy_above_hull' (nearest)"),
        ({"fields": ["band_gap"]}, "has no argument 'fields'"),
        ({"num_chunks": 1}, "has no argument 'num_chunks'"),
        ({"elements": [True]}, "a valid string"),
        ({"energy_above_hull": [0.0]}, "energy_above_hull can't be searched"),
        ({"crystal_system": "round"}, "Triclinic or Monoclinic"),
        ({"magnetic_ordering": "XY"}, "FM or AFM"),
        ({"is_metal": "perhaps"}, "a valid boolean"),
    ],
)
def test_a_query_that_the_search_does_not_take_is_refused_before_anything_is_asked(get, query, named):
    with server_of() as server, pytest.raises(ConfigError) as caught:
        get(server, query)
    assert server.requests == [] and named in str(caught.value)


@needs_mp_api
def test_an_unknown_field_names_the_nearest(get):
    with server_of() as server, pytest.raises(ConfigError, match=r"'bandgap'.*'band_gap' \(nearest\)"):
        get(server, fields=["bandgap"])
    assert server.requests == []


@needs_mp_api
@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("symmetry.numbr", "'number' (nearest)"),
        ("symmetry", "such as symmetry.crystal_system"),
        ("elements", "a list of 2"),
        ("band_gap.eV", "band_gap, which has no parts"),
    ],
)
def test_a_field_that_is_not_one_value_is_an_error_and_is_not_kept(get, cache, field, named):
    with server_of() as server, pytest.raises(ConfigError) as caught:
        get(server, fields=[field])
    assert named in str(caught.value) and chunks_in(cache) == ["ids"]


@needs_mp_api
def test_a_query_without_result_is_an_error(get, path, cache):
    with server_of() as server, pytest.raises(SourceError, match="no crystal answers the query") as caught:
        get(server, {"elements": ["Xe"]})
    assert "Xe" in caught.value.expected and not path.exists() and chunks_in(cache) == []


@needs_mp_api
@pytest.mark.parametrize("structure", [None, {}, {"lattice": {"a": 1}, "sites": []}])
def test_a_document_without_structure_is_named(get, path, structure):
    documents = [*DOCUMENTS[:-1], DOCUMENTS[-1] | {"structure": structure}]
    with (
        server_of(documents=documents) as server,
        pytest.raises(DataError, match="no structure .document mp-23 "),
    ):
        get(server)
    assert not path.exists()


@needs_mp_api
def test_other_documents_than_those_asked_for_are_an_error(get, path):
    other = changed(lambda body: body["data"][0].update(material_id="mp-7"))
    with server_of(other) as server, pytest.raises(SourceError, match="3 documents for 3 ids, lacking mp-25"):
        get(server)
    assert not path.exists()


@needs_mp_api
def test_a_wrong_key_is_asked_with_once_and_the_error_does_not_show_it(get, monkeypatch):
    wrong = KEY[::-1]
    monkeypatch.setenv("MP_API_KEY", wrong)
    with server_of() as server, pytest.raises(SourceError, match="HTTP 401.*MP_API_KEY") as caught:
        get(server)
    assert server.keys_seen == [None, wrong]
    assert wrong not in "".join(traceback.format_exception(caught.value))


@needs_mp_api
def test_a_forbidden_heartbeat_is_no_fault_of_the_key(get):
    with MisbehavingServer(status(403)) as server, pytest.raises(SourceError, match="needs no key"):
        get(server)


@needs_mp_api
@pytest.mark.parametrize("code", [403, 404])
def test_a_refusal_is_not_asked_again(get, code):
    with server_of(status(code)) as server, pytest.raises(SourceError, match=str(code) if code == 403 else "refused"):
        get(server)
    assert server.asked["documents"] == 1


@needs_mp_api
def test_another_kind_of_server_is_recognized(get):
    with MisbehavingServer(status(404)) as server, pytest.raises(SourceError, match="heartbeat of the Materials"):
        get(server)
    assert len(server.requests) == 1


@needs_mp_api
def test_a_server_that_can_not_be_reached_is_an_error(get):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match=r"connection refused.*3 times.*[Cc]heck the network"):
            get(f"http://127.0.0.1:{free.getsockname()[1]}")


@needs_mp_api
def test_a_server_that_hangs_is_given_up_after_the_timeout(get):
    with MisbehavingServer(hang) as server, pytest.raises(SourceError, match=r"no answer for 0.2 s \(2 times\)"):
        get(server, timeout=0.2, retries=1)
    with server_of(hang) as server, pytest.raises(SourceError, match="no answer for 0.5 s"):
        get(server, timeout=0.5, retries=0)


@needs_mp_api
def test_a_folder_that_can_not_be_written_is_an_error(get, path):
    path.parent.write_text("a file where a folder should be")
    with server_of() as server, pytest.raises(SourceError, match="permissions"):
        get(server)


# --- the key, and who is asked ---------------------------------------------------------------------------------------


@needs_mp_api
def test_a_redirect_to_another_place_does_not_get_the_key(get):
    with MisbehavingServer(status(200)) as other:
        with server_of(elsewhere(other.url)) as server, pytest.raises(SourceError, match="redirect"):
            get(server)
        assert other.requests == []


@needs_mp_api
def test_an_answer_that_repeats_the_key_is_not_kept(get, path, cache):
    echo = changed(lambda body: body["data"][0].update(formula_pretty=KEY))
    with server_of(echo) as server, pytest.raises(SourceError, match="repeats the key") as caught:
        get(server)
    assert KEY not in str(caught.value) and chunks_in(cache) == ["ids"] and not path.exists()


@needs_mp_api
def test_what_the_server_says_against_the_query_is_told_without_the_key(get):
    with (
        server_of() as server,
        pytest.raises(SourceError, match="band_gap_m.*not permitted for <MP_API_KEY>") as caught,
    ):
        get(server, {"band_gap": (0, 1)})
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_records_of_any_logger_lose_the_key_and_only_then_change(caplog):
    try:
        raise ValueError(f"header {KEY}")
    except ValueError:
        failure = sys.exc_info()
    with caplog.at_level(logging.DEBUG), hidden(KEY):
        logger = logging.getLogger("urllib3.connectionpool")
        logger.debug("headers %s", {"x-api-key": KEY})
        logger.debug("misfit %d", KEY)
        logger.debug("failed", exc_info=failure)
        logger.debug("%s of %s", 1, 2)
    assert KEY not in caplog.text and caplog.text.count("<MP_API_KEY>") >= 3 and "1 of 2" in caplog.text
    assert caplog.records[-1].args == (1, 2)
    logging.getLogger("urllib3").warning("after %s", KEY)
    assert caplog.records[-1].getMessage() == f"after {KEY}"  # nothing stays changed


LOUD = """if True:
    import http.client, logging, os, sys, traceback
    asked = set()
    sys.addaudithook(lambda event, args: event == "socket.connect" and asked.add(str(args[1])))
    sys.addaudithook(lambda event, args: event == "socket.getaddrinfo" and asked.add(str(args[:2])))
    http.client.HTTPConnection.debuglevel = 1
    logging.basicConfig(level=logging.DEBUG)
    from matlas.materials_project import fetch_crystals
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)
    url, path, cache = sys.argv[1:]
    for _ in range(3):
        try:
            print(fetch_crystals({}, ["formula_pretty"], path, cache=cache, chunk=3, endpoint=url, retries=1,
                                 backoff=0.001))
        except Exception as error:
            print("".join(traceback.format_exception(error)))
            print("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
            while error := error.__context__:
                print(repr(error))
    print("ASKED", asked)
"""


@needs_mp_api
def test_with_every_logger_at_debug_the_key_stands_nowhere_and_only_the_endpoint_is_contacted(path, cache, tmp_path):
    """Two failing calls (dropped and forbidden) and a good one, with wire debugging and tracebacks with variables."""
    home = tmp_path / "home"
    home.mkdir()
    environment = os.environ | {"HOME": str(home)}
    with server_of(None, dropped, dropped, status(403)) as server:
        arguments = [sys.executable, "-c", LOUD, server.url, str(path), str(cache)]
        ran = subprocess.run(
            arguments, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=True
        )
        port = server.server.server_port
        assert KEY in server.keys_seen and server.agents == {"mp-api matlas"}
    told = ran.stdout + ran.stderr
    assert "urllib3.connectionpool" in told and "dropped" in told and "HTTP 403" in told and "'rows': 8" in told
    assert KEY not in told and "Retrieving" not in told  # nor a progress bar
    asked = ast.literal_eval(told.partition("ASKED ")[2].splitlines()[0])
    assert asked == {f"('127.0.0.1', {port})"}
    files = [place for place in tmp_path.rglob("*") if place.is_file()]
    assert sum(place.suffix == ".gz" for place in files) == 5  # three chunks, the ids and the output
    for place in files:
        data = place.read_bytes()
        assert KEY.encode() not in data + (gzip.decompress(data) if place.suffix == ".gz" else b"")
        assert KEY not in place.name


@needs_mp_api
def test_wire_debugging_is_as_it_was_afterwards(get, monkeypatch):
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    with server_of(status(403)) as server, pytest.raises(SourceError):
        get(server)
    assert http.client.HTTPConnection.debuglevel == 1
