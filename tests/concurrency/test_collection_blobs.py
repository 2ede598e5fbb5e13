"""Collecting a blob against whoever begins to use it, in both orders."""

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from blobs.deletions import drain_storage_deletions
from blobs.links import extend_lease, mount_blob
from blobs.models import Blob, BlobReview, RepositoryBlob, StorageDeletion
from oci.digests import Digest
from oci.errors import BlobUnknown, ManifestBlobUnknown
from oci.names import TagName
from registry_gc.collection.blobs import collect_blob
from registry_gc.collection.models import Kind
from registry_gc.collection.reviews import Claim, Verdict, list_reviews
from registry_gc.collection.rounds import work_on
from registry_gc.collection.standings import Rules
from registry_project.reviews import arm_reviews
from repositories.contents import unlink_blob
from repositories.models import ManifestBlob, Tag
from tests.concurrency.conftest import House
from tests.concurrency.meeting import finish, gate_after, gate_before, in_background, wait_until_blocked

LAYER = b"layer"
DIGEST = Digest.of(LAYER)
LATEST = TagName("latest")
HELD = "registry_gc.collection.blobs.hold_review"


@pytest.fixture(autouse=True)
def _patient_without_delays(settings, monkeypatch):
    settings.GC_GRACE = settings.GC_UNTAGGED = settings.TRASH_KEEP = settings.GC_LINGER = timedelta()
    monkeypatch.setattr("registry_gc.collection.reviews.LOCK_SECONDS", 60)


@pytest.fixture
def doomed(house) -> Blob:
    """A blob that nothing protects any more."""
    house.push_blob(LAYER)
    return Blob.objects.get(digest=str(DIGEST))


def claim_of(blob: Blob) -> Claim:
    (claim,) = list_reviews(Kind.BLOB, after_id=blob.pk - 1, limit=1)
    assert claim.target_id == blob.pk
    return claim


def api_first(monkeypatch, where, call, blob):
    """The call waits behind `where`, with the blob in its hand, and collection behind the call."""
    claim, gate = claim_of(blob), gate_after(monkeypatch, where)
    with in_background(call) as calling:
        assert gate.reached.wait(60)
        with in_background(lambda: collect_blob(claim)) as collecting:
            wait_until_blocked()
            gate.open()
            return finish(calling), finish(collecting)


def collection_first(monkeypatch, call, blob):
    """Collection waits with the blob in its hand, and the call behind it."""
    claim, gate = claim_of(blob), gate_after(monkeypatch, HELD)
    with in_background(lambda: collect_blob(claim)) as collecting:
        assert gate.reached.wait(60)
        with in_background(call) as calling:
            wait_until_blocked()
            gate.open()
            return finish(calling), finish(collecting)


def assert_kept(outcome):
    assert outcome.verdict in {Verdict.KEPT, Verdict.OVERTAKEN}, outcome
    assert Blob.objects.filter(digest=str(DIGEST)).exists()


def assert_collected(outcome):
    assert not isinstance(outcome, Exception), outcome
    assert outcome.verdict is Verdict.COLLECTED


def test_a_push_of_the_blob_that_comes_first_keeps_it(house, doomed, monkeypatch, settings):
    settings.GC_GRACE = timedelta(hours=1)
    pushed, outcome = api_first(monkeypatch, "blobs.uploads.store_blob", lambda: house.push_blob(LAYER), doomed)
    assert pushed == DIGEST
    assert_kept(outcome)
    # The bytes that came second are the ones that go.
    assert Blob.objects.get(pk=doomed.pk).storage_key == doomed.storage_key
    assert StorageDeletion.objects.get().storage_key != doomed.storage_key


def test_a_push_of_the_blob_that_comes_second_brings_its_own_bytes(house, doomed, monkeypatch, store):
    pushed, outcome = collection_first(monkeypatch, lambda: house.push_blob(LAYER), doomed)
    assert pushed == DIGEST
    assert_collected(outcome)
    blob = Blob.objects.get(digest=str(DIGEST))
    assert blob.storage_key != doomed.storage_key
    assert BlobReview.objects.filter(pk=blob.pk).exists()
    drain_storage_deletions()
    assert store.size(doomed.storage_key) is None
    assert b"".join(store.open_range(blob.storage_key, 0, len(LAYER))) == LAYER


def test_a_lease_that_is_extended_first_keeps(house, doomed, monkeypatch, settings):
    settings.GC_GRACE = timedelta(hours=1)
    extend = lambda: extend_lease(repository_id=house.id, blob_id=doomed.pk, now=timezone.now())  # noqa: E731
    extended, outcome = api_first(monkeypatch, "blobs.links.fetch_all", extend, doomed)
    assert extended is None
    assert_kept(outcome)
    assert BlobReview.objects.get(pk=doomed.pk).review_after > timezone.now()


def test_a_lease_that_comes_too_late_is_refused(house, doomed, monkeypatch):
    extend = lambda: extend_lease(repository_id=house.id, blob_id=doomed.pk, now=timezone.now())  # noqa: E731
    extended, outcome = collection_first(monkeypatch, extend, doomed)
    assert isinstance(extended, BlobUnknown)
    assert_collected(outcome)


