"""Blobs and uploads (distribution-spec, end-2, 4 to 6, 10, 11, 13 and 14)."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils import timezone
from rest_framework.request import Request

from accounts.callers import caller_of
from accounts.rights import Action
from blobs import uploads
from blobs.api.responses import (
    blob_content,
    blob_created,
    blob_head,
    blob_not_modified,
    upload_headers,
    upload_status,
)
from blobs.links import extend_lease, mount_blob
from blobs.queries import get_blob, get_offered_blob
from blobs.storage import get_store
from blobs.uploads import ChunkOutOfOrder, UploadOwner
from blobs.usage import check_room
from events import announcements
from oci.digests import CANONICAL, Digest, check_algorithm
from oci.errors import DigestInvalid, NameInvalid
from oci.names import RepositoryName
from oci.parameters import matches_etag, single
from oci.ranges import parse_content_range, parse_range
from oci.views import OCIView, empty, request_body
from repositories.access import (
    Access,
    authorise,
    find_readable,
    get_repository_id,
    push_into,
    repository_on_trial,
    telling_refusals,
)
from repositories.contents import unlink_blob


class BlobView(OCIView):
    """A blob by its digest."""

    def head(self, request: Request, name: RepositoryName, digest: Digest) -> HttpResponse:
        access = authorise(caller_of(request), Action.PULL, name)
        offered = get_offered_blob(access.name, digest)
        if offered.needs_lease:
            extend_lease(repository_id=offered.repository_id, blob_id=offered.blob.id, now=timezone.now())
        return blob_head(offered.blob)

    def get(self, request: Request, name: RepositoryName, digest: Digest) -> HttpResponseBase:
        access = authorise(caller_of(request), Action.PULL, name)
        blob = get_blob(access.name, digest)
        if matches_etag(request.headers.get("If-None-Match"), str(digest)):
            return blob_not_modified(blob)
        if settings.REDIRECT_BLOBS and (url := get_store().signed_url(blob.storage_key, lifetime=settings.SIGNED_URLS)):
            announcements.blob_pulled(name=name, digest=digest, size=blob.size, principal=access.principal.name)
            return HttpResponseRedirect(url, status=307)
        unchanged = matches_etag(request.headers.get("If-Range", str(digest)), str(digest))
        content = blob_content(blob, parse_range(request.headers.get("Range"), blob.size) if unchanged else None)
        announcements.blob_pulled(name=name, digest=digest, size=blob.size, principal=access.principal.name)
        return content

    def delete(self, request: Request, name: RepositoryName, digest: Digest) -> HttpResponse:
        access = authorise(caller_of(request), Action.DELETE, name)
        unlink_blob(repository_id=get_repository_id(access), digest=digest)
        return empty(202)


class BlobUploadsView(OCIView):
    """Opens upload sessions, mounts blobs, takes whole blobs."""

    def post(self, request: Request, name: RepositoryName) -> HttpResponse:
        access = authorise(caller_of(request), Action.PUSH, name)
        mounted, named = single(request, "mount"), single(request, "digest")
        mount = Digest.parse(mounted) if mounted else None
        digest = Digest.parse(named) if named is not None else None
        origin = single(request, "from")
        algorithm = single(request, "digest-algorithm") or CANONICAL
        check_algorithm(algorithm)

        def take(repository_id: int) -> HttpResponse:
            owner = UploadOwner(repository_id, access.principal.name)
            if mount and _mounted(request, access, repository_id, mount, origin):
                return blob_created(name, mount)
            if digest is None:
                _check_room(access, 0)
                return upload_status(name, uploads.start_upload(owner=owner, digest_algorithm=algorithm), 202)
            body = request_body(request)
            _check_room(access, body.length or 0)
            uploads.upload_blob(owner=owner, digest=digest, body=body)
            return blob_created(name, digest)

        with telling_refusals(access, Action.PUSH):
            if digest is None:
                return push_into(access, take)
            with repository_on_trial(access) as repository_id:
                return take(repository_id)


class BlobUploadView(OCIView):
    """An upload session."""

    def get(self, request: Request, name: RepositoryName, session_id: UUID) -> HttpResponse:
        access = authorise(caller_of(request), Action.PUSH, name)
        return upload_status(name, uploads.get_upload(owner=_owner(access), session_id=session_id), 204)

    def patch(self, request: Request, name: RepositoryName, session_id: UUID) -> HttpResponse:
        access = authorise(caller_of(request), Action.PUSH, name)
        upload = uploads.append_chunk(
            owner=_owner(access),
            session_id=session_id,
            content_range=parse_content_range(request.headers.get("Content-Range")),
            body=request_body(request),
        )
        return upload_status(name, upload, 202)

    def put(self, request: Request, name: RepositoryName, session_id: UUID) -> HttpResponse:
        access = authorise(caller_of(request), Action.PUSH, name)
        named = single(request, "digest")
        if named is None:
            raise DigestInvalid({"reason": "the query parameter digest is missing"})
        digest = Digest.parse(named)
        with telling_refusals(access, Action.PUSH):
            uploads.complete_upload(
                owner=_owner(access),
                session_id=session_id,
                digest=digest,
                content_range=parse_content_range(request.headers.get("Content-Range")),
                body=request_body(request),
            )
        return blob_created(name, digest)

    def delete(self, request: Request, name: RepositoryName, session_id: UUID) -> HttpResponse:
        # Cancelling is part of pushing: clients hold no right to delete when they give an upload up.
        access = authorise(caller_of(request), Action.PUSH, name)
        uploads.cancel_upload(owner=_owner(access), session_id=session_id)
        return empty(204)

    def handle_exception(self, exc: Exception) -> Any:
        response = super().handle_exception(exc)
        if isinstance(exc, ChunkOutOfOrder):
            for header, value in upload_headers(self.kwargs["name"], exc.upload).items():
                response[header] = value
        return response


def _owner(access: Access) -> UploadOwner:
    return UploadOwner(get_repository_id(access), access.principal.name)


def _check_room(access: Access, size: int) -> None:
    known = access.known
    check_room(team_id=known.team_id, team=access.name.team_slug, quota_bytes=known.quota_bytes, size=size)


def _mounted(request: Request, access: Access, repository_id: int, digest: Digest, origin: str | None) -> bool:
    try:
        source = RepositoryName.parse(origin) if origin else None
    except NameInvalid:
        return False
    return mount_blob(
        repository_id=repository_id,
        digest=digest,
        source=source,
        find_readable=lambda names: find_readable(caller_of(request), access, names, asked=source),
    )
