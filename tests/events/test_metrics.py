"""What is counted of notifications, by the names and types that Distribution has for them."""

import pytest

from events.delivery import deliver_waiting
from events.models import WebhookQueue
from events.receivers import receivers
from tests.observability.test_metrics import queue, samples, value

pytestmark = pytest.mark.django_db(transaction=True)


def events():
    kinds = ("Events", "Successes", "Failures", "Errors")
    return [value("registry_notifications_events_total", type=kind, endpoint="counted") for kind in kinds]


def statuses():
    codes = ("200 OK", "404 Not Found")
    return [value("registry_notifications_status_total", code=code, endpoint="counted") for code in codes]


def test_events_attempts_and_queues(registry, endpoints, outlet):
    endpoints({"name": "counted", "threshold": 1, "giveup": "1h"})

    def deliver(*answers):
        WebhookQueue.objects.update(next_attempt_at=None)
        deliver_waiting(receivers()[0], budget_seconds=60, client=outlet(*answers))

    for content in (b"1", b"2", b"3"):
        registry.push_blob(content)
    assert events() == [3, 0, 0, 0]
    assert queue("registry_notifications_pending_total", endpoint="counted") == 3
    assert queue("lading_notifications_oldest_seconds", endpoint="counted") > 0
    deliver(200, "down")
    assert events() == [3, 1, 0, 1]
    deliver(404)
    assert events() == [3, 1, 1, 1]
    assert statuses() == [1, 1]
    assert queue("registry_notifications_pending_total", endpoint="counted") == 1
    assert queue("lading_notifications_parked", endpoint="counted") == 1


def test_an_event_that_is_rolled_back_is_none(registry, endpoints, monkeypatch):
    endpoints({"name": "rolled-back"})
    monkeypatch.setattr("blobs.uploads.announcements.blob_pushed", announce_and_fail)
    with pytest.raises(AssertionError):
        registry.push_blob(b"1")
    assert value("registry_notifications_events_total", type="Events", endpoint="rolled-back") == 0


def announce_and_fail(*, repository_id, digest, size, principal=""):
    from events import announcements

    announcements.manifest_deleted(repository_id=repository_id, digest=digest)
    raise RuntimeError


def test_without_endpoints_there_is_nothing_to_tell(registry):
    from registry_project.metrics import render

    queue("lading_database_up")
    assert not any("notifications_pending" in name for name, _ in samples(render()))
