"""A client of a live server: each call is one request, or one push as clients do it."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import httpx

from oci import media_types
from tests.factories import CONFIG, LAYER, descriptor, digest_of, encode
from tests.live_server import LiveServer
from tests.raw_http import RawConnection


class Client:
    """Threads may share it. Without `keep_alive` each request has a connection of its own."""

    def __init__(self, server: LiveServer, *, prefix: str = "", verify: Any = True, keep_alive: bool = True) -> None:
        self.server = server
        self.prefix = prefix
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100 if keep_alive else 0)
        self.http = httpx.Client(base_url=server.url, timeout=90, limits=limits, verify=verify, trust_env=False)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def raw(self, **options: Any) -> RawConnection:
        return RawConnection("127.0.0.1", self.server.port, **options)

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """`path` stands behind /v2/ unless it is absolute, as a Location is."""
        url = path if path.startswith("/") else f"{self.prefix}/v2/{path}"
        return self.http.request(method, url, **more)

    def start_upload(self, name: str) -> str:
        answer = self.request("POST", f"{name}/blobs/uploads/")
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"]

    def patch(self, location: str, content: bytes | Iterable[bytes], **headers: str) -> httpx.Response:
        return self.request("PATCH", location, content=content, headers=_dashed(headers))

    def complete(self, location: str, digest: str, content: bytes | Iterable[bytes] = b"") -> httpx.Response:
        return self.request("PUT", location, params={"digest": digest}, content=content)

    def offset(self, location: str) -> str:
        """The session's Range header: `0-<last byte>`."""
        answer = self.request("GET", location)
        assert answer.status_code == 204, answer.text
        return answer.headers["Range"]

    def push_blob(self, name: str, content: bytes) -> str:
        digest = digest_of(content)
        answer = self.complete(self.start_upload(name), digest, content)
        assert answer.status_code == 201, answer.text
        return digest

    def pull_blob(self, name: str, digest: str) -> bytes:
        answer = self.request("GET", f"{name}/blobs/{digest}")
        assert answer.status_code == 200, answer.text
        return answer.content

    def has_blob(self, name: str, digest: str) -> bool:
        return self.request("HEAD", f"{name}/blobs/{digest}").status_code == 200

    def put_manifest(
        self, name: str, reference: str, payload: bytes | Iterable[bytes], media_type: str = media_types.OCI_MANIFEST
    ) -> httpx.Response:
        return self.request(
            "PUT", f"{name}/manifests/{reference}", content=payload, headers={"Content-Type": media_type}
        )

    def push_image(self, name: str, tag: str, *layers: bytes) -> bytes:
        """The manifest's payload."""
        for content in (b"{}", *layers):
            self.push_blob(name, content)
        payload = image_payload(*layers)
        answer = self.put_manifest(name, tag, payload)
        assert answer.status_code == 201, answer.text
        return payload


def image_payload(*layers: bytes) -> bytes:
    return encode(
        {
            "schemaVersion": 2,
            "mediaType": media_types.OCI_MANIFEST,
            "config": descriptor(b"{}", CONFIG),
            "layers": [descriptor(layer, LAYER) for layer in layers],
        }
    )


def codes(answer: httpx.Response) -> list[str]:
    assert answer.headers["Content-Type"] == "application/json", answer.text
    return [error["code"] for error in answer.json()["errors"]]


def in_pieces(content: bytes, size: int = 64 * 1024) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def random_bytes(size: int) -> bytes:
    return os.urandom(size)


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
