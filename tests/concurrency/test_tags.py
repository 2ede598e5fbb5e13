"""Tags that several writers move or delete at once."""

import random
from itertools import pairwise

from accounts.rights import ANONYMOUS
from oci.digests import Digest
from oci.errors import ManifestUnknown
from oci.names import TagName
from repositories.manifests import delete_manifest
from repositories.models import Manifest, Tag, TagHistory
from repositories.tags import delete_tag
from tests.concurrency.meeting import at_once, finish, gate_after, in_background, wait_until_blocked

LATEST = TagName("latest")
WRITERS, MOVES = 4, 8
ROUNDS = 15


def assert_gapless(house, name: TagName = LATEST) -> None:
    """Each entry begins where the one before ended, with the push that ended it, up to the tag itself."""
    timeline = list(TagHistory.objects.filter(repository_id=house.id, name=name.text).order_by("ended_at", "id"))
    current = Tag.objects.filter(repository_id=house.id, name=name.text).first()
    began = [entry.started_at for entry in timeline[1:]] + ([current.pushed_at] if current else [])
    for entry, following in zip(timeline, began, strict=False):
        assert entry.started_at <= entry.ended_at <= following, (entry.ended_at, following)
    held = [entry.manifest_id for entry in timeline] + ([current.manifest_id] if current else [])
    if current and not any(entry.reason != TagHistory.Reason.MOVED for entry in timeline):
        assert all(first != second for first, second in pairwise(held)), held


def test_moves_at_once_write_a_gapless_history(house):
    for layer in range(WRITERS * MOVES):
        house.push_blob(b"%d" % layer)

    def move(writer: int):
        for turn in range(MOVES):
            house.put_manifest(LATEST, [b"%d" % (writer * MOVES + turn)])

    assert at_once([lambda writer=writer: move(writer) for writer in range(WRITERS)]) == [None] * WRITERS
    # Every manifest was the tag's exactly once: one of them is now, the others are history.
    entries = list(TagHistory.objects.filter(name="latest").values_list("manifest_id", flat=True))
    current = Tag.objects.get(name="latest").manifest_id
    assert sorted([*entries, current]) == sorted(Manifest.objects.values_list("id", flat=True))
    chain = {entry.started_at for entry in TagHistory.objects.filter(name="latest")}
    assert len(chain) == len(entries)


def test_the_second_of_two_moves_replaces_the_first(house, monkeypatch):
    for layer in (b"0", b"1", b"2"):
        house.push_blob(layer)
    first = house.put_manifest(LATEST, [b"0"])
    gate = gate_after(monkeypatch, "repositories.tags._point_tag")
    with in_background(lambda: house.put_manifest(LATEST, [b"1"])) as moving:
        assert gate.reached.wait(60)
        with in_background(lambda: house.put_manifest(LATEST, [b"2"])) as following:
            wait_until_blocked()
            gate.open()
            second, third = finish(moving), finish(following)
    assert Tag.objects.get(name="latest").manifest.digest == str(third)
    history = TagHistory.objects.filter(name="latest").order_by("ended_at", "id")
    assert [entry.manifest.digest for entry in history] == [str(first), str(second)]
    assert_gapless(house)


def test_a_first_push_of_one_tag_by_many_makes_one_tag(house):
    for layer in range(8):
        house.push_blob(b"%d" % layer)
    outcomes = at_once([lambda layer=layer: house.put_manifest(LATEST, [b"%d" % layer]) for layer in range(8)])
    assert all(isinstance(outcome, Digest) for outcome in outcomes), outcomes
    assert Tag.objects.filter(name="latest").count() == 1
    assert TagHistory.objects.filter(name="latest").count() == 7


