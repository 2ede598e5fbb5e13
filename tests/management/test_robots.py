"""Robots: what they may be, their secrets, and how those give way to others."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import RepositoryGrant, Robot, RobotSecret
from registry_project.config.auth import Lading, TrustedIssuer
from tests.factories import NAME
from tests.management.cast import ask, send, told
from tests.people import make_robot

NEW = {"name": "ci", "role": "developer", "repositories": ["app*"]}
MAINTAINERS = {"anonymous": 401, "alice": 200, "mallory": 200, "bob": 403, "rita": 403, "charlie": 404}
MAINTAINERS |= {"admin": 200, "audrey": 200, "robot": 404, "token": 403}
REFUSED = {name: status for name, status in MAINTAINERS.items() if status != 200} | {"audrey": 403}


@pytest.fixture
def only(everybody):
    """Those who may not write."""
    return {name: everybody[name] for name in REFUSED}


def test_maintainers_make_robots(everybody, only, registry):
    everybody["bob"].push_image()
    assert ask(only, "POST", "teams/alice/robots", **NEW) == REFUSED
    assert not Robot.objects.filter(name="ci").exists()
    answer = send(everybody["mallory"], "POST", "teams/alice/robots", **NEW)
    assert answer.status == 201
    made = answer.json()
    assert made["username"] == "alice+ci"
    assert made["secret"].startswith("lading_rob_")
    assert (made["expires_at"], made["previous_expires_at"]) == (None, None)
    ci = registry.signed_in(made["username"], made["secret"])
    assert ci.post(f"/v2/{NAME}/blobs/uploads/").status == 202
    assert ci.get("/v2/alice/other/tags/list").status == 404
    assert ci.delete(f"/v2/{NAME}/manifests/latest").status == 403
    assert told(send(everybody["alice"], "POST", "teams/alice/robots", **NEW)) == (409, "robot-taken")
    assert send(everybody["admin"], "POST", "teams/alice/robots", **{**NEW, "name": "by-admin"}).status == 201


def test_a_robot_is_shown_without_its_secret(everybody):
    secret = send(everybody["alice"], "POST", "teams/alice/robots", **NEW, description="Builds").json()["secret"]
    assert ask(everybody, "GET", "teams/alice/robots/ci") == MAINTAINERS
    assert ask(everybody, "GET", "teams/alice/robots") == MAINTAINERS
    answer = send(everybody["audrey"], "GET", "teams/alice/robots/ci")
    shown = answer.json()
    assert shown.pop("created_at")
    (held,) = shown.pop("secrets")
    assert held.pop("created_at")
    assert held == {"expires_at": None, "last_used_at": None}
    assert shown == {
        "name": "ci",
        "username": "alice+ci",
        "description": "Builds",
        "role": "developer",
        "repositories": ["app*"],
        "disabled": False,
        "created_by": "alice",
        "last_used_at": None,
        "expires_at": None,
        "expires_soon": False,
    }
    assert secret[11:30] not in answer.body.decode()
    listed = send(everybody["alice"], "GET", "teams/alice/robots?search=c_")
    assert listed.json()["results"] == []
    assert send(everybody["alice"], "GET", "teams/alice/robots?sort=secrets__hash").status == 400


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"role": "owner"}, "role"),
        ({"role": None}, "role"),
        ({"repositories": []}, "repositories"),
        ({"repositories": ["a b"]}, "repositories"),
        ({"repositories": ["x"] * 101}, "repositories"),
        ({"name": "C"}, "name"),
        ({"name": "a+b"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"description": "x" * 256}, "description"),
        ({"team": "other"}, "team"),
        ({"secret": "mine"}, "secret"),
        ({"disabled_at": None}, "disabled_at"),
        ({"created_by": "admin"}, "created_by"),
    ],
)
def test_what_a_robot_cannot_be(people, fields, field):
    answer = send(people["alice"], "POST", "teams/alice/robots", **{**NEW, **fields})
    assert answer.status == 400, answer
    assert {name.split(".")[0] for name in answer.json()["fields"]} == {field}
    assert not Robot.objects.exists()


def test_without_patterns_it_is_for_all_repositories_and_whole_names_are_understood(people):
    send(people["alice"], "POST", "teams/alice/robots", name="all", role="reader")
    send(people["alice"], "POST", "teams/alice/robots", name="one", role="reader", repositories=["alice/app", "app"])
    patterns = RepositoryGrant.objects.order_by("robot__name").values_list("robot__name", "pattern")
    assert list(patterns) == [("all", "**"), ("one", "app")]


def test_changing_a_robot(everybody, only, registry):
    ci = registry.signed_in("alice+ci", send(everybody["alice"], "POST", "teams/alice/robots", **NEW).json()["secret"])
    everybody["bob"].push_image()
    path = "teams/alice/robots/ci"
    assert ask(only, "PATCH", path, disabled=True) == REFUSED
    assert ci.get(f"/v2/{NAME}/tags/list").status == 200
    assert send(everybody["mallory"], "PATCH", path, disabled=True).json()["disabled"] is True
    assert ci.get(f"/v2/{NAME}/tags/list").status == 401
    assert send(everybody["mallory"], "PATCH", path, disabled=False).json()["disabled"] is False
    assert ci.get(f"/v2/{NAME}/tags/list").status == 200
    changed = send(everybody["mallory"], "PATCH", path, role="reader").json()
    assert (changed["role"], changed["repositories"]) == ("reader", ["app*"])
    assert ci.post(f"/v2/{NAME}/blobs/uploads/").status == 403
    assert send(everybody["mallory"], "PATCH", path, repositories=["other", "more"]).json()["role"] == "reader"
    assert ci.get(f"/v2/{NAME}/tags/list").status == 404
    soon = (timezone.now() + timedelta(days=13)).isoformat()
    changed = send(everybody["mallory"], "PATCH", path, expires_at=soon, description="x").json()
    assert (changed["expires_soon"], changed["description"]) == (True, "x")
    assert send(everybody["mallory"], "PATCH", path, expires_at=None).json()["expires_soon"] is False
    for fields in ({"role": "owner"}, {"name": "x"}, {"repositories": []}, {"expires_at": "2020-01-01T00:00:00Z"}):
        assert send(everybody["mallory"], "PATCH", path, **fields).status == 400
    assert send(everybody["mallory"], "PATCH", "teams/alice/robots/none", disabled=True).status == 404


def test_rotating_leaves_the_old_secret_for_a_day(everybody, only, registry):
    path = "teams/alice/robots/ci/rotate"
    first = send(everybody["alice"], "POST", "teams/alice/robots", **NEW).json()["secret"]
    assert ask(only, "POST", path) == REFUSED
    answer = send(everybody["mallory"], "POST", path)
    assert answer.status == 200
    second = answer.json()["secret"]
    ends = RobotSecret.objects.get(expires_at__isnull=False, robot__name="ci").expires_at
    assert timedelta(hours=23) < ends - timezone.now() <= timedelta(hours=24)
    works = lambda *secrets: [registry.signed_in("alice+ci", secret).get("/v2/").status for secret in secrets]  # noqa: E731
    assert works(first, second) == [200, 200]
    assert len(send(everybody["alice"], "GET", "teams/alice/robots/ci").json()["secrets"]) == 2
    third = send(everybody["mallory"], "POST", path, overlap="1h").json()["secret"]
    assert works(first, second, third) == [401, 200, 200]
    fourth = send(everybody["mallory"], "POST", path, overlap="0").json()
    assert fourth["previous_expires_at"] is None
    assert works(first, second, third, fourth["secret"]) == [401, 401, 401, 200]
    assert RobotSecret.objects.filter(robot__name="ci").count() == 1


def test_an_overlap_that_is_over_leaves_one_secret(people, registry):
    first = send(people["alice"], "POST", "teams/alice/robots", **NEW).json()["secret"]
    second = send(people["alice"], "POST", "teams/alice/robots/ci/rotate").json()["secret"]
    RobotSecret.objects.filter(expires_at__isnull=False).update(expires_at=timezone.now())
    assert registry.signed_in("alice+ci", first).get("/v2/").status == 401
    assert len(send(people["alice"], "GET", "teams/alice/robots/ci").json()["secrets"]) == 1
    third = send(people["alice"], "POST", "teams/alice/robots/ci/rotate").json()["secret"]
    assert [registry.signed_in("alice+ci", secret).get("/v2/").status for secret in (second, third)] == [200, 200]


@pytest.mark.parametrize("overlap", ["31d", "soon", "-1h", "", None, 5])
def test_overlaps_that_are_none(people, overlap):
    send(people["alice"], "POST", "teams/alice/robots", **NEW)
    assert send(people["alice"], "POST", "teams/alice/robots/ci/rotate", overlap=overlap).status == 400
    assert RobotSecret.objects.count() == 1


def test_deleting_a_robot(everybody, only, registry):
    secret = send(everybody["alice"], "POST", "teams/alice/robots", **NEW).json()["secret"]
    assert ask(only, "DELETE", "teams/alice/robots/ci") == REFUSED
    assert registry.signed_in("alice+ci", secret).get("/v2/").status == 200
    assert send(everybody["mallory"], "DELETE", "teams/alice/robots/ci").status == 204
    assert registry.signed_in("alice+ci", secret).get("/v2/").status == 401
    assert send(everybody["mallory"], "DELETE", "teams/alice/robots/ci").status == 404
    # Whoever gets the name has another secret.
    send(everybody["alice"], "POST", "teams/alice/robots", **NEW)
    assert registry.signed_in("alice+ci", secret).get("/v2/").status == 401


def test_whose_identity_tokens_act_as_a_robot(everybody, only, settings):
    settings.LADING_AUTH = Lading(issuers=(TrustedIssuer(issuer="https://ci.example.org"),))
    given = {"issuer": "https://ci.example.org", "claims": {"repository": "acme/app"}}
    path = "teams/alice/robots/builder/identities"
    assert ask(only, "POST", path, **given) == REFUSED
    answer = send(everybody["mallory"], "POST", path, **given)
    assert answer.status == 201
    identity = answer.json()
    assert {name: identity[name] for name in given} == given
    assert ask(everybody, "GET", path) == MAINTAINERS
    assert send(everybody["alice"], "GET", path).json()["results"] == [identity]
    for wrong in ({"issuer": "https://evil.example.org"}, {"claims": {}}, {"claims": {"a": ["b"]}}, {"robot": 1}):
        assert send(everybody["alice"], "POST", path, **{**given, **wrong}).status == 400
    assert send(everybody["alice"], "POST", "teams/alice/robots/none/identities", **given).status == 404
    assert ask(only, "DELETE", f"{path}/{identity['id']}") == REFUSED
    assert send(everybody["mallory"], "DELETE", f"{path}/{identity['id']}").status == 204
    assert send(everybody["mallory"], "DELETE", f"{path}/{identity['id']}").status == 404


def test_a_robot_manages_nothing(everybody, registry, team):
    _, secret = make_robot(team, "strong", "maintainer")
    strong = registry.signed_in("alice+strong", secret)
    for method, path in [
        ("POST", "teams/alice/robots"),
        ("PATCH", "teams/alice/robots/strong"),
        ("POST", "teams/alice/robots/strong/rotate"),
        ("PUT", "teams/alice/members/charlie"),
        ("PATCH", "teams/alice"),
    ]:
        assert send(strong, method, path).status == 404
