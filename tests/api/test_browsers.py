"""Sessions, CSRF and headers: for browsers, and never for the protocol."""

import json
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from registry_project.tasks import clear_sessions
from tests.factories import ABSENT, NAME

pytestmark = pytest.mark.django_db
PROBE = "/api/v1/probes/x"
CALLS = []


class Recorder:
    def __init__(self, get_response):
        self._get_response = get_response

    def __call__(self, request):
        CALLS.append(request.path)
        return self._get_response(request)

    def process_view(self, request, *_):
        CALLS.append("view")


@pytest.fixture(autouse=True)
def probes(settings):
    settings.ROOT_URLCONF = "tests.api.probe"
    CALLS.clear()


@pytest.fixture
def browser():
    return Client(enforce_csrf_checks=True)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/",
        "/v2/_catalog",
        f"/v2/{NAME}/manifests/latest",
        f"/v2/{NAME}/tags/list",
        f"/v2/{NAME}/blobs/{ABSENT}",
        "/v2/nothing",
        "/auth/token",
        "/healthz",
        "/readyz",
        "/metrics",
    ],
)
def test_protocol_and_probes_pay_for_no_layer(registry, settings, path):
    settings.BROWSER_MIDDLEWARE = [f"{__name__}.Recorder", *settings.BROWSER_MIDDLEWARE]
    registry.push_image()
    registry.get(path, Cookie=f"{settings.SESSION_COOKIE_NAME}=x")
    assert CALLS == []
    registry.get(PROBE)
    assert CALLS == [PROBE, "view"]


def test_cookie_means_nothing_to_the_protocol(registry, browser, monkeypatch, settings):
    browser.get("/sign-in")
    cookie = browser.cookies[settings.SESSION_COOKIE_NAME].value
    seen = []
    monkeypatch.setattr("repositories.api.views.get_manifest", lambda *_, **__: seen.append(1))
    monkeypatch.setattr(
        "oci.views.OCIView.initial",
        lambda view, request, **_: seen.append((request.user, hasattr(request._request, "session"))),
    )
    answer = registry.get(f"/v2/{NAME}/manifests/latest", Cookie=f"{settings.SESSION_COOKIE_NAME}={cookie}")
    assert seen[0] == (None, False)
    assert "Set-Cookie" not in answer.headers


def headers_of(registry, path):
    headers = registry.get(path).headers
    return {name: headers.get(name) for name in ("X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy")}


@pytest.mark.parametrize("path", ["/", "/nothing", PROBE, "/api/v1/nothing", "/api/v1/docs", "/healthz", "/readyz"])
def test_pages_are_protected_by_headers(registry, path):
    assert headers_of(registry, path) == {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
    }
    policy = registry.get(path).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(browser, settings):
    cookies = browser.get("/sign-in").cookies
    assert set(cookies) == {"lading-session", "lading-csrf"}
    for cookie in cookies.values():
        assert (cookie["httponly"], cookie["samesite"], cookie["secure"], cookie["path"]) == (True, "Lax", "", "/")


def test_reading_does_not_renew_a_session(browser):
    browser.get("/sign-in")
    assert browser.get("/form").cookies == {}
    assert browser.get("/api/v1/probes/x").cookies == {}


def write(browser, method="delete", path=PROBE, **headers):
    return getattr(browser, method)(path, **{f"HTTP_{name}": value for name, value in headers.items()})


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_write_with_a_session_and_no_token_changes_nothing(browser, method):
    browser.get("/sign-in")
    answer = write(browser, method)
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/problem+json")
    assert "CSRF" in json.loads(answer.content)["detail"]


def test_write_with_a_session_and_its_token_passes(browser):
    token = browser.get("/sign-in").content.decode()
    assert write(browser, X_CSRFTOKEN=token).status_code == 204
    assert write(browser, X_CSRFTOKEN=token, ORIGIN="http://testserver").status_code == 204


@pytest.mark.parametrize("token", ["", "x", "a" * 32, "a" * 64])
def test_write_with_another_token_is_refused(browser, token):
    browser.get("/sign-in")
    assert write(browser, X_CSRFTOKEN=token).status_code == 403


ELSEWHERE = [
    "https://evil.example",
    "null",
    "http://testserver.evil.example",
    "http://testserver:81",
    "https://testserver",
]


@pytest.mark.parametrize("origin", ELSEWHERE)
@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("authorization", ["", "Basic YTpi"])
def test_write_from_another_site_is_refused(browser, origin, signed_in, authorization):
    token = browser.get("/sign-in").content.decode()
    if not signed_in:
        browser.cookies.clear()
    headers = {"AUTHORIZATION": authorization} if authorization else {}
    assert write(browser, X_CSRFTOKEN=token, ORIGIN=origin, **headers).status_code == 403


def test_scripts_need_no_token(browser):
    assert write(browser).status_code == 204
    assert write(browser, AUTHORIZATION="Bearer x", ORIGIN="https://dashboard.example").status_code == 204


def test_origin_of_the_configured_host_is_ours_behind_a_proxy(browser, settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://registry.example.org"]
    token = browser.get("/sign-in").content.decode()
    assert write(browser, X_CSRFTOKEN=token, ORIGIN="https://registry.example.org").status_code == 204


def test_form_without_a_token_is_refused_in_a_sentence(browser):
    token = browser.get("/sign-in").content.decode()
    answer = browser.post("/form")
    assert (answer.status_code, answer["Content-Type"]) == (403, "text/plain; charset=utf-8")
    assert browser.post("/form", {"csrfmiddlewaretoken": token}).content == b"alice"


@pytest.mark.parametrize("path", [PROBE, "/api/v1/probes", "/api/v1/schema", "/api/v1/nothing", "/", "/nothing"])
def test_no_session_begins_by_itself(registry, path):
    assert "Set-Cookie" not in registry.get(path).headers
    assert not Session.objects.exists()


def test_expired_sessions_go(browser):
    browser.get("/sign-in")
    Session.objects.create(session_key="old", session_data="", expire_date=timezone.now() - timedelta(seconds=1))
    clear_sessions()
    assert Session.objects.count() == 1
    assert browser.get("/form").content == b"alice"
