"""Refresh tokens: who gets one, and what it is good for."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import RefreshToken, User
from accounts.refresh_tokens import purge_refresh_tokens
from tests.access.bearer import access_of, ask, post_form
from tests.factories import NAME
from tests.people import PASSWORD, make_access_token, make_robot

PULL = f"repository:{NAME}:pull"


@pytest.fixture
def image(people):
    return people["bob"].push_image("latest")


def use(registry, token, *scopes, **more):
    return post_form(registry, *scopes, grant_type="refresh_token", refresh_token=token, service="lading", **more)


@pytest.mark.parametrize("asked", [{"offline_token": "true"}, {"access_type": "offline"}])
@pytest.mark.parametrize("who", ["user", "access token", "robot"])
def test_it_really_refreshes(registry, team, people, image, who, asked):
    client = {
        "user": people["bob"],
        "access token": registry.signed_in("bob", make_access_token(User.objects.get(username="bob"))),
        "robot": registry.signed_in("alice+ci", make_robot(team)[1]),
    }[who]
    token = ask(client, client_id="docker", account="bob", **asked).json()["refresh_token"]
    assert token.startswith("lading_ref_")
    assert RefreshToken.objects.get().client_id == "docker"
    answer = use(registry, token, f"{PULL},push")
    assert access_of(answer) == {f"repository:{NAME}": ["pull", "push"]}
    assert "refresh_token" not in answer.json()
    assert registry.bearing(answer.json()["access_token"]).get(f"/v2/{NAME}/tags/list").status == 200
    # Docker asks for it again, and goes on with what it gets.
    assert use(registry, token, access_type="offline").json()["refresh_token"] == token
    assert RefreshToken.objects.count() == 1


def test_by_form(registry, people):
    answer = post_form(registry, grant_type="password", username="bob", password=PASSWORD, access_type="offline")
    assert use(registry, answer.json()["refresh_token"]).status == 200
    assert "refresh_token" not in post_form(registry, grant_type="password", username="bob", password=PASSWORD).json()


def test_who_gets_none(registry, people):
    for client in (registry, registry.signed_in("", "")):
        assert "refresh_token" not in ask(client, offline_token="true").json()
    assert "refresh_token" not in ask(people["bob"], offline_token="false").json()
    assert not RefreshToken.objects.exists()


def test_it_does_not_sign_in_elsewhere(registry, people, image):
    token = ask(people["bob"], offline_token="true").json()["refresh_token"]
    assert registry.bearing(token).get("/v2/").status == 401
    assert registry.signed_in("bob", token).get("/v2/").status == 401
    assert ask(registry.bearing(token)).status == 401


def test_what_is_refused(registry, people, settings):
    token = ask(people["bob"], offline_token="true").json()["refresh_token"]
    for text in ("", "x", token[:-1], token + "a", token.replace("ref", "pat")):
        answer = use(registry, text)
        assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
    settings.LADING_AUTH = settings.LADING_AUTH.model_copy(update={"service": "other"})
    assert post_form(registry, grant_type="refresh_token", refresh_token=token, service="other").status == 401


def test_it_ends_when_nobody_uses_it(registry, people, settings):
    token = ask(people["bob"], offline_token="true").json()["refresh_token"]
    RefreshToken.objects.update(expires_at=timezone.now() + timedelta(minutes=1))
    assert use(registry, token).status == 200
    assert RefreshToken.objects.get().expires_at > timezone.now() + settings.LADING_AUTH.refresh / 2
    RefreshToken.objects.update(expires_at=timezone.now())
    assert use(registry, token).status == 401
    assert purge_refresh_tokens(now=timezone.now()) == 1


def test_refreshing_costs_three_statements(registry, people, image):
    token = ask(people["bob"], offline_token="true").json()["refresh_token"]
    use(registry, token)  # writes that it was used, once an hour
    with CaptureQueriesContext(connection) as captured:
        assert use(registry, token, PULL).status == 200
    assert len(captured.captured_queries) == 3, [query["sql"] for query in captured.captured_queries]
