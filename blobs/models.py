"""Blobs, the rights of repositories to them, uploads, and the deletions of bytes.

Every stored byte is named by exactly one of UploadSession, Blob and StorageDeletion. Foreign keys that protect
content never cascade: a missed race must make a removal fail.
"""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from registry_project.fields import ByteOrderedField, DigestField

STORAGE_KEY_LENGTH = 500

# Tables of the app above this one, for statements that the hot paths need in one piece.
REPOSITORIES = "repositories_repository"
MANIFEST_REFERENCES = "repositories_manifestblob"
TAG_RULES = "repositories_tagrule"


class Blob(models.Model):
    """Stored content, once for all repositories; its storage key is the key of the upload that brought it.

    `scrubbed_at` is when the scrub last came by, `verified_at` when the bytes last had the digest. A blob in quarantine
    is given to nobody, as if it were not there, until right bytes come.
    """

    digest = DigestField()
    size = models.BigIntegerField()
    storage_key = ByteOrderedField(max_length=STORAGE_KEY_LENGTH)
    created_at = models.DateTimeField(default=timezone.now)
    scrubbed_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)
    quarantined_at = models.DateTimeField(null=True)
    quarantine_reason = models.CharField(max_length=200, blank=True, default="", db_default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["digest"], name="blob_digest_unique"),
            models.UniqueConstraint(fields=["storage_key"], name="blob_storage_key_unique"),
            models.CheckConstraint(condition=Q(size__gte=0), name="blob_size_not_negative"),
        )
        indexes = (
            models.Index(fields=["scrubbed_at", "id"], name="blob_scrub_order"),
            models.Index(  # the list of those in quarantine
                fields=["quarantined_at", "id"], condition=Q(quarantined_at__isnull=False), name="blob_quarantined"
            ),
        )

    def __str__(self) -> str:
        return self.digest


class ScrubClaim(models.Model):
    """The one row that the scrub at work holds until `busy_until`, so that its rate holds for all hosts together."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    token = models.UUIDField(null=True)
    busy_until = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=1), name="scrub_claim_is_one"),)


class RepositoryBlob(models.Model):
    """The right of a repository to a blob; until `leased_until` it protects a blob pushed before its manifest."""

    repository = models.ForeignKey("repositories.Repository", models.PROTECT, related_name="blob_links")
    blob = models.ForeignKey(Blob, models.PROTECT, related_name="repository_links")
    leased_until = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["repository", "blob"], name="repository_blob_unique"),)


class UploadSession(models.Model):
    """A blob on its way in, bound to a repository and a principal.

    `offset` counts the durable bytes; `storage_state` is what the storage needs to go on behind them. `digest` is
    that of all of them when one request carried them, else empty.
    A writer holds `writer_token` until `busy_until` and moves that time on while it works. When the upload
    completes, its bytes get another name: `storage_key` is empty and `completed_digest` remembers the outcome,
    so that a repeated PUT finds the same answer.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    repository = models.ForeignKey("repositories.Repository", models.PROTECT, related_name="uploads")
    principal = models.CharField(max_length=255, blank=True)
    storage_key = ByteOrderedField(max_length=STORAGE_KEY_LENGTH, null=True)  # type: ignore[misc]
    offset = models.BigIntegerField(default=0)
    storage_state = models.JSONField(default=dict, db_default={})
    digest_algorithm = models.CharField(max_length=20, default="sha256")
    digest = DigestField(blank=True, default="")
    completed_digest = DigestField(blank=True, default="")
    writer_token = models.UUIDField(null=True)
    busy_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["storage_key"], name="upload_storage_key_unique"),
            models.CheckConstraint(condition=Q(offset__gte=0), name="upload_offset_not_negative"),
            # Either the session names bytes or it is complete, never both and never neither.
            models.CheckConstraint(
                condition=Q(storage_key__isnull=False, completed_digest="")
                | (Q(storage_key__isnull=True) & ~Q(completed_digest="")),
                name="upload_names_bytes_until_complete",
            ),
        )
        indexes = (models.Index(fields=["expires_at"], name="upload_expiry"),)  # the purge


class StorageDeletion(models.Model):
    """Bytes that nothing refers to any more, to be deleted from the storage at `not_before` or later."""

    storage_key = ByteOrderedField(max_length=STORAGE_KEY_LENGTH)
    digest = DigestField(blank=True, default="")
    size = models.BigIntegerField(default=0)
    not_before = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["storage_key"], name="storage_deletion_key_unique"),)
        indexes = (
            models.Index(fields=["not_before", "id"], name="storage_deletion_due"),  # the drain
            models.Index(fields=["digest"], condition=~Q(digest=""), name="storage_deletion_digest"),  # when bytes go
            models.Index(  # what operators see
                fields=["-attempts"], condition=Q(attempts__gt=0), name="storage_deletion_failing"
            ),
        )


class BlobReview(models.Model):
    """A date with garbage collection. It has no foreign key: it may outlive the blob and locks nothing."""

    blob_id = models.BigIntegerField(primary_key=True)
    review_after = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    reason = models.CharField(max_length=40)
    version = models.BigIntegerField(default=1)

    class Meta:
        indexes = (models.Index(fields=["review_after"], name="blob_review_due"),)


class TeamBlob(models.Model):
    """Present while a team refers to a blob: a team pays for it once, however many repositories hold it."""

    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="blobs")
    blob = models.ForeignKey(Blob, models.PROTECT, related_name="teams")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["team", "blob"], name="team_blob_unique"),)


class UsageDelta(models.Model):
    """A change of a team's deduplicated bytes, appended with its TeamBlob and rolled up later."""

    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="usage_deltas")
    size = models.BigIntegerField()
    created_at = models.DateTimeField(default=timezone.now)


class TeamUsage(models.Model):
    """A team's deduplicated bytes as of the last roll-up; the deltas that are left make it exact."""

    team = models.OneToOneField("accounts.Team", models.PROTECT, primary_key=True, related_name="usage")
    size = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(size__gte=0), name="team_usage_not_negative"),)
