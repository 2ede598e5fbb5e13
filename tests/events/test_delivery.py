"""Posting: in order, once where nothing fails, again where something does, parked in the end."""

import threading
import uuid
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction

from events.delivery import BATCH, LONGEST_PAUSE, deliver_waiting, has_work, pause_after
from events.models import WebhookDelivery, WebhookQueue
from events.queues import list_queues
from events.receivers import receivers
from events.tasks import deliver_notifications

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def enqueue(*bodies, queue="endpoint:e0", at=NOON):
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(queue=queue, event_id=uuid.uuid4(), body=body, queued_at=at) for body in bodies
    )


def deliver(outlet, *, at=NOON, receiver=0):
    return deliver_waiting(receivers()[receiver], budget_seconds=60, client=outlet, clock=lambda: at)


def waiting():
    return list(WebhookDelivery.objects.filter(parked_at=None).order_by("id").values_list("body", flat=True))


def parked():
    return list(WebhookDelivery.objects.exclude(parked_at=None).order_by("id").values_list("body", flat=True))


def numbers(count, start=0):
    return [f"{number:05}" for number in range(start, start + count)]


@pytest.fixture(autouse=True)
def endpoint(endpoints):
    endpoints({"threshold": 3, "backoff": "10s", "giveup": "1h"}, {})


def test_everything_is_posted_in_order_and_gone(outlet):
    bodies = numbers(2 * BATCH + 7)
    enqueue(*bodies)
    client = outlet(200)
    assert deliver(client) == len(bodies)
    assert client.bodies == bodies
    assert not has_work(receivers()[0])
    assert deliver(client) == 0


@pytest.mark.parametrize("status", [200, 202, 204, 303, 304])
def test_two_and_three_hundreds_mean_taken(outlet, status):
    enqueue("a")
    assert deliver(outlet(status)) == 1
    assert waiting() == []


@pytest.mark.parametrize("answer", [400, 404, 408, 429, 500, 503, "down"])
def test_a_failure_stops_the_queue_and_keeps_its_place(outlet, answer):
    enqueue("a", "b", "c")
    client = outlet(200, answer)
    assert deliver(client) == 1
    assert client.bodies == ["a", "b"]
    assert waiting() == ["b", "c"]
    again = outlet(200)
    assert deliver(again) == 2
    assert again.bodies == ["b", "c"]


def test_endpoints_do_not_wait_for_each_other(outlet):
    enqueue("a")
    enqueue("a", queue="endpoint:e1")
    deliver(outlet("down"))
    assert deliver(outlet(200), receiver=1) == 1


def test_up_to_the_threshold_the_next_round_tries_again(outlet):
    enqueue("a")
    client = outlet("down")
    for _ in range(3):
        deliver(client)
    assert len(client.posts) == 3
    deliver(client, at=NOON + 7 * SECOND)
    assert len(client.posts) == 3, "within the pause"
    deliver(client, at=NOON + 13 * SECOND)
    assert len(client.posts) == 4, "behind it"


def test_success_ends_the_pauses(outlet):
    enqueue("a", "b")
    deliver(outlet("down"))
    deliver(outlet("down"))
    assert deliver(outlet(200)) == 2
    queue = WebhookQueue.objects.get()
    assert (queue.failures, queue.next_attempt_at, queue.last_error) == (0, None, "connecting failed")


@pytest.mark.parametrize(
    ("failures", "jitter", "seconds"),
    [(1, 0, 0), (2, 1, 0), (3, 0.5, 10), (4, 0.5, 20), (5, 0.5, 40), (3, 0, 7.5), (3, 1, 12.5), (99, 0.5, 300)],
)
def test_pauses_double_within_bounds(failures, jitter, seconds):
    assert pause_after(failures, 3, 10 * SECOND, jitter=lambda: jitter) == timedelta(seconds=seconds)
    assert timedelta(minutes=5) == LONGEST_PAUSE


def test_an_event_that_is_refused_is_parked_and_the_rest_goes_on(outlet):
    enqueue("a", "poison", "c")
    deliver(outlet(200, 400))
    deliver(outlet(400))
    assert parked() == []
    deliver(outlet(400))
    assert (parked(), waiting()) == (["poison"], ["c"])
    assert deliver(outlet(200), at=NOON + 60 * SECOND) == 1


@pytest.mark.parametrize("answer", [500, 429, "down"])
def test_a_receiver_that_is_away_parks_nothing_before_its_time(outlet, answer):
    enqueue("a")
    for minutes in range(0, 59, 7):
        deliver(outlet(answer), at=NOON + timedelta(minutes=minutes))
    assert WebhookDelivery.objects.get().attempts == 9
    assert parked() == []


def test_what_waited_too_long_is_parked_at_once_and_newer_events_stay(outlet):
    enqueue(*numbers(5))
    enqueue("new", at=NOON + timedelta(minutes=50))
    for minutes in (0, 6, 12, 65):
        deliver(outlet("down"), at=NOON + timedelta(minutes=minutes))
    assert (parked(), waiting()) == (numbers(5), ["new"])


