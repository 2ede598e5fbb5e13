"""Manifests: pushing and deleting, each in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from accounts.rights import Principal
from blobs.links import hold_blobs, lock_repository
from blobs.usage import check_not_over
from events import announcements, audit
from events.audit_actions import AuditAction
from oci.digests import Digest
from oci.documents import ManifestDocument, parse_manifest
from oci.errors import DigestMismatch, ManifestBlobUnknown, ManifestUnknown
from oci.names import Reference, TagName
from registry_project.database import any_of, fetch_all, for_update, key_share, retried, writing
from registry_project.reviews import arm_reviews
from repositories.models import Manifest, ManifestBlob, ManifestChild, ManifestReview, Tag, TagHistory
from repositories.tags import check_deletes, describe_end, end_tags, point_tags
from repositories.validation import check_urls, must_hold_child


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """What a push made: the digest to answer with, the subject it refers to, the tags that point to it."""

    digest: Digest
    subject: Digest | None
    tags: tuple[TagName, ...]


def put_manifest(
    *,
    repository_id: int,
    principal: Principal,
    reference: Reference,
    tags: Sequence[TagName] = (),
    payload: bytes,
    content_type: str,
) -> PushedManifest:
    """Store a manifest verbatim and point tags to it (end-7).

    `reference` is a tag or the digest that the payload must have; `tags` come beside a digest. Raises
    ManifestInvalid, DigestMismatch, ManifestBlobUnknown with every digest that the repository lacks, QuotaExceeded, and
    TagImmutable or TagReserved where a rule of the team protects a tag.
    """
    document = parse_manifest(payload, content_type)
    check_urls(document)
    if isinstance(reference, Digest):
        digest = Digest.of(payload, reference.algorithm)
        if digest != reference:
            raise DigestMismatch({"expected": str(reference), "actual": str(digest)})
    else:
        digest, tags = Digest.of(payload), (reference, *tags)
    tags = tuple(dict.fromkeys(tags))
    _store(repository_id, principal, digest, tags, payload, document)
    return PushedManifest(digest, document.subject, tags)


@retried
def _store(
    repository_id: int,
    principal: Principal,
    digest: Digest,
    tags: tuple[TagName, ...],
    payload: bytes,
    document: ManifestDocument,
) -> None:
    now = timezone.now()
    with writing():
        held = lock_repository(repository_id)
        check_not_over(team_id=held.team_id, team=held.name.team_slug, quota_bytes=held.quota_bytes)
        references = _hold_references(repository_id, document)
        manifest = _upsert(repository_id, principal, digest, payload, document, now)
        _link(manifest, references, document)
        moves = point_tags(
            held, repository_id=repository_id, names=tags, manifest_id=manifest.pk, principal=principal, now=now
        )
        if tags:
            left = [move.left_id for move in moves if move.left_id is not None]
            arm_reviews(ManifestReview, left, review_after=now + settings.TRASH_KEEP, reason="tag-moved")
        elif settings.GC_UNTAGGED is not None:
            arm_reviews(
                ManifestReview, [manifest.pk], review_after=now + settings.GC_UNTAGGED, reason="pushed-untagged"
            )
        else:
            # A referrer whose subject went is garbage; pushed again it is only untagged, and stays.
            ManifestReview.objects.filter(pk=manifest.pk).update(version=F("version") + 1, reason="pushed-untagged")
        pushed = audit.describe(
            action=AuditAction.MANIFEST_PUSH,
            repository=held.name,
            target=digest,
            detail={"media_type": document.media_type, "size": len(payload), "tags": [str(tag) for tag in tags]},
        )
        audit.record_all([pushed, *(move.describe(held.name, to=digest) for move in moves)])
        announcements.manifest_pushed(
            repository_id=repository_id,
            digest=digest,
            media_type=document.media_type,
            payload=payload,
            tags=tags,
            principal=principal.name,
        )


@dataclass(frozen=True, slots=True)
class _References:
    """Ids of what a document names, by digest, held until the transaction ends."""

    blobs: dict[str, int]
    manifests: dict[str, int]


def _hold_references(repository_id: int, document: ManifestDocument) -> _References:
    blobs: dict[str, int] = {}
    manifests: dict[str, int] = {}
    named = {str(descriptor.digest) for descriptor in document.descriptors()}
    if named:
        blobs = hold_blobs(repository_id=repository_id, digests=named)
    if document.children:
        manifests = _hold_manifests(repository_id, {str(child.digest) for child in document.children})
    required = [item for item in (document.config, *document.layers) if item and not item.may_be_absent]
    missing = {str(item.digest) for item in required} - blobs.keys()
    missing |= {str(child.digest) for child in document.children if must_hold_child(child)} - (
        blobs.keys() | manifests.keys()
    )
    if missing:
        raise ManifestBlobUnknown([{"digest": digest} for digest in sorted(missing)])
    return _References(blobs, manifests)


def _hold_manifests(repository_id: int, digests: set[str]) -> dict[str, int]:
    condition, wanted = any_of(sorted(digests))
    rows = fetch_all(
        f"SELECT id, digest FROM repositories_manifest WHERE repository_id = %s AND digest {condition}"
        f" AND deleted_at IS NULL ORDER BY id{key_share()}",
        [repository_id, wanted],
    )
    return {str(digest): int(str(manifest_id)) for manifest_id, digest in rows}


def _upsert(
    repository_id: int,
    principal: Principal,
    digest: Digest,
    payload: bytes,
    document: ManifestDocument,
    now: datetime,
) -> Manifest:
    """Insert the manifest or bring it up to date; a deleted one comes back. Its row stays held either way."""
    manifest = Manifest(
        repository_id=repository_id,
        digest=str(digest),
        media_type=document.media_type,
        payload=payload,
        size=len(payload),
        total_size=min(document.total_size, 2**63 - 1),
        artifact_type=document.artifact_type,
        config_digest=str(document.config.digest) if document.config else "",
        config_media_type=document.config.media_type if document.config else "",
        subject_digest=str(document.subject or ""),
        annotations=document.annotations,
        pushed_at=now,
        pushed_by=principal.name,
    )
    (stored,) = Manifest.objects.bulk_create(
        [manifest],
        update_conflicts=True,
        unique_fields=["repository", "digest"],
        update_fields=["media_type", "artifact_type", "pushed_at", "pushed_by", "deleted_at"],
    )
    return stored


def _link(manifest: Manifest, references: _References, document: ManifestDocument) -> None:
    blob_rows = {
        (references.blobs[str(item.digest)], role)
        for role, items in (
            (ManifestBlob.Role.CONFIG, [document.config] if document.config else []),
            (ManifestBlob.Role.LAYER, document.layers),
            (ManifestBlob.Role.CHILD, document.children),
        )
        for item in items
        if str(item.digest) in references.blobs and str(item.digest) not in references.manifests
    }
    ManifestBlob.objects.bulk_create(
        [
            ManifestBlob(manifest=manifest, blob_id=blob_id, role=role, repository_id=manifest.repository_id)
            for blob_id, role in sorted(blob_rows)
        ],
        ignore_conflicts=True,
    )
    children = {str(child.digest): child for child in document.children if str(child.digest) not in references.blobs}
    children |= {str(child.digest): child for child in document.children if str(child.digest) in references.manifests}
    ManifestChild.objects.bulk_create(
        [
            ManifestChild(
                parent=manifest,
                child_id=references.manifests.get(digest),
                repository_id=manifest.repository_id,
                digest=digest,
                platform=child.platform,
            )
            for digest, child in sorted(children.items())
        ],
        ignore_conflicts=True,
    )
    # Sparse indexes may have named this manifest before it came.
    ManifestChild.objects.filter(repository_id=manifest.repository_id, digest=manifest.digest, child=None).exclude(
        parent=manifest
    ).update(child=manifest)


@retried
def delete_manifest(*, repository_id: int, digest: Digest, principal: Principal) -> None:
    """Take a manifest and all its tags away at once (end-9); raises ManifestUnknown.

    What it refers to, and what refers to it, stays. The row stays too, hidden, while its tags can be restored.
    """
    now = timezone.now()
    with writing():
        held = lock_repository(repository_id)
        # FOR UPDATE: a push that wants to tag this manifest waits, and then brings it back.
        rows = fetch_all(
            "SELECT id FROM repositories_manifest WHERE repository_id = %s AND digest = %s AND deleted_at IS NULL"
            + for_update(),
            [repository_id, str(digest)],
        )
        if not rows:
            raise ManifestUnknown({"digest": str(digest)})
        manifest_id = int(str(rows[0][0]))
        tags = list(Tag.objects.select_for_update().filter(manifest_id=manifest_id).order_by("name"))
        check_deletes(held, tags, principal)
        end_tags(tags, reason=TagHistory.Reason.MANIFEST_DELETED, principal=principal, now=now)
        Manifest.objects.filter(pk=manifest_id).update(deleted_at=now)
        arm_reviews(ManifestReview, [manifest_id], review_after=now + settings.TRASH_KEEP, reason="deleted")
        deleted = audit.describe(action=AuditAction.MANIFEST_DELETE, repository=held.name, target=digest)
        audit.record_all([deleted, *(describe_end(tag.name, held.name, str(digest)) for tag in tags)])
        announcements.manifest_deleted(
            repository_id=repository_id, digest=digest, tags=[tag.name for tag in tags], principal=principal.name
        )
