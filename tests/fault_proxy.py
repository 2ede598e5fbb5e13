"""A proxy before an HTTP store that fails on demand: late, by 500 or 503, broken off, its answer lost, or silent."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Kind = Literal["delay", "500", "503", "reset", "truncated", "lost", "hang"]
# Those that answer somehow, sooner or later; one that hangs costs every test a time-out.
KINDS: tuple[Kind, ...] = ("delay", "500", "503", "reset", "truncated", "lost")
DELAY_SECONDS = 0.3
TIMEOUT_SECONDS = 60
BLOCK = 1 << 16
_XML = '<?xml version="1.0"?><Error><Code>{}</Code><Message>by request of the test</Message></Error>'
_CODES = {"500": (500, "InternalError"), "503": (503, "SlowDown")}


class _Cut(Exception):
    """The connection is to be reset."""


@dataclass
class FaultProxy:
    """Where it listens and what is wrong with it: `kind` for requests `first` to `last`, counted from `fail`."""

    port: int
    kind: Kind | None = None
    first: int = 1
    last: float = 0
    seen: int = 0
    hits: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    healed: threading.Event = field(default_factory=threading.Event)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, kind: Kind, *, first: int = 1, last: float = float("inf")) -> None:
        with self.lock:
            self.kind, self.first, self.last, self.seen, self.hits = kind, first, last, 0, 0
            self.healed = threading.Event()

    def heal(self) -> None:
        with self.lock:
            self.kind = None
            self.healed.set()

    def next_fault(self) -> Kind | None:
        with self.lock:
            self.seen += 1
            if self.kind is None or not self.first <= self.seen <= self.last:
                return None
            self.hits += 1
            return self.kind


@contextmanager
def fault_proxy(target_port: int) -> Iterator[FaultProxy]:
    """This will pass everything on to a server on the loopback address until the block ends."""
    handler = type("Handler", (_Handler,), {"target_port": target_port})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.proxy = FaultProxy(server.server_address[1])  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.proxy  # type: ignore[attr-defined]
    finally:
        server.proxy.heal()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_SECONDS
    target_port = 0

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (_Cut, OSError, HTTPException):
            self.close_connection = True
            # Linger for no time: closing sends a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.proxy.next_fault()  # type: ignore[attr-defined]
        if fault == "delay":
            time.sleep(DELAY_SECONDS)
        elif fault == "reset":
            raise _Cut
        elif fault == "hang":
            self.server.proxy.healed.wait()  # type: ignore[attr-defined]
            raise _Cut
        elif fault in _CODES:
            status, code = _CODES[fault]
            self._answer(status, {}, _XML.format(code).encode())
            return
        connection = HTTPConnection("127.0.0.1", self.target_port, timeout=TIMEOUT_SECONDS)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            self._pass_on(connection.getresponse(), fault)
        finally:
            connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815 - the names that http.server calls

    def _pass_on(self, answer: HTTPResponse, fault: Kind | None) -> None:
        content = answer.read()
        if fault == "lost":
            raise _Cut
        headers = {
            name: value
            for name, value in answer.getheaders()
            if name.lower() not in {"transfer-encoding", "connection", "content-length"}
        }
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        if fault == "truncated" and (not content or self.command == "HEAD"):
            self.wfile.write(b"HTTP/1.1 200")
            raise _Cut
        self.send_response_only(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        if fault == "truncated":
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            # Half of it must arrive: a reset at once would throw it away.
            self.connection.shutdown(socket.SHUT_WR)
            self.close_connection = True
            return
        self.wfile.write(content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
