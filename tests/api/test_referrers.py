"""The referrers list (end-12)."""

import json
import re

import pytest

from oci import media_types
from repositories.api.responses import REFERRERS_PAGE_BYTES
from tests.factories import ABSENT, NAME, descriptor, digest_of, encode, image_manifest, index_manifest

pytestmark = pytest.mark.django_db
SIGNATURE, SBOM = "application/vnd.example.signature", "application/vnd.example.sbom"
PATH = f"/v2/{NAME}/referrers"


@pytest.fixture
def subject(registry):
    return registry.push_image("latest")


def attach(registry, subject, number=0, **more):
    registry.push_blob(b"{}")
    document = image_manifest(subject=subject.descriptor(), **more)
    document["annotations"] = {"number": str(number)} | document.get("annotations", {})
    return registry.push_manifest(document)


def descriptors(answer):
    assert answer.status == 200, answer
    index = answer.json()
    assert (index["schemaVersion"], index["mediaType"]) == (2, media_types.OCI_INDEX)
    assert answer.headers["Content-Type"] == media_types.OCI_INDEX
    return index["manifests"]


@pytest.mark.parametrize("digest", [ABSENT, "sha512:" + "0" * 128])
@pytest.mark.parametrize("name", [NAME, "no/such"])
def test_nothing_refers_is_an_empty_index_even_for_an_unknown_repository(registry, subject, name, digest):
    answer = registry.get(f"/v2/{name}/referrers/{digest}")
    assert descriptors(answer) == []
    assert "Link" not in answer.headers


@pytest.mark.parametrize("digest", ["sha256:xyz", "latest", "md5:d41d8cd98f00b204e9800998ecf8427e"])
def test_malformed_digest_is_400(registry, digest):
    answer = registry.get(f"{PATH}/{digest}")
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


def test_describes_each_referrer_exactly(registry, subject):
    signature = attach(registry, subject, artifactType=SIGNATURE, annotations={"org.example": "é", "empty": ""})
    answer = registry.get(f"{PATH}/{subject.digest}")
    assert descriptors(answer) == [
        {
            "mediaType": media_types.OCI_MANIFEST,
            "digest": signature.digest,
            "size": len(signature.payload),
            "artifactType": SIGNATURE,
            "annotations": {"number": "0", "org.example": "é", "empty": ""},
        }
    ]


def test_artifact_type_falls_back_to_the_config_but_not_for_an_index(registry, subject):
    image = attach(registry, subject)
    index = registry.push_manifest(index_manifest(subject=subject.descriptor()))
    typed = registry.push_manifest(index_manifest(subject=subject.descriptor(), artifactType=SBOM))
    found = {item["digest"]: item.get("artifactType") for item in descriptors(registry.get(f"{PATH}/{subject.digest}"))}
    assert found == {image.digest: "application/vnd.oci.image.config.v1+json", index.digest: None, typed.digest: SBOM}


def test_filter_by_artifact_type(registry, subject):
    signature = attach(registry, subject, artifactType=SIGNATURE)
    attach(registry, subject, artifactType=SBOM)
    image = attach(registry, subject, number=1)
    path = f"{PATH}/{subject.digest}?artifactType="
    answer = registry.get(path + SIGNATURE)
    assert [item["digest"] for item in descriptors(answer)] == [signature.digest]
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    by_config = registry.get(path + "application/vnd.oci.image.config.v1%2Bjson")
    assert [item["digest"] for item in descriptors(by_config)] == [image.digest]
    nothing = registry.get(path + "application/no-such")
    assert (descriptors(nothing), nothing.headers["OCI-Filters-Applied"]) == ([], "artifactType")
    assert "OCI-Filters-Applied" not in registry.get(f"{PATH}/{subject.digest}").headers


def test_referrer_may_come_before_its_subject(registry):
    payload = encode(image_manifest(layers=[b"layer"]))
    registry.push_blob(b"{}")
    signature = registry.push_manifest(image_manifest(subject=descriptor(payload, media_types.OCI_MANIFEST)))
    assert [item["digest"] for item in descriptors(registry.get(f"{PATH}/{digest_of(payload)}"))] == [signature.digest]


def test_referrers_stay_when_the_subject_goes_and_go_when_they_are_deleted(registry, subject):
    signature = attach(registry, subject)
    registry.delete(f"/v2/{NAME}/manifests/{subject.digest}")
    assert len(descriptors(registry.get(f"{PATH}/{subject.digest}"))) == 1
    registry.delete(f"/v2/{NAME}/manifests/{signature.digest}")
    assert descriptors(registry.get(f"{PATH}/{subject.digest}")) == []


