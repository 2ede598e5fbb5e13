"""The grammar of scopes (Distribution's token protocol)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.scopes import MOST_SCOPES, Scope, ScopeInvalid, format_scopes, parse_scopes
from oci.errors import ParameterInvalid

words = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+){0,2}", fullmatch=True)
names = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1)
actions = st.frozensets(st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters=":,"), min_size=1))
scopes = st.builds(Scope, words, names, actions)


@given(scopes)
def test_what_is_written_reads_as_it_was(scope):
    assert Scope.parse(str(scope)) == scope
    assert Scope.parse(str(scope).replace(":", "(plugin):", 1)) == scope


@given(st.text() | st.from_regex(r"[a-z]+(\([a-z]*\))?:[a-z/:]*:[a-z,*]*"))
def test_any_text_is_a_scope_or_is_told_to_be_none(text):
    try:
        scope = Scope.parse(text)
    except ScopeInvalid:
        return
    assert Scope.parse(str(scope)) == scope


@given(st.lists(st.text()))
def test_a_request_never_fails_for_its_words(values):
    try:
        parsed = parse_scopes(values)
    except ParameterInvalid:
        return
    assert parse_scopes([format_scopes(parsed)]) == parsed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("repository:a/b:pull,push", Scope("repository", "a/b", frozenset({"pull", "push"}))),
        ("repository(plugin):a:pull", Scope("repository", "a", frozenset({"pull"}))),
        ("repository:localhost:5000/a:*", Scope("repository", "localhost:5000/a", frozenset({"*"}))),
        ("registry:catalog:*", Scope("registry", "catalog", frozenset({"*"}))),
        ("repository:a:", Scope("repository", "a", frozenset())),
        ("repository:a:pull,,pull,", Scope("repository", "a", frozenset({"pull"}))),
    ],
)
def test_parsing(text, expected):
    assert Scope.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":", "::", "a", "a:b", ":a:pull", "repository::pull", "a b:c:d", "a:b c:d", "A:b:c"]
)
def test_what_is_no_scope(text):
    with pytest.raises(ScopeInvalid):
        Scope.parse(text)


def test_actions_are_written_in_the_usual_order():
    assert str(Scope("repository", "a", frozenset({"push", "*", "delete", "pull", "b"}))) == (
        "repository:a:pull,push,delete,*,b"
    )


def test_names_are_counted_once():
    many = [f"repository:a/{number}:pull repository:a/{number}:push" for number in range(MOST_SCOPES)]
    assert len(parse_scopes(many)) == MOST_SCOPES
    with pytest.raises(ParameterInvalid):
        parse_scopes([*many, "repository:b:pull"])
