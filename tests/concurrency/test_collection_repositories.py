"""Taking a deleted repository apart against whoever restores it, pushes into it, or takes it apart as well."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Team
from accounts.rights import ANONYMOUS
from blobs.models import Blob, RepositoryBlob, StorageDeletion, TeamBlob, UploadSession
from blobs.uploads import start_upload
from blobs.usage import recount, usage_of
from oci.names import TagName
from registry_gc.collection.repositories import purge_over, take_apart
from registry_gc.collection.rounds import run_round, run_until_idle
from registry_gc.collection.standings import Rules
from registry_project.problems import NotFound
from repositories.models import Manifest, ManifestReview, Repository, Tag, TagHistory
from repositories.removal import delete_repository, purge_repository, restore_repository
from tests.concurrency.conftest import House
from tests.concurrency.meeting import Gate, at_once, finish, gate_after, in_background, wait_until_blocked

LOCKED_BY_RESTORE = "repositories.removal._restorable"
NONE = timedelta()
KEEP = timedelta(days=7)


@pytest.fixture(autouse=True)
def _patient_without_delays(settings, monkeypatch):
    settings.GC_GRACE = settings.GC_UNTAGGED = settings.GC_LINGER = NONE
    monkeypatch.setattr("registry_gc.collection.reviews.LOCK_SECONDS", 60)


@pytest.fixture
def deleted(house) -> House:
    house.push_blob(b"layer")
    house.put_manifest(TagName("latest"), [b"layer"])
    delete_repository(repository_id=house.id, principal=ANONYMOUS)
    return house


def restore(house):
    return lambda: restore_repository(repository_id=house.id, name=house.name)


def held_open(call):
    """The call, in a transaction that stays open, with what it has locked, until the gate opens."""
    gate = Gate()

    def run():
        with transaction.atomic():
            result = call()
            gate.wait_here()
            return result

    return gate, run


def collect():
    run_until_idle(rules=Rules.configured())


def assert_whole(house):
    collect()
    assert Repository.objects.get(pk=house.id).deleted_at is None
    assert (Tag.objects.count(), Manifest.objects.count(), Blob.objects.count()) == (1, 1, 2)
    assert RepositoryBlob.objects.filter(repository_id=house.id).count() == 2


def assert_gone(house):
    collect()
    assert not Repository.objects.filter(pk=house.id).exists()
    assert not Manifest.objects.exists()
    assert not Blob.objects.exists()


def test_a_restore_that_comes_first_keeps(deleted, settings, monkeypatch):
    gate = gate_after(monkeypatch, LOCKED_BY_RESTORE)
    with in_background(restore(deleted)) as restoring:
        assert gate.reached.wait(60)
        # At this moment its time is over.
        settings.TRASH_KEEP = NONE
        assert purge_over() == 0
        gate.open()
        assert finish(restoring) is None
    assert purge_over() == 0
    assert_whole(deleted)


def test_a_restore_that_comes_second_finds_nothing(deleted, settings):
    settings.TRASH_KEEP = NONE
    gate, purge = held_open(purge_over)
    with in_background(purge) as purging:
        assert gate.reached.wait(60)
        # As on a host whose clock is behind, for which it is not over yet.
        settings.TRASH_KEEP = KEEP
        with in_background(restore(deleted)) as restoring:
            wait_until_blocked()
            gate.open()
            assert finish(purging) == 1
            assert isinstance(finish(restoring), NotFound)
    assert_gone(deleted)


def test_a_restore_in_the_middle_finds_nothing(deleted):
    purge_repository(repository_id=deleted.id)
    gate, take = held_open(lambda: take_apart(deleted.id))
    with in_background(take) as taking:
        assert gate.reached.wait(60)
        with in_background(restore(deleted)) as restoring:
            wait_until_blocked()
            gate.open()
            assert finish(taking).removed == 1
            assert isinstance(finish(restoring), NotFound)
    assert not Tag.objects.exists()
    assert_gone(deleted)


def test_a_purge_behind_a_restore_finds_nothing(deleted, monkeypatch):
    gate = gate_after(monkeypatch, LOCKED_BY_RESTORE)
    with in_background(restore(deleted)) as restoring:
        assert gate.reached.wait(60)
        with in_background(lambda: purge_repository(repository_id=deleted.id)) as purging:
            wait_until_blocked()
            gate.open()
            assert finish(restoring) is None
            assert isinstance(finish(purging), NotFound)
    assert_whole(deleted)


def test_a_restore_behind_a_purge_finds_nothing(deleted):
    gate, purge = held_open(lambda: purge_repository(repository_id=deleted.id))
    with in_background(purge) as purging:
        assert gate.reached.wait(60)
        with in_background(restore(deleted)) as restoring:
            wait_until_blocked()
            gate.open()
            assert finish(purging) is None
            assert isinstance(finish(restoring), NotFound)
    assert_gone(deleted)


def test_an_upload_that_begins_while_the_row_goes_fails_whole(house):
    delete_repository(repository_id=house.id, principal=ANONYMOUS)
    purge_repository(repository_id=house.id)
    while RepositoryBlob.objects.exists() or UploadSession.objects.exists():
        assert take_apart(house.id).removed
    gate, take = held_open(lambda: take_apart(house.id))
    with in_background(take) as taking:
        assert gate.reached.wait(60)
        with in_background(lambda: start_upload(owner=house.owner)) as starting:
            wait_until_blocked()
            gate.open()
            assert finish(taking).removed == 1
            assert isinstance(finish(starting), IntegrityError)
    assert not UploadSession.objects.exists()


def test_an_upload_that_began_before_the_row_goes_is_ended(house):
    delete_repository(repository_id=house.id, principal=ANONYMOUS)
    purge_repository(repository_id=house.id)
    upload = start_upload(owner=house.owner)
    collect()
    assert not Repository.objects.filter(pk=house.id).exists()
    assert StorageDeletion.objects.filter(storage_key=upload.storage_key).exists()


def test_many_workers_at_once_take_everything_apart_once(transactional_db, store, monkeypatch, settings):
    settings.TRASH_KEEP = NONE
    monkeypatch.setattr("registry_gc.collection.repositories.BATCH", 3)
    for number in range(6):
        house = House(f"alice/app-{number}")
        house.push_blob(b"{}")
        for layer in range(7):
            content = b"%d" % layer if layer < 3 else b"%d of %d" % (layer, number)
            house.push_blob(content)
            house.put_manifest(TagName("latest"), [content])
        delete_repository(repository_id=house.id, principal=ANONYMOUS)

    def work():
        for _round in range(30):
            run_round()

    outcomes = at_once([work] * 4)
    assert outcomes == [None] * 4
    collect()
    # What lost a lock against another worker was put off by some seconds.
    ManifestReview.objects.update(review_after="2000-01-01T00:00:00Z")
    collect()
    for model in (Repository, Tag, TagHistory, Manifest, RepositoryBlob):
        assert not model.objects.exists(), model
    run_until_idle(rules=Rules.configured(), undated=["blob"])
    assert not TeamBlob.objects.exists()
    team_id = Team.objects.get(slug="alice").pk
    assert usage_of(team_id) == recount(team_id) == 0
