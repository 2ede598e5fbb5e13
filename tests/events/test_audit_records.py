"""Each write leaves its events, in its own transaction."""

import json
import logging

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from events import audit
from events.audit_actions import AuditAction
from events.models import AuditEvent
from registry_project.context import answering, name_principal
from tests.factories import ABSENT, NAME, digest_of, encode, image_manifest

pytestmark = pytest.mark.django_db(transaction=True)
OCI = "application/vnd.oci.image.manifest.v1+json"


def events():
    return list(AuditEvent.objects.order_by("occurred_at", "id"))


def told(rows):
    """The parts of events that tests compare."""
    return [(row.action, row.repository, row.target, row.detail) for row in rows]


@pytest.fixture
def since(registry):
    """The events of a call."""

    def call(*arguments, **more):
        before = len(events())
        answer = registry.request(*arguments, **more)
        assert answer.status < 300, answer
        return events()[before:]

    return call


def test_a_pushed_blob(registry):
    digest = registry.push_blob(b"content")
    *made, event = events()
    assert [(row.action, row.team, row.repository) for row in made] == [
        ("team.create", "alice", ""),
        ("repository.create", "alice", NAME),
    ]
    assert told([event]) == [("blob.push", NAME, digest, {"size": 7})]
    assert (event.team, event.outcome, event.actor, event.credential) == ("alice", "success", "", "anonymous")
    assert (event.address, event.request_id) == ("127.0.0.1", "test")


def test_a_blob_in_one_request_and_again(registry, since):
    registry.push_blob(b"the first")
    digest = digest_of(b"content")
    for _ in range(2):
        rows = since("POST", f"/v2/{NAME}/blobs/uploads/?digest={digest}", b"content")
        assert told(rows) == [("blob.push", NAME, digest, {"size": 7})]


def test_a_mounted_blob(registry, since):
    digest = registry.push_blob(b"x")
    registry.push_blob(b"y", "bob/app")
    rows = since("POST", f"/v2/bob/app/blobs/uploads/?mount={digest}&from={NAME}")
    assert told(rows) == [("blob.mount", "bob/app", digest, {"size": 1, "from": NAME})]
    assert rows[0].team == "bob"


def test_a_deleted_blob(registry, since):
    digest = registry.push_blob(b"x")
    assert told(since("DELETE", f"/v2/{NAME}/blobs/{digest}")) == [("blob.delete", NAME, digest, {})]


def test_the_life_of_a_tag(registry, since):
    registry.push_blob(b"{}")
    registry.push_blob(b"x")
    payloads = [encode(image_manifest(layers=layers)) for layers in ([], [b"x"])]
    first, second = map(digest_of, payloads)

    def pushed(number):
        detail = {"media_type": OCI, "size": len(payloads[number]), "tags": ["v1"]}
        return ("manifest.push", NAME, (first, second)[number], detail)

    path = f"/v2/{NAME}/manifests/v1"
    assert told(since("PUT", path, payloads[0])) == [pushed(0), ("tag.create", NAME, "v1", {"to": first})]
    assert told(since("PUT", path, payloads[0])) == [pushed(0)]
    move = ("tag.move", NAME, "v1", {"from": first, "to": second})
    assert told(since("PUT", path, payloads[1])) == [pushed(1), move]
    assert told(since("DELETE", path)) == [("tag.delete", NAME, "v1", {"from": second})]


def test_a_manifest_that_goes_with_its_tags(registry, since):
    registry.push_image("v1", layers=())
    image = registry.push_image("v2", layers=())
    rows = since("DELETE", f"/v2/{NAME}/manifests/{image.digest}")
    tags = [("tag.delete", NAME, tag, {"from": image.digest}) for tag in ("v1", "v2")]
    assert told(rows) == [("manifest.delete", NAME, image.digest, {}), *tags]


def test_names_of_one_component_belong_to_the_library(registry):
    registry.push_blob(b"x", "app")
    assert [(event.team, event.repository) for event in events()][-1] == ("library", "app")


def test_what_is_refused_writes_no_success(registry):
    registry.push_image("v1", layers=())
    before = len(events())
    assert registry.delete(f"/v2/{NAME}/manifests/{ABSENT}").status == 404
    assert registry.put(f"/v2/{NAME}/manifests/v1", b"{}").status == 400
    assert registry.post(f"/v2/{NAME}/blobs/uploads/?digest={ABSENT}", b"x").status == 400
    assert registry.delete(f"/v2/{NAME}/blobs/{digest_of(b'{}')}").status == 405
    assert len(events()) == before


