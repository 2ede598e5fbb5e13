"""A proxy between a client and the registry: it records what passes, and can cut an upload in the middle."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BLOCK = 1 << 16
TIMEOUT_SECONDS = 120
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"}


@dataclass(frozen=True)
class Exchange:
    method: str
    target: str
    status: int
    """0: cut off"""
    sent: int
    """bytes of the request's body"""

    @property
    def is_mount(self) -> bool:
        return self.method == "POST" and "mount" in parse_qs(urlsplit(self.target).query)


@dataclass(repr=False)
class Recording:
    """What passed. `cut_after`: once, when uploads have carried more bytes than this, cut the one that runs."""

    host: str
    exchanges: list[Exchange] = field(default_factory=list)
    cut_after: int | None = None

    @property
    def uploaded(self) -> int:
        """Bytes of blobs that were sent, whether or not the registry took them."""
        return sum(item.sent for item in self.exchanges if "/blobs/uploads" in item.target)

    @property
    def mounts(self) -> list[int]:
        """The statuses with which mounts were answered: 201 mounted, 202 not."""
        return [item.status for item in self.exchanges if item.is_mount]

    @property
    def cuts(self) -> list[Exchange]:
        return [item for item in self.exchanges if item.status == 0]

    def clear(self) -> None:
        self.exchanges.clear()

    def __repr__(self) -> str:
        return "\n".join(f"{item.status} {item.method} {item.target} {item.sent}" for item in self.exchanges)


class _Cut(Exception):
    """The upload has reached the byte after which it is to be cut."""


@contextmanager
def recorded(registry: str) -> Iterator[Recording]:
    """This will listen on a free port and pass everything on to `registry` ("127.0.0.1:5000").

    The Host header passes unchanged, so that absolute Locations lead back to the proxy.
    """
    recording = Recording("")
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            upstream = HTTPConnection(registry, timeout=TIMEOUT_SECONDS)
            self.sent = 0
            status = 0
            try:
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in HOP_BY_HOP:
                        upstream.putheader(name, value)
                chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
                if chunked:
                    upstream.putheader("Transfer-Encoding", "chunked")
                upstream.endheaders()
                for block in self.body(chunked):
                    upstream.send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
                    self.sent += len(block)
                    self.cut_if_wanted()
                if chunked:
                    upstream.send(b"0\r\n\r\n")
                response = upstream.getresponse()
                status = response.status
                self.answer(response)
            except (_Cut, OSError, HTTPException):
                self.close_connection = True
            finally:
                upstream.close()
                with lock:
                    recording.exchanges.append(Exchange(self.command, self.path, status, self.sent))

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def body(self, chunked: bool) -> Iterator[bytes]:
            if not chunked:
                left = int(self.headers.get("Content-Length") or 0)
                while left:
                    block = self.rfile.read1(min(left, BLOCK))
                    if not block:
                        raise ConnectionError("the client went away")
                    left -= len(block)
                    yield block
                return
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass

        def cut_if_wanted(self) -> None:
            with lock:
                if recording.cut_after is None or "/blobs/uploads" not in self.path:
                    return
                if recording.uploaded + self.sent > recording.cut_after:
                    recording.cut_after = None
                    raise _Cut

        def answer(self, response) -> None:
            self.send_response_only(response.status, response.reason)
            for name, value in response.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            length = response.getheader("Content-Length")
            bodiless = self.command == "HEAD" or response.status in (204, 304)
            if length is None and not bodiless:
                self.close_connection = True
                self.send_header("Connection", "close")
            self.end_headers()
            while not bodiless and (block := response.read1(BLOCK)):
                self.wfile.write(block)

        def log_message(self, *_arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_arguments: object) -> None:
            pass  # a client that goes away is not worth a traceback

    server = Server(("127.0.0.1", 0), Handler)
    recording.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield recording
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
