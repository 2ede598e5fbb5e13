"""Why somebody may do something: the decision itself, for those who may ask."""

from itertools import product

import pytest
from django.utils import timezone

from accounts.models import Robot, RobotSecret, Team, User
from accounts.rights import RULES, Action, Place
from repositories.models import Repository
from tests.factories import NAME
from tests.management.cast import ask, send
from tests.people import make_access_token, make_team

ALL = {"anonymous": 401, "alice": 200, "mallory": 200, "bob": 403, "rita": 403, "charlie": 404}
ALL |= {"admin": 200, "audrey": 200, "robot": 404, "token": 403}


def explain(client, query):
    answer = send(client, "GET", f"access/explain?{query}")
    assert answer.status == 200, answer
    return answer.json()


def test_maintainers_administrators_and_auditors_ask_about_others(everybody):
    assert ask(everybody, "GET", "access/explain?principal=rita&action=push&repository=alice/app") == {
        **ALL,
        "rita": 200,
    }
    assert ask(everybody, "GET", "access/explain?principal=rita&action=team.read&team=alice") == {**ALL, "rita": 200}
    everywhere = ask(everybody, "GET", "access/explain?principal=rita&action=users.read")
    assert everywhere == {name: 401 if name == "anonymous" else 403 for name in everybody} | {
        "admin": 200,
        "audrey": 200,
        "rita": 200,
    }


def test_the_answer_says_why(everybody):
    assert explain(everybody["mallory"], "principal=rita&action=push&repository=alice/app") == {
        "principal": "rita",
        "action": "push",
        "repository": "alice/app",
        "team": "alice",
        "allowed": False,
        "reason": "rita is reader in the repository alice/app; this needs developer",
        "role": "reader",
    }
    robot = explain(everybody["alice"], "principal=alice%2Bbuilder&action=delete&repository=alice/app")
    assert (robot["allowed"], robot["role"]) == (True, "maintainer")
    nobody = explain(everybody["alice"], "principal=anonymous&action=pull&repository=alice/app")
    assert (nobody["allowed"], nobody["role"]) == (False, None)
    own = explain(everybody["bob"], "action=push&repository=alice/new")
    assert (own["principal"], own["allowed"], own["role"]) == ("bob", True, "developer")
    limited = explain(everybody["token"], "action=push&repository=alice/app")
    assert limited["reason"] == "alice is reader in the repository alice/app; this needs developer"


def test_it_is_what_the_endpoints_do(everybody, registry, team):
    """The decision about everybody else equals what they meet."""
    make_team("other", charlie="owner")
    everybody["bob"].push_image("latest")
    everybody["admin"].push_image("latest", name="other/app")
    names = {"robot": "alice%2Bbuilder"} | {name: name for name in everybody if name not in ("robot", "token")}
    attempts = {
        "pull": lambda client, name: client.get(f"/v2/{name}/manifests/latest").status == 200,
        "push": lambda client, name: client.post(f"/v2/{name}/blobs/uploads/").status == 202,
    }
    for (who, principal), (action, attempt), name in product(names.items(), attempts.items(), (NAME, "other/app")):
        told = explain(everybody["audrey"], f"principal={principal}&action={action}&repository={name}")
        assert told["allowed"] == attempt(everybody[who], name), told


def test_who_cannot_sign_in_may_nothing(everybody):
    query = "principal={}&action=pull&repository=alice/app"
    User.objects.filter(username="bob").update(is_active=False)
    assert "disabled" in explain(everybody["alice"], query.format("bob"))["reason"]
    Robot.objects.update(disabled_at=timezone.now())
    assert explain(everybody["alice"], query.format("alice%2Bbuilder"))["allowed"] is False
    Robot.objects.update(disabled_at=None)
    assert explain(everybody["alice"], query.format("alice%2Bbuilder"))["allowed"] is True
    RobotSecret.objects.update(expires_at=timezone.now())
    assert explain(everybody["alice"], query.format("alice%2Bbuilder"))["allowed"] is False
    for name in ("nobody", "alice%2Bnobody", "other%2Bbuilder"):
        assert send(everybody["alice"], "GET", f"access/explain?{query.format(name)}").status == 404


def test_nobody_learns_of_what_is_hidden(everybody):
    everybody["admin"].push_image(name="secret/app")
    make_team("secret")
    told = [
        explain(everybody["charlie"], f"action={action}&{target}")
        for action, target in [
            ("pull", "repository=secret/app"),
            ("pull", "repository=absent/app"),
            ("push", "repository=secret/app"),
            ("team.read", "team=secret"),
            ("team.read", "team=absent"),
        ]
    ]
    assert {(each["allowed"], each["reason"], each["role"]) for each in told} == {
        (False, "it does not exist, or you may not see it", None)
    }
    Repository.objects.filter(name="secret/app").update(visibility="public")
    assert explain(everybody["charlie"], "action=pull&repository=secret/app")["allowed"] is True


def test_creating_teams_follows_the_configuration(everybody, settings):
    assert explain(everybody["bob"], "action=team.create")["allowed"] is False
    settings.TEAM_CREATION = "everyone"
    assert explain(everybody["bob"], "action=team.create")["allowed"] is True


def test_ones_own_account(everybody, registry):
    assert explain(everybody["bob"], "action=account.write")["allowed"] is True
    token = registry.bearing(make_access_token(User.objects.get(username="bob")))
    assert explain(token, "action=account.write")["allowed"] is False


@pytest.mark.parametrize(
    "query",
    [
        "",
        "action=fly",
        "action=pull",
        "action=pull&team=alice",
        "action=pull&repository=alice/app&team=alice",
        "action=team.read",
        "action=team.read&repository=alice/app",
        "action=users.read&team=alice",
        "action=pull&repository=A",
        "action=pull&repository=alice/app&user=bob",
    ],
)
def test_questions_that_are_none(people, query):
    assert send(people["admin"], "GET", f"access/explain?{query}").status == 400


def test_every_action_can_be_asked_for(people):
    target = {Place.REPOSITORY: "&repository=alice/app", Place.TEAM: "&team=alice"}
    for action in Action:
        explain(people["admin"], f"principal=bob&action={action}{target.get(RULES[action].place, '')}")


def test_the_table_of_roles(everybody):
    assert set(ask(everybody, "GET", "access/roles").values()) == {200}
    table = send(everybody["anonymous"], "GET", "access/roles").json()
    assert table["roles"] == ["reader", "developer", "maintainer", "owner"]
    rows = {row["action"]: row for row in table["actions"]}
    assert rows["delete"] == {
        "action": "delete",
        "place": "repository",
        "title": RULES[Action.DELETE].title,
        "role": "maintainer",
        "auditors": False,
        "administrators": True,
    }
    assert rows["quota.set"]["role"] is None
    assert Team.objects.count() == 1


def test_robots_of_other_teams_are_not_told_apart_from_none(everybody):
    make_team("other", charlie="owner")
    query = "access/explain?action=pull&repository=other/app&principal=alice%2B"
    answers = {name: send(everybody["charlie"], "GET", query + name).status for name in ("builder", "nobody")}
    assert answers == {"builder": 404, "nobody": 404}
    assert send(everybody["admin"], "GET", query + "builder").status == 200
