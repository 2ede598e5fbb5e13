"""OpenTelemetry traces, by the standard `OTEL_…` variables; an optional extra (`lading[otel]`).

Nothing of OpenTelemetry is imported until an exporter is configured.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

log = logging.getLogger("lading.tracing")

_NOTHING: AbstractContextManager[Any] = nullcontext()
_tracer: Any = None


def wanted(environ: Mapping[str, str]) -> bool:
    """This will say whether the environment names somebody to send traces to."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return exporter == "otlp"
    return bool(environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


@cache
def start_tracing() -> None:
    """This will begin to trace this process where the environment asks for it; a second call does nothing."""
    if not wanted(os.environ):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        log.warning("OTEL_… variables ask for traces, which need lading[otel]: %s", error)
        return
    name = os.environ.get("OTEL_SERVICE_NAME")
    provider = TracerProvider(resource=Resource.create({} if name else {"service.name": "lading"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace_with(provider)


def trace_with(provider: Any) -> None:
    """This will send spans to `provider` (an OpenTelemetry TracerProvider), or nowhere for None."""
    global _tracer
    _tracer = provider.get_tracer("lading") if provider else None
    from django.db import connections
    from django.db.backends.signals import connection_created

    if provider:
        connection_created.connect(_watch, dispatch_uid="lading.tracing")
        for connection in connections.all(initialized_only=True):
            _watch(sender=None, connection=connection)
    else:
        connection_created.disconnect(dispatch_uid="lading.tracing")


def span(name: str, attributes: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """This will record the block as a span; nothing, at the cost of one comparison, where there are no traces."""
    if _tracer is None:
        return _NOTHING
    manager: AbstractContextManager[Any] = _tracer.start_as_current_span(name, attributes=dict(attributes))
    return manager


def request_span(method: str, headers: Mapping[str, str]) -> Any:
    """This will begin the span of a request, a child of the client's where it sent `traceparent`; None without traces.

    Whoever began it ends it, by `end_request`.
    """
    if _tracer is None:
        return None
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind

    carrier = {name: headers[key] for name, key in _PROPAGATED if key in headers}
    return _tracer.start_span(method, context=extract(carrier), kind=SpanKind.SERVER)


_PROPAGATED = (("traceparent", "HTTP_TRACEPARENT"), ("tracestate", "HTTP_TRACESTATE"), ("baggage", "HTTP_BAGGAGE"))


@contextmanager
def within(request: Any) -> Iterator[None]:
    """This will make spans of the block children of a request's span."""
    from opentelemetry.trace import use_span

    with use_span(request, end_on_exit=False):
        yield


def end_request(request: Any, name: str, status: int, attributes: Mapping[str, Any]) -> None:
    """This will end a request's span; `name` has a route in it, never a path."""
    from opentelemetry.trace import Status, StatusCode

    request.update_name(name)
    request.set_attributes({"http.response.status_code": status, **attributes})
    if status >= 500:
        request.set_status(Status(StatusCode.ERROR))
    request.end()


def _watch(sender: Any, connection: Any, **_: Any) -> None:
    if _traced_statement not in connection.execute_wrappers:
        connection.execute_wrappers.append(_traced_statement)


def _traced_statement(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Mapping[str, Any]
) -> Any:
    if _tracer is None:
        return execute(sql, params, many, context)
    system = context["connection"].vendor
    # The statement's text has placeholders; the values stay here.
    with span(sql.split(maxsplit=1)[0], {"db.system.name": system, "db.query.text": sql[:2000]}):
        return execute(sql, params, many, context)
