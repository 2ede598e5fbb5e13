"""What the management API tells of collection, and letting it rest."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blobs.models import Blob, BlobReview, StorageDeletion
from events.models import AuditEvent
from registry_gc.collection import progress
from registry_gc.collection.figures import Tally, forget_figures, record
from registry_gc.collection.models import CollectionFailure, CollectionMinute, CollectionRun, Kind
from registry_gc.collection.rounds import run_round
from repositories.models import Manifest, ManifestReview
from tests.factories import digest_of
from tests.management.cast import send


def gc(client):
    answer = send(client, "GET", "gc")
    assert answer.status == 200
    return answer.json()


def queue(answer, kind):
    (found,) = [row for row in answer["queues"] if row["kind"] == kind]
    return found


@pytest.fixture
def pushed(everybody):
    everybody["admin"].push_image("latest", "alice/app", layers=[b"layer"])
    return everybody


def test_the_queues_say_what_waits_and_what_is_due(pushed):
    assert (queue(gc(pushed["audrey"]), "blob")["waiting"], queue(gc(pushed["audrey"]), "blob")["due"]) == (2, 0)
    due_at = timezone.now() - timedelta(minutes=5)
    BlobReview.objects.filter(pk=BlobReview.objects.first().pk).update(review_after=due_at)
    StorageDeletion.objects.create(storage_key="x", size=7, not_before=due_at)
    answer = gc(pushed["admin"])
    for kind in ("blob", "deletion"):
        row = queue(answer, kind)
        assert (row["due"], row["oldest_due_at"]) == (1, due_at.isoformat().replace("+00:00", "Z")), kind
    assert queue(answer, "manifest")["oldest_due_at"] is None


def test_the_rate_says_when_it_is_done(pushed):
    now = timezone.now().replace(second=0, microsecond=0)
    for minute in range(10):
        CollectionMinute.objects.create(minute=now - timedelta(minutes=minute), kind="blob", reviewed=60)
    BlobReview.objects.update(review_after=now)
    row = queue(gc(pushed["admin"]), "blob")
    # Six minutes of 60, the last of them not yet over.
    assert 60 <= row["per_minute"] <= 72
    assert row["eta_seconds"] == round(2 * 60 / row["per_minute"])
    send(pushed["admin"], "POST", "gc/pause")
    assert queue(gc(pushed["admin"]), "blob")["eta_seconds"] is None
    assert queue(gc(pushed["admin"]), "manifest")["eta_seconds"] is None


def test_long_queues_are_counted_in_part(pushed, monkeypatch):
    monkeypatch.setattr(progress, "MOST_COUNTED", 2)
    BlobReview.objects.bulk_create([BlobReview(blob_id=10**6 + n, review_after=timezone.now()) for n in range(5)])
    row = queue(gc(pushed["admin"]), "blob")
    assert (row["waiting"], row["due"], row["eta_seconds"]) == (2, 2, None)


def test_days_and_rounds_say_what_came_back(pushed):
    today = timezone.now().date()
    for age in (0, 29, 30):
        CollectionRun.objects.create(
            day=today - timedelta(days=age), kind="blob", reviewed=9, collected=age + 1, bytes=100 + age
        )
    record(Kind.MANIFEST, Tally(reviewed=5, collected=3, kept=2, size=50))
    answer = gc(pushed["admin"])
    assert answer["days"] == [
        {"day": f"{today}", "manifests": 3, "blobs": 1, "bytes": 100},
        {"day": f"{today - timedelta(days=29)}", "manifests": 0, "blobs": 30, "bytes": 129},
    ]
    (last,) = answer["rounds"]
    assert (last["kind"], last["reviewed"], last["collected"], last["kept"], last["bytes"]) == ("manifest", 5, 3, 2, 50)
    CollectionMinute.objects.update(minute=timezone.now() - timedelta(days=1, minutes=1))
    forget_figures()
    assert gc(pushed["admin"])["rounds"] == []


def test_failures_say_why_and_when_they_are_tried_again(pushed, monkeypatch):
    manifest, blob = Manifest.objects.get(), Blob.objects.get(digest=digest_of(b"layer"))
    for kind, model, target in (("manifest", ManifestReview, manifest), ("blob", BlobReview, blob)):
        model.objects.update_or_create(
            pk=target.pk, defaults={"attempts": 3, "review_after": timezone.now(), "reason": "test"}
        )
        CollectionFailure.objects.create(kind=kind, target_id=target.pk, error=f"{kind} is held")
    StorageDeletion.objects.create(
        storage_key="x", digest="sha256:x", not_before=timezone.now(), attempts=4, last_error="refused"
    )
    failures = gc(pushed["admin"])["failures"]
    told = [(row["kind"], row["digest"], row["repository"], row["attempts"], row["error"]) for row in failures]
    assert sorted(told) == [
        ("blob", blob.digest, "", 3, "blob is held"),
        ("deletion", "sha256:x", "", 4, "refused"),
        ("manifest", manifest.digest, "alice/app", 3, "manifest is held"),
    ]
    assert all(row["next_at"] for row in failures)
    with CaptureQueriesContext(connection) as captured:
        gc(pushed["admin"])
    few = len(captured.captured_queries)
    monkeypatch.setattr(progress, "MOST_FAILURES", 3)
    CollectionFailure.objects.bulk_create(
        [CollectionFailure(kind="blob", target_id=10**6 + number, error="no") for number in range(9)]
    )
    with CaptureQueriesContext(connection) as captured:
        assert len(gc(pushed["admin"])["failures"]) == 3
    assert len(captured.captured_queries) <= few


def test_paused_it_rests_until_it_is_resumed_and_both_are_in_the_log(pushed):
    assert gc(pushed["admin"])["paused"] is None
    for _ in range(2):
        answer = send(pushed["admin"], "POST", "gc/pause")
        assert (answer.status, answer.json()["paused"]["paused_by"]) == (200, "admin")
    assert gc(pushed["audrey"])["paused"]["paused_by"] == "admin"
    BlobReview.objects.update(review_after=timezone.now())
    assert run_round() == 0
    for _ in range(2):
        answer = send(pushed["admin"], "POST", "gc/resume")
        assert (answer.status, answer.json()) == (200, {"paused": None})
    assert run_round() == 2
    events = AuditEvent.objects.filter(action__startswith="collection.").order_by("occurred_at")
    assert list(events.values_list("action", "actor", "outcome")) == [
        ("collection.pause", "admin", "success"),
        ("collection.resume", "admin", "success"),
    ]
    assert events[1].detail["paused_by"] == "admin"
