"""The debug listener of a real server with several processes."""

import httpx
import pytest

from tests.factories import digest_of
from tests.live.client import Client, random_bytes
from tests.live.inspection import wait_until
from tests.live_server import default_database, free_port, live_server
from tests.observability.test_metrics import samples
from tests.raw_http import head

pytestmark = pytest.mark.live
SIZE = 32 * 1024 * 1024


@pytest.fixture(scope="module")
def debug():
    """A server with two workers and its debug listener, as (server, client of the listener)."""
    port = free_port()
    environ = {
        "REGISTRY_WEB_WORKERS": "2",
        "REGISTRY_LOG_FORMATTER": "json",
        "REGISTRY_HTTP_DEBUG_ADDR": f"127.0.0.1:{port}",
        "REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED": "true",
        "REGISTRY_HTTP_DEBUG_PROMETHEUS_PATH": "/figures",
    }
    with (
        live_server(database=default_database(), environ=environ) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
    ):
        yield server, client


def total(client, name, **labels):
    found = samples(client.get("/figures").text)
    return sum(
        number for (key, pairs), number in found.items() if key == name and labels.items() <= dict(pairs).items()
    )


def test_all_workers_are_counted_together(debug):
    server, client = debug
    before = total(client, "registry_http_requests_total", handler="base", code="200")
    for _ in range(40):
        # A connection of its own each, so that both workers get some.
        assert httpx.get(f"{server.url}/v2/", trust_env=False).status_code == 200
    wait_until(
        lambda: total(client, "registry_http_requests_total", handler="base", code="200") - before == 40,
        "all forty are counted",
    )
    assert total(client, "lading_database_up") == 1


def test_a_download_that_a_client_leaves_is_logged_with_what_was_sent(debug):
    server, listener = debug
    with Client(server) as client:
        digest = client.push_blob("obs/left", random_bytes(SIZE))
        with client.raw() as raw:
            raw.send(head("GET", f"/v2/obs/left/blobs/{digest}", {"X-Request-Id": "left-early"}))
            assert raw.read_head()[0] == 200
            wait_until(
                lambda: total(listener, "registry_http_in_flight_requests", handler="blob") == 1, "it is in flight"
            )
            assert "left-early" not in server.log()
        line = wait_until(
            lambda: [line for line in server.log().splitlines() if "left-early" in line], "the line of that request"
        )[0]
        assert '"broken_off_by": "client"' in line
        assert f'"bytes_out": {SIZE}' not in line
        wait_until(
            lambda: total(listener, "registry_http_in_flight_requests", handler="blob") == 0, "it is in flight no more"
        )


def test_an_operator_takes_all_workers_out_of_service(debug):
    server, client = debug
    assert (client.get("/debug/health").status_code, client.get("/debug/health").json()) == (200, {})
    try:
        assert client.post("/debug/health/down").status_code == 200
        assert client.get("/debug/health").status_code == 503
        assert "manual_http_status" in client.get("/debug/health").json()
        statuses = {httpx.get(f"{server.url}/v2/", trust_env=False).status_code for _ in range(20)}
        assert statuses == {503}
        assert httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
    finally:
        assert client.post("/debug/health/up").status_code == 200
    assert client.get("/debug/health").status_code == 200
    assert {httpx.get(f"{server.url}/v2/", trust_env=False).status_code for _ in range(20)} == {200}


def test_a_web_page_cannot_take_it_out_of_service(debug):
    _, client = debug
    assert client.post("/debug/health/down", headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.get("/debug/health").status_code == 200
    assert client.get("/debug/health/down").status_code == 404
    assert client.get("/metrics").status_code == 404


def test_background_rounds_are_seen(debug):
    _, client = debug
    name = "lading_background_last_success_timestamp_seconds"
    wait_until(lambda: total(client, name, task="blobs.drain_deletions") > 1.7e9, "the embedded worker reports")


def test_without_an_address_there_is_no_listener(tmp_path):
    port = free_port()
    with live_server(database="sqlite", environ={"REGISTRY_WEB_WORKERS": "1"}) as server:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/debug/health", trust_env=False)
        answer = httpx.get(f"{server.url}/metrics", trust_env=False)
        assert "registry_http_requests_total" in answer.text
        assert digest_of(b"") not in answer.text
