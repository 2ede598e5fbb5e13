"""Damaged bytes: found by the scrub, given to nobody, told of by name, healed by a push."""

import json
import logging
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blobs.deletions import drain_storage_deletions
from blobs.integrity import check_integrity
from blobs.models import Blob, ScrubClaim, StorageDeletion
from blobs.verification import Damage, Pace
from events.audit_actions import AuditAction
from events.models import AuditEvent, WebhookDelivery
from oci.errors import Unavailable
from registry_project.config.other import Notifications
from registry_project.monitor import _queues
from registry_project.schedule import periodic_tasks
from repositories.damage import find_hits
from repositories.quarantine import Outcome
from repositories.scrubbing import scrub_round
from repositories.tasks import scrub
from tests.factories import NAME, digest_of, image_manifest, index_manifest

pytestmark = pytest.mark.django_db
LAYER, OTHER = b"layer", b"another layer"
UNLIMITED = Pace()


@pytest.fixture(autouse=True)
def always_due(settings):
    settings.SCRUB_INTERVAL = timedelta()


@pytest.fixture
def image(registry):
    return registry.push_image("1.0", layers=[LAYER, OTHER])


def blob_of(content):
    return Blob.objects.get(digest=digest_of(content))


def flip(store, content, change=lambda stored: bytes([stored[0] ^ 1]) + stored[1:]):
    path = store._root / blob_of(content).storage_key
    path.write_bytes(change(path.read_bytes()))


def scrubbed():
    return scrub_round(pace=Pace())


def address(content, name=NAME):
    return f"/v2/{name}/blobs/{digest_of(content)}"


def audited(action):
    return list(AuditEvent.objects.filter(action=action.value).order_by("team"))


DAMAGES = {
    Damage.WRONG_DIGEST: lambda stored: bytes([stored[0] ^ 1]) + stored[1:],
    Damage.WRONG_SIZE: lambda stored: stored[:-1],
    Damage.MISSING: None,
}


def damage(store, content, kind):
    if DAMAGES[kind]:
        flip(store, content, DAMAGES[kind])
    else:
        store.delete(blob_of(content).storage_key)


def test_scrub_finds_nothing_in_whole_blobs_and_notes_when(registry, image):
    Blob.objects.update(verified_at=None, scrubbed_at=None)
    assert scrubbed() == {Outcome.VERIFIED: 3}
    assert not Blob.objects.filter(verified_at=None).exists()
    assert registry.get(address(LAYER)).body == LAYER


@pytest.mark.parametrize("kind", Damage)
def test_damage_is_quarantined_and_named_and_a_push_heals_it(registry, store, image, caplog, kind):
    registry.push_manifest(index_manifest([image.descriptor()]), "multi")
    damage(store, LAYER, kind)
    with caplog.at_level(logging.ERROR, "lading.quarantine"):
        assert scrubbed()[Outcome.QUARANTINED] == 1
    assert f"{NAME}:1.0, {NAME}:multi; teams alice" in caplog.text
    bad = blob_of(LAYER)
    assert bad.quarantine_reason == kind.value
    for answer in (registry.get(address(LAYER)), registry.head(address(LAYER))):
        assert answer.status == 404
    answer = registry.get(address(LAYER))
    assert answer.codes == ["BLOB_UNKNOWN"]
    assert "quarantine" in answer.detail["reason"]
    assert registry.get(address(OTHER)).body == OTHER
    refused = registry.put_manifest(image_manifest(layers=[LAYER]), "2.0")
    assert refused.codes == ["MANIFEST_BLOB_UNKNOWN"]
    assert registry.post(f"/v2/bob/app/blobs/uploads/?mount={bad.digest}&from={NAME}").status == 202

    registry.push_blob(LAYER)
    healed = blob_of(LAYER)
    assert healed.pk == bad.pk
    assert healed.storage_key != bad.storage_key
    assert healed.quarantined_at is None
    assert registry.get(address(LAYER)).body == LAYER
    assert registry.put_manifest(image_manifest(layers=[LAYER]), "2.0").status == 201
    assert scrubbed()[Outcome.QUARANTINED] == 0
    assert list(check_integrity()) == []


