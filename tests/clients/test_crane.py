import pytest


@pytest.fixture
def crane(client):
    return client("crane")


@pytest.fixture
def pushed(crane, host, repository, image):
    crane("push", image.folder, f"{host}/{repository}:v1")
    return f"{host}/{repository}"


def test_push_and_pull(crane, pushed, registry, repository, image, tmp_path):
    registry.assert_holds(repository, "v1", image)
    assert crane("digest", f"{pushed}:v1").strip() == image.digest

    crane("pull", "--format=oci", f"{pushed}:v1", tmp_path / "pulled")
    for digest in [*image.manifests, *image.blobs]:
        pulled = tmp_path / "pulled" / "blobs" / "sha256" / digest.removeprefix("sha256:")
        assert pulled.read_bytes() == image.read(digest)


def test_validate_reads_every_layer(crane, pushed):
    assert "PASS" in crane("validate", f"--remote={pushed}:v1")


def test_index(crane, host, registry, repository, index):
    crane("push", "--index", index.folder, f"{host}/{repository}:multi")
    # crane makes an index around the layout's own, so the platforms are one level below.
    crane("copy", f"{host}/{repository}@{index.digest}", f"{host}/{repository}:copied")
    registry.assert_holds(repository, "copied", index)
    arm = crane("digest", "--platform=linux/arm64", f"{host}/{repository}:copied").strip()
    assert arm == index.images[1].manifest["digest"]


def test_copy_between_repositories_mounts(crane, registry, repository, image, recording):
    source, target = f"{repository}/a", f"{repository}/b"
    crane("push", image.folder, f"{recording.host}/{source}:v1")
    recording.clear()
    crane("copy", f"{recording.host}/{source}:v1", f"{recording.host}/{target}:v1")
    assert recording.mounts == [201] * len(image.blobs), recording
    assert recording.uploaded == 0, recording
    registry.assert_holds(target, "v1", image)


def test_tag_and_list(crane, pushed, host, repository):
    crane("tag", f"{pushed}:v1", "stable")
    assert crane("ls", pushed).split() == ["stable", "v1"]
    assert repository in crane("catalog", host).split()


def test_blob_and_config(crane, pushed, image):
    digest = image.image.config["digest"]
    assert crane("blob", f"{pushed}@{digest}").encode() == image.read(digest)
    assert crane("config", f"{pushed}:v1").strip().encode() == image.read(digest).strip()


def test_append_uploads_one_layer_only(crane, registry, repository, image, recording, tmp_path):
    target = f"{recording.host}/{repository}"
    crane("push", image.folder, f"{target}:v1")
    layer = tmp_path / "layer.tar"
    crane("export", f"{target}:v1", layer)
    crane("append", f"--base={target}:v1", f"--new_layer={layer}", f"--new_tag={target}:v2")
    layers = registry.manifest(repository, "v2").json()["layers"]
    assert layers[:-1] == [
        {name: layer[name] for name in ("mediaType", "size", "digest")} for layer in image.image.layers
    ]


def test_delete_by_digest_removes_its_tags(crane, pushed, registry, repository, image):
    crane("tag", f"{pushed}:v1", "v2")
    crane("delete", f"{pushed}@{image.digest}")
    assert registry.manifest(repository, image.digest).status == 404
    assert registry.tags(repository) == []
    assert "MANIFEST_UNKNOWN" in crane.fails("manifest", f"{pushed}:v1")


def test_delete_by_tag_keeps_the_other_tags(crane, pushed, registry, repository, image):
    crane("tag", f"{pushed}:v1", "v2")
    crane("delete", f"{pushed}:v1")
    assert registry.tags(repository) == ["v2"]
    assert registry.manifest(repository, image.digest).status == 200
