"""The background work: in the server itself, and by Celery."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.factories import digest_of
from tests.live.client import Client
from tests.live.inspection import (
    assert_every_byte_is_named_once,
    count,
    embedded_workers,
    group_processes,
    named_keys,
    rows,
    session_row,
    stored_files,
    wait_until,
)
from tests.live_server import PROJECT, free_port, live_server

REDIS_VARIABLE = "LADING_TEST_REDIS_URL"
PURGING = "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_"
EAGER = {
    "REGISTRY_GC_INTERVAL": "500ms",
    f"{PURGING}AGE": "1s",
    f"{PURGING}INTERVAL": "1s",
    "REGISTRY_WEB_WORKERS": "1",
}
# Each database has a queue of its own.
QUEUES = {"postgres": "1", "sqlite": "2"}


@pytest.fixture
def broker(database):
    address = os.environ.get(REDIS_VARIABLE)
    if not address:
        pytest.skip(f"{REDIS_VARIABLE} is not set: run under `python -m tests.services --`")
    return address.rpartition("/")[0] + "/" + QUEUES[database]


@contextmanager
def celery(server, folder, *arguments):
    log = (folder / f"{arguments[0]}.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "registry_project", *arguments],
        cwd=PROJECT,
        env=server.environ,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
            log.close()


def leave_garbage(client, name) -> tuple[str, str]:
    """An upload that nobody finishes, and one whose bytes were refused; their storage keys."""
    abandoned, refused = client.start_upload(name), client.start_upload(name)
    assert client.patch(abandoned, b"never finished").status_code == 202
    keys = session_row(client.server, abandoned)[0], session_row(client.server, refused)[0]
    assert client.complete(refused, digest_of(b"something else"), b"refused").status_code == 400
    return keys


def assert_garbage_goes(server, keys):
    # A finished session is remembered for a while, but names no bytes.
    wait_until(lambda: not set(keys) & set(named_keys(server)), "the upload is purged and the outbox empty")
    assert not set(keys) & set(stored_files(server))
    assert_every_byte_is_named_once(server)


def test_the_server_does_it_itself(database, name):
    with live_server(database=database, environ=EAGER) as server, Client(server) as client:
        kept = client.push_blob(name, b"kept")
        assert_garbage_goes(server, leave_garbage(client, name))
        assert client.pull_blob(name, kept) == b"kept"


def test_a_worker_that_was_killed_is_started_again(database, name):
    with live_server(database=database, environ=EAGER) as server, Client(server) as client:
        for _ in range(2):
            (worker,) = wait_until(lambda: embedded_workers(server), "there is a worker")
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda worker=worker: worker not in embedded_workers(server), "the worker is gone")
            assert_garbage_goes(server, leave_garbage(client, name))
        assert "ended with -9" in server.log()


def test_celery_does_it_in_its_stead(database, broker, tmp_path, name):
    with live_server(database=database, environ=EAGER) as embedded:
        alone = len(group_processes(embedded))
    with ExitStack() as stack:
        environ = EAGER | {"REGISTRY_CELERY_BROKER": broker}
        server = stack.enter_context(live_server(database=database, environ=environ))
        client = stack.enter_context(Client(server))
        assert len(group_processes(server)) == alone - 1
        keys = leave_garbage(client, name)
        assert count(server, "blobs_storagedeletion") == 1
        stack.enter_context(celery(server, tmp_path, "worker", "--pool", "solo", "--loglevel", "info"))
        beat = ["beat", "--schedule", str(tmp_path / "schedule"), "--pidfile", str(tmp_path / "beat.pid")]
        stack.enter_context(celery(server, tmp_path, *beat))
        assert_garbage_goes(server, keys)
        assert "Traceback" not in (tmp_path / "worker.log").read_text()


def test_workers_of_celery_show_what_they_count(broker, database, tmp_path, name):
    port = free_port()
    environ = EAGER | {"REGISTRY_CELERY_BROKER": broker, "REGISTRY_CELERY_METRICS": f"127.0.0.1:{port}"}

    def figure(series):
        try:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        except httpx.HTTPError:
            return 0
        lines = [line for line in text.splitlines() if line.startswith(series + " ")]
        return float(lines[0].rpartition(" ")[2]) if lines else 0

    with live_server(database=database, environ=environ) as server, Client(server) as client:
        keys = leave_garbage(client, name)
        beat = ["--beat", "--schedule", str(tmp_path / "schedule")]
        with celery(server, tmp_path, "worker", "--concurrency", "2", "--loglevel", "info", *beat):
            assert_garbage_goes(server, keys)
            task = 'task="blobs.drain_deletions"'
            wait_until(lambda: figure(f"lading_background_duration_seconds_count{{{task}}}") >= 2, "rounds are counted")
            assert figure(f"lading_background_last_success_timestamp_seconds{{{task}}}") > 1.7e9
            deleted = 'registry_storage_action_seconds_count{action="DeleteMany",driver="filesystem"}'
            assert figure(deleted) >= 1
        assert "Traceback" not in (tmp_path / "worker.log").read_text()


def test_a_dry_run_of_the_purge_names_what_it_would_remove(database, name):
    environ = EAGER | {f"{PURGING}DRYRUN": "true"}
    with live_server(database=database, environ=environ) as server, Client(server) as client:
        location = client.start_upload(name)
        assert client.patch(location, b"old").status_code == 202
        session_id = location.rpartition("/")[2]
        wait_until(lambda: is_logged(server, session_id), "the log names the expired upload", 20)
        assert client.offset(location) == "0-2"
        key = session_row(server, location)[0]
        assert stored_files(server)[key].read_bytes() == b"old"


def is_logged(server, session_id: str) -> bool:
    """Beside the requests, which name it too."""
    return any(session_id in line and "logger=lading.access" not in line for line in server.log().splitlines())


def test_a_switched_off_purge_leaves_uploads_alone(database, name):
    environ = EAGER | {f"{PURGING}ENABLED": "false"}
    with live_server(database=database, environ=environ) as server, Client(server) as client:
        location = client.start_upload(name)
        assert client.patch(location, b"old").status_code == 202
        expired = "SELECT count(*) FROM blobs_uploadsession WHERE expires_at < CURRENT_TIMESTAMP"
        wait_until(lambda: rows(server, expired)[0][0], "the upload's age is past")
        # Two later rounds of the same worker, seen by what the outbox lets go.
        for _ in range(2):
            refused = client.start_upload(name)
            assert client.complete(refused, digest_of(b"x"), b"y").status_code == 400
            wait_until(lambda: not count(server, "blobs_storagedeletion"), "a round of the background work")
        assert client.offset(location) == "0-2"
