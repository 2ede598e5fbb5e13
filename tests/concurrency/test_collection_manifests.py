"""Collecting a manifest against whoever begins to refer to it, in both orders."""

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from accounts.rights import ANONYMOUS
from blobs.models import Blob, BlobReview
from oci.digests import Digest
from oci.errors import ManifestBlobUnknown
from oci.names import TagName
from registry_gc.collection.manifests import collect_manifest
from registry_gc.collection.models import Kind
from registry_gc.collection.reviews import Claim, Verdict, claim_reviews, list_reviews
from registry_gc.collection.rounds import run_until_idle, work_on
from registry_gc.collection.standings import Rules
from registry_project.reviews import arm_reviews
from repositories.manifests import delete_manifest, put_manifest
from repositories.models import Manifest, ManifestBlob, ManifestChild, ManifestReview, Tag
from repositories.tags import delete_tag
from tests.concurrency.meeting import at_once, finish, gate_after, gate_before, in_background, wait_until_blocked
from tests.factories import encode, image_manifest, index_manifest

LAYER = b"layer"
LATEST = TagName("latest")
HELD = "registry_gc.collection.manifests.hold_review"
LOOKED = "registry_gc.collection.manifests._read"


@pytest.fixture(autouse=True)
def _patient_without_delays(settings, monkeypatch):
    settings.GC_GRACE = settings.GC_UNTAGGED = settings.TRASH_KEEP = settings.GC_LINGER = timedelta()
    monkeypatch.setattr("registry_gc.collection.reviews.LOCK_SECONDS", 60)


@pytest.fixture
def doomed(house) -> Manifest:
    """An untagged manifest that nothing keeps."""
    house.push_blob(LAYER)
    return Manifest.objects.get(digest=str(house.put_manifest(None, [LAYER])))


def claim_of(manifest: Manifest) -> Claim:
    (claim,) = list_reviews(Kind.MANIFEST, after_id=manifest.pk - 1, limit=1)
    assert claim.target_id == manifest.pk
    return claim


def collect(claim: Claim):
    return collect_manifest(claim, Rules.configured())


def api_first(monkeypatch, where, call, manifest):
    """The call waits behind `where`, with the manifest in its hand, and collection behind the call."""
    claim, gate = claim_of(manifest), gate_after(monkeypatch, where)
    with in_background(call) as calling:
        assert gate.reached.wait(60)
        with in_background(lambda: collect(claim)) as collecting:
            wait_until_blocked()
            gate.open()
            return finish(calling), finish(collecting)


def collection_first(monkeypatch, call, manifest):
    """Collection waits with the manifest in its hand, and the call behind it."""
    claim, gate = claim_of(manifest), gate_after(monkeypatch, HELD)
    with in_background(lambda: collect(claim)) as collecting:
        assert gate.reached.wait(60)
        with in_background(call) as calling:
            wait_until_blocked()
            gate.open()
            return finish(calling), finish(collecting)


def assert_kept(outcome, manifest):
    assert not isinstance(outcome, Exception), outcome
    assert outcome.verdict in {Verdict.KEPT, Verdict.OVERTAKEN}
    assert Manifest.objects.filter(pk=manifest.pk).exists()
    assert ManifestBlob.objects.filter(manifest=manifest.pk).count() == 2


def assert_collected(outcome, manifest):
    assert not isinstance(outcome, Exception), outcome
    assert outcome.verdict is Verdict.COLLECTED
    assert not Manifest.objects.filter(pk=manifest.pk).exists()


def assert_whole(digest: Digest):
    """A manifest that was acknowledged has what it names, whatever collection does from now on."""
    run_until_idle(rules=Rules.configured())
    manifest = Manifest.objects.get(digest=str(digest))
    blobs = ManifestBlob.objects.filter(manifest=manifest).values_list("blob__digest", flat=True)
    assert sorted(blobs) == sorted(map(str, (Digest.of(b"{}"), Digest.of(LAYER))))


def test_a_tag_that_comes_first_keeps(house, doomed, monkeypatch):
    tag = lambda: house.put_manifest(LATEST, [LAYER])  # noqa: E731
    pushed, outcome = api_first(monkeypatch, "repositories.manifests.point_tags", tag, doomed)
    assert_kept(outcome, doomed)
    assert Tag.objects.get().manifest_id == doomed.pk
    assert_whole(pushed)


def test_a_tag_that_comes_second_brings_its_manifest_along(house, doomed, monkeypatch):
    tag = lambda: house.put_manifest(LATEST, [LAYER])  # noqa: E731
    pushed, outcome = collection_first(monkeypatch, tag, doomed)
    assert_collected(outcome, doomed)
    assert Tag.objects.get().manifest.digest == str(pushed)
    assert_whole(pushed)


