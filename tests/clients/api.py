"""The registry's API as the tests use it themselves, to check what a client left behind."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from tests.clients.layouts import INDEX, MANIFEST, Layout

TIMEOUT_SECONDS = 60
BLOCK = 1 << 20
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPT = {"Accept": f"{INDEX}, {MANIFEST}, {DOCKER_LIST}, {DOCKER_MANIFEST}"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """names in small letters"""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def basic(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


class Registry:
    """A registry at `host` ("127.0.0.1:5000"), spoken to over plain HTTP, as a user where one is named."""

    def __init__(self, host: str, username: str = "", password: str = "") -> None:
        self.host = host
        self.credentials = {"Authorization": f"Basic {basic(username, password)}"} if username else {}

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """This will send one request. `path` may be an absolute address, as a Location may be."""
        connection = HTTPConnection(self.host, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(
                method, path.removeprefix(f"http://{self.host}"), body, self.credentials | {**(headers or {})}
            )
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def manage(self, method: str, path: str, **fields: Any) -> Any:
        """This will do one thing by the management API, which must allow it, and return its answer."""
        headers = {"Content-Type": "application/json"} if fields else {}
        answer = self.request(method, f"/api/v1/{path}", json.dumps(fields) if fields else None, headers)
        assert answer.status < 300, f"{method} {path} answered {answer.status} {answer.body!r}"
        return answer.json() if answer.body else None

    def manifest(self, repository: str, reference: str) -> Answer:
        return self.request("GET", f"/v2/{repository}/manifests/{reference}", headers=ACCEPT)

    def tags(self, repository: str) -> list[str]:
        answer = self.request("GET", f"/v2/{repository}/tags/list")
        return answer.json()["tags"] if answer.status == 200 else []

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        answer = self.request("GET", f"/v2/{repository}/referrers/{digest}")
        assert answer.status == 200, answer
        return answer.json()["manifests"]

    def measure_blob(self, repository: str, digest: str) -> tuple[int, str]:
        """This will read a blob to its end and return its size and the digest of what came."""
        connection = HTTPConnection(self.host, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", f"/v2/{repository}/blobs/{digest}", headers=self.credentials)
            response = connection.getresponse()
            assert response.status == 200, f"GET of blob {digest} answered {response.status}"
            size, content = 0, hashlib.sha256()
            while block := response.read(BLOCK):
                size += len(block)
                content.update(block)
            return size, f"sha256:{content.hexdigest()}"
        finally:
            connection.close()

    def assert_holds(self, repository: str, reference: str, layout: Layout) -> None:
        """This will compare the registry's bytes with the layout's: every manifest and every blob."""
        for name in (reference, *layout.manifests):
            answer = self.manifest(repository, name)
            digest = layout.digest if name == reference else name
            assert answer.status == 200, f"GET of manifest {name} answered {answer.status}"
            assert answer.body == layout.read(digest), f"manifest {name} came back changed"
            assert answer.headers["docker-content-digest"] == digest
        for digest, size in layout.blobs.items():
            assert self.measure_blob(repository, digest) == (size, digest)
