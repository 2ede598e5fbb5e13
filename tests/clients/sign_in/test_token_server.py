"""`auth: token` with real programs and a token server that is not Lading's."""

import pytest

from tests.clients.conftest import watched_server
from tests.clients.sign_in.token_server import token_server
from tests.clients.sign_in.tools import says_to_sign_in

USERNAME, PASSWORD = "alice", "a long password"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    with (
        token_server(folder, username=USERNAME, password=PASSWORD) as variables,
        watched_server(**variables) as running,
    ):
        yield running


@pytest.fixture
def host(server):
    """The token server's host, and a name: else crane and oras refuse to send a password to a private address."""
    return server.host.replace("127.0.0.1", "localhost")


def test_login_push_pull_logout(tool, new_image):
    tool.login(USERNAME, PASSWORD)
    tool.push(new_image(), "harbour/app")
    tool.pull("harbour/app")
    tool.logout()
    message = tool.refused.pull("harbour/app")
    assert says_to_sign_in(message), message


def test_who_does_not_sign_in(tool, new_image):
    tool.login(USERNAME, PASSWORD)
    tool.push(new_image(), "open/app")
    tool.logout()
    tool.pull("open/app")
    tool.refused.push(new_image(), "open/app")


def test_wrong_password(tool, new_image):
    if tool.checks_at_login:
        tool.refused.login(USERNAME, "not the password")
    else:
        tool.login(USERNAME, "not the password")
        tool.refused.push(new_image(), "harbour/app")
