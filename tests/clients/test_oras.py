import json

import pytest

PLAIN = "--plain-http"
SBOM = "application/vnd.example.sbom.v1+json"


@pytest.fixture
def oras(client):
    return client("oras")


@pytest.fixture
def pushed(oras, host, repository, image):
    oras("copy", "--from-oci-layout", f"{image.folder}:v1", "--to-plain-http", f"{host}/{repository}:v1")
    return f"{host}/{repository}"


@pytest.fixture
def attach(oras, pushed, tmp_path):
    (tmp_path / "sbom.json").write_text('{"packages": []}')

    def run(artifact_type: str) -> str:
        output = oras("attach", PLAIN, "--format=json", f"--artifact-type={artifact_type}", f"{pushed}:v1", "sbom.json")
        return json.loads(output)["digest"]

    return run


def test_copy_from_a_layout(pushed, registry, repository, image):
    registry.assert_holds(repository, "v1", image)


def test_copy_of_an_index(oras, host, registry, repository, index):
    oras("copy", "--from-oci-layout", f"{index.folder}:multi", "--to-plain-http", f"{host}/{repository}:multi")
    registry.assert_holds(repository, "multi", index)
    arm = oras("resolve", PLAIN, "--platform=linux/arm64", f"{host}/{repository}:multi").strip()
    assert arm == index.images[1].manifest["digest"]


def test_files_come_back_as_they_were(oras, host, repository, tmp_path):
    (tmp_path / "notes.txt").write_text("some notes\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.txt").write_text("inner\n")
    oras("push", PLAIN, f"{host}/{repository}:v1", "notes.txt:text/plain", "folder/")
    oras("pull", PLAIN, f"{host}/{repository}:v1", "--output", "out")
    assert (tmp_path / "out" / "notes.txt").read_text() == "some notes\n"
    assert (tmp_path / "out" / "folder" / "inner.txt").read_text() == "inner\n"


def test_attached_artifacts_are_discovered(oras, pushed, attach, registry, repository, image):
    sbom, other = attach(SBOM), attach("application/vnd.example.other")
    tree = json.loads(oras("discover", PLAIN, "--format=json", f"{pushed}:v1"))
    assert {item["digest"] for item in tree["referrers"]} == {sbom, other}
    filtered = json.loads(oras("discover", PLAIN, "--format=json", f"--artifact-type={SBOM}", f"{pushed}:v1"))
    assert [item["digest"] for item in filtered["referrers"]] == [sbom]
    assert {item["digest"] for item in registry.referrers(repository, image.digest)} == {sbom, other}
    # A registry without referrers gets a fallback tag instead.
    assert registry.tags(repository) == ["v1"]


def test_deleted_attachment_is_no_longer_discovered(oras, pushed, attach, registry, repository, image):
    sbom = attach(SBOM)
    oras("manifest", "delete", PLAIN, "--force", f"{pushed}@{sbom}")
    assert registry.referrers(repository, image.digest) == []
    assert registry.manifest(repository, "v1").status == 200


def test_recursive_copy_takes_the_attachments_along(oras, pushed, attach, host, registry, repository, image):
    sbom = attach(SBOM)
    target = f"{repository}/copy"
    oras("copy", "--recursive", "--from-plain-http", "--to-plain-http", f"{pushed}:v1", f"{host}/{target}:v1")
    registry.assert_holds(target, "v1", image)
    assert [item["digest"] for item in registry.referrers(target, image.digest)] == [sbom]


def test_copy_between_repositories_mounts(oras, registry, repository, image, recording):
    source, target = f"{repository}/a", f"{repository}/b"
    oras("copy", "--from-oci-layout", f"{image.folder}:v1", "--to-plain-http", f"{recording.host}/{source}:v1")
    recording.clear()
    oras(
        "copy",
        "--from-plain-http",
        "--to-plain-http",
        f"{recording.host}/{source}:v1",
        f"{recording.host}/{target}:v1",
    )
    assert recording.mounts == [201] * len(image.blobs), recording
    assert recording.uploaded == 0, recording
    registry.assert_holds(target, "v1", image)


def test_tags_and_repositories(oras, pushed, host, repository):
    oras("tag", PLAIN, f"{pushed}:v1", "v2", "v3")
    assert oras("repo", "tags", PLAIN, pushed).split() == ["v1", "v2", "v3"]
    assert repository in oras("repo", "ls", PLAIN, host).split()


def test_blob_push_fetch_and_delete(oras, host, repository, tmp_path):
    (tmp_path / "blob").write_bytes(b"just bytes" * 1000)
    pushed = oras("blob", "push", PLAIN, "--descriptor", f"{host}/{repository}", "blob")
    digest = json.loads(pushed)["digest"]
    oras("blob", "fetch", PLAIN, "--output=fetched", f"{host}/{repository}@{digest}")
    assert (tmp_path / "fetched").read_bytes() == (tmp_path / "blob").read_bytes()
    oras("blob", "delete", PLAIN, "--force", f"{host}/{repository}@{digest}")
    oras.fails("blob", "fetch", PLAIN, "--output=again", f"{host}/{repository}@{digest}")


def test_manifest_delete(oras, pushed, registry, repository, image):
    oras("manifest", "delete", PLAIN, "--force", f"{pushed}@{image.digest}")
    assert registry.manifest(repository, image.digest).status == 404
    assert registry.tags(repository) == []
