"""The header sets of blob and upload answers, each spelt once."""

import secrets
from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import quote

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from blobs.models import UploadSession
from blobs.queries import StoredBlob
from blobs.storage import get_store
from oci import media_types
from oci.digests import Digest
from oci.locations import blob_location, upload_location
from oci.names import RepositoryName
from oci.ranges import ByteRange
from oci.views import empty
from registry_project.database import release_connection


def upload_status(name: RepositoryName, upload: UploadSession, status: int) -> HttpResponse:
    """Where to go on and how far the session is: 202 while it takes chunks, 204 when asked (end-4a, 5, 13)."""
    response = empty(status)
    for header, value in upload_headers(name, upload).items():
        response[header] = value
    return response


def upload_headers(name: RepositoryName, upload: UploadSession) -> dict[str, str]:
    return {
        "Location": upload_location(name, upload.id),
        # Inclusive, so nothing and one byte look the same; clients know this form.
        "Range": f"0-{max(upload.offset - 1, 0)}",
        "Docker-Upload-UUID": str(upload.id),
    }


def blob_created(name: RepositoryName, digest: Digest) -> HttpResponse:
    response = empty(201)
    response["Location"] = blob_location(name, digest)
    response["Docker-Content-Digest"] = str(digest)
    return response


def blob_head(blob: StoredBlob) -> HttpResponse:
    return _described(HttpResponse(headers={"Content-Length": str(blob.size)}), blob)


def blob_not_modified(blob: StoredBlob) -> HttpResponse:
    response = empty(304)
    response["ETag"] = f'"{blob.digest}"'
    return response


def blob_content(blob: StoredBlob, ranges: list[ByteRange] | None) -> HttpResponseBase:
    """The bytes of a blob: all of it, one range, or several as multipart/byteranges (RFC 9110, 14.6)."""
    if settings.ACCEL_LOCATION:
        return _left_to_nginx(blob, settings.ACCEL_LOCATION)
    if ranges is not None and len(ranges) > 1:
        return _described(_multipart(blob, ranges), blob)
    piece = ranges[0] if ranges else ByteRange(0, blob.size)
    response = StreamingHttpResponse(_open(blob, piece), status=206 if ranges else 200)
    response["Content-Length"] = str(piece.size)
    if ranges:
        response["Content-Range"] = piece.content_range(blob.size)
    return _described(response, blob)


def _left_to_nginx(blob: StoredBlob, location: str) -> HttpResponse:
    """No bytes but where nginx finds them, whatever range was asked for: it looks at the request itself."""
    # Nginx would answer a plain 404 for lost bytes, which says that there never were any.
    get_store().open_range(blob.storage_key, 0, 0).close()
    response = _described(HttpResponse(headers={"X-Accel-Redirect": location + quote(blob.storage_key)}), blob)
    # Nginx says this itself, and would say it twice.
    del response["Accept-Ranges"]
    return response


def _open(blob: StoredBlob, piece: ByteRange) -> Iterator[bytes]:
    release_connection()
    return get_store().open_range(blob.storage_key, piece.start, piece.stop)


def _multipart(blob: StoredBlob, ranges: list[ByteRange]) -> StreamingHttpResponse:
    boundary = secrets.token_hex(16)
    heads = [
        f"\r\n--{boundary}\r\nContent-Type: {media_types.BLOB}\r\n"
        f"Content-Range: {piece.content_range(blob.size)}\r\n\r\n".encode()
        for piece in ranges
    ]
    tail = f"\r\n--{boundary}--\r\n".encode()

    def parts() -> Iterator[bytes]:
        for head, piece in zip(heads, ranges, strict=True):
            yield head
            yield from _open(blob, piece)
        yield tail

    response = StreamingHttpResponse(parts(), status=206, content_type=f"multipart/byteranges; boundary={boundary}")
    total = sum(map(len, heads)) + sum(piece.size for piece in ranges) + len(tail)
    response["Content-Length"] = str(total)
    return response


Response = TypeVar("Response", bound=HttpResponseBase)


def _described(response: Response, blob: StoredBlob) -> Response:
    if not response.get("Content-Type", "").startswith("multipart/"):
        response["Content-Type"] = media_types.BLOB
    response["Docker-Content-Digest"] = str(blob.digest)
    response["ETag"] = f'"{blob.digest}"'
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = "max-age=31536000"
    # A blob may hold anything: no browser may take it for a page of ours.
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Disposition"] = "attachment"
    response["Content-Security-Policy"] = "sandbox"
    return response
