"""A private server that speaks Azure's blob protocol, for tests: Azurite over a folder that is gone afterwards."""

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.live_server import free_port
from tests.services import private_folder
from tests.store_programs import npm_program, running

PACKAGE = "azurite"
VERSION = "3.37.0"
ACCOUNT = "lading"
CONTAINER = "registry"


@dataclass(frozen=True)
class AzureServer:
    """`port` on the loopback address; `key` is the account's."""

    port: int
    key: str

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environ(self, *, endpoint: str | None = None, **more: str) -> dict[str, str]:
        """What configures a Lading to store here; `more` are further keys of storage.azure."""
        keys = {
            "accountname": ACCOUNT,
            "accountkey": self.key,
            "container": CONTAINER,
            "serviceurl": f"{endpoint or self.endpoint}/{ACCOUNT}",
            **more,
        }
        return {"REGISTRY_STORAGE": "azure", **{f"REGISTRY_STORAGE_AZURE_{key.upper()}": keys[key] for key in keys}}

    def client(self) -> Any:
        """A client of the tests' own, to look at what is stored."""
        from azure.storage.blob import ContainerClient

        key = {"account_name": ACCOUNT, "account_key": self.key}
        return ContainerClient(f"{self.endpoint}/{ACCOUNT}", CONTAINER, credential=key)

    def names(self) -> list[str]:
        """The names of all that is stored, uploads that are not complete as well."""
        return [blob.name for blob in self.client().list_blobs(include=["uncommittedblobs"])]


@contextmanager
def azure_server() -> Iterator[AzureServer]:
    """This will run a server with an empty container until the block ends. Raises ServiceUnavailable."""
    program = azurite()
    with private_folder() as folder:
        server = AzureServer(free_port(), base64.b64encode(secrets.token_bytes(64)).decode())
        (folder / "data").mkdir()
        command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(server.port), "--location", folder / "data"]
        command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        environ = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{server.key}"}
        with running(command, port=server.port, folder=folder, environ=environ):
            server.client().create_container()
            yield server


def azurite() -> Path:
    """This will install the server by its name, once. Raises ServiceUnavailable."""
    return npm_program(PACKAGE, VERSION, "azurite-blob")
