"""What every endpoint of the management API does alike."""

import io
import json

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf

from oci.errors import Denied, NameUnknown, StorageFull, TooManyRequests, Unauthorized
from registry_project import problems
from tests.api.test_errors import refusal

PROBES = "/api/v1/probes"
JSON = {"Content_Type": "application/json"}


@pytest.fixture(autouse=True)
def probes(settings):
    settings.ROOT_URLCONF = "tests.api.probe"


def problem(answer):
    assert answer.headers["Content-Type"] == "application/problem+json", answer
    assert answer.headers["Cache-Control"] == "no-store"
    document = answer.json()
    assert document["status"] == answer.status
    return document


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/",
        "/api/v1",
        "/api/",
        "/api/v1/nothing",
        "/api/v2/",
        "/api/v1/probes/",
        "/api/v1/probes/a/b",
        "/api/v1//",
    ],
)
def test_unknown_path_is_a_problem(registry, path, method):
    answer = registry.request(method, path)
    assert problem(answer) == {
        "type": "/problems/not-found",
        "title": "There is no such thing",
        "status": 404,
        "detail": "There is no such endpoint.",
        "instance": path,
    }


def test_the_path_of_a_problem_is_a_reference(registry):
    assert problem(registry.get("/api/v1/n%C3%A9%20%25%0A"))["instance"] == "/api/v1/n%C3%A9%20%25%0A"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_method_that_is_not_there_is_405_and_tells_which_are(registry, method):
    answer = registry.request(method, PROBES)
    assert problem(answer)["type"] == "/problems/method-not-allowed"
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_answer_is_json_that_nobody_keeps(registry):
    answer = registry.get(f"{PROBES}/x", Accept="text/html")
    assert (answer.status, answer.headers["Content-Type"], answer.json()) == (200, "application/json", {"slug": "x"})
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", [f"{PROBES}/a%00b", f"{PROBES}/a%0Ab"])
def test_path_that_no_column_can_hold_finds_nothing(registry, path):
    assert problem(registry.get(path))["status"] == 404


CASES = [
    (ZeroDivisionError("secret"), 500, "internal-error"),
    (OperationalError("secret"), 503, "unavailable"),
    (InterfaceError("secret"), 503, "unavailable"),
    (refusal("secret", sqlstate="53100"), 507, "unavailable"),
    (StorageFull(), 507, "unavailable"),
    (NameUnknown({"name": "a/b"}), 404, "name-unknown"),
    (Denied({"reason": "only owners may"}), 403, "forbidden"),
    (Unauthorized(headers={"WWW-Authenticate": 'Basic realm="evil.example"'}), 401, "unauthenticated"),
    (TooManyRequests(retry_after=3), 429, "too-many-requests"),
    (Http404("secret"), 404, "not-found"),
    (PermissionDenied(), 403, "forbidden"),
    (SuspiciousOperation("too many"), 400, "bad-request"),
    (drf.ParseError("odd"), 400, "bad-request"),
    (drf.NotAuthenticated(), 401, "unauthenticated"),
    (drf.AuthenticationFailed(), 401, "unauthenticated"),
    (drf.PermissionDenied(), 403, "forbidden"),
    (drf.NotFound(), 404, "not-found"),
    (drf.MethodNotAllowed("GET"), 405, "method-not-allowed"),
    (drf.UnsupportedMediaType("x"), 415, "unsupported-media-type"),
    (drf.Throttled(wait=12.5), 429, "too-many-requests"),
    (drf.APIException("secret"), 500, "internal-error"),
    (problems.Conflict("The name is taken.", fields={"name": ["taken"]}), 409, "conflict"),
    (problems.Unavailable(retry_after=9), 503, "unavailable"),
]


@pytest.mark.parametrize(("error", "status", "slug"), CASES, ids=lambda case: getattr(type(case), "__name__", None))
def test_whatever_is_raised_leaves_as_a_problem(registry, monkeypatch, caplog, error, status, slug):
    def fail():
        raise error

    monkeypatch.setattr("tests.api.probe.act", fail)
    answer = registry.get(PROBES)
    document = problem(answer)
    assert (answer.status, document["type"]) == (status, f"/problems/{slug}")
    assert document["detail"].endswith(".") or "odd" in document["detail"] or document["detail"] == "too many"
    assert "secret" not in answer.body.decode()
    assert ("Traceback" in caplog.text) == (status == 500)
    assert answer.headers.get("WWW-Authenticate") == ('Bearer realm="lading"' if status == 401 else None)
    assert ("Retry-After" in answer.headers) == (status in {429, 503})
    assert ("Allow" in answer.headers) == (status == 405)


