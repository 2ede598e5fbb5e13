"""One's own account: password, access tokens, and the sessions of browsers."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AccessToken, RefreshToken, User
from repositories.models import Repository
from tests.factories import NAME
from tests.management.cast import API, ask, send, told
from tests.people import PASSWORD, as_user, make_access_token, make_robot

NEW_PASSWORD = "another long one"


def test_who_am_i(everybody):
    assert ask(everybody, "GET", "users/me") == {
        **dict.fromkeys(everybody, 200),
        "anonymous": 401,
        "robot": 404,
    }
    seen = {
        name: send(everybody[name], "GET", "session").json() for name in ("bob", "admin", "audrey", "robot", "token")
    }
    assert {name: (each["username"], each["kind"]) for name, each in seen.items()} == {
        "bob": ("bob", "password"),
        "admin": ("admin", "password"),
        "audrey": ("audrey", "password"),
        "robot": ("alice+builder", "robot-secret"),
        "token": ("alice", "access-token"),
    }
    assert [name for name, each in seen.items() if each["administrator"]] == ["admin"]
    assert [name for name, each in seen.items() if each["auditor"]] == ["audrey"]
    assert seen["bob"]["csrf_token"] is None


def test_scripts_are_asked_for_basic_and_browsers_for_what_opens_no_dialog(registry, people):
    browsers = ({"Sec_Fetch_Mode": "cors"}, {"X_Requested_With": "XMLHttpRequest"}, {"User_Agent": "Mozilla/5.0 (X11)"})
    for refused in (registry, registry.signed_in("bob", "wrong"), registry.bearing("x")):
        answer = refused.get(f"{API}/users/me")
        assert told(answer) == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="Lading"'
        for headers in browsers:
            answer = refused.get(f"{API}/users/me", **headers)
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Lading"'


def test_one_changes_only_ones_own_address(everybody):
    assert ask(everybody, "PATCH", "users/me", email="me@example.org") == {
        **dict.fromkeys(everybody, 200),
        "anonymous": 401,
        "robot": 404,
        "token": 403,
    }
    assert send(everybody["bob"], "PATCH", "users/me", email="me").status == 400
    assert send(everybody["bob"], "PATCH", "users/me", email="").json()["email"] == ""


def test_changing_ones_password_needs_the_old_one(people, registry):
    bob = User.objects.get(username="bob")
    RefreshToken.objects.create(hash="x", service="lading", user=bob, expires_at=timezone.now())
    answer = send(people["bob"], "PUT", "users/me/password", old_password="wrong", password=NEW_PASSWORD)
    assert told(answer) == (400, "password-refused")
    assert set(answer.json()["fields"]) == {"old_password"}
    answer = send(people["bob"], "PUT", "users/me/password", old_password=PASSWORD, password="short")
    assert set(answer.json()["fields"]) == {"password"}
    assert send(people["bob"], "PUT", "users/me/password", password=NEW_PASSWORD).status == 400
    assert people["bob"].get("/v2/").status == 200
    assert RefreshToken.objects.exists()
    assert send(people["bob"], "PUT", "users/me/password", old_password=PASSWORD, password=NEW_PASSWORD).status == 204
    assert people["bob"].get("/v2/").status == 401
    assert registry.signed_in("bob", NEW_PASSWORD).get("/v2/").status == 200
    assert not RefreshToken.objects.exists()
    assert User.objects.get(pk=bob.pk).revoked_before > bob.revoked_before


def test_guessing_the_old_password_is_slowed(people, monkeypatch):
    monkeypatch.setattr("accounts.throttle.MOST_PER_ACCOUNT", 2)
    given = {"old_password": "wrong", "password": NEW_PASSWORD}
    statuses = [send(people["bob"], "PUT", "users/me/password", **given).status for _ in range(3)]
    assert statuses == [400, 400, 429]


def test_an_access_token_is_shown_once_and_stored_hashed(people, registry):
    answer = send(people["bob"], "POST", "users/me/tokens", name="laptop", role="reader")
    assert answer.status == 201
    shown = answer.json()
    token = shown.pop("token")
    assert token.startswith("lading_pat_")
    assert AccessToken.objects.get().hash not in answer.body.decode()
    (listed,) = send(people["bob"], "GET", "users/me/tokens").json()["results"]
    assert listed == shown
    assert (listed["name"], listed["role"], listed["repositories"], listed["administration"]) == (
        "laptop",
        "reader",
        [],
        False,
    )
    assert listed["expires_soon"] is False
    ends = AccessToken.objects.get().expires_at - timezone.now()
    assert timedelta(days=89) < ends <= timedelta(days=90)
    assert registry.bearing(token).get("/v2/").status == 200
    assert registry.signed_in("bob", token).get("/v2/").status == 200
    assert send(people["bob"], "DELETE", f"users/me/tokens/{listed['id']}").status == 204
    assert registry.bearing(token).get("/v2/").status == 401


def test_access_tokens_do_what_they_say(people, registry):
    people["bob"].push_image()

    def created(**fields):
        return registry.bearing(send(people["bob"], "POST", "users/me/tokens", **fields).json()["token"])

    assert created(name="all", expires_at=None).post(f"/v2/{NAME}/blobs/uploads/").status == 202
    assert created(name="reads", role="reader").post(f"/v2/{NAME}/blobs/uploads/").status == 403
    assert created(name="other", repositories=["alice/other"]).get(f"/v2/{NAME}/tags/list").status == 404
    assert created(name="this", repositories=["alice/*"]).get(f"/v2/{NAME}/tags/list").status == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": "laptop"}, 409),
        ({"name": ""}, 400),
        ({"name": "x" * 101}, 400),
        ({"role": "administrator"}, 400),
        ({"administration": True}, 403),
        ({"repositories": ["a b"]}, 400),
        ({"repositories": ["a\n**"]}, 400),
        ({"repositories": "**"}, 400),
        ({"repositories": ["x"] * 101}, 400),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 400),
        ({"expires_at": "soon"}, 400),
        ({"user": 1}, 400),
        ({"hash": "x"}, 400),
        ({"token": "lading_pat_mine"}, 400),
    ],
)
def test_what_an_access_token_can_be(people, fields, status):
    assert send(people["bob"], "POST", "users/me/tokens", name="laptop").status == 201
    answer = send(people["bob"], "POST", "users/me/tokens", **{"name": "other", **fields})
    assert answer.status == status, answer
    assert AccessToken.objects.count() == 1


def test_only_an_administrators_token_administers(people, registry):
    answer = send(people["admin"], "POST", "users/me/tokens", name="admin", administration=True)
    assert send(registry.bearing(answer.json()["token"]), "GET", "users").status == 200
    plain = send(people["admin"], "POST", "users/me/tokens", name="plain").json()["token"]
    assert send(registry.bearing(plain), "GET", "users").status == 403
    User.objects.filter(username="admin").update(is_superuser=False)
    assert send(registry.bearing(answer.json()["token"]), "GET", "users").status == 403


def test_who_makes_and_deletes_tokens(everybody):
    assert ask(everybody, "POST", "users/me/tokens", name="laptop") == {
        **dict.fromkeys(everybody, 201),
        "anonymous": 401,
        "robot": 404,
        "token": 403,
    }
    bobs = AccessToken.objects.get(user__username="bob")
    refused = {name: client for name, client in everybody.items() if name != "bob"}
    assert ask(refused, "DELETE", f"users/me/tokens/{bobs.pk}") == {
        **dict.fromkeys(refused, 404),
        "anonymous": 401,
        "token": 403,
    }
    assert AccessToken.objects.filter(pk=bobs.pk).exists()


def test_a_token_limited_to_repositories_sees_nothing_of_the_account(people, registry):
    limited = registry.bearing(make_access_token(User.objects.get(username="alice"), patterns="alice/app"))
    for path in ("users/me", "users/me/tokens", "teams/alice", "teams/alice/members"):
        assert send(limited, "GET", path).status in {403, 404}
    assert send(limited, "GET", "teams").json()["results"] == []


class Browser:
    """Keeps cookies, sends the CSRF token on demand, and never an Authorization header."""

    def __init__(self):
        self.client = Client(enforce_csrf_checks=True)
        self.csrf = ""

    def send(self, method, path, csrf=True, headers=None, **fields):
        body = json.dumps(fields) if method in {"POST", "PUT", "PATCH"} else ""
        headers = {**({"X-CSRFToken": self.csrf} if csrf and self.csrf else {}), **(headers or {})}
        environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        path = path if path.startswith("/v2/") else f"{API}/{path}"
        return self.client.generic(method, path, body, content_type="application/json" if body else "", **environ)

    def sign_in(self, username="bob", password=PASSWORD):
        answer = self.send("POST", "session", username=username, password=password)
        if answer.status_code == 201:
            self.csrf = answer.json()["csrf_token"]
        return answer

    @property
    def key(self):
        cookie = self.client.cookies.get("lading-session")
        return cookie.value if cookie else ""


@pytest.fixture
def browser(people):
    return Browser()


def test_signing_in_gives_a_session(browser):
    answer = browser.sign_in()
    assert answer.status_code == 201
    assert (answer.json()["username"], answer.json()["kind"]) == ("bob", "session")
    cookie = browser.client.cookies["lading-session"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    seen = browser.send("GET", "session").json()
    assert (seen["username"], seen["kind"]) == ("bob", "session")
    assert seen["csrf_token"]
    assert browser.send("GET", "teams/alice").status_code == 200
    assert browser.send("PATCH", "users/me", email="bob@example.org").status_code == 200
    assert browser.send("DELETE", "session").status_code == 204
    assert browser.send("GET", "session").status_code == 401


@pytest.mark.parametrize(("username", "password"), [("bob", "wrong"), ("nobody", PASSWORD), ("alice+builder", "")])
def test_what_does_not_sign_in(browser, username, password):
    assert browser.sign_in(username, password).status_code in {400, 401}
    assert browser.key == ""


def test_neither_tokens_nor_robots_begin_a_session(browser, team):
    _, secret = make_robot(team, "builder")
    assert browser.sign_in("bob", make_access_token(User.objects.get(username="bob"))).status_code == 401
    assert browser.sign_in("alice+builder", secret).status_code == 401
    assert browser.key == ""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "users/me"),
        ("POST", "users/me/tokens"),
        ("POST", "users/me/sign-out"),
        ("PUT", "teams/alice/members/charlie"),
        ("DELETE", "teams/alice/members/bob"),
        ("DELETE", "session"),
    ],
)
def test_a_write_by_session_needs_the_csrf_token(browser, method, path):
    browser.sign_in("alice")
    answer = browser.send(method, path, csrf=False)
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/problem+json")
    browser.csrf = "x" * 32
    assert browser.send(method, path).status_code == 403
    assert browser.send("GET", "session").status_code == 200


def test_a_session_key_is_new_at_each_sign_in(browser):
    browser.client.cookies["lading-session"] = "fixed-by-an-attacker"
    browser.sign_in()
    first = browser.key
    assert first not in {"", "fixed-by-an-attacker"}
    browser.sign_in()
    assert browser.key != first


def test_cookies_never_mean_anything_to_the_protocol(browser, people):
    people["bob"].push_image()
    browser.sign_in()
    assert browser.send("GET", f"/v2/{NAME}/tags/list").status_code == 401
    Repository.objects.update(visibility="public")
    assert browser.send("POST", f"/v2/{NAME}/blobs/uploads/").status_code == 401


def test_a_header_counts_before_the_cookie(browser, registry):
    browser.sign_in("alice")
    authorization = {"Authorization": as_user("rita")._authorization}
    assert browser.send("GET", "session", headers=authorization).json()["username"] == "rita"
    assert browser.send("GET", "session", headers={"Authorization": "Bearer x"}).status_code == 401


@pytest.mark.parametrize("how", ["own password", "signed out everywhere", "disabled", "deleted", "given a password"])
def test_sessions_end_with_what_they_stand_for(browser, people, how):
    browser.sign_in()
    other = Browser()
    other.sign_in()
    if how == "own password":
        given = {"old_password": PASSWORD, "password": NEW_PASSWORD}
        before = browser.key
        assert browser.send("PUT", "users/me/password", **given).status_code == 204
        assert browser.send("GET", "session").status_code == 200  # where it was changed one stays
        assert browser.key != before
    elif how == "signed out everywhere":
        assert browser.send("POST", "users/me/sign-out").status_code == 204
        assert browser.send("GET", "session").status_code == 401
    elif how == "disabled":
        send(people["admin"], "PATCH", "users/bob", active=False)
        send(people["admin"], "PATCH", "users/bob", active=True)
    elif how == "deleted":
        send(people["admin"], "DELETE", "users/bob")
        send(people["admin"], "POST", "users", username="bob", password=PASSWORD)
    else:
        send(people["admin"], "PATCH", "users/bob", password=NEW_PASSWORD)
    assert other.send("GET", "session").status_code == 401
    assert other.send("GET", "teams/alice").status_code == 401


def test_a_session_outlives_a_repository_that_was_made_anew(browser, people):
    people["bob"].push_image()
    browser.sign_in()
    Repository.objects.update(deleted_at=timezone.now())
    people["bob"].push_image()
    answer = browser.send("GET", f"access/explain?action=pull&repository={NAME}")
    assert (answer.status_code, answer.json()["allowed"]) == (200, True)


@pytest.mark.parametrize("kind", ["htpasswd", "token"])
def test_where_accounts_are_elsewhere_nobody_begins_a_session_or_comes_by_a_token(browser, registry, settings, kind):
    browser.sign_in()
    token = registry.bearing(make_access_token(User.objects.get(username="admin"), administration=True))
    settings.AUTH_KIND = kind
    assert browser.sign_in().status_code == 401
    assert browser.send("GET", "session").status_code == 401
    assert send(token, "GET", "users").status == 401


def test_without_auth_there_is_nobody_to_be(registry, db, settings):
    settings.AUTH_KIND = "none"
    assert send(registry, "GET", "users/me").status == 404
    assert send(registry, "GET", "session").json()["kind"] == "everyone"
    assert send(registry, "POST", "teams", name="new").status == 201
    assert send(registry, "GET", "teams/new").json()["member_count"] == 0
