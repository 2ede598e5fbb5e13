"""Manifests: pushing, reading, deleting (end-3, end-7, end-9)."""

import re

import pytest

from oci import media_types
from oci.documents import MAX_SIZE
from registry_project.settings import UrlRules
from repositories.models import Manifest, ManifestBlob, Tag, TagHistory
from tests.factories import ABSENT, LAYER, NAME, descriptor, digest_of, encode, image_manifest, index_manifest

pytestmark = pytest.mark.django_db
MANIFESTS = f"/v2/{NAME}/manifests"


@pytest.mark.parametrize("reference", ["latest", None])
def test_push_answers_with_where_it_is(registry, reference):
    pushed = registry.push_image(reference)
    headers = pushed.answer.headers
    assert headers["Docker-Content-Digest"] == digest_of(pushed.payload)
    assert headers["Location"] == f"{MANIFESTS}/{pushed.digest}"
    assert "OCI-Tag" not in headers
    assert "OCI-Subject" not in headers
    assert pushed.answer.body == b""


@pytest.mark.parametrize("reference", ["latest", "digest"])
def test_serves_the_exact_bytes(registry, reference):
    document = b'{ "schemaVersion":2,\n\t"layers":[], "config":%s , "x": 1.50e1 }' % encode(descriptor(b"{}"))
    registry.push_blob(b"{}")
    pushed = registry.put_manifest(document, "latest", Content_Type=media_types.OCI_MANIFEST)
    digest = pushed.headers["Docker-Content-Digest"]
    answer = registry.get(f"{MANIFESTS}/{digest if reference == 'digest' else reference}")
    assert (answer.status, answer.body) == (200, document)
    assert answer.headers["Content-Type"] == media_types.OCI_MANIFEST
    assert answer.headers["Content-Length"] == str(len(document))
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["ETag"] == f'"{digest}"'


@pytest.mark.parametrize("reference", ["latest", "digest"])
def test_head_answers_as_get_without_a_body(registry, reference):
    pushed = registry.push_image()
    path = f"{MANIFESTS}/{pushed.digest if reference == 'digest' else reference}"
    head, get = registry.head(path), registry.get(path)
    assert (head.status, head.body) == (200, b"")
    assert dict(head.headers) == dict(get.headers)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("value", ['"{}"', "{}", 'W/"{}"', '"x", "{}"', "*"])
def test_not_modified(registry, method, value):
    pushed = registry.push_image()
    answer = registry.request(method, f"{MANIFESTS}/latest", If_None_Match=value.format(pushed.digest))
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["Docker-Content-Digest"] == pushed.digest


def test_accept_is_ignored(registry):
    registry.push_image()
    answer = registry.get(f"{MANIFESTS}/latest", Accept=media_types.DOCKER_LIST)
    assert (answer.status, answer.headers["Content-Type"]) == (200, media_types.OCI_MANIFEST)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
@pytest.mark.parametrize("reference", ["no-such-tag", ABSENT, "sha256-" + "0" * 64])
def test_unknown_manifest_is_404(registry, method, reference):
    registry.push_image()
    answer = registry.request(method, f"{MANIFESTS}/{reference}")
    assert answer.status == 404
    assert method == "HEAD" or answer.codes == ["MANIFEST_UNKNOWN"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_unknown_repository_is_404(registry, method):
    answer = registry.request(method, "/v2/no/such/manifests/latest")
    assert (answer.status, answer.codes) == (404, ["NAME_UNKNOWN"])


BAD_DIGESTS = ["sha256:baddigeststring", "sha256:" + "A" * 64, "md5:d41d8cd98f00b204e9800998ecf8427e", ":"]
BAD_TAGS = ["a" * 129, "-tag", "ta%20g", "tag%00", "tag%0A", ".", "%C3%A9"]


@pytest.mark.parametrize("reference", BAD_DIGESTS)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_digest_that_is_none_is_400(registry, method, reference):
    body = encode(image_manifest()) if method == "PUT" else b""
    answer = registry.request(method, f"{MANIFESTS}/{reference}", body, Content_Type=media_types.OCI_MANIFEST)
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


@pytest.mark.parametrize("reference", BAD_TAGS)
def test_tag_that_is_none_cannot_be_pushed_and_is_never_found(registry, reference):
    registry.push_image()
    put = registry.put_manifest(image_manifest(), reference)
    assert (put.status, put.codes) == (400, ["TAG_INVALID"])
    get = registry.get(f"{MANIFESTS}/{reference}")
    assert (get.status, get.codes) == (404, ["MANIFEST_UNKNOWN"])
    assert registry.head(f"{MANIFESTS}/{reference}").status == 404
    assert registry.delete(f"{MANIFESTS}/{reference}").status in {400, 404}
    assert registry.tags() == ["latest"]


@pytest.mark.parametrize("method", ["PUT", "GET"])
@pytest.mark.parametrize(
    "name", ["UPPER/case", "a//b", "a/-b", "a" * 256, "a/b_", "a/../b", "a/%2e%2e/b", "a%00b", "é"]
)
def test_invalid_name_is_400(registry, method, name):
    answer = registry.request(method, f"/v2/{name}/manifests/latest", b"{}" if method == "PUT" else b"")
    assert (answer.status, answer.codes) == (400, ["NAME_INVALID"])


@pytest.mark.parametrize(
    "name", ["x/manifests/y", "a/blobs/uploads", "foo/tags", "one", "a" * 255, "tags/list", "_".join("ab")]
)
def test_names_are_read_from_the_right(registry, name):
    pushed = registry.push_image("latest", name)
    assert registry.get(f"/v2/{name}/manifests/latest").body == pushed.payload
    assert registry.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["latest"]}


