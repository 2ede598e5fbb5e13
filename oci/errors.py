"""Conditions of the protocol, each with its code and status (distribution-spec, "Error Codes").

A view never renders an error: `oci.views.render_error` does, once, for all of them.
"""

from collections.abc import Mapping
from typing import ClassVar

Detail = Mapping[str, object] | list[object] | str | None


class OCIError(Exception):
    """A condition that the client is told about as OCI JSON.

    A `reason` in the detail stands in the message too, which is all that most clients show.
    """

    code: ClassVar[str] = "UNKNOWN"
    status: ClassVar[int] = 500
    message: ClassVar[str] = "the registry failed unexpectedly"

    def __init__(self, detail: Detail = None, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(self.message, detail)
        self.detail = detail
        self.headers = dict(headers or {})

    def as_json(self) -> dict[str, object]:
        reason = self.detail.get("reason") if isinstance(self.detail, Mapping) else None
        message = f"{self.message}: {reason}" if reason else self.message
        return {"code": self.code, "message": message, "detail": self.detail}


class BlobUnknown(OCIError):
    code, status, message = "BLOB_UNKNOWN", 404, "blob unknown to this repository"


class BlobUploadUnknown(OCIError):
    code, status, message = "BLOB_UPLOAD_UNKNOWN", 404, "blob upload unknown to this repository"


class BlobUploadInvalid(OCIError):
    code, status, message = "BLOB_UPLOAD_INVALID", 400, "blob upload invalid"


class BlobUploadBusy(OCIError):
    code, status, message = "BLOB_UPLOAD_INVALID", 409, "another request is writing to this blob upload"

    def __init__(self, detail: Detail = None) -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class DigestInvalid(OCIError):
    code, status, message = "DIGEST_INVALID", 400, "the digest is not valid or not supported"


class DigestMismatch(OCIError):
    code, status, message = "DIGEST_INVALID", 400, "the content does not have the digest that was named"


class ManifestBlobUnknown(OCIError):
    code, status, message = (
        "MANIFEST_BLOB_UNKNOWN",
        404,
        "the manifest names unknown content",
    )


class ManifestInvalid(OCIError):
    code, status, message = "MANIFEST_INVALID", 400, "manifest invalid"


class ManifestTooLarge(OCIError):
    code, status, message = "MANIFEST_INVALID", 413, "the manifest is larger than this registry accepts"


class ManifestUnknown(OCIError):
    code, status, message = "MANIFEST_UNKNOWN", 404, "manifest unknown to this repository"


class NameInvalid(OCIError):
    code, status, message = "NAME_INVALID", 400, "invalid repository name"


class NameUnknown(OCIError):
    code, status, message = "NAME_UNKNOWN", 404, "repository name not known to registry"


class PaginationInvalid(OCIError):
    code, status, message = "PAGINATION_NUMBER_INVALID", 400, "the page parameters are not valid"


class ParameterInvalid(OCIError):
    code, status, message = "UNSUPPORTED", 400, "a query parameter or header is not valid"


class RangeInvalid(OCIError):
    code, status, message = "RANGE_INVALID", 416, "the range cannot be satisfied"


class SizeInvalid(OCIError):
    code, status, message = "SIZE_INVALID", 400, "the content does not have the length that was declared"


class TagInvalid(OCIError):
    code, status, message = "TAG_INVALID", 400, "invalid tag name"


class Unauthorized(OCIError):
    code, status, message = "UNAUTHORIZED", 401, "authentication required"


class Denied(OCIError):
    code, status, message = "DENIED", 403, "requested access to the resource is denied"


class TooManyRequests(OCIError):
    """`retry_after` in seconds."""

    code, status, message = "TOOMANYREQUESTS", 429, "too many requests"

    def __init__(self, detail: Detail = None, *, retry_after: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class Unsupported(OCIError):
    code, status, message = "UNSUPPORTED", 405, "the operation is unsupported"


class BlobInUse(Unsupported):
    message = "a manifest of this repository still refers to the blob"

    def __init__(self, detail: Detail = None) -> None:
        super().__init__(detail, headers={"Allow": "GET, HEAD"})


class RouteUnknown(OCIError):
    code, status, message = "UNSUPPORTED", 404, "no such endpoint"


class StorageFull(OCIError):
    code, status, message = "UNAVAILABLE", 507, "the registry has no space left for this content"


class TransferCodingUnknown(OCIError):
    code, status, message = "UNSUPPORTED", 501, "the registry knows no transfer coding but chunked"


class Unavailable(OCIError):
    code, status, message = "UNAVAILABLE", 503, "the registry cannot serve this request at the moment"

    def __init__(self, detail: Detail = None) -> None:
        super().__init__(detail, headers={"Retry-After": "5"})
