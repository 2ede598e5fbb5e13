"""One upload session and several who want to end it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from blobs.deletions import drain_storage_deletions
from blobs.integrity import check_integrity
from blobs.models import Blob, RepositoryBlob, StorageDeletion, TeamBlob, UploadSession, UsageDelta
from blobs.uploads import append_chunk, cancel_upload, complete_upload, purge_expired_uploads, start_upload
from blobs.usage import roll_up_usage
from oci.digests import Digest
from oci.errors import BlobUploadBusy, BlobUploadUnknown
from tests.concurrency.meeting import at_once, body, finish, gate_before, in_background

CONTENT = b"what is uploaded"
DIGEST = Digest.of(CONTENT)
ROUNDS = 15


def begin(house) -> UploadSession:
    upload = start_upload(owner=house.owner)
    append_chunk(owner=house.owner, session_id=upload.id, content_range=None, body=body(CONTENT))
    return upload


def completion(house, upload):
    return lambda: complete_upload(
        owner=house.owner, session_id=upload.id, digest=DIGEST, content_range=None, body=body()
    )


def expire(upload) -> None:
    UploadSession.objects.filter(pk=upload.pk).update(expires_at=timezone.now() - timedelta(days=1))


def assert_agreement(house, *, blob: bool) -> None:
    """Database and storage agree, and the repository has the blob or not."""
    assert list(check_integrity()) == []
    assert RepositoryBlob.objects.filter(repository_id=house.id, blob__digest=str(DIGEST)).exists() == blob
    drain_storage_deletions()
    # The bytes of a session that was ended under its writer wait a little longer.
    assert not StorageDeletion.objects.filter(not_before__lte=timezone.now()).exists()
    assert list(check_integrity()) == []


def test_of_many_completions_at_once_each_succeeds_or_is_told_to_wait(house):
    for _ in range(ROUNDS):
        upload = begin(house)
        outcomes = at_once([completion(house, upload)] * 4)
        assert None in outcomes
        assert {type(outcome) for outcome in outcomes} <= {type(None), BlobUploadBusy, BlobUploadUnknown}, outcomes
        assert completion(house, upload)() is None
        assert Blob.objects.filter(digest=str(DIGEST)).count() == 1
        assert_agreement(house, blob=True)


def test_a_completion_that_comes_while_another_one_ends_succeeds_too(house, monkeypatch):
    """A client repeats its request when the answer is late; it must not hear that its upload is unknown."""
    upload = begin(house)
    gate = gate_before(monkeypatch, "blobs.uploads._check_range")
    with in_background(completion(house, upload)) as late:
        assert gate.reached.wait(60)
        assert completion(house, upload)() is None
        gate.open()
        outcome = finish(late)
        assert outcome is None or isinstance(outcome, BlobUploadBusy), outcome
    assert_agreement(house, blob=True)


def test_completion_against_cancelling(house):
    for _ in range(ROUNDS):
        forget_blob()
        upload = begin(house)
        completed, cancelled = at_once(
            [completion(house, upload), lambda upload=upload: cancel_upload(owner=house.owner, session_id=upload.id)]
        )
        assert (completed is None) != (cancelled is None), (completed, cancelled)
        assert isinstance(completed or cancelled, BlobUploadUnknown)
        assert_agreement(house, blob=completed is None)


def test_cancelling_while_the_bytes_are_sealed_wins(house, monkeypatch):
    upload = begin(house)
    gate = gate_before(monkeypatch, "blobs.uploads._register")
    with in_background(completion(house, upload)) as completing:
        assert gate.reached.wait(60)
        cancel_upload(owner=house.owner, session_id=upload.id)
        gate.open()
        assert isinstance(finish(completing), BlobUploadUnknown)
    assert not Blob.objects.filter(digest=str(DIGEST)).exists()
    assert list(check_integrity()) == []
    # The bytes of a busy session wait until its writer must have noticed.
    deletion = StorageDeletion.objects.get(storage_key=upload.storage_key)
    assert deletion.not_before > timezone.now()


def test_nobody_else_writes_to_a_session_that_is_being_completed(house, monkeypatch):
    upload = begin(house)
    gate = gate_before(monkeypatch, "blobs.uploads._register")
    with in_background(completion(house, upload)) as completing:
        assert gate.reached.wait(60)
        with pytest.raises(BlobUploadBusy):
            append_chunk(owner=house.owner, session_id=upload.id, content_range=None, body=body(b"more"))
        with pytest.raises(BlobUploadBusy):
            completion(house, upload)()
        gate.open()
        assert finish(completing) is None
    assert_agreement(house, blob=True)


def test_a_writer_that_slept_through_its_claim_registers_nothing(house, monkeypatch):
    upload = begin(house)
    gate = gate_before(monkeypatch, "blobs.uploads._register")
    with in_background(completion(house, upload)) as sleeping:
        assert gate.reached.wait(60)
        UploadSession.objects.filter(pk=upload.pk).update(busy_until=timezone.now() - timedelta(seconds=1))
        append_chunk(owner=house.owner, session_id=upload.id, content_range=None, body=body(b", and more"))
        gate.open()
        assert isinstance(finish(sleeping), BlobUploadUnknown)
    assert_agreement(house, blob=False)
    longer = Digest.of(CONTENT + b", and more")
    complete_upload(owner=house.owner, session_id=upload.id, digest=longer, content_range=None, body=body())
    assert Blob.objects.get(digest=str(longer)).size == len(CONTENT) + len(b", and more")
    assert_agreement(house, blob=False)


def test_completion_against_the_purge(house):
    for _ in range(ROUNDS):
        forget_blob()
        upload = begin(house)
        expire(upload)
        completed, purged = at_once([completion(house, upload), purge_expired_uploads])
        if purged:
            assert isinstance(completed, BlobUploadUnknown)
        else:
            assert completed is None
        assert_agreement(house, blob=completed is None)


def test_the_purge_leaves_a_session_that_is_written_to(house, monkeypatch):
    upload = begin(house)
    gate = gate_before(monkeypatch, "blobs.uploads._register")
    with in_background(completion(house, upload)) as completing:
        assert gate.reached.wait(60)
        expire(upload)
        assert purge_expired_uploads() == 0
        gate.open()
        assert finish(completing) is None
    assert_agreement(house, blob=True)


def test_two_purges_share_the_work(house):
    uploads = [begin(house) for _ in range(20)]
    for upload in uploads:
        expire(upload)
    counts = at_once([purge_expired_uploads] * 4)
    assert sum(counts) == len(uploads)
    assert StorageDeletion.objects.count() == len(uploads)
    assert_agreement(house, blob=False)


def test_parallel_uploads_of_one_blob_count_once(house):
    uploads = [begin(house) for _ in range(8)]
    roll_up_usage()
    assert at_once([completion(house, upload) for upload in uploads]) == [None] * len(uploads)
    assert StorageDeletion.objects.count() == len(uploads) - 1
    assert [delta.size for delta in UsageDelta.objects.all()] == [len(CONTENT)]
    assert_agreement(house, blob=True)


def test_two_drains_share_the_outbox(house):
    for _ in range(20):
        cancel_upload(owner=house.owner, session_id=begin(house).id)
    assert sum(at_once([drain_storage_deletions] * 4)) == 20
    assert not StorageDeletion.objects.exists()
    assert list(check_integrity()) == []


def forget_blob() -> None:
    """As collection would, so that the next upload makes the blob anew."""
    for blob in Blob.objects.filter(digest=str(DIGEST)):
        RepositoryBlob.objects.filter(blob=blob).delete()
        for account in TeamBlob.objects.filter(blob=blob):
            UsageDelta.objects.create(team_id=account.team_id, size=-blob.size)
            account.delete()
        StorageDeletion.objects.create(storage_key=blob.storage_key, not_before=timezone.now())
        blob.delete()
    drain_storage_deletions()
