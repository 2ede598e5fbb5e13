"""The audit log in the management API."""

from collections.abc import Collection, Mapping
from datetime import datetime
from urllib.parse import urlencode

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import check, who_asks
from accounts.callers import caller_of
from accounts.models import Team
from accounts.rights import INSTANCE, Action, Credential, TeamTarget, decide
from accounts.teams import get_team
from events.audit_actions import AuditAction
from events.audit_queries import CursorInvalid, search
from events.models import AuditEvent
from registry_project.endpoints import ManagementView
from registry_project.openapi import page_of
from registry_project.parameters import PAGE, Moment, Text
from registry_project.problems import BadRequest, Forbidden


class AuditEventSerializer(serializers.Serializer[AuditEvent]):
    id = serializers.IntegerField()
    occurred_at = serializers.DateTimeField()
    actor = serializers.CharField()
    credential = serializers.CharField()
    address = serializers.CharField()
    request_id = serializers.CharField()
    action = serializers.CharField()
    team = serializers.CharField()
    repository = serializers.CharField()
    target = serializers.CharField()
    outcome = serializers.ChoiceField(choices=AuditEvent.Outcome.values)
    detail = serializers.DictField()


class AuditView(ManagementView):
    parameters = {
        "get": (
            Text(name="team", description="Only what is about this team."),
            Text(name="repository", description="Only what is about this repository."),
            Text(name="actor", description="Only what this user or robot did."),
            Text(name="action", description=f"Such as `{AuditAction.TAG_MOVE}`, or `tag.` for all that begins so."),
            Moment(name="since", description="The first moment that counts."),
            Moment(name="until", description="The first moment that does not."),
            *PAGE,
        )
    }

    @extend_schema(responses=page_of(AuditEventSerializer))
    def get(self, request: Request) -> Response:
        """What was done and refused, newest first: everywhere, or in the teams that the caller maintains."""
        query = self.query
        teams = _teams(who_asks(caller_of(request)), query["team"])
        try:
            page = search(
                teams=teams,
                actor=query["actor"] or "",
                action=query["action"] or "",
                repository=query["repository"] or "",
                since=query["since"],
                until=query["until"],
                cursor=query["cursor"] or "",
                limit=query["limit"],
            )
        except CursorInvalid as error:
            raise BadRequest("The cursor is not valid.", fields={"cursor": [f"{error}"]}) from error
        rows = [AuditEventSerializer(event).data for event in page.events]
        return Response({"results": rows, "next": _next(request, page.next_cursor)})


def _teams(credential: Credential, team: str | None) -> Collection[str] | Mapping[str, datetime] | None:
    """Whose events the caller may read, of one team or of all; None is everything. Raises NotFound and Forbidden.

    A team begins with itself: what was told of an earlier one of its name is for those who may read everything.
    """
    if decide(credential, Action.READ_INSTANCE, INSTANCE).allowed:
        return [team] if team else None
    if team:
        check(credential, Action.READ_TEAM_AUDIT, TeamTarget(team))
        return {team: get_team(team).created_at}
    own = {grant.team for grant in credential.grants}
    readable = [slug for slug in sorted(own) if decide(credential, Action.READ_TEAM_AUDIT, TeamTarget(slug)).allowed]
    if not readable:
        raise Forbidden("You maintain no team, so there is no audit log that you may read.")
    return dict(Team.objects.filter(slug__in=readable, deleted_at=None).values_list("slug", "created_at"))


def _next(request: Request, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    kept = [(name, value) for name, value in request.GET.items() if name != "cursor"]
    return f"{request.path}?{urlencode([*kept, ('cursor', cursor)])}"
