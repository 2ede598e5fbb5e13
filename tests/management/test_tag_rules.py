"""A team's tag rules, its usage and its audit log, in the management API."""

import pytest

from accounts.models import Team
from repositories.models import TagRule
from tests.factories import NAME, image_manifest
from tests.management.cast import ask, send, told

RULE = {"tags": "v*", "immutable": True}
READERS = {
    "anonymous": 401,
    "alice": 200,
    "mallory": 200,
    "bob": 200,
    "rita": 200,
    "charlie": 404,
    "admin": 200,
    "audrey": 200,
    "robot": 404,
    "token": 200,
}
WRITERS = {**READERS, "bob": 403, "rita": 403, "audrey": 403, "token": 403}


def test_members_see_rules_and_maintainers_make_them(everybody):
    refused = {name: status for name, status in WRITERS.items() if status != 200}
    assert ask({name: everybody[name] for name in refused}, "POST", "teams/alice/tag-rules", **RULE) == refused
    made = send(everybody["mallory"], "POST", "teams/alice/tag-rules", **RULE, repositories="alice/app")
    assert made.status == 201
    rule = made.json()
    assert (rule["repositories"], rule["tags"], rule["immutable"], rule["role"]) == ("app", "v*", True, None)
    assert rule["created_by"] == "mallory"
    assert ask(everybody, "GET", "teams/alice/tag-rules") == READERS
    assert send(everybody["rita"], "GET", "teams/alice/tag-rules").json() == {"results": [rule], "next": None}
    path = f"teams/alice/tag-rules/{rule['id']}"
    assert ask({name: everybody[name] for name in refused}, "DELETE", path) == refused
    assert send(everybody["alice"], "DELETE", path).status == 204
    assert send(everybody["alice"], "DELETE", path).status == 404


def test_a_rule_of_another_team_is_not_there(everybody):
    other = TagRule.objects.create(team=Team.objects.create(slug="other"), repositories="**", tags="v*", immutable=True)
    assert send(everybody["alice"], "DELETE", f"teams/alice/tag-rules/{other.pk}").status == 404
    assert TagRule.objects.filter(pk=other.pk).exists()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"tags": "v*"}, (400, "bad-request")),
        ({"tags": "v[0-9]", "immutable": True}, (400, "bad-request")),
        ({"tags": "v*", "role": "king"}, (400, "bad-request")),
        ({"tags": "v*", "immutable": True, "team": "other"}, (400, "bad-request")),
        ({"immutable": True}, (400, "bad-request")),
    ],
)
def test_rules_that_cannot_be(everybody, fields, problem):
    assert told(send(everybody["alice"], "POST", "teams/alice/tag-rules", **fields)) == problem
    assert not TagRule.objects.exists()


def test_a_rule_that_is_there_already(everybody):
    send(everybody["alice"], "POST", "teams/alice/tag-rules", **RULE)
    assert told(send(everybody["alice"], "POST", "teams/alice/tag-rules", **RULE)) == (409, "tag-rule-taken")


def test_usage_is_for_members(everybody):
    everybody["bob"].push_image(layers=[b"x" * 98])
    assert ask(everybody, "GET", "teams/alice/usage") == READERS
    send(everybody["admin"], "PATCH", "teams/alice", quota_bytes=1000)
    assert send(everybody["rita"], "GET", "teams/alice/usage").json() == {
        "logical_bytes": 100,
        "physical_bytes": 100,
        "exclusive_bytes": 100,
        "shared_bytes": 0,
        "trash_bytes": 0,
        "quota_bytes": 1000,
    }


def test_the_audit_log_of_a_team_is_for_its_maintainers(everybody):
    expected = {**WRITERS, "audrey": 200}
    assert ask(everybody, "GET", "audit?team=alice") == expected
    assert ask(everybody, "GET", "audit") == {**expected, "charlie": 403, "robot": 403}


def test_the_audit_log_tells_who_did_what(everybody):
    everybody["bob"].push_image("latest")
    everybody["rita"].put_manifest(image_manifest(), "latest")
    everybody["admin"].push_image("v1", "other/app")
    events = send(everybody["alice"], "GET", "audit?team=alice").json()["results"]
    assert [(event["actor"], event["action"], event["outcome"]) for event in events] == [
        ("rita", "access", "refused"),
        ("bob", "tag.create", "success"),
        ("bob", "manifest.push", "success"),
        ("bob", "blob.push", "success"),
        ("bob", "blob.push", "success"),
        ("bob", "repository.create", "success"),
    ]
    assert events[1]["repository"] == NAME
    assert events[1]["credential"] == "password"
    assert {event["team"] for event in send(everybody["mallory"], "GET", "audit").json()["results"]} == {"alice"}
    everything = send(everybody["audrey"], "GET", "audit?action=tag.").json()["results"]
    assert {event["team"] for event in everything} == {"alice", "other"}


def test_pages_of_the_audit_log(everybody):
    everybody["bob"].push_image("latest")
    seen, path = [], "audit?team=alice&limit=2"
    while path:
        page = send(everybody["alice"], "GET", path).json()
        seen += [event["id"] for event in page["results"]]
        path = page["next"] and page["next"].removeprefix("/api/v1/")
    assert len(seen) == len(set(seen)) == 5
    for query in ("cursor=x", "since=yesterday", "actor__startswith=b", "limit=0"):
        assert send(everybody["alice"], "GET", f"audit?team=alice&{query}").status == 400