def test_an_operator_sees_and_retries_what_is_parked(outlet):
    enqueue("a", "b")
    enqueue("orphan", queue="endpoint:gone")
    for _ in range(3):
        deliver(outlet(410))
    shown = run("notifications")
    assert "e0 (https://hooks.example.org:443)\n  waiting: 1, the oldest for" in shown
    assert "parked: 1" in shown
    assert "failing: 3 times in a row" in shown
    assert "last error: answered 410" in shown
    assert "gone (not configured)\n  waiting: 1" in shown
    assert "t0ken" not in shown
    assert run("notifications", "retry", "e0") == "1 events wait again for e0\n"
    client = outlet(200)
    assert deliver(client) == 2
    assert client.bodies == ["a", "b"]
    assert run("notifications", "drop", "gone") == "1 events for gone are forgotten\n"
    assert [(queue.name, queue.waiting, queue.parked) for queue in list_queues()] == [("e0", 0, 0), ("e1", 0, 0)]


def test_dropping_keeps_what_still_waits(outlet):
    enqueue("a", "b")
    for _ in range(3):
        deliver(outlet(410))
    assert run("notifications", "drop", "e0") == "1 events for e0 are forgotten\n"
    assert waiting() == ["b"]


def run(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_one_worker_at_a_time_posts_for_an_endpoint(outlet):
    enqueue("a", "b", "c")
    inner = outlet(200)

    class Intruded:
        def request(self, *args, **kwargs):
            assert deliver(inner) == 0
            return outer.request(*args, **kwargs)

    outer = outlet(200)
    assert deliver(Intruded()) == 3
    assert (outer.bodies, inner.bodies) == (["a", "b", "c"], [])


def test_a_dead_worker_is_succeeded_and_stops_when_it_wakes(outlet):
    enqueue(*numbers(2 * BATCH))
    later = NOON + timedelta(minutes=1)
    successor = outlet(200)

    class Sleeper(outlet):
        def request(self, *args, **kwargs):
            answer = super().request(*args, **kwargs)
            if len(self.posts) == BATCH:
                assert deliver(successor, at=NOON + 10 * SECOND) == 0, "the claim still holds"
                assert deliver(successor, at=later) == 2 * BATCH
                enqueue("later")
            return answer

    sleeper = Sleeper(200)
    deliver(sleeper)
    assert successor.bodies == numbers(2 * BATCH)
    assert sleeper.bodies == numbers(BATCH)
    assert waiting() == ["later"]


def test_workers_that_meet_keep_the_order(outlet):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's test database is in memory, where threads find tables locked; tests/live has files")
    enqueue(*numbers(300))
    client = outlet(200)
    barrier = threading.Barrier(4)

    def work():
        barrier.wait()
        try:
            for _ in range(5):
                deliver(client)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.bodies == numbers(300)


def test_the_task_serves_every_endpoint_though_one_fails(outlet, monkeypatch):
    enqueue("a")
    enqueue("b", queue="endpoint:e1")
    served = []

    def deliver_or_fail(receiver, *, budget_seconds):
        served.append(receiver.name)
        if receiver.name == "e0":
            raise RuntimeError("broken")

    monkeypatch.setattr("events.tasks.deliver_waiting", deliver_or_fail)
    deliver_notifications()
    assert sorted(served) == ["e0", "e1"]


@pytest.fixture
def older_transaction():
    """Another connection with a writing transaction that is open."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time: nothing can be overtaken")
    other = connections.create_connection("default")
    other.ensure_connection()
    other.set_autocommit(False)
    cursor = other.cursor()
    cursor.execute("SELECT pg_current_xact_id()")
    yield cursor
    other.rollback()
    other.close()


def insert_by(cursor, body):
    cursor.execute(
        "INSERT INTO events_webhookdelivery (queue, event_id, body, queued_at, attempts, last_error)"
        " VALUES ('endpoint:e0', gen_random_uuid(), %s, now(), 0, '')",
        [body],
    )


def test_no_event_overtakes_one_that_commits_later(outlet, older_transaction):
    insert_by(older_transaction, "first")
    enqueue("second")
    client = outlet(200)
    assert deliver(client) == 0
    older_transaction.connection.commit()
    enqueue("third")
    assert deliver(client) == 3
    assert client.bodies == ["first", "second", "third"]


def test_an_older_transaction_without_events_only_delays(outlet, older_transaction):
    enqueue("a")
    client = outlet(200)
    assert deliver(client) == 0
    older_transaction.connection.rollback()
    assert deliver(client) == 1


def test_a_settled_event_waits_behind_an_unsettled_one(outlet, older_transaction):
    """Its writer began first and wrote last."""
    third = connections.create_connection("default")
    third.set_autocommit(False)
    with third.cursor() as cursor:
        older_transaction.execute("SELECT 1")
        cursor.execute("SELECT pg_current_xact_id()")
        enqueue("first")
        insert_by(older_transaction, "second")
        older_transaction.connection.commit()
        client = outlet(200)
        assert deliver(client) == 0
        third.commit()
        assert deliver(client) == 2
    third.close()
    assert client.bodies == ["first", "second"]


def test_rows_of_a_restored_database_do_not_wait(outlet):
    enqueue("a")
    with transaction.atomic():
        WebhookDelivery.objects.update(transaction_id=2**62)
    assert deliver(outlet(200)) == 1
