"""Damaged bytes in object stores: the scrub finds them, a push heals them, `check` finds what nothing names."""

import secrets
from datetime import timedelta

import pytest
from django.utils import timezone

from blobs.deletions import drain_storage_deletions
from blobs.integrity import check_integrity
from blobs.models import Blob, StorageDeletion
from blobs.storage import get_store
from blobs.verification import Pace
from events.audit_actions import AuditAction
from events.models import AuditEvent
from registry_gc.collection.integrity import check_everything, repair
from registry_project.config import load_configuration
from registry_project.config.stores import django_storage
from repositories.quarantine import Outcome
from repositories.scrubbing import scrub_round
from tests.factories import NAME, digest_of

pytestmark = [pytest.mark.django_db, pytest.mark.stores, pytest.mark.timeout(300)]
MIB = 2**20
# In more than one part, and more than one piece.
LAYER = secrets.token_bytes(11 * MIB)
SMALL = b"small"


@pytest.fixture
def store(object_service, settings):
    environ = object_service.environ(rootdirectory=secrets.token_hex(4), chunksize=str(5 * MIB))
    storage = load_configuration(None, environ).storage
    settings.STORAGES = {**settings.STORAGES, "blobs": django_storage(storage)}
    settings.REDIRECT_BLOBS, settings.SCRUB_INTERVAL = True, timedelta()
    get_store.cache_clear()
    yield get_store()
    get_store.cache_clear()


def put(store, key, content):
    """What a store has under a key it has from now on otherwise."""
    store.delete(key)
    written = store.write(key, [content], offset=0, state={})
    store.seal(key, size=written.size, state=written.state)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_damage_is_found_named_and_healed_by_a_push(registry, store, damage):
    registry.push_image("1.0", layers=[LAYER, SMALL])
    key = Blob.objects.get(digest=digest_of(LAYER)).storage_key
    if damage == "missing":
        store.delete(key)
    else:
        put(store, key, LAYER[:-1] + bytes([LAYER[-1] ^ 1]) if damage == "flipped" else LAYER[:-MIB])
    assert scrub_round(pace=Pace()) == {Outcome.QUARANTINED: 1, Outcome.VERIFIED: 2}
    event = AuditEvent.objects.get(action=AuditAction.BLOB_QUARANTINE.value, team="alice")
    assert event.detail["tags"] == [f"{NAME}:1.0"]
    address = f"/v2/{NAME}/blobs/{digest_of(LAYER)}"
    # No address of the store is given out either.
    assert registry.get(address).status == registry.head(address).status == 404
    registry.push_blob(LAYER)
    assert registry.get(address).status == 307
    assert scrub_round(pace=Pace()) == {Outcome.VERIFIED: 3}
    assert list(check_integrity()) == []


def test_lost_bytes_come_back_from_the_outbox_and_from_unnamed_ones(registry, store):
    registry.push_image("1.0", layers=[LAYER, SMALL])
    registry.push_blob(LAYER)  # leaves a copy in the outbox
    put(store, store.new_key(), SMALL)
    for content in (LAYER, SMALL):
        store.delete(Blob.objects.get(digest=digest_of(content)).storage_key)
    assert sorted(finding.problem.slug for finding in check_everything()) == ["missing", "missing", "unnamed"]
    results = [repair(finding).result.value for finding in check_everything()]
    assert sorted(results) == ["contained", "repaired", "repaired"]
    StorageDeletion.objects.update(not_before=timezone.now())
    drain_storage_deletions()
    assert scrub_round(pace=Pace()) == {Outcome.VERIFIED: 3}
    assert list(check_everything(digests=True)) == []


def test_uploads_in_flight_and_young_bytes_are_no_finding(registry, store):
    registry.push_image("1.0", layers=[SMALL])
    registry.patch(registry.start_upload(), LAYER)
    put(store, store.new_key(), SMALL)
    assert list(check_everything(older_than=timedelta(hours=1))) == []
    assert [finding.problem.slug for finding in check_everything()] == ["unnamed"]
