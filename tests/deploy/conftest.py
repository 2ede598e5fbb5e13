"""Two servers on one database and one folder, with nginx before them."""

import os
import secrets
import shutil
from collections.abc import Iterator

import psycopg
import pytest

from tests.deploy.proxy import Proxy
from tests.live_server import POSTGRES_VARIABLE, LiveServer

ACCEL = "/-/files/"


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    maintenance = os.environ.get(POSTGRES_VARIABLE)
    if not maintenance:
        pytest.skip(f"{POSTGRES_VARIABLE} is not set: run under `python -m tests.services --`")
    name = f"lading_deploy_{secrets.token_hex(6)}"
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield maintenance.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def servers(database_url, tmp_path_factory) -> Iterator[list[LiveServer]]:
    folder = tmp_path_factory.mktemp("servers")
    environ = {
        "REGISTRY_DATABASE_URL": database_url,
        "REGISTRY_WEB_WORKERS": "1",
        "REGISTRY_WEB_ACCEL": ACCEL,
        "REGISTRY_GC_INTERVAL": "500ms",
    }
    both = []
    for name in ("first", "second"):
        (folder / name).mkdir()
        both.append(LiveServer(database="postgres", folder=folder / name, environ=environ, data=folder / "data"))
    try:
        for server in both:
            server.start()
        yield both
    finally:
        for server in both:
            server.kill()


@pytest.fixture(scope="module")
def proxy(servers, tmp_path_factory) -> Iterator[Proxy]:
    if not shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        pytest.skip("nginx is missing; install it with: apt-get install nginx-light")
    nginx = Proxy(tmp_path_factory.mktemp("nginx"), servers[0].data, [server.port for server in servers], tls=True)
    try:
        nginx.start()
        yield nginx
    finally:
        nginx.stop()
