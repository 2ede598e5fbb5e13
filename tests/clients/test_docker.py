import json

import pytest


@pytest.fixture
def docker(client, daemon):
    docker = client("docker", "--host", daemon.docker)
    yield docker
    if images := docker("image", "ls", "--all", "--quiet").split():
        docker("image", "rm", "--force", *dict.fromkeys(images))


def describe(docker, name):
    return json.loads(docker("image", "inspect", name))[0]


def test_pull_gives_the_image_that_was_pushed(docker, client, host, repository, image):
    client("crane")("push", image.folder, f"{host}/{repository}:v1")
    docker("pull", f"{host}/{repository}:v1")
    pulled = describe(docker, f"{host}/{repository}:v1")
    assert pulled["Id"] == image.image.config["digest"]
    assert pulled["RootFS"]["Layers"] == image.image.diff_ids
    assert pulled["RepoDigests"] == [f"{host}/{repository}@{image.digest}"]


def test_pull_by_digest(docker, client, host, repository, image):
    client("crane")("push", image.folder, f"{host}/{repository}:v1")
    docker("pull", f"{host}/{repository}@{image.digest}")
    assert describe(docker, f"{host}/{repository}@{image.digest}")["Id"] == image.image.config["digest"]


def test_pull_picks_its_platform_from_an_index(docker, client, host, repository, index):
    client("oras")(
        "copy", "--from-oci-layout", f"{index.folder}:multi", "--to-plain-http", f"{host}/{repository}:multi"
    )
    docker("pull", "--platform=linux/arm64", f"{host}/{repository}:multi")
    assert describe(docker, f"{host}/{repository}:multi")["Id"] == index.images[1].config["digest"]


def test_push_and_pull_again(docker, client, host, registry, repository, image, tmp_path):
    client("skopeo")("copy", image.reference, f"docker-archive:{tmp_path}/image.tar:{host}/{repository}:v1")
    docker("load", f"--input={tmp_path}/image.tar")
    docker("push", f"{host}/{repository}:v1")
    manifest = registry.manifest(repository, "v1")
    assert manifest.status == 200
    assert len(manifest.json()["layers"]) == len(image.image.layers)
    before = describe(docker, f"{host}/{repository}:v1")
    docker("image", "rm", f"{host}/{repository}:v1")
    docker("pull", f"{host}/{repository}:v1")
    after = describe(docker, f"{host}/{repository}:v1")
    assert (after["Id"], after["RootFS"]) == (before["Id"], before["RootFS"])
    assert after["RootFS"]["Layers"] == image.image.diff_ids


def test_push_of_what_was_pulled_elsewhere_mounts(docker, client, registry, repository, image, recording):
    source, target = (f"{recording.host}/{repository}/{name}:v1" for name in "ab")
    client("crane")("push", image.folder, source)
    docker("pull", source)
    docker("tag", source, target)
    recording.clear()
    docker("push", target)
    assert recording.mounts.count(201) == len(image.image.layers), recording
    pushed = registry.manifest(f"{repository}/b", "v1").json()
    assert [layer["digest"] for layer in pushed["layers"]] == [layer["digest"] for layer in image.image.layers]
    # Docker makes its own config and uploads that; no layer went over the wire.
    assert recording.uploaded == pushed["config"]["size"], recording


def test_missing_image(docker, host, repository):
    message = docker.fails("pull", f"{host}/{repository}:none")
    assert "not found" in message or "manifest unknown" in message


def test_root_file_system_round_trip(docker, client, host, registry, repository, root_image):
    client("skopeo")(
        "copy",
        "--dest-tls-verify=false",
        "--preserve-digests",
        root_image.reference,
        f"docker://{host}/{repository}:root",
    )
    docker("pull", f"{host}/{repository}:root", timeout=280)
    pulled = describe(docker, f"{host}/{repository}:root")
    assert pulled["Id"] == root_image.image.config["digest"]
    assert pulled["RootFS"]["Layers"] == root_image.image.diff_ids
    assert pulled["RepoDigests"] == [f"{host}/{repository}@{root_image.digest}"]
