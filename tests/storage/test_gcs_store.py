"""What is particular to Google Cloud Storage: parts that are objects, composing them, addresses, remains."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from google.api_core.exceptions import PreconditionFailed, ServiceUnavailable
from google.cloud.storage import Blob

from blobs.storage import BytesMissing, KeySealed
from oci.errors import StorageFull, Unavailable
from tests.gcs_server import BUCKET
from tests.object_stores import make_object_store

KIB = 1024
CHUNK = 256 * KIB
LARGE = bytes(range(256)) * (3 * KIB)  # three chunks


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("blobs.storage.gcs_client.RETRY_SECONDS", 1)


@pytest.fixture
def store(gcs_service):
    return make_object_store(gcs_service)


@pytest.fixture
def objects(gcs_service, store):
    """What lies under the store's prefix, seen by another client: name to size."""

    def objects():
        found = gcs_service.client().list_blobs(BUCKET, prefix=store.prefix)
        return {blob.name.removeprefix(store.prefix): blob.size for blob in found}

    return objects


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


def test_small_upload_is_an_object_at_once(store, objects):
    key, _, written = begin(store, 1000)
    assert (written.state, objects()) == ({"whole": 1000}, {key: 1000})
    assert store.seal(key, size=1000, state=written.state) is True


def test_each_write_leaves_parts_of_its_own_whatever_their_size(store, objects):
    key, content, written = begin(store, len(LARGE), 1, CHUNK + 1)
    assert sizes_of(written) == [CHUNK, CHUNK, CHUNK, 1, CHUNK, 1]
    assert store.size(key, state=written.state) == len(content)
    assert store.seal(key, size=written.size, state=written.state) is True
    assert objects() == {key: len(content)}
    assert read(store, key, len(content)) == content


def test_number_of_parts_stays_small(store, monkeypatch, objects):
    monkeypatch.setattr("blobs.storage.gcs.MOST_COMPOSED", 3)
    key, content, written = begin(store, *[CHUNK] * 2, *[100] * 20)
    assert len(written.state["parts"]) <= 6
    store.seal(key, size=written.size, state=written.state)
    assert objects() == {key: len(content)}
    assert read(store, key, len(content)) == content


def test_acknowledged_parts_outlive_a_write_that_fails(store, objects, monkeypatch):
    monkeypatch.setattr("blobs.storage.gcs.MOST_COMPOSED", 3)
    key, content, first = begin(store, len(LARGE) - 1)
    before = objects()

    def broken():
        yield LARGE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(key, broken(), offset=first.size, state=first.state)
    assert before.items() <= objects().items()
    second = store.write(key, [b"end"], offset=first.size, state=first.state)
    store.seal(key, size=second.size, state=second.state)
    assert read(store, key, second.size) == content + b"end"


def test_first_write_that_fails_leaves_nothing(store, objects):
    def broken():
        yield LARGE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(store.new_key(), broken(), offset=0, state={})
    assert objects() == {}


def test_parts_of_two_writers_do_not_mix(store):
    key, content, first = begin(store, len(LARGE))
    store.write(key, [LARGE[::-1]], offset=0, state={})
    store.seal(key, size=first.size, state=first.state)
    assert read(store, key, first.size) == content


def test_composition_whose_answer_is_lost_is_found_but_not_trusted(store, monkeypatch):
    key, content, written = begin(store, len(LARGE))
    compose = Blob.compose

    def lost(self, *args, **kwargs):
        compose(self, *args, **kwargs)
        raise ServiceUnavailable("lost")

    monkeypatch.setattr(Blob, "compose", lost)
    assert store.seal(key, size=len(LARGE), state=written.state) is False
    # And so a second request finds it.
    assert store.seal(key, size=len(LARGE), state=written.state) is False
    assert read(store, key, len(LARGE)) == content


def test_part_whose_answer_was_lost_is_stored_once(store, monkeypatch):
    """The client's own repetition finds the part that the first request made."""
    upload = Blob.upload_from_string

    def repeated(self, *args, **kwargs):
        upload(self, *args, **kwargs)
        if ".part." in self.name:
            raise PreconditionFailed("it is there")

    monkeypatch.setattr(Blob, "upload_from_string", repeated)
    key, content, written = begin(store, len(LARGE))
    store.seal(key, size=written.size, state=written.state)
    assert read(store, key, written.size) == content


def test_composes_only_where_there_is_nothing(store, monkeypatch):
    asked = []
    compose = Blob.compose
    monkeypatch.setattr(
        Blob, "compose", lambda self, *args, **kwargs: (asked.append(kwargs), compose(self, *args, **kwargs))
    )
    key, _, written = begin(store, len(LARGE))
    store.seal(key, size=written.size, state=written.state)
    assert [kwargs["if_generation_match"] for kwargs in asked] == [0]


