"""`lading check` and `lading check --repair`: what is wrong, what was done about it, and that nothing else was."""

import io
import json
import os
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Team
from blobs import copies
from blobs.claims import CLAIM
from blobs.deletions import drain_storage_deletions
from blobs.integrity import check_integrity
from blobs.models import (
    Blob,
    BlobReview,
    RepositoryBlob,
    StorageDeletion,
    TeamBlob,
    TeamUsage,
    UploadSession,
    UsageDelta,
)
from blobs.usage import recount, usage_of
from oci.errors import Unavailable
from registry_gc.collection.integrity import Result, check_everything
from registry_gc.collection.integrity import repair as put_right
from repositories.models import Manifest, ManifestReview, Repository, Tag
from tests.api.invariants import assert_every_byte_is_named_once
from tests.factories import NAME, digest_of

pytestmark = pytest.mark.django_db
LAYER = b"layer"


@pytest.fixture
def image(registry):
    return registry.push_image("1.0", layers=[LAYER])


def check(*options):
    """The exit code, the findings and the summary."""
    out = io.StringIO()
    try:
        call_command("check", "--json", *options, stdout=out)
        code = 0
    except SystemExit as ended:
        code = ended.code
    *findings, summary = map(json.loads, out.getvalue().splitlines())
    return code, findings, summary


def repair(*options):
    return check("--repair", "--older-than", "0s", *options)


def blob_of(content):
    return Blob.objects.get(digest=digest_of(content))


def file_of(store, content):
    return store._root / blob_of(content).storage_key


def stray(store, content=b"stray", *, age=timedelta(days=2)):
    key = store.new_key()
    store.write(key, [content], offset=0, state={})
    store.seal(key, size=len(content), state={})
    old = (timezone.now() - age).timestamp()
    os.utime(store._root / key, (old, old))
    return key


def assert_clean(store):
    assert check("--read", "--older-than", "0s") == (0, [], {"found": {}, "results": {}})
    assert_every_byte_is_named_once(store)


def test_nothing_is_wrong_after_ordinary_work(registry, store, image):
    location = registry.start_upload()
    registry.patch(location, b"half")
    registry.push_blob(LAYER)
    registry.push_image(None, layers=[b"untagged"])
    registry.delete(f"/v2/{NAME}/manifests/1.0")
    assert_clean(store)
    assert repair("--read") == (0, [], {"found": {}, "results": {}})


def test_without_repair_nothing_changes(registry, store, image):
    stray(store)
    file_of(store, LAYER).unlink()
    TeamUsage.objects.create(team=Team.objects.get(slug="alice"), size=7)
    ManifestReview.objects.all().delete()
    code, findings, summary = check("--read")
    assert code == 1
    assert summary["found"] == {"missing": 1, "unnamed": 1, "usage": 1}
    assert {finding["result"] for finding in findings} == {"left"}
    assert check("--read") == (code, findings, summary)
    assert not StorageDeletion.objects.exists()
    assert not Blob.objects.filter(quarantined_at__isnull=False).exists()


def test_people_are_told_in_words(registry, store, image, capsys):
    key = stray(store)
    with pytest.raises(SystemExit) as ended:
        call_command("check", "--repair")
    assert ended.value.code == 3
    told = capsys.readouterr()
    assert f"{key}: unnamed: nothing in the database knows these bytes" in told.out
    assert "repaired: they go from" in told.out
    assert "1 disagreement(s): 1 unnamed (1 repaired)" in told.err


def test_unnamed_bytes_go_by_way_of_the_outbox_and_not_at_once(store, image, settings):
    settings.TRASH_KEEP = timedelta(days=7)
    key = stray(store)
    code, (finding,), _ = repair()
    assert (code, finding["problem"], finding["result"]) == (3, "unnamed", "repaired")
    assert StorageDeletion.objects.get().not_before > timezone.now() + timedelta(days=6)
    drain_storage_deletions()
    assert store.size(key) == 5
    assert_clean(store)
    StorageDeletion.objects.update(not_before=timezone.now())
    drain_storage_deletions()
    assert store.size(key) is None


