"""Reads of blobs on the hot path: one statement each, counted by tests."""

from dataclasses import dataclass
from typing import cast

from django.conf import settings
from django.db import connection
from django.utils import timezone

from blobs.models import MANIFEST_REFERENCES, REPOSITORIES
from oci.digests import Digest
from oci.errors import BlobUnknown
from oci.names import RepositoryName
from registry_project.database import fetch_all

# What clients are told, who would say only that the blob is unknown.
IN_QUARANTINE = "what is stored of it is damaged and in quarantine until it is pushed again"


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob as a repository may read it; `size` in bytes."""

    id: int
    digest: Digest
    size: int
    storage_key: str


@dataclass(frozen=True, slots=True)
class OfferedBlob:
    """A blob that a client asks for before pushing; `needs_lease` where nothing else protects it for long."""

    blob: StoredBlob
    repository_id: int
    needs_lease: bool


_FROM = (
    f" FROM {REPOSITORIES} r"
    " JOIN blobs_repositoryblob l ON l.repository_id = r.id JOIN blobs_blob b ON b.id = l.blob_id"
    " WHERE r.name = %s AND r.deleted_at IS NULL AND b.digest = %s"
)


def get_blob(name: RepositoryName, digest: Digest) -> StoredBlob:
    """Raise BlobUnknown unless the repository has the blob, and while it is in quarantine."""
    rows = fetch_all(f"SELECT b.quarantined_at, b.id, b.size, b.storage_key{_FROM}", [name.text, str(digest)])
    blob_id, size, storage_key = cast("tuple[int, int, str]", _readable(rows, digest))
    return StoredBlob(blob_id, digest, size, storage_key)


def get_offered_blob(name: RepositoryName, digest: Digest) -> OfferedBlob:
    """As `get_blob`, with what is needed to know whether a push may rely on the blob staying."""
    half = connection.ops.adapt_datetimefield_value(timezone.now() + settings.GC_GRACE / 2)
    rows = fetch_all(
        "SELECT b.quarantined_at, b.id, b.size, b.storage_key, r.id, l.leased_until < %s AND NOT EXISTS"
        f" (SELECT 1 FROM {MANIFEST_REFERENCES} u WHERE u.blob_id = b.id AND u.repository_id = r.id){_FROM}",
        [half, name.text, str(digest)],
    )
    blob_id, size, storage_key, repository_id, needs_lease = cast(
        "tuple[int, int, str, int, bool]", _readable(rows, digest)
    )
    return OfferedBlob(StoredBlob(blob_id, digest, size, storage_key), repository_id, bool(needs_lease))


def _readable(rows: list[tuple[object, ...]], digest: Digest) -> tuple[object, ...]:
    if not rows:
        raise BlobUnknown({"digest": str(digest)})
    quarantined_at, *blob = rows[0]
    if quarantined_at is not None:
        raise BlobUnknown({"digest": str(digest), "reason": IN_QUARANTINE})
    return tuple(blob)
