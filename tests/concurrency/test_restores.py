"""Restoring against whoever deletes, pushes or moves what is restored; each race in both orders."""

import pytest
from django.utils import timezone

from accounts.rights import ANONYMOUS
from blobs.models import RepositoryBlob
from oci.digests import Digest
from oci.errors import BlobInUse, ManifestUnknown, NameUnknown
from oci.names import RepositoryName, TagName
from registry_project.problems import NotFound
from repositories.contents import unlink_blob
from repositories.errors import RepositoryTaken
from repositories.expiry import end_expired_tags, set_expiry
from repositories.history import restore_tag
from repositories.manifests import delete_manifest
from repositories.models import Manifest, Repository, Tag, TagHistory
from repositories.removal import delete_repository, restore_repository
from repositories.tags import delete_tag
from tests.concurrency.conftest import House
from tests.concurrency.meeting import at_once, finish, gate_after, in_background, wait_until_blocked
from tests.concurrency.test_tags import LATEST, assert_gapless

OTHER = TagName("other")
ROUNDS = 8


@pytest.fixture(autouse=True)
def _never_twice(monkeypatch):
    """Retrying would hide deadlocks."""
    monkeypatch.setattr("registry_project.database.MAX_ATTEMPTS", 1)


def restore(house, digest, name=LATEST):
    return restore_tag(repository_id=house.id, name=name, digest=digest, principal=ANONYMOUS)


def delete(house, digest):
    return delete_manifest(repository_id=house.id, digest=digest, principal=ANONYMOUS)


def meet(monkeypatch, stop_after, first, second):
    """The outcomes of `first`, which stops at a place, and `second`, which waits for it."""
    gate = gate_after(monkeypatch, stop_after)
    with in_background(first) as leading:
        assert gate.reached.wait(60)
        with in_background(second) as following:
            wait_until_blocked()
            gate.open()
            return finish(leading), finish(following)


def assert_consistent(house):
    assert not Tag.objects.filter(manifest__deleted_at__isnull=False).exists()
    assert_gapless(house)


def test_a_delete_that_waits_for_a_restore_takes_the_restored_tag_too(house, monkeypatch):
    digest = house.put_manifest(LATEST)
    delete_tag(repository_id=house.id, name=LATEST, principal=ANONYMOUS)
    outcomes = meet(
        monkeypatch, "repositories.history.point_tags", lambda: restore(house, digest), lambda: delete(house, digest)
    )
    assert outcomes == (None, None)
    assert not Tag.objects.exists()
    assert [entry.started_as for entry in TagHistory.objects.order_by("id")] == ["push", "restore"]
    assert_consistent(house)


def test_a_restore_that_waits_for_a_delete_brings_the_manifest_back(house, monkeypatch):
    digest = house.put_manifest(LATEST)
    outcomes = meet(
        monkeypatch, "repositories.manifests.end_tags", lambda: delete(house, digest), lambda: restore(house, digest)
    )
    assert outcomes == (None, None)
    assert Tag.objects.get().manifest.digest == str(digest)
    assert_consistent(house)


def test_a_push_that_waits_for_a_restore_moves_the_tag_on(house, monkeypatch):
    house.push_blob(b"1")
    first = house.put_manifest(LATEST)
    delete_tag(repository_id=house.id, name=LATEST, principal=ANONYMOUS)
    _, second = meet(
        monkeypatch,
        "repositories.history.point_tags",
        lambda: restore(house, first),
        lambda: house.put_manifest(LATEST, [b"1"]),
    )
    assert Tag.objects.get().manifest.digest == str(second)
    assert TagHistory.objects.order_by("-id")[0].reason == "moved"
    assert_consistent(house)


def test_a_restore_that_waits_for_a_push_replaces_what_was_pushed(house, monkeypatch):
    house.push_blob(b"1")
    first = house.put_manifest(LATEST)
    pushed, restored = meet(
        monkeypatch,
        "repositories.manifests.point_tags",
        lambda: house.put_manifest(LATEST, [b"1"]),
        lambda: restore(house, first),
    )
    assert (type(pushed), restored) == (Digest, None)
    assert Tag.objects.get().manifest.digest == str(first)
    last = TagHistory.objects.order_by("-id")[0]
    assert (last.reason, last.manifest.digest) == ("restored", str(pushed))
    assert_consistent(house)


def test_a_repository_that_is_deleted_while_a_restore_goes_on(house, monkeypatch):
    digest = house.put_manifest(LATEST)
    delete_tag(repository_id=house.id, name=LATEST, principal=ANONYMOUS)
    restored, deleted = meet(
        monkeypatch,
        "repositories.history.point_tags",
        lambda: restore(house, digest),
        lambda: delete_repository(repository_id=house.id, principal=ANONYMOUS),
    )
    assert (restored, deleted > timezone.now()) == (None, True)
    # The tag went with the repository, and comes back with it.
    restore_repository(repository_id=house.id, name=house.name)
    assert Tag.objects.get().manifest.digest == str(digest)


def test_a_restore_that_waits_for_the_deletion_of_its_repository_finds_none(house, monkeypatch):
    digest = house.put_manifest(LATEST)
    delete_tag(repository_id=house.id, name=LATEST, principal=ANONYMOUS)
    _, restored = meet(
        monkeypatch,
        "repositories.removal._check_tags",
        lambda: delete_repository(repository_id=house.id, principal=ANONYMOUS),
        lambda: restore(house, digest),
    )
    assert isinstance(restored, NameUnknown)
    assert not Tag.objects.exists()