def test_a_manifest_that_comes_first_keeps_its_blobs(house, doomed, monkeypatch):
    put = lambda: house.put_manifest(LATEST, [LAYER])  # noqa: E731
    pushed, outcome = api_first(monkeypatch, "repositories.manifests._hold_references", put, doomed)
    assert isinstance(pushed, Digest)
    assert_kept(outcome)
    assert ManifestBlob.objects.filter(blob=doomed).exists()
    assert RepositoryBlob.objects.filter(blob=doomed, repository=house.id).exists()


def test_a_manifest_that_comes_second_is_told_what_is_missing(house, doomed, monkeypatch):
    put = lambda: house.put_manifest(LATEST, [LAYER])  # noqa: E731
    pushed, outcome = collection_first(monkeypatch, put, doomed)
    assert isinstance(pushed, ManifestBlobUnknown)
    assert pushed.detail == [{"digest": str(DIGEST)}]
    assert_collected(outcome)
    assert not Tag.objects.exists()
    house.push_blob(LAYER)
    assert isinstance(put(), Digest)


@pytest.fixture
def neighbour(house):
    return House("bob/app")


def mount(neighbour, house):
    return lambda: mount_blob(
        repository_id=neighbour.id, digest=DIGEST, source=house.name, find_readable=lambda names: next(iter(names))
    )


def test_a_mount_that_comes_first_keeps_for_the_mounting_repository(house, neighbour, doomed, monkeypatch, settings):
    settings.GC_GRACE = timedelta(hours=1)
    mounted, outcome = api_first(monkeypatch, "blobs.links.link_blob", mount(neighbour, house), doomed)
    assert mounted is True
    assert_kept(outcome)
    assert RepositoryBlob.objects.filter(blob=doomed, repository=neighbour.id).exists()


def test_a_mount_that_comes_second_finds_nothing(house, neighbour, doomed, monkeypatch):
    mounted, outcome = collection_first(monkeypatch, mount(neighbour, house), doomed)
    assert mounted is False
    assert_collected(outcome)
    assert not RepositoryBlob.objects.filter(repository=neighbour.id).exists()


def test_unlinking_against_collection(house, doomed, monkeypatch):
    unlink = lambda: unlink_blob(repository_id=house.id, digest=DIGEST)  # noqa: E731
    unlinked, outcome = collection_first(monkeypatch, unlink, doomed)
    assert isinstance(unlinked, BlobUnknown)
    assert_collected(outcome)


def test_what_happened_since_the_claim_is_left_to_the_next_review(house, doomed, settings):
    """A blob that was used and let go again meanwhile has a date of its own: a client may have been told of it."""
    claim = claim_of(doomed)
    settings.GC_GRACE = timedelta(hours=1)
    unlink_blob(repository_id=house.id, digest=DIGEST)
    assert collect_blob(claim).verdict is Verdict.OVERTAKEN
    assert BlobReview.objects.get(pk=doomed.pk).review_after > timezone.now()


def test_an_event_between_the_look_and_the_settling_keeps_its_review(house, monkeypatch):
    """Found in use, the review is settled; the blob let go in that moment must come up again."""
    house.push_blob(LAYER)
    digest = house.put_manifest(LATEST, [LAYER])
    blob = Blob.objects.get(digest=str(DIGEST))
    claim, gate = claim_of(blob), gate_before(monkeypatch, "registry_gc.collection.blobs.settle")
    with in_background(lambda: collect_blob(claim)) as collecting:
        assert gate.reached.wait(60)
        arm_reviews(BlobReview, [blob.pk], review_after=timezone.now(), reason="dereferenced")
        gate.open()
        assert finish(collecting).verdict is Verdict.KEPT
    assert digest
    assert BlobReview.objects.get(pk=blob.pk).version == claim.version + 1


def test_two_workers_collect_a_blob_once(house, doomed, monkeypatch):
    claim = claim_of(doomed)
    second, first = collection_first(monkeypatch, lambda: collect_blob(claim), doomed)
    assert_collected(first)
    assert second.verdict is Verdict.GONE
    assert StorageDeletion.objects.filter(storage_key=doomed.storage_key).count() == 1


def test_who_holds_a_blob_for_long_is_not_waited_for(house, doomed, monkeypatch):
    monkeypatch.setattr("registry_gc.collection.reviews.LOCK_SECONDS", 0.05)
    claim, gate = claim_of(doomed), gate_after(monkeypatch, "blobs.uploads.store_blob")
    with in_background(lambda: house.push_blob(LAYER)) as pushing:
        assert gate.reached.wait(60)
        tally = work_on(Kind.BLOB, [claim], Rules.configured())
        gate.open()
        finish(pushing)
    assert (tally.postponed, tally.collected) == (1, 0)


def test_a_race_that_was_missed_fails_instead_of_deleting(house, monkeypatch):
    """With the checks broken, the foreign key stops it at COMMIT, and it is tried again later."""
    house.push_blob(LAYER)
    house.put_manifest(LATEST, [LAYER])
    blob = Blob.objects.get(digest=str(DIGEST))
    claim = claim_of(blob)
    monkeypatch.setattr("registry_gc.collection.blobs.is_held", lambda _blob_id: False)
    with pytest.raises(IntegrityError):
        collect_blob(claim)
    assert work_on(Kind.BLOB, [claim], Rules.configured()).postponed == 1
    assert Blob.objects.filter(pk=blob.pk).exists()
    review = BlobReview.objects.get(pk=blob.pk)
    assert (review.attempts, review.version) == (1, claim.version)
    assert review.review_after > timezone.now()
