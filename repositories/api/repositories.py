"""Repositories, their trash, and those that are in their team's trash, in the management API."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import authorise_team, check, who_asks
from accounts.callers import caller_of
from accounts.rights import Action, Credential, RepositoryTarget, decide
from oci.errors import NameInvalid
from oci.names import RepositoryName
from registry_project.endpoints import ManagementView
from registry_project.openapi import page_of
from registry_project.pages import read_page
from registry_project.parameters import PAGE, Sort, Text
from registry_project.problems import BadRequest
from repositories.access import authorise_repository, check_switched_on
from repositories.api.inputs import RepositoryChange, RestoredName
from repositories.api.serializers import (
    DeletedRepositorySerializer,
    PurgedSerializer,
    RepositorySerializer,
    TrashPageSerializer,
    TrashSerializer,
)
from repositories.catalog import narrow, target_of
from repositories.listings import list_repositories
from repositories.removal import (
    change_repository,
    delete_repository,
    get_deleted,
    get_ended,
    list_deleted,
    purge_repository,
    restore_repository,
)
from repositories.trash import list_trash, purge_trash, trash_bytes


def _repository(repository_id: int, credential: Credential) -> dict[str, Any]:
    repository = list_repositories().get(pk=repository_id)
    return RepositorySerializer(repository, context={"credential": credential}).data


class RepositoriesView(ManagementView):
    parameters = {
        "get": (
            Text(name="team", description="Only this team's."),
            Text(name="search", description="Part of a name."),
            Sort(columns={"name": "name", "created": "created_at", "pushed": "pushed_at", "tags": "tag_count"}),
            *PAGE,
        )
    }

    @extend_schema(responses=page_of(RepositorySerializer))
    def get(self, request: Request) -> Response:
        """Repositories that the caller may pull from."""
        credential, query = who_asks(caller_of(request)), self.query
        repositories = narrow(credential, list_repositories())
        if query["team"]:
            repositories = repositories.filter(team__slug=query["team"])
        if query["search"]:
            repositories = repositories.filter(name__icontains=query["search"])
        page = read_page(
            request._request,
            repositories,
            order=query["sort"],
            limit=query["limit"],
            cursor=query["cursor"],
            keep=lambda repository: decide(credential, Action.PULL, target_of(repository)).allowed,
        )
        rows = [RepositorySerializer(row, context={"credential": credential}).data for row in page.rows]
        return Response({"results": rows, "next": page.next})


class RepositoryView(ManagementView):
    @extend_schema(responses=RepositorySerializer)
    def get(self, request: Request, name: str) -> Response:
        """A repository."""
        access, repository_id = authorise_repository(caller_of(request), Action.PULL, name)
        return Response(_repository(repository_id, access.credential))

    @extend_schema(request=RepositoryChange, responses=RepositorySerializer)
    def patch(self, request: Request, name: str) -> Response:
        """Change who may see it."""
        access, repository_id = authorise_repository(caller_of(request), Action.UPDATE_REPOSITORY, name)
        given = RepositoryChange.read(request)
        change_repository(repository_id=repository_id, visibility=given["visibility"] or "")
        return Response(_repository(repository_id, access.credential))

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Put a repository into its team's trash, with all that it holds; its name is free at once."""
        access, repository_id = authorise_repository(caller_of(request), Action.DELETE_REPOSITORY, name)
        delete_repository(repository_id=repository_id, principal=access.principal)
        return Response(status=204)


class RepositoryTrashView(ManagementView):
    parameters = {
        "get": (
            Text(name="search", description="Part of a tag."),
            Sort(columns={"ended": "ended_at", "tag": "name"}, default="-ended"),
            *PAGE,
        )
    }

    @extend_schema(responses=TrashPageSerializer)
    def get(self, request: Request, name: str) -> Response:
        """What its tags pointed to and can point to again, until when, and what it takes."""
        _, repository_id = authorise_repository(caller_of(request), Action.PULL, name)
        now = timezone.now()
        entries = list_trash(repository_id, now=now)
        if search := self.query["search"]:
            entries = entries.filter(name__icontains=search)
        answer = self.page(entries, TrashSerializer)
        return Response({**answer.data, "bytes": trash_bytes(repository_id, now=now)})

    @extend_schema(request=None, responses={200: PurgedSerializer})
    def delete(self, request: Request, name: str) -> Response:
        """Let go of it now; nothing brings it back."""
        _, repository_id = authorise_repository(caller_of(request), Action.DELETE, name)
        return Response({"entries": purge_trash(repository_id=repository_id)})


class TeamTrashView(ManagementView):
    parameters = {
        "get": (
            Text(name="search", description="Part of a name."),
            Sort(columns={"deleted": "deleted_at", "name": "name"}, default="-deleted"),
            *PAGE,
        )
    }

    @extend_schema(responses=page_of(DeletedRepositorySerializer))
    def get(self, request: Request, team: str) -> Response:
        """A team's deleted repositories that can be restored."""
        access = authorise_team(caller_of(request), Action.READ_TEAM, team)
        deleted = list_deleted(access.team, now=timezone.now())
        if search := self.query["search"]:
            deleted = deleted.filter(name__icontains=search)
        return self.page(deleted, DeletedRepositorySerializer)


class TeamTrashRepositoryView(ManagementView):
    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, team: str, repository_id: int) -> Response:
        """Let go of a deleted repository now; nothing brings it back."""
        access = authorise_team(caller_of(request), Action.READ_TEAM, team)
        check(access.credential, Action.DELETE_REPOSITORY, target_of(get_ended(access.team, repository_id)))
        check_switched_on(Action.DELETE_REPOSITORY)
        purge_repository(repository_id=repository_id)
        return Response(status=204)


class TeamTrashRestoreView(ManagementView):
    @extend_schema(request=RestoredName, responses=RepositorySerializer)
    def post(self, request: Request, team: str, repository_id: int) -> Response:
        """Bring a deleted repository back, under its own name or another of the team."""
        access = authorise_team(caller_of(request), Action.READ_TEAM, team)
        repository = get_deleted(access.team, repository_id)
        check(access.credential, Action.DELETE_REPOSITORY, target_of(repository))
        check_switched_on(Action.RESTORE)
        try:
            name = RepositoryName.parse(RestoredName.read(request).get("name", repository.name))
        except NameInvalid as error:
            raise BadRequest("No repository can have this name.", fields={"name": ["Use another name."]}) from error
        # A grant may be for some names only.
        check(access.credential, Action.DELETE_REPOSITORY, RepositoryTarget(name.text, team))
        restore_repository(repository_id=repository_id, name=name)
        return Response(_repository(repository_id, access.credential))
