"""What a login leaves in files, and what goes on working by it."""

import base64
import json
import secrets
from pathlib import Path

import pytest

from tests.access.live_people import run_command
from tests.clients.api import Registry, basic
from tests.clients.conftest import required_program
from tests.clients.sign_in.conftest import PASSWORD, make_user
from tests.clients.sign_in.tools import write_config


@pytest.fixture
def docker(new_tool, host):
    return new_tool("docker", host)


def stored(tool):
    config = json.loads(Path(tool.client.environ["DOCKER_CONFIG"], "config.json").read_text())
    return config["auths"].get(tool.host, {})


@pytest.fixture
def dora(registry, new_team, host):
    """A user whose sign-ins no other test needs, and her team."""
    username, team = f"dora-{secrets.token_hex(4)}", new_team()
    make_user(registry, username)
    registry.manage("PUT", f"teams/{team}/members/{username}", role="developer")
    return Registry(host, username, PASSWORD), username, team


def test_docker_goes_on_by_its_identity_token(docker, dora, server, registry, image):
    """It keeps no password and fetches a bearer token for each command, also when none of the old ones is good."""
    _, username, team = dora
    docker.login(username, PASSWORD)
    entry = stored(docker)
    assert entry["identitytoken"].startswith("lading_ref_")
    assert base64.b64decode(entry["auth"]).decode() == f"{username}:"
    docker.push(image, f"{team}/app")
    run_command(server, "rotate-keys", "--revoke")
    server.restart()
    docker.pull(f"{team}/app")
    docker.push(image, f"{team}/again")
    assert registry.tags(f"{team}/again") == ["v1"]


def test_signing_out_everywhere_ends_it(docker, dora, image):
    client, username, team = dora
    docker.login(username, PASSWORD)
    docker.push(image, f"{team}/app")
    client.manage("POST", "users/me/sign-out")
    message = docker.refused.push(image, f"{team}/app")
    assert "unauthorized" in message, message
    docker.login(username, PASSWORD)
    docker.push(image, f"{team}/app")


@pytest.mark.parametrize("name", ["podman", "skopeo", "buildah", "crane", "oras", "helm"])
def test_others_go_by_dockers_identity_token(name, docker, new_tool, dora, host, image, registry):
    _, username, team = dora
    tool = new_tool(name, host)  # a new client begins with an empty file
    docker.login(username, PASSWORD)
    assert "identitytoken" in stored(tool)
    tool.push(image, f"{team}/app")
    tool.pull(f"{team}/app")
    repository, tag = tool.pushed(f"{team}/app")
    assert registry.tags(repository) == [tag]


def test_docker_logout_forgets_it(docker, dora):
    docker.login(dora[1], PASSWORD)
    docker.logout()
    assert stored(docker) == {}


@pytest.mark.parametrize("name", ["docker", "podman", "skopeo", "buildah", "crane", "oras", "regctl", "helm"])
@pytest.mark.parametrize("kind", ["robot", "access token"])
def test_file_made_by_hand(name, kind, new_tool, host, credentials, registry, repository, image):
    tool, who = new_tool(name, host), credentials[kind]
    write_config(tool, {host: {"auth": basic(who.username, who.secret)}})
    tool.push(image, repository)
    tool.pull(repository)
    repository, tag = tool.pushed(repository)
    assert registry.tags(repository) == [tag]


@pytest.mark.parametrize("name", ["crane", "skopeo"])
def test_pull_secret_of_kubernetes(name, new_tool, client, host, credentials, password, repository, image):
    """The secret holds the file that a kubelet pulls with, as docs/access.md has it made."""
    required_program("kubectl")
    tool, robot = new_tool(name, host), credentials["robot"]
    tool.login(password.username, password.secret)
    tool.push(image, repository)
    tool.logout()
    made = client("kubectl")(
        "create",
        "secret",
        "docker-registry",
        "lading",
        f"--docker-server={host}",
        f"--docker-username={robot.username}",
        f"--docker-password={robot.secret}",
        "--dry-run=client",
        "--output=json",
    )
    file = base64.b64decode(json.loads(made)["data"][".dockerconfigjson"])
    write_config(tool, json.loads(file)["auths"])
    tool.pull(repository)
