"""What proves who asks: robots' secrets, access tokens, refresh tokens, and the keys that sign bearer tokens.

Secrets are stored as SHA-256 of 256 random bits, which no dictionary helps against.
"""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models.teams import ROLE_LENGTH, ROLE_NAMES, ROLES, Team
from accounts.models.users import User
from registry_project.fields import ByteOrderedField

HASH_LENGTH = 64


class Robot(models.Model):
    """An account of a team for a program. Its rights are its RepositoryGrants; its user name is `team+name`."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="robots")
    name = ByteOrderedField(max_length=64)
    description = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=255, blank=True, default="")
    expires_at = models.DateTimeField(null=True)
    expiry_warned_at = models.DateTimeField(null=True)
    disabled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["team", "name"], name="robot_name_unique"),)
        indexes = (models.Index(fields=["expires_at"], name="robot_expiry"),)  # warnings of those that end soon

    def __str__(self) -> str:
        return f"{self.team.slug}+{self.name}"


class RobotSecret(models.Model):
    """One of a robot's two places for a secret, so that a rotation has an overlap."""

    robot = models.ForeignKey(Robot, models.CASCADE, related_name="secrets")
    slot = models.PositiveSmallIntegerField()
    hash = models.CharField(max_length=HASH_LENGTH)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["hash"], name="robot_secret_hash_unique"),
            models.UniqueConstraint(fields=["robot", "slot"], name="robot_secret_two_at_most"),
            models.CheckConstraint(condition=Q(slot__in=[0, 1]), name="robot_secret_slot_valid"),
        )


class AccessToken(models.Model):
    """A user's token for scripts. It allows at most `role`, administration only where it says so, and with `patterns`
    (one a line, of whole repository names) only work in such repositories.
    """

    user = models.ForeignKey(User, models.CASCADE, related_name="access_tokens")
    name = models.CharField(max_length=100)
    hash = models.CharField(max_length=HASH_LENGTH)
    role = models.CharField(max_length=ROLE_LENGTH, choices=ROLES)
    administration = models.BooleanField(default=False)
    patterns = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)
    expiry_warned_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["hash"], name="access_token_hash_unique"),
            models.UniqueConstraint(fields=["user", "name"], name="access_token_name_unique"),
            models.CheckConstraint(condition=Q(role__in=ROLE_NAMES), name="access_token_role_valid"),
        )
        indexes = (models.Index(fields=["expires_at"], name="access_token_expiry"),)  # warnings of those that end soon

    def __str__(self) -> str:
        return self.name


class RefreshToken(models.Model):
    """What `docker login` keeps instead of a password. It goes with the secret that it was obtained by.

    Exactly one of `user` (by password), `access_token` and `robot_secret` is set.
    """

    hash = models.CharField(max_length=HASH_LENGTH)
    service = models.CharField(max_length=255)
    client_id = models.CharField(max_length=255, blank=True, default="")
    user = models.ForeignKey(User, models.CASCADE, related_name="refresh_tokens", null=True)
    access_token = models.ForeignKey(AccessToken, models.CASCADE, related_name="refresh_tokens", null=True)
    robot_secret = models.ForeignKey(RobotSecret, models.CASCADE, related_name="refresh_tokens", null=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["hash"], name="refresh_token_hash_unique"),
            models.CheckConstraint(
                condition=Q(user__isnull=False, access_token__isnull=True, robot_secret__isnull=True)
                | Q(user__isnull=True, access_token__isnull=False, robot_secret__isnull=True)
                | Q(user__isnull=True, access_token__isnull=True, robot_secret__isnull=False),
                name="refresh_token_of_one_secret",
            ),
        )
        indexes = (models.Index(fields=["expires_at"], name="refresh_token_expiry"),)  # the purge


class SigningKey(models.Model):
    """A key that signs bearer tokens, PKCS 8 in PEM. The newest that has begun signs; others verify until they end."""

    kid = models.CharField(max_length=64, primary_key=True)
    algorithm = models.CharField(max_length=10)
    private_key = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    # Other processes learn of a new key before the first token that it signs.
    signs_from = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(algorithm="ES256"), name="signing_key_algorithm_valid"),)


class FailedSignIn(models.Model):
    """A wrong password, so that guessing can be slowed; purged when it counts no longer."""

    account = models.CharField(max_length=255)
    address = models.CharField(max_length=64)
    failed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = (
            models.Index(fields=["address", "failed_at"], name="failed_sign_in_address"),
            models.Index(fields=["account", "address", "failed_at"], name="failed_sign_in_account"),
            models.Index(fields=["failed_at"], name="failed_sign_in_age"),  # the purge
        )


class TrustedIdentity(models.Model):
    """Which identity tokens of an issuer act as a robot: those whose claims all match.

    `claims` maps a claim to the pattern of its value (`{"repository": "acme/*", "ref": "refs/heads/main"}`).
    """

    robot = models.ForeignKey(Robot, models.CASCADE, related_name="trusted_identities")
    issuer = models.CharField(max_length=255)
    claims = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = (models.Index(fields=["issuer"], name="trusted_identity_issuer"),)
