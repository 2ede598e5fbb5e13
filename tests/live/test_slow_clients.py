"""Transfers that take their time hold no worker, no lock and no database connection that others need."""

from contextlib import ExitStack

import pytest

from tests.factories import digest_of
from tests.live.client import Client, random_bytes
from tests.live.conftest import QUICK
from tests.live.inspection import is_written, rows, wait_until
from tests.live_server import live_server
from tests.raw_http import head

TRANSFERS = 100
WORKERS, POOL = 2, 4
# Larger than what the sockets of both ends take up, so that the server really waits for the reader.
DOWNLOAD = 24 * 1024 * 1024
UPLOAD = 1_000_000


@pytest.fixture(scope="module")
def narrow_server(database):
    """Few connections to the database, so that a transfer that keeps one is noticed."""
    limits = {"REGISTRY_WEB_WORKERS": str(WORKERS), "REGISTRY_DATABASE_POOL_MAX": str(POOL)}
    with live_server(database=database, environ={**QUICK, **limits}) as running:
        yield running


@pytest.fixture
def narrow_client(narrow_server):
    with Client(narrow_server) as client:
        yield client


def test_a_stalled_upload_blocks_nobody(narrow_server, narrow_client, name):
    client, content = narrow_client, random_bytes(UPLOAD)
    location = client.start_upload(name)
    with client.raw() as stalled:
        stalled.send(head("PATCH", location, {"Content-Length": str(UPLOAD)}), content[: UPLOAD // 2])
        wait_until(lambda: is_written(narrow_server, location), "the upload began")
        payload = client.push_image(name, "meanwhile", b"another layer")
        assert client.request("GET", f"{name}/manifests/meanwhile").content == payload
        assert client.offset(location) == "0-0"
        assert client.request("GET", "/readyz").status_code == 200
        stalled.send(content[UPLOAD // 2 :])
        assert stalled.read_answer("PATCH").status == 202
    assert client.complete(location, digest_of(content)).status_code == 201


def test_others_are_answered_during_100_slow_uploads_and_100_slow_downloads(
    narrow_server, narrow_client, database, name
):
    client = narrow_client
    content = random_bytes(DOWNLOAD)
    digest = client.push_blob(name, content)
    piece = random_bytes(UPLOAD)
    with ExitStack() as stack:
        downloads = [stack.enter_context(client.raw(receive_buffer=16 * 1024)) for _ in range(TRANSFERS)]
        for connection in downloads:
            connection.send(head("GET", f"/v2/{name}/blobs/{digest}"))
        for connection in downloads:
            assert connection.read_head()[0] == 200
        locations = [client.start_upload(name) for _ in range(TRANSFERS)]
        uploads = [stack.enter_context(client.raw()) for _ in range(TRANSFERS)]
        for connection, location in zip(uploads, locations, strict=True):
            connection.send(head("PATCH", location, {"Content-Length": str(UPLOAD)}), piece[:1000])
        writing = "SELECT count(*) FROM blobs_uploadsession WHERE writer_token IS NOT NULL"
        wait_until(lambda: rows(narrow_server, writing)[0][0] == TRANSFERS, "all uploads are under way")

        payload = client.push_image(name, "meanwhile", b"a small layer")
        for _ in range(20):
            assert client.request("GET", f"{name}/manifests/meanwhile").content == payload
            assert client.request("GET", "").status_code == 200
        if database == "postgres":
            # The web processes' pools and that of the background process; ours is the one that asks.
            assert connections(narrow_server) <= (WORKERS + 1) * POOL

        for connection, location in zip(uploads, locations, strict=True):
            connection.send(piece[1000:])
            assert connection.read_answer("PATCH").status == 202, location
        for connection in downloads[:3]:
            assert connection.read_exactly(DOWNLOAD) == content
    assert client.complete(locations[0], digest_of(piece)).status_code == 201
    assert client.pull_blob(name, digest_of(piece)) == piece


def connections(server) -> int:
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return rows(server, statement)[0][0]
