"""What the rows of repositories must say of each other, beyond what the database's own constraints hold."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from blobs.integrity import Finding, Problem, in_batches
from blobs.links import link_blob, lock_repository
from blobs.models import RepositoryBlob
from oci.digests import Digest
from oci.errors import NameUnknown
from registry_project.database import fetch_all, key_share, retried, writing
from repositories.models import Manifest, ManifestBlob, Tag


def check_rows() -> Iterator[Finding]:
    """Yield manifests with wrong payloads, references without a right, and tags of other repositories' manifests."""
    yield from _wrong_payloads()
    yield from _missing_rights()
    yield from _foreign_tags()


def _wrong_payloads() -> Iterator[Finding]:
    # A manifest has up to four megabytes: one at a time.
    for batch in in_batches(Manifest.objects.select_related("repository").defer("payload", "annotations")):
        for manifest in batch:
            payload = Manifest.objects.filter(pk=manifest.pk).values_list("payload", flat=True).first()
            if payload is not None and not _is_payload(manifest, payload):
                yield Finding(Problem.PAYLOAD, _name(manifest), f"{manifest.size} bytes", target=manifest)


def _is_payload(manifest: Manifest, payload: Any) -> bool:
    algorithm = Digest.parse(manifest.digest).algorithm
    return len(payload) == manifest.size and str(Digest.of(bytes(payload), algorithm)) == manifest.digest


def restore_payload(manifest: Manifest) -> str | None:
    """Take the payload of the same manifest in another repository; None where none has it."""
    twins = Manifest.objects.filter(digest=manifest.digest).exclude(pk=manifest.pk)
    for twin in twins.order_by("pk").iterator(chunk_size=1):
        if _is_payload(twin, twin.payload):
            Manifest.objects.filter(pk=manifest.pk).update(payload=twin.payload, size=twin.size)
            return "the payload was taken from another repository"
    return None


def _missing_rights() -> Iterator[Finding]:
    """Hidden manifests may lack rights, which their restoring gives back, and so may deleted repositories."""
    for batch in in_batches(_references_without_right()):
        for reference in batch:
            detail = f"{reference.blob.digest}, {reference.blob.size} bytes"
            yield Finding(Problem.NO_RIGHT, _name(reference.manifest), detail, target=reference)


def _references_without_right() -> QuerySet[ManifestBlob]:
    rights = RepositoryBlob.objects.filter(repository=OuterRef("repository"), blob=OuterRef("blob"))
    shown = ManifestBlob.objects.filter(manifest__deleted_at=None, repository__deleted_at=None)
    return (
        shown.filter(~Exists(rights))
        .select_related("blob", "manifest__repository")
        .defer("manifest__payload", "manifest__annotations")
    )


@retried
def give_right(reference: ManifestBlob) -> str | None:
    """Give a repository the right to a blob that its manifest refers to, whatever its team's quota."""
    with writing():
        try:
            held = lock_repository(reference.repository_id)
        except NameUnknown:
            return None
        fetch_all(f"SELECT id FROM blobs_blob WHERE id = %s{key_share()}", [reference.blob_id])
        if not _references_without_right().filter(pk=reference.pk).exists():
            return None
        link_blob(
            repository_id=reference.repository_id,
            held=replace(held, quota_bytes=None),
            blob_id=reference.blob_id,
            size=reference.blob.size,
            now=timezone.now(),
            reason="right-repaired",
        )
    return "the repository has the right again"


def _foreign_tags() -> Iterator[Finding]:
    foreign = Tag.objects.exclude(repository=F("manifest__repository"))
    rows = foreign.select_related("repository", "manifest__repository").defer(
        "manifest__payload", "manifest__annotations"
    )
    for batch in in_batches(rows):
        for tag in batch:
            name = f"{tag.repository.name}:{tag.name}"
            yield Finding(Problem.FOREIGN_TAG, name, f"points to {_name(tag.manifest)}", target=tag)


@retried
def bring_home(tag: Tag) -> str | None:
    """Point a tag to the manifest of its digest in its own repository; None where there is none."""
    with writing():
        own = Manifest.objects.filter(repository=tag.repository, digest=tag.manifest.digest, deleted_at=None)
        manifest = own.select_for_update(no_key=True).only("pk").first()
        if manifest is None:
            return None
        moved = Tag.objects.filter(pk=tag.pk, manifest_id=tag.manifest_id).update(manifest=manifest)
    return "it points to the manifest of its own repository" if moved else None


def _name(manifest: Manifest) -> str:
    return f"{manifest.repository.name}@{manifest.digest}"
