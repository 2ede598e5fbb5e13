"""What every answer carries, the refusal of an unhealthy instance, and the access log."""

from collections.abc import Callable, Iterable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from oci.bodies import is_left_unread
from oci.errors import Unavailable
from oci.views import is_protocol, render_error
from registry_project.context import answering
from registry_project.database import drop_broken_connections
from registry_project.exchange import Exchange
from registry_project.health import STORAGE_CHECK
from registry_project.monitor import keep_figures, monitor
from registry_project.tracing import start_tracing, within

_UNAVAILABLE = 503
# What cannot do without the storage, by route. Everything else comes from the database, and goes on.
_NEEDS_STORAGE = {"blob": {"GET"}, "blob_upload": {"POST"}, "blob_upload_chunk": {"PATCH", "PUT"}}


class RegistryMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._headers = dict(settings.RESPONSE_HEADERS)
        keep_figures()
        start_tracing()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with answering(request.META) as context:
            exchange = Exchange(request, context)
            request.exchange = exchange  # type: ignore[attr-defined]
            if exchange.span is None:
                response = self._answer(request)
            else:
                with within(exchange.span):
                    response = self._answer(request)
            response["X-Request-Id"] = context.id
            exchange.answered(response)
            return response

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponseBase | None:
        """Django calls this as soon as the route is known."""
        exchange: Exchange = request.exchange  # type: ignore[attr-defined]
        exchange.routed()
        if request.method in _NEEDS_STORAGE.get(exchange.handler, ()) and STORAGE_CHECK in monitor().problems():
            # At once: waiting for a storage that hangs would tie up one thread after the other.
            return _refusal(request, {STORAGE_CHECK})
        return None

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        protocol = is_protocol(request)
        if protocol and (problems := monitor().problems().keys() - {STORAGE_CHECK}):
            response: HttpResponseBase = _refusal(request, problems)
        else:
            response = self._get_response(request)
            if response.status_code == _UNAVAILABLE:
                drop_broken_connections()
        if protocol:
            response["Docker-Distribution-Api-Version"] = "registry/2.0"
        for name, value in self._headers.items():
            response[name] = value
        return response


def _refusal(request: HttpRequest, problems: Iterable[str]) -> HttpResponseBase:
    response = render_error(Unavailable({"unhealthy": sorted(problems)}))
    if is_left_unread(request.META) and request.META.get("SERVER_PROTOCOL", "").startswith("HTTP/1"):
        response["Connection"] = "close"
    return response
