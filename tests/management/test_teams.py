"""Teams, members, and grants below the team."""

import pytest

from accounts.models import Membership, RepositoryGrant, Team, User
from repositories.models import Repository
from tests.management.cast import ask, send, told
from tests.people import make_access_token, make_robot, make_team

READERS = {"anonymous": 401, "alice": 200, "mallory": 200, "bob": 200, "rita": 200, "charlie": 404}
READERS |= {"admin": 200, "audrey": 200, "robot": 404, "token": 200}


def writers(status, *names):
    """Who may write is answered with `status`; who may only see 403, the others 404."""
    refused = {name: 403 if seen == 200 else seen for name, seen in READERS.items()}
    return {**refused, **dict.fromkeys(names, status)}


def test_administrators_create_teams_and_own_them(everybody):
    admin = everybody.pop("admin")
    expected = {name: 401 if name == "anonymous" else 403 for name in everybody}
    assert ask(everybody, "POST", "teams", name="new") == expected
    assert not Team.objects.filter(slug="new").exists()
    answer = send(admin, "POST", "teams", name="new", visibility="public", quota_bytes=5)
    assert answer.status == 201
    assert {**answer.json(), "created_at": ""} == {
        "name": "new",
        "visibility": "public",
        "quota_bytes": 5,
        "role": "owner",
        "member_count": 1,
        "repository_count": 0,
        "created_at": "",
    }
    assert Membership.objects.get(team__slug="new").user.username == "admin"


def test_everybody_creates_teams_where_that_is_configured(everybody, settings, registry):
    settings.TEAM_CREATION = "everyone"
    for name, client in everybody.items():
        status = {"anonymous": 401, "robot": 403, "token": 403}.get(name, 201)
        assert send(client, "POST", "teams", name=f"of-{name}").status == status, name
    assert Membership.objects.get(team__slug="of-charlie", role="owner").user.username == "charlie"
    assert send(everybody["charlie"], "POST", "teams", name="big", quota_bytes=None).status == 403
    assert told(send(everybody["charlie"], "POST", "teams", name="library")) == (409, "team-taken")
    whole = registry.bearing(make_access_token(User.objects.get(username="charlie")))
    assert send(whole, "POST", "teams", name="by-token").status == 201


def test_new_teams_have_the_configured_quota(people, settings):
    settings.TEAM_QUOTA = 77
    assert send(people["admin"], "POST", "teams", name="new").json()["quota_bytes"] == 77
    assert send(people["admin"], "POST", "teams", name="free", quota_bytes=None).json()["quota_bytes"] is None


@pytest.mark.parametrize("name", ["alice", "v2"])
def test_a_team_whose_name_is_taken(people, name):
    assert told(send(people["admin"], "POST", "teams", name=name)) == (409, "team-taken")


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", name) for name in ["A", "_x", "a/b", "a--", "a..b", "", "é", "x" * 101, "a b", None, "-"]]
    + [("visibility", "secret"), ("quota_bytes", -1), ("quota_bytes", 2**63), ("quota_bytes", "much"), ("slug", "x")]
    + [("deleted_at", None), ("id", 7), ("owner", "bob")],
)
def test_what_a_team_cannot_be(people, field, value):
    answer = send(people["admin"], "POST", "teams", **{"name": "new", field: value})
    assert (answer.status, set(answer.json()["fields"])) == (400, {field})
    assert Team.objects.count() == 1


def test_who_sees_a_team(everybody):
    assert ask(everybody, "GET", "teams/alice") == READERS
    assert send(everybody["admin"], "GET", "teams/nowhere").status == 404
    hidden, absent = (send(everybody["charlie"], "GET", f"teams/{name}").json() for name in ("alice", "nowhere"))
    assert {**hidden, "instance": ""} == {**absent, "instance": ""}
    roles = {name: send(everybody[name], "GET", "teams/alice").json()["role"] for name in ("bob", "admin", "audrey")}
    assert roles == {"bob": "developer", "admin": "owner", "audrey": None}


def test_lists_hold_what_the_caller_may_see(everybody):
    make_team("a_b", charlie="reader")
    make_team("axb", alice="reader")
    make_team("gone", alice="owner")
    Team.objects.filter(slug="gone").update(deleted_at="2025-01-01T00:00:00Z")

    def listed(name, query=""):
        return [row["name"] for row in send(everybody[name], "GET", f"teams{query}").json()["results"]]

    assert listed("charlie") == ["a_b"]
    assert listed("alice") == listed("token") == ["alice", "axb"]
    assert listed("robot") == []
    assert listed("admin") == listed("audrey") == ["a_b", "alice", "axb"]
    assert listed("admin", "?search=_") == ["a_b"]
    assert listed("admin", "?search=%25") == []
    assert listed("admin", "?sort=-name&visibility=private") == ["axb", "alice", "a_b"]
    assert send(everybody["anonymous"], "GET", "teams").status == 401
    assert send(everybody["admin"], "GET", "teams?sort=memberships__user__password").status == 400


