"""A registry whose delays are zero, and the background work in the hands of the test."""

from datetime import timedelta

import pytest

from accounts.models import Team
from blobs.deletions import drain_storage_deletions
from blobs.models import Blob, BlobReview, StorageDeletion
from blobs.usage import recount, roll_up_usage, usage_of
from registry_gc.collection.figures import Tally
from registry_gc.collection.models import Kind
from registry_gc.collection.reviews import claim_reviews
from registry_gc.collection.rounds import run_until_idle, work_on
from registry_gc.collection.standings import Rules
from repositories.models import Manifest, ManifestReview
from tests.api.invariants import assert_every_byte_is_named_once
from tests.factories import digest_of

ZERO = timedelta()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/collection/" in str(item.path):
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture(autouse=True)
def _no_delays(settings):
    settings.GC_GRACE = settings.GC_UNTAGGED = settings.TRASH_KEEP = settings.GC_LINGER = ZERO


class Collector:
    """The background work, one step or all of it."""

    def __init__(self, store) -> None:
        self.store = store

    def manifests(self) -> Tally:
        return self._round(Kind.MANIFEST)

    def blobs(self) -> Tally:
        return self._round(Kind.BLOB)

    def bytes(self) -> int:
        return drain_storage_deletions()

    def _round(self, kind: Kind) -> Tally:
        tally = work_on(kind, claim_reviews(kind, limit=1000), Rules.configured())
        assert tally.postponed == 0
        self.assert_sound()
        return tally

    def run(self, **options) -> None:
        """Everything until nothing is left to do; what holds at any time holds then too."""
        totals = run_until_idle(rules=options.pop("rules", None) or Rules.configured(), **options)
        assert [tally.postponed for tally in totals.by_kind.values()] == [0, 0]
        while self.bytes():
            pass
        self.assert_sound()
        assert not StorageDeletion.objects.exists()
        stored = {item.key for item in self.store.objects()}
        assert stored == set(Blob.objects.values_list("storage_key", flat=True))

    def assert_sound(self) -> None:
        assert_every_byte_is_named_once(self.store)
        for team in Team.objects.all():
            assert usage_of(team.pk) == recount(team.pk), team
        roll_up_usage()
        for team in Team.objects.all():
            assert usage_of(team.pk) == recount(team.pk), team

    def assert_empty(self) -> None:
        """Nothing is left of anything that was pushed, and nothing is left to do."""
        assert not Manifest.objects.exists()
        assert not Blob.objects.exists()
        assert list(self.store.objects()) == []
        self.assert_no_reviews()
        assert [usage_of(team.pk) for team in Team.objects.all() if usage_of(team.pk)] == []

    def assert_no_reviews(self) -> None:
        assert list(ManifestReview.objects.values()) == []
        assert list(BlobReview.objects.values()) == []


@pytest.fixture
def collector(registry, store) -> Collector:
    return Collector(store)


def assert_pulls(registry, image, layers, name="alice/app"):
    """The manifest and each of its blobs come back as they were pushed."""
    answer = registry.get(f"/v2/{name}/manifests/{image.digest}")
    assert (answer.status, answer.body) == (200, image.payload)
    for content in (b"{}", *layers):
        answer = registry.get(f"/v2/{name}/blobs/{digest_of(content)}")
        assert (answer.status, answer.body) == (200, content)
