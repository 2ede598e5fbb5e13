"""Checking, repairing and scrubbing beside pushes."""

from datetime import timedelta

from django.utils import timezone

from accounts.models import Team
from blobs.deletions import drain_storage_deletions
from blobs.integrity import check_integrity
from blobs.models import Blob, StorageDeletion
from blobs.storage import get_store
from blobs.usage import recount, roll_up_usage, usage_of
from blobs.verification import Pace
from oci.digests import Digest
from oci.names import TagName
from registry_gc.collection.integrity import Result, check_everything, repair
from repositories.quarantine import Outcome
from repositories.scrubbing import scrub_round
from tests.concurrency.meeting import at_once, finish, gate_after, gate_before, in_background, wait_until_blocked

CONTENT = b"what is damaged"
DIGEST = Digest.of(CONTENT)
PUSHES, CHECKS = 40, 12


def blob_of(digest=DIGEST):
    return Blob.objects.get(digest=str(digest))


def damage(store):
    (store._root / blob_of().storage_key).write_bytes(b"x" * len(CONTENT))


def scrub(settings):
    settings.SCRUB_INTERVAL = timedelta()
    return scrub_round(pace=Pace())


def test_check_finds_nothing_in_pushes_that_are_under_way(house, settings):
    """Without any age for unnamed bytes: only their names keep uploads in flight from being found."""
    settings.GC_LINGER = settings.TRASH_KEEP = timedelta()

    def push(number):
        for turn in range(PUSHES):
            layer = b"%d of %d" % (turn, number)
            house.push_blob(layer)
            house.push_blob(b"pushed by everybody, %d" % (turn % 5))
            house.put_manifest(TagName(f"t{number}"), [layer])

    def look():
        found = []
        for _ in range(CHECKS):
            for finding in check_everything(digests=True):
                found.append((str(finding), repair(finding)))
            drain_storage_deletions()
            roll_up_usage()
        return found

    outcomes = at_once([lambda: push(1), lambda: push(2), look, look])
    assert outcomes == [None, None, [], []]
    assert list(check_everything(digests=True)) == []


def test_repair_beside_pushes_settles_what_is_wrong_and_nothing_else(house, store):
    keys = [store.new_key() for _ in range(20)]
    for key in keys:
        store.write(key, [b"stray"], offset=0, state={})
        store.seal(key, size=5, state={})
    house.push_blob(CONTENT)
    (store._root / blob_of().storage_key).unlink()

    def push():
        for turn in range(PUSHES):
            house.push_blob(b"%d" % turn)
            house.put_manifest(TagName("t"), [b"%d" % turn])
            house.push_blob(CONTENT)

    def put_right():
        return [repair(finding).result for finding in check_everything()]

    pushed, *repaired = at_once([push, put_right, put_right])
    assert pushed is None
    for results in repaired:
        assert set(results) <= {Result.REPAIRED, Result.CONTAINED, Result.GONE}, results
    # One of the pushes has healed it, or else the next does.
    house.push_blob(CONTENT)
    assert blob_of().quarantined_at is None
    assert store.size(blob_of().storage_key) == len(CONTENT)
    assert set(keys) <= set(StorageDeletion.objects.values_list("storage_key", flat=True))
    assert list(check_integrity()) == []


def test_two_repairs_correct_an_account_once(house):
    team = Team.objects.get(slug="alice")
    roll_up_usage()
    team.usage.size += 1000
    team.usage.save()
    found = [finding for finding in check_everything() if finding.problem.slug == "usage"]
    at_once([lambda: repair(found[0])] * 4)
    assert usage_of(team.pk) == recount(team.pk)


def test_a_push_that_heals_while_the_scrub_reads_wins(house, store, settings, monkeypatch):
    house.push_blob(CONTENT)
    damage(store)
    scrub(settings)
    assert blob_of().quarantined_at is not None
    gate = gate_after(monkeypatch, "repositories.quarantine.find_damage")
    with in_background(lambda: scrub(settings)) as scrubbing:
        assert gate.reached.wait(30)
        house.push_blob(CONTENT)
        gate.open()
        finish(scrubbing)
    assert blob_of().quarantined_at is None
    assert list(check_integrity()) == []


def test_a_manifest_that_relies_on_a_blob_is_first_or_is_refused(house, store, settings, monkeypatch):
    """The quarantine waits for a push that holds the blob: its tag is among those that stand in the log."""
    house.push_blob(CONTENT)
    damage(store)
    gate = gate_after(monkeypatch, "repositories.manifests.hold_blobs")
    with in_background(lambda: house.put_manifest(TagName("t"), [CONTENT])) as pushing:
        assert gate.reached.wait(30)
        with in_background(lambda: scrub(settings)) as scrubbing:
            wait_until_blocked()
            assert blob_of().quarantined_at is None
            gate.open()
            assert not isinstance(finish(pushing), Exception)
            assert finish(scrubbing)[Outcome.QUARANTINED] == 1


def test_two_pushes_heal_a_blob_once(house, store, settings):
    house.push_blob(CONTENT)
    damage(store)
    scrub(settings)
    outcomes = at_once([lambda: house.push_blob(CONTENT)] * 4)
    assert outcomes == [DIGEST] * 4
    assert blob_of().quarantined_at is None
    assert get_store().size(blob_of().storage_key) == len(CONTENT)
    StorageDeletion.objects.update(not_before=timezone.now())
    drain_storage_deletions()
    assert get_store().size(blob_of().storage_key) == len(CONTENT)
    assert list(check_integrity()) == []


def test_a_copy_that_is_deleted_while_it_is_read_heals_nothing_and_loses_nothing(house, store, settings, monkeypatch):
    house.push_blob(CONTENT)
    house.push_blob(CONTENT)
    damage(store)
    gate = gate_before(monkeypatch, "blobs.copies._copy")
    with in_background(lambda: scrub(settings)) as scrubbing:
        assert gate.reached.wait(30)
        drain_storage_deletions()
        gate.open()
        assert finish(scrubbing)[Outcome.QUARANTINED] == 1
    house.push_blob(CONTENT)
    assert blob_of().quarantined_at is None
    assert list(check_integrity()) == []
