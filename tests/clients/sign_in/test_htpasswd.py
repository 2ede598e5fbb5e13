"""`auth: htpasswd` with real programs."""

import bcrypt
import pytest

from tests.clients.api import Registry
from tests.clients.conftest import watched_server
from tests.clients.sign_in.tools import says_to_sign_in

USERNAME, PASSWORD = "alice", "a long password"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    file = tmp_path_factory.mktemp("htpasswd") / "htpasswd"
    file.write_text(f"{USERNAME}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()}\n")
    with watched_server(REGISTRY_AUTH="htpasswd", REGISTRY_AUTH_HTPASSWD_PATH=str(file)) as running:
        yield running


@pytest.fixture
def registry(server):
    return Registry(server.host, USERNAME, PASSWORD)


@pytest.fixture
def repository():
    return "harbour/app"


def test_login_push_pull_logout(tool, registry, repository, new_image):
    tool.login(USERNAME, PASSWORD)
    tool.push(new_image(), repository)
    name, tag = tool.pushed(repository)
    assert tag in registry.tags(name)
    tool.pull(repository)
    tool.logout()
    message = tool.refused.push(new_image(), repository)
    assert says_to_sign_in(message), message


def test_wrong_password(tool, repository, new_image):
    if tool.checks_at_login:
        tool.refused.login(USERNAME, "not the password")
    else:
        tool.login(USERNAME, "not the password")
        tool.refused.push(new_image(), repository)
