"""Paths that no client would send: they are answered in OCI JSON and reach nothing."""

import pytest

from tests.live.client import Client
from tests.live.inspection import assert_every_byte_is_named_once
from tests.raw_http import ConnectionEnded

DIGEST = "sha256:" + "0" * 64
SESSION = "11111111-1111-4111-8111-111111111111"

NAMES = [
    "%2e%2e",
    "..",
    "../..",
    "%2e%2e%2f%2e%2e",
    "a/../b",
    "a/%2e%2e/b",
    "a%2fb",
    "a%252fb",
    "%252e%252e%252fetc",
    "..%5c..%5cetc",
    "..;/etc",
    "a/./b",
    "a//b",
    "a%00b",
    "%00",
    "a%0d%0aX-Injected:%201",
    "%ff%fe",
    "%c0%ae%c0%ae/etc",
    "a%20b",
    "UPPER",
    "a" * 300,
    "a%",
    "a%zz",
    "%u002e",
]
TEMPLATES = [
    ("GET", "/v2/{}/manifests/latest"),
    ("PUT", "/v2/{}/manifests/latest"),
    ("GET", "/v2/{}/blobs/" + DIGEST),
    ("POST", "/v2/{}/blobs/uploads/"),
    ("GET", "/v2/{}/tags/list"),
    ("GET", "/v2/{}/referrers/" + DIGEST),
    ("GET", "/v2/odd/name/manifests/{}"),
    ("DELETE", "/v2/odd/name/manifests/{}"),
    ("PUT", "/v2/odd/name/manifests/{}"),
    ("GET", "/v2/odd/name/blobs/{}"),
    ("GET", "/v2/odd/name/blobs/sha256:{}"),
    ("DELETE", "/v2/odd/name/blobs/{}"),
    ("GET", "/v2/odd/name/blobs/uploads/{}"),
    ("PATCH", "/v2/odd/name/blobs/uploads/{}"),
    ("PUT", "/v2/odd/name/blobs/uploads/{}?digest=" + DIGEST),
    ("DELETE", "/v2/odd/name/blobs/uploads/{}"),
    ("POST", "/v2/odd/name/blobs/uploads/?mount=" + DIGEST + "&from={}"),
    ("POST", "/v2/odd/name/blobs/uploads/?digest={}"),
    ("POST", "/v2/odd/name/blobs/uploads/?digest-algorithm={}"),
    ("PUT", "/v2/odd/name/blobs/uploads/" + SESSION + "?digest={}"),
    ("PUT", "/v2/odd/name/manifests/latest?tag={}"),
    ("GET", "/v2/odd/name/tags/list?n={}"),
    ("GET", "/v2/odd/name/tags/list?last={}"),
    ("GET", "/v2/_catalog?last={}"),
    ("GET", "/v2/odd/name/referrers/" + DIGEST + "?artifactType={}"),
    ("GET", "/v2/{}"),
]


def tree(folder) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def outside(server) -> set[str]:
    """Files around the root directory, but those that the server is meant to write there."""
    own = (str(server.data), str(server.log_path), str(server.data.parent / "lading.sqlite3"))
    return {path for path in tree(server.data.parent) if not path.startswith(own)}


def test_odd_paths_get_oci_errors_and_touch_nothing(server, subtests):
    with Client(server) as client:
        client.push_image("odd/name", "latest", b"present")
        around = outside(server)
        for name in NAMES:
            for method, template in TEMPLATES:
                path = template.format(name)
                with subtests.test(msg=f"{method} {path[:120]}"), client.raw() as connection:
                    try:
                        answer = connection.request(method, path)
                    except (ConnectionEnded, ConnectionError):
                        pytest.fail("no answer at all")
                    assert answer.status < 500, answer
                    assert "x-injected" not in answer.headers
                    # The server itself, before any application, may refuse what is no URI at all.
                    if answer.status >= 400 and answer.body:
                        assert answer.headers["content-type"] == "application/json", answer
                        assert answer.codes, answer
                    if template.startswith(("/v2/{}/",)) and method != "GET":
                        assert answer.status >= 400 or name in LEGAL_WHEN_DECODED, answer
        assert outside(server) == around
        assert client.request("GET", "odd/name/manifests/latest").status_code == 200
        assert_every_byte_is_named_once(server)


# One slash is a slash, encoded or not; only encoded twice it is a percent sign.
LEGAL_WHEN_DECODED = {"a%2fb"}
