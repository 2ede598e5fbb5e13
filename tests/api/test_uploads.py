"""Uploading blobs: in one request, in chunks, streamed, resumed, cancelled (end-4 to 6, 13, 14)."""

import re
import uuid

import pytest

from blobs.models import Blob, StorageDeletion, UploadSession
from blobs.storage import BlobStore
from tests.api.invariants import assert_every_byte_is_named_once
from tests.factories import ABSENT, NAME, digest_of

pytestmark = pytest.mark.django_db
CONTENT = b"0123456789" * 100


def test_post_opens_a_session(registry):
    answer = registry.post(f"/v2/{NAME}/blobs/uploads/")
    assert (answer.status, answer.body, answer.headers["Range"]) == (202, b"", "0-0")
    match = re.fullmatch(rf"/v2/{NAME}/blobs/uploads/([0-9a-f-]{{36}})", answer.headers["Location"])
    assert match
    assert answer.headers["Docker-Upload-UUID"] == str(uuid.UUID(match[1]))
    assert "Content-Type" not in answer.headers


def test_the_final_slash_does_not_matter(registry):
    assert registry.post(f"/v2/{NAME}/blobs/uploads").status == 202


def test_session_names_its_bytes_before_the_first_comes(registry, location):
    (upload,) = UploadSession.objects.all()
    assert upload.storage_key
    assert upload.offset == 0


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_one_post_takes_a_whole_blob(registry, chunked, algorithm):
    digest = digest_of(CONTENT, algorithm)
    answer = registry.post(f"/v2/{NAME}/blobs/uploads/?digest={digest}", CONTENT, chunked=chunked)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest)
    assert answer.headers["Location"] == f"/v2/{NAME}/blobs/{digest}"
    assert registry.get(answer.headers["Location"]).body == CONTENT


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_one_put_takes_a_whole_blob(registry, location, chunked, algorithm):
    digest = digest_of(CONTENT, algorithm)
    answer = registry.put(f"{location}?digest={digest}", CONTENT, chunked=chunked)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest)
    assert registry.get(answer.headers["Location"]).body == CONTENT


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("last_in_put", [True, False])
def test_chunks_make_a_blob(registry, location, algorithm, ranges, last_in_put):
    digest = digest_of(CONTENT, algorithm)
    pieces = [(0, 300), (300, 301), (301, 1000)]
    for start, stop in pieces[: -1 if last_in_put else None]:
        headers = {"Content_Range": f"{start}-{stop - 1}"} if ranges else {}
        answer = registry.patch(location, CONTENT[start:stop], **headers)
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{stop - 1}")
        assert answer.headers["Location"] == location
    headers = {"Content_Range": "301-999"} if ranges and last_in_put else {}
    answer = registry.put(f"{location}?digest={digest}", CONTENT[301:] if last_in_put else b"", **headers)
    assert answer.status == 201
    assert registry.get(f"/v2/{NAME}/blobs/{digest}").body == CONTENT


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_streamed_patch_without_a_length(registry, location, algorithm):
    answer = registry.patch(location, CONTENT, chunked=True)
    assert (answer.status, answer.headers["Range"]) == (202, "0-999")
    digest = digest_of(CONTENT, algorithm)
    assert registry.put(f"{location}?digest={digest}").status == 201
    assert registry.get(f"/v2/{NAME}/blobs/{digest}").body == CONTENT


def test_status_tells_where_to_go_on(registry, location):
    registry.patch(location, CONTENT[:400])
    answer = registry.get(location)
    assert (answer.status, answer.headers["Range"], answer.headers["Location"]) == (204, "0-399", location)


@pytest.mark.parametrize("query", ["?digest=" + ABSENT, "?_state=anything&ns=mirror.example"])
def test_status_bears_a_query(registry, location, query):
    assert registry.get(location + query).status == 204


@pytest.mark.parametrize("content_range", ["500-999", "0-299", "299-999", "301-999", "9" * 30 + "-" + "9" * 31])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_chunk_out_of_order_is_416_and_the_session_lives(registry, location, content_range, method):
    registry.patch(location, CONTENT[:300])
    start, end = map(int, content_range.split("-"))
    target = location if method == "PATCH" else f"{location}?digest={digest_of(CONTENT)}"
    answer = registry.request(method, target, CONTENT[start : end + 1], Content_Range=content_range)
    assert (answer.status, answer.codes) == (416, ["RANGE_INVALID"])
    assert (answer.headers["Location"], answer.headers["Range"]) == (location, "0-299")
    assert answer.headers["Docker-Upload-UUID"] in location
    assert registry.get(location).headers["Range"] == "0-299"
    assert registry.patch(location, CONTENT[300:], Content_Range="300-999").status == 202
    assert registry.put(f"{location}?digest={digest_of(CONTENT)}").status == 201