def test_owners_change_settings_and_administrators_quotas(everybody):
    assert ask(everybody, "PATCH", "teams/alice", visibility="public") == writers(200, "alice", "admin")
    assert Team.objects.get().visibility == "public"
    assert ask(everybody, "PATCH", "teams/alice", quota_bytes=7) == writers(200, "admin")
    assert send(everybody["alice"], "PATCH", "teams/alice", visibility="private", quota_bytes=8).status == 403
    assert (Team.objects.get().visibility, Team.objects.get().quota_bytes) == ("public", 7)
    assert send(everybody["admin"], "PATCH", "teams/alice", quota_bytes=None).json()["quota_bytes"] is None
    for field in ("slug", "name", "created_at", "deleted_at", "id", "memberships", "robots"):
        assert send(everybody["alice"], "PATCH", "teams/alice", **{field: "x"}).status == 400


def test_a_team_is_deleted_when_nothing_is_left_of_it(everybody):
    everybody["bob"].push_image()
    expected = {name: 403 if seen == 200 else seen for name, seen in READERS.items()}
    refused = {name: client for name, client in everybody.items() if name not in {"alice", "admin"}}
    assert ask(refused, "DELETE", "teams/alice") == {name: expected[name] for name in refused}
    answer = send(everybody["alice"], "DELETE", "teams/alice")
    assert told(answer) == (409, "team-not-empty")
    assert "1 repository" in answer.json()["detail"]
    Repository.objects.update(deleted_at="2025-01-01T00:00:00Z")
    assert send(everybody["alice"], "DELETE", "teams/alice").status == 204
    assert Team.objects.get().deleted_at is not None
    for path in ("teams/alice", "teams/alice/members", "teams/alice/robots", "teams/alice/robots/builder"):
        assert send(everybody["alice"], "GET", path).status == 404
        assert send(everybody["admin"], "GET", path).status == 404


def test_a_new_team_of_the_name_inherits_nothing(everybody):
    send(everybody["alice"], "DELETE", "teams/alice")
    assert send(everybody["admin"], "POST", "teams", name="alice").status == 201
    assert send(everybody["alice"], "GET", "teams/alice").status == 404
    assert everybody["robot"].get("/v2/").status == 401
    assert send(everybody["admin"], "GET", "teams/alice/robots").json()["results"] == []


def test_who_sees_members(everybody):
    assert ask(everybody, "GET", "teams/alice/members") == READERS
    assert ask(everybody, "GET", "teams/alice/members/bob") == READERS
    answer = send(everybody["rita"], "GET", "teams/alice/members")
    rows = [(row["username"], row["role"]) for row in answer.json()["results"]]
    assert rows == [("alice", "owner"), ("bob", "developer"), ("mallory", "maintainer"), ("rita", "reader")]
    assert send(everybody["rita"], "GET", "teams/alice/members/charlie").status == 404
    found = send(everybody["rita"], "GET", "teams/alice/members?search=_").json()["results"]
    assert found == []


def test_owners_make_members(everybody):
    for name, status in writers(200, "alice", "admin").items():
        before = Membership.objects.filter(user__username="charlie").count()
        answer = send(everybody[name], "PUT", "teams/alice/members/charlie", role="developer")
        assert answer.status == status, name
        if status != 200:
            assert Membership.objects.filter(user__username="charlie").count() == before
        else:
            assert answer.json()["role"] == "developer"
            Membership.objects.filter(user__username="charlie").delete()
    assert told(send(everybody["alice"], "PUT", "teams/alice/members/nobody", role="reader")) == (404, "unknown-user")
    for fields in ({}, {"role": "admin"}, {"role": "reader", "provider": "oidc"}, {"role": "reader", "user": 1}):
        assert send(everybody["alice"], "PUT", "teams/alice/members/charlie", **fields).status == 400


def test_owners_remove_members_and_every_member_may_leave(everybody):
    assert ask(everybody, "DELETE", "teams/alice/members/mallory") == {
        **{name: 403 if seen == 200 else seen for name, seen in READERS.items()},
        "alice": 204,
        "mallory": 404,  # gone by now
        "admin": 404,
    }
    make_access_token(User.objects.get(username="rita"))
    assert send(everybody["rita"], "DELETE", "teams/alice/members/rita").status == 204
    assert send(everybody["rita"], "GET", "teams/alice").status == 404
    assert send(everybody["charlie"], "DELETE", "teams/alice/members/charlie").status == 404


def test_a_token_cannot_make_its_owner_leave(everybody, registry):
    token = registry.bearing(make_access_token(User.objects.get(username="rita"), "reader"))
    assert send(token, "DELETE", "teams/alice/members/rita").status == 403
    assert Membership.objects.filter(user__username="rita").exists()


