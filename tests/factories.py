"""A small client of the registry, and the documents that tests push with it."""

import base64
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from django.test import Client

from oci import media_types

NAME = "alice/app"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
ABSENT = "sha256:" + "0" * 64


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def descriptor(content: bytes, media_type: str = LAYER, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


def image_manifest(config: bytes = b"{}", layers: Iterable[bytes] = (), **more: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": descriptor(config, CONFIG),
        "layers": [descriptor(layer) for layer in layers],
        **more,
    }


def index_manifest(children: Iterable[Mapping[str, Any]] = (), **more: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": list(children), **more}


def encode(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Answer:
    """What a client sees of a response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        assert self.headers["Content-Type"] == "application/json", self
        return [error["code"] for error in self.json()["errors"]]

    @property
    def detail(self) -> Any:
        return self.json()["errors"][0]["detail"]


@dataclass(frozen=True)
class Pushed:
    """A manifest that the registry took; `payload` as it was sent."""

    digest: str
    payload: bytes
    answer: Answer

    def descriptor(self, media_type: str = media_types.OCI_MANIFEST, **more: Any) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": self.digest, "size": len(self.payload), **more}


class Registry:
    """Speaks to the views as a client does, bodies included: they come from `wsgi.input`, not from Django's stream."""

    def __init__(self, authorization: str = "") -> None:
        self._client = Client()
        self._authorization = authorization

    def signed_in(self, username: str, password: str) -> "Registry":
        """The same registry with Basic credentials in every request."""
        return Registry("Basic " + base64.b64encode(f"{username}:{password}".encode()).decode())

    def bearing(self, token: str) -> "Registry":
        """The same registry with a bearer token in every request."""
        return Registry(f"Bearer {token}")

    def request(
        self,
        method: str,
        path: str,
        body: bytes | io.RawIOBase = b"",
        *,
        chunked: bool = False,
        length: int | None = None,
        **headers: str,
    ) -> Answer:
        """`length` declares another length than the body has; `chunked` declares none. `Content_Range=…` is a header.

        A stream as body needs one of the two.
        """
        parts = urlsplit(path)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote_to_bytes(parts.path).decode("latin-1"),
            "QUERY_STRING": parts.query,
            "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else body,
            "CONTENT_TYPE": headers.pop("Content_Type", ""),
        }
        if chunked:
            environ["HTTP_TRANSFER_ENCODING"] = "chunked"
        elif body or length is not None or method in {"POST", "PUT", "PATCH"}:
            environ["CONTENT_LENGTH"] = str(length if length is not None else len(body))  # type: ignore[arg-type]
        if self._authorization:
            environ["HTTP_AUTHORIZATION"] = self._authorization
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        # Answers can be compared with each other when no id is made up for each.
        environ.setdefault("HTTP_X_REQUEST_ID", "test")
        response = self._client.request(**environ)
        # Read at once: an answer that is given up would leave its file open. Reading it closes it.
        content = b"".join(response.streaming_content) if response.streaming else response.content
        return Answer(response.status_code, response.headers, content)

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, **headers)

    def head(self, path: str, **headers: str) -> Answer:
        return self.request("HEAD", path, **headers)

    def put(self, path: str, body: bytes = b"", **more: Any) -> Answer:
        return self.request("PUT", path, body, **more)

    def post(self, path: str, body: bytes = b"", **more: Any) -> Answer:
        return self.request("POST", path, body, **more)

    def patch(self, path: str, body: bytes = b"", **more: Any) -> Answer:
        return self.request("PATCH", path, body, **more)

    def delete(self, path: str, **headers: str) -> Answer:
        return self.request("DELETE", path, **headers)

    def start_upload(self, name: str = NAME, query: str = "") -> str:
        """The address of a new session."""
        answer = self.post(f"/v2/{name}/blobs/uploads/{query}")
        assert answer.status == 202, answer
        return answer.headers["Location"]

    def tags(self, name: str = NAME) -> list[str]:
        tags: list[str] = self.get(f"/v2/{name}/tags/list").json()["tags"]
        return tags

    def push_blob(self, content: bytes, name: str = NAME, *, algorithm: str = "sha256") -> str:
        digest = digest_of(content, algorithm)
        answer = self.post(f"/v2/{name}/blobs/uploads/?digest={digest}", content)
        assert answer.status == 201, answer
        return digest

    def put_manifest(self, document: Any, reference: str | None = None, name: str = NAME, **headers: str) -> Answer:
        """Push a document, or bytes as they are; by its own digest where no reference is given."""
        payload = document if isinstance(document, bytes) else encode(document)
        if "Content_Type" not in headers:
            headers["Content_Type"] = document.get("mediaType", "") if isinstance(document, dict) else ""
        return self.put(f"/v2/{name}/manifests/{reference or digest_of(payload)}", payload, **headers)

    def push_manifest(self, document: Any, reference: str | None = None, name: str = NAME) -> Pushed:
        payload = document if isinstance(document, bytes) else encode(document)
        answer = self.put_manifest(document, reference, name)
        assert answer.status == 201, answer
        return Pushed(answer.headers["Docker-Content-Digest"], payload, answer)

    def push_image(
        self,
        reference: str | None = "latest",
        name: str = NAME,
        *,
        config: bytes = b"{}",
        layers: Iterable[bytes] = (b"layer",),
        **more: Any,
    ) -> Pushed:
        """Push an image with its blobs, in whatever order clients do."""
        layers = list(layers)
        for content in (config, *layers):
            self.push_blob(content, name)
        return self.push_manifest(image_manifest(config, layers, **more), reference, name)
