"""Clients that go away in the middle of a chunk, and come back."""

import pytest

from tests.factories import digest_of
from tests.live.client import random_bytes
from tests.live.inspection import (
    assert_every_byte_is_named_once,
    is_written,
    session_row,
    stored_files,
    wait_until,
)
from tests.raw_http import CHUNKED, chunk, head

DECLARED = 2_000_000
SENT = 700_001
FIRST = 12_345


def interrupted_head(location: str, *, chunked: bool) -> bytes:
    return head("PATCH", location, CHUNKED if chunked else {"Content-Length": str(DECLARED)})


@pytest.mark.parametrize("how", ["closes", "resets"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with-length", "chunked"])
@pytest.mark.parametrize("already", [0, FIRST])
def test_offset_equals_the_durable_bytes_and_the_upload_resumes(server, client, name, chunked, how, already):
    content = random_bytes(already + DECLARED)
    location = client.start_upload(name)
    if already:
        assert client.patch(location, content[:already]).status_code == 202
    with client.raw() as connection:
        connection.send(interrupted_head(location, chunked=chunked))
        wait_until(lambda: is_written(server, location), "the server took the request up")
        sent = content[already : already + SENT]
        # The chunk ends in its middle: its size promises more than comes.
        connection.send(chunk(sent)[: -len(sent) // 3] if chunked else sent)
        if how == "resets":
            connection.abort()
    wait_until(lambda: not is_written(server, location), "the server noticed that the client went away")

    key, offset, _ = session_row(server, location)
    durable = stored_files(server)[key].read_bytes()
    assert already <= offset <= already + SENT
    assert durable == content[:offset]
    assert client.offset(location) == f"0-{max(offset - 1, 0)}"

    answer = client.patch(location, content[offset:], Content_Range=f"{offset}-{len(content) - 1}")
    assert answer.status_code == 202, answer.text
    assert client.complete(location, digest_of(content)).status_code == 201
    assert client.pull_blob(name, digest_of(content)) == content
    assert_every_byte_is_named_once(server)


def test_what_arrived_before_the_disconnect_is_kept(server, client, name):
    """With a declared length nothing is thrown away: a slow line makes progress by resuming."""
    content = random_bytes(DECLARED)
    location = client.start_upload(name)
    with client.raw() as connection:
        connection.send(interrupted_head(location, chunked=False), content[:SENT])
        wait_until(lambda: is_written(server, location), "the server took the request up")
    wait_until(lambda: not is_written(server, location), "the server noticed that the client went away")
    assert session_row(server, location)[1] == SENT


@pytest.mark.parametrize("chunked", [False, True], ids=["with-length", "chunked"])
def test_a_put_that_breaks_off_makes_no_blob(server, client, name, chunked):
    content = random_bytes(DECLARED)
    location = client.start_upload(name)
    target = f"{location}?digest={digest_of(content)}"
    with client.raw() as connection:
        connection.send(head("PUT", target, CHUNKED if chunked else {"Content-Length": str(DECLARED)}))
        wait_until(lambda: is_written(server, location), "the server took the request up")
        connection.send(chunk(content)[:SENT] if chunked else content[:SENT])
    wait_until(lambda: has_ended(server, location), "the server noticed that the client went away")
    assert not client.has_blob(name, digest_of(content))
    assert_every_byte_is_named_once(server)
    # Behind a chunked transfer a lost client looks like the end: then the digest is wrong and the session over.
    if client.request("GET", location).status_code == 204:
        offset = session_row(server, location)[1]
        assert client.complete(location, digest_of(content), content[offset:]).status_code == 201
        assert client.pull_blob(name, digest_of(content)) == content


def has_ended(server, location) -> bool:
    """Whether nobody writes to the session any more, or there is none."""
    try:
        return not is_written(server, location)
    except LookupError:
        return True