def test_the_last_owner_stays_unless_an_administrator_says_otherwise(people):
    assert told(send(people["alice"], "DELETE", "teams/alice/members/alice")) == (409, "last-owner")
    assert told(send(people["alice"], "PUT", "teams/alice/members/alice", role="reader")) == (409, "last-owner")
    assert send(people["alice"], "PUT", "teams/alice/members/bob", role="owner").status == 200
    User.objects.filter(username="bob").update(is_active=False)
    assert told(send(people["alice"], "DELETE", "teams/alice/members/alice")) == (409, "last-owner")
    User.objects.filter(username="bob").update(is_active=True)
    assert send(people["alice"], "DELETE", "teams/alice/members/alice").status == 204
    assert send(people["admin"], "DELETE", "teams/alice/members/bob").status == 204
    assert not Membership.objects.filter(role="owner").exists()
    assert send(people["mallory"], "DELETE", "teams/alice/members/mallory").status == 204


def test_what_a_provider_gave_is_changed_there(people, team):
    nina = User.objects.get(username="charlie")
    Membership.objects.create(team=team, user=nina, role="developer", provider="oidc")
    for role in ("reader", "developer"):
        answer = send(people["alice"], "PUT", "teams/alice/members/charlie", role=role)
        assert told(answer) == (409, "membership-provided")
        assert "oidc" in answer.json()["detail"]
    assert told(send(people["alice"], "DELETE", "teams/alice/members/charlie")) == (409, "membership-provided")
    answer = send(people["alice"], "PUT", "teams/alice/members/charlie", role="maintainer")
    assert answer.json()["role"] == "maintainer"
    assert [(each["role"], each["provider"]) for each in answer.json()["sources"]] == [
        ("maintainer", ""),
        ("developer", "oidc"),
    ]
    assert len(send(people["alice"], "GET", "teams/alice/members").json()["results"]) == 5
    assert send(people["alice"], "DELETE", "teams/alice/members/charlie").status == 204
    assert send(people["alice"], "GET", "teams/alice/members/charlie").json()["role"] == "developer"


def test_grants_open_some_repositories_to_somebody(everybody):
    everybody["bob"].push_image(name="alice/app")
    assert everybody["charlie"].get("/v2/alice/app/tags/list").status == 404
    given = {"username": "charlie", "pattern": "app*", "role": "reader"}
    refused = {name: client for name, client in everybody.items() if name not in {"alice", "admin"}}
    expected = writers(201, "alice", "admin")
    assert ask(refused, "POST", "teams/alice/grants", **given) == {name: expected[name] for name in refused}
    answer = send(everybody["alice"], "POST", "teams/alice/grants", **given)
    assert answer.status == 201
    grant = answer.json()
    assert everybody["charlie"].get("/v2/alice/app/tags/list").status == 200
    assert everybody["charlie"].post("/v2/alice/app/blobs/uploads/").status == 403
    assert told(send(everybody["alice"], "POST", "teams/alice/grants", **given)) == (409, "grant-taken")
    assert send(everybody["charlie"], "GET", "teams/alice").status == 404
    path = f"teams/alice/grants/{grant['id']}"
    assert ask(refused, "PATCH", path, role="owner") == {name: expected[name] for name in refused}
    assert send(everybody["alice"], "PATCH", path, role="developer").json()["role"] == "developer"
    assert everybody["charlie"].post("/v2/alice/app/blobs/uploads/").status == 202
    assert ask(everybody, "GET", "teams/alice/grants") == READERS
    assert send(everybody["rita"], "GET", "teams/alice/grants").json()["results"] == [{**grant, "role": "developer"}]
    assert send(everybody["rita"], "GET", "teams/alice/grants?username=%25").json()["results"] == []
    assert ask(refused, "DELETE", path) == {name: expected[name] for name in refused}
    assert send(everybody["alice"], "DELETE", path).status == 204
    assert everybody["charlie"].get("/v2/alice/app/tags/list").status == 404


def test_grants_name_repositories_inside_the_team(people):
    given = {"username": "charlie", "role": "reader"}
    answer = send(people["alice"], "POST", "teams/alice/grants", pattern="alice/app", **given)
    assert answer.json()["pattern"] == "app"
    for fields in ({"pattern": "a b"}, {"pattern": ""}, {"pattern": "x", "robot": 1}, {"pattern": "x", "role": "king"}):
        assert send(people["alice"], "POST", "teams/alice/grants", **{**given, **fields}).status == 400
    answer = send(people["alice"], "POST", "teams/alice/grants", pattern="x", username="nobody", role="reader")
    assert told(answer) == (404, "unknown-user")


def test_grants_of_robots_are_not_among_those_of_users(people, team):
    robot, _ = make_robot(team)
    grant = RepositoryGrant.objects.get(robot=robot)
    assert send(people["alice"], "GET", "teams/alice/grants").json()["results"] == []
    assert send(people["alice"], "PATCH", f"teams/alice/grants/{grant.pk}", role="owner").status == 404
    assert send(people["alice"], "DELETE", f"teams/alice/grants/{grant.pk}").status == 404
