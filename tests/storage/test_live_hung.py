"""A store that takes connections and never answers, while a server runs on it."""

import os
import secrets
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.factories import digest_of
from tests.fault_proxy import fault_proxy
from tests.live.client import Client, codes, image_payload
from tests.live.conftest import QUICK
from tests.live.inspection import assert_check_finds_nothing, is_written, wait_until
from tests.live_server import default_database, live_server

MIB = 1024 * 1024
# Three attempts of 15 seconds, and the pauses between them.
BOUND_SECONDS = 90
CHECKS = "REGISTRY_HEALTH_STORAGEDRIVER_"


class Behind:
    """The store behind a proxy that keeps every request to itself."""

    def __init__(self, service, proxy):
        self.endpoint, self._proxy = proxy.endpoint, proxy

    def hang(self):
        self._proxy.fail("hang")

    def recover(self):
        self._proxy.heal()


class Stopped:
    """The store as a stopped process, whose kernel still takes connections."""

    def __init__(self, service, proxy):
        self.endpoint, self._pid = service.endpoint, service.pid

    def hang(self):
        os.kill(self._pid, signal.SIGSTOP)

    def recover(self):
        os.kill(self._pid, signal.SIGCONT)


@pytest.fixture(params=[Behind, Stopped])
def store(request, s3_service):
    with fault_proxy(s3_service.port) as proxy:
        store = request.param(s3_service, proxy)
        yield store
        store.recover()


@pytest.fixture(params=["its own limits", "the health check"])
def noticed_by(request):
    return request.param


@pytest.fixture
def server(s3_service, store, noticed_by):
    environ = s3_service.environ(endpoint=store.endpoint, rootdirectory=secrets.token_hex(4), chunksize=str(5 * MIB))
    environ |= {**QUICK, "REGISTRY_STORAGE_REDIRECT_DISABLE": "true", "REGISTRY_WEB_WORKERS": "2"}
    environ |= {f"{CHECKS}INTERVAL": "500ms", f"{CHECKS}THRESHOLD": "1"}
    if noticed_by == "its own limits":
        environ[f"{CHECKS}ENABLED"] = "false"
    with live_server(database=default_database(), environ=environ) as server:
        yield server


@pytest.fixture
def client(server):
    with Client(server) as client:
        client.http.timeout = BOUND_SECONDS
        yield client


def ready(client):
    answer = client.request("GET", "/readyz")
    return answer.status_code, set(answer.json()["problems"])


@pytest.mark.timeout(600)
def test_a_hung_store_costs_only_what_needs_it(server, client, store, noticed_by):
    name, layer = "hung/app", secrets.token_bytes(7 * MIB)
    payload = client.push_image(name, "v1", layer)
    blob = f"{name}/blobs/{digest_of(layer)}"
    content = secrets.token_bytes(13 * MIB)
    begun, fresh, finishing = (client.start_upload(name) for _ in range(3))
    assert client.patch(begun, content[: 7 * MIB]).status_code == 202
    assert client.patch(finishing, content).status_code == 202
    pid = server.pid

    store.hang()
    if noticed_by == "the health check":
        wait_until(lambda: "storagedriver" in ready(client)[1], "the store is known to hang")
    with ThreadPoolExecutor() as pool:
        refused = [
            pool.submit(client.request, "GET", blob),
            pool.submit(client.patch, begun, content[7 * MIB :]),
            pool.submit(client.patch, fresh, b"some bytes"),
            pool.submit(client.request, "POST", f"{name}/blobs/uploads/?digest={digest_of(b'x')}", content=b"x"),
        ]
        wait_until(lambda: ready(client)[0] == 503, "it is not ready")
        assert ready(client)[1] & {"storage", "storagedriver"}
        assert client.request("GET", "").status_code == 200
        assert client.request("GET", f"{name}/manifests/v1").content == payload
        assert client.request("GET", f"{name}/tags/list").json()["tags"] == ["v1"]
        assert client.request("HEAD", blob).status_code == 200
        assert client.put_manifest(name, "v2", payload).status_code == 201
        assert client.request("GET", "/healthz").status_code == 200
        for future in refused:
            answer = future.result()
            assert (answer.status_code, codes(answer)) == (503, ["UNAVAILABLE"])
            assert int(answer.headers["Retry-After"]) > 0
        # A finish that hangs meets the recovery; what it is answered by then, the next request sees done.
        late = pool.submit(client.complete, finishing, digest_of(content))
        if noticed_by == "its own limits":
            wait_until(lambda: is_written(server, finishing), "the server took it up")
        store.recover()
        assert late.result().status_code in {201, 503}

    wait_until(lambda: ready(client) == (200, set()), "it is ready again")
    wait_until(lambda: client.complete(finishing, digest_of(content)).status_code == 201, "what hung is finished")
    assert client.offset(begun) == f"0-{7 * MIB - 1}"
    answer = client.patch(begun, content[7 * MIB :], Content_Range=f"{7 * MIB}-{13 * MIB - 1}")
    assert answer.status_code == 202, answer.text
    assert client.complete(begun, digest_of(content)).status_code == 201
    assert client.complete(fresh, digest_of(b"some bytes"), b"some bytes").status_code == 201
    client.push_image(name, "v3", b"another")
    assert client.pull_blob(name, digest_of(layer)) == layer
    assert client.pull_blob(name, digest_of(content)) == content
    assert client.request("GET", f"{name}/manifests/v2").content == payload == image_payload(layer)
    assert server.running
    assert server.pid == pid
    assert_check_finds_nothing(server)
