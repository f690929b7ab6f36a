"""A web server on 127.0.0.1 that answers each request as its script says: the last answer repeats."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class MisbehavingServer:
    """Context manager. `requests` records (path with query, Range header, Authorization header) of each request."""

    def __init__(self, *script: Callable):
        self.script, self.requests, self.sent = list(script), [], 0
        self.released = threading.Event()  # set on exit, so that hanging answers end
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                answer = owner.script[min(len(owner.requests), len(owner.script) - 1)]
                owner.requests.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
                with suppress(BrokenPipeError, ConnectionResetError):  # the client has seen enough
                    answer(owner, self)
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> MisbehavingServer:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def ranges(self) -> list[str | None]:
        return [wanted for _, wanted, _ in self.requests]


def head(handler, status: int, **headers) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def send(data: bytes, *, stop: int | None = None, ranges: bool = True, then: str = "close") -> Callable:
    """Send `data` from the wanted byte up to byte `stop`, though all of it is announced; then close or hang."""

    def answer(server, handler):
        wanted = handler.headers.get("Range") if ranges else None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if wanted and start >= len(data):
            return head(handler, 416, Content_Range=f"bytes */{len(data)}")
        extra = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if wanted else {}
        head(handler, 206 if wanted else 200, Content_Length=len(data) - start, **extra)
        handler.wfile.write(data[start:stop])
        handler.wfile.flush()
        if then == "hang":
            server.released.wait(30)

    return answer


def status(code: int) -> Callable:
    return lambda server, handler: head(handler, code, Content_Length=0)


def html_page(server, handler):
    page = b"<html>please log in</html>"
    head(handler, 200, Content_Type="text/html; charset=utf-8", Content_Length=len(page))
    handler.wfile.write(page)


def hang(server, handler):
    server.released.wait(30)


def endless(server, handler):
    """A body with no announced length that never ends; counts what was sent."""
    head(handler, 200)
    while not server.released.is_set():
        server.sent += handler.wfile.write(bytes(65536))
