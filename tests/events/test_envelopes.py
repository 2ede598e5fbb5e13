"""Every event in the shape that receivers of CNCF Distribution's notifications know."""

import json
import re

import pytest

from events.envelopes import CONTENT_TYPE
from events.models import WebhookDelivery
from oci import media_types
from tests.factories import CONFIG, LAYER, NAME, descriptor, digest_of, encode, image_manifest, index_manifest

pytestmark = pytest.mark.django_db(transaction=True)

BLOB = "application/octet-stream"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def events(registry, endpoints):
    endpoints({})
    registry._client.defaults["HTTP_HOST"] = "testserver"

    def since(act):
        WebhookDelivery.objects.all().delete()
        answer = act()
        found = [json.loads(row.body) for row in WebhookDelivery.objects.order_by("id")]
        assert all(list(envelope) == ["events"] and len(envelope["events"]) == 1 for envelope in found)
        return answer, [envelope["events"][0] for envelope in found]

    return since


def targets(found):
    return [(event["action"], event["target"]) for event in found]


def manifest_target(pushed, *, tag=None, media_type=media_types.OCI_MANIFEST):
    size = len(pushed.payload)
    target = {
        "mediaType": media_type,
        "digest": pushed.digest,
        "size": size,
        "length": size,
        "repository": NAME,
        "url": f"http://testserver/v2/{NAME}/manifests/{pushed.digest}",
    }
    return target | ({"tag": tag} if tag else {})


def blob_target(content, **more):
    digest = digest_of(content)
    return {
        "mediaType": BLOB,
        "digest": digest,
        "size": len(content),
        "length": len(content),
        "repository": NAME,
        "url": f"http://testserver/v2/{NAME}/blobs/{digest}",
        **more,
    }


def deleted(**fields):
    return ("delete", {"mediaType": "", "digest": "", "size": 0, "repository": NAME, **fields})


def test_a_pushed_blob(registry, events):
    _, found = events(lambda: registry.push_blob(b"layer"))
    assert targets(found) == [("push", blob_target(b"layer"))]


def test_a_blob_pushed_in_a_session(registry, events):
    location = registry.start_upload()
    assert registry.patch(location, b"layer").status == 202
    _, found = events(lambda: registry.put(f"{location}?digest={digest_of(b'layer')}"))
    assert targets(found) == [("push", blob_target(b"layer"))]
    _, again = events(lambda: registry.put(f"{location}?digest={digest_of(b'layer')}"))
    assert again == []


def test_an_empty_blob_leaves_its_length_out(registry, events):
    _, found = events(lambda: registry.push_blob(b""))
    target = blob_target(b"")
    del target["length"]
    assert targets(found) == [("push", target)]


def test_a_mounted_blob_names_where_it_came_from(registry, events):
    registry.push_blob(b"layer", "bob/base")
    path = f"/v2/{NAME}/blobs/uploads/?mount={digest_of(b'layer')}"
    answer, found = events(lambda: registry.post(f"{path}&from=bob/base"))
    assert answer.status == 201
    assert targets(found) == [("mount", blob_target(b"layer", fromRepository="bob/base"))]


def test_a_mount_of_nothing_is_no_event(registry, events):
    path = f"/v2/{NAME}/blobs/uploads/?mount={digest_of(b'layer')}&from=bob/base"
    answer, found = events(lambda: registry.post(path))
    assert (answer.status, found) == (202, [])


def test_a_manifest_pushed_by_tag(registry, events):
    registry.push_image()
    pushed, found = events(lambda: registry.push_manifest(image_manifest(layers=[b"layer"]), "v1"))
    assert targets(found) == [("push", manifest_target(pushed, tag="v1"))]


def test_a_manifest_pushed_by_digest(registry, events):
    registry.push_image()
    pushed, found = events(lambda: registry.push_manifest(image_manifest(layers=[b"layer"])))
    assert targets(found) == [("push", manifest_target(pushed))]


def test_each_tag_of_one_push_is_an_event(registry, events):
    pushed = registry.push_image()
    path = f"/v2/{NAME}/manifests/{pushed.digest}?tag=a&tag=b"
    _, found = events(lambda: registry.put(path, pushed.payload, Content_Type=media_types.OCI_MANIFEST))
    assert targets(found) == [("push", manifest_target(pushed, tag=tag)) for tag in ("a", "b")]
    assert len({event["id"] for event in found}) == 2


def test_a_refused_push_is_no_event(registry, events):
    answer, found = events(lambda: registry.put_manifest(image_manifest(layers=[b"absent"]), "v1"))
    assert (answer.status, found) == (404, [])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_pulled_manifest(registry, events, method, by):
    pushed = registry.push_image("v1")
    reference = "v1" if by == "tag" else pushed.digest
    _, found = events(lambda: registry.request(method, f"/v2/{NAME}/manifests/{reference}"))
    assert targets(found) == [("pull", manifest_target(pushed, tag="v1" if by == "tag" else None))]


