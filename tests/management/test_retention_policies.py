"""Retention policies in the management API: stored at three levels, with every version that there ever was."""

import json

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Team
from events.models import AuditEvent
from registry_gc.retention.models import RetentionPolicy
from tests.factories import NAME
from tests.management.cast import API, ask, send, told
from tests.management.test_repositories import READERS as REPOSITORY_READERS
from tests.management.test_repositories import only
from tests.management.test_tag_rules import READERS as TEAM_READERS
from tests.people import make_team

INSTANCE, TEAM, REPOSITORY = "retention", "teams/alice/retention", f"repositories/{NAME}/-/retention"
CLEAN = {"action": "delete", "name": "clean", "tags": "pr-*", "pushed_before": "7d"}
FLOOR = {"action": "keep", "name": "floor", "locked": True, "pushed_within": "3d"}
ADMINISTRATORS = {
    **dict.fromkeys(TEAM_READERS, 403),
    "anonymous": 401,
    "admin": 200,
    "audrey": 200,
}
LEVELS = pytest.mark.parametrize("path", [INSTANCE, TEAM, REPOSITORY])


@pytest.fixture(autouse=True)
def image(everybody):
    everybody["bob"].push_image()


def put(client, path, *rules, version=None, **head):
    headers = {} if version is None else {"If_Match": f'"{version}"'}
    return request(client, "PUT", path, {**head, "rules": list(rules)}, **headers)


def request(client, method, path, body, **headers):
    return client.request(
        method, f"{API}/{path}", json.dumps(body).encode(), Content_Type="application/json", **headers
    )


def read(client, path):
    answer = send(client, "GET", path)
    assert answer.status == 200, answer
    return answer.json()


def effective(client, path):
    """The names of the rules that hold, with where each comes from."""
    return [(rule["name"], rule["level"], rule["owner"]) for rule in read(client, path)["effective"]["rules"]]


@LEVELS
def test_a_policy_is_set_read_changed_and_taken_away(everybody, path):
    admin = everybody["admin"]
    nothing = read(admin, path)
    assert (nothing["policy"], nothing["version"], nothing["updated_at"]) == (None, 0, None)
    assert nothing["effective"] == {"enabled": False, "schedule": "0 3 * * *", "brake_percent": 50, "rules": []}
    answer = put(admin, path, CLEAN)
    assert (answer.status, answer.headers["ETag"]) == (200, '"1"')
    stored = answer.json()
    assert stored == read(admin, path)
    assert stored["policy"] == {"enabled": True, "schedule": "0 3 * * *", "brake_percent": 50, "rules": [CLEAN]}
    assert (stored["version"], stored["updated_by"], stored["warnings"]) == (1, "admin", [])
    assert stored["effective"]["enabled"]
    assert put(admin, path, CLEAN).json()["version"] == 1
    assert put(admin, path, CLEAN, enabled=False).json()["version"] == 2
    assert not read(admin, path)["effective"]["enabled"]
    for _ in range(2):
        assert send(admin, "DELETE", path).status == 204
    assert (read(admin, path)["policy"], read(admin, path)["version"]) == (None, 3)
    assert put(admin, path, CLEAN).json()["version"] == 4
    versions = read(admin, f"{path}/versions")["results"]
    assert [(row["version"], row["policy"] and row["policy"]["enabled"]) for row in versions] == [
        (4, True),
        (3, None),
        (2, False),
        (1, True),
    ]
    assert {row["changed_by"] for row in versions} == {"admin"}


def test_who_may_read_and_who_may_change(everybody):
    assert ask(everybody, "GET", INSTANCE) == ask(everybody, "GET", f"{INSTANCE}/versions") == ADMINISTRATORS
    assert ask(everybody, "GET", TEAM) == ask(everybody, "GET", f"{TEAM}/versions") == TEAM_READERS
    assert ask(everybody, "GET", REPOSITORY) == ask(everybody, "GET", f"{REPOSITORY}/versions") == REPOSITORY_READERS
    read_only = {"bob": 403, "rita": 403, "audrey": 403, "token": 403}
    assert ask(everybody, "PUT", INSTANCE) == {**ADMINISTRATORS, "audrey": 403}
    assert ask(everybody, "PUT", TEAM) == {**TEAM_READERS, **read_only}
    assert ask(everybody, "PUT", REPOSITORY) == {**REPOSITORY_READERS, **read_only}
    assert ask(only(everybody, "bob", "charlie"), "DELETE", TEAM) == {"bob": 403, "charlie": 404}
    assert ask(only(everybody, "bob", "charlie"), "DELETE", REPOSITORY) == {"bob": 403, "charlie": 404}
    # A role in a public repository is more than what everybody may.
    send(everybody["alice"], "PATCH", f"repositories/{NAME}", visibility="public")
    assert ask(only(everybody, "charlie"), "GET", REPOSITORY) == {"charlie": 403}


def test_the_lowest_policy_holds_and_locked_rules_from_above(everybody):
    admin, alice = everybody["admin"], everybody["alice"]
    put(admin, INSTANCE, FLOOR, {**CLEAN, "name": "for all"})
    assert effective(alice, REPOSITORY) == [("floor", "instance", ""), ("for all", "instance", "")]
    put(alice, TEAM, CLEAN, {**CLEAN, "name": "of another", "repositories": "other"})
    own = [("clean", "team", "alice"), ("of another", "team", "alice")]
    assert effective(alice, TEAM) == [("floor", "instance", ""), *own]
    assert effective(alice, REPOSITORY) == [("floor", "instance", ""), own[0]]
    put(alice, REPOSITORY, {**CLEAN, "name": "mine"})
    assert effective(alice, REPOSITORY) == [("floor", "instance", ""), ("mine", "repository", NAME)]
    send(alice, "DELETE", REPOSITORY)
    assert effective(alice, REPOSITORY) == [("floor", "instance", ""), own[0]]


