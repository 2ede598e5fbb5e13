"""Memory does not grow with what is transferred."""

import hashlib

import pytest

from tests.live.client import Client
from tests.live.conftest import QUICK
from tests.live.inspection import memory
from tests.live_server import live_server
from tests.raw_http import CHUNKED, LAST_CHUNK, chunk, head

MIB = 1024 * 1024
SIZE = 1024 * MIB
PIECE = 4 * MIB
# Measured: 10 to 12 MiB of growth. A registry that held a tenth of the blob would not pass.
MOST_GROWTH = 100 * MIB


@pytest.mark.timeout(300)
def test_a_blob_of_1_gib_passes_through_bounded_memory(database, name, capsys):
    piece = bytes(range(256)) * (PIECE // 256)
    hasher = hashlib.sha256()
    for _ in range(SIZE // PIECE):
        hasher.update(piece)
    digest = f"sha256:{hasher.hexdigest()}"
    with live_server(database=database, environ=QUICK) as server, Client(server) as client:
        client.push_image(name, "warm", b"everything is loaded now")
        before = memory(server, "VmRSS")
        location = client.start_upload(name)
        with client.raw(timeout=240) as connection:
            connection.send(head("PATCH", location, CHUNKED))
            for _ in range(SIZE // PIECE):
                connection.send(chunk(piece))
            connection.send(LAST_CHUNK)
            assert connection.read_answer("PATCH").status == 202
        assert client.complete(location, digest).status_code == 201
        hasher = hashlib.sha256()
        with client.http.stream("GET", f"/v2/{name}/blobs/{digest}") as answer:
            for part in answer.iter_raw(PIECE):
                hasher.update(part)
        assert f"sha256:{hasher.hexdigest()}" == digest
        # The highest that each process ever was, even if not at the same time.
        growth = memory(server, "VmHWM") - before
    with capsys.disabled():
        print(f" [{before / MIB:.0f} MiB resident, {growth / MIB:.0f} MiB more at the peak] ", end="")
    assert growth < MOST_GROWTH
