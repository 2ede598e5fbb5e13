"""What differs between PostgreSQL and SQLite, in one place: transactions, row locks, lists as parameters.

The lock order, everywhere: repository, blobs by id, manifests by id, tag, team counters, reviews by id.
Lock in one statement and check in the next: a statement that waited for a lock goes on with what it saw before.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import BigIntegerField, Func, Model
from django.utils import timezone
from psycopg_pool import PoolTimeout

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

MAX_ATTEMPTS = 5
_LONGEST_PAUSE_SECONDS = 0.02
_DEADLOCK, _SERIALIZATION_FAILURE, _LOCK_NOT_AVAILABLE = "40P01", "40001", "55P03"
# A migration that waits for a table makes everybody wait who comes after it.
_MIGRATION_LOCK_TIMEOUT = "2s"

# SQLite lets one writer in and makes the others poll. Queueing them here, within the process, is fair and
# does not burn processor time; between processes SQLite's own lock still decides.
_sqlite_writer = threading.RLock()

_DROP_PAUSE_SECONDS = 1.0
_dropped = 0.0


class LostRace(OperationalError):
    """Raised inside a write when what it relied on changed meanwhile; `retried` runs the write again.

    One that is lost for good is answered as a database that cannot answer now: the client comes again.
    """


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"


@contextmanager
def writing() -> Iterator[None]:
    """Hold one write transaction, and the process's turn to write where the database has but one writer."""
    if is_postgresql():
        with transaction.atomic():
            yield
        return
    with _sqlite_writer, transaction.atomic():
        yield


def retried(write: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Run a function that holds one whole transaction again when it lost a race.

    Deadlocks, serialization failures and foreign keys that fail at commit (they are deferred) are lost races:
    another transaction removed or locked what this one had read.
    """

    @wraps(write)
    def attempt(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        for remaining in reversed(range(MAX_ATTEMPTS)):
            try:
                return write(*args, **kwargs)
            except LostRace:
                if not remaining or connection.in_atomic_block:
                    raise
            except (IntegrityError, OperationalError) as error:
                if not remaining or connection.in_atomic_block or not _is_lost_race(error):
                    raise
            # Those who lost against each other must not meet again in step.
            time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - no secret
        raise AssertionError("unreachable")

    return attempt


def _is_lost_race(error: Exception) -> bool:
    if isinstance(error, IntegrityError):
        return True
    return getattr(error.__cause__, "sqlstate", None) in {_DEADLOCK, _SERIALIZATION_FAILURE}


def lost_against_others(error: OperationalError) -> bool:
    """Whether others held a lock for too long, or wanted it at the same time."""
    return getattr(error.__cause__, "sqlstate", None) in {_DEADLOCK, _LOCK_NOT_AVAILABLE}


def is_unreachable(error: Exception) -> bool:
    """Whether there was no connection to be had, for as long as a request waits for one."""
    return isinstance(error.__cause__, PoolTimeout)


def key_share(*, of: str = "", skip_locked: bool = False) -> str:
    """SQL that keeps the selected rows, or those of the table `of` among them, from being removed until the end."""
    return _lock_clause(f"FOR KEY SHARE OF {of}" if of else "FOR KEY SHARE", skip_locked)


def for_update() -> str:
    """SQL that keeps every other locker away from the selected rows until the transaction ends."""
    return _lock_clause("FOR UPDATE", skip_locked=False)


def _lock_clause(lock: str, skip_locked: bool) -> str:
    # SQLite's transactions begin IMMEDIATE, so a writer is alone anyway.
    if not is_postgresql():
        return ""
    return f" {lock} SKIP LOCKED" if skip_locked else f" {lock}"


def lock_table(table: str) -> None:
    """Keep every other writer of a table waiting until the transaction ends; readers go on. For rare work only."""
    if is_postgresql():
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")


def any_of(values: Collection[object]) -> tuple[str, object]:
    """A condition `IN (…)` of any length as (SQL, parameter); the statement's text does not grow with it."""
    if is_postgresql():
        return "= ANY(%s)", list(values)
    return "IN (SELECT value FROM json_each(%s))", json.dumps(list(values))


def release_connection() -> None:
    """Give the connection back to the pool before bytes flow, so that slow transfers hold none."""
    if is_postgresql() and not connection.in_atomic_block:
        connection.close()


def drop_broken_connections() -> None:
    """Replace every pooled connection after one failed: a restarted database has broken them all.

    They are not asked whether they live, which would take long where the database hangs. After a refusal that was not
    the database's the price is a few connections.
    """
    global _dropped
    if not is_postgresql() or connection.in_atomic_block:
        return
    connection.close()
    now = time.monotonic()
    if now - _dropped > _DROP_PAUSE_SECONDS:
        _dropped = now
        connection.pool.drain()  # type: ignore[attr-defined]


def limit_transaction(*, lock_seconds: float, statement_seconds: float) -> None:
    """Let the statements of this transaction, COMMIT included, give up instead of waiting for others for long.

    Nor does COMMIT wait for the disk: this is for work that is done again where a crash undoes it.
    """
    if is_postgresql():
        limits = [f"{round(seconds * 1000)}ms" for seconds in (lock_seconds, statement_seconds)]
        fetch_all(
            "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true),"
            " set_config('synchronous_commit', 'off', true)",
            limits,
        )


def lift_time_limit() -> None:
    """Let statements of this thread's connection take as long as they need, as migrations do."""
    if is_postgresql():
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
        connection.connection.patience = None


@contextmanager
def planned_for_values() -> Iterator[None]:
    """Have PostgreSQL plan the block's statements for the values at hand.

    One that is prepared is planned for average values after some uses, which is wrong where they are uneven: the
    search for something rare would then walk through everything.
    """
    if not is_postgresql():
        yield
        return
    connection.ensure_connection()
    driver = connection.connection
    threshold, driver.prepare_threshold = driver.prepare_threshold, None
    try:
        yield
    finally:
        driver.prepare_threshold = threshold


def limit_lock_waits() -> None:
    """Let this thread's connection give up on tables that others hold, rather than hold up those behind it."""
    if is_postgresql():
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{_MIGRATION_LOCK_TIMEOUT}'")


def columns_of(model: type[Model]) -> str:
    """SQL: a model's columns by name. A prepared `*` fails as soon as a later release has added a column."""
    return ", ".join(f'"{field.column}"' for field in model._meta.concrete_fields)


def fetch_all(sql: str, parameters: Collection[Any]) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, tuple(parameters))
        return list(cursor.fetchall())


