"""Repositories and what they hold. Foreign keys that protect content never cascade."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import ROLE_LENGTH, ROLE_NAMES, ROLES, Visibility
from oci.names import NAME_MAX_LENGTH, TAG_MAX_LENGTH
from oci.patterns import PATTERN_MAX_LENGTH
from registry_project.fields import ByteOrderedField, DigestField

_TYPE_LENGTH = 255
_PRINCIPAL_LENGTH = 255


class Repository(models.Model):
    """A named set of manifests, tags and blobs. It has no counters: every writer share-locks this row."""

    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="repositories")
    name = ByteOrderedField(max_length=NAME_MAX_LENGTH)
    # Empty: as the team's.
    visibility = models.CharField(max_length=10, choices=Visibility, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True)
    # Since then nothing brings it back, and collection takes apart what it holds.
    purged_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["name"], condition=Q(deleted_at__isnull=True), name="repository_name_unique"
            ),
            models.CheckConstraint(
                condition=Q(visibility__in=["", *Visibility.values]), name="repository_visibility_valid"
            ),
            models.CheckConstraint(
                condition=Q(purged_at__isnull=True) | Q(deleted_at__isnull=False), name="repository_purged_is_deleted"
            ),
        )
        indexes = (
            models.Index(  # whether a bearer token is older than the end of an earlier repository of the name
                fields=["name", "deleted_at"], condition=Q(deleted_at__isnull=False), name="repository_ended"
            ),
            # What collection takes: deleted for longer than `trash.keep`, and what it has begun with.
            models.Index(fields=["deleted_at"], condition=Q(deleted_at__isnull=False), name="repository_deleted"),
            models.Index(fields=["purged_at"], condition=Q(purged_at__isnull=False), name="repository_purged"),
        )

    def __str__(self) -> str:
        return self.name


class Manifest(models.Model):
    """A manifest or index as it was pushed: `payload` is never changed, because its digest is of those bytes.

    One row per repository and digest string. A manifest deleted by digest keeps its row until its history can no
    longer be restored; `deleted_at` hides it meanwhile.
    """

    repository = models.ForeignKey(Repository, models.PROTECT, related_name="manifests")
    digest = DigestField()
    media_type = models.CharField(max_length=_TYPE_LENGTH)
    payload = models.BinaryField()
    size = models.BigIntegerField()
    # Bytes of all that the manifest names directly, as its descriptors say.
    total_size = models.BigIntegerField(default=0)
    artifact_type = models.CharField(max_length=_TYPE_LENGTH, blank=True, default="")
    config_digest = DigestField(blank=True, default="")
    config_media_type = models.CharField(max_length=_TYPE_LENGTH, blank=True, default="")
    # Text and no foreign key: a referrer may be pushed before its subject.
    subject_digest = DigestField(blank=True, default="")
    annotations = models.JSONField(default=dict)
    pushed_at = models.DateTimeField(default=timezone.now)
    pushed_by = models.CharField(max_length=_PRINCIPAL_LENGTH, blank=True, default="")
    # Or one of its children; to the minute, and a minute late (repositories/pulls.py).
    pulled_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["repository", "digest"], name="manifest_unique"),
            models.CheckConstraint(condition=Q(size__gte=0), name="manifest_size_not_negative"),
        )
        indexes = (
            models.Index(  # the referrers list
                fields=["repository", "subject_digest", "id"],
                condition=~Q(subject_digest=""),
                name="manifest_referrers",
            ),
        )

    def __str__(self) -> str:
        return self.digest


class ManifestBlob(models.Model):
    """A manifest's reference to a blob of its repository; `repository` repeats the manifest's, for the index."""

    class Role(models.TextChoices):
        CONFIG = "config"
        LAYER = "layer"
        CHILD = "child"

    manifest = models.ForeignKey(Manifest, models.PROTECT, related_name="blob_references")
    blob = models.ForeignKey("blobs.Blob", models.PROTECT, related_name="manifest_references", db_index=False)
    repository = models.ForeignKey(Repository, models.PROTECT, related_name="+", db_index=False)
    role = models.CharField(max_length=6, choices=Role)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["manifest", "blob", "role"], name="manifest_blob_unique"),
            models.CheckConstraint(condition=Q(role__in=["config", "layer", "child"]), name="manifest_blob_role_valid"),
        )
        # Who uses a blob: anywhere (collection), in one repository (deleting its link).
        indexes = (models.Index(fields=["blob", "repository"], name="manifest_blob_users"),)


class ManifestChild(models.Model):
    """An index's reference to a manifest; `child` is empty while a sparse index waits for it."""

    parent = models.ForeignKey(Manifest, models.PROTECT, related_name="child_references")
    child = models.ForeignKey(Manifest, models.PROTECT, related_name="parent_references", null=True)
    repository = models.ForeignKey(Repository, models.PROTECT, related_name="+", db_index=False)
    digest = DigestField()
    platform = models.CharField(max_length=_TYPE_LENGTH, blank=True, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["parent", "digest"], name="manifest_child_unique"),
            models.CheckConstraint(condition=~Q(parent=F("child")), name="manifest_child_not_itself"),
        )
        indexes = (
            models.Index(  # a manifest arrives that a sparse index already names
                fields=["repository", "digest"],
                condition=Q(child__isnull=True),
                name="manifest_child_awaited",
            ),
        )


