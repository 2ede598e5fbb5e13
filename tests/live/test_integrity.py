"""Damage under a server that runs, and a repair that is killed."""

import json
import secrets
import signal
import subprocess
import sys

import pytest

from tests.factories import digest_of
from tests.live.client import Client
from tests.live.inspection import (
    assert_check_finds_nothing,
    assert_every_byte_is_named_once,
    count,
    rows,
    wait_until,
)
from tests.live_server import PROJECT, live_server

STRAYS = 1500
CHECK = [sys.executable, str(PROJECT / "manage.py"), "check", "--repair", "--older-than", "0s", "--json"]


@pytest.fixture
def scrubbing(database):
    environ = {"REGISTRY_SCRUB_INTERVAL": "1s", "REGISTRY_GC_INTERVAL": "500ms", "REGISTRY_WEB_WORKERS": "1"}
    with live_server(database=database, environ=environ) as server:
        yield server


def test_server_finds_damage_by_itself_and_a_push_heals_it(scrubbing):
    layer = secrets.token_bytes(100_000)
    address = f"/v2/live/damage/blobs/{digest_of(layer)}"
    with Client(scrubbing) as client:
        client.push_image("live/damage", "1.0", layer)
        ((key,),) = rows(scrubbing, "SELECT storage_key FROM blobs_blob WHERE digest = %s", digest_of(layer))
        with (scrubbing.data / key).open("r+b") as file:
            file.seek(50_000)
            file.write(bytes([layer[50_000] ^ 1]))
        wait_until(lambda: client.request("GET", address).status_code == 404, "the damage is found")
        assert not client.has_blob("live/damage", digest_of(layer))
        ((detail,),) = rows(
            scrubbing, "SELECT detail FROM events_auditevent WHERE action = 'blob.quarantine' AND team = ''"
        )
        assert "live/damage:1.0" in (detail if isinstance(detail, str) else json.dumps(detail))
        client.push_image("live/damage", "1.0", layer)
        assert client.pull_blob("live/damage", digest_of(layer)) == layer
    assert_check_finds_nothing(scrubbing)


def test_a_repair_that_is_killed_is_finished_by_the_next(database):
    with live_server(database=database) as server:
        with Client(server) as client:
            client.push_image("live/killed", "1.0", b"whole")
        folder = server.data / "blobs" / "zz"
        folder.mkdir(parents=True)
        for number in range(STRAYS):
            (folder / f"{number:04}").write_bytes(b"stray")
        before = count(server, "blobs_storagedeletion")
        process = subprocess.Popen(CHECK, cwd=PROJECT, env=server.environ, stdout=subprocess.DEVNULL)
        wait_until(lambda: count(server, "blobs_storagedeletion") > before + 20, "the repair is at work")
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = count(server, "blobs_storagedeletion")
        assert done < STRAYS
        again = subprocess.run(CHECK, cwd=PROJECT, env=server.environ, capture_output=True, text=True, check=False)
        assert again.returncode == 3, again.stderr
        assert json.loads(again.stdout.splitlines()[-1])["found"] == {"unnamed": STRAYS - done + before}
        assert_every_byte_is_named_once(server)
        assert_check_finds_nothing(server)
