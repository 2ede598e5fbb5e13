"""Request bodies as `wsgi.input` gives them."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci.bodies import CHUNK_SIZE, RequestBody
from oci.errors import ManifestTooLarge, ParameterInvalid, SizeInvalid


class Input:
    """A `wsgi.input` that gives at most `piece` bytes at once and remembers how much was asked for."""

    def __init__(self, content, piece=10**9):
        self.stream = io.BytesIO(content)
        self.piece = piece
        self.asked = []

    def read(self, size):
        self.asked.append(size)
        return self.stream.read(min(size, self.piece))


def body(content, *, length=None, chunked=False, piece=10**9, protocol="HTTP/1.1"):
    environ = {"wsgi.input": Input(content, piece), "SERVER_PROTOCOL": protocol}
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    if chunked:
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    return RequestBody(environ)


@given(st.binary(max_size=300), st.integers(1, 100), st.booleans())
def test_gives_all_bytes_in_their_order(content, piece, chunked):
    incoming = body(content, length=None if chunked else len(content), chunked=chunked, piece=piece)
    assert b"".join(incoming) == content
    assert incoming.received == len(content)
    incoming.check_complete()


def test_reads_no_further_than_the_declared_length():
    incoming = body(b"abcdefnext request", length=6)
    assert b"".join(incoming) == b"abcdef"
    assert incoming._stream.stream.read() == b"next request"


def test_never_asks_for_more_than_one_piece():
    incoming = body(b"x" * (CHUNK_SIZE * 3 + 5), length=CHUNK_SIZE * 3 + 5)
    assert [len(chunk) for chunk in incoming] == [CHUNK_SIZE] * 3 + [5]
    assert max(incoming._stream.asked) == CHUNK_SIZE


def test_body_that_ends_early_is_noticed():
    incoming = body(b"abc", length=10)
    assert b"".join(incoming) == b"abc"
    with pytest.raises(SizeInvalid) as caught:
        incoming.check_complete()
    assert caught.value.detail == {"declared": 10, "received": 3}


@pytest.mark.parametrize("error", [ConnectionResetError, BrokenPipeError, TimeoutError, OSError])
def test_lost_client_ends_the_body(error):
    class Lost(Input):
        def read(self, size):
            if self.asked:
                raise error
            return super().read(3)

    incoming = RequestBody({"wsgi.input": Lost(b"abcdef"), "CONTENT_LENGTH": "6"})
    assert b"".join(incoming) == b"abc"
    with pytest.raises(SizeInvalid):
        incoming.check_complete()


def test_error_of_ours_is_not_taken_for_a_lost_client():
    class Broken(Input):
        def read(self, size):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(RequestBody({"wsgi.input": Broken(b""), "CONTENT_LENGTH": "6"}))


@pytest.mark.parametrize(
    ("environ", "length"),
    [
        ({}, 0),
        ({"CONTENT_LENGTH": ""}, 0),
        ({"CONTENT_LENGTH": "0"}, 0),
        ({"CONTENT_LENGTH": "12"}, 12),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, None),
        ({"HTTP_TRANSFER_ENCODING": "Chunked", "CONTENT_LENGTH": ""}, None),
        ({"SERVER_PROTOCOL": "HTTP/2.0"}, None),
        ({"SERVER_PROTOCOL": "HTTP/2", "CONTENT_LENGTH": "3"}, 3),
        ({"SERVER_PROTOCOL": "HTTP/1.1"}, 0),
    ],
)
def test_declared_length(environ, length):
    incoming = RequestBody({"wsgi.input": Input(b"")} | environ)
    assert incoming.length == length
    assert incoming.may_have_content is (length != 0)


@pytest.mark.parametrize("value", ["abc", "-1", "+1", "1.0", "0x1", " 1", "1_0", "\u0661", "1,1"])
def test_refuses_a_length_that_is_no_number(value):
    with pytest.raises(ParameterInvalid):
        RequestBody({"wsgi.input": Input(b""), "CONTENT_LENGTH": value})


@pytest.mark.parametrize("chunked", [False, True])
def test_reads_whole_up_to_the_limit(chunked):
    assert body(b"x" * 100, length=None if chunked else 100, chunked=chunked).read(100) == b"x" * 100
    with pytest.raises(ManifestTooLarge):
        body(b"x" * 101, length=None if chunked else 101, chunked=chunked).read(100)


def test_declared_length_beyond_the_limit_is_refused_unread():
    incoming = body(b"", length=10**12)
    with pytest.raises(ManifestTooLarge):
        incoming.read(100)
    assert incoming._stream.asked == []


def test_endless_body_is_given_up_soon_after_the_limit():
    class Endless(Input):
        def read(self, size):
            self.asked.append(size)
            return b"x" * size

    incoming = RequestBody({"wsgi.input": Endless(b""), "HTTP_TRANSFER_ENCODING": "chunked"})
    with pytest.raises(ManifestTooLarge):
        incoming.read(1000)
    assert incoming.received <= 1000 + CHUNK_SIZE


def test_short_body_is_not_read_as_whole():
    with pytest.raises(SizeInvalid):
        body(b"abc", length=4).read(100)
