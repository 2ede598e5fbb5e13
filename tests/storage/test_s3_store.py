"""What is particular to S3: parts, tails, conditional writes, addresses, remains."""

import threading
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from botocore.awsrequest import HeadersDict
from botocore.exceptions import ClientError, ConnectionClosedError

from blobs.storage import BytesMissing, KeySealed
from blobs.storage.part_buffers import Rooms
from blobs.storage.s3_client import SMALLEST_PART, distrust_torn_answer
from oci.errors import Unavailable
from tests.fault_proxy import fault_proxy
from tests.object_stores import make_object_store
from tests.s3_server import BUCKET

MIB = 1024 * 1024
LARGE = bytes(range(256)) * (12 * MIB // 256)


@pytest.fixture
def store(s3_service):
    return make_object_store(s3_service)


@pytest.fixture
def bucket(s3_service, store):
    """What lies under the store's prefix, seen by another client."""
    return Bucket(s3_service.client(), store.prefix)


class Bucket:
    def __init__(self, client, prefix):
        self.client, self.prefix = client, prefix

    def objects(self):
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=self.prefix).get("Contents", ())
        return {item["Key"].removeprefix(self.prefix): item["Size"] for item in found}

    def uploads(self):
        found = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=self.prefix).get("Uploads", ())
        return [item["Key"].removeprefix(self.prefix) for item in found]

    def head(self, key):
        return self.client.head_object(Bucket=BUCKET, Key=self.prefix + key)


class Calls:
    """Counts what the store asks for, and can lose an answer or refuse a request."""

    def __init__(self, store, monkeypatch):
        self.names = []
        self.lost = {}
        for client in {id(client): client for client in (store._client, store._patient)}.values():
            client.meta.events.register("before-call.s3", self._before)
            client.meta.events.register("after-call.s3", self._after)

    def _before(self, model, **_):
        self.names.append(model.name)

    def _after(self, model, parsed, http_response, **_):
        if self.lost.pop(model.name, None):
            raise ConnectionClosedError(endpoint_url="of the store")


@pytest.fixture
def calls(store, monkeypatch):
    return Calls(store, monkeypatch)


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


def test_small_upload_is_one_request_and_one_question(store, calls, bucket):
    key, _content, written = begin(store, 1000)
    assert store.seal(key, size=1000, state=written.state) is True
    assert calls.names == ["PutObject", "HeadObject"]
    assert bucket.objects() == {key: 1000}


def test_large_upload_leaves_a_tail_until_the_next_write(store, bucket):
    key, _content, first = begin(store, 12 * MIB)
    assert first.state["tail"] == 2 * MIB
    assert bucket.objects() == {f"{key}.tail.{12 * MIB}": 2 * MIB}
    assert bucket.uploads() == [key]
    second = store.write(key, [LARGE], offset=first.size, state=first.state)
    assert [size for size, _ in second.state["parts"]] == [5 * MIB] * 4
    assert store.seal(key, size=24 * MIB, state=second.state) is True
    assert bucket.objects() == {key: 24 * MIB}
    assert bucket.uploads() == []
    assert read(store, key, 24 * MIB) == LARGE * 2


def test_tail_that_is_acknowledged_outlives_a_write_that_fails(store):
    key, _content, first = begin(store, 12 * MIB)

    def broken():
        yield LARGE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(key, broken(), offset=first.size, state=first.state)
    second = store.write(key, [b"end"], offset=first.size, state=first.state)
    store.seal(key, size=second.size, state=second.state)
    assert read(store, key, second.size) == LARGE + b"end"


def test_last_write_needs_no_tail(store, bucket):
    key = store.new_key()
    written = store.write(key, [LARGE, b"end"], offset=0, state={}, is_last=lambda: True)
    assert written.state["tail"] == 0
    assert bucket.objects() == {}
    assert store.seal(key, size=len(LARGE) + 3, state=written.state) is True
    assert read(store, key, len(LARGE) + 3) == LARGE + b"end"


