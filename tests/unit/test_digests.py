"""Digests: what is one, and what is not."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci.digests import Digest, check_algorithm, new_hasher
from oci.errors import DigestInvalid

SHA256, SHA512 = "sha256:" + "0a" * 32, "sha512:" + "f1" * 64


@pytest.mark.parametrize("text", [SHA256, SHA512])
def test_reads_and_writes_the_same_text(text):
    digest = Digest.parse(text)
    assert str(digest) == text
    assert (digest.algorithm, digest.encoded) == tuple(text.split(":"))
    assert digest == Digest.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        ":" + "0" * 64,
        "sha256:" + "0" * 63,
        "sha256:" + "0" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "SHA256:" + "0" * 64,
        "sha256 :" + "0" * 64,
        "sha256::" + "0" * 64,
        "sha256:sha256:" + "0" * 64,
        " " + SHA256,
        SHA256 + " ",
        SHA256 + "\n",
        SHA256 + "\0",
        SHA256 + "@",
        "sha512:" + "0" * 64,
        "sha256:" + "0" * 128,
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha1:" + "0" * 40,
        "sha384:" + "0" * 96,
        "blake3:" + "0" * 64,
        "sha256+b64:" + "0" * 64,
        "sha256:..",
        "sha256:../../../../etc/passwd",
        "sha256:" + "0" * 62 + "/.",
        "sha256:" + "\u0660" * 64,
        "sha256:" + "\uff10" * 64,
        "tarsum.v1+sha256:" + "0" * 64,
    ],
)
def test_refuses_what_is_no_digest(text):
    with pytest.raises(DigestInvalid):
        Digest.parse(text)


@given(st.binary(max_size=200), st.sampled_from(["sha256", "sha512"]))
def test_of_content_is_what_hashlib_says_and_can_be_read_back(content, algorithm):
    digest = Digest.of(content, algorithm)
    assert str(digest) == f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    assert Digest.parse(str(digest)) == digest


@given(st.text(max_size=140))
def test_whatever_is_accepted_comes_back_unchanged(text):
    try:
        digest = Digest.parse(text)
    except DigestInvalid:
        return
    assert str(digest) == text


def test_hasher_takes_content_in_pieces():
    hasher = new_hasher("sha512")
    for piece in (b"a", bytearray(b"b"), memoryview(b"c")):
        hasher.update(piece)
    assert hasher.hexdigest() == hashlib.sha512(b"abc").hexdigest()


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "", "SHA256", "shake_128", "sha3_256"])
def test_refuses_algorithms_that_are_not_listed(algorithm):
    with pytest.raises(DigestInvalid):
        check_algorithm(algorithm)
