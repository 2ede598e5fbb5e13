"""Migrations at start, safe when several servers start at once."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.management import call_command
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.migrations.executor import MigrationExecutor

from registry_project.database import lift_time_limit

# Any number that no other user of the database takes for the same purpose: "lading" in ASCII.
_ADVISORY_KEY = 0x6C6164696E67
_POLL_SECONDS = 0.2


def migrate_once() -> None:
    """Apply what is missing; whoever comes second waits and then finds nothing to do."""
    with alone():
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=0)


def _try_lock(cursor: CursorWrapper) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [_ADVISORY_KEY])
    return bool(cursor.fetchone()[0])


@contextmanager
def alone() -> Iterator[None]:
    """Keep every other server of this database waiting."""
    if connection.vendor == "postgresql":
        # Held by the session, across the transactions of all migrations, and freed with it if we die.
        lift_time_limit()
        with connection.cursor() as cursor:
            # A statement that waited for it would have a snapshot, which an index that is built concurrently waits for.
            while not _try_lock(cursor):
                time.sleep(_POLL_SECONDS)
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_ADVISORY_KEY])
        return
    path = Path(connection.settings_dict["NAME"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
