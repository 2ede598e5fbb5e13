"""Repository names, tags and references."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci.digests import Digest
from oci.errors import DigestInvalid, NameInvalid, TagInvalid
from oci.names import RepositoryName, TagName, parse_reference

COMPONENT = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "0",
        "a/b",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a--b",
        "a---b/c",
        "x/manifests/y",
        "a/blobs/uploads",
        "foo/tags",
        "a" * 255,
    ],
)
def test_accepts_names_of_the_grammar(text):
    assert str(RepositoryName.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "A",
        "aB",
        "a/",
        "/a",
        "a//b",
        "a/./b",
        "a/../b",
        "..",
        ".a",
        "a.",
        "a..b",
        "_a",
        "a_",
        "a___b",
        "-a",
        "a-",
        "a._b",
        "a.-b",
        "a b",
        "a\n",
        "a\0b",
        "a%2fb",
        "a:b",
        "a@b",
        "a\\b",
        "é",
        "\u0430",
        "\uff41",
        "a" * 256,
        "a/" * 128 + "a",
    ],
)
def test_refuses_names_outside_it(text):
    with pytest.raises(NameInvalid) as caught:
        RepositoryName.parse(text)
    assert len(caught.value.detail["name"]) <= 256


@given(st.lists(COMPONENT, min_size=1, max_size=5).map("/".join))
def test_every_name_of_the_grammar_is_accepted(text):
    assert str(RepositoryName.parse(text)) == text


@given(st.text(alphabet=string.ascii_letters + string.digits + "./_-: %\n", max_size=40))
def test_what_is_accepted_can_never_climb(text):
    try:
        name = RepositoryName.parse(text)
    except NameInvalid:
        return
    assert all(part and part not in {".", ".."} for part in name.text.split("/"))


def test_hostile_names_do_not_cost_more_than_their_length():
    """A pattern that backtracks would never end here."""
    for text in ("a-" * 127, "a_" * 127, "a." * 127 + "!", "0" * 254 + "!", "-" * 255):
        with pytest.raises(NameInvalid):
            RepositoryName.parse(text)


@pytest.mark.parametrize(
    ("name", "team"), [("my-image", "library"), ("library/x", "library"), ("alice/app", "alice"), ("a/b/c", "a")]
)
def test_team_is_the_first_of_several_components(name, team):
    assert RepositoryName.parse(name).team_slug == team


@pytest.mark.parametrize("text", ["latest", "_", "_a", "V1.0-rc_2", "0", "a" * 128, "sha256-" + "0" * 64 + ".sig"])
def test_accepts_tags_of_the_grammar(text):
    assert str(TagName.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", ".", "..", ".a", "-a", "a b", "a/b", "a\n", "a\0", "é", "a+b", "a" * 129, "a,b", "\u0661"]
)
def test_refuses_tags_outside_it(text):
    with pytest.raises(TagInvalid):
        TagName.parse(text)


def test_what_has_a_colon_is_a_digest_and_never_a_tag():
    digest = "sha256:" + "0" * 64
    assert parse_reference(digest) == Digest.parse(digest)
    assert parse_reference("latest") == TagName("latest")
    assert parse_reference("sha256-" + "0" * 64) == TagName("sha256-" + "0" * 64)
    for text in ("sha256:baddigeststring", "a:b", ":", "latest:"):
        with pytest.raises(DigestInvalid):
            parse_reference(text)
