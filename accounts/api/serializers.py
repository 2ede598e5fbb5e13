"""What the management API tells of accounts. No field holds a secret: those are told once, by the last two."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.expiry import expires_soon
from accounts.models import AccessToken, Membership, RepositoryGrant, Robot, Team, TrustedIdentity, User, Visibility
from accounts.rights import Role, role_in_team
from accounts.robots import HIGHEST_ROLE, highest_role

ROLES = [role.value for role in Role]
ROBOT_ROLES = ROLES[: HIGHEST_ROLE.rank + 1]


class UserSerializer(serializers.Serializer[User]):
    username = serializers.CharField()
    email = serializers.CharField()
    administrator = serializers.BooleanField(source="is_superuser")
    auditor = serializers.BooleanField(source="is_auditor")
    active = serializers.BooleanField(source="is_active")
    created_at = serializers.DateTimeField(source="date_joined")
    last_sign_in_at = serializers.DateTimeField(source="last_login", allow_null=True)


class SessionSerializer(serializers.Serializer[Any]):
    username = serializers.CharField()
    kind = serializers.CharField(help_text="What proves it: `session`, `password`, `access-token`, `robot-secret`, …")
    administrator = serializers.BooleanField()
    auditor = serializers.BooleanField()
    csrf_token = serializers.CharField(
        allow_null=True, help_text="For the header `X-CSRFToken` of writes; null where there is no session."
    )


class TeamSerializer(serializers.Serializer[Team]):
    """Needs `credential` in its context, and the counts of `accounts.teams.with_counts`."""

    name = serializers.CharField(source="slug")
    visibility = serializers.ChoiceField(choices=Visibility.values)
    quota_bytes = serializers.IntegerField(allow_null=True)
    role = serializers.SerializerMethodField(help_text="The caller's; null for auditors.")
    member_count = serializers.IntegerField()
    repository_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(serializers.ChoiceField(choices=ROLES, allow_null=True))
    def get_role(self, team: Team) -> str | None:
        return role_in_team(self.context["credential"], team.slug)


class SourceSerializer(serializers.Serializer[Membership]):
    role = serializers.ChoiceField(choices=ROLES)
    provider = serializers.CharField(help_text="The sign-in whose groups gave it; empty where a person did.")
    created_at = serializers.DateTimeField()


class MemberSerializer(serializers.Serializer[User]):
    """Needs `held`, the memberships in the team."""

    username = serializers.CharField()
    role = serializers.SerializerMethodField(help_text="The highest of its sources.")
    active = serializers.BooleanField(source="is_active")
    sources = SourceSerializer(source="held", many=True)

    @extend_schema_field(serializers.ChoiceField(choices=ROLES))
    def get_role(self, user: Any) -> str:
        return max((Role(membership.role) for membership in user.held), key=lambda role: role.rank)


class GrantSerializer(serializers.Serializer[RepositoryGrant]):
    id = serializers.IntegerField()
    username = serializers.CharField(source="user.username")
    pattern = serializers.CharField()
    role = serializers.ChoiceField(choices=ROLES)
    created_at = serializers.DateTimeField()


class ExpiringSerializer(serializers.Serializer[Any]):
    expires_at = serializers.DateTimeField(allow_null=True)
    expires_soon = serializers.SerializerMethodField(help_text="Whether it ends within 14 days, or has ended.")

    def get_expires_soon(self, item: Any) -> bool:
        return expires_soon(item.expires_at)


class RobotSecretSerializer(serializers.Serializer[Any]):
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class RobotSerializer(ExpiringSerializer):
    """Needs the robot's team, grants and secrets."""

    name = serializers.CharField()
    username = serializers.SerializerMethodField(help_text="What it signs in by: `team+name`.")
    description = serializers.CharField()
    role = serializers.SerializerMethodField()
    repositories = serializers.SerializerMethodField(help_text="Patterns of names inside the team.")
    disabled = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()
    last_used_at = serializers.SerializerMethodField(help_text="To the minute; null for never.")
    secrets = serializers.SerializerMethodField(help_text="Those that are valid: two while a rotation's overlap lasts.")

    def get_username(self, robot: Robot) -> str:
        return str(robot)

    @extend_schema_field(serializers.ChoiceField(choices=ROBOT_ROLES))
    def get_role(self, robot: Robot) -> str:
        return highest_role(robot.grants.all())

    def get_repositories(self, robot: Robot) -> list[str]:
        return sorted(grant.pattern for grant in robot.grants.all())

    def get_disabled(self, robot: Robot) -> bool:
        return robot.disabled_at is not None

    def get_last_used_at(self, robot: Robot) -> datetime | None:
        uses = [secret.last_used_at for secret in robot.secrets.all() if secret.last_used_at]
        return max(uses, default=None)

    @extend_schema_field(RobotSecretSerializer(many=True))
    def get_secrets(self, robot: Robot) -> Any:
        now = timezone.now()
        live = [item for item in robot.secrets.all() if item.expires_at is None or item.expires_at > now]
        return RobotSecretSerializer(sorted(live, key=lambda item: item.created_at), many=True).data


class IdentitySerializer(serializers.Serializer[TrustedIdentity]):
    id = serializers.IntegerField()
    issuer = serializers.CharField()
    claims = serializers.DictField(child=serializers.CharField(), help_text="From a claim to the pattern of its value.")
    created_at = serializers.DateTimeField()


class AccessTokenSerializer(ExpiringSerializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=ROLES)
    repositories = serializers.SerializerMethodField(help_text="Patterns of whole names; none means all.")
    administration = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute; null for never.")

    def get_repositories(self, token: AccessToken) -> list[str]:
        return [pattern for pattern in token.patterns.split("\n") if pattern]


class ExplanationSerializer(serializers.Serializer[Any]):
    principal = serializers.CharField()
    action = serializers.CharField()
    repository = serializers.CharField(allow_null=True)
    team = serializers.CharField(allow_null=True)
    allowed = serializers.BooleanField()
    reason = serializers.CharField()
    role = serializers.ChoiceField(choices=ROLES, allow_null=True)


class RuleSerializer(serializers.Serializer[Any]):
    action = serializers.CharField()
    place = serializers.CharField(help_text="What it is about: `repository`, `team`, `instance` or `account`.")
    title = serializers.CharField()
    role = serializers.ChoiceField(choices=ROLES, allow_null=True, help_text="The least that is needed.")
    auditors = serializers.BooleanField()
    administrators = serializers.BooleanField()


class RolesSerializer(serializers.Serializer[Any]):
    roles = serializers.ListField(child=serializers.ChoiceField(choices=ROLES), help_text="Each includes those before.")
    actions = RuleSerializer(many=True)


class IssuedSecretSerializer(serializers.Serializer[Any]):
    username = serializers.CharField(source="robot.__str__")
    secret = serializers.CharField(help_text="It is not shown again.")
    expires_at = serializers.DateTimeField(source="robot.expires_at", allow_null=True)
    previous_expires_at = serializers.DateTimeField(
        allow_null=True, help_text="Until when the secret before is valid; null where there is none."
    )


class IssuedAccessTokenSerializer(AccessTokenSerializer):
    token = serializers.SerializerMethodField(help_text="It is not shown again.")

    def get_token(self, token: AccessToken) -> str:
        return str(self.context["secret"])
