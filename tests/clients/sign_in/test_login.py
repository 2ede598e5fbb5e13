"""Each program signs in with each kind of secret, pushes, pulls, and signs out."""

import secrets

import pytest

from tests.clients.sign_in.conftest import PASSWORD, make_user
from tests.clients.sign_in.tools import says_to_sign_in

pytestmark = pytest.mark.usefixtures("alice")
# The registry's words, and those of programs that keep them to themselves.
WRONG_PASSWORD = (
    "the user name or the password is wrong",
    "invalid username/password",  # skopeo, podman, buildah
    "failed to ping registry, credentials were still stored",  # regctl
)


@pytest.mark.parametrize("kind", ["password", "robot", "access token"])
def test_login_push_pull_logout(tool, credentials, kind, registry, repository, image):
    who = credentials[kind]
    tool.login(who.username, who.secret)
    tool.push(image, repository)
    name, tag = tool.pushed(repository)
    assert registry.tags(name) == [tag]
    tool.pull(repository)
    pushes = registry.manage("GET", f"audit?repository={name}&action=manifest.push")["results"]
    assert {push["actor"] for push in pushes} == {who.username}

    tool.logout()
    message = tool.refused.pull(repository)
    assert says_to_sign_in(message), message


def test_wrong_password_is_refused_with_a_reason(tool, registry, repository, image):
    username = f"user-{secrets.token_hex(4)}"
    make_user(registry, username)
    if tool.checks_at_login:
        message = tool.refused.login(username, "not the password")
    else:
        tool.login(username, "not the password")
        message = tool.refused.push(image, repository)
    assert any(words in message.lower() for words in WRONG_PASSWORD), message


def test_somebody_elses_team_is_refused_with_a_reason(tool, registry, repository, image):
    username = f"user-{secrets.token_hex(4)}"
    make_user(registry, username)
    tool.login(username, PASSWORD)
    message = tool.refused.push(image, repository)
    assert any(words in message for words in ("denied", "DENIED")), message
    assert registry.tags(tool.pushed(repository)[0]) == []