def test_what_fails_outside_of_the_view_is_a_problem_too(registry, monkeypatch):
    monkeypatch.setattr("registry_project.endpoints.ManagementView.dispatch", lambda *_, **__: 1 / 0)
    registry._client.raise_request_exception = False
    assert problem(registry.get(PROBES))["type"] == "/problems/internal-error"


def test_fields_are_named_as_the_body_has_them(registry):
    answer = registry.post(PROBES, json.dumps({"slug": "x" * 21, "quota_bytes": -1}).encode(), **JSON)
    fields = problem(answer)["fields"]
    assert answer.status == 400
    assert set(fields) == {"slug", "quota_bytes"}


def test_nested_fields_have_a_path():
    error = drf.ValidationError(
        {"rules": [{}, {"tags": ["odd"]}], "non_field_errors": ["both"], "deep": {"non_field_errors": ["x"]}}
    )
    assert problems._as_problem(error).fields == {"rules.1.tags": ["odd"], "body": ["both"], "deep": ["x"]}


@pytest.mark.parametrize("chunked", [False, True])
def test_body_is_read_however_it_is_sent(registry, chunked):
    answer = registry.post(PROBES, b'{"slug": "a"}', chunked=chunked, **JSON)
    assert (answer.status, answer.json()) == (201, {"slug": "a"})


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"slug": "a", "slug": "b"}', "application/json", 400),
        (b'{"slug": NaN}', "application/json", 400),
        (b'{"slug": "\\u0000"}', "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"slug": "a"}', "text/plain", 415),
        (b"slug=a", "application/x-www-form-urlencoded", 415),
        (b"x", "multipart/form-data; boundary=y", 415),
        (b"<a/>", "application/xml", 415),
    ],
)
def test_body_that_is_not_strict_json_is_refused(registry, body, media_type, status):
    assert problem(registry.post(PROBES, body, Content_Type=media_type))["status"] == status


class Endless(io.RawIOBase):
    """A body that goes on; reading far beyond the limit would show."""

    taken = 0

    def read(self, size=-1):
        assert 0 < size < 2**20
        self.taken += size
        assert self.taken < 2**21
        return b"[" * size


@pytest.mark.parametrize("how", [{"chunked": True}, {"length": 2**20 + 1}, {"length": 10**15}])
def test_body_beyond_a_mebibyte_is_refused_before_it_is_read(registry, how):
    answer = registry.post(PROBES, Endless(), **how, **JSON)
    assert problem(answer)["type"] == "/problems/too-large"
    assert answer.status == 413


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("quota_bytes=1", {"quota_bytes"}),
        ("password__startswith=a&_connector=OR", {"password__startswith", "_connector"}),
        ("search=a&search=b", {"search"}),
        ("search=a%00b", {"search"}),
        ("search=" + "a" * 256, {"search"}),
        ("visibility=secret", {"visibility"}),
        ("since=yesterday", {"since"}),
        ("since=2025-01-01", {"since"}),
        ("since=2025-01-01T00:00:00", {"since"}),
        ("since=2025-99-01T00:00:00Z", {"since"}),
        ("empty=1", {"empty"}),
        ("sort=user__password", {"sort"}),
        ("sort=--slug", {"sort"}),
        ("sort=quota_bytes", {"sort"}),
        ("limit=0", {"limit"}),
        ("limit=201", {"limit"}),
        ("limit=-1", {"limit"}),
        ("limit=%D9%A1", {"limit"}),
        ("limit=", {"limit"}),
        ("cursor=", {"cursor"}),
        ("limit=x&sort=y", {"limit", "sort"}),
        ("'%3B--=1", {"';--"}),
    ],
)
def test_query_parameter_that_is_not_valid_is_named(registry, query, named):
    answer = registry.get(f"{PROBES}?{query}")
    document = problem(answer)
    assert (answer.status, set(document["fields"])) == (400, named)


def test_parameters_of_another_method_are_refused(registry):
    assert problem(registry.post(f"{PROBES}?search=a", b'{"slug": "a"}', **JSON))["fields"].keys() == {"search"}


@pytest.mark.django_db
def test_query_parameters_that_are_valid(registry):
    query = "search=a&visibility=public&since=2025-01-01T00:00:00+02:00&empty=true&sort=-slug&limit=200"
    assert registry.get(f"{PROBES}?{query}").json() == {"results": [], "next": None}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", [PROBES, f"{PROBES}/x", "/api/v1/nothing", "/api/v1/schema", "/api/v1/docs", "/nothing"]
)
def test_names_from_headers_are_never_repeated(registry, path):
    names = {"Host": "evil.example", "X_Forwarded_Host": "evil.example", "Forwarded": "host=evil.example"}
    answer = registry.get(path, **names)
    assert b"evil.example" not in answer.body
    assert "evil.example" not in repr(dict(answer.headers))
