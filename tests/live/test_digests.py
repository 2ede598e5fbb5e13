"""Every way to push a blob, with the right digest and with a wrong one."""

import pytest

from tests.factories import digest_of
from tests.live.client import codes, in_pieces, random_bytes
from tests.live.inspection import (
    assert_check_finds_nothing,
    assert_every_byte_is_named_once,
    rows,
    stored_files,
    wait_until_drained,
)

SIZE = 400_000


def monolithic_put(client, name, content, digest):
    return client.complete(client.start_upload(name), digest, content)


def post_with_digest(client, name, content, digest):
    return client.request("POST", f"{name}/blobs/uploads/", params={"digest": digest}, content=content)


def patch_then_put(client, name, content, digest):
    location = client.start_upload(name)
    assert client.patch(location, content).status_code == 202
    return client.complete(location, digest)


def two_patches_then_put(client, name, content, digest):
    location = client.start_upload(name)
    half = len(content) // 2
    assert client.patch(location, content[:half], Content_Range=f"0-{half - 1}").status_code == 202
    assert client.patch(location, content[half:], Content_Range=f"{half}-{len(content) - 1}").status_code == 202
    return client.complete(location, digest)


def patch_without_length(client, name, content, digest):
    location = client.start_upload(name)
    assert client.patch(location, in_pieces(content)).status_code == 202
    return client.complete(location, digest)


def put_without_length(client, name, content, digest):
    return client.complete(client.start_upload(name), digest, in_pieces(content))


def post_without_length(client, name, content, digest):
    return client.request("POST", f"{name}/blobs/uploads/", params={"digest": digest}, content=in_pieces(content))


def put_with_last_chunk(client, name, content, digest):
    location = client.start_upload(name)
    half = len(content) // 2
    assert client.patch(location, content[:half]).status_code == 202
    return client.complete(location, digest, content[half:])


def put_with_last_chunk_without_length(client, name, content, digest):
    location = client.start_upload(name)
    half = len(content) // 2
    assert client.patch(location, in_pieces(content[:half])).status_code == 202
    return client.complete(location, digest, in_pieces(content[half:]))


FORMS = [
    monolithic_put,
    post_with_digest,
    patch_then_put,
    two_patches_then_put,
    patch_without_length,
    put_without_length,
    post_without_length,
    put_with_last_chunk,
    put_with_last_chunk_without_length,
]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("push", FORMS, ids=lambda form: form.__name__)
def test_every_form_takes_the_right_digest_and_refuses_a_wrong_one(server, client, name, push, algorithm):
    content = random_bytes(SIZE)
    right, wrong = digest_of(content, algorithm), digest_of(content + b"!", algorithm)
    refused = push(client, name, content, wrong)
    assert refused.status_code == 400
    assert codes(refused) == ["DIGEST_INVALID"]
    for digest in (right, wrong):
        assert not client.has_blob(name, digest)
        assert rows(server, "SELECT 1 FROM blobs_blob WHERE digest = %s", digest) == []

    accepted = push(client, name, content, right)
    assert accepted.status_code == 201
    assert accepted.headers["Docker-Content-Digest"] == right
    assert client.pull_blob(name, right) == content


def test_refused_bytes_are_named_until_they_are_gone(server, client, name):
    contents = [random_bytes(SIZE) for _ in FORMS]
    for push, content in zip(FORMS, contents, strict=True):
        assert push(client, name, content, digest_of(b"another")).status_code == 400
    assert_check_finds_nothing(server)
    wait_until_drained(server)
    assert_every_byte_is_named_once(server)
    left = {path.read_bytes() for path in stored_files(server).values()}
    assert not left & set(contents)


def test_a_wrong_digest_ends_the_session(client, name):
    location = client.start_upload(name)
    assert client.patch(location, b"some bytes").status_code == 202
    assert client.complete(location, digest_of(b"other bytes")).status_code == 400
    assert codes(client.request("GET", location)) == ["BLOB_UPLOAD_UNKNOWN"]


def test_takes_a_manifest_without_a_length(client, name):
    payload = client.push_image(name, "first", b"a layer")
    answer = client.put_manifest(name, "streamed", in_pieces(payload, 50))
    assert answer.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == digest_of(payload)
    assert client.request("GET", f"{name}/manifests/streamed").content == payload


def test_refuses_a_manifest_without_a_length_that_is_too_large(client, name):
    answer = client.put_manifest(name, "large", in_pieces(b" " * (4 * 1024 * 1024 + 1)))
    assert answer.status_code == 413
    assert codes(answer) == ["MANIFEST_INVALID"]
