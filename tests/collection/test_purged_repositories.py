"""What a deleted repository held goes when nothing brings it back any more, and nothing else does."""

from datetime import timedelta

import pytest
from django.apps import apps
from django.utils import timezone

from accounts.models import Team
from blobs.models import Blob, RepositoryBlob, TeamBlob, UploadSession
from blobs.usage import usage_of
from registry_gc.collection import repositories
from registry_gc.collection.pausing import pause_collection
from registry_gc.collection.repositories import list_purged, purge_over, take_apart
from registry_gc.collection.rounds import run_round
from registry_gc.collection.tasks import collect
from repositories.models import Manifest, ManifestReview, Repository, Tag, TagHistory
from tests.collection.conftest import assert_pulls
from tests.collection.test_command import run as run_command
from tests.factories import NAME, descriptor, digest_of, index_manifest
from tests.management.cast import send

OTHER = "alice/other"
FOREIGN = "bob/app"
SHARED = b"shared by three"


def fill(registry, name=NAME):
    """Everything that a repository can hold."""
    registry.push_image("moved", layers=[b"before"], name=name)
    image = registry.push_image("moved", layers=[SHARED, b"only here"], name=name)
    index = registry.push_manifest(index_manifest([image.descriptor()]), "index", name=name)
    referrer = registry.push_image(None, layers=[b"signature"], subject=index.descriptor(), name=name)
    registry.push_manifest(index_manifest([index.descriptor()], subject=referrer.descriptor()), name=name)
    hidden = registry.push_image("hidden", layers=[b"hidden"], name=name)
    registry.delete(f"/v2/{name}/manifests/{hidden.digest}")
    registry.delete(f"/v2/{name}/manifests/index")
    registry.push_blob(b"no manifest came", name=name)
    registry.start_upload(name)
    registry.patch(registry.start_upload(name), b"half of a layer")
    for tags in ("a*", "b*"):
        rules = [{"action": "delete", "tags": tags}]
        assert send(registry, "PUT", f"repositories/{name}/-/retention", rules=rules).status == 200


def delete(registry, name=NAME):
    repository_id = Repository.objects.get(name=name, deleted_at=None).pk
    assert send(registry, "DELETE", f"repositories/{name}").status == 204
    return repository_id


def rows_of(repository_id):
    """How many rows of each table name a repository."""
    named = {
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if field.related_model is Repository
    }
    assert len(named) == 8
    return {
        model.__name__: count
        for model, name in named
        if (count := model.objects.filter(**{name: repository_id}).count())
    }


def test_everything_of_it_goes_and_what_others_share_stays(registry, collector, settings):
    settings.TRASH_KEEP = timedelta(hours=1)
    fill(registry)
    images = {name: registry.push_image("kept", layers=[SHARED], name=name) for name in (OTHER, FOREIGN)}
    repository_id = delete(registry)
    run_command("--now")
    assert rows_of(repository_id)["Tag"] == 1  # nothing went while it could be restored
    settings.TRASH_KEEP = timedelta()
    collector.run()
    assert rows_of(repository_id) == {}
    assert not Repository.objects.filter(pk=repository_id).exists()
    for name, image in images.items():
        assert_pulls(registry, image, [SHARED], name=name)
    kept = {digest_of(b"{}"), digest_of(SHARED)}
    assert set(Blob.objects.values_list("digest", flat=True)) == kept
    for slug in ("alice", "bob"):
        team = Team.objects.get(slug=slug)
        assert set(TeamBlob.objects.filter(team=team).values_list("blob__digest", flat=True)) == kept
        assert usage_of(team.pk) == 2 + len(SHARED)
    assert not ManifestReview.objects.exists()


def test_nothing_is_left_where_nothing_else_was(registry, collector):
    fill(registry)
    delete(registry)
    collector.run()
    collector.assert_empty()
    assert not Repository.objects.exists()


def test_gc_untagged_does_not_hold_it_up(registry, collector, settings):
    settings.GC_UNTAGGED = None
    fill(registry)
    delete(registry)
    collector.run()
    collector.assert_empty()


def test_its_blobs_have_their_grace(registry, collector, settings):
    settings.GC_GRACE = timedelta(hours=1)
    registry.push_image("latest", layers=[b"layer"])
    repository_id = delete(registry)
    run_command()
    assert not Repository.objects.filter(pk=repository_id).exists()
    assert Blob.objects.count() == 2
    run_command("--now")
    collector.run()
    collector.assert_empty()


def test_the_next_repository_of_the_name_is_another(registry, collector):
    fill(registry)
    delete(registry)
    image = registry.push_image("latest", layers=[b"new"])
    collector.run()
    assert Repository.objects.count() == 1
    assert_pulls(registry, image, [b"new"])