def test_other_repositories_do_not_show(registry, subject):
    registry.push_image("latest", "bob/other")
    registry.push_blob(b"{}", "bob/other")
    registry.push_manifest(image_manifest(subject=subject.descriptor()), None, "bob/other")
    assert descriptors(registry.get(f"{PATH}/{subject.digest}")) == []


def walk(registry, path):
    """The pages of a chain: (body's length, descriptors)."""
    pages = []
    while path:
        answer = registry.get(path)
        pages.append((len(answer.body), descriptors(answer)))
        link = answer.headers.get("Link")
        path = link and re.fullmatch(r'<(/v2/[^>]+)>; rel="next"', link)[1]
    return pages


def test_pages_are_cut_by_bytes(registry, subject):
    pushed = [attach(registry, subject, number, annotations={"big": "x" * 1_000_000}) for number in range(8)]
    pages = walk(registry, f"{PATH}/{subject.digest}")
    assert [item["digest"] for _, page in pages for item in page] == [item.digest for item in pushed]
    assert [len(page) for _, page in pages] == [3, 3, 2]
    assert all(size <= 4 * 1024 * 1024 for size, _ in pages)


@pytest.mark.parametrize("text", ["x", "é", "\U0001f6a2"])
def test_no_byte_of_a_page_goes_uncounted(registry, subject, monkeypatch, text):
    """Between its first and its last byte: descriptors, what separates them, and what stands around them."""
    monkeypatch.setattr("repositories.api.responses.REFERRERS_PAGE_BYTES", 2000)
    pushed = [attach(registry, subject, number, annotations={"a": text * (number + 1)}) for number in range(24)]
    pages = walk(registry, f"{PATH}/{subject.digest}")
    assert [item["digest"] for _, page in pages for item in page] == [item.digest for item in pushed]
    assert all(len(page) > 1 for _, page in pages[:-1])
    assert max(size for size, _ in pages) <= 2000


def test_one_referrer_larger_than_a_page_still_comes(registry, subject):
    big = attach(registry, subject, annotations={"big": "x" * (REFERRERS_PAGE_BYTES + 1000)})
    small = attach(registry, subject, 1)
    pages = walk(registry, f"{PATH}/{subject.digest}")
    assert [[item["digest"] for item in page] for _, page in pages] == [[big.digest], [small.digest]]


def test_text_that_json_escapes_counts_as_it_is_sent(registry, subject):
    for number in range(4):
        attach(registry, subject, number, annotations={"big": "é" * 400_000})
    pages = walk(registry, f"{PATH}/{subject.digest}")
    assert sum(len(page) for _, page in pages) == 4
    assert all(size <= 4 * 1024 * 1024 for size, _ in pages)


@pytest.mark.parametrize("query", ["", f"&artifactType={SIGNATURE}"])
def test_n_bounds_every_page_of_the_chain(registry, subject, query):
    pushed = [attach(registry, subject, number, artifactType=SIGNATURE) for number in range(5)]
    attach(registry, subject, artifactType=SBOM)
    pages = walk(registry, f"{PATH}/{subject.digest}?n=2{query}")
    seen = [item["digest"] for _, page in pages for item in page]
    assert seen[:5] == [item.digest for item in pushed]
    assert len(seen) == (5 if query else 6)
    assert [len(page) for _, page in pages] == ([2, 2, 1] if query else [2, 2, 2])


def test_n_of_zero_is_an_empty_page_without_link(registry, subject):
    attach(registry, subject)
    answer = registry.get(f"{PATH}/{subject.digest}?n=0")
    assert (descriptors(answer), "Link" in answer.headers) == ([], False)


@pytest.mark.parametrize("query", ["n=x", "n=-1", "last=abc", "last=-1", "n=1&n=2", "artifactType=a&artifactType=b"])
def test_parameters_that_cannot_be_read_are_400(registry, subject, query):
    assert registry.get(f"{PATH}/{subject.digest}?{query}").status == 400


def test_annotations_are_json_of_their_own(registry, subject):
    """Sorting, escaping and repeating are the stored document's; only its meaning must survive."""
    annotations = {"b": '"quoted"', "a": "\\ \n \u2028", "number": "0"}
    attach(registry, subject, annotations=annotations)
    (item,) = descriptors(registry.get(f"{PATH}/{subject.digest}"))
    assert json.loads(json.dumps(item["annotations"])) == annotations