def test_a_push_without_a_tag_that_comes_first_is_young_again(house, doomed, monkeypatch, settings):
    settings.GC_UNTAGGED = timedelta(hours=1)
    Manifest.objects.update(pushed_at=timezone.now() - timedelta(days=1))
    again = lambda: house.put_manifest(None, [LAYER])  # noqa: E731
    _, outcome = api_first(monkeypatch, "repositories.manifests._upsert", again, doomed)
    assert_kept(outcome, doomed)
    assert ManifestReview.objects.get(pk=doomed.pk).review_after > timezone.now()


def test_a_manifest_deleted_by_digest_is_brought_back_by_a_push_that_comes_first(house, monkeypatch):
    house.push_blob(LAYER)
    digest = house.put_manifest(LATEST, [LAYER])
    delete_manifest(repository_id=house.id, digest=digest, principal=ANONYMOUS)
    hidden = Manifest.objects.get()
    tag = lambda: house.put_manifest(LATEST, [LAYER])  # noqa: E731
    pushed, outcome = api_first(monkeypatch, "repositories.manifests.point_tags", tag, hidden)
    assert_kept(outcome, hidden)
    assert_whole(pushed)


def index_of(house, manifest, tag="index"):
    payload = encode(index_manifest([{"mediaType": manifest.media_type, "digest": manifest.digest, "size": 1}]))
    return lambda: (
        put_manifest(
            repository_id=house.id, principal=ANONYMOUS, reference=TagName(tag), payload=payload, content_type=""
        ).digest
    )


def test_an_index_that_comes_first_keeps_its_child(house, doomed, monkeypatch):
    pushed, outcome = api_first(monkeypatch, "repositories.manifests._hold_references", index_of(house, doomed), doomed)
    assert isinstance(pushed, Digest), pushed
    assert_kept(outcome, doomed)
    assert ManifestChild.objects.get().child_id == doomed.pk


def test_an_index_that_comes_second_is_told_that_its_child_is_missing(house, doomed, monkeypatch):
    pushed, outcome = collection_first(monkeypatch, index_of(house, doomed), doomed)
    assert isinstance(pushed, ManifestBlobUnknown)
    assert pushed.detail == [{"digest": doomed.digest}]
    assert_collected(outcome, doomed)
    assert not Tag.objects.exists()


def test_untagging_that_comes_first_leaves_a_review(house, monkeypatch, settings):
    """Collection has seen the manifest without a tag; a push and a deletion of one come between that and its lock."""
    settings.TRASH_KEEP = timedelta(hours=1)
    house.push_blob(LAYER)
    doomed = Manifest.objects.get(digest=str(house.put_manifest(None, [LAYER])))
    claim, gate = claim_of(doomed), gate_after(monkeypatch, LOOKED)
    with in_background(lambda: collect(claim)) as collecting:
        assert gate.reached.wait(60)
        house.put_manifest(LATEST, [LAYER])
        delete_tag(repository_id=house.id, name=LATEST, principal=ANONYMOUS)
        gate.open()
        assert finish(collecting).verdict is Verdict.OVERTAKEN
    assert ManifestReview.objects.get(pk=doomed.pk).review_after > timezone.now()


def test_untagging_between_the_look_and_the_settling_leaves_a_review(house, monkeypatch):
    house.push_blob(LAYER)
    digest = house.put_manifest(LATEST, [LAYER])
    manifest = Manifest.objects.get()
    arm_reviews(ManifestReview, [manifest.pk], review_after=timezone.now(), reason="test")
    claim, gate = claim_of(manifest), gate_before(monkeypatch, "registry_gc.collection.manifests.settle")
    with in_background(lambda: collect(claim)) as collecting:
        assert gate.reached.wait(60)
        # It is in use, so collection holds no lock that the deletion would wait for.
        delete_tag(repository_id=house.id, name=LATEST, principal=ANONYMOUS)
        gate.open()
        assert finish(collecting).verdict is Verdict.KEPT
    assert ManifestReview.objects.get(pk=manifest.pk).version == claim.version + 1
    run_until_idle(rules=Rules.configured())
    assert not Manifest.objects.filter(digest=str(digest)).exists()
    assert not Blob.objects.exists()


