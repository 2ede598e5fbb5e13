"""Addresses in answers: relative, or on the configured origin, never taken from the request."""

from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings

from oci.digests import Digest
from oci.names import RepositoryName


def blob_location(name: RepositoryName, digest: Digest) -> str:
    return _absolute(f"{name}/blobs/{digest}")


def manifest_location(name: RepositoryName, digest: Digest) -> str:
    return _absolute(f"{name}/manifests/{digest}")


def upload_location(name: RepositoryName, session_id: UUID) -> str:
    return _absolute(f"{name}/blobs/uploads/{session_id}")


def next_link(path: str, **parameters: str | int) -> str:
    """A `Link` header to the next page of `path`, which stands behind /v2/ (RFC 8288)."""
    return f'<{_absolute(path)}?{urlencode(parameters)}>; rel="next"'


def _absolute(path: str) -> str:
    return f"{settings.PUBLIC_BASE}/v2/{path}"
