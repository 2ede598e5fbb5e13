"""What stays and what goes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.rights import Principal
from blobs.models import Blob, BlobReview, RepositoryBlob, StorageDeletion, TeamBlob
from blobs.usage import usage_of
from oci.digests import Digest
from oci.names import TagName
from repositories.history import restore_tag
from repositories.models import Manifest, ManifestChild, ManifestReview, Repository, TagHistory
from tests.collection.conftest import assert_pulls
from tests.factories import NAME, descriptor, digest_of, encode, image_manifest, index_manifest

ONE, TWO = [b"one", b"base"], [b"two", b"base"]
OTHER = "alice/other"
FOREIGN = "bob/app"


def gone(registry, digest, name=NAME):
    return registry.get(f"/v2/{name}/manifests/{digest}").status == 404


def test_a_tagged_image_stays(registry, collector):
    image = registry.push_image("latest", layers=ONE)
    collector.run()
    assert_pulls(registry, image, ONE)
    collector.assert_no_reviews()


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_deleted_image_goes_with_its_bytes_and_what_is_shared_stays(registry, collector, by):
    image, kept = registry.push_image("old", layers=ONE), registry.push_image("new", layers=TWO)
    registry.delete(f"/v2/{NAME}/manifests/{'old' if by == 'tag' else image.digest}")
    collector.run()
    assert gone(registry, image.digest)
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(b'one')}").status == 404
    assert_pulls(registry, kept, TWO)
    registry.delete(f"/v2/{NAME}/manifests/new")
    collector.run()
    collector.assert_empty()


def test_a_moved_tag_leaves_its_old_image_to_collection(registry, collector):
    old, new = registry.push_image("latest", layers=ONE), registry.push_image("latest", layers=TWO)
    collector.run()
    assert gone(registry, old.digest)
    assert_pulls(registry, new, TWO)


def test_a_second_tag_keeps(registry, collector):
    image = registry.push_image("one", layers=ONE)
    registry.put_manifest(image.payload, "two")
    registry.delete(f"/v2/{NAME}/manifests/one")
    collector.run()
    assert_pulls(registry, image, ONE)


def test_a_blob_that_no_manifest_came_for_goes(registry, collector):
    registry.push_blob(b"alone")
    collector.run()
    collector.assert_empty()


def test_a_blob_under_a_lease_stays_until_the_lease_ends(registry, collector, settings):
    settings.GC_GRACE = timedelta(hours=1)
    digest = registry.push_blob(b"alone")
    collector.run(undated=["blob"])
    assert registry.get(f"/v2/{NAME}/blobs/{digest}").status == 200
    RepositoryBlob.objects.update(leased_until=timezone.now())
    collector.run(undated=["blob"])
    collector.assert_empty()
    assert registry.get(f"/v2/{NAME}/blobs/{digest}").status == 404


def test_a_mounted_blob_is_under_a_lease_as_a_pushed_one(registry, collector, settings):
    settings.GC_GRACE = timedelta(hours=1)
    digest = registry.push_blob(b"alone")
    assert registry.post(f"/v2/{FOREIGN}/blobs/uploads/?mount={digest}&from={NAME}").status == 201
    RepositoryBlob.objects.filter(repository__name=NAME).update(leased_until=timezone.now())
    collector.run(undated=["blob"])
    assert registry.get(f"/v2/{NAME}/blobs/{digest}").status == 404
    assert registry.get(f"/v2/{FOREIGN}/blobs/{digest}").status == 200


def test_a_lease_that_was_extended_arms_the_review_at_its_end(registry, collector, settings):
    """Seen before its date, a blob under a lease is looked at again when the lease ends."""
    registry.push_blob(b"alone")
    end = timezone.now() + timedelta(hours=1)
    RepositoryBlob.objects.update(leased_until=end)
    assert (collector.blobs().kept, BlobReview.objects.get().review_after) == (1, end)


def test_history_that_can_be_restored_keeps(registry, collector, settings):
    settings.TRASH_KEEP = timedelta(hours=1)
    image = registry.push_image("latest", layers=ONE)
    registry.delete(f"/v2/{NAME}/manifests/latest")
    collector.run(undated=["manifest", "blob"])
    assert_pulls(registry, image, ONE)
    # Looked at before its time, it comes up again when its time is over.
    assert ManifestReview.objects.get().review_after == TagHistory.objects.get().restorable_until
    TagHistory.objects.update(restorable_until=timezone.now())
    collector.run(undated=["manifest", "blob"])
    collector.assert_empty()
    assert not TagHistory.objects.exists()


def test_a_manifest_deleted_by_digest_keeps_its_bytes_while_it_can_be_restored(registry, collector, settings):
    settings.TRASH_KEEP = timedelta(hours=1)
    image = registry.push_image(None, layers=ONE)
    registry.delete(f"/v2/{NAME}/manifests/{image.digest}")
    collector.run(undated=["manifest", "blob"])
    assert gone(registry, image.digest)
    assert Blob.objects.count() == 3
    registry.put_manifest(image.payload, "again")
    assert_pulls(registry, image, ONE)


def test_untagged_manifests_live_for_a_while(registry, collector, settings):
    settings.GC_UNTAGGED = timedelta(hours=1)
    image = registry.push_image(None, layers=ONE)
    collector.run(undated=["manifest"])
    assert_pulls(registry, image, ONE)
    assert ManifestReview.objects.get().review_after == Manifest.objects.get().pushed_at + settings.GC_UNTAGGED
    settings.GC_UNTAGGED = timedelta()
    collector.run(undated=["manifest"])
    collector.assert_empty()


def test_an_image_is_untagged_since_its_last_tag_went(registry, collector, settings):
    settings.GC_UNTAGGED = timedelta(hours=1)
    image = registry.push_image("latest", layers=ONE)
    Manifest.objects.update(pushed_at=timezone.now() - timedelta(days=1))
    registry.delete(f"/v2/{NAME}/manifests/latest")
    collector.run()
    assert_pulls(registry, image, ONE)
    waits = ManifestReview.objects.get().review_after - TagHistory.objects.get().ended_at
    assert timedelta(hours=1) <= waits <= timedelta(hours=1.1)


def test_never_keeps_what_is_untagged_and_not_what_was_deleted(registry, collector, settings):
    settings.GC_UNTAGGED = None
    image, other = registry.push_image("latest", layers=ONE), registry.push_image(None, layers=TWO)
    registry.delete(f"/v2/{NAME}/manifests/latest")
    collector.run()
    assert_pulls(registry, image, ONE)
    assert_pulls(registry, other, TWO)
    collector.assert_no_reviews()
    for digest in (image.digest, other.digest):
        registry.delete(f"/v2/{NAME}/manifests/{digest}")
    collector.run()
    collector.assert_empty()


def test_an_index_keeps_its_children_and_theirs(registry, collector):
    image = registry.push_image(None, layers=ONE)
    inner = registry.push_manifest(index_manifest([image.descriptor()]))
    outer = registry.push_manifest(
        index_manifest([inner.descriptor("application/vnd.oci.image.index.v1+json")]), "latest"
    )
    collector.run()
    assert_pulls(registry, image, ONE)
    assert not gone(registry, inner.digest)
    registry.delete(f"/v2/{NAME}/manifests/{outer.digest}")
    collector.run()
    collector.assert_empty()


def test_a_child_of_two_indexes_goes_with_the_second(registry, collector):
    image = registry.push_image(None, layers=ONE)
    for tag in ("a", "b"):
        registry.push_manifest(index_manifest([image.descriptor()], annotations={"tag": tag}), tag)
    registry.delete(f"/v2/{NAME}/manifests/a")
    collector.run()
    assert_pulls(registry, image, ONE)
    registry.delete(f"/v2/{NAME}/manifests/b")
    collector.run()
    collector.assert_empty()


def test_children_of_a_build_cache_are_blobs_and_live_as_long(registry, collector):
    config = b"cache config"
    for content in (*ONE, config):
        registry.push_blob(content)
    entries = [descriptor(content) for content in ONE]
    entries.append(descriptor(config, "application/vnd.buildkit.cacheconfig.v0"))
    cache = registry.push_manifest(index_manifest(entries), "cache")
    collector.run()
    for content in (*ONE, config):
        assert registry.get(f"/v2/{NAME}/blobs/{digest_of(content)}").body == content
    registry.delete(f"/v2/{NAME}/manifests/{cache.digest}")
    collector.run()
    collector.assert_empty()


def test_a_sparse_index_keeps_what_it_has_and_waits_for_the_rest(registry, collector, settings):
    settings.INDEX_PLATFORMS = frozenset()
    image, late = registry.push_image(None, layers=ONE), image_manifest(b"{}", TWO)
    registry.push_manifest(index_manifest([image.descriptor(), descriptor_of(late)]), "latest")
    collector.run()
    assert_pulls(registry, image, ONE)
    came = registry.push_image(None, layers=TWO)
    collector.run()
    assert_pulls(registry, came, TWO)


def descriptor_of(document):
    return descriptor(encode(document), document["mediaType"])


def test_a_child_that_was_deleted_by_its_digest_goes_and_its_index_waits_for_it(registry, collector, settings):
    settings.INDEX_PLATFORMS = frozenset()
    image = registry.push_image(None, layers=ONE)
    index = registry.push_manifest(index_manifest([image.descriptor()]), "latest")
    registry.delete(f"/v2/{NAME}/manifests/{image.digest}")
    collector.run()
    assert not Manifest.objects.filter(digest=image.digest).exists()
    assert not gone(registry, index.digest)
    assert ManifestChild.objects.get().child is None
    again = registry.push_image(None, layers=ONE)
    collector.run()
    assert_pulls(registry, again, ONE)


def subject(image):
    return image.descriptor()


def test_a_referrer_lives_as_long_as_its_subject(registry, collector):
    image = registry.push_image("latest", layers=ONE)
    signature = registry.push_image(None, layers=TWO, subject=subject(image))
    of_signature = registry.push_image(None, layers=[b"three"], subject=subject(signature))
    collector.run()
    for referrer, layers in ((signature, TWO), (of_signature, [b"three"])):
        assert_pulls(registry, referrer, layers)
    registry.delete(f"/v2/{NAME}/manifests/latest")
    collector.run()
    collector.assert_empty()


def test_a_referrer_whose_subject_went_is_garbage_although_untagged_manifests_stay(registry, collector, settings):
    settings.GC_UNTAGGED = None
    image = registry.push_image("latest", layers=ONE)
    signature = registry.push_image(None, layers=TWO, subject=subject(image))
    registry.delete(f"/v2/{NAME}/manifests/{image.digest}")
    collector.manifests()
    # Pushed again before its review, it is only untagged.
    registry.put_manifest(signature.payload)
    collector.run()
    assert_pulls(registry, signature, TWO)
    image = registry.push_image("latest", layers=ONE)
    registry.delete(f"/v2/{NAME}/manifests/{image.digest}")
    collector.run()
    collector.assert_empty()


def test_a_referrer_whose_subject_never_came_is_an_untagged_manifest(registry, collector, settings):
    settings.GC_UNTAGGED = timedelta(hours=1)
    absent = descriptor(b"never pushed", "application/vnd.oci.image.manifest.v1+json")
    signature = registry.push_image(None, layers=TWO, subject=absent)
    collector.run(undated=["manifest", "blob"])
    assert_pulls(registry, signature, TWO)
    settings.GC_UNTAGGED = timedelta()
    collector.run(undated=["manifest", "blob"])
    collector.assert_empty()


def test_a_fallback_tag_keeps_as_any_tag_does(registry, collector):
    image = registry.push_image("latest", layers=ONE)
    registry.push_image(image.digest.replace(":", "-") + ".sig", layers=TWO)
    registry.delete(f"/v2/{NAME}/manifests/latest")
    collector.run()
    assert Manifest.objects.count() == 1


@pytest.mark.parametrize("first", ["subject", "referrer"])
def test_a_referrer_that_is_an_index_with_its_own_subject_in_it_goes_with_it(registry, collector, settings, first):
    settings.GC_UNTAGGED = timedelta(hours=1)
    image = registry.push_image("latest", layers=ONE)
    ring = registry.push_manifest(index_manifest([image.descriptor()], subject=subject(image)))
    collector.run(undated=["manifest"])
    assert not gone(registry, ring.digest)
    assert_pulls(registry, image, ONE)
    settings.GC_UNTAGGED = timedelta()
    if first == "referrer":
        collector.run(undated=["manifest"])
        assert_pulls(registry, image, ONE)
    registry.delete(f"/v2/{NAME}/manifests/latest")
    collector.run(undated=["manifest"])
    collector.assert_empty()


def test_a_tag_on_a_ring_keeps_all_of_it(registry, collector):
    image = registry.push_image("latest", layers=ONE)
    ring = registry.push_manifest(index_manifest([image.descriptor()], subject=subject(image)), "ring")
    registry.delete(f"/v2/{NAME}/manifests/latest")
    collector.run()
    assert_pulls(registry, image, ONE)
    registry.delete(f"/v2/{NAME}/manifests/ring")
    collector.run()
    assert gone(registry, ring.digest)
    collector.assert_empty()


def test_a_mounted_blob_lives_on_in_the_other_repository(registry, collector):
    registry.push_image("latest", layers=ONE)
    for content in (b"{}", *ONE):
        answer = registry.post(f"/v2/{FOREIGN}/blobs/uploads/?mount={digest_of(content)}&from={NAME}")
        assert answer.status == 201
    other = registry.push_manifest(image_manifest(b"{}", ONE), "copy", FOREIGN)
    registry.delete(f"/v2/{NAME}/manifests/latest")
    collector.run()
    assert_pulls(registry, other, ONE, FOREIGN)
    # The first repository and its team have it no longer, and the team does not pay for it.
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(b'one')}").status == 404
    alice = Repository.objects.get(name=NAME).team_id
    assert (usage_of(alice), TeamBlob.objects.filter(team=alice).count()) == (0, 0)
    registry.delete(f"/v2/{FOREIGN}/manifests/copy")
    collector.run()
    collector.assert_empty()


def test_a_team_pays_as_long_as_one_of_its_repositories_has_the_blob(registry, collector):
    registry.push_image("latest", layers=ONE)
    other = registry.push_image("latest", OTHER, layers=ONE)
    team = Repository.objects.get(name=NAME).team_id
    before = usage_of(team)
    registry.delete(f"/v2/{NAME}/manifests/latest")
    collector.run()
    assert usage_of(team) == before
    assert_pulls(registry, other, ONE, OTHER)


def test_a_blob_taken_from_its_repository_goes_and_the_team_pays_no_longer(registry, collector):
    digest = registry.push_blob(b"alone")
    registry.delete(f"/v2/{NAME}/blobs/{digest}")
    collector.run()
    collector.assert_empty()


STAGES = ["deleted", "manifest collected", "blobs collected", "bytes deleted"]


@pytest.mark.parametrize("stage", range(len(STAGES)), ids=STAGES)
def test_an_image_pushed_again_at_any_stage_lives(registry, collector, stage):
    registry.push_image("latest", layers=ONE)
    registry.delete(f"/v2/{NAME}/manifests/latest")
    for step in (collector.manifests, collector.blobs, collector.bytes)[:stage]:
        step()
    image = registry.push_image("latest", layers=ONE)
    collector.run()
    assert_pulls(registry, image, ONE)


def test_a_download_that_began_before_ends_and_a_later_one_finds_nothing(registry, collector, store, settings):
    settings.GC_LINGER = timedelta(hours=1)
    registry.push_blob(b"alone")
    key = Blob.objects.get().storage_key
    collector.blobs()
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(b'alone')}").status == 404
    assert collector.bytes() == 0
    assert b"".join(store.open_range(key, 0, 5)) == b"alone"
    assert StorageDeletion.objects.get().not_before > timezone.now() + timedelta(minutes=59)


def test_a_fallback_tag_keeps_its_own_manifest_and_not_what_it_tells_of(registry, collector):
    image = registry.push_image("latest", layers=ONE)
    name = image.digest.replace(":", "-")
    signature = registry.push_image(f"{name}.sig", layers=[b"signature"])
    referrer = registry.push_image(None, layers=[b"referrer"], subject=image.descriptor())
    listed = registry.push_manifest(index_manifest([referrer.descriptor()]), name)
    registry.delete(f"/v2/{NAME}/manifests/latest")
    collector.run()
    assert gone(registry, image.digest)
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(b'one')}").status == 404
    assert registry.tags() == [name, f"{name}.sig"]
    assert_pulls(registry, signature, [b"signature"])
    # The referrer would have gone with its subject, but a tag lists it.
    assert_pulls(registry, referrer, [b"referrer"])
    assert registry.get(f"/v2/{NAME}/manifests/{name}").body == listed.payload
    for tag in (name, f"{name}.sig"):
        registry.delete(f"/v2/{NAME}/manifests/{tag}")
    collector.run()
    collector.assert_empty()


def test_a_child_that_is_restored_is_kept_by_an_index_that_came_while_it_was_deleted(registry, collector, settings):
    settings.INDEX_PLATFORMS, settings.TRASH_KEEP = frozenset(), timedelta(hours=1)
    image = registry.push_image("latest", layers=ONE)
    registry.delete(f"/v2/{NAME}/manifests/{image.digest}")
    registry.push_manifest(index_manifest([image.descriptor()]), "index")
    repository = Repository.objects.get(name=NAME)
    restore_tag(
        repository_id=repository.pk,
        name=TagName("latest"),
        digest=Digest.parse(image.digest),
        principal=Principal(),
    )
    settings.TRASH_KEEP = timedelta()
    TagHistory.objects.update(restorable_until=timezone.now())
    registry.delete(f"/v2/{NAME}/manifests/latest")
    collector.run(undated=["manifest", "blob"])
    assert_pulls(registry, image, ONE)