def test_settling_that_comes_first_does_not_lose_what_happens_next(house, monkeypatch):
    house.push_blob(LAYER)
    house.put_manifest(LATEST, [LAYER])
    manifest = Manifest.objects.get()
    arm_reviews(ManifestReview, [manifest.pk], review_after=timezone.now(), reason="test")
    claim, gate = claim_of(manifest), gate_after(monkeypatch, "registry_gc.collection.manifests.settle")
    delete = lambda: delete_tag(repository_id=house.id, name=LATEST, principal=ANONYMOUS)  # noqa: E731
    with in_background(lambda: collect(claim)) as collecting:
        assert gate.reached.wait(60)
        with in_background(delete) as deleting:
            wait_until_blocked()
            gate.open()
            assert finish(collecting).verdict is Verdict.KEPT
            assert finish(deleting) is None
    assert ManifestReview.objects.filter(pk=manifest.pk).exists()


def test_a_tag_on_a_ring_that_comes_while_it_is_looked_at_keeps_all_of_it(house, doomed, monkeypatch):
    """Collection holds all members before it looks again."""
    referrer = index_manifest(
        [{"mediaType": doomed.media_type, "digest": doomed.digest, "size": 1}],
        subject={"mediaType": doomed.media_type, "digest": doomed.digest, "size": 1},
    )
    put = lambda reference: put_manifest(  # noqa: E731
        repository_id=house.id,
        principal=ANONYMOUS,
        reference=reference,
        payload=encode(referrer),
        content_type="",
    )
    put(Digest.of(encode(referrer)))
    claim, gate = claim_of(doomed), gate_before(monkeypatch, "registry_gc.collection.manifests._collect_ring")
    with in_background(lambda: collect(claim)) as collecting:
        assert gate.reached.wait(60)
        put(LATEST)
        gate.open()
        assert finish(collecting).verdict is Verdict.KEPT
    assert Manifest.objects.count() == 2
    run_until_idle(rules=Rules.configured())
    assert Manifest.objects.count() == 2


def test_collecting_arms_what_was_kept_in_the_same_transaction(house, doomed, monkeypatch):
    """Who dies before COMMIT has done nothing; who dies behind it has left nothing to be found by chance."""
    BlobReview.objects.all().delete()
    claim = claim_of(doomed)

    def die(*_args, **_more):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("registry_gc.collection.manifests.settle", die)
        assert work_on(Kind.MANIFEST, [claim], Rules.configured()).postponed == 1
    assert Manifest.objects.filter(pk=doomed.pk).exists()
    assert not BlobReview.objects.exists()
    assert_collected(collect(claim_of(doomed)), doomed)
    assert BlobReview.objects.count() == 2


def test_workers_do_not_claim_the_same_reviews(house):
    for number in range(6):
        house.put_manifest(None, annotations={"number": str(number)})
    claims = at_once([lambda: claim_reviews(Kind.MANIFEST, limit=2)] * 4)
    claimed = [claim.target_id for batch in claims for claim in batch]
    assert sorted(claimed) == sorted(Manifest.objects.values_list("pk", flat=True))
    # The claim counts no version up, and nobody else finds them due.
    assert claim_reviews(Kind.MANIFEST, limit=10) == []
    assert {review.version for review in ManifestReview.objects.all()} == {1}


def test_many_workers_collect_everything_that_is_garbage_and_nothing_else(house):
    for number in range(24):
        house.push_blob(b"%d" % number)
        house.put_manifest(None if number % 2 else TagName(f"v{number}"), [b"%d" % number, b"0"])
    outcomes = at_once([lambda: run_until_idle(rules=Rules.configured())] * 4)
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    # Those who lost against each other try again later.
    ManifestReview.objects.update(review_after=timezone.now())
    BlobReview.objects.update(review_after=timezone.now())
    run_until_idle(rules=Rules.configured())
    assert (Manifest.objects.count(), Tag.objects.count()) == (12, 12)
    assert set(Blob.objects.values_list("digest", flat=True)) == {
        str(Digest.of(content)) for content in (b"{}", *(b"%d" % number for number in range(0, 24, 2)))
    }


def test_a_race_that_was_missed_fails_instead_of_deleting(house, monkeypatch):
    """With the checks broken, the foreign key of the tag stops it at COMMIT, and it is tried again later."""
    house.push_blob(LAYER)
    house.put_manifest(LATEST, [LAYER])
    manifest = Manifest.objects.get()
    arm_reviews(ManifestReview, [manifest.pk], review_after=timezone.now(), reason="test")
    claim = claim_of(manifest)
    monkeypatch.setattr("registry_gc.collection.manifests._settle_kept", lambda *_args: None)
    with pytest.raises(IntegrityError):
        collect(claim)
    assert work_on(Kind.MANIFEST, [claim], Rules.configured()).postponed == 1
    assert Tag.objects.get().manifest_id == manifest.pk
    assert ManifestBlob.objects.count() == 2
    assert encode(image_manifest(b"{}", [LAYER])) == bytes(Manifest.objects.get().payload)
