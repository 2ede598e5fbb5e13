"""Servers that store in S3."""

import pytest

from tests.live.conftest import QUICK
from tests.live_server import default_database, live_server


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/storage/" not in str(item.path):
            continue
        if "live" in item.path.name:
            item.add_marker(pytest.mark.live)
        if "live" in item.path.name or "faults" in item.path.name:
            item.add_marker(pytest.mark.stores)


@pytest.fixture(scope="session", params=["through the server", "redirects"])
def s3_live(request, s3_service):
    """A server that stores in S3 and sends clients there, or does not."""
    redirects = "true" if request.param == "through the server" else "false"
    environ = s3_service.environ(rootdirectory=f"live-{redirects}", chunksize="5242880")
    environ |= {**QUICK, "REGISTRY_STORAGE_REDIRECT_DISABLE": redirects}
    with live_server(database=default_database(), environ=environ) as server:
        server.redirects = redirects == "false"
        yield server
