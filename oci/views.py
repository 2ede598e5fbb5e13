"""What every endpoint under /v2/ shares."""

import logging
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from oci.bodies import RequestBody, check_transfer_coding, is_left_unread
from oci.digests import Digest
from oci.errors import (
    BlobUploadUnknown,
    ManifestUnknown,
    OCIError,
    ParameterInvalid,
    RouteUnknown,
    StorageFull,
    TagInvalid,
    Unavailable,
    Unsupported,
)
from oci.names import RepositoryName, parse_reference

log = logging.getLogger("lading.oci")

_READS = frozenset({"GET", "HEAD"})
_POSTGRESQL_DISK_FULL = "53100"


class _IgnoreAccept(BaseContentNegotiation):
    """DRF's default answers 406 to the media types of manifests."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0] if parsers else None

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


def _session_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise BlobUploadUnknown({"session": text[:100]}) from error


_PATH_PARSERS = {
    "name": RepositoryName.parse,
    "digest": Digest.parse,
    "reference": parse_reference,
    "session_id": _session_id,
}


class OCIView(APIView):
    """A view whose path parameters arrive as value objects and whose errors leave as OCI JSON."""

    # Who asks is found out as the settings say (DEFAULT_AUTHENTICATION_CLASSES); cookies are never looked at here.
    permission_classes = ()
    throttle_classes = ()
    parser_classes = ()
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = _IgnoreAccept
    # DRF's OPTIONS would describe serializers that these endpoints do not have.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return close_if_unread(request, self._answer(request, *args, **kwargs))

    def _answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            check_transfer_coding(request.META)
            parsed = {key: _PATH_PARSERS[key](value) for key, value in kwargs.items()}
        except TagInvalid as error:
            # No manifest can have such a tag, so asking for it finds none; only a push has made a mistake.
            return render_error(ManifestUnknown(error.detail) if request.method in _READS else error)
        except OCIError as error:
            return render_error(error)
        return super().dispatch(request, *args, **parsed)

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}

    def handle_exception(self, exc: Exception) -> Any:
        return render_error(exc)

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        raise Unsupported({"method": request.method}, headers={"Allow": ", ".join(self.allowed_methods)})


class UnroutedView(OCIView):
    """Whatever no endpoint claims, in the same envelope."""

    def _answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return render_error(RouteUnknown({"path": request.path[:300]}))


def close_if_unread(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """This will tell a client whose body nobody read that the server cannot use its connection again.

    Otherwise its next request would go there.
    """
    if is_left_unread(request.META) and request.META.get("SERVER_PROTOCOL", "").startswith("HTTP/1"):
        response["Connection"] = "close"
    return response


def is_protocol(request: HttpRequest) -> bool:
    """Whether the path is that of the protocol: /v2 or below it, behind `http.prefix`."""
    base = f"{settings.HTTP_PREFIX}v2"
    return request.path_info == base or request.path_info.startswith(f"{base}/")


def empty(status: int) -> HttpResponse:
    """An answer that is all headers; Django would call its absent body a page of HTML."""
    response = HttpResponse(status=status)
    del response["Content-Type"]
    return response


def request_body(request: Request) -> RequestBody:
    return RequestBody(request.META)


def render_error(error: Exception) -> HttpResponse:
    """The one place where a condition becomes an answer (distribution-spec, "Error Codes")."""
    condition = _as_condition(error)
    response = JsonResponse({"errors": [condition.as_json()]}, status=condition.status)
    for name, value in condition.headers.items():
        response[name] = value
    return response


def _as_condition(error: Exception) -> OCIError:
    if isinstance(error, OCIError):
        return error
    if isinstance(error, Http404):
        return RouteUnknown()
    if isinstance(error, SuspiciousOperation):  # Django's word for too many parameters and the like
        return ParameterInvalid({"reason": str(error)})
    if isinstance(error, OperationalError | InterfaceError):
        return database_refusal(error)
    log.error("unexpected error", exc_info=error)
    return OCIError()


def database_refusal(error: DatabaseError | InterfaceError) -> OCIError:
    """This will log an error of the database that is not ours, and give the condition that clients are told."""
    log.error("the database refused: %s", error)
    cause = error.__cause__
    if (
        getattr(cause, "sqlstate", None) == _POSTGRESQL_DISK_FULL
        or getattr(cause, "sqlite_errorname", None) == "SQLITE_FULL"
    ):
        return StorageFull({"reason": "the database has no space left"})
    return Unavailable({"reason": "the database is not available"})
