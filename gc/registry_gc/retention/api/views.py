"""Retention policies in the management API: of the instance, of a team, of a repository."""

import re

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import authorise_instance, authorise_team
from accounts.callers import Caller, caller_of
from accounts.rights import Action, Credential
from registry_gc.retention.documents import PolicyInvalid, parse_policy
from registry_gc.retention.errors import PolicyChanged, as_bad_request
from registry_gc.retention.policies import (
    INSTANCE,
    Scope,
    get_repository_scope,
    list_versions,
    remove_policy,
    set_policy,
    team_scope,
)
from registry_gc.retention.policy import Policy
from registry_gc.retention.serializers import (
    PolicyDocumentSerializer,
    PolicySerializer,
    PolicyVersionSerializer,
    describe_policy,
)
from registry_project.endpoints import ManagementView
from registry_project.openapi import page_of
from registry_project.parameters import PAGE, Sort
from repositories.access import authorise_repository

_VERSIONS = page_of(PolicyVersionSerializer)


def of_instance(caller: Caller, *, change: bool = False) -> tuple[Scope, Credential]:
    """The scope, and who asks, for who may read its policy, or `change` it."""
    credential = authorise_instance(caller, Action.WRITE_INSTANCE if change else Action.READ_INSTANCE)
    return INSTANCE, credential


def of_team(caller: Caller, slug: str, *, change: bool = False) -> tuple[Scope, Credential]:
    action = Action.WRITE_TEAM_RETENTION if change else Action.READ_TEAM_RETENTION
    access = authorise_team(caller, action, slug)
    return team_scope(access.team), access.credential


def of_repository(caller: Caller, name: str, *, change: bool = False) -> tuple[Scope, Credential]:
    action = Action.WRITE_RETENTION if change else Action.READ_RETENTION
    access, repository_id = authorise_repository(caller, action, name)
    return get_repository_scope(repository_id), access.credential


def read_document(document: object, *, prefix: str = "") -> Policy:
    try:
        return parse_policy(document)
    except PolicyInvalid as error:
        raise as_bad_request(error, prefix=prefix) from error


class _PolicyView(ManagementView):
    def told(self, scope: Scope) -> Response:
        description = describe_policy(scope)
        return Response(description, headers={"ETag": f'"{description["version"]}"'})

    def changed(self, request: Request, scope: Scope, credential: Credential) -> Response:
        policy = read_document(request.data)
        set_policy(scope, policy=policy, actor=credential.name, expected=_expected(request))
        return self.told(scope)

    def removed(self, request: Request, scope: Scope, credential: Credential) -> Response:
        remove_policy(scope, actor=credential.name, expected=_expected(request))
        return Response(status=204)


class _VersionsView(ManagementView):
    parameters = {"get": (Sort(columns={"version": "version"}, default="-version"), *PAGE)}

    def told(self, scope: Scope) -> Response:
        return self.page(list_versions(scope), PolicyVersionSerializer)


def _expected(request: Request) -> int | None:
    """The version that the caller changes, where they say which; raises PolicyChanged for what can be none."""
    given: str | None = request.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return None
    found = re.fullmatch(r'"([0-9]{1,18})"', given.strip())
    if found is None:
        raise PolicyChanged
    return int(found[1])


class RetentionView(_PolicyView):
    @extend_schema(responses=PolicySerializer)
    def get(self, request: Request) -> Response:
        """The instance's retention policy."""
        scope, _ = of_instance(caller_of(request))
        return self.told(scope)

    @extend_schema(request=PolicyDocumentSerializer, responses=PolicySerializer)
    def put(self, request: Request) -> Response:
        """Set the instance's policy, which holds where a team or repository has none; its locked rules hold always."""
        return self.changed(request, *of_instance(caller_of(request), change=True))

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request) -> Response:
        """Take the instance's policy away."""
        return self.removed(request, *of_instance(caller_of(request), change=True))


class TeamRetentionView(_PolicyView):
    @extend_schema(responses=PolicySerializer)
    def get(self, request: Request, team: str) -> Response:
        """A team's retention policy, and what holds in the team."""
        scope, _ = of_team(caller_of(request), team)
        return self.told(scope)

    @extend_schema(request=PolicyDocumentSerializer, responses=PolicySerializer)
    def put(self, request: Request, team: str) -> Response:
        """Set a team's policy, in place of the instance's."""
        return self.changed(request, *of_team(caller_of(request), team, change=True))

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, team: str) -> Response:
        """Take a team's policy away: the instance's holds again."""
        return self.removed(request, *of_team(caller_of(request), team, change=True))


class RepositoryRetentionView(_PolicyView):
    @extend_schema(responses=PolicySerializer)
    def get(self, request: Request, name: str) -> Response:
        """A repository's retention policy, and what holds in it."""
        scope, _ = of_repository(caller_of(request), name)
        return self.told(scope)

    @extend_schema(request=PolicyDocumentSerializer, responses=PolicySerializer)
    def put(self, request: Request, name: str) -> Response:
        """Set a repository's policy, in place of its team's."""
        return self.changed(request, *of_repository(caller_of(request), name, change=True))

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Take a repository's policy away: its team's holds again, or the instance's."""
        return self.removed(request, *of_repository(caller_of(request), name, change=True))


class RetentionVersionsView(_VersionsView):
    @extend_schema(responses=_VERSIONS)
    def get(self, request: Request) -> Response:
        """What the instance's policy said, and who changed it when."""
        scope, _ = of_instance(caller_of(request))
        return self.told(scope)


class TeamRetentionVersionsView(_VersionsView):
    @extend_schema(responses=_VERSIONS)
    def get(self, request: Request, team: str) -> Response:
        """What a team's policy said, and who changed it when."""
        scope, _ = of_team(caller_of(request), team)
        return self.told(scope)


class RepositoryRetentionVersionsView(_VersionsView):
    @extend_schema(responses=_VERSIONS)
    def get(self, request: Request, name: str) -> Response:
        """What a repository's policy said, and who changed it when."""
        scope, _ = of_repository(caller_of(request), name)
        return self.told(scope)
