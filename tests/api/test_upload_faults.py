"""Uploads that are interrupted, disturbed or refused by the storage."""

import io
from datetime import timedelta

import pytest
from django.utils import timezone

from blobs.models import Blob, StorageDeletion, UploadSession
from oci.errors import StorageFull
from tests.api.invariants import assert_every_byte_is_named_once
from tests.factories import NAME, digest_of

pytestmark = pytest.mark.django_db
CONTENT = b"0123456789" * 100


class Body(io.RawIOBase):
    """A request body that does `then` when its bytes have been read."""

    def __init__(self, content, then):
        self.pieces = [content]
        self.then = then

    def read(self, size=-1):
        return self.pieces.pop() if self.pieces else self.then()


def test_second_writer_is_told_to_come_back(registry, location):
    answers = []

    def intrude():
        answers.append(registry.patch(location, b"intruder"))
        answers.append(registry.put(f"{location}?digest={digest_of(b'intruder')}", b"intruder"))
        return b""

    assert registry.patch(location, Body(CONTENT, intrude), chunked=True).status == 202
    for answer in answers:
        assert (answer.status, answer.codes, answer.headers["Retry-After"]) == (409, ["BLOB_UPLOAD_INVALID"], "1")
    assert registry.get(location).headers["Range"] == "0-999"
    assert registry.put(f"{location}?digest={digest_of(CONTENT)}").status == 201


def test_session_cancelled_while_its_bytes_move_to_another_key_is_gone(registry, location, store):
    """They move because they were sealed by a request whose transaction failed."""
    registry.patch(location, CONTENT)
    upload = UploadSession.objects.get()
    store.seal(upload.storage_key, size=upload.offset, state=upload.storage_state)

    def cancel():
        assert registry.delete(location).status == 204
        return b""

    answer = registry.patch(location, Body(b"more", cancel), chunked=True)
    assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert not UploadSession.objects.exists()
    assert_every_byte_is_named_once(store)


def test_session_cancelled_under_a_writer_is_gone_for_it(registry, location, store):
    def cancel():
        assert registry.delete(location).status == 204
        return b""

    answer = registry.put(f"{location}?digest={digest_of(CONTENT)}", Body(CONTENT, cancel), chunked=True)
    assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert_every_byte_is_named_once(store)
    # The writer might still be at it: the outbox waits for its claim to run out.
    assert StorageDeletion.objects.get().not_before > timezone.now() + timedelta(seconds=30)


def test_client_that_goes_away_leaves_what_is_durable(registry, location):
    def vanish():
        raise ConnectionResetError

    answer = registry.patch(location, Body(CONTENT[:64], vanish), length=1000)
    assert (answer.status, answer.codes) == (400, ["SIZE_INVALID"])
    upload = UploadSession.objects.get()
    assert (upload.offset, upload.busy_until) == (64, None)


def test_bytes_that_were_never_acknowledged_are_no_part_of_the_blob(registry, location, store):
    registry.patch(location, CONTENT[:100])
    refused = registry.put(
        f"{location}?digest={digest_of(CONTENT[:150])}", CONTENT[100:150], chunked=True, Content_Range="100-199"
    )
    assert refused.status == 400
    assert registry.get(location).headers["Range"] == "0-99"
    assert registry.put(f"{location}?digest={digest_of(CONTENT[:100])}").status == 201
    blob = Blob.objects.get()
    assert (blob.size, store.size(blob.storage_key)) == (100, 100)


def test_digest_of_bytes_that_were_never_acknowledged_does_not_count(registry, location):
    registry.patch(location, CONTENT[:50])
    registry.patch(location, CONTENT[50:100])
    target = f"{location}?digest={digest_of(CONTENT[:150])}"
    assert registry.put(target, CONTENT[100:150], chunked=True, Content_Range="100-199").status == 400
    assert (registry.put(target).status, Blob.objects.count()) == (400, 0)


@pytest.mark.parametrize("form", ["post", "patch", "put"])
def test_full_storage_is_507_and_loses_nothing(registry, store, location, form, monkeypatch):
    registry.patch(location, CONTENT[:100])

    def refuse(self, key, chunks, **_):
        list(chunks)
        raise StorageFull({"reason": "No space left on device"})

    monkeypatch.setattr("blobs.storage.local.LocalBlobStore.write", refuse)
    target = {
        "post": f"/v2/{NAME}/blobs/uploads/?digest={digest_of(CONTENT)}",
        "patch": location,
        "put": f"{location}?digest={digest_of(CONTENT)}",
    }[form]
    answer = registry.request(form.upper(), target, CONTENT[100:])
    monkeypatch.undo()
    assert (answer.status, answer.codes) == (507, ["UNAVAILABLE"])
    assert registry.get(location).headers["Range"] == "0-99"
    assert registry.put(f"{location}?digest={digest_of(CONTENT)}", CONTENT[100:]).status == 201
    assert_every_byte_is_named_once(store)


def test_lost_bytes_end_the_session_not_the_server(registry, location, store):
    registry.patch(location, CONTENT)
    store.delete(UploadSession.objects.get().storage_key)
    answer = registry.patch(location, CONTENT)
    assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])


def test_lost_bytes_before_the_last_put_end_the_session_too(registry, location, store):
    registry.patch(location, CONTENT[:10])
    registry.patch(location, CONTENT[10:])
    store.delete(UploadSession.objects.get().storage_key)
    answer = registry.put(f"{location}?digest={digest_of(CONTENT)}")
    assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
