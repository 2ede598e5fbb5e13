"""What the registry reads from manifests and indexes, strictly for known types and leniently for others."""

import json
import sys

import pytest

from oci import media_types
from oci.documents import parse_manifest
from oci.errors import ManifestInvalid
from tests.factories import CONFIG, LAYER, descriptor, digest_of, encode, image_manifest, index_manifest

CUSTOM = "application/vnd.example.thing+json"


def without(document, *fields):
    return {key: value for key, value in document.items() if key not in fields}


def parse(document, content_type=""):
    return parse_manifest(encode(document), content_type)


def test_reads_an_image():
    subject = descriptor(b"subject", media_types.OCI_MANIFEST)
    document = image_manifest(
        b"{}", [b"one", b"three"], subject=subject, annotations={"a": "b"}, artifactType="application/x"
    )
    read = parse(document)
    assert (read.media_type, read.artifact_type) == (media_types.OCI_MANIFEST, "application/x")
    assert (str(read.config.digest), read.config.media_type, read.config.size) == (digest_of(b"{}"), CONFIG, 2)
    assert [str(layer.digest) for layer in read.layers] == [digest_of(b"one"), digest_of(b"three")]
    assert str(read.subject) == digest_of(b"subject")
    assert read.annotations == {"a": "b"}
    assert read.total_size == 2 + 3 + 5
    assert read.children == ()


def test_reads_an_index():
    platform = {"os": "linux", "architecture": "arm64", "variant": "v8", "os.version": "1"}
    document = index_manifest([descriptor(b"x", media_types.OCI_MANIFEST, platform=platform), descriptor(b"blob")])
    read = parse(document)
    assert read.media_type == media_types.OCI_INDEX
    assert [child.platform for child in read.children] == ["linux/arm64/v8", ""]
    assert (read.config, read.layers) == (None, ())


@pytest.mark.parametrize("media_type", sorted(media_types.IMAGE_MANIFESTS))
@pytest.mark.parametrize("layers", [[], None])
def test_reads_an_image_without_layers(media_type, layers):
    assert parse(image_manifest() | {"mediaType": media_type, "layers": layers}).layers == ()


@pytest.mark.parametrize("media_type", sorted(media_types.INDEXES))
@pytest.mark.parametrize("manifests", [[], None])
def test_reads_an_index_without_entries(media_type, manifests):
    assert parse(index_manifest() | {"mediaType": media_type, "manifests": manifests}).children == ()


@pytest.mark.parametrize(
    ("own", "content_type", "expected"),
    [
        (None, "", media_types.OCI_MANIFEST),
        (media_types.DOCKER_MANIFEST, "", media_types.DOCKER_MANIFEST),
        (None, media_types.DOCKER_MANIFEST, media_types.DOCKER_MANIFEST),
        (None, f" {media_types.DOCKER_MANIFEST} ; charset=utf-8", media_types.DOCKER_MANIFEST),
        (media_types.OCI_MANIFEST, media_types.OCI_MANIFEST.upper(), media_types.OCI_MANIFEST),
        ("", CUSTOM, CUSTOM),
    ],
)
def test_media_type(own, content_type, expected):
    document = without(image_manifest(), "mediaType") | ({} if own is None else {"mediaType": own})
    assert parse(document, content_type).media_type == expected


def test_media_type_of_a_bare_index_is_inferred():
    assert parse(without(index_manifest(), "mediaType")).media_type == media_types.OCI_INDEX


BAD_DESCRIPTORS = {
    "null": None,
    "string": "x",
    "list": [],
    "empty": {},
    "digest not text": descriptor(b"x") | {"digest": 1},
    "digest malformed": descriptor(b"x") | {"digest": "sha256:xyz"},
    "digest unsupported": descriptor(b"x") | {"digest": "md5:d41d8cd98f00b204e9800998ecf8427e"},
    "size missing": without(descriptor(b"x"), "size"),
    "size text": descriptor(b"x") | {"size": "1"},
    "size negative": descriptor(b"x") | {"size": -1},
    "size fraction": descriptor(b"x") | {"size": 1.5},
    "size true": descriptor(b"x") | {"size": True},
    "size huge": descriptor(b"x") | {"size": 2**63},
    "type not text": descriptor(b"x") | {"mediaType": 5},
    "type too long": descriptor(b"x") | {"mediaType": "application/" + "x" * 300},
}


@pytest.mark.parametrize("name", BAD_DESCRIPTORS)
def test_known_types_have_their_descriptors_checked(name):
    bad = BAD_DESCRIPTORS[name]
    documents = [image_manifest() | {"layers": [descriptor(b"a"), bad]}, index_manifest([bad])]
    if bad is not None:
        documents += [image_manifest() | {"config": bad}, image_manifest() | {"subject": bad}]
    for document in documents:
        with pytest.raises(ManifestInvalid):
            parse(document)


@pytest.mark.parametrize("name", BAD_DESCRIPTORS)
def test_unknown_types_are_read_leniently(name):
    bad = BAD_DESCRIPTORS[name]
    document = {"layers": [bad, descriptor(b"good")], "config": bad, "subject": bad, "annotations": {"a": 1}}
    read = parse(document, CUSTOM)
    assert read.media_type == CUSTOM
    assert digest_of(b"good") in {str(layer.digest) for layer in read.layers}
    assert read.annotations == {}


def test_unknown_types_have_what_they_name_followed():
    document = {"blobs": [descriptor(b"a")], "layers": [descriptor(b"b")], "config": descriptor(b"c")}
    read = parse(document, media_types.OCI_ARTIFACT_MANIFEST)
    assert {str(item.digest) for item in read.descriptors()} == {digest_of(content) for content in (b"a", b"b", b"c")}


