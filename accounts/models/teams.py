"""Teams, who belongs to them, and rights below them."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models.users import User
from accounts.rights import Role
from oci.patterns import PATTERN_MAX_LENGTH
from registry_project.fields import ByteOrderedField

ROLE_NAMES = [role.value for role in Role]
ROLES = [(name, name) for name in ROLE_NAMES]
ROLE_LENGTH = 10


class Visibility(models.TextChoices):
    PUBLIC = "public"
    PRIVATE = "private"


class Team(models.Model):
    """The owner of all repositories whose names begin with its slug; `quota_bytes` None is unlimited.

    A deleted team keeps its row while the trash holds repositories of it; its slug is free at once.
    """

    slug = ByteOrderedField(max_length=255)
    visibility = models.CharField(max_length=10, choices=Visibility, default=Visibility.PRIVATE)
    quota_bytes = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["slug"], condition=Q(deleted_at__isnull=True), name="team_slug_unique"),
            models.CheckConstraint(condition=Q(visibility__in=Visibility.values), name="team_visibility_valid"),
            models.CheckConstraint(
                condition=Q(quota_bytes__isnull=True) | Q(quota_bytes__gte=0), name="team_quota_not_negative"
            ),
        )

    def __str__(self) -> str:
        return self.slug


class Membership(models.Model):
    """A user's role in a team. `provider` is the sign-in whose groups gave it, empty where a person did.

    What a provider gave, its next sign-in replaces; what a person gave, only a person takes away. So a user may be
    in a team twice, and the higher role counts.
    """

    team = models.ForeignKey(Team, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=ROLE_LENGTH, choices=ROLES)
    provider = models.CharField(max_length=100, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["team", "user", "provider"], name="membership_unique"),
            models.CheckConstraint(condition=Q(role__in=ROLE_NAMES), name="membership_role_valid"),
        )


class RepositoryGrant(models.Model):
    """A role for those repositories of a team whose names inside it match a pattern, for a user or a robot."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="grants")
    user = models.ForeignKey(User, models.CASCADE, related_name="grants", null=True)
    robot = models.ForeignKey("accounts.Robot", models.CASCADE, related_name="grants", null=True)
    pattern = ByteOrderedField(max_length=PATTERN_MAX_LENGTH)
    role = models.CharField(max_length=ROLE_LENGTH, choices=ROLES)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["team", "user", "pattern"], condition=Q(user__isnull=False), name="grant_to_user_unique"
            ),
            models.UniqueConstraint(
                fields=["robot", "pattern"], condition=Q(robot__isnull=False), name="grant_to_robot_unique"
            ),
            models.CheckConstraint(
                condition=Q(user__isnull=True, robot__isnull=False) | Q(user__isnull=False, robot__isnull=True),
                name="grant_to_user_or_robot",
            ),
            models.CheckConstraint(condition=Q(role__in=ROLE_NAMES), name="grant_role_valid"),
            # A robot never owns: it could hand its rights on.
            models.CheckConstraint(
                condition=Q(robot__isnull=True) | ~Q(role=Role.OWNER.value), name="grant_robot_no_owner"
            ),
        )
