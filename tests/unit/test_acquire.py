"""A source arrives with the registered bytes, or a SourceError says what to do and nothing half-made stays."""

import csv
import fcntl
import hashlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest
import yaml

from matlas import acquire
from matlas.acquire import fetch
from matlas.errors import SourceError
from tests.unit.misbehaving_server import MisbehavingServer, endless, hang, head, html_page, send, status

DATA = random.Random(0).randbytes(300_000)
HALF = len(DATA) // 2
SHA256 = hashlib.sha256(DATA).hexdigest()
SOURCES = yaml.safe_load((Path(__file__).parents[2] / "config" / "sources.yaml").read_text(encoding="utf-8"))
needs_mirror = pytest.mark.skipif(
    not os.environ.get("MATLAS_MIRROR"), reason="needs the mirror of real sources (MATLAS_MIRROR)"
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "sources" / "ores" / "ore.bin"


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    (folder / "deep").mkdir(parents=True)
    return folder


@pytest.fixture
def lines():
    return []


@pytest.fixture
def get(target, lines):
    """Fetch DATA as source `ores` from the given URLs, impatiently."""

    def get(*urls, mirror=None, retries=2, timeout=5.0, origin=""):
        file = {"urls": list(urls), "mirror": "deep/ore.bin", "sha256": SHA256, "bytes": len(DATA), "origin": origin}
        mirror = str(mirror) if mirror else None
        fetch("ores", file, target, mirror=mirror, timeout=timeout, retries=retries, backoff=0.001, log=lines.append)

    return get


@pytest.fixture
def refused(get):
    """Fetch, and return the error, which names the source, the file, both sides and the next step."""

    def refused(*urls, **options):
        with pytest.raises(SourceError) as caught:
            get(*urls, **options)
        error = caught.value
        assert "source ores" in str(error) and "ore.bin" in str(error)
        assert error.expected and error.found and error.do
        return error

    return refused


def left(target):
    return sorted(path.name for path in target.parent.iterdir())


def part_of(target):
    return target.with_name("ore.bin.part")


# --- the ways that lead to the file ----------------------------------------------------------------------------------


def test_a_folder_with_the_file_is_enough_and_the_origin_is_not_asked(get, target, mirror):
    (mirror / "deep" / "ore.bin").write_bytes(DATA)
    with MisbehavingServer(send(DATA)) as server:
        get(server.url, mirror=mirror)
        assert server.requests == []
    assert target.read_bytes() == DATA
    assert left(target) == ["ore.bin"]


def test_a_folder_replaces_a_part_that_a_download_left(get, target, mirror):
    (mirror / "deep" / "ore.bin").write_bytes(DATA)
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(DATA[:1000])
    get(mirror=mirror)
    assert target.read_bytes() == DATA and left(target) == ["ore.bin"]


def test_a_file_url_is_a_folder(get, target, mirror):
    spaced = mirror.rename(mirror.with_name("my mirror"))
    (spaced / "deep" / "ore.bin").write_bytes(DATA)
    get(mirror=spaced.as_uri())
    assert target.read_bytes() == DATA


def test_a_base_url_is_joined_with_the_path_of_the_file(get, target):
    with MisbehavingServer(send(DATA)) as server:
        get(mirror=f"{server.url}/base/?token=hush")
        assert [path for path, *_ in server.requests] == ["/base/deep/ore.bin?token=hush"]
    assert target.read_bytes() == DATA


def test_a_mirror_that_lacks_the_file_is_passed_over_with_a_line_in_the_log(get, target, mirror, lines):
    with MisbehavingServer(send(DATA)) as server:
        get(f"{server.url}/ore", mirror=mirror)
    assert target.read_bytes() == DATA
    assert any(f"{mirror}/deep/ore.bin: no such file" in line for line in lines)


def test_a_base_url_that_lacks_the_file_is_passed_over(get, target, lines):
    with MisbehavingServer(status(404), send(DATA)) as server:
        get(f"{server.url}/origin", mirror=f"{server.url}/base")
        assert [path for path, *_ in server.requests] == ["/base/deep/ore.bin", "/origin"]
    assert any("HTTP 404" in line for line in lines)


def test_the_second_origin_serves_when_the_first_does_not(get, target):
    with MisbehavingServer(status(404), send(DATA)) as server:
        get(f"{server.url}/a", f"{server.url}/b")
        assert [path for path, *_ in server.requests] == ["/a", "/b"]
    assert target.read_bytes() == DATA


def test_a_gzip_file_sent_as_a_content_encoding_is_kept_as_it_is(get, target):
    def encoded(server, handler):
        head(handler, 200, Content_Length=len(DATA), Content_Encoding="gzip")
        handler.wfile.write(DATA)

    with MisbehavingServer(encoded) as server:
        get(server.url)
    assert target.read_bytes() == DATA


def test_progress_tells_percent_rate_and_time_left(get, lines, monkeypatch):
    monkeypatch.setattr(acquire, "PROGRESS_SECONDS", 0.0)
    with MisbehavingServer(send(DATA)) as server:
        get(server.url)
    shares = [int(found[1]) for line in lines if (found := re.search(r"(\d+)%, [\d.]+ MB/s, \d+ s left", line))]
    assert shares and shares == sorted(shares) and shares[-1] <= 100


# --- interruptions ---------------------------------------------------------------------------------------------------


def test_two_server_errors_are_outlived(get, target, lines):
    with MisbehavingServer(status(500), status(503), send(DATA)) as server:
        get(server.url)
        assert len(server.requests) == 3
    assert target.read_bytes() == DATA
    assert any("HTTP 500" in line for line in lines) and any("HTTP 503" in line for line in lines)


def test_a_dropped_connection_is_resumed_at_the_byte_where_it_broke(get, target):
    with MisbehavingServer(send(DATA, stop=HALF), send(DATA)) as server:
        get(server.url)
        assert server.ranges == [None, f"bytes={HALF}-"]
    assert target.read_bytes() == DATA


def test_a_server_without_ranges_starts_again(get, target):
    with MisbehavingServer(send(DATA, stop=HALF), send(DATA, ranges=False)) as server:
        get(server.url)
        assert server.ranges == [None, f"bytes={HALF}-"]
    assert target.read_bytes() == DATA


def test_a_range_that_the_server_refuses_starts_again(get, target):
    with MisbehavingServer(send(DATA, stop=HALF), status(416), send(DATA)) as server:
        get(server.url)
        assert server.ranges == [None, f"bytes={HALF}-", None]
    assert target.read_bytes() == DATA


def test_a_range_other_than_the_one_asked_for_starts_again(get, target):
    def from_zero(server, handler):
        head(handler, 206, Content_Length=len(DATA), Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}")
        handler.wfile.write(DATA)

    with MisbehavingServer(send(DATA, stop=HALF), from_zero, send(DATA)) as server:
        get(server.url)
        assert server.ranges == [None, f"bytes={HALF}-", None]
    assert target.read_bytes() == DATA


def test_a_body_that_always_ends_early_leaves_a_part_that_the_next_run_resumes(refused, get, target):
    with MisbehavingServer(send(DATA, stop=1000), send(DATA, stop=1000, ranges=False)) as server:
        error = refused(server.url)
        assert len(server.requests) == 3
    assert error.found.startswith(server.url) and "resumes at byte 1000" in error.do
    assert left(target) == ["ore.bin.part"] and part_of(target).read_bytes() == DATA[:1000]
    with MisbehavingServer(send(DATA)) as server:
        get(server.url)
        assert server.ranges == ["bytes=1000-"]
    assert target.read_bytes() == DATA and left(target) == ["ore.bin"]


def test_a_part_of_something_else_is_thrown_away_once(get, target, lines):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(bytes(1000))
    with MisbehavingServer(send(DATA)) as server:
        get(server.url)
        assert server.ranges == ["bytes=1000-", None]
    assert target.read_bytes() == DATA
    assert any("resumed bytes do not match" in line for line in lines)


def test_a_whole_part_needs_no_network(get, target):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(DATA)
    get()
    assert target.read_bytes() == DATA and left(target) == ["ore.bin"]


def test_a_server_that_hangs_is_given_up_after_the_timeout(refused, target):
    with MisbehavingServer(hang) as server:
        error = refused(server.url, timeout=0.2, retries=1)
        assert len(server.requests) == 2
    assert "no answer for 0.2 s" in error.found and "MATLAS_MIRROR" in error.do
    assert left(target) == []


def test_a_server_that_hangs_half_way_leaves_what_it_sent(refused, target):
    with MisbehavingServer(send(DATA, stop=HALF, then="hang")) as server:
        error = refused(server.url, timeout=0.2, retries=0)
    assert "no answer for 0.2 s" in error.found and f"resumes at byte {HALF}" in error.do
    assert part_of(target).read_bytes() == DATA[:HALF]


def test_a_closed_port_is_an_error_that_says_to_check_the_network(refused, target):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        error = refused(f"http://127.0.0.1:{free.getsockname()[1]}/ore")
    assert "connection refused" in error.found and "check the network" in error.do and "skip_sources" in error.do
    assert left(target) == []


def test_one_process_at_a_time_and_a_killed_one_leaves_a_part_that_is_resumed(get, refused, target):
    code = """if True:
        import json, sys
        from matlas.acquire import fetch
        url, target, sha256, size = sys.argv[1:]
        fetch("ores", {"urls": [url], "mirror": "m", "sha256": sha256, "bytes": int(size)}, target, mirror=None)
    """
    with MisbehavingServer(send(DATA, stop=HALF, then="hang"), send(DATA)) as server:
        arguments = [sys.executable, "-c", code, server.url, str(target), SHA256, str(len(DATA))]
        child = subprocess.Popen(arguments, cwd=Path(__file__).parents[2])
        try:
            give_up = time.monotonic() + 30
            while not (part_of(target).exists() and part_of(target).stat().st_size == HALF):
                assert child.poll() is None and time.monotonic() < give_up, "the child did not get half of the file"
                time.sleep(0.02)
            error = refused(server.url)
            assert "another process" in str(error) and error.where == part_of(target)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert left(target) == ["ore.bin.part"]
        get(server.url)
        assert server.ranges == [None, f"bytes={HALF}-"]
    assert target.read_bytes() == DATA and left(target) == ["ore.bin"]


@pytest.mark.parametrize("another_starts", [False, True])
def test_a_lock_on_a_part_that_was_renamed_meanwhile_is_not_taken_for_ours(get, target, monkeypatch, another_starts):
    """Between our open and our lock, the other process finishes: we must not write into its finished file."""
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(DATA)
    lock = fcntl.flock

    def other_process_finishes_first(handle, how):
        if not target.exists():
            os.replace(part_of(target), target)
            if another_starts:
                part_of(target).touch()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", other_process_finishes_first)
    inode = part_of(target).stat().st_ino
    with MisbehavingServer(send(DATA)) as server:
        get(server.url)
        assert server.ranges == [None]  # a fresh part, not the bytes of the finished file
    assert target.read_bytes() == DATA and target.stat().st_ino != inode


# --- wrong content ---------------------------------------------------------------------------------------------------


def test_wrong_bytes_raise_both_hashes_and_leave_nothing(refused, target):
    wrong = DATA[:-1] + bytes([DATA[-1] ^ 1])
    with MisbehavingServer(send(wrong), send(DATA)) as server:
        error = refused(f"{server.url}/ore", f"{server.url}/other")
        assert len(server.requests) == 1  # another origin never stands in silently
    assert SHA256 in error.expected and hashlib.sha256(wrong).hexdigest() in error.found
    assert f"{server.url}/ore" in str(error) and "config/sources.yaml" in error.do
    assert left(target) == []


def test_a_mirror_file_with_the_wrong_hash_is_an_error_even_with_an_origin(refused, target, mirror):
    (mirror / "deep" / "ore.bin").write_bytes(bytes(len(DATA)))
    with MisbehavingServer(send(DATA)) as server:
        error = refused(server.url, mirror=mirror)
        assert server.requests == []
    assert hashlib.sha256(bytes(len(DATA))).hexdigest() in error.found and SHA256 in error.expected
    assert str(mirror) in str(error) and "deep/ore.bin in the mirror" in error.do
    assert left(target) == []


@pytest.mark.parametrize("content", [DATA[:1000], DATA + b"more"], ids=["short", "long"])
def test_a_mirror_file_of_the_wrong_size_is_an_error(refused, target, mirror, content):
    (mirror / "deep" / "ore.bin").write_bytes(content)
    error = refused(mirror=mirror)
    assert "300000 bytes" in error.expected and ("1000 bytes" in error.found or "more than 300000" in error.found)
    assert left(target) == []


def test_another_size_than_the_registered_one_is_refused_before_the_body(refused, target):
    with MisbehavingServer(send(DATA * 2, stop=0, then="hang")) as server:
        error = refused(server.url)
    assert "300000 bytes" in error.expected and "600000 bytes announced" in error.found
    assert left(target) == []


def test_an_endless_body_is_stopped_at_the_registered_size(refused, target):
    with MisbehavingServer(endless) as server:
        error = refused(server.url)
        assert server.sent < 50_000_000  # what fits into socket buffers on top
    assert "more than 300000 bytes" in error.found
    assert left(target) == []


def test_an_html_page_is_not_data(refused, target):
    with MisbehavingServer(html_page) as server:
        error = refused(server.url)
        assert len(server.requests) == 1
    assert "an HTML page instead of data" in error.found and "MATLAS_MIRROR" in error.do
    assert left(target) == []


def test_a_missing_page_is_not_asked_for_again(refused, target):
    with MisbehavingServer(status(404)) as server:
        error = refused(server.url)
        assert len(server.requests) == 1
    assert "HTTP 404" in error.found and "deep/ore.bin" in error.do
    assert left(target) == []


# --- mirrors that can't be used --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mirror", ["no/such/folder", "file:///no/such/folder", "s3://bucket/x", "http://[half"])
def test_a_mirror_that_can_not_be_one_is_an_error_and_no_reason_to_ask_the_origin(get, target, mirror):
    with MisbehavingServer(send(DATA)) as server, pytest.raises(SourceError, match="source ores: the mirror") as caught:
        get(server.url, mirror=mirror)
    assert server.requests == []
    assert "existing folder" in caught.value.expected and "MATLAS_MIRROR" in caught.value.do
    assert not target.parent.exists()


def test_a_base_url_that_fails_is_an_error_and_no_reason_to_ask_the_origin(refused, target):
    with MisbehavingServer(status(500)) as server:
        error = refused(f"{server.url}/origin", mirror=f"{server.url}/base")
        assert {path for path, *_ in server.requests} == {"/base/deep/ore.bin"}
    assert "the mirror failed" in str(error) and "HTTP 500" in error.found
    assert left(target) == []


def test_a_repacked_file_without_a_mirror_says_where_to_get_it(refused, target):
    error = refused(origin="https://example.org/ores.tar.gz (repacked: ores/)")
    assert "only a mirror provides this file" in str(error) and error.found == "no mirror set"
    assert "set MATLAS_MIRROR to a folder or base URL that holds deep/ore.bin" in error.do
    assert "https://example.org/ores.tar.gz (repacked: ores/)" in error.do
    assert left(target) == []


def test_credentials_reach_the_server_but_no_message(refused, lines):
    with MisbehavingServer(status(500)) as server:
        base = server.url.replace("http://", "http://anna:sesame@")
        error = refused(mirror=f"{base}/base?token=hush")
        path, _, authorization = server.requests[0]
    assert authorization.startswith("Basic ") and path.endswith("?token=hush")
    closed = refused(mirror=f"{base}/base?token=hush", retries=0)  # the server is gone: requests' own text has the URL
    told = "\n".join([*lines, *traceback.format_exception(error), *traceback.format_exception(closed)])
    assert "/base/deep/ore.bin" in told
    assert not re.search("anna|sesame|hush", told)


def test_a_folder_that_can_not_be_written_is_an_error(refused, target):
    target.parent.parent.mkdir(parents=True)
    target.parent.write_text("a file where a folder should be")
    assert "permissions" in refused().do


# --- the registry ----------------------------------------------------------------------------------------------------


def test_every_registered_file_is_pinned_and_can_be_had():
    for source_id, source in SOURCES.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", source_id)
        assert source["title"] and source["licence"] and isinstance(source["citation"], str)
        for name, file in source.get("files", {}).items():
            assert re.fullmatch(r"[0-9a-f]{64}", file["sha256"]), name
            assert file["bytes"] > 0 and file["mirror"].endswith(name)
            assert all(url.startswith("https://") for url in file["urls"])
            assert file["urls"] or file["origin"].startswith("https://")
            assert ("unpack" in file) == ("max_unpacked_bytes" in file) == ("max_files" in file)


@needs_mirror
def test_every_file_of_the_mirror_is_registered_as_its_manifest_says():
    mirror = Path(os.environ["MATLAS_MIRROR"])
    with open(mirror / "MANIFEST.tsv", encoding="utf-8", newline="") as stream:
        manifest = list(csv.DictReader(stream, delimiter="\t"))
    assert manifest
    for line in manifest:
        source = SOURCES[line["source"].replace("-", "_")]
        file = source["files"][Path(line["file"]).name]
        assert (source["licence"], source["citation"]) == (line["licence"], line["citation"])
        assert (file["mirror"], file["bytes"], file["sha256"]) == (line["file"], int(line["bytes"]), line["sha256"])
        if "(repacked" in line["origin"]:
            assert file["urls"] == [] and file["origin"] == line["origin"]
        else:
            assert file["urls"] == [line["origin"]]


@needs_mirror
def test_every_registered_file_of_the_mirror_has_the_registered_bytes(tmp_path):
    mirror = Path(os.environ["MATLAS_MIRROR"])
    present = [
        (source_id, name, file)
        for source_id, source in SOURCES.items()
        for name, file in source.get("files", {}).items()
        if (mirror / file["mirror"]).exists()
    ]
    assert present
    for source_id, name, file in present:
        target = tmp_path / source_id / name
        fetch(source_id, {**file, "urls": []}, target, mirror=str(mirror))
        assert hashlib.sha256(target.read_bytes()).hexdigest() == file["sha256"]
        assert target.stat().st_size == file["bytes"]
