"""Pushes and pulls through nginx as deploy/nginx has it, with blobs sent by nginx itself (`web.accel`)."""

import email
import subprocess

import httpx
import pytest

from tests.factories import digest_of
from tests.live.client import Client, codes, in_pieces, random_bytes

pytestmark = pytest.mark.live
NAME = "deploy/nginx"
CONTENT = bytes(range(256)) * 8000
BIG = 40 * 1024 * 1024


@pytest.fixture(scope="module")
def client(proxy):
    with Client(proxy) as client:
        yield client


@pytest.fixture(scope="module")
def path(client):
    return f"{NAME}/blobs/{client.push_blob(NAME, CONTENT)}"


def sent_by_nginx(answer: httpx.Response) -> bool:
    return answer.headers.get("Server") == "nginx" and "X-Accel-Redirect" not in answer.headers


def test_a_pull_has_the_bytes_and_what_describes_them(client, path, servers):
    answer, digest = client.request("GET", path), digest_of(CONTENT)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert sent_by_nginx(answer)
    expected = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(len(CONTENT)),
        "Docker-Content-Digest": digest,
        "Docker-Distribution-Api-Version": "registry/2.0",
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": "attachment",
        "Content-Security-Policy": "sandbox",
    }
    assert {name: answer.headers.get_list(name) for name in expected} == {
        name: [text] for name, text in expected.items()
    }
    assert "Last-Modified" not in answer.headers
    # The bytes did not come from Lading: it names a place and sends nothing.
    with Client(servers[0]) as direct:
        bare = direct.request("GET", path)
    assert bare.content == b""
    assert bare.headers["X-Accel-Redirect"].startswith("/-/files/blobs/")


def test_head_is_answered_without_a_detour(client, path, servers):
    with Client(servers[0]) as direct:
        assert "X-Accel-Redirect" not in direct.request("HEAD", path).headers
    answer = client.request("HEAD", path)
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(CONTENT)))
    assert answer.headers["Docker-Content-Digest"] == digest_of(CONTENT)


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-1999", 1000, 2000),
        ("bytes=2047000-", 2_047_000, len(CONTENT)),
        ("bytes=-500", len(CONTENT) - 500, len(CONTENT)),
        ("bytes=100-99999999", 100, len(CONTENT)),
    ],
)
def test_one_range(client, path, header, start, stop):
    answer = client.request("GET", path, headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"
    assert answer.headers["Docker-Content-Digest"] == digest_of(CONTENT)


def test_several_ranges(client, path):
    answer = client.request("GET", path, headers={"Range": "bytes=0-9,500-599,-7"})
    assert answer.status_code == 206
    message = email.message_from_bytes(
        b"Content-Type: " + answer.headers["Content-Type"].encode() + b"\r\n\r\n" + answer.content
    )
    ranges = [part["Content-Range"] for part in message.get_payload()]
    total = len(CONTENT)
    assert ranges == [f"bytes 0-9/{total}", f"bytes 500-599/{total}", f"bytes {total - 7}-{total - 1}/{total}"]
    for start, stop in ((0, 10), (500, 600), (total - 7, total)):
        assert b"\r\n\r\n" + CONTENT[start:stop] + b"\r\n--" in answer.content


def test_a_range_beyond_the_end_is_refused_in_the_protocols_words(client, path):
    answer = client.request("GET", path, headers={"Range": f"bytes={len(CONTENT)}-"})
    assert (answer.status_code, codes(answer)) == (416, ["RANGE_INVALID"])
    assert answer.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


def test_if_range_and_if_none_match_go_by_the_digest(client, path):
    tag = f'"{digest_of(CONTENT)}"'
    part = client.request("GET", path, headers={"Range": "bytes=5-9", "If-Range": tag})
    assert (part.status_code, part.content) == (206, CONTENT[5:10])
    whole = client.request("GET", path, headers={"Range": "bytes=5-9", "If-Range": '"other"'})
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert client.request("GET", path, headers={"If-None-Match": tag}).status_code == 304


def test_the_files_have_no_way_in_from_outside(client, path, servers):
    with Client(servers[0]) as direct:
        place = direct.request("GET", path).headers["X-Accel-Redirect"]
    assert client.request("GET", place).status_code == 404


def test_lost_bytes_are_an_error_and_not_an_unknown_blob(client, servers):
    content = random_bytes(1000)
    path = f"{NAME}/blobs/{client.push_blob(NAME, content)}"
    with Client(servers[0]) as direct:
        place = direct.request("GET", path).headers["X-Accel-Redirect"]
    (servers[0].data / place.removeprefix("/-/files/")).unlink()
    answer = client.request("GET", path)
    assert (answer.status_code, codes(answer)) == (500, ["UNKNOWN"])


def test_large_chunked_uploads_pass_without_a_copy_in_nginx(client, proxy):
    content = random_bytes(BIG)
    location = client.start_upload(NAME)
    assert client.patch(location, in_pieces(content)).status_code == 202
    digest = digest_of(content)
    assert client.complete(location, digest).status_code == 201
    assert client.pull_blob(NAME, digest) == content
    assert "buffered to a temporary file" not in proxy.log()


def test_http2_over_tls(proxy, path, tmp_path):
    target = tmp_path / "blob"
    command = ["curl", "--silent", "--show-error", "--fail", "--http2", "--cacert", str(proxy.folder / "tls.crt")]
    command += ["--output", str(target), "--write-out", "%{http_version} %{http_code}"]
    url = f"https://localhost:{proxy.tls_port}/v2/{path}"
    answer = subprocess.run(
        [*command, "--resolve", f"localhost:{proxy.tls_port}:127.0.0.1", url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout == "2 200", answer.stderr
    assert target.read_bytes() == CONTENT
