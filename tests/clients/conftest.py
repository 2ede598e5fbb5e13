"""One live server for all clients, a new home and a new repository for each test."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.clients.api import Registry
from tests.clients.daemon import Daemon, DaemonFailed, docker_daemon
from tests.clients.images import image_index, root_file_system, small_image
from tests.clients.layouts import Layout
from tests.clients.programs import Client, find_program, private_environment
from tests.clients.recorder import Recording, recorded
from tests.live_server import LiveServer, default_database, live_server

HERE = Path(__file__).parent
SERVER_ERROR = re.compile(r'" 5\d\d - |^Traceback ')
PROBE = "/readyz"  # 503 while the server starts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.clients)


@contextmanager
def watched_server(**environ: str) -> Iterator[LiveServer]:
    """This will run a server until the block ends, which must not have failed at any request."""
    with live_server(database=default_database(), environ=environ) as running:
        yield running
        # Clients try again after such answers, so that the tests alone might not see them.
        lines = [line for line in running.log().splitlines() if PROBE not in line]
        failures = [line for line in lines if SERVER_ERROR.search(line)]
        assert not failures, "\n".join(failures[:20])


@pytest.fixture(scope="session")
def server() -> Iterator[LiveServer]:
    with watched_server() as running:
        yield running


@pytest.fixture
def host(server: LiveServer) -> str:
    return server.host


@pytest.fixture
def registry(server: LiveServer) -> Registry:
    return Registry(server.host)


@pytest.fixture
def recording(server: LiveServer) -> Iterator[Recording]:
    with recorded(server.host) as proxy:
        yield proxy


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return f"clients/{name}-{secrets.token_hex(4)}"


@pytest.fixture
def image(tmp_path: Path) -> Layout:
    return small_image(tmp_path / "image", seed=secrets.token_hex(8))


@pytest.fixture
def index(tmp_path: Path) -> Layout:
    return image_index(tmp_path / "index", seed=secrets.token_hex(8))


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder for gigabytes: pytest keeps the folders of its last sessions, this one goes at once."""
    with TemporaryDirectory(prefix="lading-clients-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def scratch_folder(scratch: Path) -> Iterator[Path]:
    with TemporaryDirectory(dir=scratch) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def root_image(scratch: Path) -> Layout:
    layout = root_file_system(scratch / "root-image")
    print(f"root file system made of {layout.source}")
    return layout


@pytest.fixture(scope="session")
def daemon(scratch: Path) -> Iterator[Daemon]:
    program = required_program("dockerd")
    with ExitStack() as stack:
        try:
            running = stack.enter_context(docker_daemon(program, scratch / "docker"))
        except DaemonFailed as problem:
            pytest.skip(f"the docker daemon does not start here: {problem}")
        yield running


ClientMaker = Callable[..., Client]


@pytest.fixture
def client(tmp_path: Path) -> ClientMaker:
    """Makes clients that share this test's home; a program that is missing skips the test."""

    def make(name: str, *arguments: object, **environ: str) -> Client:
        environment = {**private_environment(tmp_path / "home"), **environ}
        return Client(required_program(name), environment, tmp_path, tuple(map(str, arguments)))

    return make


def required_program(name: str) -> str:
    program = find_program(name)
    if program is None:
        pytest.skip(f"{name} is not installed; scripts/install-clients installs it")
    return program