def test_young_bytes_are_left_alone(store, image):
    key = stray(store, age=timedelta(hours=23))
    assert check("--repair")[0] == 0
    assert not StorageDeletion.objects.exists()
    assert [finding["about"] for finding in check("--older-than", "22h")[1]] == [key]


def test_bytes_that_got_a_name_meanwhile_are_left_alone(store, image):
    key = stray(store)
    (finding,) = check_everything()
    UploadSession.objects.create(
        repository=Repository.objects.get(), storage_key=key, expires_at=timezone.now() + timedelta(days=1)
    )
    assert put_right(finding).result is Result.GONE
    assert not StorageDeletion.objects.exists()


def test_lost_bytes_are_quarantined_until_they_are_pushed_again(registry, store, image):
    file_of(store, LAYER).unlink()
    code, (finding,), summary = repair()
    assert (code, summary["results"]) == (1, {"contained": 1})
    assert digest_of(LAYER) in finding["detail"]
    assert registry.head(f"/v2/{NAME}/blobs/{digest_of(LAYER)}").status == 404
    assert repair()[2] == {"found": {"quarantined": 1}, "results": {"contained": 1}}
    registry.push_blob(LAYER)
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(LAYER)}").body == LAYER
    assert_clean(store)


def test_shortened_and_changed_bytes_are_found(registry, store):
    registry.push_image("1.0", layers=[b"shortened", b"changed"])
    file_of(store, b"shortened").write_bytes(b"short")
    file_of(store, b"changed").write_bytes(b"CHANGED")
    assert check()[2]["found"] == {"wrong-size": 1}
    assert check("--read")[2]["found"] == {"wrong-size": 1, "wrong-digest": 1}
    assert repair("--read")[2] == {"found": {"wrong-size": 1, "wrong-digest": 1}, "results": {"contained": 2}}


def test_a_blob_that_cannot_be_read_does_not_end_the_check(registry, store, image, monkeypatch):
    key, real = blob_of(LAYER).storage_key, type(store).size
    stray(store)

    def fail(self, asked, **more):
        if asked == key:
            raise Unavailable
        return real(self, asked, **more)

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "size", fail)
        assert check()[2]["found"] == {"unreadable": 1, "unnamed": 1}
        assert repair()[2]["results"] == {"left": 1, "repaired": 1}
    assert_clean(store)


def test_lost_bytes_come_back_from_unnamed_ones(registry, store, image):
    file_of(store, LAYER).unlink()
    key = stray(store, LAYER)
    stray(store, b"loyer")
    _code, findings, summary = repair()
    assert summary["found"] == {"missing": 1, "unnamed": 2}
    (found,) = [finding for finding in findings if finding["about"] == key]
    assert f"{digest_of(LAYER)}, which is whole again" in found["action"]
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(LAYER)}").body == LAYER
    assert_clean(store)


def test_lost_bytes_come_back_from_the_outbox(registry, store, image):
    registry.push_blob(LAYER)
    file_of(store, LAYER).unlink()
    code, (finding,), _ = repair()
    assert (code, finding["result"]) == (3, "repaired")
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(LAYER)}").body == LAYER
    drain_storage_deletions()
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(LAYER)}").body == LAYER
    assert_clean(store)


@pytest.mark.parametrize("step", ["write", "seal", "adopt"])
def test_killed_while_it_copies_it_leaves_what_the_next_run_goes_on_with(registry, store, image, monkeypatch, step):
    registry.push_blob(LAYER)
    file_of(store, LAYER).unlink()

    class Killed(BaseException):
        pass

    def die(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        if step == "adopt":
            patch.setattr(copies, "_adopt", die)
        else:
            patch.setattr(type(store), step, die)
        with pytest.raises(Killed):
            repair()
    assert_every_byte_is_named_once(store)
    assert repair()[0] == 3
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(LAYER)}").body == LAYER
    StorageDeletion.objects.update(not_before=timezone.now())
    drain_storage_deletions()
    assert_clean(store)


