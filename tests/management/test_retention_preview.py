"""What a policy would do, told before: verdicts, pages, totals, and what they cost."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from events.models import AuditEvent
from registry_gc.retention import previews, reading, sizes
from registry_gc.retention.models import RetentionPolicy
from repositories.models import Manifest, Tag, TagRule
from tests.factories import NAME
from tests.management.cast import API, ask, send, told
from tests.management.test_repositories import READERS as REPOSITORY_READERS
from tests.management.test_repositories import only
from tests.management.test_tag_rules import READERS as TEAM_READERS

TEAM, REPOSITORY = "teams/alice/retention", f"repositories/{NAME}/-/retention"
OLD = {"action": "delete", "name": "old", "tags": "pr-*", "pushed_before": "7d"}
NEWEST = {"action": "keep", "name": "newest", "tags": "pr-*", "newest": 1}


@pytest.fixture
def images(everybody):
    """Two repositories with `pr-0` to `pr-3`, the lower the older, and `main`."""
    for name in (NAME, "alice/lib"):
        for number in range(4):
            everybody["bob"].push_image(f"pr-{number}", name=name, layers=[b"base", f"{name} {number}".encode()])
        everybody["bob"].push_image("main", name=name, layers=[b"base"])
    age()


def age():
    for number in range(4):
        Tag.objects.filter(name=f"pr-{number}").update(pushed_at=timezone.now() - timedelta(days=12 - number * 2))


def draft(*rules, **head):
    return {"policy": {**head, "rules": list(rules)}}


def preview(client, path=REPOSITORY, query="", **body):
    answer = send(client, "POST", f"{path}/preview{query}", **body)
    assert answer.status == 200, answer
    return answer.json()


def verdicts(answer):
    return {row["tag"]: (row["verdict"], row["rule"] and row["rule"]["name"]) for row in answer["tags"]}


def test_each_tag_has_a_verdict_a_rule_and_a_reason(everybody, images):
    assert verdicts(preview(everybody["rita"])) == dict.fromkeys(
        ["main", "pr-0", "pr-1", "pr-2", "pr-3"], ("keep", None)
    )
    send(everybody["alice"], "PUT", TEAM, rules=[NEWEST, OLD])
    answer = preview(everybody["rita"])
    assert verdicts(answer) == {
        "main": ("keep", None),
        "pr-0": ("delete", "old"),
        "pr-1": ("delete", "old"),
        "pr-2": ("delete", "old"),
        "pr-3": ("keep", "newest"),
    }
    row = answer["tags"][1]
    assert row == {
        "repository": NAME,
        "tag": "pr-0",
        "digest": Tag.objects.get(name="pr-0", repository__name=NAME).manifest.digest,
        "verdict": "delete",
        "cause": "rule",
        "rule": {"level": "team", "owner": "alice", "version": 1, "number": 2, "name": "old"},
        "reason": "Deleted by rule 2 'old' of team alice's policy v1: matches pr-*, pushed more than 7d ago; no keep"
        " rule holds.",
        "bytes_freed": len(f"{NAME} 0"),
        "changes_at": None,
    }
    totals = answer["totals"]
    frees_at = parse_datetime(answer["now"]) + settings.TRASH_KEEP + settings.GC_GRACE + settings.GC_LINGER
    assert parse_datetime(totals.pop("frees_at")) == frees_at
    assert totals == {
        "repositories": 1,
        "tags": 3,
        "kept": 2,
        "manifests": 3,
        "bytes_freed": 3 * len(f"{NAME} 0"),
        "bytes_shared": len(b"base") + len(b"{}"),
        "stops": 1,
        "brakes": [{"repository": NAME, "tags": 5, "deleted": 3, "brake_percent": 50}],
    }
    assert preview(everybody["rita"], TEAM)["totals"]["tags"] == 6


def test_a_draft_is_told_of_and_changes_nothing(everybody, images):
    send(everybody["alice"], "PUT", REPOSITORY, rules=[NEWEST])
    for path in (TEAM, REPOSITORY):
        answer = preview(everybody["rita"], path, **draft(OLD))
        own = verdicts({"tags": [row for row in answer["tags"] if row["repository"] == NAME]})
        # What a repository has itself holds whatever its team's draft says.
        assert own["pr-0"] == (("keep", None) if path == TEAM else ("delete", "old"))
        gone = next(row for row in answer["tags"] if row["verdict"] == "delete")
        assert "'s draft: matches pr-*" in gone["reason"]
        assert gone["rule"]["version"] == 0
    assert RetentionPolicy.objects.count() == 1
    assert Tag.objects.count() == 10
    assert not AuditEvent.objects.filter(action__startswith="tag.delete").exists()
    assert preview(everybody["rita"], **draft(OLD, enabled=False))["totals"]["tags"] == 0


def test_mistakes_in_a_draft_are_told_by_rule_and_field(everybody, images):
    answer = send(everybody["rita"], "POST", f"{TEAM}/preview", **draft({"action": "delete", "newest": 3}))
    assert told(answer) == (400, "bad-request")
    assert list(answer.json()["fields"]) == ["policy.rules.0.newest"]
    assert told(send(everybody["rita"], "POST", f"{TEAM}/preview", rules=[])) == (400, "bad-request")


def test_protected_tags_stay_and_say_by_what(everybody, images, team):
    TagRule.objects.create(team=team, repositories="app", tags="pr-0", role="owner")
    answer = preview(everybody["rita"], TEAM, **draft(OLD))
    kept = {(row["repository"], row["tag"]): row for row in answer["tags"]}
    assert kept[NAME, "pr-0"]["reason"] == "Kept: the tag is protected, by the tag rule pr-0."
    assert (kept[NAME, "pr-0"]["cause"], kept["alice/lib", "pr-0"]["verdict"]) == ("protected", "delete")


def test_untagged_manifests_have_verdicts_where_rules_are_about_them(everybody, images):
    image = everybody["bob"].push_image(None, layers=[b"untagged"])
    Manifest.objects.filter(digest=image.digest).update(pushed_at=timezone.now() - timedelta(days=3))
    answer = preview(everybody["rita"], **draft({"action": "delete", "untagged": "2d"}))
    assert [
        (row["tag"], row["digest"], row["bytes_freed"]) for row in answer["tags"] if row["verdict"] == "delete"
    ] == [(None, image.digest, len(b"untagged"))]
    assert (answer["totals"]["tags"], answer["totals"]["manifests"]) == (0, 1)


@pytest.mark.parametrize("limit", [1, 3, 200])
@pytest.mark.parametrize("only", ["", "keep", "delete"])
def test_pages_are_the_whole_cut_in_pieces(everybody, images, monkeypatch, limit, only):
    everybody["bob"].push_image(None, layers=[b"untagged"])
    body = draft(OLD, {"action": "delete", "untagged": "2d"})
    whole = [row for row in preview(everybody["rita"], TEAM, **body)["tags"] if only in ("", row["verdict"])]
    monkeypatch.setattr(previews, "MOST_REPOSITORIES", 1)
    monkeypatch.setattr(reading, "MOST_ROWS", 1)
    address = f"{API}/{TEAM}/preview?limit={limit}" + (f"&verdict={only}" if only else "")
    rows, moments, pages = [], set(), 0
    while address:
        answer = send(everybody["rita"], "POST", address.removeprefix(f"{API}/"), **body).json()
        assert (answer["totals"] is None) == bool(pages)
        rows += answer["tags"]
        moments.add(answer["now"])
        address, pages = answer["next"], pages + 1
    assert len(moments) == 1
    assert rows == whole
    assert pages == max(1, -(-len(whole) // limit))


@pytest.mark.parametrize("cursor", ["x", "WzFd", "W10=", "eyJ9"])
def test_a_cursor_of_something_else_is_refused(everybody, images, cursor):
    assert told(send(everybody["rita"], "POST", f"{TEAM}/preview?cursor={cursor}")) == (400, "bad-request")


def test_who_may_preview(everybody, images):
    assert ask(everybody, "POST", f"{TEAM}/preview") == TEAM_READERS
    assert ask(everybody, "POST", f"{REPOSITORY}/preview") == REPOSITORY_READERS
    send(everybody["alice"], "PATCH", f"repositories/{NAME}", visibility="public")
    assert ask(only(everybody, "charlie"), "POST", f"{REPOSITORY}/preview") == {"charlie": 403}


def test_who_may_not_see_the_teams_usage_is_told_no_bytes(everybody, images):
    """A robot has a role in repositories and none in the team: it could find out what other teams hold."""
    answer = preview(everybody["robot"], **draft(OLD))
    assert {row["bytes_freed"] for row in answer["tags"]} == {None}
    assert (answer["totals"]["bytes_freed"], answer["totals"]["bytes_shared"]) == (None, None)
    assert answer["totals"]["tags"] == 3


def test_what_is_deleted_or_anothers_is_not_there(everybody, images):
    everybody["admin"].push_image("pr-0", name="other/app")
    send(everybody["alice"], "DELETE", "repositories/alice/lib")
    age()
    assert {row["repository"] for row in preview(everybody["rita"], TEAM, **draft(OLD))["tags"]} == {NAME}


def test_more_repositories_and_tags_cost_no_more_statements(everybody, images):
    def cost():
        with CaptureQueriesContext(connection) as captured:
            answer = preview(everybody["rita"], TEAM, "?limit=200", **draft(OLD))
        return len(captured.captured_queries), len(answer["tags"])

    cost()
    statements, rows = cost()
    for number in range(5):
        for tag in range(4):
            everybody["bob"].push_image(f"pr-{tag}", name=f"alice/more-{number}", layers=[f"{number} {tag}".encode()])
    age()
    assert cost() == (statements, rows + 20)
    # Who asks and the team: 3. Repositories: 2, the second for the end; policies, tag rules, sizes, tags, children and
    # manifests: 1 each. The clock: 1. Bytes: 1 for the page, 3 for the totals.
    assert statements <= 17, statements


def test_totals_are_the_same_in_batches(everybody, images, monkeypatch):
    whole = preview(everybody["rita"], TEAM, **draft(OLD))["totals"]
    monkeypatch.setattr(sizes, "BATCH", 1)
    monkeypatch.setattr(previews, "MOST_REPOSITORIES", 1)
    again = preview(everybody["rita"], TEAM, **draft(OLD))["totals"]
    assert {**again, "frees_at": ""} == {**whole, "frees_at": ""}
    assert whole["bytes_freed"] > 0
