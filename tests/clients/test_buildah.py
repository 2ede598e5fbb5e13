from pathlib import Path

import pytest

from tests.clients.programs import podman_storage


@pytest.fixture
def buildah(client, scratch):
    buildah = client("buildah", *podman_storage(scratch / "buildah", "buildah"))
    yield buildah
    buildah("rm", "--all")
    buildah("rmi", "--all", "--force")


def build(buildah, name: str, text: str, base: str = "scratch") -> None:
    """This will put one file on top of a base image and commit the result as `name`."""
    file = buildah.folder / "message.txt"
    file.write_text(text)
    container = buildah("from", "--tls-verify=false", base).strip()
    buildah("copy", container, file, "/message.txt")
    buildah("commit", "--rm", container, name)


def read_message(buildah, base: str) -> str:
    container = buildah("from", "--tls-verify=false", "--pull-always", base).strip()
    mounted = Path(buildah("mount", container).strip())
    try:
        return (mounted / "message.txt").read_text()
    finally:
        buildah("umount", container)
        buildah("rm", container)


def test_built_image_comes_back(buildah, host, registry, repository):
    build(buildah, "first", "built from scratch\n")
    buildah("push", "--tls-verify=false", "first", f"docker://{host}/{repository}:v1")
    assert registry.tags(repository) == ["v1"]
    assert read_message(buildah, f"{host}/{repository}:v1") == "built from scratch\n"


def test_second_image_shares_the_layers_of_its_base(buildah, registry, repository, recording):
    target = f"{recording.host}/{repository}"
    build(buildah, "base", "base\n")
    buildah("push", "--tls-verify=false", "base", f"docker://{target}:base")
    build(buildah, "above", "above\n", base="localhost/base")
    recording.clear()
    buildah("push", "--tls-verify=false", "above", f"docker://{target}:above")
    base, above = (registry.manifest(repository, tag).json() for tag in ("base", "above"))
    assert above["layers"][:-1] == base["layers"]
    assert recording.uploaded == above["layers"][-1]["size"] + above["config"]["size"], recording


def test_docker_format(buildah, host, registry, repository):
    build(buildah, "docker", "in docker's format\n")
    buildah("push", "--tls-verify=false", "--format=v2s2", "docker", f"docker://{host}/{repository}:v1")
    answer = registry.manifest(repository, "v1")
    assert answer.headers["content-type"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert read_message(buildah, f"{host}/{repository}:v1") == "in docker's format\n"
