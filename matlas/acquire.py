"""Original sources: from the mirror or their origin, resumed after an interruption, verified, whole or absent."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import url2pathname

import requests
import urllib3

from matlas.errors import SourceError
from matlas.files import sha256_of

CHUNK = 1 << 18  # bytes asked for in one read
PROGRESS_SECONDS = 5.0  # at most one progress line in this time
BUSY = {408, 425, 429}  # the client errors that pass by themselves (RFC 9110, 8470, 6585)

logger = logging.getLogger(__name__)


def fetch(
    source_id: str,
    file: Mapping,
    target: str | os.PathLike,
    *,
    mirror: str | None,
    timeout: float = 30.0,
    retries: int = 4,
    backoff: float = 1.0,
    log: Callable[[str], object] = logger.info,
) -> None:
    """Put one registered file at `target`, with exactly the registered bytes, or raise SourceError.

    file : `urls` (origins, tried in order), `mirror` (path below the mirror), `sha256`, `bytes`, and `origin` (where
    the content of a file without urls comes from). mirror : a folder, file:// or http(s) base URL, looked at first;
    only a mirror that answers but lacks the file is passed over. timeout : seconds without a byte; retries : further
    attempts at one URL after a failure that may pass, `backoff * 2**n` seconds apart.

    What arrives goes to `<target>.part`, which one process at a time may hold, and is renamed once size and sha256
    are right. A `.part` is left behind only when a later call can resume it.
    """
    target = Path(target)
    first = _below_mirror(source_id, mirror, file["mirror"]) if mirror else None
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(part, source_id) as handle:
            download = _Download(source_id, file, handle, part, timeout, retries, backoff, log)
            try:
                download.run(first)
                os.fsync(handle.fileno())
                os.replace(part, target)
            finally:
                if download.size == 0:
                    part.unlink(missing_ok=True)
    except OSError as error:
        raise SourceError(
            f"source {source_id}: can't read or write a file",
            where=error.filename or part,
            expected=f"{file['bytes']} bytes fetched to {target}",
            found=error.strerror or type(error).__name__,
            do="check permissions and free disk space, then run again",
        ) from error
    log(f"{source_id}/{target.name}: {file['bytes']} bytes, sha256 verified")


class _Unavailable(Exception):
    """A place did not give the file. transient: asking again may help; absent: it answers, but has no such file."""

    def __init__(self, found: str, *, transient: bool = False, absent: bool = False):
        super().__init__(found)
        self.transient, self.absent = transient, absent


class _Download:
    """The way of one file into its `.part`, which is opened for appending and locked."""

    def __init__(self, source_id, file, handle, part, timeout, retries, backoff, log):
        self.source_id, self.file, self.handle, self.part = source_id, file, handle, part
        self.timeout, self.retries, self.backoff, self.log = timeout, retries, backoff, log
        self.name = part.name.removesuffix(".part")
        self.resumed = False  # whether the part joins bytes of two connections

    @property
    def size(self) -> int:
        return os.fstat(self.handle.fileno()).st_size

    def run(self, first: Path | str | None) -> None:
        """Fill the part from the mirror (`first`) or the first origin that gives the file."""
        if self.size >= self.file["bytes"]:  # killed between the last byte and the rename, or of another version
            if self.matches():
                return
            self.handle.truncate(0)
        failures = []
        for place in [*([first] if first else []), *self.file["urls"]]:
            self.say(f"fetching {self.file['bytes']} bytes from {_shown(place)}")
            try:
                return self.copy(place) if isinstance(place, Path) else self.download(place)
            except _Unavailable as error:
                failures.append(f"{_shown(place)}: {error}")
                if place is first and not error.absent:
                    self.give_up("the mirror failed", failures, "check the mirror (MATLAS_MIRROR) or unset it")
                self.say(f"{failures[-1]}; not taken from there")
        elsewhere = f"set MATLAS_MIRROR to a folder or base URL that holds {self.file['mirror']}"
        if self.file["urls"]:
            self.give_up("no origin gave the file", failures, f"check the network, or {elsewhere}")
        origin = f" (content: {self.file['origin']})" if self.file.get("origin") else ""
        self.give_up("only a mirror provides this file", failures or ["no mirror set"], elsewhere + origin)

    def copy(self, path: Path) -> None:
        if not path.is_file():
            raise _Unavailable("no such file", absent=True)
        self.handle.truncate(0)
        with open(path, "rb") as stream:
            self.append(stream.read, path)
        self.verify(path)

    def download(self, url: str) -> None:
        if self.size:
            self.say(f"resuming at byte {self.size}")
        self.receive(url)
        if self.resumed and not self.matches():
            self.say("the resumed bytes do not match, starting again")
            self.handle.truncate(0)
            self.receive(url)
        self.verify(url)

    def receive(self, url: str) -> None:
        """Request until the part has all its bytes."""
        for attempt in range(self.retries + 1):
            try:
                return self.request(url)
            except _Unavailable as error:
                if attempt == self.retries or not error.transient:
                    raise
                delay = self.backoff * 2**attempt
                self.say(f"{error}; retry {attempt + 1} of {self.retries} in {delay:g} s, at byte {self.size}")
                time.sleep(delay)

    def request(self, url: str) -> None:
        """One request for the bytes that the part lacks."""
        offset = self.size
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        try:
            with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
                continues = self.accept(response, offset, url)
                if continues:
                    # the raw stream: `iter_content` would decompress a .gz that is sent with Content-Encoding
                    self.append(lambda amount: response.raw.read1(amount, decode_content=False), url)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # not chained: the text of these errors holds the URL, and with it any credentials
            raise _unavailable(error, self.timeout) from None
        if not continues:
            self.handle.truncate(0)
            return self.request(url)
        if self.size < self.file["bytes"]:
            raise _Unavailable(f"the body ended at byte {self.size} of {self.file['bytes']}", transient=True)

    def accept(self, response: requests.Response, offset: int, url: str) -> bool:
        """Whether the body of `response` goes behind the part (emptied where the server starts from zero).

        False: this server can't continue the part, ask again without one. Raises _Unavailable on anything but data.
        """
        status = response.status_code
        if status == 416 and offset:
            return False
        if status not in (200, 206):
            transient = status >= 500 or status in BUSY
            raise _Unavailable(f"HTTP {status} {response.reason}", transient=transient, absent=status in (404, 410))
        if "html" in response.headers.get("Content-Type", "").lower() and not self.name.endswith((".html", ".htm")):
            raise _Unavailable(f"an HTML page instead of data (HTTP {status})")
        total = response.headers.get("Content-Length", "")
        if status == 206:
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not match or int(match[1]) != offset:
                if offset:
                    return False
                raise _Unavailable("a part of the file that was not asked for (HTTP 206)")
            total = match[2]
        if total.isdecimal() and int(total) != self.file["bytes"]:
            self.refuse(url, f"{total} bytes announced")
        if status == 200 and offset:
            self.say("the server can't resume, starting again")
            self.handle.truncate(0)
        self.resumed = status == 206 and offset > 0
        return True

    def append(self, read: Callable[[int], bytes], place: Path | str) -> None:
        """Append what `read` gives; refuse the byte beyond the registered size, whatever was announced."""
        total, before, began = self.file["bytes"], self.size, time.monotonic()
        said = began
        while chunk := read(min(CHUNK, total - self.size + 1)):
            self.handle.write(chunk)
            self.handle.flush()
            size, now = self.size, time.monotonic()
            if size > total:
                self.refuse(place, f"more than {total} bytes")
            if now - said >= PROGRESS_SECONDS and size < total:
                said, rate = now, (size - before) / max(now - began, 1e-9)  # bytes/s
                self.say(f"{size / total:.0%}, {rate / 1e6:.2f} MB/s, {(total - size) / rate:.0f} s left")

    def matches(self) -> bool:
        return self.size == self.file["bytes"] and sha256_of(self.part) == self.file["sha256"]

    def verify(self, place: Path | str) -> None:
        if not self.matches():
            self.refuse(place, f"{self.size} bytes with sha256 {sha256_of(self.part)}")

    def refuse(self, place: Path | str, found: str) -> NoReturn:
        """Wrong content ends the search: another place must never stand in for it silently."""
        self.handle.truncate(0)
        if place in self.file["urls"]:
            do = (
                "the origin changed or was tampered with on the way: set MATLAS_MIRROR to a folder that holds the "
                "registered file, or check the new content and register its bytes and sha256 in config/sources.yaml"
            )
        else:
            do = f"put the registered file at {self.file['mirror']} in the mirror"
            do += ", or unset MATLAS_MIRROR to use the origin" if self.file["urls"] else ""
        raise SourceError(
            f"source {self.source_id}: {self.name} is not the registered file",
            where=f"from {_shown(place)}",
            expected=f"{self.file['bytes']} bytes with sha256 {self.file['sha256']}",
            found=found,
            do=do,
        )

    def give_up(self, why: str, failures: list[str], do: str) -> NoReturn:
        resume = f"; running again resumes at byte {self.size}" if self.size else ""
        raise SourceError(
            f"source {self.source_id}: can't fetch {self.name}, {why}",
            expected=f"{self.file['bytes']} bytes with sha256 {self.file['sha256']}",
            found="; ".join(failures),
            do=f"{do}, or leave the source out with skip_sources{resume}",
        )

    def say(self, text: str) -> None:
        self.log(f"{self.source_id}/{self.name}: {text}")


def _below_mirror(source_id: str, mirror: str, relative: str) -> Path | str:
    """Path or URL of a file below the mirror; a mirror that can't be one is an error, not a reason to go elsewhere."""
    try:
        parts = urlsplit(mirror if "://" in mirror else "")
    except ValueError:  # such as an unclosed bracket
        parts = urlsplit("malformed://")
    if parts.scheme in ("http", "https"):
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(relative)}"))
    folder = Path(url2pathname(parts.path)) if parts.scheme == "file" else Path(mirror).expanduser()
    if parts.scheme not in ("", "file") or not folder.is_dir():
        raise SourceError(
            f"source {source_id}: the mirror can't be used",
            where="MATLAS_MIRROR, or mirror in config.yaml",
            expected="an existing folder, or an http(s) base URL",
            found=f"a {parts.scheme} URL" if parts.scheme not in ("", "file") else f"no folder {folder}",
            do="set MATLAS_MIRROR to the folder that holds the sources, or unset it to fetch from the origins",
        )
    return folder / relative