def test_upload_waits_for_room_and_leaves_none_behind(store, bucket, monkeypatch):
    """With room for one part: a second large upload is refused, a small one is not, and all succeed in the end."""
    monkeypatch.setattr("blobs.storage.part_buffers.WAIT_SECONDS", 0.05)
    rooms = Rooms(1)
    monkeypatch.setattr("blobs.storage.s3_upload.get_rooms", lambda: rooms)
    other, small = store.new_key(), store.new_key()

    def chunks():
        yield LARGE
        with pytest.raises(Unavailable):
            store.write(other, [LARGE], offset=0, state={})
        store.write(small, [b"small"], offset=0, state={})
        yield b"end"

    key = store.new_key()
    written = store.write(key, chunks(), offset=0, state={})
    store.seal(key, size=written.size, state=written.state)
    assert read(store, key, written.size) == LARGE + b"end"
    assert bucket.objects() == {key: written.size, small: 5}
    assert bucket.uploads() == []
    written = store.write(other, [LARGE], offset=0, state={})
    assert store.seal(other, size=written.size, state=written.state) is True


def test_write_that_fails_gives_its_multipart_upload_up(store, bucket):
    def broken():
        yield LARGE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(store.new_key(), broken(), offset=0, state={})
    assert (bucket.objects(), bucket.uploads()) == ({}, [])


def test_parts_grow_so_that_their_number_suffices(store, monkeypatch):
    monkeypatch.setattr("blobs.storage.s3_upload.PARTS_OF_ONE_SIZE", 1)
    key = store.new_key()
    written = store.write(key, [LARGE, LARGE], offset=0, state={})
    assert [size for size, _ in written.state["parts"]] == [5 * MIB, 10 * MIB, 9 * MIB]
    store.seal(key, size=written.size, state=written.state)
    assert read(store, key, written.size) == LARGE * 2


def test_completion_whose_answer_is_lost_is_found_but_not_trusted(store, calls):
    key, content, written = begin(store, 12 * MIB)
    calls.lost["CompleteMultipartUpload"] = True
    assert store.seal(key, size=12 * MIB, state=written.state) is False
    # And so a second request finds it.
    assert store.seal(key, size=12 * MIB, state=written.state) is False
    assert read(store, key, 12 * MIB) == content


def test_object_that_is_there_is_never_replaced(store):
    """A request that was thought dead completes its own upload of the same key, later."""
    key, content, first = begin(store, 6 * MIB)
    second = store.write(key, [LARGE[::-1]], offset=0, state={})
    store.seal(key, size=6 * MIB, state=first.state)
    with pytest.raises(BytesMissing):
        store.seal(key, size=second.size, state=second.state)
    assert read(store, key, 6 * MIB) == content
    with pytest.raises(KeySealed):
        store.write(key, [b"other"], offset=0, state={})
    assert read(store, key, 6 * MIB) == content


def test_part_that_another_writer_replaced_is_noticed(store):
    key, _content, first = begin(store, 12 * MIB)
    # The other one began where this one did, and came to life again behind it.
    store.write(key, [LARGE[::-1]], offset=0, state={"upload": first.state["upload"], "parts": [], "tail": 0})
    with pytest.raises(BytesMissing):
        store.seal(key, size=12 * MIB, state=first.state)


def test_sealed_upload_that_goes_on_gets_another_key(store):
    key, _content, written = begin(store, 12 * MIB)
    store.seal(key, size=12 * MIB, state=written.state)
    with pytest.raises(KeySealed) as caught:
        store.write(key, [b"more"], offset=12 * MIB, state=written.state)
    assert list(caught.value.pending) == []


def test_refused_small_upload_hands_back_what_it_took(store):
    key, _content, _ = begin(store, 10)
    with pytest.raises(KeySealed) as caught:
        store.write(key, [b"ab", b"cd"], offset=0, state={})
    assert b"".join(caught.value.pending) == b"abcd"


def test_upload_that_the_store_aborted_is_missing(store, bucket, s3_service):
    key, _content, written = begin(store, 12 * MIB)
    place = {"Bucket": BUCKET, "Key": store.prefix + key}
    bucket.client.abort_multipart_upload(**place, UploadId=written.state["upload"])
    with pytest.raises(BytesMissing):
        store.write(key, [LARGE], offset=written.size, state=written.state)
    with pytest.raises(BytesMissing):
        store.seal(key, size=written.size, state=written.state)


def test_delete_takes_parts_and_tails_away(store, bucket):
    keys = [begin(store, 12 * MIB, 100)[0] for _ in range(3)]
    small = begin(store, 5)[0]
    assert len(bucket.uploads()) == 3
    assert store.delete_many([*keys, small, "blobs/no/such"]) == {}
    assert (bucket.objects(), bucket.uploads()) == ({}, [])


