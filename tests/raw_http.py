"""HTTP/1.1 over a bare socket, for what no well-behaved client sends."""

import json
import socket
import ssl
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_BODILESS = frozenset({204, 304})
_READ = 64 * 1024


class ConnectionEnded(Exception):
    """The peer closed the connection before an answer was complete; `received` is what came."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"closed after {received[:200]!r}")
        self.received = received


@dataclass(frozen=True)
class RawAnswer:
    """A response as it came over the wire; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        return [error["code"] for error in self.json()["errors"]]


def head(method: str, path: str, headers: Mapping[str, str] | None = None, *, host: str = "registry.test") -> bytes:
    """The first lines of a request, up to its body; nothing in `path` is escaped."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk(content: bytes) -> bytes:
    """A piece of a body with `Transfer-Encoding: chunked`; the empty one ends the body."""
    return b"%x\r\n%b\r\n" % (len(content), content)


CHUNKED = {"Transfer-Encoding": "chunked"}
LAST_CHUNK = b"0\r\n\r\n"


class RawConnection:
    """One connection; reading waits at most `timeout` seconds for the next bytes."""

    def __init__(
        self, host: str, port: int, *, timeout: float = 60, tls: ssl.SSLContext | None = None, receive_buffer: int = 0
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((host, port))
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)
        self._received = b""

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | Iterable[bytes] = b""
    ) -> RawAnswer:
        """Send a request and read its answer. A body in pieces goes out with chunked transfer coding."""
        named = dict(headers or {})
        if isinstance(body, bytes):
            if body or method in {"POST", "PUT", "PATCH"}:
                named.setdefault("Content-Length", str(len(body)))
            self.send(head(method, path, named), body)
        else:
            self.send(head(method, path, named | CHUNKED))
            for piece in body:
                self.send(chunk(piece))
            self.send(LAST_CHUNK)
        return self.read_answer(method)

    def read_answer(self, method: str = "GET") -> RawAnswer:
        """The next answer, interim ones (1xx) included; `method` is that of the request it belongs to."""
        status, headers = self.read_head()
        if method == "HEAD" or status in _BODILESS or status < 200:
            return RawAnswer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return RawAnswer(status, headers, self._read_chunked())
        if "content-length" in headers:
            return RawAnswer(status, headers, self.read_exactly(int(headers["content-length"])))
        return RawAnswer(status, headers, self.read_to_end())

    def read_head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._received:
            self._receive()
        text, self._received = self._received.split(b"\r\n\r\n", 1)
        status_line, *lines = text.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(status_line.split(" ")[1]), headers

    def read_exactly(self, size: int) -> bytes:
        pieces, missing = [], size
        while missing:
            if not self._received:
                self._receive()
            piece, self._received = self._received[:missing], self._received[missing:]
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def read_to_end(self) -> bytes:
        """Everything until the peer closes, an abrupt end included."""
        while True:
            try:
                self._receive()
            except (ConnectionEnded, ConnectionError):
                content, self._received = self._received, b""
                return content

    def abort(self) -> None:
        """Close with a reset, as a machine does that loses its program or its network."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.socket.close()

    def _read_chunked(self) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in self._received:
                self._receive()
            size_line, self._received = self._received.split(b"\r\n", 1)
            size = int(size_line.split(b";")[0], 16)
            body += self.read_exactly(size)
            self.read_exactly(2)
            if not size:
                return body

    def _receive(self) -> None:
        piece = self.socket.recv(_READ)
        if not piece:
            raise ConnectionEnded(self._received)
        self._received += piece
