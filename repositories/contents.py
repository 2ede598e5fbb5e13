"""What a repository holds besides manifests: its links to blobs."""

from django.conf import settings
from django.utils import timezone

from blobs.links import lock_repository
from blobs.models import BlobReview, RepositoryBlob
from events import announcements, audit
from events.audit_actions import AuditAction
from oci.digests import Digest
from oci.errors import BlobInUse, BlobUnknown
from registry_project.database import fetch_all, for_update, retried, writing
from registry_project.reviews import arm_reviews
from repositories.models import ManifestBlob


@retried
def unlink_blob(*, repository_id: int, digest: Digest) -> None:
    """Take a blob from a repository (end-10); raises BlobUnknown, and BlobInUse while a manifest refers to it.

    Its bytes go later, by collection, when nothing holds it any more.
    """
    with writing():
        held = lock_repository(repository_id)
        # Before the check: a manifest that is being pushed holds the blob's row and has not committed its links.
        rows = fetch_all(f"SELECT id FROM blobs_blob WHERE digest = %s{for_update()}", [str(digest)])
        if not rows:
            raise BlobUnknown({"digest": str(digest)})
        blob_id = int(str(rows[0][0]))
        users = ManifestBlob.objects.filter(blob_id=blob_id, repository_id=repository_id, manifest__deleted_at=None)
        if users.exists():
            raise BlobInUse({"digest": str(digest)})
        if not RepositoryBlob.objects.filter(repository_id=repository_id, blob_id=blob_id).delete()[0]:
            raise BlobUnknown({"digest": str(digest)})
        arm_reviews(BlobReview, [blob_id], review_after=timezone.now() + settings.GC_GRACE, reason="unlinked")
        audit.record(action=AuditAction.BLOB_DELETE, repository=held.name, target=digest)
        announcements.blob_deleted(repository_id=repository_id, digest=digest)
