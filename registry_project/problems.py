"""What can be wrong with a request to the management API, and the one renderer of it (RFC 9457).

Domain functions and views raise these; a view never renders one.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.encoding import escape_uri_path
from rest_framework import exceptions as drf
from rest_framework.settings import api_settings

from oci.errors import OCIError, Unauthorized

log = logging.getLogger("lading.api")

CONTENT_TYPE = "application/problem+json"
Fields = Mapping[str, Sequence[str]]


class Problem(Exception):
    """`slug` is the machine's word, `detail` a sentence a person can act on, `fields` what is wrong with each field.

    The key of `fields` is the name of a field of the body (`rules.0.tags` where it is nested) or of a query parameter.
    """

    slug: ClassVar[str] = "internal-error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "The registry failed"
    default_detail: ClassVar[str] = "The registry failed in a way nobody foresaw; its log has the reason."

    def __init__(
        self, detail: str = "", *, fields: Fields | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.detail = detail or self.default_detail
        self.fields = {name: list(messages) for name, messages in (fields or {}).items()}
        self.headers = dict(headers or {})
        super().__init__(self.detail, self.fields)

    def as_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "type": f"/problems/{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        return {**document, "fields": self.fields} if self.fields else document


class BadRequest(Problem):
    slug, status, title = "bad-request", 400, "The request is not valid"
    default_detail = "The request cannot be understood."


class Unauthenticated(Problem):
    """Without a challenge of the caller's own it asks for a bearer token: browsers open no dialog for that one."""

    slug, status, title = "unauthenticated", 401, "This needs a sign-in"
    default_detail = "Sign in, or send an access token."

    def __init__(self, detail: str = "", *, challenge: str = 'Bearer realm="lading"') -> None:
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class Forbidden(Problem):
    slug, status, title = "forbidden", 403, "This is not allowed"
    default_detail = "You may not do this; ask an owner of the team for the right."


class NotFound(Problem):
    slug, status, title = "not-found", 404, "There is no such thing"
    default_detail = "It does not exist, or you may not see it."


class MethodNotAllowed(Problem):
    slug, status, title = "method-not-allowed", 405, "The method does not exist here"
    default_detail = "The header Allow lists the methods that exist here."

    def __init__(self, detail: str = "", *, allowed: Sequence[str]) -> None:
        super().__init__(detail, headers={"Allow": ", ".join(allowed)})


class Conflict(Problem):
    slug, status, title = "conflict", 409, "The request clashes with what is there"
    default_detail = "Something else is there already, or has changed meanwhile; read it again."


class TooLarge(Problem):
    slug, status, title = "too-large", 413, "The body is too large"
    default_detail = "Send less at a time."


class UnsupportedMediaType(Problem):
    slug, status, title = "unsupported-media-type", 415, "The body has the wrong media type"
    default_detail = "Send JSON, with Content-Type: application/json."


class TooManyRequests(Problem):
    slug, status, title = "too-many-requests", 429, "There were too many requests"
    default_detail = "Try again later; Retry-After says when."

    def __init__(self, detail: str = "", *, retry_after: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class Unavailable(Problem):
    slug, status, title = "unavailable", 503, "The registry cannot answer at the moment"
    default_detail = "Try again later; Retry-After says when."

    def __init__(self, detail: str = "", *, retry_after: int = 5) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


# Conditions of the protocol that are no more than these, under other names.
_GENERAL: dict[str, type[Problem]] = {"DENIED": Forbidden, "TOOMANYREQUESTS": TooManyRequests}


def render_problem(error: Exception, request: HttpRequest) -> HttpResponse:
    """The one place where an exception becomes an answer."""
    if isinstance(error, OperationalError | InterfaceError):
        # It loads the framework's views, which load our authentication, which raises problems.
        from oci.views import database_refusal

        error = database_refusal(error)
    if isinstance(error, Unauthorized):
        # The protocol's challenge asks browsers to open a dialog, and names the host.
        error = Unauthenticated(_reason(error))
    if isinstance(error, OCIError):
        document, status, headers = _protocol_document(error), error.status, error.headers
    else:
        problem = _as_problem(error)
        document, status, headers = problem.as_json(), problem.status, problem.headers
    document["instance"] = escape_uri_path(request.path)
    response = JsonResponse(document, status=status, content_type=CONTENT_TYPE)
    for name, value in headers.items():
        response[name] = value
    response["Cache-Control"] = "no-store"
    return response


def _protocol_document(error: OCIError) -> dict[str, Any]:
    """A condition of the protocol, from a domain function that both APIs call; `context` is its detail."""
    kind = _GENERAL.get(error.code)
    title = error.message[0].upper() + error.message[1:]
    document = {
        "type": f"/problems/{kind.slug if kind else error.code.lower().replace('_', '-')}",
        "title": kind.title if kind else title,
        "status": error.status,
        "detail": _reason(error) or f"{title}.",
    }
    return document if error.detail is None else {**document, "context": error.detail}


def _reason(error: OCIError) -> str:
    """The reason in the detail, as a sentence; empty where there is none."""
    reason = error.detail.get("reason") if isinstance(error.detail, Mapping) else None
    return f"{str(reason)[:1].upper()}{str(reason)[1:]}." if reason else ""


def _as_problem(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case Http404():
            return NotFound()
        case PermissionDenied():
            return Forbidden(str(error))
        case SuspiciousOperation():  # Django's word for too many parameters and the like
            return BadRequest(str(error))
        case drf.APIException():
            return _from_framework(error)
    log.error("unexpected error", exc_info=error)
    return Problem()


def _from_framework(error: drf.APIException) -> Problem:
    match error:
        case drf.ValidationError():
            fields = dict(_flattened(error.detail))
            return BadRequest("The request has fields that are not valid.", fields=fields)
        case drf.NotAuthenticated() | drf.AuthenticationFailed():
            challenge = getattr(error, "auth_header", None)
            return Unauthenticated(str(error.detail), **({"challenge": challenge} if challenge else {}))
        case drf.Throttled():
            return TooManyRequests(retry_after=max(1, int(getattr(error, "wait", None) or 1)))
        case drf.UnsupportedMediaType():
            return UnsupportedMediaType()
    by_status = {400: BadRequest, 403: Forbidden, 404: NotFound}
    if kind := by_status.get(error.status_code):
        return kind(str(error.detail))
    log.error("unexpected error", exc_info=error)
    return Problem()


def _flattened(detail: Any, path: str = "") -> list[tuple[str, list[str]]]:
    """The messages of each field; those that belong to none stand under `body`."""
    pairs = detail.items() if isinstance(detail, dict) else enumerate(detail)
    found: list[tuple[str, list[str]]] = []
    own: list[str] = []
    for key, value in pairs:
        name = path if key == api_settings.NON_FIELD_ERRORS_KEY else f"{path}.{key}".strip(".")
        if isinstance(value, dict | list):
            found += _flattened(value, name)
        else:
            own.append(str(value))
    return [(path or "body", own), *found] if own else found
