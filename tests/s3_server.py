"""A private S3 server for tests: versitygw over a folder that is gone afterwards."""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from tests.live_server import PROJECT, free_port
from tests.services import private_folder
from tests.services.processes import ServiceUnavailable, dies_with_parent

MODULE = "github.com/versity/versitygw/cmd/versitygw"
VERSION = "v1.8.0"
BUCKET = "registry"
REGION = "us-east-1"
BUILD_SECONDS = 1500
START_SECONDS = 60


@dataclass(frozen=True)
class S3Server:
    """`endpoint` as clients name it; `port` on the loopback address."""

    port: int
    access_key: str
    secret_key: str

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


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """This will run a server with an empty bucket until the block ends. Raises ServiceUnavailable."""
    program = versitygw()
    with private_folder() as folder:
        server = S3Server(free_port(), secrets.token_hex(8), secrets.token_hex(16))
        for name in ("data", "versions"):
            (folder / name).mkdir()
        log_path = folder / "versitygw.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [program, "--port", f"127.0.0.1:{server.port}", "--quiet", "posix", str(folder / "data")],
                env={**os.environ, "ROOT_ACCESS_KEY": server.access_key, "ROOT_SECRET_KEY": server.secret_key},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=dies_with_parent(signal.SIGKILL),
            )
        try:
            _wait(process, server.port, log_path)
            server.client().create_bucket(Bucket=BUCKET)
            yield server
        finally:
            process.kill()
            process.wait()


def versitygw() -> Path:
    """This will build the server by its name, once. Raises ServiceUnavailable."""
    folder = PROJECT / ".cache" / "go-bin"
    program = folder / "versitygw"
    stamp = folder / f".versitygw-{VERSION}"
    if program.exists() and stamp.exists():
        return program
    go = subprocess.run([PROJECT / "scripts" / "ensure-go"], stdout=subprocess.PIPE, text=True, check=False)
    if go.returncode != 0:
        raise ServiceUnavailable("there is no Go to build an S3 server with")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        built = subprocess.run(
            [go.stdout.strip().splitlines()[-1], "install", f"{MODULE}@{VERSION}"],
            env={**os.environ, "GOBIN": str(folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceUnavailable(f"no S3 server could be built: {error}") from error
    if built.returncode != 0:
        raise ServiceUnavailable(f"no S3 server could be built: {built.stderr.strip()[-500:]}")
    stamp.touch()
    return program


def _wait(process: "subprocess.Popen[bytes]", port: int, log_path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, HTTPException):
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    raise ServiceUnavailable(f"the S3 server did not start: {log_path.read_text(errors='replace')[-500:]}")
