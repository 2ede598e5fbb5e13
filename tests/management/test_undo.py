"""The timeline of a tag, restoring, and the trash."""

import pytest
from django.utils import timezone

from blobs.models import RepositoryBlob
from events.models import AuditEvent, WebhookDelivery
from repositories.models import ManifestReview, Tag, TagHistory, TagRule
from tests.factories import NAME, digest_of
from tests.management.cast import ask, send, told
from tests.management.test_repositories import READERS, REFUSED, refused
from tests.management.test_repository_tags import DELETERS, TAGS, push_index

TRASH = f"repositories/{NAME}/-/trash"


def push(client, tag, layer):
    return client.push_image(tag, layers=[layer]).digest


def restore(client, tag, digest):
    return send(client, "POST", f"{TAGS}/{tag}/restore", digest=digest)


def timeline(client, tag, query=""):
    return send(client, "GET", f"{TAGS}/{tag}/history{query}").json()


def told_by(episodes, *fields):
    return [tuple(episode[field] for field in fields) for episode in episodes]


def test_the_timeline_tells_who_did_what_and_what_came_then(everybody):
    one, two = push(everybody["bob"], "v1", b"one"), push(everybody["alice"], "v1", b"two")
    send(everybody["mallory"], "DELETE", f"{TAGS}/v1")
    assert restore(everybody["bob"], "v1", one).status == 200
    assert restore(everybody["alice"], "v1", two).status == 200
    assert ask(everybody, "GET", f"{TAGS}/v1/history") == READERS
    episodes = timeline(everybody["rita"], "v1")["results"]
    fields = ("digest", "started_by", "started_as", "ended_by", "reason", "replaced_by")
    assert told_by(episodes, *fields) == [
        (two, "alice", "restore", None, None, None),
        (one, "bob", "restore", "alice", "restored", two),
        (two, "alice", "push", "mallory", "deleted", None),
        (one, "bob", "push", "alice", "moved", two),
    ]
    assert all(episode["restorable"] for episode in episodes)
    assert [each["ended_at"] is None for each in episodes] == [True, False, False, False]
    # In pages it is the same.
    walked, path = [], f"{TAGS}/v1/history?limit=2"
    while path:
        page = send(everybody["rita"], "GET", path).json()
        walked += page["results"]
        path = (page["next"] or "").removeprefix("/api/v1/")
    assert walked == episodes
    assert told(send(everybody["rita"], "GET", f"{TAGS}/never/history")) == (404, "manifest-unknown")


def test_a_tag_that_is_gone_has_its_timeline(everybody):
    one = push(everybody["bob"], "v1", b"one")
    send(everybody["alice"], "DELETE", f"{TAGS}/v1")
    assert told_by(timeline(everybody["rita"], "v1")["results"], "digest", "reason") == [(one, "deleted")]


def test_developers_restore(everybody):
    one = push(everybody["bob"], "v1", b"one")
    push(everybody["bob"], "v1", b"two")
    refused(everybody, "POST", f"{TAGS}/v1/restore", REFUSED, digest=one)
    answer = restore(everybody["bob"], "v1", one)
    assert (answer.status, answer.json()["digest"], answer.json()["pushed_by"]) == (200, one, "bob")
    assert everybody["rita"].get(f"/v2/{NAME}/manifests/v1").headers["Docker-Content-Digest"] == one
    assert restore(everybody["robot"], "v1", one).status == 200  # which changes nothing
    assert TagHistory.objects.count() == 2


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "latest", ""])
def test_a_digest_that_is_not_held(everybody, digest):
    push(everybody["bob"], "v1", b"one")
    assert restore(everybody["bob"], "v1", digest).status in (400, 404)
    assert not TagHistory.objects.exists()


def test_a_manifest_that_was_deleted_by_digest_comes_back_with_its_blobs(everybody):
    one = push(everybody["bob"], "v1", b"one")
    layer = digest_of(b"one")
    assert everybody["alice"].delete(f"/v2/{NAME}/manifests/{one}").status == 202
    assert everybody["alice"].delete(f"/v2/{NAME}/blobs/{layer}").status == 202
    assert everybody["rita"].get(f"/v2/{NAME}/blobs/{layer}").status == 404
    assert restore(everybody["bob"], "v1", one).status == 200
    for path in ("manifests/v1", f"manifests/{one}", f"blobs/{layer}"):
        assert everybody["rita"].get(f"/v2/{NAME}/{path}").status == 200
    assert RepositoryBlob.objects.filter(blob__digest=layer).count() == 1


def test_an_index_comes_back_with_its_children(everybody):
    index = push_index(everybody["bob"], "multi", linux_amd64=b"a", linux_arm64=b"b")
    children = [child["digest"] for child in index_children(everybody, index)]
    for digest in (index.digest, *children):
        assert everybody["alice"].delete(f"/v2/{NAME}/manifests/{digest}").status == 202
    assert restore(everybody["bob"], "again", index.digest).status == 200
    for digest in (index.digest, *children):
        assert everybody["rita"].get(f"/v2/{NAME}/manifests/{digest}").status == 200
    assert everybody["rita"].tags() == ["again"]


