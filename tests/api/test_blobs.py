"""Reading and deleting blobs (end-2, end-10)."""

import email
import re

import pytest

from blobs.models import Blob, RepositoryBlob
from tests.factories import ABSENT, NAME, digest_of, image_manifest

pytestmark = pytest.mark.django_db
CONTENT = bytes(range(256)) * 4


@pytest.fixture
def digest(registry):
    return registry.push_blob(CONTENT)


@pytest.fixture
def path(digest):
    return f"/v2/{NAME}/blobs/{digest}"


def test_serves_the_bytes_and_what_describes_them(registry, path, digest):
    answer = registry.get(path)
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"] == f'"{digest}"'


def test_keeps_browsers_from_taking_a_blob_for_a_page(registry, path):
    headers = registry.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"] == "attachment"
    assert headers["Content-Security-Policy"] == "sandbox"


def test_head_answers_as_get_without_a_body(registry, path):
    head, get = registry.head(path), registry.get(path)
    assert (head.status, head.body) == (200, b"")
    assert dict(head.headers) == dict(get.headers)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
@pytest.mark.parametrize("name", [NAME, "nobody/nothing"])
def test_unknown_blob_is_404(registry, path, method, name):
    answer = registry.request(method, f"/v2/{name}/blobs/{ABSENT}")
    assert answer.status == 404
    assert method == "HEAD" or answer.codes in (["BLOB_UNKNOWN"], ["NAME_UNKNOWN"])


def test_blob_of_another_repository_is_unknown(registry, digest):
    registry.push_blob(b"something else", "bob/other")
    answer = registry.get(f"/v2/bob/other/blobs/{digest}")
    assert (answer.status, answer.codes) == (404, ["BLOB_UNKNOWN"])


@pytest.mark.parametrize(
    "text",
    [
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:..",
        "sha256:",
        "sha512:" + "a" * 64,
        "nonsense",
    ],
)
def test_malformed_digest_is_400(registry, path, text):
    answer = registry.get(f"/v2/{NAME}/blobs/{text}")
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


def test_serves_an_empty_blob(registry):
    digest = registry.push_blob(b"")
    answer = registry.get(f"/v2/{NAME}/blobs/{digest}")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")


def test_serves_a_blob_by_its_sha512(registry):
    digest = registry.push_blob(CONTENT, algorithm="sha512")
    answer = registry.get(f"/v2/{NAME}/blobs/{digest}")
    assert (answer.body, answer.headers["Docker-Content-Digest"]) == (CONTENT, digest)


@pytest.mark.parametrize("value", ['"{}"', "{}", 'W/"{}"', '"other", "{}"', "*"])
def test_not_modified(registry, path, digest, value):
    answer = registry.get(path, If_None_Match=value.format(digest))
    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", f'"{digest}"')


