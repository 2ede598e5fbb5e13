"""Image indexes: their children, sparse and complete (end-7)."""

import pytest

from oci import media_types
from repositories.models import ManifestBlob, ManifestChild
from tests.factories import NAME, descriptor, digest_of, encode, image_manifest, index_manifest

pytestmark = pytest.mark.django_db
MANIFESTS = f"/v2/{NAME}/manifests"


def test_index_and_its_children(registry):
    one, two = registry.push_image(None, layers=[b"1"]), registry.push_image(None, layers=[b"2"])
    platform = {"os": "linux", "architecture": "arm", "variant": "v7"}
    index = registry.push_manifest(index_manifest([one.descriptor(platform=platform), two.descriptor()]), "multi")
    rows = ManifestChild.objects.filter(parent__digest=index.digest).order_by("id")
    assert {(row.child.digest, row.platform) for row in rows} == {(one.digest, "linux/arm/v7"), (two.digest, "")}
    assert registry.get(f"{MANIFESTS}/multi").headers["Content-Type"] == media_types.OCI_INDEX


def test_empty_and_nested_indexes(registry):
    inner = registry.push_manifest(index_manifest())
    registry.push_manifest(index_manifest([inner.descriptor(media_types.OCI_INDEX)]), "outer")
    assert ManifestChild.objects.get().child.digest == inner.digest


def test_index_of_blobs_as_build_caches_are(registry):
    for content in (b"layer", b"cache config"):
        registry.push_blob(content)
    children = [descriptor(b"layer"), descriptor(b"cache config", "application/vnd.buildkit.cacheconfig.v0")]
    index = registry.push_manifest(index_manifest(children), "cache")
    references = ManifestBlob.objects.filter(manifest__digest=index.digest)
    assert {(row.blob.digest, row.role) for row in references} == {
        (digest_of(b"layer"), "child"),
        (digest_of(b"cache config"), "child"),
    }
    assert not ManifestChild.objects.exists()


def test_index_waits_for_its_children(registry):
    answer = registry.put_manifest(index_manifest([descriptor(b"later", media_types.OCI_MANIFEST)]), "multi")
    assert (answer.status, answer.codes) == (404, ["MANIFEST_BLOB_UNKNOWN"])
    assert answer.detail == [{"digest": digest_of(b"later")}]


def test_sparse_index_is_linked_when_its_child_comes(registry, settings):
    settings.INDEX_PLATFORMS = frozenset()
    payload = encode(image_manifest(layers=[b"layer"]))
    registry.push_manifest(index_manifest([descriptor(payload, media_types.OCI_MANIFEST)]), "sparse")
    assert ManifestChild.objects.get().child is None
    image = registry.push_image(None)
    assert ManifestChild.objects.get().child.digest == image.digest == digest_of(payload)


def test_child_in_another_repository_fills_no_link(registry, settings):
    settings.INDEX_PLATFORMS = frozenset()
    payload = encode(image_manifest(layers=[b"layer"]))
    registry.push_manifest(index_manifest([descriptor(payload, media_types.OCI_MANIFEST)]), "sparse")
    registry.push_image(None, "bob/other")
    assert ManifestChild.objects.get().child is None


def test_only_listed_platforms_must_be_there(registry, settings):
    settings.INDEX_PLATFORMS = frozenset({"linux/amd64"})

    def push(architecture):
        platform = {"os": "linux", "architecture": architecture, "variant": "v8"}
        return registry.put_manifest(
            index_manifest([descriptor(b"x", media_types.OCI_MANIFEST, platform=platform)]), "i"
        )

    assert push("arm64").status == 201
    assert push("amd64").codes == ["MANIFEST_BLOB_UNKNOWN"]


def test_index_of_many_entries(registry, settings):
    settings.INDEX_PLATFORMS = frozenset()
    children = [
        {"mediaType": media_types.OCI_MANIFEST, "digest": f"sha256:{number:064x}", "size": 1} for number in range(5000)
    ]
    registry.push_manifest(index_manifest(children), "many")
    assert ManifestChild.objects.count() == 5000
