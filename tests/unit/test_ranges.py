"""Ranges of downloads and of uploaded chunks."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci.errors import BlobUploadInvalid, RangeInvalid
from oci.ranges import MAX_RANGES, ByteRange, parse_content_range, parse_range

NUMBER = st.integers(0, 300)
SPEC = st.one_of(
    st.tuples(NUMBER, NUMBER).map("{0[0]}-{0[1]}".format), NUMBER.map("{}-".format), NUMBER.map("-{}".format)
)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0-0", ByteRange(0, 1)),
        ("5-9", ByteRange(5, 10)),
        ("bytes 5-9/100", ByteRange(5, 10)),
        ("bytes 5-9/*", ByteRange(5, 10)),
        ("bytes=5-9", ByteRange(5, 10)),
        (" 5-9 ", ByteRange(5, 10)),
        ("0-" + "9" * 19, ByteRange(0, 10**19)),
        ("0-" + "9" * 5000, ByteRange(0, 10**19 + 1)),
        ("0" * 5000 + "5-9", ByteRange(5, 10)),
        (None, None),
        ("", None),
    ],
)
def test_reads_the_range_of_a_chunk(header, expected):
    assert parse_content_range(header) == expected


@pytest.mark.parametrize(
    "header", ["x", "1", "-", "1-", "-1", "1-2-3", "0x1-0x2", "1 - 2", "1,2", "+1-2", "\u0661-\u0662"]
)
def test_refuses_what_is_no_range_of_a_chunk(header):
    with pytest.raises(BlobUploadInvalid):
        parse_content_range(header)


@pytest.mark.parametrize("header", ["9-8", "9" * 20 + "-1", "9" * 5000 + "-1"])
def test_refuses_a_reversed_range_of_a_chunk(header):
    with pytest.raises(RangeInvalid):
        parse_content_range(header)


@given(NUMBER, NUMBER)
def test_range_of_a_chunk_is_inclusive(start, more):
    piece = parse_content_range(f"{start}-{start + more}")
    assert (piece.start, piece.size) == (start, more + 1)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", [ByteRange(0, 1)]),
        ("bytes=0-", [ByteRange(0, 10)]),
        ("bytes=-3", [ByteRange(7, 10)]),
        ("bytes=-30", [ByteRange(0, 10)]),
        ("bytes=8-20", [ByteRange(8, 10)]),
        ("bytes=8-" + "9" * 20, [ByteRange(8, 10)]),
        ("bytes=8-" + "9" * 5000, [ByteRange(8, 10)]),
        ("bytes=-" + "9" * 20, [ByteRange(0, 10)]),
        ("bytes=" + "0" * 30 + "8-9", [ByteRange(8, 10)]),
        ("bytes=0-1," + "9" * 30 + "-", [ByteRange(0, 2)]),
        ("bytes=0-1,4-5", [ByteRange(0, 2), ByteRange(4, 6)]),
        ("bytes= 0-1 , 4-5 ", [ByteRange(0, 2), ByteRange(4, 6)]),
        ("bytes=4-5,0-1", [ByteRange(4, 6), ByteRange(0, 2)]),
        ("bytes=50-,0-1", [ByteRange(0, 2)]),
        ("Bytes=0-1", [ByteRange(0, 2)]),
        ("bytes=0-9,0-0", None),
        ("bytes=" + ",".join(["0-0"] * 11), None),
        (f"bytes={','.join(['0-0'] * (MAX_RANGES + 1))}", None),
        ("items=0-1", None),
        ("bytes", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=0-1,", None),
        ("bytes=0-1;2-3", None),
        ("bytes=--1", None),
        (None, None),
        ("", None),
    ],
)
def test_reads_the_ranges_of_a_download_of_ten_bytes(header, expected):
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("bytes=10-", 10),
        ("bytes=10-20", 10),
        ("bytes=5-4", 10),
        ("bytes=" + "9" * 20 + "-", 10),
        ("bytes=" + "9" * 5000 + "-" + "9" * 5001, 10),
        ("bytes=-0", 10),
        ("bytes=0-", 0),
        ("bytes=-1", 0),
        ("bytes=10-,11-", 10),
    ],
)
def test_refuses_ranges_of_which_nothing_is_there(header, size):
    with pytest.raises(RangeInvalid) as caught:
        parse_range(header, size)
    assert caught.value.headers == {"Content-Range": f"bytes */{size}"}


@given(st.lists(SPEC, min_size=1, max_size=20), st.integers(0, 200))
def test_resolved_ranges_lie_within_the_content_and_never_sum_up_to_more(specs, size):
    try:
        ranges = parse_range("bytes=" + ",".join(specs), size)
    except RangeInvalid:
        return
    if ranges is None:
        return
    assert all(0 <= piece.start < piece.stop <= size for piece in ranges)
    assert 0 < sum(piece.size for piece in ranges) <= size


@given(SPEC, st.integers(1, 200))
def test_one_range_is_what_a_slice_would_give(spec, size):
    content = bytes(index % 251 for index in range(size))
    first, _, last = spec.partition("-")
    if first:
        expected = content[int(first) : int(last) + 1] if last else content[int(first) :]
    else:
        expected = content[-int(last) :] if int(last) else b""
    try:
        ((piece),) = parse_range(f"bytes={spec}", size)
    except RangeInvalid:
        assert expected == b""
        return
    assert content[piece.start : piece.stop] == expected
    assert piece.content_range(size) == f"bytes {piece.start}-{piece.stop - 1}/{size}"


@given(st.text(max_size=60), st.integers(0, 100))
def test_no_header_makes_it_fail_otherwise(header, size):
    for parse in (lambda: parse_range(header, size), lambda: parse_content_range(header)):
        # The two refusals that a client is told of, and nothing else.
        with suppress(BlobUploadInvalid, RangeInvalid):
            parse()
