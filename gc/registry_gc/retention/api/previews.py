"""What a policy would do, in the management API."""

import base64
import binascii
import json
from datetime import datetime

from django.http import QueryDict
from django.utils.encoding import escape_uri_path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.callers import caller_of
from accounts.rights import Action, Credential, TeamTarget, decide
from registry_gc.retention.api.views import of_repository, of_team, read_document
from registry_gc.retention.policies import Scope
from registry_gc.retention.policy import Action as Verdict
from registry_gc.retention.previews import Position, preview_policy
from registry_gc.retention.serializers import PolicyDocumentSerializer, RetentionPreviewSerializer
from registry_project.endpoints import ManagementView
from registry_project.inputs import Input
from registry_project.parameters import PAGE, Choice
from registry_project.problems import BadRequest


class DraftSerializer(serializers.Serializer[object]):
    policy = PolicyDocumentSerializer(
        required=False, allow_null=True, help_text="What would stand here; what does, without it."
    )


class Draft(Input):
    policy = serializers.JSONField(required=False, allow_null=True)


class _PreviewView(ManagementView):
    parameters = {
        "post": (
            Choice(name="verdict", description="Only these.", choices=[verdict.value for verdict in Verdict]),
            *PAGE,
        )
    }

    def told(self, request: Request, scope: Scope, credential: Credential) -> Response:
        document = Draft.read(request).get("policy")
        cursor, only = self.query["cursor"], self.query["verdict"]
        assert scope.team is not None
        preview = preview_policy(
            scope,
            team=scope.team,
            draft=None if document is None else read_document(document, prefix="policy."),
            only=Verdict(only) if only else None,
            start=_read_cursor(cursor) if cursor else None,
            limit=self.query["limit"],
            # What is shared with other teams is part of a team's usage, and no more is told here.
            sizes=decide(credential, Action.READ_USAGE, TeamTarget(scope.team.slug)).allowed,
        )
        following = preview.following and _next(request, preview.following)
        return Response(RetentionPreviewSerializer(preview, context={"next": following}).data)


def _next(request: Request, position: Position) -> str:
    query = QueryDict(request.META.get("QUERY_STRING", ""), mutable=True)
    values = [position.now.isoformat(), position.repository, position.tag, position.digest]
    query["cursor"] = base64.urlsafe_b64encode(json.dumps(values).encode()).decode()
    return f"{escape_uri_path(request.path)}?{query.urlencode()}"


def _read_cursor(cursor: str) -> Position:
    try:
        now, repository, tag, digest = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        if not all(isinstance(text, str) and "\0" not in text for text in (repository, tag, digest)):
            raise ValueError("not text")
        moment = datetime.fromisoformat(now)
        if moment.tzinfo is None:
            raise ValueError("a moment without its zone")
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        fields = {"cursor": ["expected the cursor of a `next` of this preview"]}
        raise BadRequest("The cursor does not belong to this preview.", fields=fields) from error
    return Position(moment, repository, tag, digest)


class TeamRetentionPreviewView(_PreviewView):
    @extend_schema(request=DraftSerializer, responses={200: RetentionPreviewSerializer})
    def post(self, request: Request, team: str) -> Response:
        """What a run would do in a team at this moment, under its policies or another of the team's."""
        return self.told(request, *of_team(caller_of(request), team))


class RepositoryRetentionPreviewView(_PreviewView):
    @extend_schema(request=DraftSerializer, responses={200: RetentionPreviewSerializer})
    def post(self, request: Request, name: str) -> Response:
        """What a run would do in a repository at this moment, under its policy or another."""
        return self.told(request, *of_repository(caller_of(request), name))
