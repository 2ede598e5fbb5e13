"""Servers that store in object stores."""

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


@pytest.fixture(scope="session", params=["s3", "gcs", "azure"])
def object_service(request):
    """Each object store that tests can run."""
    return request.getfixturevalue(f"{request.param}_service")


@pytest.fixture(scope="session", params=["through the server", "redirects"])
def object_live(request, object_service):
    """A server that stores there and sends clients there, or does not."""
    redirects = "true" if request.param == "through the server" else "false"
    environ = object_service.environ(rootdirectory=f"live-{redirects}", chunksize="5242880")
    environ |= {**QUICK, "REGISTRY_STORAGE_REDIRECT_DISABLE": redirects}
    with live_server(database=default_database(), environ=environ) as server:
        server.redirects = redirects == "false"
        yield server
