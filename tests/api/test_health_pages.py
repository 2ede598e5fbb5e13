"""Pages for load balancers, and the refusal of an unhealthy instance."""

import pytest
from django.db import OperationalError

from oci import media_types
from oci.errors import Unavailable
from tests.factories import NAME, digest_of


def test_alive_asks_nothing_of_anybody(registry):
    answer = registry.get("/healthz")
    assert (answer.status, answer.json()) == (200, {"status": "alive"})


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_pages_can_only_be_read(registry, path, method):
    answer = registry.request(method, path)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_pages_answer_head(registry, path):
    assert registry.head(path).status == 200


def test_root_answers_load_balancers(registry):
    assert (registry.get("/").status, registry.get("/").body) == (200, b"")


@pytest.mark.django_db
def test_ready_when_database_and_storage_answer(registry):
    answer = registry.get("/readyz")
    assert (answer.status, answer.json()) == (200, {"status": "ready", "problems": {}, "warnings": {}})


def refuse(*_args, **_kwargs):
    raise OperationalError("connection refused")


def test_not_ready_without_the_database(registry, monkeypatch):
    monkeypatch.setattr("registry_project.views.connection.cursor", refuse)
    answer = registry.get("/readyz")
    assert (answer.status, list(answer.json()["problems"])) == (503, ["database"])


@pytest.mark.django_db
def test_not_ready_without_the_storage(registry, monkeypatch):
    def refuse_storage(_store):
        raise Unavailable({"reason": "the storage failed"})

    monkeypatch.setattr("blobs.storage.local.LocalBlobStore.check", refuse_storage)
    answer = registry.get("/readyz")
    assert (answer.status, list(answer.json()["problems"])) == (503, ["storage"])


@pytest.mark.django_db
def test_failing_check_refuses_the_protocol_but_not_the_pages(registry, monkeypatch):
    monkeypatch.setattr("registry_project.health.HealthMonitor.problems", lambda self: {"disk": "secret path"})
    answer = registry.get("/v2/")
    assert (answer.status, answer.codes, answer.headers["Retry-After"]) == (503, ["UNAVAILABLE"], "5")
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert b"secret" not in answer.body
    assert registry.get("/healthz").status == 200
    ready = registry.get("/readyz")
    assert (ready.status, ready.json()["problems"]) == (503, {"disk": "secret path"})


@pytest.mark.django_db(transaction=True)
def test_failing_storage_refuses_only_what_needs_it(registry, monkeypatch):
    """Names, tags and manifests are in the database: they answer as long as it does."""
    pushed = registry.push_image("v1", layers=[b"layer"])
    blob = f"/v2/{NAME}/blobs/{digest_of(b'layer')}"
    session = registry.start_upload()
    monkeypatch.setattr("registry_project.health.HealthMonitor.problems", lambda self: {"storagedriver": "hangs"})
    for answer in (
        registry.get(blob),
        registry.post(f"/v2/{NAME}/blobs/uploads/"),
        registry.patch(session, b"more"),
        registry.put(f"{session}?digest={digest_of(b'more')}", b"more"),
    ):
        assert (answer.status, answer.codes, answer.headers["Retry-After"]) == (503, ["UNAVAILABLE"], "5")
    assert registry.head(blob).status == 200
    assert registry.get("/v2/").status == 200
    assert registry.tags() == ["v1"]
    assert registry.get(f"/v2/{NAME}/manifests/v1").body == pushed.payload
    assert registry.put_manifest(pushed.payload, "v2", Content_Type=media_types.OCI_MANIFEST).status == 201
    assert registry.get(session).status == 204
    assert registry.delete(session).status == 204
    assert registry.get("/readyz").status == 503


@pytest.mark.django_db
def test_a_warning_makes_nothing_unready(registry, monkeypatch):
    monkeypatch.setattr("registry_project.health.HealthMonitor.warnings", lambda self: {"celery": "no worker answers"})
    answer = registry.get("/readyz")
    assert (answer.status, answer.json()["status"]) == (200, "ready")
    assert answer.json()["warnings"] == {"celery": "no worker answers"}
    assert registry.get("/v2/").status == 200
