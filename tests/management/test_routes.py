"""What holds for every route of accounts, found from the OpenAPI document."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import (
    AccessToken,
    Membership,
    RefreshToken,
    RepositoryGrant,
    Robot,
    RobotSecret,
    Team,
    TrustedIdentity,
    User,
)
from registry_project.openapi import openapi_document
from repositories.models import Repository, TagRule
from tests.factories import digest_of
from tests.management.cast import API, send
from tests.people import make_access_token, make_robot, make_team, make_user

# Fields that make each write valid, so that nothing but rights and parents can refuse it.
BODIES = {
    "PATCH grants/{grant_id}": {"role": "owner"},
    "PUT members/{username}": {"role": "owner"},
    "PATCH robots/{robot}": {"disabled": True},
    "POST robots/{robot}/rotate": {},
    "POST robots/{robot}/identities": {"issuer": "https://ci.example.org", "claims": {"repository": "acme/app"}},
}


RESOURCES = {"access", "audit", "blobs", "gc", "quarantine", "repositories", "retention", "session", "teams", "users"}


def operations():
    for path, methods in openapi_document()["paths"].items():
        path = path.removeprefix(f"{API}/")
        if path.split("/")[0] in RESOURCES:
            for method in methods:
                yield method.upper(), path


NESTED = sorted(
    (method, path) for method, path in operations() if path.count("{") > 1 and not path.startswith("repositories/")
)


@pytest.fixture
def houses(team, everybody):
    """Two teams with one of everything, and the values of each parameter for the second."""
    other = make_team("other", charlie="owner")
    robot, _ = make_robot(other, "theirs")
    grant = RepositoryGrant.objects.create(team=other, user=make_user("nina"), pattern="x", role="reader")
    make_access_token(User.objects.get(username="charlie"), name="charlies")
    token = AccessToken.objects.get(name="charlies")
    identity = TrustedIdentity.objects.create(robot=robot, issuer="https://ci.example.org", claims={})
    rule = TagRule.objects.create(team=other, repositories="**", tags="v*", immutable=True)
    deleted = Repository.objects.create(team=other, name="other/gone", deleted_at=timezone.now())
    return {
        "repository_id": deleted.pk,
        "name": "alice/app",
        "tag": "latest",
        "digest": digest_of(b""),
        "identity_id": identity.pk,
        "rule_id": rule.pk,
        "robot": robot.name,
        "grant_id": grant.pk,
        "username": "charlie",
        "token_id": token.pk,
    }


def rows():
    models = (
        Repository,
        User,
        Team,
        Membership,
        RepositoryGrant,
        Robot,
        RobotSecret,
        AccessToken,
        TrustedIdentity,
        TagRule,
    )
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_nested_routes_are_known():
    """A new one must get a body here, if it needs one."""
    assert len(NESTED) == 16, NESTED


@pytest.mark.parametrize(("method", "path"), NESTED, ids=map(" ".join, NESTED))
def test_a_child_of_another_parent_is_not_there(everybody, houses, method, path):
    parent, *children = re.findall(r"{(\w+)}", path)
    child = children[-1]
    asked = path.format(**{**houses, "robot": "builder" if child != "robot" else houses["robot"], parent: "alice"})
    shape = f"{method} {path.partition('/')[2].partition('/')[2]}"
    before = rows()
    for who in ("alice", "admin"):
        answer = send(everybody[who], method, asked, **BODIES.get(shape, {}))
        if (method, child) == ("PUT", "username"):
            continue  # makes a member, which charlie may become
        assert answer.status == 404, (who, answer)
        assert rows() == before


@pytest.mark.parametrize(("method", "path"), sorted(operations()), ids=map(" ".join, sorted(operations())))
def test_every_route_refuses_anonymous_and_strange_parameters(registry, houses, method, path):
    values = {"team": "alice", **houses}
    asked = path.format(**{name: values[name] for name in re.findall(r"{(\w+)}", path)})
    if path not in {"access/roles", "session"}:
        answer = send(registry, method, asked)
        assert answer.status == 401
        assert "WWW-Authenticate" in answer.headers
    assert send(registry, method, f"{asked}?password__startswith=a").status == 400


def canaries():
    hashes = [model.objects.values_list("hash", flat=True) for model in (AccessToken, RobotSecret, RefreshToken)]
    passwords = User.objects.values_list("password", flat=True)
    return [text for texts in (*hashes, passwords) for text in texts]


def test_no_answer_ever_holds_a_secret(everybody, houses, team):
    texts = [make_access_token(user, name=f"of {user}") for user in User.objects.all()]
    texts += [make_robot(team, "canary")[1], make_robot(Team.objects.get(slug="other"), "canary")[1]]
    user = User.objects.get(username="bob")
    RefreshToken.objects.create(hash="c" * 64, service="lading", user=user, expires_at=timezone.now())
    texts += canaries()
    assert len(texts) > 20
    for name, client in everybody.items():
        for method, path in operations():
            if method != "GET":
                continue
            values = [{"team": "alice", "robot": "canary", "username": "bob"}, {"team": "other", **houses}]
            for each in values:
                needed = set(re.findall(r"{(\w+)}", path))
                if needed <= set(each):
                    answer = send(client, "GET", path.format(**each))
                    assert answer.status in {200, 400, 401, 403, 404}
                    assert not any(text in answer.body.decode() for text in texts), (name, path)


LISTS = {
    "users": lambda n: make_user(f"user-{n}"),
    "users/bob/tokens": lambda n: make_access_token(User.objects.get(username="bob"), name=f"token {n}"),
    "teams": lambda n: make_team(f"team-{n}", alice="owner"),
    "teams/alice/members": lambda n: make_team("alice", **{f"member-{n}": "reader"}),
    "teams/alice/grants": lambda n: RepositoryGrant.objects.create(
        team=Team.objects.get(slug="alice"), user=make_user(f"granted-{n}"), pattern=f"{n}", role="reader"
    ),
    "teams/alice/robots": lambda n: make_robot(Team.objects.get(slug="alice"), f"robot-{n}"),
}


@pytest.mark.parametrize("path", LISTS)
def test_longer_lists_cost_no_more_queries(everybody, path):
    def cost():
        with CaptureQueriesContext(connection) as captured:
            answer = send(everybody["admin"], "GET", path)
        assert answer.status == 200
        return len(captured.captured_queries), len(answer.json()["results"])

    LISTS[path](0)
    cost()
    queries, length = cost()
    for number in range(1, 6):
        LISTS[path](number)
    assert cost() == (queries, length + 5)
    assert queries <= 7


@pytest.mark.parametrize("header", ["X_Forwarded_For", "X_Real_Ip", "X_Remote_User", "Remote_User", "X_Forwarded_User"])
def test_no_header_of_a_proxy_makes_anybody_somebody(registry, team, header):
    for value in ("admin", "127.0.0.1"):
        assert registry.get(f"{API}/users", **{header: value}).status == 401


def test_a_bearer_token_of_the_protocol_is_not_taken(registry, people):
    answer = people["admin"].get("/auth/token?service=lading&scope=registry:catalog:*")
    bearing = registry.bearing(answer.json()["token"])
    assert bearing.get("/v2/").status == 200
    for path in ("users/me", "users", "session", "teams"):
        assert bearing.get(f"{API}/{path}").status == 401
