"""A real `lading serve` in a process group of its own, for tests that speak to it as clients do."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.services.processes import dies_with_parent

PROJECT = Path(__file__).resolve().parent.parent
POSTGRES_VARIABLE = "LADING_TEST_POSTGRES_URL"
START_SECONDS = 60
STOP_SECONDS = 30
LOG_TAIL_LINES = 25
LOG_LINE_ENDS = 300

Database = Literal["postgres", "sqlite"]


class ServerFailed(Exception):
    """The server did not start, or did not stop when asked; the message ends with the tail of its log."""


class LiveServer:
    """One server, its folder and its database; both outlive `stop`, `kill` and `restart`.

    `data` is the storage root, `log_path` collects what every start of the server printed.
    """

    ready_path = "/readyz"

    def __init__(
        self,
        *,
        database: Database,
        folder: Path,
        environ: Mapping[str, str],
        data: Path | None = None,
        port: int | None = None,
        tree: Path = PROJECT,
    ) -> None:
        """`tree` holds the code that runs, which may be another than that of the tests."""
        self.database = database
        self.tree = tree
        self.port = port or free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        self.data = data or folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.log_path = folder / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._group_ended = True
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
        self.environ = {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "REGISTRY_HTTP_ADDR": self.host,
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(self.data),
            "REGISTRY_STORAGE_DELETE_ENABLED": "true",
            **environ,
        }
        if environ.get("REGISTRY_STORAGE", "filesystem") != "filesystem":
            # Two drivers at once would be a mistake.
            del self.environ["REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"]

    @property
    def pid(self) -> int:
        """The process that was started; it is also the id of its process group."""
        if self.process is None:
            raise ServerFailed("the server was not started")
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def command(self) -> list[str]:
        return [sys.executable, str(self.tree / "manage.py"), "serve"]

    def start(self) -> None:
        """This will start the server and return when it is ready. Raises ServerFailed."""
        if self.running:
            raise ServerFailed("the server runs already")
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.tree,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_ends_with_tests(),
            )
        self._group_ended = False
        deadline = time.monotonic() + START_SECONDS
        while self.running and time.monotonic() < deadline:
            # Somebody else may hold the port, so what answers counts only while our process lives.
            if self._answers() and self.running:
                return
            time.sleep(0.05)
        ended = self.process.poll()
        self.kill()
        raise self._failure("did not get ready" if ended is None else f"ended with status {ended}")

    def stop(self) -> None:
        """This will end the server with SIGTERM, as an operator does. Raises ServerFailed when it hangs."""
        if self.process is None:
            return
        if self.running:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self._failure(f"still ran {STOP_SECONDS} seconds after SIGTERM") from None
        self._kill_group()

    def kill(self) -> None:
        """This will end every process of the server with SIGKILL, as a power cut would."""
        if self.process is None:
            return
        self._kill_group()
        self.process.wait()

    def restart(self) -> None:
        """This will stop the server if it runs, and start it on the same port, data and database."""
        if self.running:
            self.stop()
        self.start()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self) -> str:
        return "\n".join(_shortened(line) for line in self.log().splitlines()[-LOG_TAIL_LINES:])

    def _answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self.ready_path)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def _kill_group(self) -> None:
        if self._group_ended:
            return  # its number may belong to somebody else by now
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._group_ended = True

    def _failure(self, what: str) -> ServerFailed:
        return ServerFailed(f"the server {what}; the end of its log:\n{self.log_tail()}")


@contextmanager
def live_server(
    *,
    database: Database = "postgres",
    environ: Mapping[str, str] | None = None,
    data: Path | None = None,
    port: int | None = None,
) -> Iterator[LiveServer]:
    """This will run a server on a fresh database until the block ends, and then remove both.

    `database="postgres"` needs the maintenance address of a PostgreSQL server in LADING_TEST_POSTGRES_URL.
    `environ` wins over what is set here; `data` is a storage root that stays when the block ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="lading-live-"))
    try:
        with _fresh_database(database, folder) as database_url:
            server = LiveServer(
                database=database,
                folder=folder,
                environ={"REGISTRY_DATABASE_URL": database_url, **(environ or {})},
                data=data,
                port=port,
            )
            try:
                server.start()
                yield server
            finally:
                _end(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def default_database() -> Database:
    return "postgres" if os.environ.get(POSTGRES_VARIABLE) else "sqlite"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ends_with_tests() -> Callable[[], None] | None:
    """A test run that is killed takes the server along; the kernel ties it to the thread that starts it."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    return dies_with_parent(signal.SIGTERM) if in_main_thread else None


def _shortened(line: str) -> str:
    """A traceback is one line of the log; its start tells where, its end tells what."""
    return line if len(line) <= 2 * LOG_LINE_ENDS else f"{line[:LOG_LINE_ENDS]} … {line[-LOG_LINE_ENDS:]}"


def _end(server: LiveServer) -> None:
    try:
        server.stop()
    finally:
        server.kill()


@contextmanager
def _fresh_database(database: Database, folder: Path) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{folder / 'lading.sqlite3'}"
        return
    maintenance = os.environ.get(POSTGRES_VARIABLE)
    if not maintenance:
        raise ServerFailed(f"{POSTGRES_VARIABLE} is not set: run this under `python -m tests.services --`")
    name = f"lading_live_{secrets.token_hex(6)}"
    _administer(maintenance, "CREATE DATABASE {}", name)
    try:
        yield urlsplit(maintenance)._replace(path=f"/{name}").geturl()
    finally:
        _administer(maintenance, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def _administer(maintenance: str, statement: str, name: str) -> None:
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
