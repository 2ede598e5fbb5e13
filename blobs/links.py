"""Links between repositories, teams and blobs: who may use which bytes, and what protects them."""

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from django.conf import settings
from django.db import connection
from django.utils import timezone

from blobs.models import REPOSITORIES, TAG_RULES, Blob, BlobReview, RepositoryBlob, StorageDeletion, UsageDelta
from blobs.usage import hold_room
from events import announcements, audit
from events.audit_actions import AuditAction
from oci.digests import Digest
from oci.errors import BlobUnknown, NameUnknown
from oci.names import RepositoryName
from registry_project.database import LostRace, any_of, fetch_all, key_share, retried, writing
from registry_project.reviews import arm_reviews

log = logging.getLogger("lading.blobs")

# The first of the repositories that the caller may pull.
FindReadable = Callable[[Collection[RepositoryName]], RepositoryName | None]

# How many holders of a blob are looked at for one that the caller may pull, when the client names none.
MOUNT_SOURCES = 100


@dataclass(frozen=True, slots=True)
class HeldRepository:
    """A repository that cannot be deleted before the transaction ends; `quota_bytes` None is unlimited."""

    team_id: int
    name: RepositoryName
    quota_bytes: int | None = None
    has_tag_rules: bool = False


def lock_repository(repository_id: int) -> HeldRepository:
    """Keep a repository from being deleted until the transaction ends. Raises NameUnknown."""
    rows = fetch_all(
        "SELECT r.team_id, r.name, t.quota_bytes,"
        f" EXISTS (SELECT 1 FROM {TAG_RULES} p WHERE p.team_id = r.team_id)"
        f" FROM {REPOSITORIES} r JOIN accounts_team t ON t.id = r.team_id"
        f" WHERE r.id = %s AND r.deleted_at IS NULL{key_share(of='r')}",
        [repository_id],
    )
    if not rows:
        raise NameUnknown
    team_id, name, quota_bytes, has_tag_rules = cast("tuple[int, str, int | None, bool]", rows[0])
    return HeldRepository(team_id, RepositoryName(name), quota_bytes, bool(has_tag_rules))


def store_blob(*, digest: Digest, size: int, storage_key: str, now: datetime) -> int:
    """Make bytes that are durable under `storage_key` the blob of that digest; its id.

    Where the blob exists already, its own bytes stay and ours go to the outbox; those of a blob in quarantine go, and
    ours take their place. Holds the blob's row.
    """
    moment = connection.ops.adapt_datetimefield_value(now)
    inserted = fetch_all(
        "INSERT INTO blobs_blob (digest, size, storage_key, created_at, scrubbed_at, verified_at)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (digest) DO NOTHING RETURNING id",
        [str(digest), size, storage_key, moment, moment, moment],
    )
    if inserted:
        return int(str(inserted[0][0]))
    # ON CONFLICT DO NOTHING locks nothing: collection may remove the row before we hold it. Then we begin again.
    existing = fetch_all(
        f"SELECT id FROM blobs_blob WHERE digest = %s AND quarantined_at IS NULL{key_share()}",
        [str(digest)],
    )
    if not existing:
        return _heal_blob(digest=digest, storage_key=storage_key, now=now)
    discard_bytes(storage_key=storage_key, digest=str(digest), size=size, not_before=now)
    return int(str(existing[0][0]))


def _heal_blob(*, digest: Digest, storage_key: str, now: datetime) -> int:
    """Give a blob in quarantine the bytes that were just verified; raises LostRace where there is none any more."""
    # Not by way of a weaker lock: two who heal the same blob would wait for each other.
    blob = Blob.objects.select_for_update().filter(digest=str(digest), quarantined_at__isnull=False).first()
    if blob is None:
        raise LostRace
    replace_bytes(blob=blob, storage_key=storage_key, now=now)
    return blob.pk


def replace_bytes(*, blob: Blob, storage_key: str, now: datetime) -> None:
    """Make verified bytes those of a blob whose row is held FOR UPDATE, and end its quarantine.

    What was there goes to the outbox, without its digest: nobody may take it for a copy.
    """
    damaged = blob.storage_key
    Blob.objects.filter(pk=blob.pk).update(
        storage_key=storage_key, scrubbed_at=now, verified_at=now, quarantined_at=None, quarantine_reason=""
    )
    # It stays as long as what was deleted by mistake, for whoever wants to know what happened to it.
    discard_bytes(storage_key=damaged, size=blob.size, not_before=now + max(settings.GC_LINGER, settings.TRASH_KEEP))
    audit.record(action=AuditAction.BLOB_HEAL, target=blob.digest, detail={"size": blob.size, "was": damaged})
    log.warning("blob %s has right bytes again; the damaged ones at %s go later", blob.digest, damaged)