def test_evidence_stays_until_it_is_healed_and_then_as_long_as_the_trash(registry, store, image, settings):
    settings.TRASH_KEEP, settings.GC_LINGER = timedelta(days=7), timedelta(hours=2)
    flip(store, LAYER)
    bad = blob_of(LAYER).storage_key
    scrubbed()
    drain_storage_deletions()
    assert store.size(bad) == len(LAYER)
    registry.push_blob(LAYER)
    waiting = StorageDeletion.objects.get(storage_key=bad)
    assert waiting.not_before > timezone.now() + timedelta(days=6, hours=23)
    assert waiting.digest == ""
    assert store.size(bad) == len(LAYER)


def test_audit_tells_the_instance_everything_and_each_team_its_own(registry, store, image):
    registry.push_image("theirs", "bob/tool", layers=[LAYER])
    drain_storage_deletions()  # or the second push's bytes would heal it
    flip(store, LAYER)
    scrubbed()
    everything, alice, bob = audited(AuditAction.BLOB_QUARANTINE)
    assert everything.detail["teams"] == ["alice", "bob"]
    assert everything.detail["tags"] == [f"{NAME}:1.0", "bob/tool:theirs"]
    assert (everything.team, alice.team, bob.team) == ("", "alice", "bob")
    assert alice.detail["tags"] == [f"{NAME}:1.0"]
    assert bob.detail["tags"] == ["bob/tool:theirs"]
    registry.push_blob(LAYER)
    assert [event.target for event in audited(AuditAction.BLOB_HEAL)] == [digest_of(LAYER)]


def test_what_is_hit_is_bounded_and_counted(registry, image):
    for number in range(5):
        registry.push_manifest(image.payload, f"more-{number}")
    hits = find_hits([blob_of(LAYER).pk], most=3)[blob_of(LAYER).pk]
    assert [hit.tag for hit in hits.tags] == ["1.0", "more-0", "more-1"]
    assert hits.tag_count == 6
    assert str(hits).startswith(f"tags {NAME}:1.0, {NAME}:more-0, {NAME}:more-1 and 3 more;")


def test_a_copy_in_the_outbox_heals_at_once(registry, store, image):
    registry.push_blob(LAYER)
    copy = StorageDeletion.objects.get(digest=digest_of(LAYER))
    StorageDeletion.objects.update(not_before=timezone.now() + timedelta(hours=1))
    flip(store, LAYER)
    bad = blob_of(LAYER).storage_key
    assert scrubbed()[Outcome.HEALED] == 1
    assert blob_of(LAYER).storage_key not in {bad, copy.storage_key}
    assert registry.get(address(LAYER)).body == LAYER
    assert set(StorageDeletion.objects.values_list("storage_key", flat=True)) == {bad, copy.storage_key}
    assert list(check_integrity()) == []


def test_a_copy_that_is_damaged_as_well_heals_nothing(registry, store, image):
    registry.push_blob(LAYER)
    StorageDeletion.objects.update(not_before=timezone.now() + timedelta(hours=1))
    flip(store, LAYER)
    path = store._root / StorageDeletion.objects.get().storage_key
    path.write_bytes(b"wrong")
    assert scrubbed()[Outcome.QUARANTINED] == 1
    assert registry.get(address(LAYER)).status == 404
    drain_storage_deletions()
    assert list(store.objects())
    assert [finding.problem.slug for finding in check_integrity()] == ["quarantined"]


def test_right_bytes_that_somebody_put_back_end_the_quarantine(registry, store, image):
    flip(store, LAYER)
    scrubbed()
    flip(store, LAYER)
    assert scrubbed()[Outcome.RELEASED] == 1
    assert registry.get(address(LAYER)).body == LAYER


@pytest.mark.parametrize("error", [Unavailable(), TimeoutError("slow"), OSError(5, "I/O error")])
def test_a_storage_that_fails_damages_nothing_and_is_asked_again_later(registry, store, image, monkeypatch, error):
    def fail(self, key, start, stop):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "open_range", fail)
        assert scrubbed() == {Outcome.UNREADABLE: 3}
    assert not Blob.objects.filter(quarantined_at__isnull=False).exists()
    assert not audited(AuditAction.BLOB_QUARANTINE)
    assert scrubbed() == {Outcome.VERIFIED: 3}


def test_what_could_not_be_read_comes_again_after_an_hour_not_at_once(registry, store, image, settings, monkeypatch):
    settings.SCRUB_INTERVAL = timedelta(days=30)
    Blob.objects.update(scrubbed_at=None)
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "open_range", lambda *_: (_ for _ in ()).throw(Unavailable()))
        scrubbed()
    assert scrubbed() == {}
    Blob.objects.update(scrubbed_at=timezone.now() - timedelta(days=30, seconds=1))
    assert scrubbed() == {Outcome.VERIFIED: 3}


