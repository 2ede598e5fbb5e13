"""Every problem has a slug and a status of its own, and a line in docs/errors.md."""

import json
import re
from pathlib import Path

import pytest
from django.test import RequestFactory

import accounts.errors  # noqa: F401 - it defines some of them
import repositories.errors  # noqa: F401 - as above
from registry_project.problems import MethodNotAllowed, Problem, TooManyRequests, Unauthenticated, render_problem

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
NEEDED = {MethodNotAllowed: {"allowed": ("GET", "HEAD")}, TooManyRequests: {"retry_after": 3}}
HEADERS = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}


def problems():
    found, pending = set(), [Problem]
    while pending:
        problem = pending.pop()
        found.add(problem)
        pending += problem.__subclasses__()
    return sorted(found, key=lambda problem: problem.status)


def documented():
    """(status, slug, class) of each row of the table."""
    return {
        (int(status), slug, name)
        for status, slug, name in re.findall(
            r"^\| (\d{3}) \| `([^`]+)` \| `([^`]+)` \|", DOCUMENT.read_text(), re.MULTILINE
        )
    }


@pytest.mark.parametrize("kind", problems(), ids=lambda kind: kind.__name__)
def test_problem(kind):
    response = render_problem(kind(**NEEDED.get(kind, {})), RequestFactory().get("/api/v1/x?y=z"))
    document = json.loads(response.content)
    assert document == {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.default_detail,
        "instance": "/api/v1/x",
    }
    assert (response.status_code, response["Content-Type"]) == (kind.status, "application/problem+json")
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.slug)
    assert kind.title[0].isupper()
    assert kind.default_detail.endswith(".")
    assert kind.status not in HEADERS or HEADERS[kind.status] in response


def test_slugs_are_unique_and_whatever_is_special_has_the_status_of_the_general():
    assert len({kind.slug for kind in problems()}) == len(problems())
    for kind in problems():
        assert len({each.status for each in kind.__mro__ if issubclass(each, Problem)} - {Problem.status}) <= 1


def test_document_lists_exactly_these():
    assert documented() == {(kind.status, kind.slug, kind.__name__) for kind in problems()}


def test_own_words_fields_and_challenge():
    problem = Problem("Do that.", fields={"name": ("is taken",)}, headers={"X-More": "1"})
    response = render_problem(problem, RequestFactory().get("/"))
    assert response["X-More"] == "1"
    assert json.loads(response.content)["fields"] == {"name": ["is taken"]}
    assert json.loads(response.content)["detail"] == "Do that."
    response = render_problem(Unauthenticated(challenge='Basic realm="x"'), RequestFactory().get("/"))
    assert response["WWW-Authenticate"] == 'Basic realm="x"'