def link_blob(*, repository_id: int, held: HeldRepository, blob_id: int, size: int, now: datetime, reason: str) -> None:
    """Give a repository the right to a blob whose row is held, under a lease that protects it until its manifest.

    Raises QuotaExceeded when its team has no room for it.
    """
    leased_until = now + settings.GC_GRACE
    RepositoryBlob.objects.bulk_create(
        [RepositoryBlob(repository_id=repository_id, blob_id=blob_id, leased_until=leased_until)],
        update_conflicts=True,
        unique_fields=["repository", "blob"],
        update_fields=["leased_until"],
    )
    # The row itself says whether the team has the blob: a counter here would queue a team's pushes up.
    new = fetch_all(
        "INSERT INTO blobs_teamblob (team_id, blob_id) VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING id",
        [held.team_id, blob_id],
    )
    if new:
        UsageDelta.objects.create(team_id=held.team_id, size=size, created_at=now)
        if held.quota_bytes is not None:
            hold_room(team_id=held.team_id, team=held.name.team_slug, quota_bytes=held.quota_bytes, size=size)
    arm_reviews(BlobReview, [blob_id], review_after=leased_until, reason=reason)


@retried
def extend_lease(*, repository_id: int, blob_id: int, now: datetime) -> None:
    """Protect a blob anew that a client has just been told to exist; raises BlobUnknown when it is gone by now."""
    with writing():
        # Without the row's lock, collection could remove the blob between our answer and its lease.
        if not fetch_all(f"SELECT id FROM blobs_blob WHERE id = %s AND quarantined_at IS NULL{key_share()}", [blob_id]):
            raise BlobUnknown
        leased_until = now + settings.GC_GRACE
        links = RepositoryBlob.objects.filter(repository_id=repository_id, blob_id=blob_id)
        if not links.update(leased_until=leased_until):
            raise BlobUnknown
        arm_reviews(BlobReview, [blob_id], review_after=leased_until, reason="lease-extended")


def discard_bytes(*, storage_key: str, digest: str = "", size: int = 0, not_before: datetime) -> None:
    """Hand bytes to the outbox; the caller takes their other name away in the same transaction."""
    StorageDeletion.objects.create(storage_key=storage_key, digest=digest, size=size, not_before=not_before)


def hold_blobs(*, repository_id: int, digests: Iterable[str]) -> dict[str, int]:
    """Keep blobs from being removed until the transaction ends; the ids of those that the repository has.

    Those in quarantine count as absent, so that clients push them again.
    """
    condition, wanted = any_of(sorted(set(digests)))
    # In the order of their ids, so that two pushes of overlapping layers cannot wait for each other.
    held = fetch_all(
        f"SELECT id, digest FROM blobs_blob WHERE digest {condition} AND quarantined_at IS NULL"
        f" ORDER BY id{key_share()}",
        [wanted],
    )
    ids = {int(str(blob_id)): str(digest) for blob_id, digest in held}
    # In a statement of its own: one that waited for a lock does not see what the lock's holder unlinked.
    linked = RepositoryBlob.objects.filter(repository_id=repository_id, blob_id__in=list(ids))
    return {ids[blob_id]: blob_id for blob_id in linked.values_list("blob_id", flat=True)}


@retried
def mount_blob(
    *, repository_id: int, digest: Digest, source: RepositoryName | None, find_readable: FindReadable
) -> bool:
    """Give a repository a blob of another one (end-11); False where nothing that the caller may pull holds it.

    Without a `source` any repository will do. Every refusal looks the same, so that nobody learns what exists.
    """
    if source is not None and find_readable([source]) is None:
        return False
    now = timezone.now()
    with writing():
        held = lock_repository(repository_id)
        rows = fetch_all(
            f"SELECT id, size FROM blobs_blob WHERE digest = %s AND quarantined_at IS NULL{key_share()}",
            [str(digest)],
        )
        blob_id, size = (int(str(rows[0][0])), int(str(rows[0][1]))) if rows else (0, 0)
        holders = RepositoryBlob.objects.filter(blob_id=blob_id, repository__deleted_at=None)
        if source is not None:
            holders = holders.filter(repository__name=source.text)
        names = list(holders.values_list("repository__name", flat=True)[:MOUNT_SOURCES])
        # What nobody has takes the same statements as what the caller may not see: time would tell them apart.
        origin = find_readable([RepositoryName(name) for name in names] or [held.name])
        if origin is None or not names:
            return False
        link_blob(repository_id=repository_id, held=held, blob_id=blob_id, size=size, now=now, reason="mounted")
        audit.record(
            action=AuditAction.BLOB_MOUNT,
            repository=held.name,
            target=digest,
            detail={"size": size, "from": origin.text},
        )
        announcements.blob_mounted(repository_id=repository_id, digest=digest, size=size, origin=origin.text)
    return True
