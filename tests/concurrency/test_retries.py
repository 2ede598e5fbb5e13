"""Races that were lost: the write runs again as a whole, or is reported; it never stays half done."""

from threading import Barrier

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

import blobs.uploads
import repositories.manifests
from accounts.models import Team
from blobs.models import Blob, BlobReview, RepositoryBlob, UploadSession
from blobs.uploads import complete_upload, start_upload
from oci.digests import Digest
from oci.names import TagName
from registry_project.database import MAX_ATTEMPTS, LostRace, retried, writing
from repositories.models import Manifest, ManifestBlob, ManifestReview, Repository, Tag, TagHistory
from tests.concurrency.meeting import at_once, body

LAYER = b"a layer"


class Failing:
    """A function that does its work and then fails as often as it is told to."""

    def __init__(self, monkeypatch, module, name, failure, times=1) -> None:
        self.calls = 0
        self._original = getattr(module, name)
        self._failure, self._times = failure, times
        monkeypatch.setattr(module, name, self)

    def __call__(self, *args, **kwargs):
        self.calls += 1
        result = self._original(*args, **kwargs)
        if self.calls <= self._times:
            self._failure()
        return result


def lose_race():
    raise LostRace


def real_deadlock():
    """Ask PostgreSQL to fail this transaction as it does the victim of a deadlock."""
    with connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '40P01'; END $$")


def serialization_failure():
    with connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '40001'; END $$")


def foreign_key_at_commit():
    """Refer to a row that is not there: the keys are deferred, so nothing fails before the commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO repositories_manifestblob (manifest_id, blob_id, repository_id, role)"
            " VALUES (999999999, 999999999, 999999999, 'layer')"
        )


FAILURES = [lose_race, real_deadlock, serialization_failure, foreign_key_at_commit]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_a_lost_race_of_a_push_is_tried_again(house, monkeypatch, failure):
    house.push_blob(LAYER)
    failing = Failing(monkeypatch, repositories.manifests, "point_tags", failure)
    digest = house.put_manifest(TagName("v1"), [LAYER])
    assert failing.calls == 2
    assert Tag.objects.get(name="v1").manifest.digest == str(digest)
    assert ManifestBlob.objects.count() == 2
    assert not TagHistory.objects.exists()


@pytest.mark.parametrize(
    ("failure", "error"),
    [(lose_race, LostRace), (real_deadlock, OperationalError), (foreign_key_at_commit, IntegrityError)],
)
def test_a_race_lost_for_good_is_reported_and_leaves_nothing(house, monkeypatch, failure, error):
    house.push_blob(LAYER)
    failing = Failing(monkeypatch, repositories.manifests, "point_tags", failure, times=MAX_ATTEMPTS)
    with pytest.raises(error):
        house.put_manifest(TagName("v1"), [LAYER])
    assert failing.calls == MAX_ATTEMPTS
    for model in (Manifest, ManifestBlob, Tag, TagHistory, ManifestReview):
        assert not model.objects.exists(), model


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_a_lost_race_of_a_completion_is_tried_again(house, monkeypatch, failure):
    upload = start_upload(owner=house.owner)
    failing = Failing(monkeypatch, blobs.uploads, "link_blob", failure)
    complete_upload(
        owner=house.owner, session_id=upload.id, digest=Digest.of(LAYER), content_range=None, body=body(LAYER)
    )
    assert failing.calls == 2
    blob = Blob.objects.get(digest=str(Digest.of(LAYER)))
    assert RepositoryBlob.objects.filter(blob=blob).count() == 1
    assert BlobReview.objects.get(blob_id=blob.pk).version == 1
    assert UploadSession.objects.get(pk=upload.pk).storage_key is None


def test_nothing_is_tried_again_inside_a_larger_transaction(house):
    """There the first failure has already broken the transaction."""
    calls = []

    @retried
    def write():
        calls.append(1)
        with writing():
            raise LostRace

    with pytest.raises(LostRace), transaction.atomic():
        write()
    assert len(calls) == 1


def test_other_database_errors_are_not_tried_again(house):
    calls = []

    @retried
    def write():
        calls.append(1)
        with writing(), connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '57014'; END $$")

    with pytest.raises(OperationalError):
        write()
    assert len(calls) == 1


def test_two_transactions_that_really_deadlock_both_succeed(transactional_db, store):
    rows = [Repository.objects.create(team=_team(), name=f"deadlock/{number}") for number in range(2)]
    attempts = []
    met = Barrier(2)

    def crosswise(first, second):
        @retried
        def write():
            attempts.append(1)
            with writing():
                Repository.objects.select_for_update().get(pk=first)
                if len(attempts) <= 2:
                    met.wait(60)
                Repository.objects.select_for_update().get(pk=second)

        return write

    one, two = rows[0].pk, rows[1].pk
    assert at_once([crosswise(one, two), crosswise(two, one)]) == [None, None]
    assert len(attempts) == 3


def _team():
    return Team.objects.get_or_create(slug="deadlock")[0]
