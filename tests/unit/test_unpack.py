"""An archive becomes a folder of plain files within its caps, or a SourceError and no trace."""

import hashlib
import io
import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from matlas.errors import SourceError
from matlas.unpack import unpack

FILES = {"a.txt": b"alpha", "deep/er/b.bin": bytes(range(256)) * 20, "empty": b""}
BOMB = 50_000_000  # bytes of zeros, which compress to under 1 %


@pytest.fixture
def unpacked(tmp_path):
    """Write the archive and unpack it beside; whatever happens, only the archive and the target stay."""

    def unpacked(content, kind, max_bytes=10_000_000, max_files=10):
        archive, target = tmp_path / f"archive.{kind}", tmp_path / "out"
        archive.write_bytes(content)
        try:
            return unpack(archive, target, kind=kind, max_bytes=max_bytes, max_files=max_files, source_id="ores")
        finally:
            assert {path.name for path in tmp_path.iterdir()} <= {"archive.zip", "archive.tar", "out"}

    return unpacked


@pytest.fixture
def refused(unpacked, tmp_path):
    """Unpack, and return the error, which names source and archive, both sides and the next step."""

    def refused(*args, **options):
        with pytest.raises(SourceError) as caught:
            unpacked(*args, **options)
        error = caught.value
        assert "source ores" in str(error) and "archive." in str(error)
        assert error.expected and error.found and error.do
        assert not (tmp_path / "out").exists()
        return error

    return refused


def make_zip(*entries, method=zipfile.ZIP_DEFLATED):
    """entries : (name, content) or (name, content, Unix mode)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content, *mode in entries:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, method
            info.external_attr = (mode[0] if mode else stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def make_tar(*entries, mode=""):
    """entries : (name, content) or (name, link target, type)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{mode}") as archive:
        for name, content, *kind in entries:
            info = tarfile.TarInfo(name)
            if kind:
                info.type, info.linkname = kind[0], content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


MAKE = {"zip": make_zip, "tar": make_tar}
both = pytest.mark.parametrize("kind", ["zip", "tar"])


@pytest.mark.parametrize(
    ("kind", "content"),
    [("zip", make_zip(*FILES.items())), *(("tar", make_tar(*FILES.items(), mode=m)) for m in ("", "gz", "bz2", "xz"))],
    ids=["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"],
)
def test_every_file_comes_out_as_it_went_in(unpacked, tmp_path, kind, content):
    paths = unpacked(content, kind)
    assert {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in paths} == FILES
    assert paths == sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_folders_in_the_archive_are_kept(unpacked, tmp_path):
    paths = unpacked(make_zip(("box/", b"", stat.S_IFDIR | 0o755), ("box/a", b"1")), "zip")
    assert paths == [tmp_path / "out" / "box" / "a"]
    tar = make_tar(("./", "", tarfile.DIRTYPE), ("./box", "", tarfile.DIRTYPE), ("./box/a", b"2"))
    shutil.rmtree(tmp_path / "out")
    assert unpacked(tar, "tar") == paths and paths[0].read_bytes() == b"2"


NAMES = ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "C:evil", "..\\evil", "a\\b", "."]


@pytest.mark.parametrize(("kind", "name"), [*((kind, name) for kind in MAKE for name in NAMES), ("zip", "nul\0.txt")])
def test_a_name_that_could_leave_the_folder_is_refused(refused, kind, name):
    error = refused(MAKE[kind](("good", b"1"), (name, b"2")), kind)
    assert "relative paths" in error.expected and repr(name) in error.found


@pytest.mark.parametrize(
    ("kind", "content", "found"),
    [
        ("zip", make_zip(("link", b"/etc/passwd", stat.S_IFLNK | 0o777)), "link 'link'"),
        ("zip", make_zip(("pipe", b"", stat.S_IFIFO | 0o644)), "special file 'pipe'"),
        ("tar", make_tar(("link", "/etc/passwd", tarfile.SYMTYPE)), "link 'link'"),
        ("tar", make_tar(("a", b"1"), ("hard", "a", tarfile.LNKTYPE)), "link 'hard'"),
        ("tar", make_tar(("null", "", tarfile.CHRTYPE)), "special file 'null'"),
        ("tar", make_tar(("pipe", "", tarfile.FIFOTYPE)), "special file 'pipe'"),
    ],
)
def test_links_devices_and_pipes_are_refused(refused, kind, content, found):
    error = refused(content, kind)
    assert error.found == found and error.expected == "plain files and folders only"


