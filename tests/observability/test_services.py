"""PostgreSQL and Redis as services that come and go while Lading runs on."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import httpx
import pytest

from tests.live.client import Client, codes
from tests.live.inspection import count, wait_until
from tests.live_server import PROJECT, LiveServer, free_port
from tests.services import ServiceUnavailable, private_postgres, private_redis
from tests.services.postgres import _postgres_program, _postgres_user
from tests.services.processes import dies_with_parent, run_as

pytestmark = pytest.mark.live

RECOVERY_SECONDS = 10
TIMEOUT_SECONDS = 2


@pytest.fixture
def postgres():
    try:
        # Killed, it must keep what it has confirmed.
        with private_postgres(durable=True) as server:
            yield server
    except ServiceUnavailable as missing:
        pytest.skip(str(missing))


@contextmanager
def registry_on(postgres, tmp_path, **environ):
    server = LiveServer(
        database="postgres",
        folder=tmp_path,
        environ={
            "REGISTRY_DATABASE_URL": postgres.create_database("lading"),
            "REGISTRY_DATABASE_TIMEOUT": f"{TIMEOUT_SECONDS}s",
            "REGISTRY_WEB_WORKERS": "2",
            "REGISTRY_GC_INTERVAL": "500ms",
            **environ,
        },
    )
    try:
        server.start()
        with Client(server) as client:
            yield server, client
    finally:
        server.kill()


@contextmanager
def started_again(postgres):
    """The same cluster on the same port, after its first process was killed."""
    (postgres.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
    user = _postgres_user()
    port = postgres.url.rpartition(":")[2].partition("/")[0]
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": postgres.folder,
        "fsync": "off",
    }
    with (postgres.folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [_postgres_program("postgres"), "-D", str(postgres.folder / "data")]
            + [f"--{name}={value}" for name, value in options.items()],
            cwd=postgres.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGQUIT),
            **run_as(user),
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(30)


def statuses(client, path, times=6):
    return {client.request("GET", path).status_code for _ in range(times)}


def assert_refused(client, path):
    answer = client.request("GET", path)
    assert (answer.status_code, codes(answer)) == (503, ["UNAVAILABLE"])
    assert int(answer.headers["Retry-After"]) > 0


def group(process):
    """The process and its children: PostgreSQL's backends."""
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout
    return [process.pid, *map(int, children.split())]


def kill(process):
    for pid in group(process):
        with suppress(ProcessLookupError):  # Some end by themselves when the first is gone.
            os.kill(pid, signal.SIGKILL)
    process.wait(30)


def test_a_killed_database_is_503_until_it_is_back(postgres, tmp_path):
    with registry_on(postgres, tmp_path) as (server, client):
        payload = client.push_image("svc/killed", "v1", b"layer")
        path = "svc/killed/manifests/v1"
        assert statuses(client, path) == {200}
        kill(postgres.process)
        wait_until(lambda: statuses(client, path, 1) == {503}, "the loss is noticed", 30)
        assert_refused(client, path)
        assert client.request("GET", "/healthz").status_code == 200
        assert client.request("GET", "/readyz").status_code == 503
        time.sleep(15)  # Long enough that the pool's own pauses between attempts have grown.
        with started_again(postgres):
            began = time.monotonic()
            wait_until(lambda: statuses(client, path) == {200}, "it works again", 60)
            assert time.monotonic() - began < RECOVERY_SECONDS + TIMEOUT_SECONDS
            assert client.request("GET", path).content == payload
            client.push_image("svc/killed", "v2", b"another")
            assert server.running
            server.stop()


def test_a_hung_database_is_503_in_time(postgres, tmp_path):
    with registry_on(postgres, tmp_path) as (_, client):
        client.push_image("svc/hung", "v1", b"layer")
        path = "svc/hung/manifests/v1"
        assert statuses(client, path) == {200}
        stopped = group(postgres.process)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            answer = client.http.get(f"/v2/{path}", timeout=30)
            assert (answer.status_code, codes(answer)) == (503, ["UNAVAILABLE"])
            assert client.http.get("/healthz", timeout=5).status_code == 200
            assert client.http.get(f"/v2/{path}", timeout=30).status_code == 503
            assert client.http.get("/healthz", timeout=5).status_code == 200
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        wait_until(lambda: statuses(client, path) == {200}, "it works again", 60)


