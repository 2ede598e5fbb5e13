"""Blobs of one's own repositories are mounted; those of a stranger's are uploaded, and nobody learns of them."""

import secrets

import pytest

from tests.clients.api import Registry, basic
from tests.clients.sign_in.conftest import PASSWORD, make_user
from tests.clients.sign_in.tools import write_config

PLAIN = ("--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests")
OPTIONS = {"crane": (), "oras": ("--from-plain-http", "--to-plain-http"), "skopeo": PLAIN}


def copy(tool, source, target, *more):
    scheme = "docker://" if tool.name == "skopeo" else ""
    options = (*OPTIONS[tool.name], *more)
    tool.run("copy", *options, f"{scheme}{tool.host}/{source}:v1", f"{scheme}{tool.host}/{target}:v1")


@pytest.mark.parametrize("name", OPTIONS)
def test_between_ones_own_repositories(name, new_tool, recording, password, registry, repository, image):
    """Each bearer token is for one repository, until the client learns what the mount needs."""
    tool = new_tool(name, recording.host)
    tool.login(password.username, password.secret)
    tool.push(image, f"{repository}/a")
    recording.clear()
    copy(tool, f"{repository}/a", f"{repository}/b")
    mounted = [status for status in recording.mounts if status == 201]
    # skopeo has the config in memory and uploads it.
    layers = len(image.image.layers) if name == "skopeo" else len(image.blobs)
    assert len(mounted) == layers, recording
    assert recording.uploaded == (image.image.config["size"] if name == "skopeo" else 0), recording
    registry.assert_holds(f"{repository}/b", "v1", image)


@pytest.fixture
def stranger(registry, server, host):
    """Somebody with a private team of their own, named as they are."""
    username = f"stranger-{secrets.token_hex(4)}"
    make_user(registry, username)
    registry.manage("POST", "teams", name=username)
    registry.manage("PUT", f"teams/{username}/members/{username}", role="owner")
    return Registry(host, username, PASSWORD)


@pytest.fixture
def strangers_image(client, stranger, image):
    """A private image of the stranger's: its repository."""
    name = f"{stranger.manage('GET', 'users/me')['username']}/app"
    crane = client("crane")
    crane("auth", "login", stranger.host, f"-u={name.split('/')[0]}", "--password-stdin", given=PASSWORD)
    crane("push", image.folder, f"{stranger.host}/{name}:v1")
    crane("auth", "logout", stranger.host)
    return name


@pytest.mark.parametrize("name", OPTIONS)
def test_from_a_strangers_repository(name, new_tool, recording, password, registry, repository, image, strangers_image):
    """The program reads with the stranger's password and writes with alice's, who may not know of the source."""
    tool = new_tool(name, recording.host)
    reader, writer = strangers_image.split("/")[0], password.username
    # These two choose by the longest name that fits, oras knows hosts only.
    who = {f"{tool.host}/{strangers_image}": reader, f"{tool.host}/{repository}": writer}
    write_config(tool, {place: {"auth": basic(username, PASSWORD)} for place, username in who.items()})
    options = () if name != "oras" else (f"--from-username={reader}", f"--to-username={writer}")
    options += () if name != "oras" else (f"--from-password={PASSWORD}", f"--to-password={PASSWORD}")
    if name == "skopeo":
        tool.pull(strangers_image)  # it asks for mounts from where it saw a blob before
    recording.clear()
    copy(tool, strangers_image, repository, *options)
    # crane asks for mounts and skopeo for the blobs at their source; oras does not when two users are named.
    asked = [item.status for item in recording.exchanges if item.is_mount or is_hidden_blob(item, strangers_image)]
    assert bool(asked) == (name != "oras"), recording
    assert not {200, 201} & set(asked), recording
    assert recording.uploaded == sum(image.blobs.values()), recording
    registry.assert_holds(repository, "v1", image)


def is_hidden_blob(exchange, repository):
    return exchange.method == "HEAD" and exchange.target.startswith(f"/v2/{repository}/blobs/")


def test_docker_remembers_a_strangers_repository(
    new_tool, recording, password, registry, repository, image, strangers_image
):
    tool = new_tool("docker", recording.host)
    source, target = (f"{recording.host}/{name}:v1" for name in (strangers_image, repository))
    tool.login(strangers_image.split("/")[0], PASSWORD)
    tool.pull(strangers_image)
    tool.run("tag", source, target)
    tool.logout()
    tool.login(password.username, password.secret)
    recording.clear()
    tool.run("push", target)
    tool.run("image", "rm", source, target)
    assert 202 in recording.mounts, recording
    assert 201 not in recording.mounts, recording
    pushed = registry.manifest(repository, "v1").json()
    assert recording.uploaded == sum(blob["size"] for blob in [pushed["config"], *pushed["layers"]]), recording
