"""Uploads as docker makes them, pushes of whole images, and downloads: one connection each, all checked."""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

from tests.bench.images import MANIFEST_TYPE, MIB, REPOSITORY, TAG, Blob, Image, new_blob, new_image
from tests.bench.wire import WrongAnswer
from tests.bench.workers import meet

TIMEOUT_SECONDS = 120
CHUNK = 32 * 1024  # docker's HTTP client copies its bodies in pieces of this size
SEND = MIB


@dataclass(frozen=True)
class Span:
    """When something began and ended, by the clock that all processes of the machine share (seconds)."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Client:
    """A registry client on one keep-alive connection. Raises WrongAnswer at any unexpected answer."""

    def __init__(self, host: str, port: int, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self.connection = HTTPConnection(host, port, timeout=timeout)

    def close(self) -> None:
        self.connection.close()

    def download(self, path: str, size: int, digest: str | None = None) -> None:
        """This will read a body of `size` bytes, hashing it only if its digest is given."""
        answer = self._ask(200, "GET", path)
        hasher = hashlib.sha256()
        window = memoryview(bytearray(SEND))
        total = 0
        while count := answer.readinto(window):
            total += count
            if digest:
                hasher.update(window[:count])
        if total != size or (digest and f"sha256:{hasher.hexdigest()}" != digest):
            raise WrongAnswer(f"GET {path}: {total} of {size} bytes, sha256:{hasher.hexdigest()}")

    def upload(self, blob: Blob, frames: bytes) -> None:
        """This will send POST, PATCH with `frames` (the blob in chunked coding, made beforehand), and PUT."""
        self.upload_frames(_slices(frames), lambda: blob.digest)

    def upload_frames(self, frames: Iterator[bytes], digest: Callable[[], str]) -> None:
        """This will send what is made on the way; `digest` is asked for once all of it is sent."""
        location = self._location(self._ask(202, "POST", f"/v2/{REPOSITORY}/blobs/uploads/", b""))
        headers = {"Transfer-Encoding": "chunked", "Content-Type": "application/octet-stream"}
        location = self._location(self._ask(202, "PATCH", location, frames, headers))
        separator = "&" if "?" in location else "?"
        answer = self._ask(201, "PUT", f"{location}{separator}digest={digest()}", b"")
        self._finish(answer, digest())

    def push(self, image: Image, tag: str) -> None:
        """This will push as docker does: probe, upload and probe again each blob, then the manifest."""
        self._ask(200, "GET", "/v2/").read()
        for blob in image.blobs:
            path = f"/v2/{REPOSITORY}/blobs/{blob.digest}"
            self._ask(404, "HEAD", path).read()
            self.upload(blob, chunked(blob.content))
            self._ask(200, "HEAD", path).read()
        headers = {"Content-Type": MANIFEST_TYPE}
        path = f"/v2/{REPOSITORY}/manifests/{tag}"
        self._finish(self._ask(201, "PUT", path, image.manifest.content, headers), image.manifest.digest)

    def _ask(
        self,
        status: int,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> HTTPResponse:
        self.connection.request(method, path, body=body, headers=headers or {})
        answer = self.connection.getresponse()
        if answer.status != status:
            raise WrongAnswer(f"{method} {path}: {answer.status} {answer.read()[:300]!r}, not {status}")
        return answer

    @staticmethod
    def _location(answer: HTTPResponse) -> str:
        answer.read()
        parts = urlsplit(answer.headers["Location"])
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    @staticmethod
    def _finish(answer: HTTPResponse, digest: str) -> None:
        answer.read()
        if answer.headers["Docker-Content-Digest"] != digest:
            raise WrongAnswer(f"stored {answer.headers['Docker-Content-Digest']}, sent {digest}")


def chunked(content: bytes, *, last: bool = True) -> bytes:
    """This will frame `content` in chunks of docker's size (RFC 9112 section 7.1), and end the body behind it."""
    frames = bytearray()
    for start in range(0, len(content), CHUNK):
        piece = content[start : start + CHUNK]
        frames += b"%x\r\n%b\r\n" % (len(piece), piece)
    return bytes(frames + b"0\r\n\r\n") if last else bytes(frames)


def fill(host: str, port: int, image: Image, more: list[Blob]) -> None:
    """This will push what the downloads read."""
    client = Client(host, port)
    for blob in more:
        client.upload(blob, chunked(blob.content))
    client.push(image, TAG)
    client.close()


def time_upload(host: str, port: int, size: int) -> tuple[Span, str]:
    """This will upload a new blob, starting together with the other processes of its Workers; its digest too."""
    blob = new_blob(size)
    frames = chunked(blob.content)
    client = Client(host, port)
    meet()
    began = time.monotonic()
    client.upload(blob, frames)
    span = Span(began, time.monotonic())
    client.close()
    return span, blob.digest


def time_download(host: str, port: int, path: str, size: int, digest: str | None) -> Span:
    """This will download a blob, and hash it (then the time says little) if `digest` is given."""
    client = Client(host, port)
    began = time.monotonic()
    client.download(path, size, digest)
    span = Span(began, time.monotonic())
    client.close()
    return span


def time_pushes(host: str, port: int, count: int, layers: int, layer_size: int) -> Span:
    """This will push `count` new images, one after the other on one connection."""
    images = [new_image(layers, layer_size) for _ in range(count)]
    client = Client(host, port)
    began = time.monotonic()
    for number, image in enumerate(images):
        client.push(image, f"push-{number}")
    span = Span(began, time.monotonic())
    client.close()
    return span


def time_each_push(host: str, port: int, count: int, layers: int, layer_size: int) -> list[float]:
    """This will push `count` new images one after the other; how many seconds each took."""
    images = [new_image(layers, layer_size) for _ in range(count)]
    client = Client(host, port)
    seconds = []
    for number, image in enumerate(images):
        began = time.monotonic()
        client.push(image, f"push-{number}")
        seconds.append(time.monotonic() - began)
    client.close()
    return seconds


def _slices(frames: bytes) -> Iterator[bytes]:
    view = memoryview(frames)
    for start in range(0, len(view), SEND):
        yield bytes(view[start : start + SEND])
