"""Manifests, tag lists, referrers and the catalog (distribution-spec, end-1, 3, 7 to 9 and 12)."""

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from rest_framework.request import Request

from accounts.callers import caller_of
from accounts.rights import Action
from events import announcements
from oci.digests import Digest
from oci.documents import MAX_SIZE
from oci.errors import PaginationInvalid
from oci.locations import next_link
from oci.names import Reference, RepositoryName, TagName
from oci.parameters import matches_etag, page_size, single
from oci.views import OCIView, empty, request_body
from registry_project.database import release_connection
from repositories.access import (
    authorise,
    authorise_catalog,
    authorise_entry,
    get_repository_id,
    push_into,
    telling_refusals,
)
from repositories.api.responses import (
    ReferrersPage,
    manifest_content,
    manifest_created,
    manifest_not_modified,
    name_page,
)
from repositories.catalog import list_readable_names
from repositories.manifests import delete_manifest, put_manifest
from repositories.pulls import note_pull
from repositories.queries import get_manifest, list_referrers, list_tags
from repositories.tags import delete_tag

_CATALOG_PAGE = 100
_REFERRERS_PAGE = 10_000


class BaseView(OCIView):
    """The end that tells a client that this is a registry, and how to sign in (end-1)."""

    def get(self, request: Request) -> HttpResponse:
        authorise_entry(caller_of(request))
        return JsonResponse({})


class ManifestView(OCIView):
    """A manifest by tag or digest."""

    def head(self, request: Request, name: RepositoryName, reference: Reference) -> HttpResponse:
        return self._serve(request, name, reference, head=True)

    def get(self, request: Request, name: RepositoryName, reference: Reference) -> HttpResponse:
        return self._serve(request, name, reference, head=False)

    def _serve(self, request: Request, name: RepositoryName, reference: Reference, *, head: bool) -> HttpResponse:
        access = authorise(caller_of(request), Action.PULL, name)
        manifest = get_manifest(access.name, reference, head=head)
        agent = request.headers.get("User-Agent", "")
        note_pull(manifest_id=manifest.id, account=access.principal.name, agent=agent)
        if matches_etag(request.headers.get("If-None-Match"), manifest.digest):
            return manifest_not_modified(manifest)
        announcements.manifest_pulled(
            name=name,
            digest=manifest.digest,
            media_type=manifest.media_type,
            size=manifest.size,
            reference=reference,
            payload=manifest.payload,
            principal=access.principal.name,
        )
        return manifest_content(manifest)

    def put(self, request: Request, name: RepositoryName, reference: Reference) -> HttpResponse:
        access = authorise(caller_of(request), Action.PUSH, name)
        tags = [TagName.parse(tag) for tag in request.GET.getlist("tag")]
        release_connection()
        payload = request_body(request).read(MAX_SIZE)
        with telling_refusals(access, Action.PUSH):
            pushed = push_into(
                access,
                lambda repository_id: put_manifest(
                    repository_id=repository_id,
                    principal=access.principal,
                    reference=reference,
                    tags=tags,
                    payload=payload,
                    content_type=request.headers.get("Content-Type", ""),
                ),
            )
        return manifest_created(name, pushed, named_tags=bool(tags))

    def delete(self, request: Request, name: RepositoryName, reference: Reference) -> HttpResponse:
        access = authorise(caller_of(request), Action.DELETE, name)
        repository_id = get_repository_id(access)
        with telling_refusals(access, Action.DELETE):
            if isinstance(reference, Digest):
                delete_manifest(repository_id=repository_id, digest=reference, principal=access.principal)
            else:
                delete_tag(repository_id=repository_id, name=reference, principal=access.principal)
        return empty(202)


class TagsView(OCIView):
    """The tags of a repository in byte order (end-8)."""

    def get(self, request: Request, name: RepositoryName) -> HttpResponse:
        access = authorise(caller_of(request), Action.PULL, name)
        limit = page_size(request, most=settings.TAGS_MAX, default=None)
        repository_id = get_repository_id(access)
        names = list_tags(repository_id, last=single(request, "last") or "", limit=None if limit is None else limit + 1)
        return name_page(f"{name}/tags/list", "tags", names, limit, name=name.text)


class CatalogView(OCIView):
    """The repositories that hold something, in byte order."""

    def get(self, request: Request) -> HttpResponse:
        credential = authorise_catalog(caller_of(request))
        limit = page_size(request, most=settings.CATALOG_MAX, default=min(_CATALOG_PAGE, settings.CATALOG_MAX))
        assert limit is not None
        names = list_readable_names(credential, last=single(request, "last") or "", limit=limit + 1)
        return name_page("_catalog", "repositories", names, limit)


class ReferrersView(OCIView):
    """What refers to a manifest, whether that is there or not (end-12)."""

    def get(self, request: Request, name: RepositoryName, digest: Digest) -> HttpResponse:
        access = authorise(caller_of(request), Action.PULL, name)
        artifact_type = single(request, "artifactType") or ""
        limit = page_size(request, most=_REFERRERS_PAGE, default=_REFERRERS_PAGE)
        page, last_id, more = ReferrersPage(), _after_id(request), False
        for referrer in list_referrers(access.name, digest, artifact_type=artifact_type, after_id=last_id):
            if len(page) == limit or not page.take(referrer):
                more = True
                break
            last_id = referrer.pk
        parameters: dict[str, str | int] = {"last": last_id}
        parameters |= {"artifactType": artifact_type} if artifact_type else {}
        parameters |= {"n": limit or 0} if "n" in request.GET else {}
        link = next_link(f"{name}/referrers/{digest}", **parameters) if more and len(page) else None
        return page.response(link, filtered=bool(artifact_type))


def _after_id(request: Request) -> int:
    text = single(request, "last") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise PaginationInvalid({"last": text[:40]})
    return int(text)
