"""Manifests and the blobs they need, pushed and deleted at once."""

import random
from contextlib import suppress

from accounts.rights import ANONYMOUS
from blobs.models import RepositoryBlob
from oci.digests import Digest
from oci.errors import BlobInUse, ManifestBlobUnknown, ManifestUnknown
from oci.names import TagName
from registry_project.database import LostRace
from repositories.contents import unlink_blob
from repositories.manifests import delete_manifest
from repositories.models import Manifest, ManifestBlob
from tests.concurrency.meeting import at_once, finish, gate_after, in_background, wait_until_blocked

LAYER = b"the layer"
DIGEST = Digest.of(LAYER)
ROUNDS = 15
DEADLOCK_ROUNDS = 200


def linked(house) -> bool:
    return RepositoryBlob.objects.filter(repository_id=house.id, blob__digest=str(DIGEST)).exists()


def test_a_manifest_that_is_being_pushed_keeps_its_blob(house, monkeypatch):
    house.push_blob(LAYER)
    gate = gate_after(monkeypatch, "repositories.manifests.hold_blobs")
    with in_background(lambda: house.put_manifest(TagName("v1"), [LAYER])) as pushing:
        assert gate.reached.wait(60)
        with in_background(lambda: unlink_blob(repository_id=house.id, digest=DIGEST)) as unlinking:
            wait_until_blocked()
            gate.open()
            assert isinstance(finish(pushing), Digest)
            assert isinstance(finish(unlinking), BlobInUse)
    assert linked(house)


def test_a_manifest_waits_for_an_unlink_and_is_then_refused(house, monkeypatch):
    house.push_blob(LAYER)
    gate = gate_after(monkeypatch, "repositories.contents.arm_reviews")
    with in_background(lambda: unlink_blob(repository_id=house.id, digest=DIGEST)) as unlinking:
        assert gate.reached.wait(60)
        with in_background(lambda: house.put_manifest(TagName("v1"), [LAYER])) as pushing:
            wait_until_blocked()
            gate.open()
            assert finish(unlinking) is None
            assert isinstance(finish(pushing), ManifestBlobUnknown)
    assert not Manifest.objects.exists()
    assert not linked(house)


def test_a_manifest_never_stands_without_its_blob(house):
    seen = set()
    for turn in range(ROUNDS):
        house.push_blob(LAYER)
        pushed, unlinked = at_once(
            [
                lambda turn=turn: house.put_manifest(TagName("v1"), [LAYER], annotations={"turn": str(turn)}),
                lambda: unlink_blob(repository_id=house.id, digest=DIGEST),
            ]
        )
        if isinstance(pushed, Digest):
            assert isinstance(unlinked, BlobInUse), unlinked
            assert linked(house)
            delete_manifest(repository_id=house.id, digest=pushed, principal=ANONYMOUS)
            seen.add("pushed")
        else:
            assert isinstance(pushed, ManifestBlobUnknown), pushed
            assert unlinked is None
            assert not linked(house)
            seen.add("unlinked")
    assert seen


def test_a_push_brings_a_manifest_back_that_is_being_deleted(house, monkeypatch):
    digest = house.put_manifest(TagName("v1"))
    gate = gate_after(monkeypatch, "repositories.manifests.end_tags")
    delete = lambda: delete_manifest(repository_id=house.id, digest=digest, principal=ANONYMOUS)  # noqa: E731
    with in_background(delete) as deleting:
        assert gate.reached.wait(60)
        with in_background(lambda: house.put_manifest(TagName("v2"))) as pushing:
            wait_until_blocked()
            gate.open()
            assert finish(deleting) is None
            assert finish(pushing) == digest
    manifest = Manifest.objects.get(digest=str(digest))
    assert manifest.deleted_at is None
    assert [tag.name for tag in manifest.tags.all()] == ["v2"]


def test_one_manifest_pushed_by_many_is_one(house):
    for number in range(10):
        house.push_blob(b"layer %d" % number)
    layers = [b"layer %d" % number for number in range(10)]
    outcomes = at_once([lambda: house.put_manifest(TagName("v1"), layers)] * 8)
    assert len(set(outcomes)) == 1, outcomes
    assert Manifest.objects.count() == 1
    assert ManifestBlob.objects.count() == len(layers) + 1


def test_overlapping_layers_in_any_order_do_not_deadlock(house, monkeypatch):
    """Retrying would hide a deadlock: here nothing is tried twice."""
    monkeypatch.setattr("registry_project.database.MAX_ATTEMPTS", 1)
    layers = [b"layer %d" % number for number in range(8)]
    for layer in layers:
        house.push_blob(layer)
    writers = 4

    def push(writer: int) -> None:
        choice = random.Random(writer)
        for turn in range(DEADLOCK_ROUNDS // writers):
            some = choice.sample(layers, choice.randrange(2, len(layers)))
            house.put_manifest(TagName(f"v{choice.randrange(2)}"), some, annotations={"turn": f"{writer} {turn}"})

    outcomes = at_once([lambda writer=writer: push(writer) for writer in range(writers)])
    assert outcomes == [None] * writers


def test_pushes_and_deletes_of_overlapping_manifests_do_not_deadlock(house, monkeypatch):
    """Deletes take the manifest before its tags; moves write history of a manifest they do not hold yet.

    A tag may vanish between two statements of a move, which is a race to lose, but nobody waits in a circle.
    """
    monkeypatch.setattr("registry_project.database.MAX_ATTEMPTS", 1)
    for layer in (b"0", b"1"):
        house.push_blob(layer)

    def push(writer: int) -> None:
        for turn in range(40):
            with suppress(LostRace):
                house.put_manifest(TagName("v1" if turn % 2 else "v2"), [b"%d" % ((turn + writer) % 2)])

    def delete() -> None:
        for turn in range(40):
            with suppress(LostRace, ManifestUnknown):
                digest = house.put_manifest(TagName("v3"), [b"%d" % (turn % 2)])
                delete_manifest(repository_id=house.id, digest=digest, principal=ANONYMOUS)

    outcomes = at_once([lambda: push(0), lambda: push(1), delete])
    assert outcomes == [None] * 3
