"""Tags, their history, and manifests, in the management API."""

from collections.abc import Sequence
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.callers import caller_of
from accounts.patterns import parse_pattern
from accounts.rights import Action
from oci.digests import Digest
from oci.errors import ManifestUnknown
from oci.names import TagName
from registry_project.endpoints import ManagementView
from registry_project.openapi import page_of
from registry_project.pages import read_page
from registry_project.parameters import PAGE, Order, Sort, Text
from registry_project.problems import BadRequest
from repositories.access import Access, authorise_repository
from repositories.api.inputs import RestoredDigest, TagChange, TagSelection
from repositories.api.serializers import (
    BulkDeletionSerializer,
    EpisodeSerializer,
    ManifestDetailsSerializer,
    TagSerializer,
)
from repositories.bulk_deletes import Preview, Selection, delete_tags, preview_delete
from repositories.details import get_details
from repositories.expiry import set_expiry
from repositories.history import restore_tag
from repositories.listings import digest_after, find_tag_row, list_history, list_tag_rows, platforms_of
from repositories.models import Repository, Tag, TagHistory
from repositories.tag_rules import TagRules
from repositories.tags import delete_tag


def _rows(repository_id: int, access: Access, tags: Sequence[Tag]) -> list[dict[str, Any]]:
    team_id = access.known.team_id or Repository.objects.values_list("team_id", flat=True).get(pk=repository_id)
    context = {
        "platforms": platforms_of({tag.manifest_id for tag in tags}),
        "rules": TagRules.load(team_id=team_id, repository=access.name),
    }
    return [TagSerializer(tag, context=context).data for tag in tags]


def _tag(repository_id: int, access: Access, name: str) -> dict[str, Any]:
    tag = find_tag_row(repository_id, name)
    if tag is None:
        raise ManifestUnknown({"tag": name})
    return _rows(repository_id, access, [tag])[0]


class RepositoryTagsView(ManagementView):
    parameters = {
        "get": (
            Text(name="search", description="Part of a tag."),
            Sort(columns={"name": "name", "pushed": "pushed_at", "pulled": "pulled_at", "size": "size_bytes"}),
            *PAGE,
        )
    }

    @extend_schema(responses=page_of(TagSerializer))
    def get(self, request: Request, name: str) -> Response:
        """The tags of a repository."""
        access, repository_id = authorise_repository(caller_of(request), Action.PULL, name)
        tags, query = list_tag_rows(repository_id), self.query
        if query["search"]:
            tags = tags.filter(name__icontains=query["search"])
        page = read_page(
            request._request, tags, order=query["sort"], limit=query["limit"], cursor=query["cursor"], key="name"
        )
        return Response({"results": _rows(repository_id, access, page.rows), "next": page.next})


class RepositoryTagView(ManagementView):
    @extend_schema(responses=TagSerializer)
    def get(self, request: Request, name: str, tag: str) -> Response:
        """A tag."""
        access, repository_id = authorise_repository(caller_of(request), Action.PULL, name)
        return Response(_tag(repository_id, access, tag))

    @extend_schema(request=TagChange, responses=TagSerializer)
    def patch(self, request: Request, name: str, tag: str) -> Response:
        """Let a tag end by itself, or no longer."""
        access, repository_id = authorise_repository(caller_of(request), Action.DELETE, name)
        expires_at = TagChange.read(request)["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise BadRequest("The moment is over.", fields={"expires_at": ["Give a moment to come, or null."]})
        set_expiry(
            repository_id=repository_id, name=TagName.parse(tag), expires_at=expires_at, principal=access.principal
        )
        return Response(_tag(repository_id, access, tag))

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, name: str, tag: str) -> Response:
        """Delete a tag and no other of its manifest; it can be restored for a while."""
        access, repository_id = authorise_repository(caller_of(request), Action.DELETE, name)
        delete_tag(repository_id=repository_id, name=TagName.parse(tag), principal=access.principal)
        return Response(status=204)


_HIDDEN = extend_schema(exclude=True)


@extend_schema_view(get=_HIDDEN, patch=_HIDDEN, delete=_HIDDEN)
class RepositoryTagsDeleteView(RepositoryTagView):
    """Also the tag that is called `delete`, whose path this is."""

    @extend_schema(request=TagSelection, responses=BulkDeletionSerializer)
    def post(self, request: Request, name: str, tag: str) -> Response:
        """Delete many tags, or tell what would go; protected ones are skipped."""
        access, repository_id = authorise_repository(caller_of(request), Action.DELETE, name)
        given = TagSelection.read(request)
        selection = _selection(given)
        if given["preview"]:
            repository = Repository.objects.get(pk=repository_id)
            preview = preview_delete(repository=repository, selection=selection, principal=access.principal)
            return Response(_previewed(preview))
        done = delete_tags(repository_id=repository_id, selection=selection, principal=access.principal)
        answer = {
            "preview": False,
            "deleted": done.deleted,
            "skipped": done.skipped,
            "more": done.more,
            "restorable_until": done.restorable_until,
        }
        return Response(BulkDeletionSerializer(answer).data)


