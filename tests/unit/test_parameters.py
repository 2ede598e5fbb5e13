"""Query parameters, page sizes and entity tags."""

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from oci.errors import PaginationInvalid, ParameterInvalid
from oci.parameters import matches_etag, page_size, single

DIGEST = "sha256:" + "0" * 64


def request(query):
    return RequestFactory().get(f"/?{query}")


@pytest.mark.parametrize(
    ("query", "value"),
    [("", None), ("x=", ""), ("x=1", "1"), ("y=1&y=2&x=3", "3"), ("x=%20a%2Bb", " a+b"), ("x=é", "é")],
)
def test_reads_a_parameter(query, value):
    assert single(request(query), "x") == value


@pytest.mark.parametrize("query", ["x=1&x=2", "x=1&x=1", "x=%00", "x=a%0Ab", "x=%7F", "x=%E2%80%A8", "x=" + "a" * 2049])
def test_refuses_what_is_ambiguous_or_cannot_be_printed(query):
    with pytest.raises(ParameterInvalid) as caught:
        single(request(query), "x")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("", 7),
        ("n=0", 0),
        ("n=1", 1),
        ("n=99", 99),
        ("n=100", 100),
        ("n=101", 100),
        ("n=" + "9" * 500, 100),
        ("n=007", 7),
    ],
)
def test_page_size(query, size):
    assert page_size(request(query), most=100, default=7) == size


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.0", "1e1", "a", "%20 1", "%D9%A1", "%C2%B2", "0x1", "1_0"])
def test_refuses_a_page_size_that_is_not_digits(value):
    with pytest.raises(PaginationInvalid):
        page_size(request(f"n={value}"), most=100, default=None)


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        (f'"{DIGEST}"', True),
        (DIGEST, True),
        (f'W/"{DIGEST}"', True),
        (f'"a",  "{DIGEST}" ', True),
        ("*", True),
        (None, False),
        ("", False),
        ('"a"', False),
        (f'"{DIGEST}x"', False),
        (DIGEST[:-1], False),
        (",,,", False),
    ],
)
def test_entity_tags(header, matches):
    assert matches_etag(header, DIGEST) is matches


@given(st.text(max_size=50))
def test_no_header_makes_entity_tags_fail(header):
    matches_etag(header, DIGEST)
