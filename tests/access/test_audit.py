"""Who was refused what stands in the audit log, and who did what with which credential."""

import json

import pytest
from django.db import OperationalError
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from accounts.keys import revoke_keys, rotate_keys
from blobs.usage import usage_of
from events.audit import as_json
from events.models import AuditEvent
from repositories.models import TagRule
from tests.factories import NAME, Registry, digest_of, encode, image_manifest
from tests.people import PASSWORD, make_access_token, make_robot

pytestmark = pytest.mark.django_db(transaction=True)


def told():
    rows = AuditEvent.objects.order_by("occurred_at", "id")
    return [(row.actor, row.credential, row.action, row.repository, row.outcome) for row in rows]


@pytest.mark.parametrize(
    ("name", "method", "path", "right"),
    [
        ("charlie", "GET", "manifests/v1", "pull"),
        ("charlie", "POST", "blobs/uploads/", "push"),
        ("rita", "POST", "blobs/uploads/", "push"),
        ("bob", "DELETE", "manifests/v1", "delete"),
    ],
)
def test_a_missing_right_is_told(people, name, method, path, right):
    assert people[name].request(method, f"/v2/{NAME}/{path}").status in {403, 404}
    assert told() == [(name, "password", "access", NAME, "refused")]
    event = AuditEvent.objects.get()
    assert name in event.detail["reason"]
    assert (event.target, event.team, event.address) == (right, "alice", "127.0.0.1")


def test_what_a_rule_or_the_quota_refuses_is_told(people, team):
    image = people["bob"].push_image("v1")
    TagRule.objects.create(team=team, repositories="**", tags="v*", immutable=True, role="owner")
    location = people["bob"].start_upload()
    people["bob"].patch(location, b"more")
    team.quota_bytes = usage_of(team.pk)
    team.save()
    before = len(told())
    path, manifest = f"/v2/{NAME}/manifests", encode(image_manifest(annotations={"another": "one"}))
    calls = [
        ("alice", "PUT", f"{path}/v1", manifest, "push", "points to another manifest"),
        ("bob", "PUT", f"{path}/v2", manifest, "push", "lets owner and above write"),
        ("mallory", "DELETE", f"{path}/v1", b"", "delete", "lets owner and above delete"),
        ("mallory", "DELETE", f"{path}/{image.digest}", b"", "delete", "lets owner and above delete"),
        ("bob", "POST", f"/v2/{NAME}/blobs/uploads/", b"", "push", "0 bytes are free"),
        ("bob", "PUT", f"{location}?digest={digest_of(b'more')}", b"", "push", "this needs 4 bytes"),
    ]
    for name, method, path, body, *_ in calls:
        assert people[name].request(method, path, body).status == 403
    rows = AuditEvent.objects.order_by("occurred_at", "id")[before:]
    for (name, _, _, _, right, reason), row in zip(calls, rows, strict=True):
        assert (row.actor, row.action, row.repository, row.outcome, row.target) == (
            name,
            "access",
            NAME,
            "refused",
            right,
        )
        assert reason in row.detail["reason"]


def test_a_challenge_is_no_refusal(people):
    assert people["anonymous"].get(f"/v2/{NAME}/tags/list").status == 401
    assert people["anonymous"].get("/v2/").status == 401
    assert told() == []


def test_what_is_done_is_told_with_its_credential(people, team):
    _, secret = make_robot(team)
    token = make_access_token(team.memberships.get(user__username="alice").user)
    people["admin"].push_blob(b"the first")
    made = len(told())
    clients = [people["bob"], Registry().signed_in("alice", token), Registry().signed_in("alice+ci", secret)]
    for client in clients:
        client.push_blob(b"x")
    pushed = [(actor, credential.rstrip("0123456789")) for actor, credential, *_ in told()[made:]]
    assert pushed == [("bob", "password"), ("alice", "access-token "), ("alice+ci", "robot-secret ")]


