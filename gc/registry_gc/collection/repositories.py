"""Taking apart what a deleted repository held.

It begins with `purged_at`, behind the lock that a restore takes as well, and from then on nothing can come into the
repository or be wanted of it again. Tags, history and its retention policy go first. Then its manifests have nothing
that keeps them and fall by their reviews, as all others do, and the blobs by theirs; the empty row goes last. Each
piece is a transaction: who comes next goes on with what is there.
"""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.tokens import longest_life
from blobs.models import BlobReview, RepositoryBlob, UploadSession
from blobs.uploads import end_uploads
from registry_gc.collection.reviews import acting
from registry_gc.retention.policies import forget_policy
from registry_project.database import any_of, database_now, execute, fetch_all, key_share
from registry_project.reviews import arm_reviews, hasten_reviews
from repositories.models import Manifest, ManifestReview, Repository, Tag, TagHistory

BATCH = 500
_MOST_AT_ONCE = 1000
_REASON = "repository-purged"


def is_over(now: datetime) -> Q:
    """Repositories whose time in the trash is over, and that nobody has given up yet."""
    return Q(deleted_at__lte=now - settings.TRASH_KEEP, purged_at=None)


def is_purged() -> Q:
    """Repositories that are to be taken apart."""
    return Q(deleted_at__isnull=False, purged_at__isnull=False)


def purge_over() -> int:
    """Give up a batch of deleted repositories that can be restored no longer; how many there were."""
    with acting():
        now = database_now()
        over = Repository.objects.filter(is_over(now))
        held = over.select_for_update(skip_locked=True).order_by("deleted_at").values_list("pk", flat=True)[:BATCH]
        # Asked again: one that somebody has just restored, or purged, is theirs.
        return over.filter(pk__in=list(held)).update(purged_at=now)


def list_purged() -> list[int]:
    """Ids of repositories that are to be taken apart, those that have waited longest."""
    waiting = Repository.objects.filter(is_purged()).order_by("purged_at", "pk")
    return list(waiting.values_list("pk", flat=True)[:_MOST_AT_ONCE])


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step did: rows that it removed, and manifests that are due from now on."""

    removed: int = 0
    armed: int = 0


def take_apart(repository_id: int) -> Piece:
    """Take a batch of what a purged repository holds away.

    Nothing is done where another worker is at it, and where everything left waits: manifests for their reviews, an
    upload for its writer, the row for the end of bearer tokens that are older than the deletion, which only it refuses.
    """
    with acting():
        found = Repository.objects.filter(is_purged(), pk=repository_id)
        repository = found.select_for_update(skip_locked=True).first()
        if repository is None:
            return Piece()
        now = database_now()
        if ended := _end_tags(repository_id) or _forget_history(repository_id):
            return Piece(removed=ended)
        if forgotten := forget_policy(repository_id, limit=BATCH):
            return Piece(removed=forgotten)
        if Manifest.objects.filter(repository_id=repository_id).exists():
            return Piece(armed=_hasten_manifests(repository_id, now))
        if RepositoryBlob.objects.filter(repository_id=repository_id).exists():
            return Piece(removed=_unlink_blobs(repository_id, now))
        if UploadSession.objects.filter(repository_id=repository_id).exists():
            return Piece(removed=end_uploads(repository_id=repository_id, limit=BATCH))
        assert repository.deleted_at is not None
        if repository.deleted_at + longest_life() > now:
            return Piece()
        return Piece(removed=execute(f"DELETE FROM {Repository._meta.db_table} WHERE id = %s", [repository_id]))


def _end_tags(repository_id: int) -> int:
    return _delete(Tag.objects.filter(repository_id=repository_id))


def _forget_history(repository_id: int) -> int:
    return _delete(TagHistory.objects.filter(repository_id=repository_id))


def _delete(rows: QuerySet[Tag] | QuerySet[TagHistory]) -> int:
    ids = list(rows.values_list("pk", flat=True)[:BATCH])
    condition, wanted = any_of(ids)
    return execute(f"DELETE FROM {rows.model._meta.db_table} WHERE id {condition}", [wanted]) if ids else 0


def _hasten_manifests(repository_id: int, now: datetime) -> int:
    # Whatever else arms one of them from now on has less of a hurry, and then it comes up here again.
    armed = ManifestReview.objects.filter(pk=OuterRef("pk"), reason=_REASON)
    rest = Manifest.objects.filter(~Exists(armed), repository_id=repository_id)
    ids = list(rest.values_list("pk", flat=True)[:BATCH])
    hasten_reviews(ManifestReview, ids, review_after=now, reason=_REASON)
    return len(ids)


def _unlink_blobs(repository_id: int, now: datetime) -> int:
    links = RepositoryBlob.objects.filter(repository_id=repository_id).order_by("blob_id")
    condition, wanted = any_of(list(links.values_list("blob_id", flat=True)[:BATCH]))
    # What is being collected at this moment loses its link by that.
    rows = fetch_all(
        f"SELECT id FROM blobs_blob WHERE id {condition} ORDER BY id{key_share(skip_locked=True)}", [wanted]
    )
    held = [int(str(blob_id)) for (blob_id,) in rows]
    condition, wanted = any_of(held)
    execute(
        f"DELETE FROM blobs_repositoryblob WHERE repository_id = %s AND blob_id {condition}", [repository_id, wanted]
    )
    arm_reviews(BlobReview, held, review_after=now + settings.GC_GRACE, reason=_REASON)
    return len(held)