def index_children(everybody, index):
    return send(everybody["rita"], "GET", f"repositories/{NAME}/-/manifests/{index.digest}").json()["children"]


def test_history_that_is_over_brings_nothing_back(everybody):
    one = push(everybody["bob"], "v1", b"one")
    everybody["alice"].delete(f"/v2/{NAME}/manifests/{one}")
    TagHistory.objects.update(restorable_until=timezone.now())
    assert told(restore(everybody["bob"], "v1", one)) == (404, "manifest-unknown")
    (episode,) = timeline(everybody["rita"], "v1")["results"]
    assert not episode["restorable"]


def test_rules_hold_for_restoring_too(everybody, team):
    one = push(everybody["bob"], "v1", b"one")
    two = push(everybody["bob"], "v1", b"two")
    rule = TagRule.objects.create(team=team, repositories="**", tags="v*", immutable=True)
    assert told(restore(everybody["alice"], "v1", one)) == (403, "forbidden")
    assert restore(everybody["bob"], "v1", two).status == 200
    assert restore(everybody["bob"], "v2", one).status == 200
    rule.delete()
    TagRule.objects.create(team=team, repositories="**", tags="v*", role="maintainer")
    assert told(restore(everybody["bob"], "v1", one)) == (403, "forbidden")
    assert restore(everybody["mallory"], "v1", one).status == 200


def test_a_restore_is_told_to_the_log_and_to_receivers(everybody, settings, monkeypatch):
    from events import announcements

    wanting = type("Receiver", (), {"wants": lambda *_: True, "queue": "q", "name": "q"})()
    one = push(everybody["bob"], "v1", b"one")
    two = push(everybody["bob"], "v1", b"two")
    monkeypatch.setattr(announcements, "receivers", lambda: [wanting])
    restore(everybody["bob"], "v1", one)
    event = AuditEvent.objects.get(action="tag.restore")
    assert (event.actor, event.target, event.detail) == ("bob", "v1", {"from": two, "to": one})
    body = WebhookDelivery.objects.get().body
    assert '"action":"push"' in body
    assert '"tag":"v1"' in body
    assert one in body


def test_the_trash(everybody):
    one = push(everybody["bob"], "v1", b"1" * 40)
    push(everybody["bob"], "v1", b"2" * 50)
    push(everybody["bob"], "v2", b"2" * 50)
    send(everybody["alice"], "DELETE", f"{TAGS}/v2")
    assert ask(everybody, "GET", TRASH) == READERS
    page = send(everybody["rita"], "GET", TRASH).json()
    assert told_by(page["results"], "tag", "reason", "ended_by") == [("v2", "deleted", "alice"), ("v1", "moved", "bob")]
    assert (page["results"][1]["digest"], page["next"]) == (one, None)
    assert page["results"][1]["size_bytes"] > 42
    # What v2 pointed to, v1 still holds; the config is shared.
    assert page["bytes"] == 40
    assert send(everybody["rita"], "GET", f"{TRASH}?search=2").json()["results"] == page["results"][:1]
    # What a tag points to again is in no trash.
    restore(everybody["bob"], "v1", one)
    assert told_by(send(everybody["rita"], "GET", TRASH).json()["results"], "tag", "reason") == [
        ("v1", "restored"),
        ("v2", "deleted"),
    ]


def test_purging(everybody, monkeypatch):
    monkeypatch.setattr("repositories.trash.PURGE_BATCH", 2)
    for number in range(5):
        push(everybody["bob"], "v1", b"%d" % number)
    gone = push(everybody["bob"], "v2", b"gone")
    everybody["alice"].delete(f"/v2/{NAME}/manifests/{gone}")
    refused(everybody, "DELETE", TRASH, DELETERS)
    assert send(everybody["mallory"], "DELETE", TRASH).json() == {"entries": 5}
    page = send(everybody["rita"], "GET", TRASH).json()
    assert (page["results"], page["bytes"]) == ([], 0)
    assert told(restore(everybody["alice"], "v2", gone)) == (404, "manifest-unknown")
    # Collection need not wait any longer.
    now = timezone.now()
    purged = TagHistory.objects.values_list("manifest_id", flat=True)
    assert ManifestReview.objects.filter(manifest_id__in=purged, review_after__lte=now).count() == 5
    events = AuditEvent.objects.filter(action="trash.purge", actor="mallory").order_by("occurred_at")
    assert [event.detail["entries"] for event in events] == [2, 2, 1]
    assert send(everybody["mallory"], "DELETE", TRASH).json() == {"entries": 0}
    assert Tag.objects.get().name == "v1"