@contextmanager
def _exclusive(part: Path, source_id: str) -> Iterator[BinaryIO]:
    """Open `part` for appending, locked against every other process until it is closed or the process dies."""
    while True:
        with open(part, "a+b") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SourceError(
                    f"source {source_id}: another process is fetching this file",
                    where=part,
                    expected="no other process to hold it",
                    found="it is locked by a live process",
                    do="wait for that process or end it, then run again",
                ) from None
            # Between opening and locking, another process may have renamed the file to its target or removed it.
            try:
                current = part.stat()
            except FileNotFoundError:
                continue
            if os.path.samestat(current, os.fstat(handle.fileno())):
                yield handle
                return


def _unavailable(error: Exception, timeout: float) -> _Unavailable:
    """A network error in words, without the URL that its own text holds."""
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return _Unavailable(f"no answer for {timeout:g} s", transient=True)
    cause = getattr(error.args[0] if error.args else None, "reason", None)  # urllib3's MaxRetryError holds it
    kind = type(cause or error).__name__
    if isinstance(error, requests.exceptions.SSLError):
        return _Unavailable(f"no secure connection ({kind})")
    transient = isinstance(error, (requests.ConnectionError, urllib3.exceptions.HTTPError))
    return _Unavailable(f"connection refused or dropped ({kind})" if transient else kind, transient=transient)


def _shown(place: Path | str) -> str:
    """A path, or a URL without user, password, query and fragment: fit for logs and errors."""
    if isinstance(place, Path):
        return str(place)
    parts = urlsplit(place)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
