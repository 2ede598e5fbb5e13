"""The base end (end-1)."""

import pytest


@pytest.mark.parametrize("path", ["/v2/", "/v2"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_says_that_this_is_a_registry(registry, method, path):
    answer = registry.request(method, path)
    assert answer.status == 200
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body == (b"{}" if method == "GET" else b"")
