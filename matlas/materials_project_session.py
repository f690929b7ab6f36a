"""The connection with the Materials Project: whole answers or a SourceError, and a key that no text shows."""

from __future__ import annotations

import http.client
import logging
import os
import textwrap
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urljoin, urlsplit

import orjson
import requests

from matlas.acquire import BUSY
from matlas.errors import ConfigError, SourceError

ENDPOINT = "https://api.materialsproject.org/"
KEYS = "https://next-gen.materialsproject.org/api"
KEY_LENGTH = 32
SHOWN = "<MP_API_KEY>"  # in place of the key
PATIENCE = 60.0  # seconds waited at most where the server says when to come back

log = logging.getLogger(__name__)


class Key(str):
    """The key, which a traceback that shows variables does not show."""

    def __repr__(self) -> str:
        return repr(SHOWN)


def key_of_environment() -> Key:
    key = os.environ.get("MP_API_KEY", "").strip()
    if len(key) != KEY_LENGTH or not (key.isascii() and key.isalnum()):
        raise SourceError(
            "the Materials Project can't be asked",
            where="environment variable MP_API_KEY",
            expected=f"an API key of {KEY_LENGTH} letters and digits",
            found=f"{len(key)} characters that are no such key" if key else "none",
            do=f"get your key at {KEYS} and set MP_API_KEY to it",
        )
    return Key(key)


def checked_endpoint(endpoint: str | None) -> str:
    """With a slash at its end, as mp-api joins it; without one given that of mp-api's own variable MP_API_ENDPOINT, or
    the usual. The key must not travel unencrypted."""
    endpoint = endpoint or os.environ.get("MP_API_ENDPOINT") or ENDPOINT
    try:
        parts = urlsplit(endpoint)
    except ValueError:  # such as an unclosed bracket
        parts = urlsplit("malformed://")
    here = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not (parts.scheme == "https" and parts.hostname or here) or "@" in parts.netloc or parts.query:
        raise ConfigError(
            "the endpoint of the Materials Project can't be used",
            expected="an https URL (http only on this machine) without user, password and query",
            found=f"{parts.scheme or 'no scheme'}://{parts.hostname or ''}",
            do=f"leave it out for {ENDPOINT}",
        )
    return endpoint.rstrip("/") + "/"


@dataclass(frozen=True)
class _Fault:
    """Why an answer can't be used. transient : asking again may help."""

    found: str
    transient: bool
    do: str = "check the network and https://status.materialsproject.org, then run again"
    wait: float = 0.0  # seconds that the server asks for