@pytest.mark.parametrize("batch", [1, 2, 500])
def test_it_goes_in_bounded_pieces_and_a_kill_between_any_two_loses_nothing(registry, collector, monkeypatch, batch):
    monkeypatch.setattr(repositories, "BATCH", batch)
    fill(registry)
    repository_id = delete(registry)
    assert purge_over() == 1
    for _turn in range(100):
        piece = take_apart(repository_id)
        assert piece.removed + piece.armed <= batch
        collector.assert_sound()
        collector.manifests()
        collector.blobs()
        if not list_purged():
            break
    collector.run()
    collector.assert_empty()


def test_many_at_once_are_given_up_in_batches(registry, collector, monkeypatch):
    monkeypatch.setattr(repositories, "BATCH", 2)
    for number in range(5):
        registry.push_image("latest", layers=[b"%d" % number], name=f"alice/app-{number}")
        delete(registry, f"alice/app-{number}")
    assert [purge_over() for _ in range(4)] == [2, 2, 1, 0]
    collector.run()
    collector.assert_empty()
    assert not Repository.objects.exists()


def test_rounds_and_the_command_do_it(registry, collector):
    fill(registry)
    delete(registry)
    for _round in range(10):
        collect()
    collector.run()
    collector.assert_empty()
    registry.push_image("latest", layers=[b"layer"])
    delete(registry)
    assert "1 manifests and 2 blobs of" in run_command()
    collector.run()
    collector.assert_empty()
    assert not Repository.objects.exists()


def test_it_rests_while_collection_is_paused(registry):
    fill(registry)
    repository_id = delete(registry)
    pause_collection(actor="alice")
    run_round()
    assert Repository.objects.get(pk=repository_id).purged_at is None
    assert Tag.objects.exists()


def test_what_fails_does_not_stop_the_others(registry, collector, monkeypatch):
    from django.db import OperationalError

    for name in (NAME, OTHER, FOREIGN):
        registry.push_image("latest", layers=[name.encode()], name=name)
    stuck = delete(registry, OTHER)
    delete(registry)
    delete(registry, FOREIGN)
    original = repositories._end_tags

    def end_tags(repository_id):
        if repository_id == stuck:
            raise OperationalError("somebody holds it")
        return original(repository_id)

    with monkeypatch.context() as patch:
        patch.setattr(repositories, "_end_tags", end_tags)
        collector.run()
    assert [*Repository.objects.values_list("pk", flat=True)] == [stuck]
    collector.run()
    collector.assert_empty()


def test_an_upload_that_somebody_writes_to_is_waited_for(registry, collector):
    registry.start_upload()
    UploadSession.objects.update(busy_until=timezone.now() + timedelta(minutes=1))
    delete(registry)
    collector.run()
    assert (UploadSession.objects.count(), Repository.objects.count()) == (1, 1)
    UploadSession.objects.update(busy_until=timezone.now() - timedelta(seconds=1))
    collector.run()
    assert (UploadSession.objects.count(), Repository.objects.count()) == (0, 0)


def test_the_row_stays_while_bearer_tokens_live_that_are_older_than_the_deletion(registry, collector, settings):
    fill(registry)
    repository_id = delete(registry)
    settings.AUTH_KIND = "lading"
    collector.run()
    collector.assert_empty()
    assert rows_of(repository_id) == {}
    assert Repository.objects.filter(pk=repository_id).exists()
    Repository.objects.update(deleted_at=timezone.now() - settings.LADING_AUTH.expiration - timedelta(minutes=3))
    collector.run()
    assert not Repository.objects.exists()


def test_in_it_nothing_waits_for_what_kept_it(registry, collector):
    fill(registry)
    repository_id = delete(registry)
    purge_over()
    while not (piece := take_apart(repository_id)).armed:
        assert piece.removed
    # The first comes first, which the others keep.
    ManifestReview.objects.update(review_after=timezone.now())
    collector.manifests()
    assert not Manifest.objects.exists()
    assert not ManifestReview.objects.exists()


@pytest.mark.parametrize("options", [[], ["--now"]], ids=["due", "under a lease"])
def test_a_dry_run_lists_it_and_changes_nothing(registry, collector, settings, options):
    if options:
        settings.GC_GRACE = timedelta(hours=1)
    fill(registry)
    registry.push_image("kept", layers=[SHARED], name=OTHER)
    delete(registry)
    before = {*Manifest.objects.values_list("digest", flat=True), *Blob.objects.values_list("digest", flat=True)}
    listed = {line.split()[1].rpartition("@")[2] for line in run_command("--dry-run", *options).splitlines()[:-1]}
    assert Repository.objects.filter(purged_at=None).count() == 2
    assert TagHistory.objects.exists()
    run_command(*options)
    after = {*Manifest.objects.values_list("digest", flat=True), *Blob.objects.values_list("digest", flat=True)}
    assert listed == before - after
    assert descriptor(SHARED)["digest"] in after
    assert not RepositoryBlob.objects.exclude(repository__name=OTHER).exists()
