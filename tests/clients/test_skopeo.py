import json

import pytest

PLAIN_PUSH = ("--dest-tls-verify=false", "--preserve-digests")
PLAIN_PULL = ("--src-tls-verify=false", "--preserve-digests")


@pytest.fixture
def skopeo(client):
    return client("skopeo")


def test_push_and_pull(skopeo, host, registry, repository, image, tmp_path):
    skopeo("copy", *PLAIN_PUSH, image.reference, f"docker://{host}/{repository}:v1")
    registry.assert_holds(repository, "v1", image)

    skopeo("copy", *PLAIN_PULL, f"docker://{host}/{repository}:v1", f"oci:{tmp_path / 'pulled'}:v1")
    for digest in [*image.manifests, *image.blobs]:
        pulled = tmp_path / "pulled" / "blobs" / "sha256" / digest.removeprefix("sha256:")
        assert pulled.read_bytes() == image.read(digest)


def test_push_in_docker_format(skopeo, host, registry, repository, image):
    skopeo("copy", "--dest-tls-verify=false", "--format=v2s2", image.reference, f"docker://{host}/{repository}:v1")
    answer = registry.manifest(repository, "v1")
    assert answer.headers["content-type"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert answer.json()["config"]["digest"] == image.image.config["digest"]


def test_all_platforms_of_an_index(skopeo, host, registry, repository, index):
    skopeo("copy", "--all", *PLAIN_PUSH, index.reference, f"docker://{host}/{repository}:multi")
    registry.assert_holds(repository, "multi", index)


def test_pull_of_one_platform(skopeo, host, repository, index, tmp_path):
    skopeo("copy", "--all", *PLAIN_PUSH, index.reference, f"docker://{host}/{repository}:multi")
    skopeo(
        "--override-arch=arm64",
        "copy",
        "--src-tls-verify=false",
        f"docker://{host}/{repository}:multi",
        f"oci:{tmp_path / 'arm'}:v1",
    )
    arm = index.images[1].manifest["digest"]
    assert json.loads((tmp_path / "arm" / "index.json").read_bytes())["manifests"][0]["digest"] == arm


def test_copy_between_repositories_mounts(skopeo, registry, repository, image, recording):
    source, target = f"{repository}/a", f"{repository}/b"
    skopeo("copy", *PLAIN_PUSH, image.reference, f"docker://{recording.host}/{source}:v1")
    recording.clear()
    skopeo(
        "copy",
        "--src-tls-verify=false",
        *PLAIN_PUSH,
        f"docker://{recording.host}/{source}:v1",
        f"docker://{recording.host}/{target}:v1",
    )
    # The config is not a layer: skopeo has it in memory and uploads it.
    assert recording.mounts == [201] * len(image.image.layers), recording
    assert recording.uploaded == image.image.config["size"], recording
    registry.assert_holds(target, "v1", image)


def test_inspect_and_list_tags(skopeo, host, repository, image):
    for tag in ("v1", "v2"):
        skopeo("copy", *PLAIN_PUSH, image.reference, f"docker://{host}/{repository}:{tag}")
    seen = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{host}/{repository}:v2"))
    assert seen["Digest"] == image.digest
    assert seen["RepoTags"] == ["v1", "v2"]
    assert seen["Layers"] == [layer["digest"] for layer in image.image.layers]
    tags = json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{host}/{repository}"))
    assert tags["Tags"] == ["v1", "v2"]


def test_delete_removes_the_manifest(skopeo, host, registry, repository, image):
    skopeo("copy", *PLAIN_PUSH, image.reference, f"docker://{host}/{repository}:v1")
    skopeo("delete", "--tls-verify=false", f"docker://{host}/{repository}:v1")
    assert registry.manifest(repository, "v1").status == 404
    assert registry.manifest(repository, image.digest).status == 404
    message = skopeo.fails("inspect", "--tls-verify=false", f"docker://{host}/{repository}:v1")
    assert "manifest unknown" in message
