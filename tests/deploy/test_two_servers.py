"""Two web processes behind one nginx: any request may meet either, and either may be restarted."""

import threading

import httpx
import pytest

from tests.factories import digest_of
from tests.live.client import Client, image_payload, random_bytes
from tests.live.inspection import assert_check_finds_nothing, wait_until_drained

pytestmark = pytest.mark.live
PIECE = 70_000
PUSHERS = 4


def test_a_push_that_alternates_between_two_servers(proxy, servers):
    name, content = "deploy/alternating", random_bytes(4 * PIECE)
    with Client(servers[0]) as first, Client(servers[1]) as second:
        for layer in (b"{}", content):
            location = first.start_upload(name)
            for turn, start in enumerate(range(0, len(layer), PIECE)):
                client = (second, first)[turn % 2]
                assert client.patch(location, layer[start : start + PIECE]).status_code == 202
                other = (first, second)[turn % 2]
                assert other.offset(location) == f"0-{min(start + PIECE, len(layer)) - 1}"
            assert second.complete(location, digest_of(layer)).status_code == 201
            assert first.has_blob(name, digest_of(layer))
        payload = image_payload(content)
        assert first.put_manifest(name, "v1", payload).status_code == 201
        assert second.request("GET", f"{name}/manifests/v1").content == payload
    with Client(proxy) as client:
        assert client.pull_blob(name, digest_of(content)) == content


def test_nginx_uses_both(proxy, servers):
    with Client(proxy) as client:
        for _ in range(10):
            assert client.request("GET", "").status_code == 200
    log = (proxy.folder / "access.log").read_text()
    assert all(f" 127.0.0.1:{server.port} " in log for server in servers)


def test_a_rolling_restart_during_pushes_fails_no_client(proxy, servers):
    """Taken out of nginx, stopped, started, put back: one after the other, as docs/operations.md says."""
    stopping = threading.Event()
    pushed: list[list[tuple[str, bytes, bytes]]] = [[] for _ in range(PUSHERS)]
    failures: list[Exception] = []

    def push(number: int) -> None:
        with Client(proxy) as client:
            # A reload of nginx closes idle connections, and httpx, unlike Go, does not try again on another.
            client.http.headers["Connection"] = "close"
            while not stopping.is_set():
                name = f"deploy/rolling-{number}"
                tag, layer = f"v{len(pushed[number])}", random_bytes(300_000)
                try:
                    pushed[number].append((tag, client.push_image(name, tag, layer), layer))
                    assert client.pull_blob(name, digest_of(layer)) == layer
                except (AssertionError, httpx.HTTPError) as error:
                    failures.append(error)
                    return

    threads = [threading.Thread(target=push, args=(number,)) for number in range(PUSHERS)]
    for thread in threads:
        thread.start()
    try:
        for server in servers:
            before = [len(list(one)) for one in pushed]
            proxy.take_out(server.port)
            server.stop()
            server.start()
            proxy.put_back(server.port)
            assert all(len(now) > then for now, then in zip(pushed, before, strict=True)) or failures
    finally:
        stopping.set()
        for thread in threads:
            thread.join(120)
    assert failures == []
    with Client(proxy) as client:
        for number, images in enumerate(pushed):
            assert len(images) > 1
            for tag, payload, layer in images:
                assert client.request("GET", f"deploy/rolling-{number}/manifests/{tag}").content == payload
                assert client.pull_blob(f"deploy/rolling-{number}", digest_of(layer)) == layer
    wait_until_drained(servers[0])
    assert_check_finds_nothing(servers[0])
