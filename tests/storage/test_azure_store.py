"""What is particular to Azure: staged blocks and the list that makes a blob of them, signatures, remains."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ServiceResponseError
from azure.storage.blob import BlobClient, BlobServiceClient, UserDelegationKey

from blobs.storage import BytesMissing, KeySealed
from blobs.storage.part_buffers import Rooms
from oci.errors import StorageFull, Unavailable
from tests.object_stores import make_object_store

KIB = 1024
CHUNK = 256 * KIB
LARGE = bytes(range(256)) * (3 * KIB)  # three chunks


@pytest.fixture
def store(azure_service):
    return make_object_store(azure_service, retry_delay="1ms")


@pytest.fixture
def blobs(azure_service, store):
    """What lies under the store's prefix, seen by another client: name to size, None for what is only staged."""

    def blobs():
        client = azure_service.client()
        names = {blob.name for blob in client.list_blobs(name_starts_with=store.prefix, include=["uncommittedblobs"])}
        sizes = {blob.name: blob.size for blob in client.list_blobs(name_starts_with=store.prefix)}
        return {name.removeprefix(store.prefix): sizes.get(name) for name in names}

    return blobs


def read(store, key, size):
    return b"".join(store.open_range(key, 0, size))


def begin(store, *sizes):
    """Writes of these sizes, one after the other; the key, the content, and what the last one returned."""
    key, content, written = store.new_key(), b"", None
    for size in sizes:
        piece = LARGE[:size]
        written = store.write(key, [piece], offset=len(content), state=written.state if written else {})
        content += piece
    return key, content, written


def sizes_of(written):
    return [size for size, _ in written.state["parts"]]


def test_small_upload_is_a_blob_at_once(store, blobs):
    key, _, written = begin(store, 1000)
    assert (written.state, blobs()) == ({"whole": 1000}, {key: 1000})
    assert store.seal(key, size=1000, state=written.state) is True


def test_each_write_leaves_blocks_of_its_own_whatever_their_size(store, blobs):
    key, content, written = begin(store, len(LARGE), 1, CHUNK + 1)
    assert sizes_of(written) == [CHUNK, CHUNK, CHUNK, 1, CHUNK, 1]
    assert blobs() == {key: None}
    assert store.size(key, state=written.state) == len(content)
    assert store.seal(key, size=written.size, state=written.state) is True
    assert blobs() == {key: len(content)}
    assert read(store, key, len(content)) == content


def test_blocks_grow_so_that_their_number_suffices(store, monkeypatch):
    monkeypatch.setattr("blobs.storage.azure.BLOCKS_OF_ONE_SIZE", 1)
    key, content, written = begin(store, len(LARGE))
    assert sizes_of(written) == [CHUNK, 2 * CHUNK]
    store.seal(key, size=written.size, state=written.state)
    assert read(store, key, written.size) == content


def test_large_upload_waits_for_room(azure_service, monkeypatch):
    monkeypatch.setattr("blobs.storage.part_buffers.WAIT_SECONDS", 0.05)
    rooms = Rooms(1)
    monkeypatch.setattr("blobs.storage.parts.get_rooms", lambda: rooms)
    store = make_object_store(azure_service, chunksize="2M")

    def chunks():
        yield LARGE * 3
        with pytest.raises(Unavailable):
            store.write(store.new_key(), [LARGE * 3], offset=0, state={})

    assert store.write(store.new_key(), chunks(), offset=0, state={}).size == len(LARGE) * 3
    assert store.write(store.new_key(), [LARGE * 3], offset=0, state={}).size == len(LARGE) * 3


def test_more_blocks_than_the_store_takes_are_refused(store, monkeypatch):
    monkeypatch.setattr("blobs.storage.azure.MOST_BLOCKS", 3)
    key, _, written = begin(store, len(LARGE))
    with pytest.raises(StorageFull):
        store.write(key, [b"x"], offset=written.size, state=written.state)