def test_push_by_digest_makes_no_tag(registry):
    registry.push_image(None)
    assert registry.tags() == []


def test_push_by_another_digest_is_400(registry):
    registry.push_blob(b"{}")
    answer = registry.put_manifest(image_manifest(), digest_of(b"other"))
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    assert not Manifest.objects.exists()


def test_sha512_is_answered_as_it_was_asked(registry):
    registry.push_blob(b"{}")
    payload = encode(image_manifest())
    digest = digest_of(payload, "sha512")
    answer = registry.put_manifest(image_manifest(), f"{digest}?tag=strong")
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest)
    for reference in (digest, "strong"):
        head = registry.head(f"{MANIFESTS}/{reference}")
        assert (head.status, head.headers["Docker-Content-Digest"]) == (200, digest)
    assert registry.head(f"{MANIFESTS}/{digest_of(payload)}").status == 404


def test_tag_parameters_name_a_manifest_many_times(registry):
    registry.push_blob(b"{}")
    names = [f"v{number}" for number in range(12)]
    digest = digest_of(encode(image_manifest()))
    answer = registry.put_manifest(image_manifest(), f"{digest}?{'&'.join(f'tag={name}' for name in names)}")
    assert answer.status == 201
    assert answer.headers["OCI-Tag"].split(", ") == names
    assert registry.tags() == sorted(names)
    assert {registry.head(f"{MANIFESTS}/{name}").headers["Docker-Content-Digest"] for name in names} == {digest}


def test_tag_that_is_named_twice_is_told_once(registry):
    registry.push_blob(b"{}")
    digest = digest_of(encode(image_manifest()))
    answer = registry.put_manifest(image_manifest(), f"{digest}?tag=b&tag=a&tag=b")
    assert (answer.status, answer.headers["OCI-Tag"]) == (201, "b, a")


def test_invalid_tag_parameter_stores_nothing(registry):
    registry.push_blob(b"{}")
    answer = registry.put_manifest(image_manifest(), f"{digest_of(encode(image_manifest()))}?tag=good&tag=b%20d")
    assert (answer.status, answer.codes) == (400, ["TAG_INVALID"])
    assert not Manifest.objects.exists()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "status"), [(MAX_SIZE, 201), (MAX_SIZE + 1, 413)])
def test_four_mebibytes_are_the_most(registry, chunked, size, status):
    registry.push_blob(b"{}")
    empty = encode(image_manifest(annotations={"fill": ""}))
    payload = empty.replace(b'"fill":""', b'"fill":"' + b"x" * (size - len(empty)) + b'"')
    assert len(payload) == size
    answer = registry.put(f"{MANIFESTS}/big", payload, chunked=chunked, Content_Type=media_types.OCI_MANIFEST)
    assert answer.status == status
    if status == 201:
        assert registry.get(f"{MANIFESTS}/big").body == payload
    else:
        assert answer.codes == ["MANIFEST_INVALID"]


