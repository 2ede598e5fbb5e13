"""A private PostgreSQL."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from tests.services.folders import private_folder
from tests.services.processes import (
    ServiceUnavailable,
    dies_with_parent,
    run_as,
    server,
    start,
    stop,
    wait_until_ready,
)

# PostgreSQL's immediate shutdown: right for data that is thrown away, and a crash to those who are connected.
_AT_ONCE = signal.SIGQUIT


@dataclass
class PostgresServer:
    url: str
    """postgresql:// address of the maintenance database `postgres`, as superuser."""
    process: "subprocess.Popen[bytes]"
    folder: Path
    _start: "Callable[[], subprocess.Popen[bytes]]"

    def end_at_once(self) -> None:
        """This will end the cluster and everybody's connections as a crash does; what was committed stays."""
        stop(self.process, _AT_ONCE)

    def start_again(self) -> None:
        """This will start the ended cluster on its port and return when it has recovered. Raises ServiceUnavailable."""
        self.process = self._start()

    def create_database(self, name: str) -> str:
        """This will create an empty UTF-8 database and return its postgresql:// address."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"{self.url.rpartition('/')[0]}/{name}"


@contextmanager
def private_postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """This will run a new PostgreSQL cluster until the block ends.

    It listens on a free port of 127.0.0.1 and trusts everybody there. Its default collation is a
    linguistic one where the machine has one, so that columns with collation "C" are really tested.
    `durable` keeps fsync and full page writes on, as benchmarks need. Raises ServiceUnavailable.
    """
    initdb, postgres = _postgres_program("initdb"), _postgres_program("postgres")
    user = _postgres_user()
    with private_folder(user) as folder:
        data = folder / "data"
        _create_cluster(initdb, data, user)

        def command(port: int) -> list[str]:
            options = {
                "listen_addresses": "127.0.0.1",
                "port": port,
                "unix_socket_directories": folder,
                "max_connections": 300,
                "fsync": durable,
                "synchronous_commit": durable,
                "full_page_writes": durable,
            }
            return [postgres, "-D", str(data), *(f"--{name}={value}" for name, value in options.items())]

        with server("PostgreSQL", command, _postgres_answers, folder, user, _AT_ONCE) as (process, port):

            def again() -> "subprocess.Popen[bytes]":
                started = start(command(port), folder, user, _AT_ONCE)
                if not wait_until_ready(started, lambda: _postgres_answers(folder, port)):
                    stop(started, _AT_ONCE)
                    raise ServiceUnavailable(f"PostgreSQL did not start again:\n{(folder / 'log').read_text()}")
                return started

            running = PostgresServer(f"postgresql://postgres@127.0.0.1:{port}/postgres", process, folder, again)
            try:
                yield running
            finally:
                stop(running.process, _AT_ONCE)


def _postgres_program(name: str) -> str:
    """Debian keeps the server's programs off the PATH, in one folder per major version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, reversed(versions))])
    program = shutil.which(name, path=path)
    if program is None:
        raise ServiceUnavailable(f"PostgreSQL's {name} is missing; install it with: apt-get install postgresql")
    return program


def _postgres_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root; anybody else runs it as themselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServiceUnavailable("PostgreSQL cannot run as root, and there is no user postgres or nobody")


def _create_cluster(initdb: str, data: Path, user: pwd.struct_passwd | None) -> None:
    choices = [
        ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"],  # PostgreSQL 15 and newer
        ["--locale=en_US.UTF-8"],
        ["--locale=C.UTF-8"],
    ]
    for choice in choices:
        shutil.rmtree(data, ignore_errors=True)
        result = subprocess.run(
            [initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", *choice],
            cwd=data.parent,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=dies_with_parent(signal.SIGKILL),
            **run_as(user),
        )
        if result.returncode == 0:
            return
    raise ServiceUnavailable(f"initdb failed:\n{result.stdout}{result.stderr}")


def _postgres_answers(folder: Path, port: int) -> bool:
    try:
        psycopg.connect(host=str(folder), port=port, user="postgres", connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