def test_acknowledged_blocks_outlive_a_write_that_fails(store):
    key, content, first = begin(store, len(LARGE))

    def broken():
        yield LARGE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(key, broken(), offset=first.size, state=first.state)
    second = store.write(key, [b"end"], offset=first.size, state=first.state)
    store.seal(key, size=second.size, state=second.state)
    assert read(store, key, second.size) == content + b"end"


def test_blocks_of_two_writers_do_not_mix(store):
    key, content, first = begin(store, len(LARGE))
    store.write(key, [LARGE[::-1]], offset=0, state={})
    store.seal(key, size=first.size, state=first.state)
    assert read(store, key, first.size) == content


def test_list_whose_answer_is_lost_is_found_but_not_trusted(store, monkeypatch):
    key, content, written = begin(store, len(LARGE))
    commit = BlobClient.commit_block_list

    def lost(self, *args, **kwargs):
        commit(self, *args, **kwargs)
        raise ServiceResponseError("lost")

    monkeypatch.setattr(BlobClient, "commit_block_list", lost)
    assert store.seal(key, size=len(LARGE), state=written.state) is False
    # And so a second request finds it.
    assert store.seal(key, size=len(LARGE), state=written.state) is False
    assert read(store, key, len(LARGE)) == content


def test_blob_that_is_there_is_never_replaced(store):
    """A request that was thought dead completes its own upload of the same key, later."""
    key, content, first = begin(store, len(LARGE))
    second = store.write(key, [LARGE[::-1], b"more"], offset=0, state={})
    store.seal(key, size=first.size, state=first.state)
    with pytest.raises(BytesMissing):
        store.seal(key, size=second.size, state=second.state)
    late = store.write(key, [LARGE[::-1], b"more"], offset=0, state={})
    with pytest.raises(BytesMissing):
        store.seal(key, size=late.size, state=late.state)
    with pytest.raises(KeySealed) as caught:
        store.write(key, [b"ab", b"cd"], offset=0, state={})
    assert b"".join(caught.value.pending) == b"abcd"
    assert read(store, key, first.size) == content


def test_sealed_upload_that_goes_on_gets_another_key(store):
    key, _, written = begin(store, len(LARGE))
    store.seal(key, size=written.size, state=written.state)
    with pytest.raises(KeySealed):
        store.write(key, [b"more"], offset=written.size, state=written.state)


def test_upload_whose_blocks_are_gone_is_missing(store):
    """Azure forgets staged blocks after a week."""
    key, _, written = begin(store, len(LARGE))
    gone = {"parts": [[size, block_id[::-1]] for size, block_id in written.state["parts"]]}
    assert store.size(key, state=gone) == 0
    with pytest.raises(BytesMissing):
        store.seal(key, size=written.size, state=gone)
    store.delete(key)
    assert store.size(key, state=written.state) is None


def test_delete_takes_blocks_away_and_leaves_keys_that_begin_alike(store, blobs):
    keys = [begin(store, len(LARGE), 100)[0] for _ in range(3)]
    for key in ("blobs/aa/one", "blobs/aa/one2"):
        store.write(key, [b"x"], offset=0, state={})
    found = {item.key: (item.size, item.complete) for item in store.objects()}
    assert found["blobs/aa/one"] == (1, True)
    assert [found[key] for key in keys] == [(len(LARGE) + 100, False)] * 3
    assert store.size(keys[0]) == len(LARGE) + 100
    assert store.delete_many([*keys, "blobs/aa/one", "blobs/no/such"]) == {}
    assert set(blobs()) == {"blobs/aa/one2"}


def test_reading_never_asks_for_more_than_the_range(store):
    key, content, written = begin(store, len(LARGE))
    store.seal(key, size=written.size, state=written.state)
    stream = store.open_range(key, 100, 200)
    assert stream._body.headers["Content-Length"] == "100"
    assert b"".join(stream) == content[100:200]


