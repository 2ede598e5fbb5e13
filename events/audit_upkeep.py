"""The shape of the audit log in time: partitions made ahead, and events let go when `audit.keep` is over.

PostgreSQL keeps each month in a partition of its own and drops it as a whole. What came while its month had no
partition lies in the default one for good, and goes row by row, as everything does on SQLite.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.conf import settings
from django.db import connection
from django.utils import timezone

from events.models import AuditEvent, AuditHorizon
from registry_project.database import fetch_all, is_postgresql, writing

log = logging.getLogger("lading.audit")

# The running month and those after it.
MONTHS_AHEAD = 3
PRUNE_BATCH = 1000
TABLE = AuditEvent._meta.db_table
DEFAULT_PARTITION = f"{TABLE}_default"
_PARTITION = re.compile(rf"{TABLE}_y(\d{{4}})m(\d{{2}})")
# Any number that nothing else locks: "audit" in ASCII.
_ADVISORY_KEY = 0x6175646974
# A drop waits for the pushes that run, and later pushes wait for the drop: rather another round than a long wait.
_PATIENCE = "SET LOCAL lock_timeout = '1s'"


def month_of(moment: datetime, *, later: int = 0) -> datetime:
    """The first moment of a month, in UTC, so many months later."""
    moment = moment.astimezone(UTC)
    months = moment.year * 12 + moment.month - 1 + later
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def make_partitions(*, now: datetime) -> list[str]:
    """Make the partitions of the running month and the next ones; the names of the new ones. None on SQLite."""
    if not is_postgresql():
        return []
    months = [month_of(now, later=number) for number in range(MONTHS_AHEAD)]
    present = list_partitions()
    return [partition_name(month) for month in months if partition_name(month) not in present and make_partition(month)]


def make_partition(month: datetime) -> bool:
    """Make one month's partition; False where its events lie in the default partition already, and stay there."""
    name, end = partition_name(month), month_of(month, later=1)
    with _reshaping():
        if name in list_partitions():
            return False
        within = f"occurred_at >= '{month.isoformat()}' AND occurred_at < '{end.isoformat()}'"
        if fetch_all(f"SELECT 1 FROM {DEFAULT_PARTITION} WHERE {within} LIMIT 1", []):
            return False
        # Attached rather than made in place, which would lock the whole log and stop the pushes.
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL)")
            cursor.execute(
                f"ALTER TABLE {TABLE} ATTACH PARTITION {name}"
                f" FOR VALUES FROM ('{month.isoformat()}') TO ('{end.isoformat()}')"
            )
    return True


def prune(*, now: datetime) -> int:
    """Let go of what is older than `audit.keep`; how many months and, row by row, events that were."""
    if settings.AUDIT_KEEP is None:
        return 0
    limit = now - settings.AUDIT_KEEP
    _move_horizon(limit)
    dropped = _drop_partitions(limit) if is_postgresql() else 0
    deleted = 0
    while batch := _delete_before(limit):
        deleted += batch
    if dropped or deleted:
        log.info("the audit log begins at %s: dropped %d months and %d events", limit, dropped, deleted)
    return dropped + deleted


def maintain_audit_log() -> None:
    """One round of both."""
    now = timezone.now()
    make_partitions(now=now)
    prune(now=now)


def list_partitions() -> dict[str, datetime]:
    """The monthly partitions by name, with the moment where each ends."""
    rows = fetch_all(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = %s::regclass ORDER BY c.relname",
        [TABLE],
    )
    found = [match for (name,) in rows if (match := _PARTITION.fullmatch(str(name)))]
    return {match[0]: month_of(datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC), later=1) for match in found}


def partition_name(month: datetime) -> str:
    return f"{TABLE}_y{month:%Y}m{month:%m}"


def _drop_partitions(limit: datetime) -> int:
    gone = [name for name, end in list_partitions().items() if end <= limit]
    for name in gone:
        with _reshaping(), connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")
    return len(gone)


def _move_horizon(limit: datetime) -> None:
    with writing():
        AuditHorizon.objects.bulk_create(
            [AuditHorizon(starts_at=limit)], update_conflicts=True, unique_fields=["id"], update_fields=["starts_at"]
        )


def _delete_before(limit: datetime) -> int:
    """Delete some of what lies outside of the monthly partitions; the months that are left wait until they are over."""
    table = DEFAULT_PARTITION if is_postgresql() else TABLE
    with writing(), connection.cursor() as cursor:
        moment = connection.ops.adapt_datetimefield_value(limit)
        cursor.execute(
            f"DELETE FROM {table} WHERE (occurred_at, id) IN (SELECT occurred_at, id FROM {table}"
            " WHERE occurred_at < %s ORDER BY occurred_at, id LIMIT %s)",
            [moment, PRUNE_BATCH],
        )
        return int(cursor.rowcount)


@contextmanager
def _reshaping() -> Iterator[None]:
    """One transaction that changes partitions, of one process at a time."""
    with writing(), connection.cursor() as cursor:
        cursor.execute(_PATIENCE)
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_KEY])
        yield
