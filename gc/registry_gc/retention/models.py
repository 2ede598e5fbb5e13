"""Retention policies as they are stored, with everything that each of them ever said."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from registry_gc.retention.inheritance import Level

_PRINCIPAL_LENGTH = 255
_LEVEL_LENGTH = 10
_SCOPES = (
    Q(level=Level.INSTANCE.value, team__isnull=True, repository__isnull=True)
    | Q(level=Level.TEAM.value, team__isnull=False, repository__isnull=True)
    | Q(level=Level.REPOSITORY.value, team__isnull=True, repository__isnull=False)
)


class RetentionPolicy(models.Model):
    """The policy of the instance, of a team or of a repository.

    Without a `document` nothing holds here but what is inherited. The row stays then, so that no number of a version
    is ever given twice.
    """

    level = models.CharField(max_length=_LEVEL_LENGTH, choices=[(level.value, level.value) for level in Level])
    team = models.ForeignKey("accounts.Team", models.PROTECT, null=True, related_name="+", db_index=False)
    repository = models.ForeignKey(
        "repositories.Repository", models.PROTECT, null=True, related_name="+", db_index=False
    )
    document = models.JSONField(null=True)
    version = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(default=timezone.now)
    updated_by = models.CharField(max_length=_PRINCIPAL_LENGTH, blank=True, default="")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=_SCOPES, name="retention_policy_has_one_scope"),
            models.UniqueConstraint(fields=["team"], name="retention_policy_team"),
            models.UniqueConstraint(fields=["repository"], name="retention_policy_repository"),
            models.UniqueConstraint(
                fields=["level"], condition=Q(level=Level.INSTANCE.value), name="retention_policy_instance"
            ),
        )


class RetentionPolicyVersion(models.Model):
    """What a policy said from one change on; without a `document` it was taken away."""

    policy = models.ForeignKey(RetentionPolicy, models.PROTECT, related_name="versions", db_index=False)
    version = models.BigIntegerField()
    document = models.JSONField(null=True)
    changed_at = models.DateTimeField(default=timezone.now)
    changed_by = models.CharField(max_length=_PRINCIPAL_LENGTH, blank=True, default="")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["policy", "version"], name="retention_version_unique"),)
