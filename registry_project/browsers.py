"""What only browsers need: sessions, CSRF, static files and the headers that protect pages.

None of it runs for the protocol: there a cookie never authorises anything, and nobody pays for one.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.module_loading import import_string

from oci.views import is_protocol
from registry_project.problems import Forbidden, render_problem

_PROBES = ("/healthz", "/readyz", "/metrics")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

_REFUSAL = (
    "The request did not come from a page of this registry, or its CSRF token is missing or old: load the page again. "
    "Behind a proxy that ends TLS, http.host must be the address in the browser."
)
# No page has scripts or styles of its own, only files.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class BrowserMiddleware:
    """Puts the layers of `BROWSER_MIDDLEWARE` around whatever is not the protocol."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._tokens = f"{settings.HTTP_PREFIX}auth/token"
        self._layers: list[Any] = []
        answer: Any = get_response
        for path in reversed(settings.BROWSER_MIDDLEWARE):
            answer = import_string(path)(answer)
            self._layers.insert(0, answer)
        self._answer = answer

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if self._is_for_clients(request):
            return self._get_response(request)
        response: HttpResponseBase = (self._get_response if path in _PROBES else self._answer)(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Django calls this for the outermost middleware only."""
        if self._is_for_clients(request) or request.path_info in _PROBES:
            return None
        for layer in self._layers:
            if process := getattr(layer, "process_view", None):
                response: HttpResponseBase | None = process(request, view, args, kwargs)
                if response is not None:
                    return response
        return None

    def _is_for_clients(self, request: HttpRequest) -> bool:
        return is_protocol(request) or request.path_info.startswith(self._tokens)


def is_management(request: HttpRequest) -> bool:
    return request.path_info.startswith(f"{settings.HTTP_PREFIX}api/")


class _Check(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def check_origin(request: HttpRequest) -> None:
    """Refuse writes that another site made a browser send; raises Forbidden.

    Views of the management API are exempt from Django's check, because scripts have no token. Whoever comes with a
    session must have one. A browser adds a password that it remembers to any site's request, so what says that it
    comes from elsewhere is refused as well. No browser adds a bearer token by itself.
    """
    authorization = request.META.get("HTTP_AUTHORIZATION", "")
    if request.method in _SAFE or authorization[:7].lower() == "bearer ":
        return
    check: Any = _Check(lambda _: HttpResponse())
    if settings.SESSION_COOKIE_NAME in request.COOKIES and not authorization:
        check.process_request(request)
        refused = check.process_view(request, lambda _: HttpResponse(), (), {}) is not None
    else:
        refused = "HTTP_ORIGIN" in request.META and not check._origin_verified(request)
    if refused:
        raise Forbidden(_REFUSAL)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    if is_management(request):
        return render_problem(Forbidden(_REFUSAL), request)
    return HttpResponse(f"{_REFUSAL}\n", status=403, content_type="text/plain; charset=utf-8")
