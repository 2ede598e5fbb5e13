"""JSON that two readers could read differently is refused."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci.errors import ManifestInvalid
from oci.strict_json import parse_object

AMBIGUOUS = {
    "empty": b"",
    "blank": b" \n",
    "null": b"null",
    "list": b"[]",
    "string": b'"{}"',
    "number": b"1",
    "true": b"true",
    "truncated": b'{"a":1',
    "trailing brace": b'{"a":1}}',
    "second document": b'{"a":1}{"a":2}',
    "second line": b'{"a":1}\n{"a":2}',
    "trailing text": b'{"a":1} x',
    "trailing NUL": b'{"a":1}\0',
    "byte-order mark": b'\xef\xbb\xbf{"a":1}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without mark": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": '{"a":1}'.encode("utf-32-be"),
    "Latin-1": '{"a":"é"}'.encode("latin-1"),
    "overlong slash": b'{"a":"\xc0\xaf"}',
    "surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "beyond Unicode": b'{"a":"\xf4\x90\x80\x80"}',
    "same key": b'{"a":1,"a":2}',
    "same key, same value": b'{"a":1,"a":1}',
    "same key, escaped": b'{"a":1,"\\u0061":2}',
    "same key below": b'{"x":{"a":1,"a":2}}',
    "same key in a list": b'{"x":[{"a":1,"b":0,"a":2}]}',
    "empty key twice": b'{"":1,"":2}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "-Infinity": b'{"a":-Infinity}',
    "infinite by exponent": b'{"a":1e999}',
    "minus infinite by exponent": b'{"a":-1e999}',
    "single quotes": b"{'a':1}",
    "bare key": b"{a:1}",
    "comment": b'{"a":1 /* x */}',
    "line comment": b'{"a":1} // x',
    "trailing comma": b'{"a":1,}',
    "leading zero": b'{"a":01}',
    "plus": b'{"a":+1}',
    "hexadecimal": b'{"a":0x1}',
    "bare point": b'{"a":1.}',
    "raw line break": b'{"a":"x\ny"}',
    "raw NUL": b'{"a":"x\0y"}',
    "escaped NUL": b'{"a":"x\\u0000y"}',
    "escaped NUL in a key": b'{"x\\u0000y":1}',
    "high surrogate": b'{"a":"\\ud800"}',
    "low surrogate": b'{"a":"\\udc00"}',
    "surrogates the wrong way round": b'{"a":"\\udc00\\ud800"}',
    "surrogate deep down": b'{"a":[{"b":["\\uDFFF"]}]}',
    "bad escape": b'{"a":"\\x41"}',
    "form feed": b'{\x0c"a":1}',
    "no-break space": b'{\xc2\xa0"a":1}',
    "number of many digits": b'{"a":' + b"9" * 5000 + b"}",
    "deep list": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep and never closed": b"[" * 100_000,
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_refuses(name):
    with pytest.raises(ManifestInvalid) as caught:
        parse_object(AMBIGUOUS[name])
    assert caught.value.detail["reason"]
    assert len(str(caught.value.detail)) < 400


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b' \t\r\n{"a" : 1 }\n',
        b'{"a":{"a":{"a":1}},"A":1}',
        b'{"a":"\\\\u0000 \\\\ud800"}',
        b'{"a":"\\ud83d\\ude00"}',
        b'{"a":"\xf0\x9f\x98\x80 \xe2\x80\xa8"}',
        b'{"a":[1,-0,1.5e10,1E-400,true,false,null,"",{}]}',
        b'{"a":18446744073709551616}',
        b'{"a":"\\/\\b\\f\\n\\r\\t\\"\\\\"}',
    ],
)
def test_accepts_what_has_one_reading(payload):
    assert parse_object(payload) == json.loads(payload)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXT, VALUE, max_size=5), st.booleans())
def test_every_object_survives(document, ascii_only):
    assert parse_object(json.dumps(document, ensure_ascii=ascii_only).encode()) == document


FRAGMENTS = st.sampled_from(
    [b"{", b"}", b"[", b"]", b",", b":", b'"a"', b'"b"', b"1", b"NaN", b"null", b" ", b"1e999", b'"\\u0000"', b"\xff"]
)


@given(st.one_of(st.binary(max_size=40), st.lists(FRAGMENTS, max_size=20).map(b"".join)))
def test_never_accepts_what_json_refuses_and_never_reads_it_otherwise(payload):
    try:
        document = parse_object(payload)
    except ManifestInvalid:
        return
    reference = json.loads(payload.decode())
    assert isinstance(reference, dict)
    assert document == reference
    assert not any(isinstance(value, float) and not math.isfinite(value) for value in reference.values())