def test_rules_from_above_do_not_tell_of_repositories_of_others(everybody):
    elsewhere = {**FLOOR, "name": "elsewhere", "repositories": ["vault/secret", "alicia/**"]}
    both = {**FLOOR, "name": "both", "repositories": ["vault/secret", "alice/**", "**/app"]}
    put(everybody["admin"], INSTANCE, elsewhere, both, CLEAN)
    put(everybody["alice"], TEAM, {**FLOOR, "repositories": ["app", "hidden"]}, CLEAN)
    told_to_team, told_to_repository = (read(everybody["rita"], path) for path in (TEAM, REPOSITORY))
    patterns = [rule["rule"].get("repositories") for rule in told_to_team["effective"]["rules"]]
    assert patterns == [["alice/**", "**/app"], ["app", "hidden"], None]
    patterns = [rule["rule"].get("repositories") for rule in told_to_repository["effective"]["rules"]]
    assert patterns == [["alice/**", "**/app"], "app", None]


@LEVELS
def test_mistakes_are_told_by_rule_and_field(everybody, path):
    wrong = [{"action": "keep", "name": "fine"}, {"action": "delete", "name": "odd", "newest": 3, "tag": "x"}]
    answer = put(everybody["admin"], path, *wrong, brake_percent=101)
    assert told(answer) == (400, "bad-request")
    problem = answer.json()
    assert set(problem["fields"]) == {"brake_percent", "rules.1.tag"}
    assert problem["fields"]["rules.1.tag"] == ["rule 2 (odd): tag: unknown; did you mean tags?"]
    answer = put(everybody["admin"], path, {"action": "delete", "newest": 3, "pushed_within": "3d"})
    assert set(answer.json()["fields"]) == {"rules.0.newest", "rules.0.pushed_within"}
    assert "rule 1: newest" in answer.json()["detail"]
    assert read(everybody["admin"], path)["version"] == 0


def test_what_is_hardly_meant_is_warned_of(everybody):
    warnings = put(everybody["alice"], TEAM, {"action": "delete", "name": "all"}).json()["warnings"]
    assert warnings == [
        {"rule": 1, "field": "", "text": "deletes every tag that matches, and no rule keeps any"},
    ]


@LEVELS
def test_whoever_changes_another_version_than_they_read_is_told(everybody, path):
    admin = everybody["admin"]
    assert put(admin, path, CLEAN, version=0).json()["version"] == 1
    for stale in (0, 2):
        assert told(put(admin, path, FLOOR, version=stale)) == (412, "policy-changed")
    assert told(request(admin, "PUT", path, {"rules": []}, If_Match="W/nonsense")) == (412, "policy-changed")
    assert told(request(admin, "DELETE", path, {}, If_Match='"7"')) == (412, "policy-changed")
    assert read(admin, path)["policy"]["rules"] == [CLEAN]
    assert put(admin, path, FLOOR, version=1).json()["version"] == 2


def test_the_audit_log_tells_of_changes(everybody):
    put(everybody["admin"], INSTANCE, FLOOR)
    put(everybody["alice"], TEAM, CLEAN, FLOOR)
    put(everybody["alice"], TEAM, CLEAN, FLOOR)
    put(everybody["mallory"], REPOSITORY, CLEAN, enabled=False)
    send(everybody["mallory"], "DELETE", REPOSITORY)
    events = AuditEvent.objects.filter(action__startswith="retention.").order_by("pk")
    assert list(events.values_list("action", "actor", "team", "repository", "detail")) == [
        ("retention.set", "admin", "", "", {"version": 1, "enabled": True, "rules": 1, "deletes": 0}),
        ("retention.set", "alice", "alice", "", {"version": 1, "enabled": True, "rules": 2, "deletes": 1}),
        ("retention.set", "mallory", "alice", NAME, {"version": 1, "enabled": False, "rules": 1, "deletes": 1}),
        ("retention.remove", "mallory", "alice", NAME, {"version": 2}),
    ]


def test_a_repositorys_policy_is_not_that_of_the_next_of_its_name_and_comes_back_with_it(everybody):
    alice = everybody["alice"]
    put(alice, REPOSITORY, CLEAN)
    send(alice, "DELETE", f"repositories/{NAME}")
    assert send(alice, "GET", REPOSITORY).status == 404
    deleted = read(alice, "teams/alice/trash")["results"][0]["id"]
    everybody["bob"].push_image()
    assert read(alice, REPOSITORY)["policy"] is None
    send(alice, "DELETE", f"repositories/{NAME}")
    assert send(alice, "POST", f"teams/alice/trash/{deleted}/restore").status == 200
    assert read(alice, REPOSITORY)["policy"]["rules"] == [CLEAN]


def test_the_database_holds_one_policy_for_each_place(everybody):
    team = Team.objects.get(slug="alice")
    other = make_team("other")
    put(everybody["admin"], INSTANCE, CLEAN)
    put(everybody["admin"], TEAM, CLEAN)
    for wrong in (
        {"level": "instance"},
        {"level": "team", "team": team},
        {"level": "team"},
        {"level": "instance", "team": other},
        {"level": "repository", "team": other},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            RetentionPolicy.objects.create(**wrong)
