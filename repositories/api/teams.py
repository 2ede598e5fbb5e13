"""What a team stores, and the rules of its tags, in the management API."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import authorise_team
from accounts.api.inputs import RoleField
from accounts.api.serializers import ROLES
from accounts.callers import caller_of
from accounts.rights import Action
from registry_project.endpoints import ManagementView
from registry_project.inputs import Input
from registry_project.openapi import page_of
from registry_project.parameters import PAGE, Sort
from repositories.models import TagRule
from repositories.tag_rules import create_tag_rule, delete_tag_rule
from repositories.usage import TeamFigures, figures_of


class UsageSerializer(serializers.Serializer[TeamFigures]):
    logical_bytes = serializers.IntegerField(help_text="A blob counts once for each repository.")
    physical_bytes = serializers.IntegerField(help_text="A blob counts once; this is what the quota is about.")
    exclusive_bytes = serializers.IntegerField(help_text="Held by no other team.")
    shared_bytes = serializers.IntegerField(help_text="Held by other teams too.")
    trash_bytes = serializers.IntegerField(help_text="Held only by tags that can still be restored.")
    quota_bytes = serializers.IntegerField(allow_null=True)


class TagRuleSerializer(serializers.Serializer[TagRule]):
    id = serializers.IntegerField()
    repositories = serializers.CharField(help_text="Pattern of names inside the team.")
    tags = serializers.CharField(help_text="Pattern of tags.")
    immutable = serializers.BooleanField(help_text="Such a tag never points to another manifest.")
    role = serializers.SerializerMethodField(help_text="The least role that may write and delete such a tag.")
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()

    @extend_schema_field(serializers.ChoiceField(choices=ROLES, allow_null=True))
    def get_role(self, rule: TagRule) -> str | None:
        return rule.role or None


class NewTagRule(Input):
    repositories = serializers.CharField(default="**", max_length=255)
    tags = serializers.CharField(max_length=255)
    immutable = serializers.BooleanField(default=False)
    role = RoleField(required=False, allow_null=True)


class TeamUsageView(ManagementView):
    @extend_schema(responses=UsageSerializer)
    def get(self, request: Request, team: str) -> Response:
        """What a team stores."""
        found = authorise_team(caller_of(request), Action.READ_USAGE, team).team
        return Response(UsageSerializer(figures_of(team_id=found.pk, quota_bytes=found.quota_bytes)).data)


class TagRulesView(ManagementView):
    parameters = {"get": (Sort(columns={"tags": "tags", "created": "created_at"}), *PAGE)}

    @extend_schema(responses=page_of(TagRuleSerializer))
    def get(self, request: Request, team: str) -> Response:
        """Tags that never move, and tags that are reserved for a role."""
        access = authorise_team(caller_of(request), Action.READ_TAG_RULES, team)
        return self.page(TagRule.objects.filter(team=access.team), TagRuleSerializer)

    @extend_schema(request=NewTagRule, responses={201: TagRuleSerializer})
    def post(self, request: Request, team: str) -> Response:
        """Protect tags."""
        access = authorise_team(caller_of(request), Action.WRITE_TAG_RULES, team)
        given: dict[str, Any] = NewTagRule.read(request)
        rule = create_tag_rule(team=access.team, creator=access.credential.name, **given)
        return Response(TagRuleSerializer(rule).data, status=201)


class TagRuleView(ManagementView):
    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, team: str, rule_id: int) -> Response:
        """Protect these tags no longer."""
        access = authorise_team(caller_of(request), Action.WRITE_TAG_RULES, team)
        delete_tag_rule(team=access.team, rule_id=rule_id)
        return Response(status=204)
