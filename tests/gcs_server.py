"""A private server that speaks Google Cloud Storage's JSON API, for tests: fake-gcs-server, and who gives tokens."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.live_server import free_port
from tests.services import private_folder
from tests.store_programs import go_program, running

MODULE = "github.com/fsouza/fake-gcs-server"
VERSION = "v1.56.1"
BUCKET = "registry"


@dataclass(frozen=True)
class GCSServer:
    """`port` on the loopback address; `token_port` is where service accounts sign in."""

    port: int
    token_port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def service_account(self) -> dict[str, str]:
        """The key of a service account that signs in at our own token server."""
        return {
            "type": "service_account",
            "project_id": "tests",
            "private_key_id": "key",
            "private_key": _private_key(),
            "client_email": "lading@tests.example.org",
            "client_id": "1",
            "token_uri": f"http://127.0.0.1:{self.token_port}/token",
        }

    def environ(self, *, endpoint: str | None = None, **more: str) -> dict[str, str]:
        """What configures a Lading to store here; `more` are further keys of storage.gcs."""
        keys = {
            "bucket": BUCKET,
            "endpoint": endpoint or self.endpoint,
            "credentials": json.dumps(self.service_account),
            **more,
        }
        return {"REGISTRY_STORAGE": "gcs", **{f"REGISTRY_STORAGE_GCS_{key.upper()}": keys[key] for key in keys}}

    def client(self) -> Any:
        """A client of the tests' own, to look at what is stored."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        return Client(
            project="tests", credentials=AnonymousCredentials(), client_options={"api_endpoint": self.endpoint}
        )

    def names(self) -> list[str]:
        """The names of all that is stored, parts of uploads that are not complete as well."""
        return [blob.name for blob in self.client().list_blobs(BUCKET)]


@contextmanager
def gcs_server() -> Iterator[GCSServer]:
    """This will run a server with an empty bucket until the block ends. Raises ServiceUnavailable."""
    program = fake_gcs_server()
    with private_folder() as folder, _token_server() as token_port:
        server = GCSServer(free_port(), token_port)
        (folder / "data").mkdir()
        address = f"127.0.0.1:{server.port}"
        command = [program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(server.port)]
        command += ["-public-host", address, "-external-url", server.endpoint, "-log-level", "warn"]
        command += ["-filesystem-root", folder / "data"]
        with running(command, port=server.port, folder=folder):
            server.client().create_bucket(BUCKET)
            yield server


def fake_gcs_server() -> Path:
    """This will build the server by its name, once. Raises ServiceUnavailable."""
    return go_program(MODULE, VERSION)


@cache
def _private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, kind, serialization.NoEncryption()).decode()


class _Tokens(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps({"access_token": "token", "token_type": "Bearer", "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _token_server() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Tokens)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
