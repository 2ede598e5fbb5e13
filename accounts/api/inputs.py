"""What the management API takes for accounts; the rules about it are those of the domain functions."""

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.access_tokens import DEFAULT_LIFETIME
from accounts.api.serializers import ROLES
from accounts.models import Visibility
from accounts.patterns import EVERYTHING
from accounts.rights import Role
from accounts.robots import DEFAULT_OVERLAP, HIGHEST_ROLE, LONGEST_OVERLAP
from registry_project.config.documentation import duration_text
from registry_project.config.values import parse_duration
from registry_project.inputs import Input

_LARGEST_QUOTA = 2**63 - 1
_MOST_PATTERNS = 100
_NAME_LENGTH = 255


class RoleField(serializers.ChoiceField):
    def __init__(self, highest: Role = Role.OWNER, **options: Any) -> None:
        super().__init__(choices=ROLES[: highest.rank + 1], **options)

    def to_internal_value(self, data: Any) -> Role:
        return Role(super().to_internal_value(data))


class PatternsField(serializers.ListField):
    child = serializers.CharField(max_length=_NAME_LENGTH)

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=_MOST_PATTERNS, **options)


class PasswordField(serializers.CharField):
    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, write_only=True, **options)


@extend_schema_field({"type": "string", "examples": ["24h", "7d", "0"]})
class OverlapField(serializers.Field[timedelta, Any, str, Any]):
    """A duration such as `24h`."""

    def to_internal_value(self, data: Any) -> timedelta:
        try:
            overlap = parse_duration(str(data))
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error
        if overlap > LONGEST_OVERLAP:
            raise serializers.ValidationError(f"expected at most {duration_text(LONGEST_OVERLAP)}")
        return overlap


class NewUser(Input):
    username = serializers.CharField()
    password = PasswordField()
    email = serializers.CharField(required=False, allow_blank=True, max_length=254)
    administrator = serializers.BooleanField(required=False)
    auditor = serializers.BooleanField(required=False)


class UserChange(Input):
    email = serializers.CharField(required=False, allow_blank=True, max_length=254)
    administrator = serializers.BooleanField(required=False)
    auditor = serializers.BooleanField(required=False)
    active = serializers.BooleanField(required=False)
    password = PasswordField(required=False)


class AccountChange(Input):
    email = serializers.CharField(required=False, allow_blank=True, max_length=254)


class PasswordChange(Input):
    old_password = PasswordField()
    password = PasswordField()


class SignIn(Input):
    username = serializers.CharField(trim_whitespace=False)
    password = PasswordField()


class NewAccessToken(Input):
    name = serializers.CharField(max_length=100)
    role = RoleField(default=Role.OWNER, help_text="The most that it allows in any team.")
    repositories = PatternsField(default=list, help_text="Patterns of whole names; none means all.")
    administration = serializers.BooleanField(default=False, help_text="For administrators only.")
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text=f"In {DEFAULT_LIFETIME.days} days if not given; null for never."
    )


class NewTeam(Input):
    name = serializers.CharField()
    visibility = serializers.ChoiceField(choices=Visibility.values, required=False)
    quota_bytes = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=_LARGEST_QUOTA,
        help_text="For administrators only; null is unlimited.",
    )


class TeamChange(Input):
    visibility = serializers.ChoiceField(choices=Visibility.values, required=False)
    quota_bytes = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=_LARGEST_QUOTA,
        help_text="For administrators only; null is unlimited.",
    )


class MemberRole(Input):
    role = RoleField()


class NewGrant(Input):
    username = serializers.CharField()
    pattern = serializers.CharField(help_text="Of names inside the team.")
    role = RoleField()


class GrantChange(Input):
    role = RoleField()


class NewRobot(Input):
    name = serializers.CharField()
    role = RoleField(HIGHEST_ROLE)
    repositories = PatternsField(
        default=lambda: [EVERYTHING], allow_empty=False, help_text="Patterns of names inside the team; `**` is all."
    )
    description = serializers.CharField(required=False, allow_blank=True, max_length=255)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class RobotChange(Input):
    role = RoleField(HIGHEST_ROLE, required=False)
    repositories = PatternsField(required=False, allow_empty=False)
    description = serializers.CharField(required=False, allow_blank=True, max_length=255)
    disabled = serializers.BooleanField(required=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class NewIdentity(Input):
    issuer = serializers.CharField(max_length=_NAME_LENGTH, help_text="One of `auth.lading.issuers`.")
    claims = serializers.DictField(
        child=serializers.CharField(max_length=_NAME_LENGTH, trim_whitespace=False),
        help_text="Claims that must all be there, each with the pattern of its value.",
    )


class Rotation(Input):
    overlap = OverlapField(
        default=lambda: DEFAULT_OVERLAP,
        help_text=f"How long the secret before stays valid: {duration_text(DEFAULT_OVERLAP)} if not given.",
    )