def test_an_upload_whose_bytes_are_lost_ends_unless_somebody_writes_to_it(registry, store, image):
    location = registry.start_upload()
    registry.patch(location, b"half")
    upload = UploadSession.objects.get(completed_digest="")
    store.delete(upload.storage_key)
    UploadSession.objects.filter(pk=upload.pk).update(busy_until=timezone.now() + CLAIM)
    assert repair()[0] == 0
    UploadSession.objects.filter(pk=upload.pk).update(busy_until=None)
    assert repair()[0] == 3
    assert registry.get(location).status == 404
    assert_clean(store)


def test_bytes_that_are_named_twice_stay_with_their_blob(registry, store, image):
    StorageDeletion.objects.create(storage_key=blob_of(LAYER).storage_key, not_before=timezone.now())
    assert repair()[0] == 3
    drain_storage_deletions()
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(LAYER)}").body == LAYER


def test_accounts_are_recounted(registry, store, image):
    team = Team.objects.get(slug="alice")
    for size in (10**6, 0):
        TeamUsage.objects.update_or_create(team=team, defaults={"size": size})
        _code, findings, _ = repair()
        assert usage_of(team.pk) == recount(team.pk)
        assert [finding["problem"] for finding in findings] in (["usage"], [])
    assert_clean(store)


def test_rights_that_are_missing_come_back(registry, store, image):
    team = Team.objects.get(slug="alice")
    RepositoryBlob.objects.filter(blob=blob_of(LAYER)).delete()
    TeamBlob.objects.filter(blob=blob_of(LAYER)).delete()
    UsageDelta.objects.create(team=team, size=-len(LAYER))
    Team.objects.update(quota_bytes=1)
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(LAYER)}").status == 404
    code, (finding,), _ = repair()
    assert (code, finding["problem"]) == (3, "no-right")
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(LAYER)}").body == LAYER
    assert_clean(store)


def test_payloads_that_are_wrong_come_from_another_repository_or_are_told(registry, store, image):
    Manifest.objects.update(payload=b"{}")
    code, (finding,), _ = repair()
    assert (code, finding["problem"], finding["result"]) == (1, "payload", "left")
    registry.push_image("1.0", "bob/app", layers=[LAYER])
    assert repair()[0] == 3
    assert registry.get(f"/v2/{NAME}/manifests/1.0").body == image.payload
    assert_clean(store)


def test_tags_of_another_repositorys_manifest_come_home(registry, store, image):
    registry.push_image("1.0", "bob/app", layers=[LAYER])
    theirs = Manifest.objects.get(repository__name="bob/app")
    Tag.objects.filter(repository__name=NAME).update(manifest=theirs)
    # Its own manifest has no tag now, and nobody said so.
    assert check()[2]["found"] == {"foreign-tag": 1, "no-review": 1}
    assert repair()[0] == 3
    assert Tag.objects.get(repository__name=NAME).manifest.repository.name == NAME
    registry.push_image("2.0", "bob/app", layers=[b"theirs alone"])
    Tag.objects.filter(repository__name=NAME).update(
        manifest=Tag.objects.get(name="2.0", repository__name="bob/app").manifest
    )
    assert repair()[2]["results"]["left"] == 1


def test_garbage_without_a_review_gets_one(registry, store, image):
    registry.push_blob(b"unused")
    registry.push_image(None, layers=[b"untagged"])
    BlobReview.objects.all().delete()
    ManifestReview.objects.all().delete()
    code, _, summary = repair()
    assert (code, summary["found"]) == (3, {"no-review": 2})
    assert BlobReview.objects.filter(pk=blob_of(b"unused").pk).exists()
    assert_clean(store)


def test_memory_does_not_grow_with_what_is_stored(registry, store, image, monkeypatch):
    """No statement reads more rows than a batch, and none is left open."""
    for number in range(7):
        registry.push_blob(b"%d" % number)
    monkeypatch.setattr("blobs.integrity._BATCH", 3)
    monkeypatch.setattr(
        "django.db.models.query.QuerySet.iterator", lambda *_, **__: pytest.fail("a cursor that stays open")
    )
    for _ in range(4):
        stray(store)
    assert len(list(check_integrity())) == 4


def test_an_age_that_cannot_be_read_is_refused(store):
    with pytest.raises(CommandError, match="older-than"):
        call_command("check", "--older-than", "yesterday")
