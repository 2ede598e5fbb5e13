"""Teams, their members, and rights below them."""

from typing import Any

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import TeamAccess, administers, authorise_instance, authorise_team, check, who_asks
from accounts.api.inputs import GrantChange, MemberRole, NewGrant, NewTeam, TeamChange
from accounts.api.serializers import GrantSerializer, MemberSerializer, TeamSerializer
from accounts.callers import caller_of
from accounts.members import change_grant, create_grant, delete_grant, put_member, remove_member
from accounts.models import Membership, RepositoryGrant, Team, User
from accounts.rights import INSTANCE, AccountTarget, Action, Credential, TeamTarget, decide
from accounts.teams import change_team, create_team, delete_team, list_readable_teams, with_counts
from accounts.users import get_user
from registry_project.endpoints import ManagementView
from registry_project.openapi import page_of
from registry_project.pages import read_page
from registry_project.parameters import PAGE, Choice, Sort, Text
from registry_project.problems import NotFound


def _team(team_id: int, credential: Credential) -> dict[str, Any]:
    team = with_counts(Team.objects.filter(pk=team_id)).get()
    return TeamSerializer(team, context={"credential": credential}).data


class TeamsView(ManagementView):
    parameters = {
        "get": (
            Text(name="search", description="Part of a name."),
            Choice(name="visibility", choices=("public", "private")),
            Sort(columns={"name": "slug", "created": "created_at", "repositories": "repository_count"}),
            *PAGE,
        )
    }

    @extend_schema(responses=page_of(TeamSerializer))
    def get(self, request: Request) -> Response:
        """Teams that the caller may see: their own, or all for administrators and auditors."""
        credential = who_asks(caller_of(request))
        teams, query = list_readable_teams(credential), self.query
        if query["search"]:
            teams = teams.filter(slug__icontains=query["search"])
        if query["visibility"]:
            teams = teams.filter(visibility=query["visibility"])
        page = read_page(request._request, teams, order=query["sort"], limit=query["limit"], cursor=query["cursor"])
        rows = [TeamSerializer(team, context={"credential": credential}).data for team in page.rows]
        return Response({"results": rows, "next": page.next})

    @extend_schema(request=NewTeam, responses={201: TeamSerializer})
    def post(self, request: Request) -> Response:
        """Create a team, which its creator owns."""
        caller = caller_of(request)
        credential = authorise_instance(caller, Action.CREATE_TEAM)
        given = NewTeam.read(request)
        if "quota_bytes" in given:
            check(credential, Action.SET_QUOTA, INSTANCE)
        team = create_team(
            slug=given.pop("name"), owner_id=credential.user_id, administrator=administers(credential), **given
        )
        # The creator owns it now.
        return Response(_team(team.pk, who_asks(caller)), status=201)


class TeamView(ManagementView):
    @extend_schema(responses=TeamSerializer)
    def get(self, request: Request, team: str) -> Response:
        """A team."""
        access = authorise_team(caller_of(request), Action.READ_TEAM, team)
        return Response(_team(access.team.pk, access.credential))

    @extend_schema(request=TeamChange, responses=TeamSerializer)
    def patch(self, request: Request, team: str) -> Response:
        """Change a team's settings, for its owners; its quota, for administrators."""
        access = authorise_team(caller_of(request), Action.READ_TEAM, team)
        changes = TeamChange.read(request)
        if "quota_bytes" in changes:
            check(access.credential, Action.SET_QUOTA, INSTANCE)
        check(access.credential, Action.UPDATE_TEAM, TeamTarget(team))
        change_team(team_id=access.team.pk, **changes)
        return Response(_team(access.team.pk, access.credential))

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, team: str) -> Response:
        """Delete a team that has no repository left."""
        delete_team(team_id=authorise_team(caller_of(request), Action.DELETE_TEAM, team).team.pk)
        return Response(status=204)


def _members(team: Team) -> "QuerySet[User]":
    held = Membership.objects.filter(team=team).order_by("provider")
    # Not by a join: somebody may be in a team twice.
    return User.objects.filter(pk__in=held.order_by().values("user")).prefetch_related(
        Prefetch("memberships", queryset=held, to_attr="held")
    )


