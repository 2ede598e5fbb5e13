"""A storage without space: a small file system in a mount namespace of the server's own."""

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.factories import digest_of
from tests.live.client import Client, codes, random_bytes
from tests.live.conftest import QUICK
from tests.live.inspection import assert_check_finds_nothing, count, session_row, wait_until
from tests.live_server import live_server

MIB = 1024 * 1024
DISK = 16 * MIB


@pytest.fixture(scope="module")
def may_mount(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mount")
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("the program unshare is missing")
    if result.returncode:
        pytest.skip(f"no private mount namespace here: {result.stderr.strip()}")


@pytest.fixture
def full_server(may_mount, database):
    """A server whose root directory holds 16 MiB; its database lies elsewhere."""
    with live_server(database=database, environ=QUICK) as server:
        server.stop()
        plain = server.command()
        mount = f'mount -t tmpfs -o size={DISK} tmpfs "$0" && exec "$@"'
        server.command = lambda: ["unshare", "-m", "sh", "-c", mount, str(server.data), *plain]
        server.start()
        yield server


@pytest.fixture
def disk(full_server) -> Path:
    """The root directory as the server sees it."""
    return Path(f"/proc/{full_server.pid}/root{full_server.data}")


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(MIB)):
            pass
    return filler


def test_a_full_disk_is_refused_and_loses_nothing(full_server, disk, name):
    with Client(full_server, keep_alive=False) as client:
        earlier = random_bytes(4 * MIB)
        payload = client.push_image(name, "earlier", earlier)
        content = random_bytes(5 * MIB)
        location = client.start_upload(name)
        assert client.patch(location, content[:MIB]).status_code == 202
        filler = fill(disk)

        for refused in (
            client.patch(location, content[MIB:]),
            client.complete(location, digest_of(content), content[MIB:]),
            client.complete(client.start_upload(name), digest_of(content), content),
            client.request("POST", f"{name}/blobs/uploads/", params={"digest": digest_of(content)}, content=content),
        ):
            assert refused.status_code == 507
            assert codes(refused) == ["UNAVAILABLE"]
        assert client.offset(location) == f"0-{MIB - 1}"
        # What was refused takes no room.
        (partial,) = disk.glob(f"{session_row(full_server, location)[0]}*")
        assert partial.stat().st_size == MIB
        assert not client.has_blob(name, digest_of(content))

        assert client.request("GET", f"{name}/manifests/earlier").content == payload
        assert client.pull_blob(name, digest_of(earlier)) == earlier
        assert client.put_manifest(name, "later", payload).status_code == 201

        filler.unlink()
        assert client.patch(location, content[MIB:], Content_Range=f"{MIB}-{len(content) - 1}").status_code == 202
        assert client.complete(location, digest_of(content)).status_code == 201
        assert client.pull_blob(name, digest_of(content)) == content
        wait_until(lambda: count(full_server, "blobs_storagedeletion") == 0, "what was refused is deleted")
        inside = ["nsenter", f"--mount=/proc/{full_server.pid}/ns/mnt"]
        assert_check_finds_nothing(full_server, before=inside)


def test_deleting_makes_room_while_the_disk_is_full(full_server, disk, name):
    with Client(full_server, keep_alive=False) as client:
        location = client.start_upload(name)
        assert client.patch(location, random_bytes(4 * MIB)).status_code == 202
        fill(disk)
        waiting = client.start_upload(name)
        content = random_bytes(2 * MIB)
        assert client.patch(waiting, content).status_code == 507
        assert client.request("DELETE", location).status_code == 204
        wait_until(lambda: count(full_server, "blobs_storagedeletion") == 0, "the cancelled bytes are deleted")
        assert client.complete(waiting, digest_of(content), content).status_code == 201
