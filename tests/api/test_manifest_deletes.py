"""Deleting tags and manifests (end-9)."""

import pytest

from repositories.models import Manifest
from tests.factories import NAME, index_manifest

pytestmark = pytest.mark.django_db
MANIFESTS = f"/v2/{NAME}/manifests"


def test_delete_by_tag_leaves_its_siblings(registry):
    image = registry.push_image("one")
    registry.push_image("two")
    assert registry.delete(f"{MANIFESTS}/one").status == 202
    assert registry.tags() == ["two"]
    assert registry.get(f"{MANIFESTS}/two").body == image.payload
    assert registry.get(f"{MANIFESTS}/{image.digest}").status == 200
    assert registry.delete(f"{MANIFESTS}/one").status == 404


def test_delete_by_last_tag_leaves_the_manifest(registry):
    image = registry.push_image("only")
    registry.delete(f"{MANIFESTS}/only")
    assert registry.get(f"{MANIFESTS}/{image.digest}").status == 200


def test_delete_by_digest_takes_all_its_tags(registry):
    image = registry.push_image("one")
    registry.push_image("two")
    other = registry.push_image("other", layers=[b"other"])
    assert registry.delete(f"{MANIFESTS}/{image.digest}").status == 202
    assert registry.tags() == ["other"]
    for reference in ("one", "two", image.digest):
        assert registry.get(f"{MANIFESTS}/{reference}").status == 404
        assert registry.head(f"{MANIFESTS}/{reference}").status == 404
    assert registry.get(f"{MANIFESTS}/other").body == other.payload
    assert registry.delete(f"{MANIFESTS}/{image.digest}").status == 404


def test_deleted_manifest_comes_back_when_it_is_pushed_again(registry):
    image = registry.push_image("one")
    registry.delete(f"{MANIFESTS}/{image.digest}")
    again = registry.push_image("two")
    assert again.digest == image.digest
    assert registry.get(f"{MANIFESTS}/{image.digest}").body == image.payload
    assert registry.tags() == ["two"]
    assert Manifest.objects.get().deleted_at is None


def test_child_and_index_may_be_deleted_in_any_order(registry):
    image = registry.push_image(None)
    index = registry.push_manifest(index_manifest([image.descriptor()]), "multi")
    assert registry.delete(f"{MANIFESTS}/{image.digest}").status == 202
    assert registry.get(f"{MANIFESTS}/multi").body == index.payload
    assert registry.delete(f"{MANIFESTS}/{index.digest}").status == 202


def test_deleted_child_does_not_count_for_an_index(registry):
    image = registry.push_image(None)
    registry.delete(f"{MANIFESTS}/{image.digest}")
    answer = registry.put_manifest(index_manifest([image.descriptor()]), "multi")
    assert (answer.status, answer.codes) == (404, ["MANIFEST_BLOB_UNKNOWN"])


def test_delete_disabled_is_405(registry, settings):
    image = registry.push_image()
    settings.DELETE_ENABLED = False
    for reference in ("latest", image.digest, "no-such"):
        answer = registry.delete(f"{MANIFESTS}/{reference}")
        assert (answer.status, answer.codes, answer.headers["Allow"]) == (405, ["UNSUPPORTED"], "GET, HEAD")
