"""What the operations write down for collection, restoring and the storage accounts."""

import random
from collections import defaultdict
from datetime import timedelta

import pytest
from django.db.models import Sum
from django.utils import timezone

from blobs.api import views
from blobs.models import Blob, BlobReview, RepositoryBlob, StorageDeletion, TeamBlob, UploadSession, UsageDelta
from oci import media_types
from registry_project.reviews import arm_reviews
from repositories.models import Manifest, ManifestReview, Tag, TagHistory
from tests.factories import NAME, digest_of, image_manifest, index_manifest

pytestmark = pytest.mark.django_db
GRACE, UNTAGGED, KEEP = timedelta(hours=24), timedelta(days=7), timedelta(days=3)
NEAR = timedelta(minutes=5)
# By how much a review may come later, and never earlier, than it might.
JITTER = timedelta(hours=1)


@pytest.fixture(autouse=True)
def durations(settings):
    settings.GC_GRACE, settings.GC_UNTAGGED, settings.TRASH_KEEP = GRACE, UNTAGGED, KEEP


def assert_due(review, wait):
    assert -NEAR < review.review_after - (timezone.now() + wait) <= JITTER


def blob_review(content):
    return BlobReview.objects.get(blob_id=Blob.objects.get(digest=digest_of(content)).pk)


def manifest_review(image):
    return ManifestReview.objects.filter(manifest_id=Manifest.objects.get(digest=image.digest).pk).first()


def test_pushed_blob_is_reviewed_after_the_grace(registry):
    registry.push_blob(b"x")
    review = blob_review(b"x")
    assert (review.reason, review.version, review.attempts) == ("pushed", 1, 0)
    assert_due(review, GRACE)
    link = RepositoryBlob.objects.get()
    assert abs(link.leased_until - timezone.now() - GRACE) < NEAR
    assert link.leased_until <= review.review_after <= link.leased_until + JITTER


def test_second_push_and_mount_count_the_review_up_and_renew_the_lease(registry):
    registry.push_blob(b"x")
    RepositoryBlob.objects.update(leased_until=timezone.now())
    BlobReview.objects.update(attempts=4)
    registry.push_blob(b"x")
    assert (blob_review(b"x").version, blob_review(b"x").attempts) == (2, 0)
    assert RepositoryBlob.objects.get().leased_until > timezone.now() + GRACE / 2
    registry.post(f"/v2/bob/other/blobs/uploads/?mount={digest_of(b'x')}&from={NAME}")
    review = blob_review(b"x")
    assert (review.version, review.reason) == (3, "mounted")
    assert RepositoryBlob.objects.filter(leased_until__gt=timezone.now() + GRACE / 2).count() == 2


def test_review_is_postponed_and_never_hastened():
    now = timezone.now()
    for days, expected in [(5, 5), (1, 5), (9, 9), (-3, 9)]:
        arm_reviews(BlobReview, [7, 3, 7], review_after=now + timedelta(days=days), reason=f"{days}")
        for review in BlobReview.objects.all():
            assert timedelta() <= review.review_after - (now + timedelta(days=expected)) <= JITTER
            assert review.reason == f"{days}"
    assert list(BlobReview.objects.order_by("blob_id").values_list("blob_id", "version")) == [(3, 4), (7, 4)]
    arm_reviews(BlobReview, [], review_after=now, reason="nothing")
    assert BlobReview.objects.count() == 2


@pytest.mark.parametrize(
    ("delay", "most"),
    [
        (timedelta(days=7), JITTER),
        (timedelta(minutes=10), timedelta(minutes=1)),
        (timedelta(), timedelta()),
        (-timedelta(days=1), timedelta()),
    ],
    ids=str,
)
def test_what_is_armed_at_once_does_not_come_due_at_once(delay, most):
    due_at = timezone.now() + delay
    arm_reviews(BlobReview, range(1, 101), review_after=due_at, reason="bulk")
    later = sorted(review.review_after - due_at for review in BlobReview.objects.all())
    assert timedelta() <= later[0] <= later[-1] <= most
    assert later[-1] - later[0] >= most / 2
    assert len(set(later)) == (100 if most else 1)


def test_unlinked_blob_is_reviewed(registry):
    registry.push_blob(b"x")
    BlobReview.objects.all().delete()
    registry.delete(f"/v2/{NAME}/blobs/{digest_of(b'x')}")
    assert blob_review(b"x").reason == "unlinked"
    assert_due(blob_review(b"x"), GRACE)


def set_lease(wait):
    RepositoryBlob.objects.update(leased_until=timezone.now() + wait)
    BlobReview.objects.all().delete()
    return RepositoryBlob.objects.get(blob__digest=digest_of(b"layer")).leased_until