def test_what_the_client_has_already_is_not_pulled(registry, events):
    pushed = registry.push_image("v1")
    registry_path = f"/v2/{NAME}/manifests/v1"
    answer, found = events(lambda: registry.get(registry_path, If_None_Match=f'"{pushed.digest}"'))
    assert (answer.status, found) == (304, [])


def test_a_pulled_blob(registry, events):
    digest = registry.push_blob(b"layer")
    _, found = events(lambda: registry.get(f"/v2/{NAME}/blobs/{digest}", Range="bytes=0-1"))
    assert targets(found) == [("pull", blob_target(b"layer"))]


@pytest.mark.parametrize(("method", "headers"), [("HEAD", {}), ("GET", {"Range": "bytes=99-"})])
def test_a_blob_of_which_nothing_was_sent_is_not_pulled(registry, events, method, headers):
    digest = registry.push_blob(b"layer")
    _, found = events(lambda: registry.request(method, f"/v2/{NAME}/blobs/{digest}", **headers))
    assert found == []


def test_a_deleted_tag(registry, events):
    registry.push_image("v1")
    _, found = events(lambda: registry.delete(f"/v2/{NAME}/manifests/v1"))
    assert targets(found) == [deleted(tag="v1")]


def test_a_deleted_manifest_and_its_tags(registry, events):
    pushed = registry.push_image("v1")
    registry.push_manifest(pushed.payload, "v0")
    _, found = events(lambda: registry.delete(f"/v2/{NAME}/manifests/{pushed.digest}"))
    assert targets(found) == [deleted(digest=pushed.digest), deleted(tag="v0"), deleted(tag="v1")]


def test_a_deleted_blob(registry, events):
    digest = registry.push_blob(b"layer")
    answer, found = events(lambda: registry.delete(f"/v2/{NAME}/blobs/{digest}"))
    assert answer.status == 202
    assert targets(found) == [deleted(digest=digest)]


def test_what_every_event_tells(registry, events):
    _, (event,) = events(
        lambda: registry.post(
            f"/v2/{NAME}/blobs/uploads/?digest={digest_of(b'x')}", b"x", User_Agent="crane/1", X_Request_Id="proxy-7"
        )
    )
    assert list(event) == ["id", "timestamp", "action", "target", "request", "actor", "source"]
    assert UUID.fullmatch(event["id"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", event["timestamp"])
    assert event["request"] == {
        "id": "proxy-7",
        "addr": "127.0.0.1",
        "host": "testserver",
        "method": "POST",
        "useragent": "crane/1",
    }
    assert event["actor"] == {}
    assert UUID.fullmatch(event["source"]["instanceID"])
    assert re.fullmatch(r".+:5000", event["source"]["addr"])
    assert CONTENT_TYPE == "application/vnd.docker.distribution.events.v2+json"


def test_a_request_id_that_could_forge_lines_is_replaced(registry, events):
    digest = registry.push_blob(b"x")
    _, (event,) = events(lambda: registry.get(f"/v2/{NAME}/blobs/{digest}", X_Request_Id="a\nb"))
    assert UUID.fullmatch(event["request"]["id"])


def test_the_url_stands_on_the_configured_host(registry, events, settings):
    settings.PUBLIC_BASE = "https://registry.example.org"
    _, (event,) = events(lambda: registry.push_blob(b"x"))
    assert event["target"]["url"] == f"https://registry.example.org/v2/{NAME}/blobs/{digest_of(b'x')}"


@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD"])
def test_references_are_told_when_asked_for(registry, endpoints, events, method):
    endpoints({}, includereferences=True)
    annotated = descriptor(b"layer", LAYER, annotations={"a": "b"})
    for content in (b"{}", b"layer"):
        registry.push_blob(content)
    document = image_manifest() | {"layers": [annotated]}
    registry.push_manifest(document, "v1")
    body = encode(document) if method == "PUT" else b""
    _, (event,) = events(
        lambda: registry.request(method, f"/v2/{NAME}/manifests/v1", body, Content_Type=media_types.OCI_MANIFEST)
    )
    assert event["target"]["references"] == [descriptor(b"{}", CONFIG), annotated]


def test_an_index_refers_to_manifests(registry, endpoints, events):
    endpoints({}, includereferences=True)
    child = registry.push_image(None).descriptor(platform={"os": "linux", "architecture": "amd64"})
    _, (event,) = events(lambda: registry.push_manifest(index_manifest([child]), "v1"))
    assert event["target"]["references"] == [child]
