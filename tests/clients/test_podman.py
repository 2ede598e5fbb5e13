import json

import pytest

from tests.clients.programs import podman_storage


@pytest.fixture
def podman(client, scratch):
    podman = client("podman", *podman_storage(scratch / "podman"))
    yield podman
    podman("image", "rm", "--all", "--force")


def describe(podman, name):
    return json.loads(podman("image", "inspect", name))[0]


def test_push_and_pull_again(podman, host, registry, repository, image):
    podman("pull", image.reference)
    identity = image.image.config["digest"].removeprefix("sha256:")
    podman("push", "--tls-verify=false", identity, f"docker://{host}/{repository}:v1")
    manifest = registry.manifest(repository, "v1").json()
    assert manifest["config"]["digest"] == image.image.config["digest"]
    podman("image", "rm", "--force", identity)

    podman("pull", "--tls-verify=false", f"{host}/{repository}:v1")
    pulled = describe(podman, f"{host}/{repository}:v1")
    assert pulled["Id"] == identity
    assert pulled["RootFS"]["Layers"] == image.image.diff_ids


def test_manifest_list_is_pushed_with_its_images(podman, client, host, registry, repository, index):
    client("oras")(
        "copy", "--from-oci-layout", f"{index.folder}:multi", "--to-plain-http", f"{host}/{repository}:multi"
    )
    podman("manifest", "create", "both")
    podman("manifest", "add", "--all", "--tls-verify=false", "both", f"docker://{host}/{repository}:multi")
    podman("manifest", "push", "--all", "--tls-verify=false", "both", f"docker://{host}/{repository}:list")
    children = registry.manifest(repository, "list").json()["manifests"]
    assert {child["digest"] for child in children} == {i.manifest["digest"] for i in index.images}
    podman("manifest", "rm", "both")


def test_pull_picks_its_platform_from_an_index(podman, client, host, repository, index):
    client("oras")(
        "copy", "--from-oci-layout", f"{index.folder}:multi", "--to-plain-http", f"{host}/{repository}:multi"
    )
    podman("pull", "--tls-verify=false", "--arch=arm64", f"{host}/{repository}:multi")
    pulled = describe(podman, f"{host}/{repository}:multi")
    assert pulled["Id"] == index.images[1].config["digest"].removeprefix("sha256:")


def test_missing_image(podman, host, repository):
    message = podman.fails("pull", "--tls-verify=false", f"{host}/{repository}:none")
    assert "manifest unknown" in message or "name unknown" in message


def test_search_lists_tags(podman, client, host, repository, image):
    client("crane")("push", image.folder, f"{host}/{repository}:v1")
    listed = podman("search", "--list-tags", "--tls-verify=false", f"{host}/{repository}")
    assert [line.split()[-1] for line in listed.splitlines()[1:]] == ["v1"]


def test_root_file_system_round_trip(podman, client, host, repository, root_image):
    client("skopeo")(
        "copy",
        "--dest-tls-verify=false",
        "--preserve-digests",
        root_image.reference,
        f"docker://{host}/{repository}:root",
    )
    podman("pull", "--tls-verify=false", f"{host}/{repository}:root", timeout=280)
    pulled = describe(podman, f"{host}/{repository}:root")
    assert pulled["Id"] == root_image.image.config["digest"].removeprefix("sha256:")
    assert pulled["RootFS"]["Layers"] == root_image.image.diff_ids
    assert pulled["Digest"] == root_image.digest
