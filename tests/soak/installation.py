"""A registry with all its parts, each of which can be broken apart from the others."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from tests.fault_proxy import FaultProxy, fault_proxy
from tests.live_server import PROJECT, LiveServer
from tests.s3_server import BUCKET, S3Server, s3_server
from tests.services import PostgresServer, private_postgres, private_redis
from tests.services.processes import dies_with_parent

MIB = 1024 * 1024
DISK = 96 * MIB
KEEP_SECONDS = 2
# Nothing waits: what is not in use is collected in the next round.
WITHOUT_DELAY = {
    "REGISTRY_GC_INTERVAL": "100ms",
    "REGISTRY_GC_GRACE": "0s",
    "REGISTRY_GC_UNTAGGED": "0s",
    "REGISTRY_GC_LINGER": "0s",
    "REGISTRY_TRASH_KEEP": f"{KEEP_SECONDS}s",
    "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE": "5s",
    "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_INTERVAL": "1s",
    "REGISTRY_STORAGE_REDIRECT_DISABLE": "true",
    "REGISTRY_WEB_WORKERS": "2",
}


@dataclass
class Installation:
    server: LiveServer
    postgres: PostgresServer
    folder: Path
    s3: S3Server | None = None
    proxy: FaultProxy | None = None
    mounted: bool = False
    celery: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)
    prefix: str = ""

    @property
    def database_url(self) -> str:
        return self.server.environ["REGISTRY_DATABASE_URL"]

    # Processes

    def start_celery(self, name: str) -> None:
        arguments = {
            "worker": ["--concurrency", "2", "--loglevel", "warning"],
            "beat": ["--schedule", str(self.folder / "schedule"), "--pidfile", ""],
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.celery[name] = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "registry_project", name, *arguments[name]],
                cwd=PROJECT,
                env=self.server.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGTERM),
            )

    def kill_celery(self, name: str) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.celery[name].pid, signal.SIGKILL)
        self.celery[name].wait()

    # What is stored

    def objects(self) -> dict[str, Callable[[], bytes]]:
        """Each object by its storage key, with a way to read it."""
        if self.s3 is None:
            root = self.server.data / "blobs"
            paths = [path for path in root.rglob("*") if path.is_file()]
            return {
                path.relative_to(self.server.data).as_posix().removesuffix(".partial"): path.read_bytes
                for path in paths
            }
        client = self.s3.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{self.prefix}/blobs/")
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {key.removeprefix(f"{self.prefix}/"): partial(_read, client, key) for key in keys}

    def parts(self) -> list[str]:
        """Uploads that the object store keeps and nobody finished."""
        if self.s3 is None:
            return []
        listed = self.s3.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())
        return [item["Key"] for item in listed]

    # At rest

    def let_time_pass(self) -> None:
        """Let the dates of open uploads and of deletions that failed come, which are minutes and hours away."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute("UPDATE blobs_uploadsession SET expires_at = now(), busy_until = NULL")
            connection.execute("UPDATE blobs_storagedeletion SET not_before = now()")

    def count(self, table: str, condition: str = "true") -> int:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}".encode()).fetchone()
            return int(row[0]) if row else 0

    def collect(self) -> "subprocess.CompletedProcess[str]":
        """One round over everything, by the operator's command."""
        command = [sys.executable, str(PROJECT / "manage.py"), "garbage-collect", "--now"]
        return subprocess.run(
            command, cwd=PROJECT, env=self.server.environ, capture_output=True, text=True, check=False
        )


@contextmanager
def installation(*, storage: str, worker: str, mounted: bool) -> Iterator[Installation]:
    """This will run a registry until the block ends. Raises ServiceUnavailable.

    `mounted` gives it a small disk of its own, which needs a mount namespace of ours.
    """
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="lading-soak-", ignore_cleanup_errors=True))
        )
        # Durable, for it is crashed: a COMMIT that is not waited for may be lost then.
        postgres = stack.enter_context(private_postgres(durable=True))
        environ = {**WITHOUT_DELAY, "REGISTRY_DATABASE_URL": postgres.create_database("lading")}
        s3, proxy, prefix = None, None, secrets.token_hex(4)
        if storage == "s3":
            s3 = stack.enter_context(s3_server())
            proxy = stack.enter_context(fault_proxy(s3.port))
            environ |= s3.environ(endpoint=proxy.endpoint, rootdirectory=f"/{prefix}", chunksize=str(5 * MIB))
        if worker == "celery":
            environ["REGISTRY_CELERY_BROKER"] = stack.enter_context(private_redis()).url
        data = folder / "data"
        data.mkdir()
        if mounted:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", data], check=True)
            stack.callback(subprocess.run, ["umount", "-l", data], check=False)
        server = LiveServer(database="postgres", folder=folder, environ=environ, data=data)
        built = Installation(server, postgres, folder, s3, proxy, mounted, prefix=prefix)
        stack.callback(server.kill)
        server.start()
        if worker == "celery":
            for name in ("worker", "beat"):
                stack.callback(built.kill_celery, name)
                built.start_celery(name)
        yield built


def _read(client: Any, key: str) -> bytes:
    return bytes(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