def test_delete_leaves_keys_that_begin_alike(store, bucket):
    for key in ("blobs/aa/one", "blobs/aa/one2", "blobs/aa/one.tailored"):
        store.write(key, [b"x"], offset=0, state={})
    store.delete("blobs/aa/one")
    assert set(bucket.objects()) == {"blobs/aa/one2", "blobs/aa/one.tailored"}


def test_many_deletions_are_few_requests(store, calls):
    keys = [begin(store, 1)[0] for _ in range(5)]
    calls.names.clear()
    store.delete_many(keys)
    assert calls.names.count("DeleteObjects") == 1


def test_many_deletions_do_not_wait_for_each_other(store, bucket, monkeypatch):
    keys = [begin(store, 1)[0] for _ in range(4)]
    meeting, abort = threading.Barrier(len(keys)), store._abort_uploads

    def abort_together(key):
        meeting.wait(20)
        abort(key)

    monkeypatch.setattr(store, "_abort_uploads", abort_together)
    assert store.delete_many(keys) == {}
    assert bucket.objects() == {}


def test_lists_parts_and_tails_as_incomplete(store):
    key, _, written = begin(store, 12 * MIB)
    assert {(item.key, item.complete) for item in store.objects()} == {(key, False)}
    assert store.size(key, state=written.state) == 12 * MIB
    assert store.size(key) is not None


def test_reading_never_asks_for_more_than_the_range(store, calls):
    key, content, written = begin(store, 12 * MIB)
    store.seal(key, size=12 * MIB, state=written.state)
    calls.names.clear()
    stream = store.open_range(key, 100, 200)
    assert stream._body._content_length == "100"
    assert b"".join(stream) == content[100:200]
    assert calls.names == ["GetObject"]


def test_signed_address_serves_the_bytes_as_a_download(store):
    key, content, _ = begin(store, 1000)
    url = store.signed_url(key, lifetime=timedelta(minutes=20))
    answer = httpx.get(url, headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, content[10:20])
    answer = httpx.get(url)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["1200"]
    # Signed for reading only, and for this key only.
    assert httpx.put(url, content=b"x").status_code == 403
    assert httpx.get(url.replace(key, key[:-1])).status_code == 403


def test_signed_address_names_the_endpoint_of_the_clients(s3_service):
    store = make_object_store(s3_service, redirectendpoint="https://public.example.org")
    url = store.signed_url("blobs/aa/x", lifetime=timedelta(minutes=1))
    assert url.startswith(f"https://public.example.org/{BUCKET}/{store.prefix}blobs/aa/x?")


def test_objects_are_stored_as_downloads(store, bucket):
    small, large = begin(store, 10)[0], begin(store, 12 * MIB)
    store.seal(large[0], size=12 * MIB, state=large[2].state)
    for key in (small, large[0]):
        assert bucket.head(key)["ContentType"] == "application/octet-stream"
        assert bucket.head(key)["ContentDisposition"] == "attachment"


def test_store_that_knows_no_conditions_is_used_without(store, monkeypatch):
    def put(**arguments):
        if "IfNoneMatch" in arguments:
            raise ClientError(
                {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}, "PutObject"
            )
        return real(**arguments)

    real = store._client.put_object
    monkeypatch.setattr(store._client, "put_object", put)
    key, content, _ = begin(store, 10)
    assert read(store, key, 10) == content
    assert store._objects.conditional is False


def test_smallest_chunk_is_what_s3_takes(s3_service):
    assert make_object_store(s3_service)._chunksize == SMALLEST_PART


def test_success_that_lacks_its_headers_is_none():
    def status_of(status, **headers):
        response = {"status_code": status, "headers": HeadersDict(headers)}
        distrust_torn_answer(response_dict=response)
        return response["status_code"]

    assert status_of(200) == 500
    assert status_of(200, ETag='"abc') == 500
    assert status_of(200, **{"ETag": '"abc', "Content-Length": "0"}) == 500
    assert status_of(200, **{"ETag": '"abc"', "Content-Length": "0"}) == 200
    assert status_of(206, **{"Transfer-Encoding": "chunked"}) == 206
    assert status_of(200, Connection="close") == 200
    assert status_of(204) == 204


def test_bucket_may_answer_without_a_length(s3_service):
    """The proxy keeps the connection open and adds no length that the store does not give."""
    with fault_proxy(s3_service.port) as proxy:
        store = make_object_store(s3_service, regionendpoint=proxy.endpoint)
        for _ in range(2):
            store.check()
        assert proxy.seen == 2
