"""The promises of `python -m tests.services`: it leaves nothing behind, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.services import private_folder, private_postgres, private_redis

# Says what it was given, then waits for SIGTERM and leaves with a status of its own.
COMMAND = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
print(os.getpid(), os.environ["LADING_TEST_REDIS_URL"], flush=True)
time.sleep(60)
"""


@contextmanager
def services_running(base: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Redis alone, in folders under `base`: the process of tests.services and the pid of its command."""
    arguments = [sys.executable, "-m", "tests.services", "--no-postgres", "--", sys.executable, "-c", COMMAND]
    environment = os.environ | {"TMPDIR": str(base)}
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline().split()[0])
        finally:
            process.kill()


@pytest.fixture
def base() -> Iterator[Path]:
    with private_folder() as folder:  # pytest's own is too long a path for a socket
        yield folder


def folders_in(base: Path) -> list[Path]:
    return list(base.glob("lading-services-*"))


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "still not so after 30 seconds"
        time.sleep(0.05)


def test_passes_a_signal_on_and_returns_the_status_of_the_command(base: Path) -> None:
    with services_running(base) as (process, _):
        assert len(folders_in(base)) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 9
    assert folders_in(base) == []


def test_ends_its_children_when_it_is_killed_and_tidies_up_at_the_next_start(base: Path) -> None:
    with services_running(base) as (process, command):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2
        assert str(command) in children
        process.kill()
        wait_until(lambda: not any(is_running(int(child)) for child in children))
    (abandoned,) = folders_in(base)
    with services_running(base):
        assert not abandoned.exists()


def test_leaves_the_folder_of_a_running_server_alone(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(base))
    with private_redis() as first, private_redis() as second:
        assert {first.folder, second.folder} == set(folders_in(base))
        assert first.process.poll() is None
    assert folders_in(base) == []


def test_default_collation_of_postgresql_is_not_that_of_bytes() -> None:
    with private_postgres() as server, psycopg.connect(server.create_database("sorted")) as connection:
        rows = connection.execute("SELECT word FROM (VALUES ('B'), ('a')) AS words (word) ORDER BY word")
        assert [word for (word,) in rows] == ["a", "B"]
        rows = connection.execute("SELECT word FROM (VALUES ('B'), ('a')) AS words (word) ORDER BY word COLLATE \"C\"")
        assert [word for (word,) in rows] == ["B", "a"]
