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
    """Raise BlobUnknown unless the repository has the blob."""
    rows = fetch_all(f"SELECT b.id, b.size, b.storage_key{_FROM}", [name.text, str(digest)])
    if not rows:
        raise BlobUnknown({"digest": str(digest)})
    blob_id, size, storage_key = cast("tuple[int, int, str]", rows[0])
    return StoredBlob(blob_id, digest, size, storage_key)


def get_offered_blob(name: RepositoryName, digest: Digest) -> OfferedBlob:
    """As `get_blob`, with what is needed to know whether a push may rely on the blob staying."""
    half = connection.ops.adapt_datetimefield_value(timezone.now() + settings.GC_GRACE / 2)
    rows = fetch_all(
        "SELECT b.id, b.size, b.storage_key, r.id, l.leased_until < %s AND NOT EXISTS"
        f" (SELECT 1 FROM {MANIFEST_REFERENCES} u WHERE u.blob_id = b.id AND u.repository_id = r.id){_FROM}",
        [half, name.text, str(digest)],
    )
    if not rows:
        raise BlobUnknown({"digest": str(digest)})
    blob_id, size, storage_key, repository_id, needs_lease = cast("tuple[int, int, str, int, bool]", rows[0])
    return OfferedBlob(StoredBlob(blob_id, digest, size, storage_key), repository_id, bool(needs_lease))
