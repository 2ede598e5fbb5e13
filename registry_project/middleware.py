"""What every answer carries, the refusal of an unhealthy instance, and the access log."""

import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from oci.errors import Unavailable
from oci.views import render_error
from registry_project.database import drop_broken_connections
from registry_project.monitor import monitor

_UNAVAILABLE = 503

access_log = logging.getLogger("lading.access")


class RegistryMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._protocol = f"{settings.HTTP_PREFIX}v2"
        self._headers = dict(settings.RESPONSE_HEADERS)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        protocol = request.path_info.startswith(self._protocol)
        if protocol and (problems := monitor().problems()):
            response: HttpResponseBase = render_error(Unavailable({"unhealthy": sorted(problems)}))
        else:
            response = self._get_response(request)
            if response.status_code == _UNAVAILABLE:
                drop_broken_connections()
        if protocol:
            response["Docker-Distribution-Api-Version"] = "registry/2.0"
        for name, value in self._headers.items():
            response[name] = value
        if access_log.isEnabledFor(logging.INFO):
            _log_access(request, response, time.perf_counter() - started)
        return response


def _log_access(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    meta = request.META
    access_log.info(
        '%s "%s %s" %d %s %.1fms "%s"',
        meta.get("REMOTE_ADDR", "-"),
        request.method,
        request.get_full_path(),
        response.status_code,
        response.get("Content-Length", "-"),
        seconds * 1000,
        meta.get("HTTP_USER_AGENT", "-"),
    )
