"""Reads that clients wait for: one statement each on the hot paths, keyset pages for the lists."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from django.db.models import Q

from oci.digests import Digest
from oci.errors import ManifestUnknown, NameUnknown
from oci.names import Reference, RepositoryName
from registry_project.database import fetch_all
from repositories.models import Manifest, Repository, Tag


@dataclass(frozen=True, slots=True)
class ServedManifest:
    """A manifest as it is answered; `payload` is empty where only the head was asked for; `size` in bytes."""

    id: int
    digest: str
    media_type: str
    size: int
    payload: bytes


def get_manifest(name: RepositoryName, reference: Reference, *, head: bool = False) -> ServedManifest:
    """Raise ManifestUnknown, or NameUnknown where there is no such repository."""
    payload = "''" if head else "m.payload"
    columns = f"SELECT m.id, m.digest, m.media_type, m.size, {payload} FROM repositories_repository r"
    if isinstance(reference, Digest):
        sql = (
            f"{columns} JOIN repositories_manifest m ON m.repository_id = r.id"
            " WHERE r.name = %s AND r.deleted_at IS NULL AND m.digest = %s AND m.deleted_at IS NULL"
        )
    else:
        sql = (
            f"{columns} JOIN repositories_tag t ON t.repository_id = r.id"
            " JOIN repositories_manifest m ON m.id = t.manifest_id"
            " WHERE r.name = %s AND r.deleted_at IS NULL AND t.name = %s"
        )
    rows = fetch_all(sql, [name.text, str(reference)])
    if rows:
        manifest_id, digest, media_type, size, content = cast("tuple[int, str, str, int, bytes]", rows[0])
        return ServedManifest(manifest_id, digest, media_type, size, b"" if head else bytes(content))
    if not Repository.objects.filter(name=name.text, deleted_at=None).exists():
        raise NameUnknown({"name": name.text})
    raise ManifestUnknown({"name": name.text, "reference": str(reference)})


def list_tags(repository_id: int, *, last: str, limit: int | None) -> list[str]:
    """Tag names behind `last` in byte order; at most `limit`, all without one."""
    names = Tag.objects.filter(repository_id=repository_id, name__gt=last).order_by("name")
    return list(names.values_list("name", flat=True)[:limit])


def list_referrers(name: RepositoryName, subject: Digest, *, artifact_type: str, after_id: int) -> Iterator[Manifest]:
    """Manifests whose subject is `subject`, oldest first, behind the row `after_id`; none for an unknown name.

    The artifact type of an image is that of its config where it has none of its own (distribution-spec, end-12).
    """
    referrers = Manifest.objects.filter(
        repository__name=name.text,
        repository__deleted_at=None,
        subject_digest=str(subject),
        deleted_at=None,
        id__gt=after_id,
    )
    if artifact_type:
        referrers = referrers.filter(
            Q(artifact_type=artifact_type) | Q(artifact_type="", config_media_type=artifact_type)
        )
    return referrers.order_by("id").defer("payload").iterator(chunk_size=8)