@pytest.mark.parametrize("chunked", [False, True])
def test_streamed_manifest(registry, chunked):
    registry.push_blob(b"{}")
    answer = registry.put(f"{MANIFESTS}/latest", encode(image_manifest()), chunked=chunked)
    assert answer.status == 201


def test_truncated_manifest_is_400(registry):
    registry.push_blob(b"{}")
    payload = encode(image_manifest())
    answer = registry.put(f"{MANIFESTS}/latest", payload, length=len(payload) + 1)
    assert (answer.status, answer.codes) == (400, ["SIZE_INVALID"])
    assert not Manifest.objects.exists()


@pytest.mark.parametrize("payload", [b"", b"no json", b"[]", b"null", b'{"schemaVersion":2', b'{"a":1,"a":2}', b"{}"])
def test_document_that_is_none_is_400(registry, payload):
    answer = registry.put(f"{MANIFESTS}/latest", payload, Content_Type=media_types.OCI_MANIFEST)
    assert (answer.status, answer.codes) == (400, ["MANIFEST_INVALID"])


@pytest.mark.parametrize(
    ("content_type", "own", "served"),
    [
        (media_types.OCI_MANIFEST, media_types.OCI_MANIFEST, media_types.OCI_MANIFEST),
        (f"{media_types.OCI_MANIFEST}; charset=utf-8", media_types.OCI_MANIFEST, media_types.OCI_MANIFEST),
        ("", media_types.DOCKER_MANIFEST, media_types.DOCKER_MANIFEST),
        (media_types.DOCKER_MANIFEST, None, media_types.DOCKER_MANIFEST),
        ("", None, media_types.OCI_MANIFEST),
        ("application/vnd.example.thing+json", None, "application/vnd.example.thing+json"),
    ],
)
def test_media_type_is_the_requests_else_the_documents_else_inferred(registry, content_type, own, served):
    registry.push_blob(b"{}")
    document = image_manifest()
    del document["mediaType"]
    if own:
        document["mediaType"] = own
    assert registry.put_manifest(document, "latest", Content_Type=content_type).status == 201
    assert registry.head(f"{MANIFESTS}/latest").headers["Content-Type"] == served


def test_media_types_that_disagree_are_400(registry):
    registry.push_blob(b"{}")
    answer = registry.put_manifest(image_manifest(), "latest", Content_Type=media_types.DOCKER_MANIFEST)
    assert (answer.status, answer.codes) == (400, ["MANIFEST_INVALID"])


def test_config_type_too_long_to_store_is_400(registry):
    registry.push_blob(b"{}")
    answer = registry.put_manifest(
        image_manifest() | {"config": descriptor(b"{}", "application/" + "x" * 300)}, "latest"
    )
    assert (answer.status, answer.codes) == (400, ["MANIFEST_INVALID"])


def test_absent_blobs_are_all_named(registry):
    registry.push_blob(b"{}")
    answer = registry.put_manifest(image_manifest(layers=[b"one", b"two", b"three"]), "latest")
    assert (answer.status, answer.codes) == (404, ["MANIFEST_BLOB_UNKNOWN"])
    assert answer.detail == [{"digest": digest} for digest in sorted(map(digest_of, (b"one", b"two", b"three")))]
    assert not Manifest.objects.exists()
    assert not Tag.objects.exists()


def test_blob_of_another_repository_does_not_count(registry):
    registry.push_blob(b"{}", "bob/other")
    registry.start_upload()
    assert registry.put_manifest(image_manifest(), "latest").codes == ["MANIFEST_BLOB_UNKNOWN"]


def test_absent_layer_that_lives_elsewhere_is_accepted(registry):
    registry.push_blob(b"{}")
    for media_type in media_types.NON_DISTRIBUTABLE_LAYERS:
        layer = descriptor(b"elsewhere", media_type, urls=["https://example.org/layer"])
        assert registry.put_manifest(image_manifest() | {"layers": [layer]}, "latest").status == 201
    without_address = descriptor(b"elsewhere", next(iter(media_types.NON_DISTRIBUTABLE_LAYERS)))
    assert registry.put_manifest(image_manifest() | {"layers": [without_address]}, "latest").status == 404


