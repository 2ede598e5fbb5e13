"""A private S3 server for tests: versitygw over a folder that is gone afterwards."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.live_server import free_port
from tests.services import private_folder
from tests.store_programs import go_program, running

MODULE = "github.com/versity/versitygw/cmd/versitygw"
VERSION = "v1.8.0"
BUCKET = "registry"
REGION = "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """`endpoint` as clients name it; `port` on the loopback address."""

    port: int
    access_key: str
    secret_key: str
    pid: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environ(self, *, endpoint: str | None = None, **more: str) -> dict[str, str]:
        """What configures a Lading to store here; `more` are further keys of storage.s3."""
        keys = {
            "bucket": BUCKET,
            "region": REGION,
            "regionendpoint": endpoint or self.endpoint,
            "accesskey": self.access_key,
            "secretkey": self.secret_key,
            "forcepathstyle": "true",
            **more,
        }
        return {"REGISTRY_STORAGE": "s3", **{f"REGISTRY_STORAGE_S3_{key.upper()}": keys[key] for key in keys}}

    def client(self) -> Any:
        """A client of the tests' own, to look at what is stored."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )

    def names(self) -> list[str]:
        """The names of all that is stored, uploads that are not complete as well."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        names = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return names + [item["Key"] for item in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())]


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """This will run a server with an empty bucket until the block ends. Raises ServiceUnavailable."""
    program = versitygw()
    with private_folder() as folder:
        server = S3Server(free_port(), secrets.token_hex(8), secrets.token_hex(16))
        (folder / "data").mkdir()
        command = [program, "--port", f"127.0.0.1:{server.port}", "--quiet", "posix", folder / "data"]
        keys = {"ROOT_ACCESS_KEY": server.access_key, "ROOT_SECRET_KEY": server.secret_key}
        with running(command, port=server.port, folder=folder, environ=keys) as pid:
            server.client().create_bucket(Bucket=BUCKET)
            yield replace(server, pid=pid)


def versitygw() -> Path:
    """This will build the server by its name, once. Raises ServiceUnavailable."""
    return go_program(MODULE, VERSION)