def test_a_slow_statement_ends_and_migrations_have_time(postgres, tmp_path):
    url = postgres.create_database("slow")
    code = """
import django; django.setup()
from django.db import connection, OperationalError
from registry_project.database import lift_time_limit
try:
    connection.cursor().execute("SELECT pg_sleep(30)")
    print("slept")
except OperationalError as error:
    print(type(error.__cause__).__name__)
lift_time_limit()
connection.cursor().execute("SELECT pg_sleep(3)")
print("had time")
"""
    environ = {
        **os.environ,
        "REGISTRY_DATABASE_URL": url,
        "REGISTRY_DATABASE_TIMEOUT": "500ms",
        "DJANGO_SETTINGS_MODULE": "registry_project.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split("\n")[:2] == ["QueryCanceled", "had time"], done.stderr


@contextmanager
def celery(server, tmp_path):
    """A worker with beat, as an operator runs them; ends with the block."""
    command = [sys.executable, "-m", "celery", "-A", "registry_project", "worker", "--beat", "--pool", "solo"]
    command += ["-l", "info", "--schedule", str(tmp_path / "beat"), "--without-mingle", "--without-gossip"]
    with (tmp_path / "celery.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=server.environ, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def delete_something(client, server):
    digest = client.push_blob("svc/redis", os.urandom(100))
    location = client.start_upload("svc/redis")
    assert client.patch(location, b"given up").status_code == 202
    assert client.request("DELETE", location).status_code == 204
    assert client.pull_blob("svc/redis", digest)


def warning(client):
    """What /readyz says of Celery, which never makes it red."""
    answer = client.request("GET", "/readyz")
    assert (answer.status_code, answer.json()["problems"]) == (200, {})
    return answer.json()["warnings"].get("celery", "")


def test_a_missing_worker_is_told(postgres, tmp_path):
    with registry_on(postgres, tmp_path, REGISTRY_CELERY_BROKER="memory://") as (_, client):
        wait_until(lambda: "no worker" in warning(client), "the lack is told")


def test_a_killed_redis_costs_only_speed(postgres, tmp_path):
    try:
        redis = private_redis()
        first = redis.__enter__()
    except ServiceUnavailable as missing:
        pytest.skip(str(missing))
    port = first.url.rpartition(":")[2].partition("/")[0]
    try:
        with (
            registry_on(postgres, tmp_path, REGISTRY_CELERY_BROKER=first.url) as (server, client),
            celery(server, tmp_path),
        ):
            delete_something(client, server)
            wait_until(lambda: count(server, "blobs_storagedeletion") == 0, "the worker works", 90)
            wait_until(lambda: warning(client) == "", "a worker answers")
            first.process.kill()
            first.process.wait(30)
            payload = client.push_image("svc/redis", "v1", b"layer")
            assert client.request("GET", "svc/redis/manifests/v1").content == payload
            wait_until(lambda: "broker" in warning(client), "the loss is told")
            delete_something(client, server)
            assert count(server, "blobs_storagedeletion") > 0
            again = subprocess.Popen(
                ["redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", str(tmp_path)],
                stdout=subprocess.DEVNULL,
                preexec_fn=dies_with_parent(signal.SIGTERM),
            )
            try:
                wait_until(lambda: count(server, "blobs_storagedeletion") == 0, "the work goes on", 120)
                wait_until(lambda: warning(client) == "", "the worker answers again")
            finally:
                again.kill()
                again.wait(30)
    finally:
        redis.__exit__(None, None, None)


def test_the_listener_stays_up_without_a_database(postgres, tmp_path):
    port = free_port()
    more = {
        "REGISTRY_HTTP_DEBUG_ADDR": f"127.0.0.1:{port}",
        "REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED": "true",
    }

    def says(*figures):
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60, trust_env=False).text
        return all(f"\n{figure}\n" in text for figure in figures)

    with registry_on(postgres, tmp_path, **more) as (_, client):
        client.push_blob("svc/metrics", b"x")
        wait_until(lambda: says("lading_upload_bytes_total 1.0", "lading_database_up 1.0"), "both are counted")
        kill(postgres.process)
        wait_until(lambda: says("lading_upload_bytes_total 1.0", "lading_database_up 0.0"), "the loss is seen")
