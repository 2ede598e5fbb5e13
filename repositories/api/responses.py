"""The header sets of manifest and list answers, each spelt once."""

import json

from django.http import HttpResponse, JsonResponse

from oci import media_types
from oci.locations import manifest_location, next_link
from oci.names import RepositoryName
from oci.views import empty
from repositories.manifests import PushedManifest
from repositories.models import Manifest
from repositories.queries import ServedManifest

# Crane and containerd follow no Link and read at most 4 MiB, so a page is cut by bytes.
REFERRERS_PAGE_BYTES = 3_500_000


def manifest_content(manifest: ServedManifest) -> HttpResponse:
    """The bytes as they were pushed, or, where only the head was read, their length."""
    response = HttpResponse(manifest.payload, content_type=manifest.media_type)
    response["Content-Length"] = str(manifest.size)
    response["Docker-Content-Digest"] = manifest.digest
    response["ETag"] = f'"{manifest.digest}"'
    # Its media type is the pusher's word: no browser may take it for a page of ours.
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Disposition"] = "attachment"
    response["Content-Security-Policy"] = "sandbox"
    return response


def manifest_not_modified(manifest: ServedManifest) -> HttpResponse:
    response = empty(304)
    response["ETag"] = f'"{manifest.digest}"'
    response["Docker-Content-Digest"] = manifest.digest
    return response


def manifest_created(name: RepositoryName, pushed: PushedManifest, *, named_tags: bool) -> HttpResponse:
    response = empty(201)
    response["Location"] = manifest_location(name, pushed.digest)
    response["Docker-Content-Digest"] = str(pushed.digest)
    if pushed.subject:
        response["OCI-Subject"] = str(pushed.subject)
    if named_tags:
        response["OCI-Tag"] = ", ".join(tag.text for tag in pushed.tags)
    return response


def name_page(path: str, field: str, names: list[str], limit: int | None, **more: str) -> HttpResponse:
    """A page of names; `names` may hold one more than `limit`, which tells that there is a next page."""
    shown = names if limit is None else names[:limit]
    response = JsonResponse({**more, field: shown})
    if shown and limit is not None and len(names) > limit:
        response["Link"] = next_link(path, n=limit, last=shown[-1])
    return response


class ReferrersPage:
    """An image index of referrers that is cut by its bytes; each descriptor is encoded once."""

    _HEAD = f'{{"schemaVersion":2,"mediaType":"{media_types.OCI_INDEX}","manifests":['.encode()
    _TAIL = b"]}"

    def __init__(self) -> None:
        self._descriptors: list[bytes] = []
        self._size = len(self._HEAD) + len(self._TAIL)

    def __len__(self) -> int:
        return len(self._descriptors)

    def take(self, manifest: Manifest) -> bool:
        """Add a referrer; False when the page would be too large with it. The first always fits."""
        encoded = json.dumps(_referrer_descriptor(manifest), separators=(",", ":")).encode()
        size = self._size + len(encoded) + (1 if self._descriptors else 0)
        if self._descriptors and size > REFERRERS_PAGE_BYTES:
            return False
        self._descriptors.append(encoded)
        self._size = size
        return True

    def response(self, link: str | None, *, filtered: bool) -> HttpResponse:
        content = b"".join((self._HEAD, b",".join(self._descriptors), self._TAIL))
        response = HttpResponse(content, content_type=media_types.OCI_INDEX)
        if filtered:
            response["OCI-Filters-Applied"] = "artifactType"
        if link:
            response["Link"] = link
        return response


def _referrer_descriptor(manifest: Manifest) -> dict[str, object]:
    """A referrer as the list shows it (distribution-spec, "Listing Referrers")."""
    descriptor: dict[str, object] = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.size,
    }
    artifact_type = manifest.artifact_type or manifest.config_media_type
    if artifact_type:
        descriptor["artifactType"] = artifact_type
    if manifest.annotations:
        descriptor["annotations"] = manifest.annotations
    return descriptor