def test_object_that_is_there_is_never_replaced(store):
    """A request that was thought dead completes its own upload of the same key, later."""
    key, content, first = begin(store, len(LARGE))
    second = store.write(key, [LARGE[::-1], b"more"], offset=0, state={})
    store.seal(key, size=first.size, state=first.state)
    with pytest.raises(BytesMissing):
        store.seal(key, size=second.size, state=second.state)
    with pytest.raises(KeySealed) as caught:
        store.write(key, [b"ab", b"cd"], offset=0, state={})
    assert b"".join(caught.value.pending) == b"abcd"
    assert read(store, key, first.size) == content


def test_sealed_upload_that_goes_on_gets_another_key(store):
    key, _, written = begin(store, len(LARGE))
    store.seal(key, size=written.size, state=written.state)
    with pytest.raises(KeySealed):
        store.write(key, [b"more"], offset=written.size, state=written.state)


def test_upload_whose_parts_are_gone_is_missing(store, gcs_service):
    key, _, written = begin(store, len(LARGE))
    for blob in gcs_service.client().list_blobs(BUCKET, prefix=f"{store.prefix}{key}.part."):
        blob.delete()
    assert store.size(key, state=written.state) is None
    with pytest.raises(BytesMissing):
        store.seal(key, size=written.size, state=written.state)


def test_delete_takes_parts_away_and_leaves_keys_that_begin_alike(store, objects):
    keys = [begin(store, len(LARGE), 100)[0] for _ in range(3)]
    for key in ("blobs/aa/one", "blobs/aa/one2", "blobs/aa/one.partial"):
        store.write(key, [b"x"], offset=0, state={})
    assert {(item.key, item.complete) for item in store.objects() if item.key in keys} == {(k, False) for k in keys}
    assert store.size(keys[0]) == len(LARGE) + 100
    assert store.delete_many([*keys, "blobs/aa/one", "blobs/no/such"]) == {}
    assert set(objects()) == {"blobs/aa/one2", "blobs/aa/one.partial"}


def test_reading_never_asks_for_more_than_the_range(store):
    key, content, written = begin(store, len(LARGE))
    store.seal(key, size=written.size, state=written.state)
    stream = store.open_range(key, 100, 200)
    assert stream._body.headers["Content-Length"] == "100"
    assert b"".join(stream) == content[100:200]


def test_signed_address_names_key_lifetime_and_type(store):
    key, content, _ = begin(store, 1000)
    url = store.signed_url(key, lifetime=timedelta(minutes=20))
    query = parse_qs(urlsplit(url).query)
    assert query["X-Goog-Expires"] == ["1200"]
    assert query["X-Goog-Algorithm"] == ["GOOG4-RSA-SHA256"]
    assert query["response-content-type"] == ["application/octet-stream"]
    assert query["response-content-disposition"] == ["attachment"]
    assert len(query["X-Goog-Signature"][0]) == 512
    answer = httpx.get(url, headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, content[10:20])
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_without_a_key_of_its_own_nobody_is_sent_away(gcs_service):
    store = make_object_store(gcs_service, credentials="{}")
    key, content, _ = begin(store, 1000)
    assert store.signed_url(key, lifetime=timedelta(minutes=20)) is None
    assert read(store, key, 1000) == content


def test_emulator_of_the_environment_is_found(gcs_service, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_service.endpoint)
    store = make_object_store(gcs_service, credentials="{}", endpoint="")
    store.check()
    key, content, _ = begin(store, 10)
    assert read(store, key, 10) == content


def test_objects_are_stored_as_downloads(store, gcs_service):
    small, (large, _, written) = begin(store, 10)[0], begin(store, len(LARGE))
    store.seal(large, size=written.size, state=written.state)
    bucket = gcs_service.client().bucket(BUCKET)
    for key in (small, large):
        blob = bucket.get_blob(store.prefix + key)
        assert (blob.content_type, blob.content_disposition) == ("application/octet-stream", "attachment")


@pytest.mark.parametrize(("status", "refusal"), [(403, Unavailable), (507, StorageFull)])
def test_refusals_of_the_store_are_the_registrys(store, monkeypatch, status, refusal):
    def refuse(self, *args, **kwargs):
        error = ServiceUnavailable("no")
        error.code = status
        raise error

    monkeypatch.setattr(Blob, "upload_from_string", refuse)
    with pytest.raises(refusal):
        begin(store, 10)


def test_bucket_that_is_not_there_is_unavailable(gcs_service):
    store = make_object_store(gcs_service, bucket="no-such-bucket")
    with pytest.raises(Unavailable):
        store.check()
