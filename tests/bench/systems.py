"""The registries that are compared, each started on a free loopback port with an empty folder."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Literal

import psycopg

from tests.bench.processes import postmaster
from tests.live_server import POSTGRES_VARIABLE, free_port, live_server

START_SECONDS = 20
REFERENCE = "docker-registry"
UPSTREAM = ("registry", "go install github.com/distribution/distribution/v3/cmd/registry")
QUIET = {"REGISTRY_LOG_LEVEL": "error", "REGISTRY_LOG_ACCESSLOG_DISABLED": "true"}
CONFIGURATION = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  cache: {{blobdescriptor: inmemory}}
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http: {{addr: 127.0.0.1:{port}}}
"""


class Skipped(Exception):
    """A registry cannot take part; the message says why."""


@dataclass(frozen=True)
class System:
    """A running registry; `database` is the process id of its PostgreSQL server if that runs on this host."""

    name: str
    port: int
    pid: int
    version: str
    database: int | None = None
    host: str = "127.0.0.1"

    @property
    def costs(self) -> list[int]:
        """The roots of all process trees that work for this registry."""
        return [self.pid, self.database] if self.database else [self.pid]


@contextmanager
def lading(database: Literal["postgres", "sqlite"], environ: dict[str, str]) -> Iterator[System]:
    name = "Lading, PostgreSQL" if database == "postgres" else "Lading, SQLite"
    server_id, version = None, f"SQLite {sqlite3.sqlite_version}"
    if database == "postgres":
        if not (address := os.environ.get(POSTGRES_VARIABLE)):
            raise Skipped(f"{POSTGRES_VARIABLE} is not set; `make bench` starts a PostgreSQL")
        server_id, version = _postgres(address)
    with live_server(database=database, environ=QUIET | environ) as server:
        yield System(name, server.port, server.pid, version, server_id)


@contextmanager
def distribution(name: str, program_name: str, origin: str) -> Iterator[System]:
    """This will start a build of CNCF Distribution. Raises Skipped where its program is missing."""
    program = shutil.which(program_name)
    if not program:
        raise Skipped(f"the program {program_name} is not there ({origin})")
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    if "distribution" not in answer.stdout:
        raise Skipped(f"{program} is another program than Distribution's")
    version = answer.stdout.split()[-1]
    with tempfile.TemporaryDirectory(prefix="lading-bench-") as folder:
        port = free_port()
        configuration = Path(folder, "config.yml")
        configuration.write_text(CONFIGURATION.format(folder=Path(folder, "data"), port=port))
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, "serve", str(configuration)],
                env=os.environ | {"OTEL_TRACES_EXPORTER": "none"},
                stdout=output,
                stderr=output,
            )
        try:
            _await_answer(port, process, log)
            yield System(name, port, process.pid, version)
        finally:
            process.terminate()
            process.wait()


def all_systems(environ: dict[str, str]) -> dict[str, Callable[[], AbstractContextManager[System]]]:
    """This will name the starters of all systems by the words that --only takes."""
    return {
        "lading-postgres": lambda: lading("postgres", environ),
        "lading-sqlite": lambda: lading("sqlite", environ),
        "docker-registry": lambda: distribution(REFERENCE, "docker-registry", "Debian's docker-registry"),
        "distribution": lambda: distribution("Distribution", *UPSTREAM),
    }


def _await_answer(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/v2/")
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            time.sleep(0.05)
        finally:
            connection.close()
    raise Skipped(f"it did not start: {log.read_text(errors='replace')[-400:]}")


def _postgres(address: str) -> tuple[int | None, str]:
    """The server's process and version. An unsafe server is refused: its figures would compare with nothing."""
    with psycopg.connect(address) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            if connection.execute(f"SHOW {setting}").fetchone() != ("on",):
                raise Skipped(f"this PostgreSQL runs with {setting} off: `python -m tests.services --durable`")
        number = connection.info.server_version
        return postmaster(connection.info.backend_pid), f"PostgreSQL {number // 10000}.{number % 10000}"
