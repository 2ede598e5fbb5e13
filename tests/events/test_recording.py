"""Which receivers get a row, and what recording costs."""

import json
import logging

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from events.models import WebhookDelivery
from oci import media_types
from registry_project.context import answering, current_request, name_principal
from tests.factories import NAME, digest_of

pytestmark = pytest.mark.django_db(transaction=True)
BLOB = "application/octet-stream"


def recorded():
    rows = WebhookDelivery.objects.order_by("id")
    return [(row.queue, json.loads(row.body)["events"][0]["action"]) for row in rows]


def exercise(registry):
    """One push of a blob and a manifest, a pull of each, and the deletion of the tag."""
    registry.push_blob(b"{}")
    registry.push_image("v1", layers=())
    registry.get(f"/v2/{NAME}/manifests/v1")
    registry.get(f"/v2/{NAME}/blobs/{digest_of(b'{}')}")
    registry.delete(f"/v2/{NAME}/manifests/v1")


PUSHES = ["push"] * 3
EVERYTHING = [*PUSHES, "pull", "pull", "delete"]


@pytest.mark.parametrize(
    ("endpoint", "actions"),
    [
        ({}, EVERYTHING),
        ({"disabled": True}, []),
        ({"ignore": {"actions": ["pull"]}}, [*PUSHES, "delete"]),
        ({"ignore": {"actions": ["pull", "push", "delete"]}}, []),
        ({"ignore": {"mediatypes": [BLOB]}}, ["push", "pull", "delete"]),
        ({"ignoredmediatypes": [BLOB]}, ["push", "pull", "delete"]),
        (
            {"ignoredmediatypes": [media_types.OCI_MANIFEST], "ignore": {"actions": ["delete"]}},
            ["push", "push", "pull"],
        ),
        ({"ignoredmediatypes": [BLOB], "ignore": {"mediatypes": [media_types.OCI_MANIFEST]}}, ["delete"]),
    ],
)
def test_endpoints_get_what_they_do_not_ignore(registry, endpoints, endpoint, actions):
    endpoints(endpoint)
    exercise(registry)
    assert [action for _, action in recorded()] == actions


def test_each_endpoint_has_a_row_of_the_same_event(registry, endpoints):
    endpoints({}, {"ignore": {"actions": ["pull"]}}, {"disabled": True})
    registry.push_blob(b"x")
    registry.get(f"/v2/{NAME}/blobs/{digest_of(b'x')}")
    assert recorded() == [("endpoint:e0", "push"), ("endpoint:e1", "push"), ("endpoint:e0", "pull")]
    pushes = WebhookDelivery.objects.order_by("id")[:2]
    assert pushes[0].body == pushes[1].body
    assert pushes[0].event_id == pushes[1].event_id


def test_an_event_goes_with_its_transaction(registry, endpoints, monkeypatch):
    endpoints({})
    registry.push_image("v1")
    before = len(recorded())
    monkeypatch.setattr("repositories.tags.announcements.tag_deleted", _record_and_fail)
    assert registry.delete(f"/v2/{NAME}/manifests/v1").status == 500
    assert len(recorded()) == before
    assert registry.get(f"/v2/{NAME}/manifests/v1").status == 200


def _record_and_fail(**arguments):
    from events.announcements import tag_deleted

    tag_deleted(**arguments)
    assert WebhookDelivery.objects.filter(body__contains='"delete"').exists()
    raise RuntimeError("after the event, before the commit")


@pytest.mark.parametrize(
    ("endpoint", "extra"), [(None, 0), ({"disabled": True}, 0), ({"ignore": {"actions": ["pull"]}}, 0), ({}, 1)]
)
def test_pulls_cost_no_statement_unless_somebody_wants_them(registry, endpoints, endpoint, extra):
    registry.push_image("v1")
    endpoints(*([endpoint] if endpoint is not None else []))
    for path in (f"/v2/{NAME}/manifests/v1", f"/v2/{NAME}/blobs/{digest_of(b'layer')}"):
        connection.ensure_connection()
        with CaptureQueriesContext(connection) as captured:
            assert registry.get(path).status == 200
        statements = [query["sql"] for query in captured if not query["sql"].startswith(("BEGIN", "COMMIT"))]
        assert len(statements) == 1 + extra, statements


def test_a_pull_survives_a_database_that_takes_no_event(registry, endpoints, monkeypatch, caplog):
    endpoints({})
    registry.push_image("v1")

    def refuse(*_args, **_kwargs):
        raise OperationalError("disk full")

    monkeypatch.setattr(WebhookDelivery.objects, "bulk_create", refuse)
    with caplog.at_level(logging.ERROR, "lading.events"):
        assert registry.get(f"/v2/{NAME}/manifests/v1").status == 200
    assert "could not be recorded" in caplog.text


def test_the_actor_is_who_signed_in(registry, endpoints):
    endpoints({})
    registry.push_image("v1")
    WebhookDelivery.objects.all().delete()
    from events.announcements import blob_pulled

    with answering({"REMOTE_ADDR": "10.0.0.1", "REQUEST_METHOD": "GET"}):
        name_principal("alice")
        blob_pulled(name=NAME, digest=digest_of(b"x"), size=1)
    event = json.loads(WebhookDelivery.objects.get().body)["events"][0]
    assert event["actor"] == {"name": "alice"}
    assert current_request() is None