def count_up_to(most: int, rows: str, parameters: Collection[Any] = ()) -> int:
    """How many rows a SELECT has, `most` where there are more: counting those would cost more than it tells."""
    found = fetch_all(f"SELECT count(*) FROM ({rows} LIMIT {most}) AS counted", parameters)
    return int(str(found[0][0]))


def execute(sql: str, parameters: Collection[Any]) -> int:
    """Run a statement that answers with no rows; how many it has changed."""
    with connection.cursor() as cursor:
        cursor.execute(sql, tuple(parameters))
        return int(cursor.rowcount)


def database_now() -> datetime:
    """The database's clock, where hosts with clocks of their own have to agree on what is over."""
    if not is_postgresql():
        return timezone.now()
    (now,) = fetch_all("SELECT clock_timestamp()", [])[0]
    assert isinstance(now, datetime)
    return now


class CurrentTransaction(Func):
    """PostgreSQL's number of this transaction; 0 on SQLite, whose writers come one after the other."""

    template = "0"
    arity = 0
    output_field = BigIntegerField()

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, template="pg_current_xact_id()::text::bigint")


def unsettled(column: str) -> str:
    """SQL: whether a row whose writer's number stands in `column` may still be overtaken by an older transaction.

    Every number below the snapshot's xmin belongs to a transaction that has ended. One that the snapshot does not
    know yet was written by another server, before its database was restored here.
    """
    if not is_postgresql():
        return "1 = 0"
    return (
        f"({column} >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        f" AND {column} < pg_snapshot_xmax(pg_current_snapshot())::text::bigint)"
    )
