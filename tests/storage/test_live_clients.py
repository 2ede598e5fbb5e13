"""Whole images, uploads that break off, and power cuts, on a Lading that stores in an object store."""

import random
import secrets
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.clients.images import random_image, small_image
from tests.clients.programs import Client as Program
from tests.clients.programs import find_program, private_environment
from tests.factories import digest_of
from tests.live.client import Client, in_pieces
from tests.live.conftest import QUICK
from tests.live.inspection import assert_check_finds_nothing, is_written, session_row, wait_until, wait_until_drained
from tests.live.test_crashes import Journal, assert_everything_is_there, push_until_the_end
from tests.live_server import default_database, live_server
from tests.raw_http import head

MIB = 1024 * 1024


@pytest.fixture
def client(object_live):
    with Client(object_live) as client:
        client.http.follow_redirects = True
        yield client


@pytest.fixture
def repository():
    return f"objects/{secrets.token_hex(4)}"


@pytest.fixture
def program(tmp_path):
    def find(name):
        path = find_program(name)
        if path is None:
            pytest.skip(f"{name} is not installed; scripts/install-clients installs it")
        return Program(path, private_environment(tmp_path / "home"), tmp_path)

    return find


@pytest.fixture(params=["small", "large"])
def image(request, tmp_path):
    if request.param == "small":
        return small_image(tmp_path / "image", seed=secrets.token_hex(8))
    return random_image(tmp_path / "image", size=23 * MIB)


def assert_same(image, folder):
    for digest in [*image.manifests, *image.blobs]:
        assert (folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes() == image.read(digest)


def test_skopeo_round_trip(object_live, program, repository, image, tmp_path):
    skopeo, target = program("skopeo"), f"docker://{object_live.host}/{repository}:v1"
    skopeo("copy", "--dest-tls-verify=false", "--preserve-digests", image.reference, target)
    skopeo("copy", "--src-tls-verify=false", "--preserve-digests", target, f"oci:{tmp_path / 'pulled'}:v1")
    assert_same(image, tmp_path / "pulled")


def test_crane_round_trip(object_live, program, repository, image, tmp_path):
    crane, target = program("crane"), f"{object_live.host}/{repository}:v1"
    crane("push", image.folder, target)
    crane("pull", "--format=oci", target, tmp_path / "pulled")
    assert_same(image, tmp_path / "pulled")


def test_blob_get_is_redirected_and_head_is_not(object_live, client, repository):
    digest = client.push_blob(repository, b"content")
    client.http.follow_redirects = False
    for query in ("GET", "HEAD"):
        answer = client.request(query, f"{repository}/blobs/{digest}")
        assert answer.status_code == (307 if object_live.redirects and query == "GET" else 200)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (MIB, 5 * MIB, 17), (7 * MIB, 1, 13 * MIB), (5 * MIB, 5 * MIB, 0)])
def test_chunks_of_any_size_make_one_blob(client, repository, sizes):
    pieces = [secrets.token_bytes(size) for size in sizes]
    location = client.start_upload(repository)
    for piece in pieces[:-1]:
        assert client.patch(location, piece).status_code == 202
    content = b"".join(pieces)
    assert client.complete(location, digest_of(content), pieces[-1]).status_code == 201
    assert client.pull_blob(repository, digest_of(content)) == content


def test_wrong_digest_keeps_nothing(object_live, object_service, client, repository):
    for size in (10, 12 * MIB):
        content = secrets.token_bytes(size)
        location = client.start_upload(repository)
        key = session_row(object_live, location)[0]
        answer = client.complete(location, digest_of(b"other"), content)
        assert answer.status_code == 400, answer.text
        wait_until_drained(object_live)
        assert [name for name in object_service.names() if key in name] == []


def test_upload_that_breaks_off_goes_on_where_it_was(object_live, client, repository):
    content = secrets.token_bytes(20 * MIB)
    location = client.start_upload(repository)
    with client.raw() as connection:
        connection.send(head("PATCH", location, {"Content-Length": str(len(content))}))
        wait_until(lambda: is_written(object_live, location), "the server took the request up")
        connection.send(content[: 13 * MIB])
        connection.abort()
    wait_until(lambda: not is_written(object_live, location), "the server noticed that the client went away")
    offset = session_row(object_live, location)[1]
    assert 0 < offset <= 13 * MIB
    answer = client.patch(location, content[offset:], Content_Range=f"{offset}-{len(content) - 1}")
    assert answer.status_code == 202, answer.text
    assert client.complete(location, digest_of(content)).status_code == 201
    assert client.pull_blob(repository, digest_of(content)) == content


def test_deleted_upload_leaves_the_store(object_live, object_service, client, repository):
    location = client.start_upload(repository)
    for piece in in_pieces(secrets.token_bytes(14 * MIB), 7 * MIB):
        assert client.patch(location, piece).status_code == 202
    key = session_row(object_live, location)[0]
    assert client.request("DELETE", location).status_code == 204
    wait_until_drained(object_live)
    assert [name for name in object_service.names() if key in name] == []


def test_database_and_store_agree(object_live):
    assert_check_finds_nothing(object_live)


@pytest.mark.timeout(600)
def test_what_was_acknowledged_survives_kill_9(object_service):
    choice = random.Random(20_240_301)
    journal = Journal()
    environ = object_service.environ(rootdirectory="crashes", chunksize="5242880")
    environ |= {**QUICK, "REGISTRY_STORAGE_REDIRECT_DISABLE": "true"}
    name = f"crashes/{secrets.token_hex(4)}"
    with live_server(database=default_database(), environ=environ) as server:
        for _ in range(4):
            ended = Event()
            with Client(server) as client, ThreadPoolExecutor(4) as pool:
                seeds = [random.Random(choice.random()) for _ in range(4)]
                pushers = [
                    pool.submit(push_until_the_end, client, journal, f"{name}-{number}", seed, ended)
                    for number, seed in enumerate(seeds)
                ]
                large = leave_open(client, f"{name}-large")
                goal = journal.acknowledged + choice.randrange(10, 40)
                wait_until(lambda goal=goal: journal.acknowledged >= goal, "pushes are acknowledged")
                server.kill()
                ended.set()
                for pusher in pushers:
                    pusher.result()
            server.start()
            with Client(server) as client:
                location, offset = large
                assert client.offset(location) == f"0-{offset - 1}"
        assert_check_finds_nothing(server)
        with Client(server) as client:
            assert_everything_is_there(client, journal)
    assert len(journal.manifests) > 0


def leave_open(client, name):
    """Leave a multipart upload open, whose acknowledged bytes must outlive the cut."""
    location = client.start_upload(name)
    assert client.patch(location, secrets.token_bytes(12 * MIB)).status_code == 202
    return location, 12 * MIB