MIXED = {
    "index with layers": index_manifest() | {"layers": []},
    "index with config": index_manifest() | {"config": descriptor(b"{}", CONFIG)},
    "image with manifests": image_manifest() | {"manifests": []},
    "unknown type with both": {"mediaType": CUSTOM, "layers": [], "manifests": []},
    "no type with both": without(image_manifest(), "mediaType") | {"manifests": []},
    "both, in other capitals": image_manifest() | {"Manifests": []},
    "index with layers, in other capitals": index_manifest() | {"Layers": [], "Config": descriptor(b"{}")},
    "two spellings of layers": image_manifest() | {"Layers": []},
    "two spellings of mediaType": image_manifest() | {"mediatype": media_types.OCI_INDEX},
    "two spellings of subject": image_manifest(subject=descriptor(b"x")) | {"SUBJECT": descriptor(b"y")},
    "index that is called an image": index_manifest() | {"mediaType": media_types.OCI_MANIFEST},
    "image that is called an index": image_manifest() | {"mediaType": media_types.OCI_INDEX},
    "two spellings of a layer's digest": image_manifest()
    | {"layers": [descriptor(b"a") | {"Digest": digest_of(b"b")}]},
}


@pytest.mark.parametrize("name", MIXED)
def test_refuses_what_one_reader_takes_for_an_image_and_another_for_something_else(name):
    with pytest.raises(ManifestInvalid):
        parse(MIXED[name])


SHAPES = {
    "schema version missing": without(image_manifest(), "schemaVersion"),
    "schema version text": image_manifest() | {"schemaVersion": "2"},
    "schema version 3": image_manifest() | {"schemaVersion": 3},
    "config missing": without(image_manifest(), "config"),
    "config null": image_manifest() | {"config": None},
    "layers missing": without(image_manifest(), "layers"),
    "layers an object": image_manifest() | {"layers": {}},
    "manifests missing": without(index_manifest(), "manifests"),
    "manifests text": index_manifest() | {"manifests": "x"},
    "annotations a list": image_manifest() | {"annotations": []},
    "annotation a number": image_manifest() | {"annotations": {"a": 1}},
    "artifact type a number": image_manifest() | {"artifactType": 1},
    "artifact type too long": image_manifest() | {"artifactType": "x" * 256},
    "subject text": image_manifest() | {"subject": "sha256:" + "0" * 64},
    "media type a number": image_manifest() | {"mediaType": 1},
    "media type too long": image_manifest() | {"mediaType": "application/" + "x" * 300},
    "media type not ASCII": image_manifest() | {"mediaType": "application/é"},
    "media type with a line break": image_manifest() | {"mediaType": "application/x\r\nX-Evil: 1"},
    "schema 1": {"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": []},
    "schema 1, signed": {"mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws"},
    "schema 1, unsigned": {"mediaType": "application/vnd.docker.distribution.manifest.v1+json", "schemaVersion": 1},
}


@pytest.mark.parametrize("name", SHAPES)
def test_refuses_the_shape(name):
    with pytest.raises(ManifestInvalid):
        parse(SHAPES[name])


def test_type_in_the_request_must_be_the_documents():
    with pytest.raises(ManifestInvalid):
        parse(image_manifest(), media_types.OCI_INDEX)
    with pytest.raises(ManifestInvalid):
        parse(without(image_manifest(), "mediaType"), media_types.OCI_INDEX)


@pytest.mark.parametrize("media_type", [*sorted(media_types.NON_DISTRIBUTABLE_LAYERS), LAYER])
@pytest.mark.parametrize("urls", [None, [], "https://example.org", [1], ["https://example.org/x"]])
def test_only_foreign_layers_with_an_address_may_be_absent(media_type, urls):
    layer = descriptor(b"x", media_type) | ({} if urls is None else {"urls": urls})
    (read,) = parse(image_manifest() | {"layers": [layer]}).layers
    assert read.may_be_absent is (media_type != LAYER and urls == ["https://example.org/x"])


@pytest.mark.parametrize("media_type", [media_types.OCI_MANIFEST, CUSTOM])
def test_depth_does_not_bring_it_down(media_type):
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(ManifestInvalid):
        parse_manifest(b'{"x":' + deep + b"}", media_type)


def operations(count):
    """How many of the parser's own lines run for an index of `count` entries."""
    entry = {"mediaType": media_types.OCI_MANIFEST, "size": 1, "platform": {"os": "linux", "architecture": "amd64"}}
    payload = encode(index_manifest([entry | {"digest": f"sha256:{number:064x}"} for number in range(count)]))
    lines = 0

    def trace(frame, event, _argument):
        nonlocal lines
        if not frame.f_code.co_filename.endswith(("documents.py", "strict_json.py", "digests.py")):
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        parsed = parse_manifest(payload, "")
    finally:
        sys.settrace(before)
    assert len(parsed.children) == count
    return lines


def test_work_grows_with_the_entries_and_no_faster():
    small, large = operations(500), operations(5000)
    assert large < small * 10.5


def test_largest_index_that_fits_is_read():
    children = [{"mediaType": "x", "digest": f"sha256:{number:064x}", "size": 1} for number in range(38_000)]
    payload = encode(index_manifest(children))
    assert len(payload) <= 4 * 1024 * 1024
    assert parse_manifest(payload, "").total_size == 38_000


def test_sixty_thousand_small_entries_of_an_unknown_type():
    payload = json.dumps({"manifests": [{"digest": "sha256:x"}] * 60_000 + [descriptor(b"x")]}).encode()
    assert len(parse_manifest(payload, CUSTOM).children) == 1
