"""How a server ends, and that several can begin at once."""

import os
import secrets
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg

from tests.factories import digest_of
from tests.live.client import Client, random_bytes
from tests.live.conftest import QUICK
from tests.live.inspection import assert_check_finds_nothing, group_processes, is_written, rows, wait_until
from tests.live_server import POSTGRES_VARIABLE, LiveServer, live_server
from tests.raw_http import head

DOWNLOAD = 24 * 1024 * 1024
UPLOAD = 2_000_000
SERVERS = 3


def accepts_connections(server: LiveServer) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", server.port)) == 0


def test_sigterm_lets_transfers_finish_and_refuses_new_ones(database, name):
    with live_server(database=database, environ=QUICK) as server, Client(server) as client:
        content, piece = random_bytes(DOWNLOAD), random_bytes(UPLOAD)
        digest = client.push_blob(name, content)
        location = client.start_upload(name)
        with client.raw() as download, client.raw() as upload:
            download.send(head("GET", f"/v2/{name}/blobs/{digest}"))
            assert download.read_head()[0] == 200
            upload.send(head("PATCH", location, {"Content-Length": str(UPLOAD)}), piece[:1000])
            wait_until(lambda: is_written(server, location), "the upload began")

            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not accepts_connections(server), "new connections are refused")
            assert server.running

            upload.send(piece[1000:])
            assert upload.read_answer("PATCH").status == 202
            assert download.read_exactly(DOWNLOAD) == content
        assert server.process.wait(60) == 0
        assert wait_until(lambda: not group_processes(server), "all its processes ended") is True
        server.start()
        assert client.complete(location, digest_of(piece)).status_code == 201


def test_sigterm_ends_an_idle_server_whatever_is_connected(database):
    with live_server(database=database, environ=QUICK) as server, Client(server) as client:
        with client.raw() as idle:
            assert idle.request("GET", "/v2/").status == 200
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(60) == 0
        assert "Traceback" not in server.log()


def test_nothing_survives_the_main_process(database):
    with live_server(database=database, environ=QUICK) as server:
        assert len(group_processes(server)) >= 3
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait()
        wait_until(lambda: not group_processes(server), "workers and background process ended")
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", server.port))
        server.start()
        with Client(server) as client:
            assert client.request("GET", "").status_code == 200


@contextmanager
def empty_database(database, tmp_path):
    if database == "sqlite":
        yield f"sqlite:///{tmp_path / 'common.sqlite3'}"
        return
    maintenance, fresh = os.environ[POSTGRES_VARIABLE], f"lading_start_{secrets.token_hex(6)}"
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {fresh}")
    try:
        yield maintenance.rpartition("/")[0] + f"/{fresh}"
    finally:
        with psycopg.connect(maintenance, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {fresh} WITH (FORCE)")


def test_three_servers_start_at_once_on_an_empty_database(database, tmp_path, name):
    with empty_database(database, tmp_path) as url:
        servers = []
        for number in range(SERVERS):
            folder = tmp_path / str(number)
            folder.mkdir()
            environ = {**QUICK, "REGISTRY_DATABASE_URL": url, "REGISTRY_WEB_WORKERS": "1"}
            servers.append(LiveServer(database=database, folder=folder, environ=environ, data=tmp_path / "data"))
        try:
            with ThreadPoolExecutor(SERVERS) as pool:
                list(pool.map(LiveServer.start, servers))
            applied = "SELECT app, name FROM django_migrations"
            found = rows(servers[0], applied)
            assert len(found) == len(set(found)) > 0
            with Client(servers[0]) as first, Client(servers[-1]) as last:
                payload = first.push_image(name, "v1", b"pushed to the first")
                assert last.request("GET", f"{name}/manifests/v1").content == payload
            assert_check_finds_nothing(servers[0])
        finally:
            for server in servers:
                server.kill()


def test_an_interrupt_ends_it_as_cleanly(database):
    """A supervisor's SIGINT reaches the main process alone; Ctrl-C in a terminal would reach them all."""
    with live_server(database=database, environ={**QUICK, "REGISTRY_WEB_WORKERS": "1"}) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 0
        wait_until(lambda: not group_processes(server), "all its processes ended")
