"""What no event announced is found all the same, a piece at a time."""

from datetime import timedelta

import pytest
from django.utils import timezone

from blobs.models import BlobReview, RepositoryBlob
from registry_gc.collection.models import SweepCursor
from registry_gc.collection.standings import Rules
from registry_gc.collection.sweep import sweep_all, sweep_step
from repositories.models import ManifestReview, Tag
from tests.collection.conftest import assert_pulls
from tests.factories import NAME, index_manifest

NOW = timedelta()


def forget_reviews():
    ManifestReview.objects.all().delete()
    BlobReview.objects.all().delete()


def untagged(registry):
    registry.push_image(None, layers=[b"one"])


def tag_lost(registry):
    registry.push_image("latest", layers=[b"one"])
    Tag.objects.all().delete()


def deleted(registry):
    image = registry.push_image("latest", layers=[b"one"])
    registry.delete(f"/v2/{NAME}/manifests/{image.digest}")


def index(registry):
    image = registry.push_image(None, layers=[b"one"])
    registry.push_manifest(index_manifest([image.descriptor()]))


def ring(registry):
    image = registry.push_image(None, layers=[b"one"])
    registry.push_manifest(index_manifest([image.descriptor()], subject=image.descriptor()))


def blob_without_manifest(registry):
    registry.push_blob(b"alone")


def blob_without_repository(registry):
    registry.push_blob(b"alone")
    RepositoryBlob.objects.all().delete()


LEAKS = [untagged, tag_lost, deleted, index, ring, blob_without_manifest, blob_without_repository]


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
@pytest.mark.parametrize("by", ["steps", "command"])
def test_finds_whatever_lost_its_review(registry, collector, leak, by):
    leak(registry)
    forget_reviews()
    collector.manifests()
    assert list(collector.store.objects()) != []
    if by == "steps":
        while sweep_step(piece=1, pause=NOW) or SweepCursor.objects.filter(finished_at=None).exists():
            pass
    else:
        sweep_all(rules=Rules.configured(), piece=2)
    collector.run()
    collector.assert_empty()


def test_finds_a_right_that_its_repository_does_not_use(registry, collector):
    registry.push_image("latest", layers=[b"one"])
    for content in (b"{}", b"one"):
        registry.push_blob(content, "bob/app")
    forget_reviews()
    sweep_all(rules=Rules.configured())
    assert BlobReview.objects.count() == 2
    collector.run()
    assert set(RepositoryBlob.objects.values_list("repository__name", flat=True)) == {NAME}


def test_arms_nothing_for_what_is_in_use(registry, collector):
    image = registry.push_image(None, layers=[b"one"])
    registry.push_manifest(index_manifest([image.descriptor()]), "latest")
    registry.push_image(None, layers=[b"signature"], subject=image.descriptor())
    forget_reviews()
    assert sweep_all(rules=Rules.configured()) == 0
    collector.run()
    assert_pulls(registry, image, [b"one"])


def test_gives_what_it_finds_the_delay_of_an_event(registry, settings):
    settings.GC_GRACE = timedelta(hours=1)
    blob_without_repository(registry)
    forget_reviews()
    sweep_all(rules=Rules.configured())
    assert BlobReview.objects.get().review_after > timezone.now() + timedelta(minutes=59)


def test_does_not_ask_for_untagged_manifests_where_they_stay(registry, settings):
    settings.GC_UNTAGGED = None
    untagged(registry)
    forget_reviews()
    assert sweep_all(rules=Rules.configured()) == 0


def test_goes_on_where_it_stopped_and_rests_between_two_walks(registry):
    for number in range(5):
        registry.push_blob(b"%d" % number)
    forget_reviews()
    assert [sweep_step(piece=2, pause=timedelta(hours=1)) for _ in range(4)] == [2, 2, 1, 0]
    forget_reviews()
    assert sweep_step(piece=2, pause=timedelta(hours=1)) == 0
    SweepCursor.objects.update(started_at=timezone.now() - timedelta(hours=2))
    assert sweep_step(piece=2, pause=timedelta(hours=1)) == 2
