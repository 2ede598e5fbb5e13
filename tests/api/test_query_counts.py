"""How many statements the hot paths cost; transactions' own statements count too."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blobs.models import RepositoryBlob
from tests.factories import ABSENT, NAME, digest_of, encode, image_manifest

pytestmark = pytest.mark.django_db(transaction=True)
LAYERS = [b"layer %d" % number for number in range(10)]


class Counter:
    def __init__(self, registry):
        self._registry = registry

    def __call__(self, method, path, body=b"", **headers):
        """The statements that a request costs on a connection that is open already."""
        connection.ensure_connection()
        with CaptureQueriesContext(connection) as captured:
            answer = self._registry.request(method, path, body, **headers)
        assert answer.status < 400, answer
        return [query["sql"] for query in captured.captured_queries]


@pytest.fixture
def queries(registry):
    return Counter(registry)


@pytest.fixture
def image(registry):
    return registry.push_image("latest", layers=LAYERS)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_manifest_costs_one(queries, image, method, by):
    reference = "latest" if by == "tag" else image.digest
    assert len(queries(method, f"/v2/{NAME}/manifests/{reference}")) == 1


def test_not_modified_costs_one(queries, image):
    assert len(queries("GET", f"/v2/{NAME}/manifests/latest", If_None_Match=f'"{image.digest}"')) == 1


def test_head_of_a_manifest_reads_no_payload(queries, image):
    (sql,) = queries("HEAD", f"/v2/{NAME}/manifests/latest")
    assert "payload" not in sql


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("content", [LAYERS[0], b"not yet in a manifest"])
def test_blob_costs_one(queries, registry, image, method, content):
    registry.push_blob(content)
    assert len(queries(method, f"/v2/{NAME}/blobs/{digest_of(content)}")) == 1


def test_range_of_a_blob_costs_one(queries, image):
    assert len(queries("GET", f"/v2/{NAME}/blobs/{digest_of(LAYERS[0])}", Range="bytes=0-1,3-4")) == 1


def test_head_that_extends_a_lease_costs_few(queries, registry):
    registry.push_blob(b"x")
    RepositoryBlob.objects.update(leased_until=timezone.now() - timedelta(days=1))
    path = f"/v2/{NAME}/blobs/{digest_of(b'x')}"
    assert 1 < len(queries("HEAD", path)) <= 7
    assert len(queries("HEAD", path)) == 1


@pytest.mark.parametrize("already", ["new", "moved", "same"])
def test_push_of_an_image_with_ten_layers_costs_at_most_fifteen(queries, registry, already):
    for content in (b"{}", b"{2}", *LAYERS):
        registry.push_blob(content)
    document = image_manifest(layers=LAYERS)
    if already == "moved":
        registry.push_manifest(image_manifest(b"{2}", LAYERS), "latest")
    if already == "same":
        registry.push_manifest(document, "latest")
    captured = queries("PUT", f"/v2/{NAME}/manifests/latest", encode(document))
    assert len(captured) <= 15, "\n".join(sql[:200] for sql in captured)


def test_push_does_not_cost_more_with_more_layers(queries, registry):
    costs = []
    for count in (1, 10, 100):
        layers = [b"%d" % number for number in range(count)]
        for content in (b"{}", *layers):
            registry.push_blob(content)
        costs.append(len(queries("PUT", f"/v2/{NAME}/manifests/v{count}", encode(image_manifest(layers=layers)))))
    assert len(set(costs)) == 1, costs


def test_lists_cost_few(queries, image):
    assert len(queries("GET", f"/v2/{NAME}/tags/list?n=10")) <= 2
    assert len(queries("GET", "/v2/_catalog")) == 1
    assert len(queries("GET", f"/v2/{NAME}/referrers/{ABSENT}")) <= 3


@pytest.mark.parametrize("path", ["/v2/", "/healthz"])
def test_pages_that_need_no_database_ask_it_nothing(queries, path):
    assert queries("GET", path) == []