def test_a_move_against_a_delete(house):
    house.push_blob(b"0")
    house.push_blob(b"1")
    for turn in range(ROUNDS):
        house.put_manifest(LATEST, [b"0"])
        before = TagHistory.objects.count()
        moved, deleted = at_once(
            [
                lambda: house.put_manifest(LATEST, [b"1"]),
                lambda: delete_tag(repository_id=house.id, name=LATEST, principal=ANONYMOUS),
            ]
        )
        assert isinstance(moved, Digest), moved
        assert deleted is None, deleted
        # Either the delete came first and the push made the tag anew, or the push's move was deleted.
        tag = Tag.objects.filter(name="latest").first()
        assert tag is None or tag.manifest.digest == str(moved)
        reasons = set(TagHistory.objects.order_by("-id").values_list("reason", flat=True)[: 1 if tag else 2])
        assert reasons == ({"deleted"} if tag else {"moved", "deleted"}), (turn, reasons)
        assert TagHistory.objects.count() - before == (1 if tag else 2)
        if tag:
            delete_tag(repository_id=house.id, name=LATEST, principal=ANONYMOUS)


def test_of_two_deletes_of_one_tag_one_succeeds(house):
    for _ in range(ROUNDS):
        house.put_manifest(LATEST)
        outcomes = at_once([lambda: delete_tag(repository_id=house.id, name=LATEST, principal=ANONYMOUS)] * 2)
        assert sorted(map(str, map(type, outcomes))) == sorted(map(str, (type(None), ManifestUnknown)))


def test_pushing_a_tag_against_deleting_its_manifest(house):
    """A push that was acknowledged after the delete must leave its tag on a manifest that is there."""
    for _ in range(ROUNDS):
        digest = house.put_manifest(LATEST)
        pushed, deleted = at_once(
            [
                lambda: house.put_manifest(TagName("again")),
                lambda digest=digest: delete_manifest(repository_id=house.id, digest=digest, principal=ANONYMOUS),
            ]
        )
        assert isinstance(pushed, Digest), pushed
        assert deleted is None, deleted
        assert not Tag.objects.filter(manifest__deleted_at__isnull=False).exists()
        # The delete took all tags or came before the push: "latest" is gone either way.
        assert not Tag.objects.filter(name="latest").exists()
        tag = Tag.objects.filter(name="again").first()
        assert (Manifest.objects.get(digest=str(digest)).deleted_at is None) == (tag is not None)
        Tag.objects.all().delete()


def test_deleting_a_manifest_while_a_push_tags_it_takes_the_new_tag_too(house, monkeypatch):
    digest = house.put_manifest(LATEST)
    gate = gate_after(monkeypatch, "repositories.manifests.point_tags")
    with in_background(lambda: house.put_manifest(TagName("again"))) as pushing:
        assert gate.reached.wait(60)
        delete = lambda: delete_manifest(repository_id=house.id, digest=digest, principal=ANONYMOUS)  # noqa: E731
        with in_background(delete) as deleting:
            wait_until_blocked()
            gate.open()
            assert finish(pushing) == digest
            assert finish(deleting) is None
    assert not Tag.objects.exists()
    assert Manifest.objects.get(digest=str(digest)).deleted_at is not None
    assert set(TagHistory.objects.values_list("name", flat=True)) == {"latest", "again"}


def test_moves_of_several_tags_in_any_order_do_not_deadlock(house, monkeypatch):
    """Retrying would hide a deadlock: here nothing is tried twice."""
    monkeypatch.setattr("registry_project.database.MAX_ATTEMPTS", 1)
    tags = [TagName(f"v{number}") for number in range(6)]
    for layer in range(4):
        house.push_blob(b"%d" % layer)
    for turn in range(ROUNDS):
        shuffled = [random.Random(f"{turn} {writer}").sample(tags, len(tags)) for writer in range(4)]
        outcomes = at_once(
            [
                lambda order=order, writer=writer: house.put_manifest(None, [b"%d" % writer], tags=order)
                for writer, order in enumerate(shuffled)
            ]
        )
        assert all(isinstance(outcome, Digest) for outcome in outcomes), outcomes
        assert len(set(Tag.objects.values_list("manifest_id", flat=True))) == 1
