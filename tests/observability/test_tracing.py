"""OpenTelemetry: absent without a wish for it, spans without secrets with one."""

import os
import queue
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from registry_project.tracing import span, trace_with, wanted
from tests.factories import NAME
from tests.live_server import PROJECT, default_database, live_server

sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="the extra lading[otel] is not installed")

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans():
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace_with(provider)
    yield exporter.get_finished_spans
    trace_with(None)
    provider.shutdown()


@pytest.mark.django_db(transaction=True)
def test_a_request_has_spans_for_statements_and_storage(registry, spans):
    digest = registry.push_blob(b"secret content")
    before = len(spans())
    registry.get(f"/v2/{NAME}/blobs/{digest}", Traceparent=f"00-{TRACE}-{PARENT}-01")
    made = spans()[before:]
    (request,) = [s for s in made if s.name == "GET blob"]
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    assert request.attributes["http.response.status_code"] == 200
    below = {s.name: s for s in made if s is not request}
    assert {"SELECT", "storage open_range"} <= set(below)
    assert all(f"{s.context.trace_id:032x}" == TRACE for s in below.values())
    assert digest not in below["SELECT"].attributes["db.query.text"]
    assert "blobs_blob" in below["SELECT"].attributes["db.query.text"]


@pytest.mark.django_db(transaction=True)
def test_a_failure_is_an_error(registry, spans, monkeypatch):
    monkeypatch.setattr("repositories.api.views.get_manifest", lambda *_, **__: 1 // 0)
    assert registry.get(f"/v2/{NAME}/manifests/v1").status == 500
    (request,) = [s for s in spans() if s.name == "GET manifest"]
    assert not request.status.is_ok


def test_without_traces_a_span_is_nothing():
    assert span("a", {}) is span("b", {})


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SERVICE_NAME": "registry"}, False),
    ],
)
def test_the_variables_decide(environ, expected):
    assert wanted(environ) is expected


def test_nothing_is_imported_without_an_exporter():
    code = (
        "import sys, registry_project.wsgi\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')], end='')"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "[]", done.stderr


class Collector(BaseHTTPRequestHandler):
    """Takes traces by OTLP over HTTP."""

    def do_POST(self):
        self.server.received.put((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args):
        pass


@pytest.mark.live
def test_a_server_sends_its_traces():
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        collector.received = queue.Queue()
        thread = threading.Thread(target=collector.serve_forever, daemon=True)
        thread.start()
        environ = {
            "REGISTRY_WEB_WORKERS": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_address[1]}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_SERVICE_NAME": "registry-of-the-test",
        }
        try:
            with live_server(database=default_database(), environ=environ) as server:
                httpx.get(f"{server.url}/v2/a/b/manifests/v1", trust_env=False)
                names = set()
                while not {"GET manifest", "SELECT"} <= names:
                    path, body = collector.received.get(timeout=60)
                    assert path == "/v1/traces"
                    assert b"registry-of-the-test" in body
                    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                        names |= {s.name for scope in resource.scope_spans for s in scope.spans}
        finally:
            collector.shutdown()
            thread.join()
