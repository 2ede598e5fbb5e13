"""Whatever an object store does: no acknowledged byte is lost, nothing is left unnamed, and nobody sees a 500.

Each operation runs under each fault, once at each of its requests to the store, and as long as it takes.
"""

import secrets
from datetime import timedelta

import pytest
from django.utils import timezone

from blobs.deletions import drain_storage_deletions
from blobs.integrity import check_integrity
from blobs.models import StorageDeletion
from blobs.storage import get_store
from oci.errors import Unavailable
from registry_project.config import load_configuration
from registry_project.config.stores import django_storage
from tests.factories import NAME, digest_of, image_manifest
from tests.fault_proxy import KINDS, fault_proxy

MIB = 1024 * 1024
# More requests than any operation here makes of the store.
MOST_REQUESTS = 8
ONCE, LASTING = "once", "lasting"

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def proxy(object_service):
    with fault_proxy(object_service.port) as proxy:
        yield proxy


@pytest.fixture
def configure(object_service, proxy, settings, monkeypatch):
    """Puts an object store behind the proxy in place of the local store of other tests."""

    def configure():
        keys = {"rootdirectory": secrets.token_hex(4), "chunksize": str(5 * MIB)}
        environ = object_service.environ(endpoint=proxy.endpoint, **keys)
        storage = load_configuration(None, environ).storage
        settings.STORAGES = {**settings.STORAGES, "blobs": django_storage(storage)}
        get_store.cache_clear()

    settings.REDIRECT_BLOBS = False
    monkeypatch.setattr("blobs.storage.gcs_client.RETRY_SECONDS", 1)
    proxy.heal()
    yield configure
    proxy.heal()
    get_store.cache_clear()


@pytest.fixture
def store(configure):
    configure()
    return get_store()


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=[ONCE, LASTING])
def faults(request, kind, proxy):
    """Ways in which the fault strikes: at the nth request only, or at every one from the first on."""
    if request.param == ONCE:
        return [lambda number=number: proxy.fail(kind, first=number, last=number) for number in range(1, MOST_REQUESTS)]
    return [lambda: proxy.fail(kind)]


@pytest.fixture
def after(proxy, registry):
    """What must hold when all is over."""
    yield
    proxy.heal()
    drain()
    assert [str(finding) for finding in check_integrity()] == []


def drain():
    # Deletions that failed wait for minutes, and so does what the store may still be writing.
    StorageDeletion.objects.update(not_before=timezone.now() - timedelta(seconds=1))
    while drain_storage_deletions():
        pass
    assert StorageDeletion.objects.count() == 0


def assert_pulls(registry, content):
    answer = registry.get(f"/v2/{NAME}/blobs/{digest_of(content)}")
    assert (answer.status, answer.body == content) == (200, True)


def offset_of(registry, location):
    answer = registry.get(location)
    assert answer.status == 204, answer
    return int(answer.headers["Range"].removeprefix("0-"))


@pytest.mark.usefixtures("after")
@pytest.mark.parametrize("sizes", [(10, 20), (6 * MIB, 7 * MIB)], ids=["small", "large"])
def test_upload(registry, proxy, faults, sizes):
    for strike in faults:
        first, second = (secrets.token_bytes(size) for size in sizes)
        location = registry.start_upload()
        assert registry.patch(location, first).status == 202
        strike()
        answer = registry.patch(location, second, Content_Range=f"{len(first)}-{len(first) + len(second) - 1}")
        proxy.heal()
        assert answer.status in {202, 503}, answer
        known = len(first) + (len(second) if answer.status == 202 else 0)
        assert offset_of(registry, location) == known - 1
        content = first + second
        answer = registry.put(f"{location}?digest={digest_of(content)}", content[known:])
        assert answer.status == 201, answer
        assert_pulls(registry, content)


@pytest.mark.usefixtures("after")
@pytest.mark.parametrize("size", [10, 13 * MIB], ids=["small", "large"])
@pytest.mark.parametrize("repeated", [True, False], ids=["with body", "without"])
def test_finalize(registry, proxy, faults, size, repeated):
    for strike in faults:
        content = secrets.token_bytes(size)
        location = registry.start_upload()
        body = content if repeated else b""
        if not repeated:
            assert registry.patch(location, content).status == 202
        strike()
        answer = registry.put(f"{location}?digest={digest_of(content)}", body)
        proxy.heal()
        assert answer.status in {201, 503}, answer
        if answer.status == 503:
            answer = registry.put(f"{location}?digest={digest_of(content)}", body)
            assert answer.status == 201, answer
        assert_pulls(registry, content)


@pytest.mark.usefixtures("after")
def test_whole_blob_in_one_request(registry, proxy, faults):
    for strike in faults:
        content = secrets.token_bytes(6 * MIB)
        strike()
        answer = registry.post(f"/v2/{NAME}/blobs/uploads/?digest={digest_of(content)}", content)
        proxy.heal()
        assert answer.status in {201, 503}, answer
        if answer.status == 503:
            registry.push_blob(content)
        assert_pulls(registry, content)


@pytest.mark.usefixtures("after")
def test_manifest_needs_no_store(registry, proxy, kind):
    registry.push_blob(b"{}")
    proxy.fail(kind)
    assert registry.put_manifest(image_manifest(), "latest").status == 201
    assert registry.get(f"/v2/{NAME}/manifests/latest").status == 200
    assert proxy.hits == 0


@pytest.mark.usefixtures("after")
def test_get(registry, proxy, faults):
    content = secrets.token_bytes(2 * MIB)
    registry.push_blob(content)
    for strike in faults:
        strike()
        try:
            answer = registry.get(f"/v2/{NAME}/blobs/{digest_of(content)}")
        except Unavailable:
            answer = None  # Broken off behind the headers: the client's connection breaks.
        proxy.heal()
        if answer is not None:
            assert answer.status in {200, 503}, answer.status
            assert answer.status == 503 or answer.body == content
        assert_pulls(registry, content)


def test_get_that_breaks_in_the_middle_goes_on_there(registry, proxy):
    content = secrets.token_bytes(2 * MIB)
    registry.push_blob(content)
    proxy.fail("truncated", last=1)
    assert_pulls(registry, content)
    assert proxy.hits == 1
    assert proxy.seen == 2


@pytest.mark.usefixtures("after")
def test_delete(registry, proxy, faults):
    for strike in faults:
        location = registry.start_upload()
        assert registry.patch(location, secrets.token_bytes(6 * MIB)).status == 202
        strike()
        assert registry.delete(location).status == 204
        StorageDeletion.objects.update(not_before=timezone.now() - timedelta(seconds=1))
        drain_storage_deletions()
        proxy.heal()
        drain()


@pytest.mark.parametrize("kind", ["delay", "reset"])
def test_store_that_does_not_answer_ends_in_503(registry, proxy, configure, kind, monkeypatch):
    monkeypatch.setattr("registry_project.config.stores.READ_SECONDS", 0.2)
    monkeypatch.setattr("tests.fault_proxy.DELAY_SECONDS", 2)
    configure()
    proxy.fail(kind)
    answer = registry.post(f"/v2/{NAME}/blobs/uploads/?digest={digest_of(b'x')}", b"x")
    assert (answer.status, answer.codes) == (503, ["UNAVAILABLE"])
    assert answer.headers["Retry-After"]
    with pytest.raises(Unavailable):
        get_store().check()
