"""What is known of the request that this thread answers, for events, logs and metrics.

The middleware sets it; domain functions that run without a request find None.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from registry_project.networks import client_address

# A proxy's own id is worth keeping, as long as it cannot forge a line of a log.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
_LONGEST = 500


@dataclass(slots=True)
class RequestContext:
    """`principal` is empty until somebody has signed in, and for anonymous; `address` is the
    client's, without port, as far as trusted proxies tell it. `credential` says in
    words what they showed, such as `password` or `access-token 12`.

    `host` and `user_agent` are the client's own words, cut to 500 characters.
    """

    id: str
    address: str = ""
    scheme: str = "http"
    host: str = ""
    method: str = ""
    user_agent: str = ""
    principal: str = ""
    credential: str = ""


_current: ContextVar[RequestContext | None] = ContextVar("lading_request", default=None)


def current_request() -> RequestContext | None:
    return _current.get()


def name_principal(name: str, credential: str = "") -> None:
    """This will note who asks, and what they showed; without a request it does nothing."""
    if context := _current.get():
        context.principal = name
        context.credential = credential


@contextmanager
def answering(meta: Mapping[str, Any]) -> Iterator[RequestContext]:
    """This will make a request's WSGI environment the current request until the block ends."""
    given = meta.get("HTTP_X_REQUEST_ID", "")
    context = RequestContext(
        id=given if _REQUEST_ID.match(given) else str(uuid.uuid4()),
        address=client_address(
            meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", "")[:_LONGEST], settings.TRUSTED_PROXIES
        ),
        scheme=meta.get("wsgi.url_scheme", "http"),
        host=meta.get("HTTP_HOST", "")[:_LONGEST],
        method=meta.get("REQUEST_METHOD", ""),
        user_agent=meta.get("HTTP_USER_AGENT", "")[:_LONGEST],
    )
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


@contextmanager
def carrying(context: RequestContext) -> Iterator[None]:
    """This will make a request current again, for the parts of its answer that are made after the view."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)
