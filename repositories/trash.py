"""What was deleted and can still be restored, and letting go of it before its time."""

from datetime import datetime

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from blobs.links import lock_repository
from events import audit
from events.audit_actions import AuditAction
from registry_project.database import fetch_all, retried, writing
from registry_project.reviews import hasten_reviews
from repositories.models import ManifestReview, Tag, TagHistory
from repositories.sizes import total_size

PURGE_BATCH = 500

# Manifests that a tag reaches are live, those that only restorable history reaches are in the trash.
_BYTES = """
    WITH RECURSIVE live(id) AS (
        SELECT manifest_id FROM repositories_tag WHERE repository_id = %s
        UNION
        SELECT c.child_id FROM repositories_manifestchild c JOIN live ON live.id = c.parent_id
        WHERE c.child_id IS NOT NULL
    ),
    trash(id) AS (
        SELECT manifest_id FROM repositories_taghistory
        WHERE repository_id = %s AND restorable_until > %s AND manifest_id NOT IN (SELECT id FROM live)
        UNION
        SELECT c.child_id FROM repositories_manifestchild c JOIN trash ON trash.id = c.parent_id
        WHERE c.child_id IS NOT NULL AND c.child_id NOT IN (SELECT id FROM live)
    )
    SELECT SUM(b.size) FROM blobs_blob b
    WHERE b.id IN (SELECT blob_id FROM repositories_manifestblob WHERE manifest_id IN (SELECT id FROM trash))
        AND NOT EXISTS (
            SELECT 1 FROM repositories_manifestblob u
            WHERE u.blob_id = b.id AND u.manifest_id NOT IN (SELECT id FROM trash)
        )"""


def list_trash(repository_id: int, *, now: datetime) -> "QuerySet[TagHistory]":
    """What tags pointed to and can point to again, with `size_bytes`; not what they point to anyhow."""
    pointed = Tag.objects.filter(
        repository=OuterRef("repository"), name=OuterRef("name"), manifest=OuterRef("manifest")
    )
    entries = TagHistory.objects.filter(repository_id=repository_id, restorable_until__gt=now)
    return (
        entries.exclude(Exists(pointed))
        .select_related("manifest")
        .defer("manifest__payload", "manifest__annotations")
        .annotate(size_bytes=total_size("manifest"))
    )


def trash_bytes(repository_id: int, *, now: datetime) -> int:
    """Bytes that nothing but this trash holds in the whole registry."""
    moment = connection.ops.adapt_datetimefield_value(now)
    return int(str(fetch_all(_BYTES, [repository_id, repository_id, moment])[0][0] or 0))


def purge_trash(*, repository_id: int) -> int:
    """Let go of what could still be restored; the number of entries. Collection may take it from now on.

    Each batch is a transaction of its own: an end in between leaves the rest for the next call.
    """
    now, purged = timezone.now(), 0
    while batch := _purge_batch(repository_id, now):
        purged += batch
    return purged


@retried
def _purge_batch(repository_id: int, now: datetime) -> int:
    with writing():
        held = lock_repository(repository_id)
        entries = TagHistory.objects.filter(repository_id=repository_id, restorable_until__gt=now)
        rows = list(
            entries.select_for_update(no_key=True).order_by("pk").values_list("pk", "manifest_id")[:PURGE_BATCH]
        )
        if not rows:
            return 0
        TagHistory.objects.filter(pk__in=[pk for pk, _ in rows]).update(restorable_until=now)
        hasten_reviews(ManifestReview, (manifest_id for _, manifest_id in rows), review_after=now, reason="purged")
        audit.record(action=AuditAction.TRASH_PURGE, repository=held.name, detail={"entries": len(rows)})
        return len(rows)