def test_an_encrypted_file_is_refused(refused):
    content = bytearray(make_zip(("a", b"1")))
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    assert refused(bytes(content), "zip").found == "encrypted file 'a'"


@both
@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b", "a")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice_is_refused(refused, kind, names):
    error = refused(MAKE[kind](*((name, b"1") for name in names)), kind)
    assert error.expected == "each name once" and repr(names[1]) in error.found


@both
def test_more_entries_than_the_cap_are_refused_and_as_many_are_not(unpacked, refused, kind):
    content = MAKE[kind](*((f"f{i}", b"") for i in range(5)))
    error = refused(content, kind, max_files=4)
    assert "at most 4" in error.expected and "max_files" in error.do
    assert len(unpacked(content, kind, max_files=5)) == 5


@both
def test_more_bytes_than_the_cap_are_refused_and_as_many_are_not(unpacked, refused, kind):
    content = MAKE[kind](("a", bytes(600)), ("b", bytes(400)))
    error = refused(content, kind, max_bytes=999)
    assert "at most 999 bytes" in error.expected and "'b'" in error.found and "max_unpacked_bytes" in error.do
    assert len(unpacked(content, kind, max_bytes=1000)) == 2


@pytest.mark.parametrize(
    ("kind", "content"),
    [("zip", make_zip(("bomb", bytes(BOMB)))), ("tar", make_tar(("bomb", bytes(BOMB)), mode="xz"))],
    ids=["zip", "tar.xz"],
)
def test_a_bomb_is_stopped_at_the_cap_whatever_its_size(refused, kind, content):
    assert len(content) < BOMB / 100
    assert "more than 1000000 bytes" in refused(content, kind, max_bytes=1_000_000).found


def test_a_zip_that_lies_about_its_sizes_is_refused(refused):
    content = bytearray(make_zip(("bomb", bytes(BOMB))))
    true, false = BOMB.to_bytes(4, "little"), (10).to_bytes(4, "little")
    assert content.count(true) == 2  # in the local header and in the central directory
    content = bytes(content).replace(true, false)
    assert "damaged" in str(refused(content, "zip", max_bytes=1_000_000))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_a_truncated_archive_is_damaged(refused, kind, share):
    noise = bytes(i * i * 7919 % 251 for i in range(40_000))
    kind, _, mode = kind.partition(".")
    content = make_zip(("a", noise), ("b", noise)) if kind == "zip" else make_tar(("a", noise), ("b", noise), mode=mode)
    if kind == "tar" and not mode:
        content = content.rstrip(b"\0")  # the blocks of zeros at the end are all that a truncated tar lacks at 99 %
    error = refused(content[: int(len(content) * share)], kind)
    assert "damaged archive" in str(error) and "fetch it again" in error.do


def test_a_tar_cut_between_two_files_is_damaged(refused):
    content = make_tar(("a", bytes(512)), ("b", bytes(512)))
    assert "damaged archive" in str(refused(content[:1024], "tar"))


@both
def test_flipped_bytes_in_compressed_content_are_damage(refused, kind):
    noise = bytes(i * i * 7919 % 251 for i in range(40_000))
    content = bytearray(make_zip(("a", noise)) if kind == "zip" else make_tar(("a", noise), mode="gz"))
    content[len(content) // 2] ^= 0xFF
    assert "damaged archive" in str(refused(bytes(content), kind))


@both
def test_something_that_is_no_archive_is_damaged(refused, kind):
    assert "damaged archive" in str(refused(b"<html>not found</html>" * 100, kind))


def test_a_folder_with_files_is_never_overwritten(unpacked, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(SourceError, match="source ores: can't unpack.*new or empty folder") as caught:
        unpacked(make_zip(("mine", b"theirs")), "zip")
    assert "remove" in caught.value.do and (tmp_path / "out" / "mine").read_text() == "keep"


@pytest.mark.skipif(not os.environ.get("MATLAS_MIRROR"), reason="needs the mirror of real sources (MATLAS_MIRROR)")
def test_the_real_zip_of_steel_defects_unpacks_to_the_content_of_its_origin(tmp_path):
    """The digest over hashes and names was taken from the origin's own archive, before it was repacked."""
    archive = Path(os.environ["MATLAS_MIRROR"]) / "neu-det" / "NEU-DET.zip"
    paths = unpack(archive, tmp_path, kind="zip", max_bytes=40_000_000, max_files=2000, source_id="neu_det")
    paths.sort(key=lambda path: path.name)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    assert len(lines) == 1800
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert digest == "7ca7b32d0f8b26ab06bb07bc538e984524c3f4598a71c77f21837d0ee9f2a961"
