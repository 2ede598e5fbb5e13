"""What goes over one connection, byte by byte."""

import threading
from contextlib import suppress

import pytest

from oci import media_types
from tests.factories import digest_of
from tests.live.client import random_bytes
from tests.raw_http import CHUNKED, LAST_CHUNK, ConnectionEnded, chunk, head

MIB = 1024 * 1024
SESSION = "11111111-1111-4111-8111-111111111111"
# What an unread body must never be taken for.
DISGUISED = head("PUT", "/v2/smuggled/name/manifests/latest", {"Content-Length": "0"})


def send_in_background(connection, *pieces: bytes) -> threading.Thread:
    """The server may answer and close before it read everything: then sending ends where it is."""

    def send() -> None:
        try:
            connection.send(*pieces)
        except OSError:
            return

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def refused_request(case: str, name: str) -> tuple[bytes, int]:
    """A request whose body of 6 MiB nobody wants, and the status it gets."""
    body = (DISGUISED * (6 * MIB // len(DISGUISED) + 1))[: 6 * MIB]
    length = {"Content-Length": str(len(body))}
    manifest = {"Content-Type": media_types.OCI_MANIFEST}
    if case == "manifest-too-large":
        return head("PUT", f"/v2/{name}/manifests/large", length | manifest) + body, 413
    if case == "manifest-too-large-chunked":
        framed = chunk(body[: 5 * MIB]) + chunk(body[5 * MIB :]) + LAST_CHUNK
        return head("PUT", f"/v2/{name}/manifests/large", CHUNKED | manifest) + framed, 413
    if case == "unknown-session":
        return head("PATCH", f"/v2/{name}/blobs/uploads/{SESSION}", length) + body, 404
    if case == "unknown-session-chunked":
        return head("PATCH", f"/v2/{name}/blobs/uploads/{SESSION}", CHUNKED) + chunk(body) + LAST_CHUNK, 404
    if case == "no-such-route":
        return head("PUT", "/v2/nothing-here", length) + body, 404
    assert case == "wrong-method"
    return head("POST", f"/v2/{name}/manifests/latest", length) + body, 405


@pytest.mark.parametrize(
    "case",
    [
        "manifest-too-large",
        "manifest-too-large-chunked",
        "unknown-session",
        "unknown-session-chunked",
        "no-such-route",
        "wrong-method",
    ],
)
def test_an_unread_body_never_becomes_the_next_request(client, name, case):
    client.push_image(name, "latest", b"layer")
    request, status = refused_request(case, name)
    with client.raw() as connection:
        sending = send_in_background(connection, request, head("GET", "/v2/"))
        refused = connection.read_answer()
        assert refused.status == status
        assert refused.codes
        try:
            following = connection.read_answer()
        except (ConnectionEnded, ConnectionError):
            following = None  # The server closed: that is fine, too.
        if following is not None:
            assert following.status == 200
            assert following.body == b"{}"
            sending.join(60)
            connection.send(head("GET", f"/v2/{name}/tags/list", {"Connection": "close"}))
            assert connection.read_answer().json()["tags"] == ["latest"]
            assert connection.read_to_end() == b""
    assert client.request("GET", "smuggled/name/tags/list").status_code == 404


@pytest.mark.parametrize("chunked", [False, True])
def test_an_early_refusal_announces_that_it_closes_the_connection(client, name, chunked):
    """Otherwise a client sends its next request into a closed connection (RFC 9112, 9.6)."""
    client.push_image(name, "latest", b"layer")
    body = random_bytes(500_000)
    path = f"/v2/{name}/blobs/uploads/{SESSION}"
    with client.raw() as connection:
        # It may have answered and gone before all is sent; the answer is there all the same.
        with suppress(BrokenPipeError):
            if chunked:
                connection.send(head("PATCH", path, CHUNKED), chunk(body), LAST_CHUNK)
            else:
                connection.send(head("PATCH", path, {"Content-Length": str(len(body))}), body)
        refused = connection.read_answer("PATCH")
        assert refused.status == 404
        if refused.headers.get("connection", "").lower() == "close":
            return
        for _ in range(3):
            try:
                following = connection.request("GET", f"/v2/{name}/tags/list")
            except (ConnectionEnded, ConnectionError) as error:
                pytest.fail(f"the connection was closed without a word: {error!r}")
            assert following.json()["tags"] == ["latest"]


def test_a_connection_serves_many_requests_after_errors(client, name):
    with client.raw() as connection:
        for _ in range(3):
            assert connection.request("GET", f"/v2/{name}/manifests/unknown").status == 404
            assert connection.request("PUT", f"/v2/{name}/manifests/v1", body=b"{not json").status == 400
            assert connection.request("PUT", f"/v2/{name}/manifests/v1", body=[b"{not", b" json"]).status == 400
            assert connection.request("GET", "/v2/").body == b"{}"


@pytest.mark.parametrize("chunked", [False, True])
def test_continues_a_client_that_waits_for_permission(client, name, chunked):
    content = random_bytes(200_000)
    location = client.start_upload(name)
    framing = CHUNKED if chunked else {"Content-Length": str(len(content))}
    with client.raw() as connection:
        connection.send(head("PUT", f"{location}?digest={digest_of(content)}", {"Expect": "100-continue", **framing}))
        assert connection.read_answer().status == 100
        connection.send(chunk(content) + LAST_CHUNK if chunked else content)
        assert connection.read_answer("PUT").status == 201
    assert client.pull_blob(name, digest_of(content)) == content


@pytest.mark.parametrize("order", ["length-first", "coding-first"])
def test_a_length_beside_a_transfer_coding_smuggles_nothing(client, name, order):
    """RFC 9112, 6.1: it is refused, or the coding alone counts; the connection ends in either case."""
    length, coding = {"Content-Length": "6"}, CHUNKED
    headers = length | coding if order == "length-first" else coding | length
    location = client.start_upload(name)
    with client.raw() as connection:
        connection.send(head("PATCH", location, headers), chunk(b"abc"), LAST_CHUNK, head("GET", "/v2/"))
        answer = connection.read_answer("PATCH")
        assert answer.status in {400, 202}, answer
        if answer.status == 202:
            assert answer.headers["range"] == "0-2"
            assert answer.headers["connection"].lower() == "close"
        assert connection.read_to_end() == b""


@pytest.mark.parametrize(
    "codings", [["gzip, chunked"], ["gzip", "chunked"], ["chunked", "chunked"], ["deflate"]], ids=" then ".join
)
def test_a_transfer_coding_but_chunked_alone_is_refused_and_ends_the_connection(client, name, codings):
    location = client.start_upload(name)
    headers = "".join(f"Transfer-Encoding: {coding}\r\n" for coding in codings)
    with client.raw() as connection:
        request = f"PATCH {location} HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode()
        connection.send(request + chunk(b"abc") + LAST_CHUNK)
        answer = connection.read_answer("PATCH")
        assert answer.status in {400, 501}, answer
        assert answer.body == b"" or answer.codes == ["UNSUPPORTED"]
        assert connection.read_to_end() == b""
    assert client.offset(location) == "0-0"


def test_two_different_lengths_are_refused(client, name):
    location = client.start_upload(name)
    with client.raw() as connection:
        request = f"PATCH {location} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"
        connection.send(request.encode())
        assert connection.read_answer("PATCH").status == 400


def test_a_head_has_the_length_but_no_body_on_the_wire(client, name):
    payload = client.push_image(name, "v1", b"a layer of some bytes")
    layer = digest_of(b"a layer of some bytes")
    lengths = {
        f"/v2/{name}/manifests/v1": len(payload),
        f"/v2/{name}/manifests/{digest_of(payload)}": len(payload),
        f"/v2/{name}/blobs/{layer}": 21,
        "/v2/": 2,
    }
    with client.raw() as connection:
        for path, length in lengths.items():
            # Behind each HEAD stands a GET: any byte of a body would be taken for its answer.
            connection.send(head("HEAD", path), head("GET", path))
            asked = connection.read_answer("HEAD")
            got = connection.read_answer("GET")
            assert (asked.status, got.status) == (200, 200)
            assert int(asked.headers["content-length"]) == len(got.body) == length
            for header in ("content-type", "docker-content-digest", "etag"):
                assert asked.headers.get(header) == got.headers.get(header)


@pytest.mark.parametrize("path", ["manifests/unknown", f"blobs/{digest_of(b'unknown')}", "blobs/nothing"])
def test_a_head_of_something_unknown_has_no_body_on_the_wire(client, name, path):
    client.push_image(name, "v1", b"layer")
    with client.raw() as connection:
        connection.send(head("HEAD", f"/v2/{name}/{path}"), head("GET", "/v2/"))
        asked = connection.read_answer("HEAD")
        assert asked.status in {400, 404}
        assert connection.read_answer("GET").body == b"{}"


def test_answers_do_not_repeat_the_host_header(client, name):
    with client.raw() as connection:
        headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Content-Length": "0"}
        connection.send(head("POST", f"/v2/{name}/blobs/uploads/", headers, host="evil.example"))
        answer = connection.read_answer("POST")
    assert answer.status == 202
    assert "evil" not in str(answer)
