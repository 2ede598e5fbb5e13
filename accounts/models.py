"""Who may own repositories."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils import timezone

from registry_project.fields import ByteOrderedField


class User(AbstractUser):
    """A person. It stands here from the first migration because Django cannot change its user model later."""


class Visibility(models.TextChoices):
    PUBLIC = "public"
    PRIVATE = "private"


class Team(models.Model):
    """The owner of all repositories whose names begin with its slug; `quota_bytes` None is unlimited."""

    slug = ByteOrderedField(max_length=255)
    visibility = models.CharField(max_length=10, choices=Visibility, default=Visibility.PRIVATE)
    quota_bytes = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["slug"], name="team_slug_unique"),
            models.CheckConstraint(condition=Q(visibility__in=Visibility.values), name="team_visibility_valid"),
            models.CheckConstraint(
                condition=Q(quota_bytes__isnull=True) | Q(quota_bytes__gte=0), name="team_quota_not_negative"
            ),
        )

    def __str__(self) -> str:
        return self.slug
