"""Pages outside the protocol: health, and the last resort for what no view answered."""

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from blobs.storage import get_store
from oci.errors import OCIError, RouteUnknown
from oci.views import is_protocol, render_error
from registry_project import metrics as prometheus
from registry_project.browsers import is_management
from registry_project.database import release_connection
from registry_project.monitor import monitor
from registry_project.problems import BadRequest, Forbidden, NotFound, Problem, render_problem

# Who comes through a proxy on this machine is somewhere else.
_FORWARDED = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP")


def root(request: HttpRequest) -> HttpResponse:
    """Answer load balancers that ask for `/`, as Distribution does."""
    return HttpResponse()


@require_safe
def alive(request: HttpRequest) -> HttpResponse:
    """The process answers; whatever else is down, restarting it would not help."""
    return JsonResponse({"status": "alive"})


@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """Whether requests should be sent here: the database, the storage and the configured checks."""
    problems = dict(monitor().problems())
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError) as error:
        problems["database"] = str(error).strip()
    # Checking a storage that hangs takes its time.
    release_connection()
    try:
        get_store().check()
    except OCIError as error:
        problems["storage"] = str(error.detail)
    status = "unavailable" if problems else "ready"
    found = {"status": status, "problems": problems, "warnings": monitor().warnings()}
    return JsonResponse(found, status=503 if problems else 200)


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' metrics, for this machine alone; elsewhere `http.debug.addr` has them."""
    listen = settings.CONFIGURATION.http.listen
    forwarded = any(header in request.META for header in _FORWARDED)
    if listen is None or not listen.is_loopback or forwarded:
        raise Http404
    return HttpResponse(prometheus.render(), content_type=prometheus.CONTENT_TYPE)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_protocol(request):
        return render_error(RouteUnknown())
    if is_management(request):
        return render_problem(NotFound("There is no such endpoint."), request)
    return HttpResponse("There is no such page.\n", status=404, content_type="text/plain; charset=utf-8")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_management(request):
        return render_problem(BadRequest(), request)
    return HttpResponse("The request cannot be understood.\n", status=400, content_type="text/plain; charset=utf-8")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_management(request):
        return render_problem(Forbidden(), request)
    return HttpResponse("You may not do this.\n", status=403, content_type="text/plain; charset=utf-8")


def failed(request: HttpRequest) -> HttpResponse:
    if is_protocol(request):
        return render_error(OCIError())
    if is_management(request):
        return render_problem(Problem(), request)
    return HttpResponse(
        "The registry failed; its log says why.\n", status=500, content_type="text/plain; charset=utf-8"
    )
