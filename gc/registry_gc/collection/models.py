"""What collection remembers of itself; the reviews it works on stand beside their targets."""

from django.db import models
from django.utils import timezone

_KIND_LENGTH = 10


class Kind(models.TextChoices):
    """What a review is about."""

    MANIFEST = "manifest"
    BLOB = "blob"


class CollectionPause(models.Model):
    """Present while collection rests, for all processes."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    paused_at = models.DateTimeField(default=timezone.now)
    paused_by = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(id=1), name="collection_pause_is_one"),)


class CollectionRun(models.Model):
    """What all rounds of one day (UTC) came to, by kind. A worker that dies may leave its last batch uncounted."""

    day = models.DateField()
    kind = models.CharField(max_length=_KIND_LENGTH, choices=Kind)
    reviewed = models.BigIntegerField(default=0)
    collected = models.BigIntegerField(default=0)
    kept = models.BigIntegerField(default=0)
    postponed = models.BigIntegerField(default=0)
    # Of collected blobs as they are stored, of manifests as they were pushed.
    bytes = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["day", "kind"], name="collection_run_unique"),)


class CollectionMinute(models.Model):
    """The same of one minute, kept for a day: how fast it goes, and what the last rounds did."""

    minute = models.DateTimeField()
    kind = models.CharField(max_length=_KIND_LENGTH, choices=Kind)
    reviewed = models.BigIntegerField(default=0)
    collected = models.BigIntegerField(default=0)
    kept = models.BigIntegerField(default=0)
    postponed = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["minute", "kind"], name="collection_minute_unique"),)


class CollectionFailure(models.Model):
    """Why the last attempt on a target failed; it goes when one succeeds."""

    kind = models.CharField(max_length=_KIND_LENGTH, choices=Kind)
    target_id = models.BigIntegerField()
    error = models.TextField()
    failed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["kind", "target_id"], name="collection_failure_unique"),)
        indexes = (models.Index(fields=["-failed_at"], name="collection_failure_latest"),)  # the list of the latest


class SweepCursor(models.Model):
    """How far the sweep has come in one table; `position` is the last id that it looked at."""

    kind = models.CharField(max_length=_KIND_LENGTH, choices=Kind, primary_key=True)
    position = models.BigIntegerField(default=0)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