def _selection(given: dict[str, Any]) -> Selection:
    if "tags" in given:
        return Selection(names=tuple(given["tags"]))
    query = given["query"]
    age = query.get("older_than")
    return Selection(
        match=parse_pattern(query["match"], field="query.match"),
        pushed_before=timezone.now() - age if age is not None else None,
    )


def _previewed(preview: Preview) -> dict[str, Any]:
    answer = {
        "preview": True,
        "deleted": [tag.name for tag in preview.tags],
        "skipped": preview.skipped,
        "more": preview.more,
        "tags": preview.tags,
        "siblings": preview.siblings,
        "children": preview.children,
        "referrers": preview.referrers,
        "fallback_tags": preview.fallback_tags,
        "totals": {
            "tags": len(preview.tags),
            "manifests": preview.manifest_count,
            "bytes_freed": preview.bytes_freed,
        },
    }
    return BulkDeletionSerializer(answer).data


class TagHistoryView(ManagementView):
    parameters = {"get": PAGE}

    @extend_schema(responses=page_of(EpisodeSerializer))
    def get(self, request: Request, name: str, tag: str) -> Response:
        """What a tag points to and pointed to before, the newest first."""
        _, repository_id = authorise_repository(caller_of(request), Action.PULL, name)
        cursor, limit = self.query["cursor"], self.query["limit"]
        current = find_tag_row(repository_id, tag) if cursor is None else None
        page = read_page(
            request._request,
            list_history(repository_id, tag),
            order=Order("ended_at", descending=True),
            limit=max(1, limit - 1) if current else limit,
            cursor=cursor,
        )
        entries: list[TagHistory] = page.rows
        if not entries and current is None and cursor is None:
            raise ManifestUnknown({"tag": tag})
        return Response({"results": _episodes(current, entries), "next": page.next})


def _episodes(current: Tag | None, entries: Sequence[TagHistory]) -> list[dict[str, Any]]:
    episodes = [_running(current)] if current else []
    following = current.manifest.digest if current else digest_after(entries[0]) if entries else None
    now = timezone.now()
    for entry in entries:
        replaced = entry.reason in {TagHistory.Reason.MOVED, TagHistory.Reason.RESTORED}
        episodes.append(
            {
                "digest": entry.manifest.digest,
                "media_type": entry.manifest.media_type,
                "started_at": entry.started_at,
                "started_by": entry.started_by,
                "started_as": entry.started_as,
                "ended_at": entry.ended_at,
                "ended_by": entry.ended_by,
                "reason": entry.reason,
                "replaced_by": following if replaced else None,
                "restorable_until": entry.restorable_until,
                "restorable": entry.restorable_until > now or entry.manifest.deleted_at is None,
            }
        )
        following = entry.manifest.digest
    return [EpisodeSerializer(episode).data for episode in episodes]


def _running(tag: Tag) -> dict[str, Any]:
    over = dict.fromkeys(("ended_at", "ended_by", "reason", "replaced_by", "restorable_until"))
    return {
        "digest": tag.manifest.digest,
        "media_type": tag.manifest.media_type,
        "started_at": tag.pointed_at,
        "started_by": tag.pointed_by,
        "started_as": tag.pointed_as,
        **over,
        "restorable": True,
    }


class TagRestoreView(ManagementView):
    @extend_schema(request=RestoredDigest, responses=TagSerializer)
    def post(self, request: Request, name: str, tag: str) -> Response:
        """Let a tag point again to what it or another tag pointed to, or to any manifest that is there."""
        access, repository_id = authorise_repository(caller_of(request), Action.RESTORE, name)
        digest = Digest.parse(RestoredDigest.read(request)["digest"])
        restore_tag(repository_id=repository_id, name=TagName.parse(tag), digest=digest, principal=access.principal)
        return Response(_tag(repository_id, access, tag))


class RepositoryManifestView(ManagementView):
    @extend_schema(responses=ManifestDetailsSerializer)
    def get(self, request: Request, name: str, digest: str) -> Response:
        """What a manifest is made of, and what stands in relation to it."""
        access, repository_id = authorise_repository(caller_of(request), Action.PULL, name)
        details = get_details(repository_id=repository_id, name=access.name, digest=Digest.parse(digest))
        return Response(ManifestDetailsSerializer(details).data)