@pytest.mark.parametrize("content_range", ["abc", "1", "-5", "5-", "0-9-9", "bytes", "0 - 9", "0x0-0x9"])
def test_content_range_that_cannot_be_read_is_400(registry, location, content_range):
    answer = registry.patch(location, CONTENT[:10], Content_Range=content_range)
    assert (answer.status, answer.codes) == (400, ["BLOB_UPLOAD_INVALID"])
    assert UploadSession.objects.get().offset == 0


def test_reversed_content_range_is_416(registry, location):
    answer = registry.patch(location, CONTENT[:10], Content_Range="9-0")
    assert (answer.status, answer.codes) == (416, ["RANGE_INVALID"])


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("chunked", [False, True])
def test_range_of_another_length_than_the_chunk_is_400(registry, location, method, chunked):
    registry.patch(location, CONTENT[:100])
    target = location if method == "PATCH" else f"{location}?digest={digest_of(CONTENT[:150])}"
    answer = registry.request(method, target, CONTENT[100:150], chunked=chunked, Content_Range="100-199")
    assert (answer.status, answer.codes) == (400, ["SIZE_INVALID"])
    assert not Blob.objects.exists()


def test_short_patch_keeps_what_came(registry, location):
    answer = registry.patch(location, CONTENT[:100], length=500)
    assert (answer.status, answer.codes) == (400, ["SIZE_INVALID"])
    assert registry.get(location).headers["Range"] == "0-99"
    assert registry.patch(location, CONTENT[100:], Content_Range="100-999").status == 202
    assert registry.put(f"{location}?digest={digest_of(CONTENT)}").status == 201


@pytest.mark.parametrize("before", [0, 100])
def test_short_put_takes_nothing_and_can_be_sent_again(registry, location, before):
    """Clients repeat a closing request that broke off from where they began it, without a Content-Range."""
    registry.patch(location, CONTENT[:before])
    answer = registry.put(f"{location}?digest={digest_of(CONTENT)}", CONTENT[before:700], length=1000 - before)
    assert (answer.status, answer.codes) == (400, ["SIZE_INVALID"])
    assert not Blob.objects.exists()
    assert registry.get(location).headers["Range"] == f"0-{max(before - 1, 0)}"
    assert registry.put(f"{location}?digest={digest_of(CONTENT)}", CONTENT[before:]).status == 201
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(CONTENT)}").body == CONTENT


def test_short_post_keeps_nothing(registry, store):
    answer = registry.post(f"/v2/{NAME}/blobs/uploads/?digest={digest_of(CONTENT)}", CONTENT[:10], length=1000)
    assert (answer.status, answer.codes) == (400, ["SIZE_INVALID"])
    assert not UploadSession.objects.exists()
    assert_every_byte_is_named_once(store)


