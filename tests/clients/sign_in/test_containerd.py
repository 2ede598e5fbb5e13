"""`ctr` has no login: it is given a name and a secret with each command."""

import secrets

import pytest

from tests.clients.conftest import required_program


@pytest.fixture
def ctr(client, daemon):
    required_program("ctr")
    return client("ctr", f"--address={daemon.containerd}", f"--namespace=test-{secrets.token_hex(4)}")


@pytest.mark.parametrize("kind", ["password", "robot", "access token"])
def test_fetch_and_push(kind, ctr, new_tool, host, credentials, password, registry, repository, image):
    who = credentials[kind]
    crane = new_tool("crane", host)
    crane.login(password.username, password.secret)
    crane.push(image, repository)
    source, target = f"{host}/{repository}:v1", f"{host}/{repository}-again:v1"
    assert "authorization failed" in ctr.fails("content", "fetch", "--plain-http", source)
    user = f"--user={who.username}:{who.secret}"
    ctr("content", "fetch", "--plain-http", "--all-platforms", user, source)
    ctr("images", "tag", source, target)
    ctr("images", "push", "--plain-http", user, target)
    registry.assert_holds(f"{repository}-again", "v1", image)
    ctr("images", "remove", "--sync", source, target)