class MembersView(ManagementView):
    parameters = {
        "get": (
            Text(name="search", description="Part of a user name."),
            Sort(columns={"username": "username"}),
            *PAGE,
        )
    }

    @extend_schema(responses=page_of(MemberSerializer))
    def get(self, request: Request, team: str) -> Response:
        """A team's members and what gave them their roles."""
        members = _members(authorise_team(caller_of(request), Action.READ_MEMBERS, team).team)
        if search := self.query["search"]:
            members = members.filter(username__icontains=search)
        return self.page(members, MemberSerializer)


class MemberView(ManagementView):
    @extend_schema(responses=MemberSerializer)
    def get(self, request: Request, team: str, username: str) -> Response:
        """A member of a team."""
        access = authorise_team(caller_of(request), Action.READ_MEMBERS, team)
        return Response(_member(access.team, username))

    @extend_schema(request=MemberRole, responses=MemberSerializer)
    def put(self, request: Request, team: str, username: str) -> Response:
        """Make somebody a member, or give a member another role."""
        access = authorise_team(caller_of(request), Action.WRITE_MEMBERS, team)
        given = MemberRole.read(request)
        may_orphan = administers(access.credential)
        put_member(team_id=access.team.pk, user=get_user(username), role=given["role"], may_orphan=may_orphan)
        return Response(_member(access.team, username))

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, team: str, username: str) -> Response:
        """Remove a member; every member may leave."""
        access = authorise_team(caller_of(request), Action.READ_TEAM, team)
        _check_removal(access, username)
        may_orphan = administers(access.credential)
        remove_member(team_id=access.team.pk, user=get_user(username), may_orphan=may_orphan)
        return Response(status=204)


def _check_removal(access: TeamAccess, username: str) -> None:
    target = TeamTarget(access.team.slug)
    leaves = access.credential.name == username and access.credential.user_id is not None
    if leaves and not decide(access.credential, Action.WRITE_MEMBERS, target).allowed:
        check(access.credential, Action.WRITE_ACCOUNT, AccountTarget(username))
    else:
        check(access.credential, Action.WRITE_MEMBERS, target)


def _member(team: Team, username: str) -> dict[str, Any]:
    member = _members(team).filter(username=username).first()
    if member is None:
        raise NotFound(f"{username} is no member of {team.slug}.")
    return MemberSerializer(member).data


def _grants(team: Team) -> "QuerySet[RepositoryGrant]":
    return RepositoryGrant.objects.filter(team=team, user__isnull=False).select_related("user")


class GrantsView(ManagementView):
    parameters = {
        "get": (
            Text(name="username", description="Only this user's."),
            Sort(columns={"pattern": "pattern", "created": "created_at"}),
            *PAGE,
        )
    }

    @extend_schema(responses=page_of(GrantSerializer))
    def get(self, request: Request, team: str) -> Response:
        """Roles that users have for some of a team's repositories; those of robots stand with the robots."""
        grants = _grants(authorise_team(caller_of(request), Action.READ_MEMBERS, team).team)
        if username := self.query["username"]:
            grants = grants.filter(user__username=username)
        return self.page(grants, GrantSerializer)

    @extend_schema(request=NewGrant, responses={201: GrantSerializer})
    def post(self, request: Request, team: str) -> Response:
        """Give a user, who need not be a member, a role for the repositories that match."""
        access = authorise_team(caller_of(request), Action.WRITE_MEMBERS, team)
        given = NewGrant.read(request)
        user = get_user(given.pop("username"))
        grant = create_grant(team_id=access.team.pk, user=user, **given)
        return Response(GrantSerializer(grant).data, status=201)


class GrantView(ManagementView):
    @extend_schema(request=GrantChange, responses=GrantSerializer)
    def patch(self, request: Request, team: str, grant_id: int) -> Response:
        """Change the role of a grant."""
        access = authorise_team(caller_of(request), Action.WRITE_MEMBERS, team)
        change_grant(team_id=access.team.pk, grant_id=grant_id, **GrantChange.read(request))
        return Response(GrantSerializer(_grants(access.team).get(pk=grant_id)).data)

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, team: str, grant_id: int) -> Response:
        """Take a grant away."""
        access = authorise_team(caller_of(request), Action.WRITE_MEMBERS, team)
        delete_grant(team_id=access.team.pk, grant_id=grant_id)
        return Response(status=204)
