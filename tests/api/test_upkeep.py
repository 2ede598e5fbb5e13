"""The background work: the purge of uploads that nobody finished, and the outbox of bytes to delete."""

from datetime import timedelta

import pytest
from django.utils import timezone

from blobs.deletions import drain_storage_deletions
from blobs.integrity import Problem, check_integrity
from blobs.models import Blob, StorageDeletion, UploadSession
from blobs.tasks import drain_deletions, purge_uploads
from blobs.uploads import purge_expired_uploads
from tests.api.invariants import assert_every_byte_is_named_once
from tests.factories import NAME, digest_of

pytestmark = pytest.mark.django_db
CONTENT = b"content"


def expire(**more):
    UploadSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1), **more)


def test_purge_ends_what_expired_and_hands_its_bytes_on(registry, store, location):
    registry.patch(location, CONTENT)
    key = UploadSession.objects.get().storage_key
    purge_uploads()
    assert UploadSession.objects.count() == 1
    expire()
    purge_uploads()
    assert not UploadSession.objects.exists()
    assert list(StorageDeletion.objects.values_list("storage_key", "size")) == [(key, len(CONTENT))]
    assert registry.get(location).status == 404
    assert_every_byte_is_named_once(store)


def test_purge_leaves_an_upload_that_somebody_writes_to(registry, location):
    expire(busy_until=timezone.now() + timedelta(seconds=30))
    assert purge_expired_uploads() == 0
    expire(busy_until=timezone.now() - timedelta(seconds=1))
    assert purge_expired_uploads() == 1


def test_purge_forgets_finished_sessions_and_keeps_their_blobs(registry, store):
    digest = registry.push_blob(CONTENT)
    expire()
    purge_uploads()
    assert not UploadSession.objects.exists()
    assert not StorageDeletion.objects.exists()
    assert registry.get(f"/v2/{NAME}/blobs/{digest}").body == CONTENT


def test_purge_may_be_off_or_only_look(registry, location, settings):
    expire()
    settings.UPLOAD_PURGING = False
    purge_uploads()
    settings.UPLOAD_PURGING, settings.UPLOAD_PURGING_DRY_RUN = True, True
    purge_uploads()
    assert UploadSession.objects.count() == 1
    settings.UPLOAD_PURGING_DRY_RUN = False
    purge_uploads()
    assert not UploadSession.objects.exists()


def test_purge_ends_many_in_batches(registry):
    for _ in range(7):
        registry.start_upload()
    expire()
    assert [purge_expired_uploads(limit=3) for _ in range(4)] == [3, 3, 1, 0]


def test_drain_deletes_what_is_due_and_its_row(registry, store):
    registry.push_blob(CONTENT)
    registry.push_blob(CONTENT)
    deletion = StorageDeletion.objects.get()
    drain_deletions()
    assert store.size(deletion.storage_key) is None
    assert not StorageDeletion.objects.exists()
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(CONTENT)}").body == CONTENT
    assert_every_byte_is_named_once(store)


def test_drain_waits_until_the_time_has_come(registry, store):
    registry.push_blob(CONTENT)
    registry.push_blob(CONTENT)
    StorageDeletion.objects.update(not_before=timezone.now() + timedelta(minutes=1))
    assert drain_storage_deletions() == 0
    assert store.size(StorageDeletion.objects.get().storage_key) == len(CONTENT)


def test_deletion_of_what_is_gone_already_is_done(store):
    StorageDeletion.objects.create(storage_key=store.new_key(), not_before=timezone.now())
    assert drain_storage_deletions() == 1


def test_refused_deletion_stays_and_waits_longer_each_time(store, monkeypatch):
    good, bad = store.new_key(), store.new_key()
    for key in (bad, good):
        StorageDeletion.objects.create(storage_key=key, not_before=timezone.now())
    real = type(store).delete

    def delete(self, key):
        if key == bad:
            raise OSError("permission denied")
        real(self, key)

    monkeypatch.setattr(type(store), "delete", delete)
    waits = []
    for attempt in range(1, 15):
        StorageDeletion.objects.update(not_before=timezone.now())
        assert drain_storage_deletions() == (1 if attempt == 1 else 0)
        row = StorageDeletion.objects.get()
        assert (row.storage_key, row.attempts) == (bad, attempt)
        assert "permission denied" in row.last_error
        waits.append(row.not_before - timezone.now())
    assert waits[0] > timedelta(minutes=4)
    assert waits[0] < waits[1] < waits[2]
    assert timedelta(hours=23) < waits[-1] <= timedelta(hours=24)


def problems():
    return sorted((finding.problem, finding.storage_key) for finding in check_integrity())


@pytest.fixture
def blob(registry):
    registry.push_blob(CONTENT)
    return Blob.objects.get()


def test_nothing_is_wrong_after_ordinary_work(registry, blob, location):
    registry.patch(location, CONTENT)
    registry.push_image()
    registry.push_blob(CONTENT)
    registry.delete(registry.start_upload())
    assert problems() == []


def test_finds_bytes_that_nothing_names(store, blob):
    key = store.new_key()
    store.write(key, [b"x"], offset=0, state={})
    assert problems() == [(Problem.UNNAMED, key)]


def test_finds_lost_and_shortened_bytes(registry, store, blob, location, tmp_path):
    registry.patch(location, CONTENT)
    upload = UploadSession.objects.get(completed_digest="")
    (tmp_path / "registry" / blob.storage_key).write_bytes(b"short")
    store.delete(upload.storage_key)
    assert problems() == sorted([(Problem.MISSING, upload.storage_key), (Problem.WRONG_SIZE, blob.storage_key)])


def test_finds_bytes_that_are_named_twice(blob):
    StorageDeletion.objects.create(storage_key=blob.storage_key, not_before=timezone.now())
    assert problems() == [(Problem.NAMED_TWICE, blob.storage_key)]
