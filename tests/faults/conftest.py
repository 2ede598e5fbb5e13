"""A server whose way to PostgreSQL leads through a proxy that fails on demand."""

import os
import secrets
from urllib.parse import urlsplit

import pytest

from tests.faults.statement_proxy import statement_proxy
from tests.live.client import Client
from tests.live_server import POSTGRES_VARIABLE, live_server

# How long the database may take for a statement; one that hangs costs this and a second.
TIMEOUT = "1s"


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/faults/" in str(item.path):
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="module")
def proxy():
    if not os.environ.get(POSTGRES_VARIABLE):
        pytest.skip(f"{POSTGRES_VARIABLE} is not set: run under `python -m tests.services --`")
    with statement_proxy(urlsplit(os.environ[POSTGRES_VARIABLE]).port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def server(proxy):
    environ = {
        "REGISTRY_WEB_WORKERS": "1",
        "REGISTRY_DATABASE_TIMEOUT": TIMEOUT,
        # A connection begins with statements of its own: with one of them a test knows whether it has begun.
        "REGISTRY_DATABASE_POOL_MAX": "1",
        # Statements of background work would be counted among those of the requests.
        "REGISTRY_CELERY_BROKER": "memory://",
    }
    with live_server(database="postgres", environ=environ) as server:
        url = urlsplit(server.environ["REGISTRY_DATABASE_URL"])
        server.stop()
        server.environ["REGISTRY_DATABASE_URL"] = url._replace(
            netloc=url.netloc.replace(f":{url.port}", f":{proxy.port}")
        ).geturl()
        server.start()
        yield server
        # The tests look at the database through the proxy as well.
        proxy.heal()


@pytest.fixture
def client(server, proxy):
    with Client(server) as client:
        yield client
    proxy.heal()


@pytest.fixture
def name():
    return f"faults/{secrets.token_hex(6)}"