class PointedAs(models.TextChoices):
    """What made a tag point to its manifest."""

    PUSH = "push"
    RESTORE = "restore"


class Tag(models.Model):
    """A name for a manifest."""

    repository = models.ForeignKey(Repository, models.PROTECT, related_name="tags", db_index=False)
    name = ByteOrderedField(max_length=TAG_MAX_LENGTH)
    manifest = models.ForeignKey(Manifest, models.PROTECT, related_name="tags")
    # Who pushed it last, which may have been the same manifest again.
    pushed_at = models.DateTimeField(default=timezone.now)
    pushed_by = models.CharField(max_length=_PRINCIPAL_LENGTH, blank=True, default="")
    # Since when, and by whom, it points to this manifest.
    pointed_at = models.DateTimeField(default=timezone.now)
    pointed_by = models.CharField(max_length=_PRINCIPAL_LENGTH, blank=True, default="")
    pointed_as = models.CharField(
        max_length=10, choices=PointedAs, default=PointedAs.PUSH, db_default=PointedAs.PUSH.value
    )
    expires_at = models.DateTimeField(null=True)
    # When what it pointed to at that moment was pulled, by whatever name: retention needs no more than this row.
    pulled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["repository", "name"], name="tag_name_unique"),)
        indexes = (
            models.Index(fields=["repository", "pushed_at", "name"], name="tag_by_push"),  # lists, newest first
            models.Index(fields=["expires_at"], condition=Q(expires_at__isnull=False), name="tag_expiry"),
        )

    def __str__(self) -> str:
        return self.name


class TagHistory(models.Model):
    """What a tag pointed to, from when until when, and who or what ended it.

    Until `restorable_until` it protects its manifest from collection.
    """

    class Reason(models.TextChoices):
        MOVED = "moved"
        DELETED = "deleted"
        MANIFEST_DELETED = "manifest-deleted"
        EXPIRED = "expired"
        RESTORED = "restored"  # something else was

    repository = models.ForeignKey(Repository, models.PROTECT, related_name="tag_history", db_index=False)
    name = ByteOrderedField(max_length=TAG_MAX_LENGTH)
    manifest = models.ForeignKey(Manifest, models.PROTECT, related_name="tag_history", db_index=False)
    started_at = models.DateTimeField()
    started_by = models.CharField(max_length=_PRINCIPAL_LENGTH, blank=True, default="")
    started_as = models.CharField(
        max_length=10, choices=PointedAs, default=PointedAs.PUSH, db_default=PointedAs.PUSH.value
    )
    ended_at = models.DateTimeField()
    ended_by = models.CharField(max_length=_PRINCIPAL_LENGTH, blank=True, default="")
    reason = models.CharField(max_length=20, choices=Reason)
    restorable_until = models.DateTimeField()

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(ended_at__gte=F("started_at")), name="tag_history_in_order"),)
        indexes = (
            models.Index(fields=["repository", "name", "ended_at"], name="tag_history_timeline"),
            models.Index(fields=["manifest", "restorable_until"], name="tag_history_keeps"),
            models.Index(fields=["repository", "ended_at"], name="tag_history_trash"),
        )


class TagRule(models.Model):
    """What a team says of some of its tags: a name that never moves, or one that only a role may write and delete.

    `repositories` matches names inside the team, `tags` names of tags; `role` is empty where nothing is reserved.
    """

    team = models.ForeignKey("accounts.Team", models.CASCADE, related_name="tag_rules")
    repositories = ByteOrderedField(max_length=PATTERN_MAX_LENGTH)
    tags = ByteOrderedField(max_length=PATTERN_MAX_LENGTH)
    immutable = models.BooleanField(default=False)
    role = models.CharField(max_length=ROLE_LENGTH, choices=ROLES, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=_PRINCIPAL_LENGTH, blank=True, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["team", "repositories", "tags"], name="tag_rule_unique"),
            models.CheckConstraint(condition=Q(role__in=["", *ROLE_NAMES]), name="tag_rule_role_valid"),
            models.CheckConstraint(condition=Q(immutable=True) | ~Q(role=""), name="tag_rule_says_something"),
        )


class ManifestReview(models.Model):
    """A date with garbage collection. It has no foreign key: it may outlive the manifest and locks nothing."""

    manifest_id = models.BigIntegerField(primary_key=True)
    review_after = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    reason = models.CharField(max_length=40)
    version = models.BigIntegerField(default=1)

    class Meta:
        indexes = (models.Index(fields=["review_after"], name="manifest_review_due"),)
