import secrets

import pytest


@pytest.fixture
def ctr(client, daemon):
    """containerd's own client, in a namespace that docker does not look at."""
    ctr = client("ctr", f"--address={daemon.containerd}", f"--namespace=test-{secrets.token_hex(4)}")
    yield ctr
    if images := ctr("images", "list", "--quiet").split():
        ctr("images", "remove", "--sync", *images)


def test_push_and_pull_again(ctr, client, host, registry, repository, image, tmp_path):
    name = f"{host}/{repository}:v1"
    client("skopeo")("copy", "--preserve-digests", image.reference, f"oci-archive:{tmp_path}/image.tar:v1")
    ctr("images", "import", "--no-unpack", "--index-name", name, tmp_path / "image.tar")
    ctr("images", "push", "--plain-http", name)
    # What containerd imports is the archive's index, so that is what it pushes.
    (pushed,) = registry.manifest(repository, "v1").json()["manifests"]
    assert pushed["digest"] == image.digest
    ctr("images", "remove", "--sync", name)
    ctr("content", "fetch", "--plain-http", "--all-platforms", name)
    for digest in (image.digest, *image.blobs):
        assert ctr.output("content", "get", digest) == image.read(digest)


def test_index_with_all_platforms(ctr, client, host, registry, repository, index):
    client("oras")(
        "copy", "--from-oci-layout", f"{index.folder}:multi", "--to-plain-http", f"{host}/{repository}:multi"
    )
    source, target = f"{host}/{repository}:multi", f"{host}/{repository}-again:multi"
    ctr("content", "fetch", "--plain-http", "--all-platforms", source)
    ctr("images", "tag", source, target)
    ctr("images", "push", "--plain-http", target)
    registry.assert_holds(f"{repository}-again", "multi", index)


def test_missing_image(ctr, host, repository):
    assert "not found" in ctr.fails("content", "fetch", "--plain-http", f"{host}/{repository}:none")