@pytest.mark.parametrize("place", ["blobs.uploads", "repositories.manifests", "repositories.tags"])
def test_an_event_goes_with_its_transaction(registry, monkeypatch, place):
    """What fails behind the event takes it along, and nothing happened."""
    registry.push_image("v1", layers=())
    before = told(events())
    seen = []

    def fail(**_):
        seen.append(AuditEvent.objects.count())
        raise RuntimeError("after the event, before the commit")

    for name in ("blob_pushed", "manifest_pushed", "tag_deleted"):
        monkeypatch.setattr(f"events.announcements.{name}", fail)
    answer = {
        "blobs.uploads": lambda: registry.post(f"/v2/{NAME}/blobs/uploads/?digest={digest_of(b'new')}", b"new"),
        "repositories.manifests": lambda: registry.put(f"/v2/{NAME}/manifests/v2", encode(image_manifest())),
        "repositories.tags": lambda: registry.delete(f"/v2/{NAME}/manifests/v1"),
    }[place]()
    assert answer.status == 500
    assert seen
    assert seen[0] > len(before)
    assert told(events()) == before


def test_nothing_is_acknowledged_that_the_log_does_not_take(registry, monkeypatch):
    registry.push_blob(b"{}")

    def refuse(*_arguments, **_more):
        raise OperationalError("disk full")

    monkeypatch.setattr(AuditEvent.objects, "bulk_create", refuse)
    assert registry.put(f"/v2/{NAME}/manifests/v1", encode(image_manifest())).status == 503
    assert registry.get(f"/v2/{NAME}/manifests/v1").status == 404


def test_a_write_costs_one_statement_more(registry):
    registry.push_blob(b"{}")
    digest = digest_of(b"one request")
    for method, path, body in (
        ("POST", f"/v2/{NAME}/blobs/uploads/?digest={digest}", b"one request"),
        ("PUT", f"/v2/{NAME}/manifests/v1", encode(image_manifest())),
        ("DELETE", f"/v2/{NAME}/manifests/v1", b""),
    ):
        connection.ensure_connection()
        with CaptureQueriesContext(connection) as captured:
            assert registry.request(method, path, body).status < 300
        mine = [query["sql"] for query in captured if "audit" in query["sql"]]
        assert len(mine) == 1, mine


def test_who_signed_in_and_with_what():
    with answering({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_REQUEST_ID": "r-1"}):
        name_principal("alice", "access-token 12")
        audit.record(action=AuditAction.SIGN_IN, target="alice")
    (event,) = events()
    assert (event.actor, event.credential, event.address, event.request_id) == (
        "alice",
        "access-token 12",
        "10.0.0.1",
        "r-1",
    )
    assert (event.team, event.repository) == ("", "")


def test_the_registry_itself_acts_as_system():
    audit.record(action=AuditAction.TAG_DELETE, repository=NAME, target="v1")
    (event,) = events()
    assert (event.actor, event.credential, event.address, event.request_id) == ("", "system", "", "")


def test_a_refusal_is_told_with_what_was_shown():
    with answering({"REMOTE_ADDR": "10.0.0.1"}):
        audit.record_refusal(
            action=AuditAction.SIGN_IN, target="mallory", credential="password", detail={"reason": "wrong password"}
        )
    (event,) = events()
    assert (event.outcome, event.target, event.actor, event.credential) == ("refused", "mallory", "", "password")


def test_a_refusal_survives_a_database_that_takes_no_event(monkeypatch, caplog):
    def refuse(*_arguments, **_more):
        raise OperationalError("disk full")

    monkeypatch.setattr(AuditEvent.objects, "bulk_create", refuse)
    with caplog.at_level(logging.ERROR, "lading.audit"):
        audit.record_refusal(action=AuditAction.SIGN_IN, target="mallory")
    line = json.loads(caplog.messages[0].partition("disk full: ")[2])
    assert (line["action"], line["target"], line["outcome"]) == ("sign-in", "mallory", "refused")


@pytest.mark.parametrize("text", ["\0", "\ud800", "a" * 10_000, "ä\U0001f600" * 5_000, "'; DROP TABLE x; --"])
def test_whatever_a_client_sends_can_be_written(text):
    with answering({"REMOTE_ADDR": text}):
        name_principal(text, text)
        audit.record_refusal(
            action=AuditAction.SIGN_IN, team=text, target=text, credential=text, detail={text: [text, {text: text}]}
        )
    (event,) = events()
    assert len(event.target) in {1, len(text), 300}


def test_secrets_are_hidden_and_details_stay_small():
    secret = "c4n4ryS3cr3tValue"
    audit.record(
        action=AuditAction.SIGN_IN,
        target=f"https://alice:{secret}@host/",
        detail={"header": f"Bearer {secret}", "deep": [{"text": f"password={secret}"}], "many": list(range(1000))},
    )
    (event,) = events()
    assert secret not in json.dumps(audit.as_json(event))
    assert event.detail["many"] == list(range(20))


def test_a_push_of_many_tags_writes_each(registry):
    registry.push_blob(b"{}")
    payload = encode(image_manifest())
    tags = [f"v{number}" for number in range(30)]
    query = "&".join(f"tag={tag}" for tag in tags)
    assert registry.put(f"/v2/{NAME}/manifests/{digest_of(payload)}?{query}", payload).status == 201
    assert {event.target for event in events() if event.action == "tag.create"} == set(tags)