def test_modified_when_the_client_has_something_else(registry, path):
    assert registry.get(path, If_None_Match=f'"{ABSENT}"').status == 200


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=1000-", 1000, 1024),
        ("bytes=1000-9999", 1000, 1024),
        ("bytes=1000-" + "9" * 30, 1000, 1024),
        ("bytes=-24", 1000, 1024),
        ("bytes=-5000", 0, 1024),
        ("bytes=0-", 0, 1024),
        ("bytes=9000-,0-4", 0, 5),
    ],
)
def test_one_range(registry, path, digest, header, start, stop):
    answer = registry.get(path, Range=header)
    assert (answer.status, answer.body) == (206, CONTENT[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/1024"
    assert answer.headers["Content-Length"] == str(stop - start)
    assert answer.headers["Docker-Content-Digest"] == digest


def test_several_ranges_come_as_parts(registry, path):
    answer = registry.get(path, Range="bytes=0-3,100-109,-6")
    assert answer.status == 206
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert "Content-Range" not in answer.headers
    kind = answer.headers["Content-Type"]
    assert re.fullmatch(r"multipart/byteranges; boundary=\w+", kind)
    message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + answer.body)
    boundary = kind.split("=")[1].encode()
    raw = [piece.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for piece in answer.body.split(b"--" + boundary)[1:-1]]
    assert raw == [CONTENT[:4], CONTENT[100:110], CONTENT[-6:]]
    ranges = [part["Content-Range"] for part in message.get_payload()]
    assert ranges == ["bytes 0-3/1024", "bytes 100-109/1024", "bytes 1018-1023/1024"]
    assert answer.body.endswith(b"--" + boundary + b"--\r\n")


@pytest.mark.parametrize(
    "header",
    ["bytes=1024-", "bytes=2000-3000", "bytes=9-3", "bytes=-0", "bytes=1024-,5000-6000", "bytes=" + "9" * 30 + "-"],
)
def test_range_outside_the_blob_is_416(registry, path, header):
    answer = registry.get(path, Range=header)
    assert (answer.status, answer.codes) == (416, ["RANGE_INVALID"])
    assert answer.headers["Content-Range"] == "bytes */1024"


@pytest.mark.parametrize(
    "header", ["items=0-5", "bytes", "bytes=a-b", "bytes=-", "bytes=", "bytes=0-1023,0-1023", "bytes=" + "0-0," * 2000]
)
def test_range_that_cannot_be_read_or_costs_more_than_the_blob_sends_the_whole(registry, path, header):
    answer = registry.get(path, Range=header)
    assert (answer.status, answer.body) == (200, CONTENT)


def test_if_range_of_another_content_sends_the_whole(registry, path, digest):
    assert registry.get(path, Range="bytes=0-3", If_Range=f'"{digest}"').status == 206
    answer = registry.get(path, Range="bytes=0-3", If_Range=f'"{ABSENT}"')
    assert (answer.status, answer.body) == (200, CONTENT)


def test_delete_takes_the_blob_from_this_repository_only(registry, path, digest):
    registry.push_blob(CONTENT, "bob/other")
    assert registry.delete(path).status == 202
    assert registry.head(path).status == 404
    assert registry.get(f"/v2/bob/other/blobs/{digest}").body == CONTENT
    assert registry.delete(path).status == 404


def test_delete_leaves_the_bytes_to_collection(registry, path, digest, store):
    registry.delete(path)
    assert not RepositoryBlob.objects.exists()
    assert store.size(Blob.objects.get(digest=digest).storage_key) == len(CONTENT)


@pytest.mark.parametrize("part", ["config", "layer"])
def test_blob_in_use_stays(registry, part):
    registry.push_image(config=b"{}", layers=[b"layer"])
    digest = digest_of(b"{}" if part == "config" else b"layer")
    answer = registry.delete(f"/v2/{NAME}/blobs/{digest}")
    assert (answer.status, answer.codes) == (405, ["UNSUPPORTED"])
    assert answer.headers["Allow"] == "GET, HEAD"
    assert registry.head(f"/v2/{NAME}/blobs/{digest}").status == 200


def test_blob_goes_once_its_manifest_is_deleted(registry):
    image = registry.push_image()
    registry.delete(f"/v2/{NAME}/manifests/{image.digest}")
    assert registry.delete(f"/v2/{NAME}/blobs/{digest_of(b'layer')}").status == 202


def test_delete_disabled_is_405(registry, path, settings):
    settings.DELETE_ENABLED = False
    answer = registry.delete(path)
    assert (answer.status, answer.codes, answer.headers["Allow"]) == (405, ["UNSUPPORTED"], "GET, HEAD")
    assert registry.head(path).status == 200


def test_read_only_refuses_writes_and_serves_reads(registry, path, digest, settings):
    location = registry.start_upload()
    settings.READ_ONLY = True
    answers = [
        registry.delete(path),
        registry.post(f"/v2/{NAME}/blobs/uploads/"),
        registry.patch(location, b"x"),
        registry.put(f"{location}?digest={digest_of(b'')}"),
        registry.delete(location),
        registry.put_manifest(image_manifest()),
        registry.delete(f"/v2/{NAME}/manifests/latest"),
    ]
    assert [answer.status for answer in answers] == [405] * 7
    assert {answer.headers["Allow"] for answer in answers} == {"GET, HEAD"}
    assert (registry.get(path).body, registry.head(path).status) == (CONTENT, 200)