@pytest.mark.parametrize(
    ("username", "secret", "credential"),
    [
        ("alice", "wrong horse", "password"),
        ("nobody", PASSWORD, "password"),
        ("alice", "lading_pat_wrong", "access-token"),
        ("alice+ci", "wrong", "robot-secret"),
    ],
)
def test_a_failed_sign_in_is_told_without_what_was_tried(people, username, secret, credential):
    assert Registry().signed_in(username, secret).get("/v2/").status == 401
    assert told() == [("", credential, "sign-in", "", "refused")]
    event = AuditEvent.objects.get()
    assert event.target == username
    assert secret not in json.dumps(as_json(event))


def test_a_refusal_stays_one_when_the_log_takes_nothing(people, monkeypatch):
    def refuse(*_arguments, **_more):
        raise OperationalError("disk full")

    monkeypatch.setattr(AuditEvent.objects, "bulk_create", refuse)
    assert people["charlie"].post(f"/v2/{NAME}/blobs/uploads/").status == 403
    assert Registry().signed_in("alice", "wrong horse").get("/v2/").status == 401


def test_no_secret_reaches_the_log(people, team):
    _, robot_secret = make_robot(team)
    token = make_access_token(team.memberships.get(user__username="alice").user)
    for username, secret in (
        ("alice", PASSWORD),
        ("alice", token),
        ("alice+ci", robot_secret),
        ("alice", "wr0ngPassw0rd"),
    ):
        client = Registry().signed_in(username, secret)
        location = f"/v2/{NAME}/blobs/uploads/?digest={digest_of(b'x')}&_state={secret.replace(' ', '')}"
        client.post(location, b"x", User_Agent=secret)
    text = json.dumps([as_json(event) for event in AuditEvent.objects.all()])
    assert text.count("blob.push") == 3
    for secret in (PASSWORD, token, robot_secret, "wr0ngPassw0rd"):
        assert secret not in text


def signed(outcome="success"):
    rows = AuditEvent.objects.filter(action__startswith="sign-", outcome=outcome).order_by("occurred_at")
    return [(row.actor, row.action, row.target, row.detail) for row in rows]


def test_what_lasts_is_a_sign_in_and_a_bearer_token_is_none(people):
    assert people["bob"].get("/auth/token").status == 200
    assert signed() == []
    assert people["bob"].get("/auth/token?offline_token=true&client_id=docker").status == 200
    assert signed() == [("bob", "sign-in", "bob", {"by": "refresh token", "client_id": "docker"})]


def test_the_end_of_a_session_is_told(people):
    browser = Client()
    fields = {"username": "bob", "password": PASSWORD}
    answer = browser.post("/api/v1/session", json.dumps(fields), content_type="application/json")
    token = answer.json()["csrf_token"]
    assert browser.delete("/api/v1/session", headers={"X-CSRFToken": token}).status_code == 204
    assert [row[:3] for row in signed()] == [("bob", "sign-in", "bob"), ("bob", "sign-out", "bob")]


def test_new_keys_are_told(db):
    first = rotate_keys(now=timezone.now())
    second = revoke_keys(now=timezone.now())
    rows = AuditEvent.objects.order_by("occurred_at")
    assert [(row.action, row.target) for row in rows] == [("key.rotate", first), ("key.revoke", second)]
    assert rows[1].detail == {"ended": [first]}


def test_a_refresh_token_works_while_the_database_takes_no_writes(people, monkeypatch):
    text = people["bob"].get("/auth/token?offline_token=true").json()["refresh_token"]

    def refuse(*_arguments, **_more):
        raise OperationalError("disk full")

    monkeypatch.setattr(QuerySet, "update", refuse)
    form = f"grant_type=refresh_token&refresh_token={text}".encode()
    answer = Registry().post("/auth/token", form, Content_Type="application/x-www-form-urlencoded")
    assert answer.status == 200