@pytest.mark.parametrize(
    ("wait", "extended"),
    [
        (-timedelta(days=9), True),
        (timedelta(0), True),
        (GRACE / 2 - NEAR, True),
        (GRACE / 2 + NEAR, False),
        (GRACE, False),
    ],
)
def test_head_extends_a_lease_that_is_half_gone(registry, wait, extended):
    registry.push_blob(b"layer")
    before = set_lease(wait)
    assert registry.head(f"/v2/{NAME}/blobs/{digest_of(b'layer')}").status == 200
    after = RepositoryBlob.objects.get().leased_until
    assert (after > before) is extended
    if extended:
        assert abs(after - timezone.now() - GRACE) < NEAR
        assert after <= blob_review(b"layer").review_after <= after + JITTER
        assert blob_review(b"layer").reason == "lease-extended"
    else:
        assert after == before
        assert not BlobReview.objects.exists()


def test_get_extends_nothing(registry):
    registry.push_blob(b"layer")
    before = set_lease(timedelta(0))
    registry.get(f"/v2/{NAME}/blobs/{digest_of(b'layer')}")
    assert RepositoryBlob.objects.get().leased_until == before


def test_head_of_a_blob_that_a_manifest_holds_writes_nothing(registry):
    registry.push_image()
    before = set_lease(-timedelta(days=9))
    registry.head(f"/v2/{NAME}/blobs/{digest_of(b'layer')}")
    assert RepositoryBlob.objects.get(blob__digest=digest_of(b"layer")).leased_until == before
    assert not BlobReview.objects.exists()


def test_manifest_of_another_repository_holds_nothing_here(registry):
    registry.push_image(None, "bob/other")
    registry.push_blob(b"layer")
    RepositoryBlob.objects.update(leased_until=timezone.now())
    registry.head(f"/v2/{NAME}/blobs/{digest_of(b'layer')}")
    assert RepositoryBlob.objects.get(repository__name=NAME, blob__digest=digest_of(b"layer")).leased_until > (
        timezone.now() + GRACE / 2
    )


def test_head_of_a_blob_that_collection_has_just_taken_is_404(registry, monkeypatch):
    registry.push_blob(b"layer")
    set_lease(timedelta(0))

    def take(**_):
        RepositoryBlob.objects.all().delete()
        extend(**_)

    extend = views.extend_lease
    monkeypatch.setattr(views, "extend_lease", take)
    assert registry.head(f"/v2/{NAME}/blobs/{digest_of(b'layer')}").status == 404


def test_untagged_manifest_is_reviewed(registry):
    image = registry.push_image(None)
    assert (manifest_review(image).reason, manifest_review(image).version) == ("pushed-untagged", 1)
    assert_due(manifest_review(image), UNTAGGED)


def test_tagged_manifest_is_not_reviewed(registry):
    assert manifest_review(registry.push_image("latest")) is None


def test_untagged_manifests_may_be_kept_for_ever(registry, settings):
    settings.GC_UNTAGGED = None
    assert manifest_review(registry.push_image(None)) is None


def test_moved_tag_has_its_old_manifest_reviewed(registry):
    old = registry.push_image("latest", layers=[b"old"])
    new = registry.push_image("latest", layers=[b"new"])
    assert manifest_review(old).reason == "tag-moved"
    assert_due(manifest_review(old), KEEP)
    assert manifest_review(new) is None


@pytest.mark.parametrize(("reference", "reason"), [("latest", "untagged"), (None, "deleted")])
def test_deleted_tag_or_manifest_is_reviewed(registry, reference, reason):
    image = registry.push_image("latest")
    registry.delete(f"/v2/{NAME}/manifests/{reference or image.digest}")
    assert manifest_review(image).reason == reason
    assert_due(manifest_review(image), KEEP)


def history():
    return list(TagHistory.objects.order_by("ended_at", "name").values_list("name", "manifest__digest", "reason"))


def test_history_of_moves_and_ends(registry):
    first = registry.push_image("a", layers=[b"1"])
    second = registry.push_image("a", layers=[b"2"])
    registry.push_image("a", layers=[b"2"])
    assert history() == [("a", first.digest, "moved")]
    registry.push_image("b", layers=[b"2"])
    registry.delete(f"/v2/{NAME}/manifests/a")
    assert history() == [("a", first.digest, "moved"), ("a", second.digest, "deleted")]
    registry.push_image("c", layers=[b"2"])
    registry.delete(f"/v2/{NAME}/manifests/{second.digest}")
    assert history()[2:] == [("b", second.digest, "manifest-deleted"), ("c", second.digest, "manifest-deleted")]


def test_history_tells_from_when_until_when_and_until_when_it_can_be_undone(registry):
    before = timezone.now()
    registry.push_image("a", layers=[b"1"])
    between = timezone.now()
    registry.push_image("a", layers=[b"2"])
    entry = TagHistory.objects.get()
    assert before < entry.started_at < between < entry.ended_at < timezone.now()
    assert entry.restorable_until == entry.ended_at + KEEP
    assert (entry.started_by, entry.ended_by, entry.repository.name) == ("", "", NAME)