class Session(requests.Session):
    """A session with one endpoint whose `get`, the only door of mp-api's searches, gives a whole answer or raises."""

    def __init__(self, endpoint: str, key: Key, timeout: float, retries: int, backoff: float, cache: Path):
        super().__init__()
        self.endpoint, self.key, self.timeout, self.cache = endpoint, key, timeout, cache
        self.retries, self.backoff = retries, backoff
        self.asked = 0  # answers asked for, whatever attempts they took
        # requests' own name meets the server's bot protection: github.com/materialsproject/api/issues/1055
        self.headers["User-Agent"] = "mp-api matlas"

    def release(self) -> str:
        """The version of the database."""
        heartbeat = self.get(f"{self.endpoint}heartbeat", headers={"x-api-key": None}, timeout=self.timeout)
        body = orjson.loads(heartbeat.content) if heartbeat.status_code == 200 else {}
        version = body.get("db_version") if isinstance(body, dict) else None
        if not version or not isinstance(version, str):
            found = f"HTTP {heartbeat.status_code} without db_version"
            self.fail(found, "check the endpoint", expected="the heartbeat of the Materials Project")
        return version

    def get(self, url, **options):
        self.asked += 1
        for attempt in range(self.retries + 1):
            try:
                response = super().get(url, **options)  # with all of its body
                fault = self.fault(response, options.get("params") or {})
            except requests.RequestException as error:
                fault = self.dropped(error)
            if fault is None:
                return response
            if not fault.transient or attempt == self.retries:
                break
            delay = max(self.backoff * 2**attempt, min(fault.wait, PATIENCE))
            log.warning("%s: %s; retry %d of %d in %g s", self.endpoint, fault.found, attempt + 1, self.retries, delay)
            time.sleep(delay)
        times = f" ({attempt + 1} times)" if attempt else ""
        again = fault.transient and any(self.cache.glob("*.json.gz"))
        kept = ": what has arrived is kept and not asked for again" if again else ""
        # outside of `except`, so that no error with a foreign text is chained
        self.fail(fault.found + times, fault.do + kept)

    def fault(self, response: requests.Response, parameters: Mapping) -> _Fault | None:
        status = response.status_code
        if status in (401, 403) and "x-api-key" in response.request.headers:
            do = f"set MP_API_KEY to the key shown at {KEYS}"
            return _Fault(f"HTTP {status}: the key in MP_API_KEY is wrong, or the server bars this client", False, do)
        if status >= 500 or status in BUSY:
            after = response.headers.get("Retry-After", "")
            return _Fault(f"HTTP {status}", True, wait=float(after) if after.isdecimal() else 0.0)
        if status in (401, 403):
            return _Fault(f"HTTP {status} to a request that needs no key (bot protection, a proxy)", False)
        if status != 200:
            return None  # mp-api reads what the server says about the request, and splits one that is too long
        if self.key.encode() in response.content:
            return _Fault("an answer that repeats the key", False, "check the endpoint")
        try:
            body = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            return _Fault(f"an answer that is no JSON or is cut short after {len(response.content)} bytes", True)
        return _short(body, parameters) if "_limit" in parameters else None

    def dropped(self, error: requests.RequestException) -> _Fault:
        """A network error in words, without its own text."""
        if isinstance(error, requests.Timeout):
            return _Fault(f"no answer for {self.timeout:g} s", True)
        cause = error.args[0] if error.args else None
        kind = type(getattr(cause, "reason", None) or error).__name__
        if isinstance(error, requests.exceptions.SSLError):
            return _Fault(f"no secure connection ({kind})", False)
        broken = (
            requests.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
            requests.exceptions.ContentDecodingError,
        )
        if isinstance(error, broken):
            return _Fault(f"connection refused or dropped ({kind})", True)
        return _Fault(f"a request that can't be sent ({kind})", False, "check the endpoint")

    def get_redirect_target(self, response: requests.Response) -> str | None:
        target = super().get_redirect_target(response)
        if target and urlsplit(urljoin(response.url, target))[:2] != urlsplit(self.endpoint)[:2]:
            self.fail("a redirect to another place, which was not followed", "check the endpoint")
        return target

    def shown(self, text: object) -> str:
        """A foreign text in one line and without the key."""
        return textwrap.shorten(str(text).replace(self.key, SHOWN), 300, placeholder=" …")

    def fail(self, found: str, do: str, expected: str | None = None) -> NoReturn:
        raise SourceError(
            "the Materials Project gave no crystals", where=self.endpoint, expected=expected, found=found, do=do
        )


def _short(body: object, parameters: Mapping) -> _Fault | None:
    """The fault of a page that holds fewer documents than it announces: mp-api would pass over those that lack."""
    documents = body.get("data") if isinstance(body, dict) else None
    meta = body.get("meta") if isinstance(body, dict) else None
    total = meta.get("total_doc") if isinstance(meta, dict) else None
    if not isinstance(documents, list) or not isinstance(total, int):  # where counting fails, mp-api's is a text
        return _Fault("an answer without documents or their number", True)
    announced = min(parameters["_limit"], max(total - parameters.get("_skip", 0), 0))
    if len(documents) != announced:
        return _Fault(f"{len(documents)} documents in a page of {announced}", True)
    if not all(isinstance(document, dict) and isinstance(document.get("material_id"), str) for document in documents):
        return _Fault("a document without material_id", False, "check the endpoint")
    return None


@contextmanager
def hidden(key: str) -> Iterator[None]:
    """Within, no log record of any logger holds the key, and http.client prints no headers."""
    make, level = logging.getLogRecordFactory(), http.client.HTTPConnection.debuglevel

    def record_without_key(*args, **kwargs) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):  # arguments that don't fit the message
            text = f"{record.msg} {record.args}"
        if record.exc_info and record.exc_info[0]:
            trace = "".join(traceback.format_exception(*record.exc_info))
            if key in trace:
                text, record.exc_info = f"{text}\n{trace}", None
        if key in text:
            record.msg, record.args = text.replace(key, SHOWN), ()
        return record

    logging.setLogRecordFactory(record_without_key)
    http.client.HTTPConnection.debuglevel = 0
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)
        http.client.HTTPConnection.debuglevel = level
