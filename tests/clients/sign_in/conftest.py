"""A live server with accounts. alice owns the team `harbour`; each test has a repository of its own in it."""

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.api import Registry
from tests.clients.conftest import ClientMaker, watched_server
from tests.clients.images import small_image
from tests.clients.layouts import Layout
from tests.clients.programs import podman_storage
from tests.clients.sign_in.tools import TOOLS, Tool
from tests.live_server import LiveServer

ADMINISTRATOR, PASSWORD = "admin", "ship ahoy 1234"
TEAM = "harbour"


@dataclass(frozen=True)
class Credentials:
    username: str
    secret: str


@pytest.fixture(scope="session")
def server() -> Iterator[LiveServer]:
    with watched_server(REGISTRY_AUTH="lading", REGISTRY_ADMIN_PASSWORD=PASSWORD, REGISTRY_WEB_WORKERS="1") as running:
        yield running


@pytest.fixture
def registry(server: LiveServer) -> Registry:
    """As its administrator, who checks what the clients left."""
    return Registry(server.host, ADMINISTRATOR, PASSWORD)


@pytest.fixture(scope="session")
def alice(server: LiveServer) -> Registry:
    administrator = Registry(server.host, ADMINISTRATOR, PASSWORD)
    make_user(administrator, "alice")
    administrator.manage("POST", "teams", name=TEAM)
    administrator.manage("PUT", f"teams/{TEAM}/members/alice", role="owner")
    return Registry(server.host, "alice", PASSWORD)


def make_user(administrator: Registry, username: str) -> None:
    administrator.manage("POST", "users", username=username, password=PASSWORD)


@pytest.fixture(scope="session")
def credentials(alice: Registry) -> dict[str, Credentials]:
    robot = alice.manage("POST", f"teams/{TEAM}/robots", name="ci", role="developer", repositories=["**"])
    token = alice.manage("POST", "users/me/tokens", name="laptop", role="developer")
    return {
        "password": Credentials("alice", PASSWORD),
        "robot": Credentials(robot["username"], robot["secret"]),
        "access token": Credentials("alice", token["token"]),
    }


@pytest.fixture
def password(credentials: dict[str, Credentials]) -> Credentials:
    return credentials["password"]


@pytest.fixture
def new_team(registry: Registry, alice: Registry) -> Callable[..., str]:
    """Makes a team that alice owns, and no other test uses."""

    def make(**fields: object) -> str:
        team = f"team-{secrets.token_hex(4)}"
        registry.manage("POST", "teams", name=team, **fields)
        registry.manage("PUT", f"teams/{team}/members/alice", role="owner")
        return team

    return make


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return f"{TEAM}/{name}-{secrets.token_hex(4)}"


@pytest.fixture
def new_image(tmp_path: Path) -> Callable[[], Layout]:
    def make() -> Layout:
        seed = secrets.token_hex(8)
        return small_image(tmp_path / f"image-{seed}", seed=seed)

    return make


ToolMaker = Callable[..., Tool]


@pytest.fixture
def new_tool(request: pytest.FixtureRequest, client: ClientMaker, scratch: Path, tmp_path: Path) -> ToolMaker:
    def make(name: str, host: str) -> Tool:
        arguments: tuple[object, ...] = ()
        if name == "docker":
            arguments = ("--host", request.getfixturevalue("daemon").docker)
        elif name in ("podman", "buildah"):
            arguments = podman_storage(scratch / name, name)
        elif name == "regctl":
            arguments = (f"--host=reg={host},tls=disabled",)
        return TOOLS[name](client(name, *arguments), host, tmp_path)

    return make


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest, new_tool: ToolMaker, host: str) -> Tool:
    return new_tool(request.param, host)