def test_history_begins_when_the_tag_first_pointed_there(registry):
    registry.push_image("a", layers=[b"1"])
    between = timezone.now()
    registry.push_image("a", layers=[b"1"])
    registry.push_image("a", layers=[b"2"])
    assert TagHistory.objects.get().started_at < between


def test_clock_that_runs_back_leaves_history_in_order(registry):
    registry.push_image("a")
    later = timezone.now() + timedelta(hours=1)
    TagHistory.objects.all().delete()
    Tag.objects.update(pointed_at=later)
    registry.delete(f"/v2/{NAME}/manifests/a")
    entry = TagHistory.objects.get()
    assert entry.started_at == entry.ended_at == later


def test_finished_session_remembers_its_outcome_for_a_while(registry):
    registry.push_blob(b"x")
    session = UploadSession.objects.get()
    assert (session.storage_key, session.completed_digest) == (None, digest_of(b"x"))
    assert (session.writer_token, session.busy_until) == (None, None)
    assert timezone.now() < session.expires_at < timezone.now() + timedelta(hours=2)


def test_open_session_expires_after_its_last_chunk(registry, settings):
    settings.UPLOAD_LIFETIME = timedelta(days=1)
    location = registry.start_upload()
    UploadSession.objects.update(expires_at=timezone.now())
    registry.patch(location, b"x")
    assert UploadSession.objects.get().expires_at > timezone.now() + timedelta(hours=23)


def test_discarded_bytes_may_go_at_once(registry):
    registry.push_blob(b"x")
    registry.push_blob(b"x")
    deletion = StorageDeletion.objects.get()
    assert (deletion.size, deletion.attempts, deletion.last_error) == (1, 0, "")
    assert deletion.not_before <= timezone.now()


def assert_usage_equals_a_recount():
    held = defaultdict(dict)
    for link in RepositoryBlob.objects.select_related("repository__team", "blob"):
        held[link.repository.team.slug][link.blob.digest] = link.blob.size
    counted = {
        row["team__slug"]: row["total"] for row in UsageDelta.objects.values("team__slug").annotate(total=Sum("size"))
    }
    assert counted == {slug: sum(blobs.values()) for slug, blobs in held.items()}
    rows = {(row.team.slug, row.blob.digest) for row in TeamBlob.objects.select_related("team", "blob")}
    assert rows == {(slug, digest) for slug, blobs in held.items() for digest in blobs}


@pytest.mark.parametrize("seed", range(4))
def test_usage_of_every_team_equals_a_recount(registry, seed):
    choice = random.Random(seed)
    contents = [bytes([65 + number]) * (number * 7 + 1) for number in range(6)]
    names = ["alice/app", "alice/web", "bob/app", "one", "two"]
    for _ in range(40):
        name, content = choice.choice(names), choice.choice(contents)
        match choice.choice(["push", "session", "mount", "mount-any", "image"]):
            case "push":
                registry.push_blob(content, name)
            case "session":
                location = registry.start_upload(name)
                registry.patch(location, content)
                registry.put(f"{location}?digest={digest_of(content)}")
            case "mount":
                source = choice.choice(names)
                registry.post(f"/v2/{name}/blobs/uploads/?mount={digest_of(content)}&from={source}")
            case "mount-any":
                registry.post(f"/v2/{name}/blobs/uploads/?mount={digest_of(content)}")
            case "image":
                registry.push_image("latest", name, config=content, layers=choice.sample(contents, 2))
    assert UsageDelta.objects.count() == TeamBlob.objects.count()
    assert_usage_equals_a_recount()


def test_blob_that_leaves_one_repository_stays_on_the_teams_account(registry):
    """Only the review of the blob takes it off, under the blob's lock."""
    registry.push_blob(b"x")
    registry.delete(f"/v2/{NAME}/blobs/{digest_of(b'x')}")
    assert TeamBlob.objects.count() == UsageDelta.objects.count() == 1


def test_refused_manifest_writes_nothing(registry):
    registry.push_image("latest")
    BlobReview.objects.all().delete()
    answer = registry.put_manifest(image_manifest(layers=[b"missing"]), "latest")
    assert answer.status == 404
    assert (Manifest.objects.count(), TagHistory.objects.count()) == (1, 0)
    assert not ManifestReview.objects.exists()


def test_index_without_tag_and_its_child_are_reviewed_each(registry):
    image = registry.push_image(None)
    index = registry.push_manifest(index_manifest([image.descriptor(media_types.OCI_MANIFEST)]))
    assert manifest_review(index).reason == manifest_review(image).reason == "pushed-untagged"
