"""Pushes, moves, mounts and deletions while several workers collect without any delay."""

import random
import threading
from datetime import timedelta

from django.utils import timezone

from accounts.models import Team
from accounts.rights import ANONYMOUS
from blobs.deletions import drain_storage_deletions
from blobs.links import mount_blob
from blobs.models import Blob, BlobReview, StorageDeletion
from blobs.usage import recount, usage_of
from oci.digests import Digest
from oci.errors import ManifestBlobUnknown
from oci.names import TagName
from registry_gc.collection.rounds import run_round, run_until_idle
from registry_gc.collection.standings import Rules
from repositories.manifests import put_manifest
from repositories.models import Manifest, ManifestBlob, ManifestReview, Tag
from repositories.tags import delete_tag
from tests.concurrency.conftest import House
from tests.concurrency.meeting import at_once
from tests.factories import encode, image_manifest, index_manifest

WRITERS, COLLECTORS, TURNS, TRIES = 3, 2, 25, 50
LAYERS = [b"layer %d" % number for number in range(5)]


class Writer:
    """A client that pushes again what it is told to be missing, and remembers what it was promised."""

    def __init__(self, house, number: int) -> None:
        self.house, self.number = house, number
        self.random = random.Random(number)
        self.promised: dict[str, Digest] = {}

    def work(self) -> None:
        for _ in range(TURNS):
            act = self.random.choice([self.push, self.push, self.push_index, self.delete])
            act(f"w{self.number}-{self.random.randrange(3)}")

    def push(self, tag: str) -> None:
        layers = self.random.sample(LAYERS, 2)
        self.promised[tag] = self._push_image(TagName(tag), layers)

    def push_index(self, tag: str) -> None:
        layers = self.random.sample(LAYERS, 2)
        payload = encode(image_manifest(b"{}", layers))
        child = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": len(payload)}
        index = encode(index_manifest([{**child, "digest": str(Digest.of(payload))}]))
        for _ in range(TRIES):
            self._push_image(None, layers)
            try:
                pushed = put_manifest(
                    repository_id=self.house.id,
                    principal=ANONYMOUS,
                    reference=TagName(tag),
                    payload=index,
                    content_type="",
                )
            except ManifestBlobUnknown:
                continue
            self.promised[tag] = pushed.digest
            return
        raise AssertionError("never got an index through")

    def delete(self, tag: str) -> None:
        if self.promised.pop(tag, None):
            delete_tag(repository_id=self.house.id, name=TagName(tag), principal=ANONYMOUS)

    def _push_image(self, reference: TagName | None, layers: list[bytes]) -> Digest:
        for _ in range(TRIES):
            for content in (b"{}", *layers):
                self._bring(content)
            try:
                return self.house.put_manifest(reference, layers)
            except ManifestBlobUnknown:
                continue
        raise AssertionError("never got an image through")

    def _bring(self, content: bytes) -> None:
        mounted = self.random.random() < 0.5 and mount_blob(
            repository_id=self.house.id,
            digest=Digest.of(content),
            source=None,
            find_readable=lambda names: next(iter(names), None),
        )
        if not mounted:
            self.house.push_blob(content)


def test_nothing_that_was_promised_is_lost_and_all_garbage_goes(house, store, settings):
    settings.GC_GRACE = settings.GC_UNTAGGED = settings.TRASH_KEEP = settings.GC_LINGER = timedelta()
    writers = [Writer(house if number else House("bob/app"), number) for number in range(WRITERS)]
    done = threading.Event()
    working = threading.Barrier(WRITERS, action=done.set)

    def write(writer: Writer) -> None:
        try:
            writer.work()
        finally:
            working.wait(240)

    def collect() -> None:
        while not done.is_set():
            run_round()
            drain_storage_deletions()

    calls = [lambda writer=writer: write(writer) for writer in writers]
    outcomes = at_once([*calls, *[collect] * COLLECTORS])
    assert outcomes == [None] * (WRITERS + COLLECTORS)
    for writer in writers:
        for tag, digest in writer.promised.items():
            assert_whole(store, Tag.objects.get(repository_id=writer.house.id, name=tag).manifest, digest)
    # Who lost against a writer waits; now nobody writes any more.
    for _ in range(3):
        for model in (ManifestReview, BlobReview):
            model.objects.update(review_after=timezone.now())
        run_until_idle(rules=Rules.configured())
    assert not ManifestReview.objects.exists()
    StorageDeletion.objects.update(not_before=timezone.now())
    while drain_storage_deletions():
        pass
    tagged = set(Tag.objects.values_list("manifest_id", flat=True))
    children = set(Manifest.objects.filter(parent_references__parent__in=tagged).values_list("pk", flat=True))
    assert set(Manifest.objects.values_list("pk", flat=True)) == tagged | children
    assert set(Blob.objects.values_list("pk", flat=True)) == set(ManifestBlob.objects.values_list("blob", flat=True))
    assert {item.key for item in store.objects()} == set(Blob.objects.values_list("storage_key", flat=True))
    for team in Team.objects.all():
        assert usage_of(team.pk) == recount(team.pk)


def assert_whole(store, manifest: Manifest, digest: Digest) -> None:
    assert manifest.digest == str(digest)
    children = list(Manifest.objects.filter(parent_references__parent=manifest))
    for held in [manifest, *children]:
        references = ManifestBlob.objects.filter(manifest=held).select_related("blob")
        assert references.count() == (3 if held.config_digest else 0)
        for reference in references:
            blob = reference.blob
            assert Digest.of(b"".join(store.open_range(blob.storage_key, 0, blob.size))) == Digest.parse(blob.digest)
    assert manifest.config_digest or len(children) == 1
