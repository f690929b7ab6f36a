"""Files are whole or absent."""

import hashlib
import os
from pathlib import Path

import pytest

from matlas.files import atomic_path, sha256_of, write_text


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    final = tmp_path / "deep" / "er" / "table.csv.gz"
    with atomic_path(final) as temporary:
        temporary.write_bytes(b"half")
        assert not final.exists()
        assert (temporary.parent, temporary.suffix) == (final.parent, ".gz")
        temporary.write_bytes(b"whole")
    assert final.read_bytes() == b"whole"
    assert [p.name for p in final.parent.iterdir()] == ["table.csv.gz"]


def test_a_failure_keeps_the_old_file_and_no_temporary(tmp_path):
    final = tmp_path / "a.txt"
    write_text(final, "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(final) as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert final.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_writing_nothing_is_an_error_not_an_empty_file(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_file_do_not_share_a_temporary(tmp_path):
    with atomic_path(tmp_path / "a.txt") as one, atomic_path(tmp_path / "a.txt") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a.txt").read_text() == "one"  # the outer one finishes last
    assert len(list(tmp_path.iterdir())) == 1


def test_the_bytes_are_on_disk_before_the_name_is(tmp_path, monkeypatch):
    calls = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), sync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append(f"replace {Path(b).name}"), replace(a, b))[1])
    write_text(tmp_path / "a.txt", "é")
    assert calls == ["fsync", "replace a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9"


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