def test_signed_address_serves_the_bytes_as_a_download(store):
    key, content, _ = begin(store, 1000)
    url = store.signed_url(key, lifetime=timedelta(minutes=20))
    answer = httpx.get(url, headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, content[10:20])
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert parse_qs(urlsplit(url).query)["sp"] == ["r"]
    # Signed for reading only, and for this key only.
    assert httpx.put(url, content=b"x", headers={"x-ms-blob-type": "BlockBlob"}).status_code == 403
    assert httpx.get(url.replace(key, key[:-1])).status_code == 403
    past = store.signed_url(key, lifetime=timedelta(minutes=-1))
    assert httpx.get(past).status_code == 403


def test_blobs_are_stored_as_downloads(store, azure_service):
    small, (large, _, written) = begin(store, 10)[0], begin(store, len(LARGE))
    store.seal(large, size=written.size, state=written.state)
    for key in (small, large):
        settings = azure_service.client().get_blob_client(store.prefix + key).get_blob_properties().content_settings
        assert (settings.content_type, settings.content_disposition) == ("application/octet-stream", "attachment")


def test_repetitions_wait_as_configured(azure_service, monkeypatch):
    waits = []
    monkeypatch.setattr("azure.core.pipeline.transport.HttpTransport.sleep", lambda self, pause: waits.append(pause))
    store = make_object_store(azure_service, serviceurl="http://127.0.0.1:9/lading", max_retries="3", retry_delay="2s")
    with pytest.raises(Unavailable):
        store.check()
    assert waits == [2, 4, 6]


@pytest.mark.parametrize(("status", "refusal"), [(403, Unavailable), (507, StorageFull)])
def test_refusals_of_the_store_are_the_registrys(store, monkeypatch, status, refusal):
    def refuse(self, *args, **kwargs):
        error = HttpResponseError("no")
        error.status_code = status
        raise error

    monkeypatch.setattr(BlobClient, "upload_blob", refuse)
    with pytest.raises(refusal):
        begin(store, 10)


@pytest.mark.parametrize("keys", [{"accountkey": "d3Jvbmc="}, {"container": "no-such-container"}])
def test_store_that_lets_nobody_in_is_unavailable(azure_service, keys):
    store = make_object_store(azure_service, **keys)
    with pytest.raises(Unavailable):
        store.check()


class Tokens:
    """A credential that gives tokens, and counts them."""

    def get_token(self, scope):
        assert scope == "https://storage.azure.com/.default"
        return AccessToken("a-token", 2**31)


@pytest.fixture
def token_store(azure_service, monkeypatch):
    monkeypatch.setattr("blobs.storage.azure_client._token_credential", lambda secret: Tokens())
    return make_object_store(azure_service, accountkey="", serviceurl="https://account.example.org")


def test_token_reads_and_signs_by_a_key_that_is_asked_for_once(token_store, monkeypatch):
    asked = []

    def give(self, starts_at, expires_at):
        key = UserDelegationKey()
        key.signed_oid = key.signed_tid = "id"
        key.signed_start, key.signed_expiry = "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"
        key.signed_service, key.signed_version, key.value = "b", "2023-11-03", "a2V5"
        asked.append(expires_at - starts_at)
        return key

    monkeypatch.setattr(BlobServiceClient, "get_user_delegation_key", give)
    assert token_store._access.headers()["Authorization"] == "Bearer a-token"
    assert token_store._access.query("any") == ""
    query = [parse_qs(urlsplit(token_store.signed_url("blobs/x", lifetime=timedelta(1))).query) for _ in range(3)]
    assert query[0]["skoid"] == ["id"]
    assert query[0]["rsct"] == ["application/octet-stream"]
    assert len(asked) == 1


def test_token_that_may_not_sign_sends_nobody_away(token_store, monkeypatch):
    def refuse(self, *args):
        raise HttpResponseError("AuthorizationPermissionMismatch")

    monkeypatch.setattr(BlobServiceClient, "get_user_delegation_key", refuse)
    assert token_store.signed_url("blobs/x", lifetime=timedelta(minutes=20)) is None
