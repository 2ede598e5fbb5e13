import json

import pytest

MIB = 1 << 20


@pytest.fixture
def regctl(client, host):
    return client("regctl", f"--host=reg={host},tls=disabled")


@pytest.fixture
def pushed(regctl, host, repository, image):
    regctl("image", "copy", f"ocidir://{image.folder}:v1", f"{host}/{repository}:v1")
    return f"{host}/{repository}"


def test_push_and_pull(regctl, pushed, registry, repository, image, tmp_path):
    registry.assert_holds(repository, "v1", image)
    regctl("image", "copy", f"{pushed}:v1", f"ocidir://{tmp_path / 'pulled'}:v1")
    for digest in [*image.manifests, *image.blobs]:
        pulled = tmp_path / "pulled" / "blobs" / "sha256" / digest.removeprefix("sha256:")
        assert pulled.read_bytes() == image.read(digest)


def test_index(regctl, host, registry, repository, index):
    regctl("image", "copy", f"ocidir://{index.folder}:multi", f"{host}/{repository}:multi")
    registry.assert_holds(repository, "multi", index)
    arm = regctl("image", "digest", "--platform=linux/arm64", f"{host}/{repository}:multi").strip()
    assert arm == index.images[1].manifest["digest"]


def test_copy_between_repositories_mounts(client, registry, repository, image, recording):
    regctl = client("regctl", f"--host=reg={recording.host},tls=disabled")
    source, target = f"{repository}/a", f"{repository}/b"
    regctl("image", "copy", f"ocidir://{image.folder}:v1", f"{recording.host}/{source}:v1")
    recording.clear()
    regctl("image", "copy", f"{recording.host}/{source}:v1", f"{recording.host}/{target}:v1")
    assert 201 in recording.mounts, recording
    assert recording.uploaded == 0, recording
    registry.assert_holds(target, "v1", image)


def test_mount_without_a_source(client, registry, repository, image, recording):
    """regctl's first move is a mount without `from`: the registry finds the blob by itself."""
    regctl = client("regctl", f"--host=reg={recording.host},tls=disabled")
    regctl("image", "copy", f"ocidir://{image.folder}:v1", f"{recording.host}/{repository}/a:v1")
    recording.clear()
    regctl("image", "copy", f"ocidir://{image.folder}:v1", f"{recording.host}/{repository}/b:v1")
    mounts = [item for item in recording.exchanges if item.is_mount]
    assert [item.status for item in mounts] == [201] * len(image.blobs), recording
    assert not any("from=" in item.target for item in mounts), recording
    assert recording.uploaded == 0, recording
    registry.assert_holds(f"{repository}/b", "v1", image)


def put_blob(regctl, client, folder, content, target, *options):
    """regctl takes a blob from standard input, so a shell connects the file."""
    (folder / "blob").write_bytes(content)
    shell = client("sh", "-c", '"$0" "$@" < blob', regctl.program, *regctl.arguments)
    return shell("blob", "put", *options, target).strip()


def test_upload_in_small_chunks(client, registry, repository, recording, tmp_path):
    regctl = client("regctl")
    regctl("registry", "set", "--skip-check", "--tls=disabled", "--blob-chunk=65536", recording.host)
    content = bytes(range(256)) * 2048
    digest = put_blob(regctl, client, tmp_path, content, f"{recording.host}/{repository}")
    assert [item.sent for item in recording.exchanges if item.method == "PATCH"] == [65536] * 8, recording
    assert registry.measure_blob(repository, digest) == (len(content), digest)


def test_push_goes_on_after_the_connection_was_cut(client, registry, repository, recording, tmp_path):
    recording.cut_after = 5 * MIB // 2
    regctl = client("regctl", f"--host=reg={recording.host},tls=disabled")
    content = bytes(range(256)) * (8 * MIB // 256)
    digest = put_blob(regctl, client, tmp_path, content, f"{recording.host}/{repository}")
    assert len(recording.cuts) == 1, recording
    assert registry.measure_blob(repository, digest) == (len(content), digest)
    # It went on where it was: at most the chunk that was cut was sent twice.
    assert recording.uploaded <= len(content) + MIB, recording


def test_sha512(regctl, pushed, registry, repository):
    regctl("image", "mod", "--digest-algo=sha512", f"--create={pushed}:long", f"{pushed}:v1")
    answer = registry.manifest(repository, "long")
    assert answer.headers["docker-content-digest"].startswith("sha512:")
    assert answer.json()["config"]["digest"].startswith("sha512:")
    assert regctl("image", "digest", f"{pushed}:long").strip() == answer.headers["docker-content-digest"]


def test_artifacts_and_referrers(client, regctl, pushed, registry, repository, image, tmp_path):
    (tmp_path / "blob").write_text("signed by somebody\n")
    shell = client("sh", "-c", '"$0" "$@" < blob', regctl.program, *regctl.arguments)
    for kind in ("signature", "note"):
        shell("artifact", "put", f"--artifact-type=application/vnd.example.{kind}", f"--subject={pushed}:v1")
    assert len(registry.referrers(repository, image.digest)) == 2
    listed = json.loads(
        regctl(
            "artifact",
            "list",
            "--filter-artifact-type=application/vnd.example.note",
            "--format={{json .}}",
            f"{pushed}:v1",
        )
    )
    assert [item["artifactType"] for item in listed["descriptors"]] == ["application/vnd.example.note"]
    found = regctl("artifact", "get", f"--subject={pushed}:v1", "--filter-artifact-type=application/vnd.example.note")
    assert found == "signed by somebody\n"
    assert registry.tags(repository) == ["v1"]


def test_tag_delete_keeps_the_other_tags(regctl, pushed, registry, repository, image):
    regctl("image", "copy", f"{pushed}:v1", f"{pushed}:v2")
    regctl("tag", "delete", f"{pushed}:v1")
    assert regctl("tag", "ls", pushed).split() == ["v2"]
    registry.assert_holds(repository, "v2", image)


def test_manifest_delete(regctl, pushed, registry, repository, image):
    regctl("manifest", "delete", f"{pushed}@{image.digest}")
    assert registry.manifest(repository, image.digest).status == 404
    assert registry.tags(repository) == []


def test_blob_delete(client, regctl, host, registry, repository, tmp_path):
    digest = put_blob(regctl, client, tmp_path, b"nobody's blob", f"{host}/{repository}")
    regctl("blob", "delete", f"{host}/{repository}", digest)
    assert registry.request("HEAD", f"/v2/{repository}/blobs/{digest}").status == 404
