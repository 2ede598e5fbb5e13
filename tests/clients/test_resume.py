"""An upload that stops in the middle goes on later, by the session's own offset."""

import hashlib
import secrets
import socket
import time

import pytest

from tests.clients.api import Registry
from tests.live_server import default_database, live_server

MIB = 1 << 20
NOTICE_SECONDS = 30


@pytest.fixture
def content() -> bytes:
    return secrets.token_bytes(3 * MIB)


@pytest.fixture
def digest(content) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def session(registry, repository) -> str:
    return start_session(registry, repository)


def start_session(registry, repository: str) -> str:
    answer = registry.request("POST", f"/v2/{repository}/blobs/uploads/")
    assert answer.status == 202, answer
    return answer.headers["location"]


def offset_of(registry, session: str) -> int:
    answer = registry.request("GET", session)
    assert answer.status == 204, answer
    first, _, last = answer.headers["range"].partition("-")
    assert first == "0"
    # "0-0" stands for an empty session too; here no session ever holds exactly one byte.
    return 0 if last == "0" else int(last) + 1


def finish(registry, session: str, digest: str, rest: bytes, start: int):
    end = start + len(rest) - 1
    answer = registry.request(
        "PATCH",
        session,
        rest,
        {"Content-Range": f"{start}-{end}", "Content-Type": "application/octet-stream"},
    )
    assert answer.status == 202, answer
    separator = "&" if "?" in answer.headers["location"] else "?"
    answer = registry.request("PUT", f"{answer.headers['location']}{separator}digest={digest}")
    assert answer.status == 201, answer


def break_off(host: str, target: str, head: str, sent: bytes) -> None:
    """This will send the start of a PATCH and then close the connection without a word."""
    name, _, port = host.partition(":")
    path = target.removeprefix(f"http://{host}")
    with socket.create_connection((name, int(port)), timeout=30) as connection:
        connection.sendall(
            f"PATCH {path} HTTP/1.1\r\nHost: {host}\r\n"
            f"Content-Type: application/octet-stream\r\n{head}\r\n\r\n".encode()
        )
        connection.sendall(sent)


def wait_for_offset(registry, session: str, expected: int) -> None:
    """The registry notices a broken connection a little later, so ask until it has."""
    deadline = time.monotonic() + NOTICE_SECONDS
    while (offset := offset_of(registry, session)) != expected:
        assert time.monotonic() < deadline, f"the session still ends at {offset}, not at {expected}"
        time.sleep(0.05)


def test_chunks_continue_where_they_ended(registry, repository, session, content, digest):
    answer = registry.request("PATCH", session, content[:MIB], {"Content-Range": f"0-{MIB - 1}"})
    assert answer.status == 202, answer
    assert offset_of(registry, session) == MIB
    finish(registry, session, digest, content[MIB:], MIB)
    assert registry.measure_blob(repository, digest) == (len(content), digest)


def test_chunk_that_leaves_a_gap_is_refused_and_the_session_lives(registry, repository, session, content, digest):
    assert registry.request("PATCH", session, content[:MIB]).status == 202
    refused = registry.request("PATCH", session, content[2 * MIB :], {"Content-Range": f"{2 * MIB}-{3 * MIB - 1}"})
    assert refused.status == 416, refused
    assert refused.headers["range"] == f"0-{MIB - 1}"
    assert offset_of(registry, session) == MIB
    finish(registry, session, digest, content[MIB:], MIB)
    assert registry.measure_blob(repository, digest) == (len(content), digest)


@pytest.mark.parametrize("chunked", [False, True], ids=["with-length", "chunked"])
def test_broken_connection_leaves_a_session_that_continues(
    host, registry, repository, session, content, digest, chunked
):
    part = content[: 2 * MIB]
    if chunked:
        break_off(host, session, "Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (len(part), part))
    else:
        break_off(host, session, f"Content-Length: {len(content)}", part)
    wait_for_offset(registry, session, len(part))
    finish(registry, session, digest, content[len(part) :], len(part))
    assert registry.measure_blob(repository, digest) == (len(content), digest)


def test_session_survives_a_restart_of_the_server(repository, content, digest):
    with live_server(database=default_database()) as server:  # one that no other test relies on
        registry = Registry(server.host)
        session = start_session(registry, repository)
        assert registry.request("PATCH", session, content[:MIB]).status == 202
        server.restart()
        assert offset_of(registry, session) == MIB
        finish(registry, session, digest, content[MIB:], MIB)
        assert registry.measure_blob(repository, digest) == (len(content), digest)