def test_absent_subject_is_accepted_and_told(registry):
    pushed = registry.push_image(subject=descriptor(b"later", media_types.OCI_MANIFEST))
    assert pushed.answer.headers["OCI-Subject"] == digest_of(b"later")
    index = registry.push_manifest(index_manifest(subject=descriptor(b"later", media_types.OCI_MANIFEST)))
    assert index.answer.headers["OCI-Subject"] == digest_of(b"later")


def test_unknown_fields_inline_data_and_no_layers_are_kept(registry):
    pushed = registry.push_image(layers=[], org={"example": [1, None]}, artifactType="application/x")
    assert registry.get(f"{MANIFESTS}/latest").body == pushed.payload
    document = image_manifest() | {"config": descriptor(b"{}", media_types.OCI_EMPTY, data="e30="), "layers": None}
    assert registry.put_manifest(document, "data").status == 201


@pytest.mark.parametrize(
    ("allow", "deny", "url", "status"),
    [
        ((), (), "https://example.org/x", 201),
        ((), (), "ftp://example.org/x", 400),
        ((), (), "https://example.org/x#fragment", 400),
        ((), (), "https://[no-address/x", 400),
        ((), (), "", 400),
        ((r"^https://good\.example/",), (), "https://good.example/x", 201),
        ((r"^https://good\.example/",), (), "https://bad.example/x", 400),
        ((), (r"bad\.example",), "https://bad.example/x", 400),
        ((), (r"bad\.example",), "https://good.example/x", 201),
        ((r"example",), (r"bad",), "https://bad.example/x", 400),
    ],
)
def test_addresses_of_layers_follow_the_rules(registry, settings, allow, deny, url, status):
    settings.MANIFEST_URLS = UrlRules(tuple(map(re.compile, allow)), tuple(map(re.compile, deny)))
    registry.push_blob(b"{}")
    layer = descriptor(b"x", "application/vnd.oci.image.layer.nondistributable.v1.tar", urls=[url])
    answer = registry.put_manifest(image_manifest() | {"layers": [layer]}, "latest")
    assert answer.status == status
    if status == 400:
        assert answer.codes == ["MANIFEST_INVALID"]
        assert answer.detail["url"] == url


def test_no_rules_when_validation_is_off(registry, settings):
    settings.MANIFEST_URLS = None
    registry.push_blob(b"{}")
    layer = descriptor(b"x", "application/vnd.oci.image.layer.nondistributable.v1.tar", urls=["ftp://example.org"])
    assert registry.put_manifest(image_manifest() | {"layers": [layer]}, "latest").status == 201


def test_tag_moves_to_the_newest_push(registry):
    old = registry.push_image("latest", layers=[b"old"])
    new = registry.push_image("latest", layers=[b"new"])
    assert registry.get(f"{MANIFESTS}/latest").body == new.payload
    assert registry.get(f"{MANIFESTS}/{old.digest}").body == old.payload


def test_repeated_push_changes_nothing_that_a_client_sees(registry):
    first, second = registry.push_image(), registry.push_image()
    assert dict(first.answer.headers) == dict(second.answer.headers)
    assert (Manifest.objects.count(), Tag.objects.count(), TagHistory.objects.count()) == (1, 1, 0)
    assert ManifestBlob.objects.count() == 2


@pytest.mark.parametrize("parameter", ["ns=mirror.example", "anything=1&anything=2"])
def test_unknown_parameters_are_let_pass(registry, parameter):
    registry.push_image()
    assert registry.get(f"{MANIFESTS}/latest?{parameter}").status == 200


def test_same_layer_many_times_is_one_reference(registry):
    registry.push_image(layers=[b"layer", b"layer", b"{}"])
    assert sorted(ManifestBlob.objects.values_list("role", flat=True)) == ["config", "layer", "layer"]
    assert Manifest.objects.get().total_size == 2 + 5 + 5 + 2


def test_stored_facts(registry):
    image = registry.push_image(
        artifactType="application/vnd.example", annotations={"a": "ü", "b": ""}, subject=descriptor(b"s", LAYER)
    )
    manifest = Manifest.objects.get()
    assert bytes(manifest.payload) == image.payload
    assert manifest.size == len(image.payload)
    assert manifest.artifact_type == "application/vnd.example"
    assert (manifest.config_digest, manifest.config_media_type) == (
        digest_of(b"{}"),
        "application/vnd.oci.image.config.v1+json",
    )
    assert manifest.subject_digest == digest_of(b"s")
    assert manifest.annotations == {"a": "ü", "b": ""}