def test_a_storage_without_anything_is_not_believed(registry, store, image):
    """A folder that is not mounted is empty, and every blob in it would look lost."""
    store._root.rename(store._root.with_name("elsewhere"))
    assert scrubbed() == {Outcome.UNREADABLE: 3}
    store._root.with_name("elsewhere").rename(store._root)
    assert registry.get(address(LAYER)).body == LAYER


def test_bytes_that_arrive_wrong_once_are_read_again(registry, store, image, monkeypatch):
    real, seen = type(store).open_range, Counter()

    def garbled_once(self, key, start, stop):
        seen[key] += 1
        return real(self, blob_of(OTHER).storage_key if seen[key] == 1 else key, start, stop)

    monkeypatch.setattr(type(store), "open_range", garbled_once)
    assert scrubbed() == {Outcome.VERIFIED: 3}


def test_longest_unread_comes_first_and_what_was_read_waits(registry, image, settings):
    settings.SCRUB_INTERVAL = timedelta(days=30)
    assert scrubbed() == {}, "a push has just verified them"
    Blob.objects.filter(digest=digest_of(LAYER)).update(scrubbed_at=timezone.now() - timedelta(days=40))
    Blob.objects.filter(digest=digest_of(OTHER)).update(scrubbed_at=timezone.now() - timedelta(days=50))
    assert scrub_round(pace=Pace(), lasting=timedelta()) == {Outcome.VERIFIED: 1}
    assert blob_of(OTHER).scrubbed_at > timezone.now() - timedelta(minutes=1)
    assert scrubbed() == {Outcome.VERIFIED: 1}


def test_reading_keeps_to_its_rate(registry):
    registry.push_blob(b"x" * 1_000_000)
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    scrub_round(pace=Pace(rate=100_000, clock=lambda: now[0], sleep=sleep))
    scrub_round(pace=Pace(rate=10_000, clock=lambda: now[0], sleep=sleep))
    # The last piece of each is not waited for.
    assert 90 <= sum(slept) <= 110


def test_only_one_scrub_is_at_work(registry, image):
    ScrubClaim.objects.create(busy_until=timezone.now() + timedelta(minutes=1))
    assert scrubbed() == {}
    ScrubClaim.objects.update(busy_until=timezone.now() - timedelta(seconds=1))
    assert scrubbed() == {Outcome.VERIFIED: 3}
    assert ScrubClaim.objects.get().busy_until is None


def test_scrub_can_be_switched_off(registry, store, image, settings):
    assert scrub in [task for task, _ in periodic_tasks()]
    flip(store, LAYER)
    settings.SCRUB_ENABLED = False
    assert scrub not in [task for task, _ in periodic_tasks()]
    scrub()
    assert registry.get(address(LAYER)).status == 200
    settings.SCRUB_ENABLED = True
    scrub()
    assert registry.get(address(LAYER)).status == 404


def test_a_blob_in_quarantine_costs_no_more_statements(registry, store, image):
    def cost(method):
        with CaptureQueriesContext(connection) as captured:
            registry.request(method, address(LAYER))
        return len(captured.captured_queries)

    before = cost("GET"), cost("HEAD")
    flip(store, LAYER)
    scrubbed()
    assert (cost("GET"), cost("HEAD")) == before == (1, 1)


def test_notifications_name_each_tag(registry, store, image, settings):
    endpoint = {"name": "e", "url": "https://hooks.example.org/"}
    settings.NOTIFICATIONS = Notifications.model_validate({"endpoints": [endpoint]})
    registry.push_manifest(image.payload, "2.0")
    WebhookDelivery.objects.all().delete()
    flip(store, LAYER)
    scrubbed()
    told = [json.loads(row.body)["events"][0] for row in WebhookDelivery.objects.order_by("id")]
    assert [(event["action"], event["target"]["tag"]) for event in told] == [
        ("quarantine", "1.0"),
        ("quarantine", "2.0"),
    ]
    assert {event["target"]["digest"] for event in told} == {digest_of(LAYER)}
    assert {event["target"]["repository"] for event in told} == {NAME}


def test_metrics_tell_of_damage(registry, store, image):
    flip(store, LAYER)
    scrubbed()
    families = {family.name: family.samples[0].value for family in _queues()}
    assert families["lading_scrub_quarantined_blobs"] == 1
    assert families["lading_scrub_oldest_seconds"] >= 0