@pytest.mark.parametrize("form", ["post", "post-chunked", "put", "put-chunked", "patch-put", "patch-patch-put"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_wrong_digest_leaves_no_blob_and_no_unnamed_bytes(registry, store, form, algorithm):
    wrong = digest_of(b"something else", algorithm)
    chunked = form.endswith("chunked")
    if form.startswith("post"):
        answer = registry.post(f"/v2/{NAME}/blobs/uploads/?digest={wrong}", CONTENT, chunked=chunked)
    else:
        location = registry.start_upload()
        for _ in range(form.count("patch")):
            registry.patch(location, CONTENT)
        body = CONTENT if form.startswith("put") else b""
        answer = registry.put(f"{location}?digest={wrong}", body, chunked=chunked)
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    assert answer.detail["expected"] == wrong
    assert answer.detail["actual"].startswith(f"{algorithm}:")
    assert not Blob.objects.exists()
    assert registry.head(f"/v2/{NAME}/blobs/{wrong}").status == 404
    (deletion,) = StorageDeletion.objects.all()
    assert deletion.size == store.size(deletion.storage_key)
    assert_every_byte_is_named_once(store)


@pytest.mark.parametrize(
    "query", ["", "?digest=", "?digest=md5:d41d8cd98f00b204e9800998ecf8427e", "?digest=sha256:" + "A" * 64, "?digest=x"]
)
def test_put_without_a_digest_that_can_be_verified_is_400(registry, location, query):
    answer = registry.put(f"{location}{query}", CONTENT)
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    assert UploadSession.objects.get().offset == 0


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_two_digest_parameters_are_400(registry, location, method):
    query = f"?digest={digest_of(CONTENT)}&digest={digest_of(b'other')}"
    answer = registry.request(method, (f"/v2/{NAME}/blobs/uploads/" if method == "POST" else location) + query, CONTENT)
    assert answer.status == 400
    assert not Blob.objects.exists()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("form", ["post", "put", "empty-patch-put"])
def test_empty_blob(registry, algorithm, form):
    digest = digest_of(b"", algorithm)
    if form == "post":
        answer = registry.post(f"/v2/{NAME}/blobs/uploads/?digest={digest}")
    else:
        location = registry.start_upload()
        if form == "empty-patch-put":
            assert registry.patch(location, b"").status == 202
        answer = registry.put(f"{location}?digest={digest}")
    assert answer.status == 201
    assert registry.get(f"/v2/{NAME}/blobs/{digest}").body == b""


def test_repeated_put_says_201_again(registry, location):
    target = f"{location}?digest={digest_of(CONTENT)}"
    first, second = registry.put(target, CONTENT), registry.put(target, CONTENT)
    assert (first.status, second.status) == (201, 201)
    # The second body is not read, so its connection ends.
    assert dict(first.headers) | {"Connection": "close"} == dict(second.headers)
    assert Blob.objects.count() == 1


def test_finished_session_takes_nothing_more(registry, location):
    registry.put(f"{location}?digest={digest_of(CONTENT)}", CONTENT)
    answers = [
        registry.get(location),
        registry.patch(location, b"more"),
        registry.put(f"{location}?digest={digest_of(b'other')}", b"other"),
        registry.delete(location),
    ]
    assert [answer.status for answer in answers] == [404] * 4
    assert [answer.codes for answer in answers] == [["BLOB_UPLOAD_UNKNOWN"]] * 4


def test_cancel_hands_the_bytes_to_the_outbox(registry, location, store):
    registry.patch(location, CONTENT)
    key = UploadSession.objects.get().storage_key
    answer = registry.delete(location)
    assert (answer.status, answer.body) == (204, b"")
    assert list(StorageDeletion.objects.values_list("storage_key", "size")) == [(key, len(CONTENT))]
    assert_every_byte_is_named_once(store)
    assert registry.get(location).status == 404
    assert registry.delete(location).status == 404


def test_delete_disabled_does_not_forbid_cancelling(registry, location, settings):
    settings.DELETE_ENABLED = False
    assert registry.delete(location).status == 204


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("session", [str(uuid.UUID(int=0)), "not-a-session", "..", "0" * 200])
def test_unknown_session_is_404(registry, location, method, session):
    answer = registry.request(method, f"/v2/{NAME}/blobs/uploads/{session}?digest={ABSENT}")
    assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("stranger", ["repository", "principal"])
def test_session_of_somebody_else_is_unknown(registry, location, method, stranger):
    registry.start_upload("bob/other")
    if stranger == "repository":
        target = location.replace(NAME, "bob/other")
    else:
        UploadSession.objects.update(principal="charlie")
        target = location
    answer = registry.request(method, f"{target}?digest={digest_of(b'x')}", b"x" if method in {"PATCH", "PUT"} else b"")
    assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert UploadSession.objects.count() == 2
    assert not StorageDeletion.objects.exists()


def test_session_in_a_repository_that_nobody_made_is_unknown(registry, location):
    answer = registry.get(location.replace(NAME, "no/such"))
    assert (answer.status, answer.codes) == (404, ["NAME_UNKNOWN"])


def test_announced_algorithm_is_hashed_on_the_way_in(registry, monkeypatch):
    location = registry.start_upload(query="?digest-algorithm=sha512")
    registry.patch(location, CONTENT)
    monkeypatch.setattr("blobs.storage.local.LocalBlobStore.open_range", None)
    assert registry.put(f"{location}?digest={digest_of(CONTENT, 'sha512')}").status == 201


def test_announced_algorithm_is_only_a_hint(registry):
    location = registry.start_upload(query="?digest-algorithm=sha512")
    registry.patch(location, CONTENT)
    assert registry.put(f"{location}?digest={digest_of(CONTENT)}").status == 201


@pytest.mark.parametrize("algorithm", ["md5", "blake3", "SHA512", "sha256:00"])
def test_announced_algorithm_that_is_not_known_is_400(registry, algorithm):
    answer = registry.post(f"/v2/{NAME}/blobs/uploads/?digest-algorithm={algorithm}")
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


def test_second_push_of_a_blob_hands_its_own_bytes_to_the_outbox(registry, store):
    digest = registry.push_blob(CONTENT)
    first_key = Blob.objects.get().storage_key
    registry.push_blob(CONTENT, "bob/other")
    registry.push_blob(CONTENT)
    assert Blob.objects.get().storage_key == first_key
    assert list(StorageDeletion.objects.values_list("digest", "size")) == [(digest, len(CONTENT))] * 2
    assert first_key not in StorageDeletion.objects.values_list("storage_key", flat=True)
    assert registry.get(f"/v2/bob/other/blobs/{digest}").body == CONTENT
    assert_every_byte_is_named_once(store)


def test_keys_say_nothing_of_the_content():
    keys = {BlobStore.new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"blobs/([0-9a-f]{2})/\1[0-9a-f]{30}", key) for key in keys)
