"""The audit log refuses changes, and lets go of what is old enough."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from events import audit_upkeep
from events.audit_actions import AuditAction
from events.audit_upkeep import DEFAULT_PARTITION, list_partitions, make_partitions, month_of, partition_name, prune
from events.models import AuditEvent, AuditHorizon
from events.tasks import keep_audit_log
from registry_project.schedule import periodic_tasks

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def postgresql_only():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no partitions")


def put(occurred_at=NOW, **more):
    return AuditEvent.objects.create(occurred_at=occurred_at, action=AuditAction.TAG_DELETE, **more)


def lies_in(event):
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM events_auditevent WHERE id = %s", [event.id])
        return cursor.fetchone()[0]


CHANGES = [
    "UPDATE events_auditevent SET actor = 'somebody else'",
    "UPDATE events_auditevent SET occurred_at = occurred_at",
    "DELETE FROM events_auditevent",
    "TRUNCATE events_auditevent",
    f"DELETE FROM {partition_name(NOW)}",
    f"UPDATE {partition_name(NOW)} SET actor = 'somebody else'",
]


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.parametrize("pruned", [False, True])
def test_the_database_refuses_to_change_the_past(statement, pruned):
    if statement.startswith("TRUNCATE") or "_y2" in statement:
        postgresql_only()
    put()
    if pruned:
        prune(now=NOW)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEvent.objects.filter(actor="").count() == 1


def test_an_event_before_the_horizon_may_go_and_may_not_change():
    event = put(NOW - timedelta(days=400))
    AuditHorizon.objects.create(starts_at=NOW - timedelta(days=365))
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEvent.objects.filter(pk=event.pk).update(actor="x")
    AuditEvent.objects.filter(pk=event.pk).delete()
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    ("keep", "left"),
    [(timedelta(days=365), [1, 364]), (timedelta(days=1000), [1, 364, 366, 999]), (None, [1, 364, 366, 999, 2000])],
)
def test_pruning_keeps_what_the_configuration_says(settings, keep, left):
    settings.AUDIT_KEEP = keep
    for age in (1, 364, 366, 999, 2000):
        put(NOW - timedelta(days=age), target=str(age))
    prune(now=NOW)
    assert [int(event.target) for event in AuditEvent.objects.order_by("-occurred_at")] == left
    assert prune(now=NOW) == 0


def test_pruning_goes_in_batches(settings, monkeypatch):
    monkeypatch.setattr(audit_upkeep, "PRUNE_BATCH", 3)
    for number in range(7):
        put(NOW - timedelta(days=500, seconds=number))
    put()
    assert prune(now=NOW) == 7
    assert AuditEvent.objects.count() == 1


def test_a_month_is_dropped_when_all_of_it_is_old_enough(settings):
    postgresql_only()
    settings.AUDIT_KEEP = timedelta(days=365)
    old = datetime(2024, 2, 1, tzinfo=UTC)
    assert audit_upkeep.make_partition(old)
    event = put(datetime(2024, 2, 10, tzinfo=UTC))
    name = lies_in(event)
    assert name == "events_auditevent_y2024m02"
    prune(now=datetime(2025, 2, 28, tzinfo=UTC))
    assert AuditEvent.objects.filter(id=event.id).exists()
    assert prune(now=datetime(2025, 3, 1, tzinfo=UTC)) == 1
    assert not AuditEvent.objects.filter(id=event.id).exists()
    assert name not in list_partitions()


def test_partitions_are_made_ahead_for_the_months_to_come():
    postgresql_only()
    assert make_partitions(now=NOW) == []
    later = NOW + timedelta(days=400)
    months = [month_of(later, later=number) for number in range(3)]
    assert make_partitions(now=later) == [partition_name(month) for month in months]
    assert make_partitions(now=later) == []
    for month in months:
        for moment in (month, month_of(month, later=1) - timedelta(microseconds=1)):
            event = put(moment)
            assert lies_in(event) == partition_name(month)
            # Triggers and indexes are there as well.
            with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
                AuditEvent.objects.filter(pk=event.pk).update(actor="x")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE tablename = %s", [partition_name(months[0])])
        assert cursor.fetchone()[0] == 5


@pytest.mark.parametrize("age", [timedelta(days=4000), timedelta(days=-4000)])
def test_an_event_without_a_partition_is_kept_all_the_same(age):
    postgresql_only()
    assert lies_in(put(NOW - age)) == DEFAULT_PARTITION


def test_a_month_that_began_in_the_default_partition_stays_there():
    postgresql_only()
    later = NOW + timedelta(days=400)
    event = put(later)
    missing = [partition_name(month_of(later, later=number)) for number in (1, 2)]
    assert make_partitions(now=later) == missing
    assert lies_in(event) == lies_in(put(later)) == DEFAULT_PARTITION
    assert lies_in(put(month_of(later, later=1))) == missing[0]


def test_months_are_counted_in_utc():
    eve = datetime.fromisoformat("2026-12-31T23:30:00-02:00")
    assert month_of(eve) == datetime(2027, 1, 1, tzinfo=UTC)
    assert month_of(eve, later=12) == datetime(2028, 1, 1, tzinfo=UTC)


def test_the_upkeep_is_scheduled_and_does_both(settings):
    assert keep_audit_log in [task for task, _ in periodic_tasks()]
    put(NOW - timedelta(days=366))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {partition_name(NOW)}")
    keep_audit_log()
    assert not AuditEvent.objects.exists()
    if connection.vendor == "postgresql":
        assert partition_name(NOW) in list_partitions()


@pytest.mark.django_db(transaction=True)
def test_upkeep_gives_way_to_what_reads_the_log(monkeypatch):
    """It waits a moment only, because everybody else would wait behind it."""
    postgresql_only()
    monkeypatch.setattr(audit_upkeep, "_PATIENCE", "SET LOCAL lock_timeout = '50ms'")
    from tests.concurrency.meeting import closing_connection, in_background

    audit_upkeep.make_partition(datetime(2020, 1, 1, tzinfo=UTC))
    with transaction.atomic():
        assert list(AuditEvent.objects.all()) == []
        with in_background(closing_connection(lambda: prune(now=NOW))) as pruning:
            assert isinstance(pruning.exception(60), DatabaseError)
    assert prune(now=NOW) == 1
