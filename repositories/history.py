"""Undoing: a tag points again to what it pointed to, and what was deleted with it comes back."""

from datetime import datetime

from django.conf import settings
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from accounts.rights import Principal
from blobs.links import HeldRepository, link_blob, lock_repository
from blobs.models import RepositoryBlob
from events import announcements, audit
from events.audit_actions import AuditAction
from oci.digests import Digest
from oci.errors import ManifestUnknown
from oci.names import TagName
from registry_project.database import LostRace, any_of, fetch_all, key_share, retried, writing
from registry_project.reviews import arm_reviews
from repositories.models import Manifest, ManifestChild, ManifestReview, PointedAs, TagHistory
from repositories.tags import point_tags

# A manifest and all below it.
_TREE = """
    WITH RECURSIVE tree(id) AS (
        SELECT id FROM repositories_manifest WHERE repository_id = %s AND digest = %s
        UNION
        SELECT c.child_id FROM repositories_manifestchild c JOIN tree ON tree.id = c.parent_id
        WHERE c.child_id IS NOT NULL
    )
    SELECT id FROM tree ORDER BY id"""


@retried
def restore_tag(*, repository_id: int, name: TagName, digest: Digest, principal: Principal) -> None:
    """Let a tag point to a manifest of the repository that is there, or that history can still bring back.

    A manifest that was deleted by digest is there again afterwards, with its children and its links to blobs. Raises
    ManifestUnknown, TagImmutable, TagReserved, and QuotaExceeded where the team had given up the bytes.
    """
    now = timezone.now()
    with writing():
        held = lock_repository(repository_id)
        tree = [int(str(row[0])) for row in fetch_all(_TREE, [repository_id, str(digest)])]
        sizes = _hold_blobs_of(tree)
        manifest = _hold_restorable(tree, digest, now)
        Manifest.objects.filter(pk__in=tree, deleted_at__isnull=False).update(deleted_at=None)
        _link_to_waiting_indexes(repository_id, tree)
        moves = point_tags(
            held,
            repository_id=repository_id,
            names=[name],
            manifest_id=manifest.pk,
            principal=principal,
            now=now,
            pointed_as=PointedAs.RESTORE,
        )
        _link_again(held, repository_id, sizes, now)
        left = [move.left_id for move in moves if move.left_id is not None]
        arm_reviews(ManifestReview, left, review_after=now + settings.TRASH_KEEP, reason="tag-moved")
        left_digest = next((move.left_digest for move in moves), "")
        before = {"from": left_digest} if left_digest else {}
        audit.record(
            action=AuditAction.TAG_RESTORE, repository=held.name, target=name, detail={**before, "to": str(digest)}
        )
        announcements.manifest_pushed(
            repository_id=repository_id,
            digest=digest,
            media_type=manifest.media_type,
            payload=bytes(manifest.payload),
            tags=[name],
            principal=principal.name,
        )


def _hold_blobs_of(tree: list[int]) -> dict[int, int]:
    """The sizes by id of what manifests refer to; a reference keeps each of them, whoever took its link away."""
    condition, wanted = any_of(tree)
    rows = fetch_all(
        "SELECT id, size FROM blobs_blob WHERE id IN"
        f" (SELECT blob_id FROM repositories_manifestblob WHERE manifest_id {condition}) ORDER BY id{key_share()}",
        [wanted],
    )
    return {int(str(blob_id)): int(str(size)) for blob_id, size in rows}


def _hold_restorable(tree: list[int], digest: Digest, now: datetime) -> Manifest:
    """Hold the manifests against deletion; the one of the digest. Raises ManifestUnknown, or LostRace."""
    rows = Manifest.objects.select_for_update(no_key=True).filter(pk__in=tree).order_by("pk")
    if len(rows.values_list("pk")) < len(tree):
        raise LostRace
    # In a statement of its own: one that waited does not see what the lock's holder has done.
    manifest = Manifest.objects.filter(pk__in=tree, digest=str(digest)).first()
    restorable = TagHistory.objects.filter(manifest=manifest, restorable_until__gt=now)
    if manifest is None or (manifest.deleted_at is not None and not restorable.exists()):
        raise ManifestUnknown({"digest": str(digest)})
    return manifest


def _link_to_waiting_indexes(repository_id: int, tree: list[int]) -> None:
    """Let sparse indexes that came while these were deleted keep them, as they would after a push."""
    restored = Manifest.objects.filter(pk__in=tree)
    waiting = ManifestChild.objects.filter(
        repository_id=repository_id, child=None, digest__in=restored.values("digest")
    )
    waiting.update(child=Subquery(restored.filter(digest=OuterRef("digest")).values("pk")[:1]))


def _link_again(held: HeldRepository, repository_id: int, sizes: dict[int, int], now: datetime) -> None:
    """Link the blobs that were taken from the repository while their manifest was hidden."""
    links = RepositoryBlob.objects.filter(repository_id=repository_id, blob_id__in=sizes)
    for blob_id in sorted(sizes.keys() - set(links.values_list("blob_id", flat=True))):
        link_blob(
            repository_id=repository_id, held=held, blob_id=blob_id, size=sizes[blob_id], now=now, reason="restored"
        )
