"""Looking at a live server from behind: its rows, its files, its processes."""

import os
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.live_server import PROJECT, LiveServer

DEADLINE_SECONDS = 60
_NAMING = ("blobs_blob", "blobs_uploadsession", "blobs_storagedeletion")


def wait_until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """The first true value of `condition`; fails after a generous time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"still not after {seconds} seconds: {what}")


def rows(server: LiveServer, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a statement with `%s` for parameters finds in the server's database."""
    url = server.environ["REGISTRY_DATABASE_URL"]
    if server.database == "postgres":
        with psycopg.connect(url) as connection:
            return connection.execute(statement, parameters).fetchall()  # type: ignore[arg-type]
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as connection:
        return connection.execute(statement.replace("%s", "?"), parameters).fetchall()


def count(server: LiveServer, table: str) -> int:
    return int(rows(server, f"SELECT count(*) FROM {table}")[0][0])


def session_row(server: LiveServer, location: str) -> tuple[str, int, bool]:
    """An upload's storage key, its offset, and whether somebody writes to it; raises LookupError without one."""
    session_id = uuid.UUID(location.rpartition("/")[2])
    wanted = session_id if server.database == "postgres" else session_id.hex
    statement = 'SELECT storage_key, "offset", writer_token FROM blobs_uploadsession WHERE id = %s'
    key, offset, token = rows(server, statement, wanted)[0]
    return key, offset, token is not None


def is_written(server: LiveServer, location: str) -> bool:
    return session_row(server, location)[2]


def stored_files(server: LiveServer) -> dict[str, Path]:
    """Files under the storage's root by their storage key."""
    found = {}
    for folder, _, names in os.walk(server.data / "blobs"):
        for file in names:
            path = Path(folder, file)
            found[path.relative_to(server.data).as_posix().removesuffix(".partial")] = path
    return found


def named_keys(server: LiveServer) -> list[str]:
    """Storage keys that rows name, each as often as it is named."""
    return [
        key
        for table in _NAMING
        for (key,) in rows(server, f"SELECT storage_key FROM {table} WHERE storage_key IS NOT NULL")
    ]


def assert_every_byte_is_named_once(server: LiveServer) -> None:
    """Invariant 1, looked at directly and fast. For a server that is at rest."""
    files = stored_files(server)
    names = named_keys(server)
    assert set(files) - set(names) == set()
    assert len(names) == len(set(names))
    for key, size in rows(server, "SELECT storage_key, size FROM blobs_blob"):
        assert files[key].stat().st_size == size


def wait_until_drained(server: LiveServer) -> None:
    wait_until(lambda: count(server, "blobs_storagedeletion") == 0, "the outbox of deletions is empty")


def run_check(server: LiveServer, *, before: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    """`lading check` with the server's configuration; `before` is a command that runs it elsewhere."""
    command = [*before, sys.executable, str(PROJECT / "manage.py"), "check"]
    return subprocess.run(command, cwd=PROJECT, env=server.environ, capture_output=True, text=True, check=False)


def assert_check_finds_nothing(server: LiveServer, *, before: Sequence[str] = ()) -> None:
    result = run_check(server, before=before)
    assert result.returncode == 0, result.stdout + result.stderr


def group_processes(server: LiveServer) -> list[int]:
    """Ids of the live processes of the server's group; the dead that wait for their parent do not count."""
    group = server.pid
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(entry.name))
    return found


def web_processes(server: LiveServer) -> list[int]:
    """The processes that listen on the server's port; the one that watches over them does not."""
    sockets = _listening(server.port)
    return [pid for pid in group_processes(server) if sockets & _sockets(pid)]


def embedded_workers(server: LiveServer) -> list[int]:
    """The processes of the background work, which the server starts beside those that listen."""
    others = {server.pid, *web_processes(server)}
    return [pid for pid in group_processes(server) if pid not in others and b"spawn_main" in _command(pid)]


def _listening(port: int) -> set[str]:
    """The sockets that listen on a port, as the links of file descriptors name them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = "0A"
    return {f"socket:[{line[9]}]" for line in lines if line[3] == listening and int(line[1][-4:], 16) == port}


def _sockets(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(link.readlink()))
    return found


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def memory(server: LiveServer, field: str) -> int:
    """The sum, in bytes, of a line of /proc/<id>/status over all processes: VmRSS now, VmHWM at most so far."""
    total = 0
    for process in group_processes(server):
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
    return total
