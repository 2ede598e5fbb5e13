"""Servers for live tests: one per database for all who need nothing special, others on request."""

import os
import re
from collections.abc import Iterator

import pytest

from tests.live.client import Client
from tests.live_server import POSTGRES_VARIABLE, LiveServer, live_server

# Reads of the outbox and of expired uploads follow each other closely, so that tests need not wait.
QUICK = {"REGISTRY_GC_INTERVAL": "500ms"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/live/" in str(item.path):
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session", params=["postgres", "sqlite"])
def database(request):
    """Each test that asks for it runs on both databases."""
    if request.param == "postgres" and not os.environ.get(POSTGRES_VARIABLE):
        pytest.skip(f"{POSTGRES_VARIABLE} is not set: run under `python -m tests.services --`")
    return request.param


@pytest.fixture(scope="session")
def server(database) -> Iterator[LiveServer]:
    """A server that tests share: they keep to repositories of their own and never stop it."""
    with live_server(database=database, environ=QUICK) as running:
        yield running


@pytest.fixture
def name(request) -> str:
    """A repository that no other test uses."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())
    return f"live/{words[:80].strip('-')}"


@pytest.fixture
def client(server) -> Iterator[Client]:
    with Client(server) as client:
        yield client