def test_a_push_that_waits_for_the_deletion_of_its_repository_finds_none(house, monkeypatch):
    _, pushed = meet(
        monkeypatch,
        "repositories.removal._check_tags",
        lambda: delete_repository(repository_id=house.id, principal=ANONYMOUS),
        lambda: house.put_manifest(LATEST),
    )
    assert isinstance(pushed, NameUnknown)
    assert not Manifest.objects.exists()


def test_a_blob_is_unlinked_before_a_restore_and_not_after(house, monkeypatch):
    layer = house.push_blob(b"1")
    digest = house.put_manifest(LATEST, [b"1"])
    delete(house, digest)
    outcomes = meet(
        monkeypatch,
        "repositories.contents.arm_reviews",
        lambda: unlink_blob(repository_id=house.id, digest=layer),
        lambda: restore(house, digest),
    )
    assert outcomes == (None, None)
    assert RepositoryBlob.objects.filter(repository_id=house.id, blob__digest=str(layer)).exists()
    delete(house, digest)
    monkeypatch.undo()
    monkeypatch.setattr("registry_project.database.MAX_ATTEMPTS", 1)
    restored, unlinked = meet(
        monkeypatch,
        "repositories.history._link_again",
        lambda: restore(house, digest),
        lambda: unlink_blob(repository_id=house.id, digest=layer),
    )
    assert (restored, type(unlinked)) == (None, BlobInUse)


def test_restores_of_several_tags_at_once(house):
    digests = []
    for layer in (b"1", b"2", b"3"):
        house.push_blob(layer)
        digests.append(house.put_manifest(LATEST, [layer]))
        delete(house, digests[-1])
    for _ in range(ROUNDS):
        outcomes = at_once(
            [
                lambda digest=digest, name=name: restore(house, digest, name)
                for digest in digests
                for name in (LATEST, OTHER)
            ]
        )
        assert outcomes == [None] * 6, outcomes
        tags = {tag.name: tag.manifest.digest for tag in Tag.objects.all()}
        assert set(tags) == {"latest", "other"}
        assert_consistent(house)


def test_a_name_is_taken_by_a_restored_repository_or_a_first_push(house, monkeypatch):
    # Whoever loses is told so by the constraint, and finds the other one the second time.
    monkeypatch.setattr("registry_project.database.MAX_ATTEMPTS", 5)
    for turn in range(ROUNDS):
        name = f"alice/round-{turn}"
        old = House(name)
        delete_repository(repository_id=old.id, principal=ANONYMOUS)
        new, restored = at_once(
            [
                lambda name=name: House(name),
                lambda old=old: restore_repository(repository_id=old.id, name=old.name),
            ]
        )
        assert isinstance(new, House), new
        assert (new.id == old.id) == (restored is None)
        assert restored is None or isinstance(restored, RepositoryTaken), restored
        assert Repository.objects.filter(name=name, deleted_at=None).count() == 1


def test_two_deletions_of_one_repository(house):
    outcomes = at_once([lambda: delete_repository(repository_id=house.id, principal=ANONYMOUS)] * 2)
    assert sorted(isinstance(outcome, NotFound) for outcome in outcomes) == [False, True], outcomes


def test_two_restores_of_one_repository(house):
    delete_repository(repository_id=house.id, principal=ANONYMOUS)
    names = [house.name, RepositoryName("alice/again")]
    outcomes = at_once([lambda name=name: restore_repository(repository_id=house.id, name=name) for name in names])
    assert sorted(isinstance(outcome, NotFound) for outcome in outcomes) == [False, True], outcomes


def test_a_push_saves_a_tag_that_is_about_to_expire(house, monkeypatch):
    house.put_manifest(LATEST)
    set_expiry(repository_id=house.id, name=LATEST, expires_at=timezone.now(), principal=ANONYMOUS)
    gate = gate_after(monkeypatch, "repositories.manifests.point_tags")
    with in_background(lambda: house.put_manifest(LATEST)) as pushing:
        assert gate.reached.wait(60)
        # Who holds the tag is not waited for.
        assert end_expired_tags() == 0
        gate.open()
        finish(pushing)
    assert end_expired_tags() == 0
    assert Tag.objects.get().expires_at is None


def test_expiry_at_once_ends_each_tag_once(house):
    for turn in range(ROUNDS):
        house.put_manifest(None, tags=[TagName(f"v{turn}-{number}") for number in range(10)])
    Tag.objects.update(expires_at=timezone.now())
    outcomes = at_once([end_expired_tags] * 3)
    assert all(isinstance(outcome, int) for outcome in outcomes), outcomes
    while end_expired_tags():
        pass
    assert not Tag.objects.exists()
    assert set(TagHistory.objects.values_list("reason", "ended_by")) == {("expired", "")}
    assert TagHistory.objects.count() == ROUNDS * 10


def test_nothing_restores_what_was_purged(house):
    digest = house.put_manifest(LATEST)
    delete(house, digest)
    TagHistory.objects.update(restorable_until=timezone.now())
    with pytest.raises(ManifestUnknown):
        restore(house, digest)
