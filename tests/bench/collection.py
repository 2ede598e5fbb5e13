"""What collection costs beside what is stored.

`python -m tests.services --durable -- python -m tests.bench.collection` fills a database with the rows of more and more
blobs, has one worker collect 10,000 blobs of garbage (2,000 manifests and what only they use), and prints a row for
each size. The bytes are not there, so this is the database's part.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from time import perf_counter
from typing import Any

import django
import psycopg

from tests.bench.stored import BLOBS_PER_MANIFEST, Stored, store

SIZES = (100_000, 1_000_000)
GARBAGE_MANIFESTS = 2_000
_COLUMNS = ("blobs", "manifests", "collected", "seconds", "statements", "rows read", "rows read in sequence", "pages")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.collection", description=__doc__)
    parser.add_argument("--blobs", type=int, action="append", help=f"sizes, rising (default {SIZES})")
    options = parser.parse_args(arguments)
    os.environ["DJANGO_SETTINGS_MODULE"] = "registry_project.settings"
    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    if connection.vendor != "postgresql":
        print("the cost of collection is measured on PostgreSQL", file=sys.stderr)
        return 2
    call_command("migrate", verbosity=0)
    settings.GC_GRACE = timedelta(0)
    parameters = connection.get_connection_params()
    connection.close()
    address = {name: parameters[name] for name in ("dbname", "host", "port", "user", "password") if name in parameters}
    print(f"| {' | '.join(_COLUMNS)} |\n|{'---:|' * len(_COLUMNS)}")
    filled = 0
    with psycopg.connect(**address, autocommit=True) as administrator:
        for blobs in options.blobs or SIZES:
            last = blobs // BLOBS_PER_MANIFEST
            began = perf_counter()
            store(administrator, Stored(filled, last, GARBAGE_MANIFESTS))
            print(f"collection: {blobs:,} blobs after {perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
            filled = last
            figures = [blobs, last, *_collect(administrator)]
            print("| " + " | ".join(f"{figure:,}" for figure in figures) + " |", flush=True)
    return 0


def _collect(administrator: psycopg.Connection[Any]) -> list[int | float]:
    """What came of it, and what it took: seconds, statements, rows, and pages of 8 KiB."""
    from registry_gc.collection.models import Kind
    from registry_gc.collection.rounds import run_until_idle
    from registry_gc.collection.standings import Rules

    before = _reads(administrator)
    with _counting_statements() as statements:
        began = perf_counter()
        totals = run_until_idle(rules=Rules.configured())
        seconds = perf_counter() - began
    spent = _reads(administrator) - before
    collected = totals.by_kind[Kind.BLOB].collected
    expected = GARBAGE_MANIFESTS * BLOBS_PER_MANIFEST
    if collected != expected:
        raise SystemExit(f"{collected} blobs were collected, not {expected}")
    return [
        collected,
        round(seconds, 1),
        statements.total(),
        spent["by index"] + spent["in sequence"],
        spent["in sequence"],
        spent["pages"],
    ]


@contextmanager
def _counting_statements() -> Iterator[Counter[str]]:
    from django.db import connection

    counter: Counter[str] = Counter()

    def count(execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
        counter[statement] += 1
        return execute(statement, *rest)

    with connection.execute_wrapper(count):
        yield counter
    # Its counts of rows reach the statistics at the latest when the connection ends.
    connection.close()


def _reads(administrator: psycopg.Connection[Any]) -> Counter[str]:
    rows = administrator.execute(
        "SELECT sum(idx_tup_fetch), sum(seq_tup_read), (SELECT sum(heap_blks_read + heap_blks_hit + idx_blks_read"
        " + idx_blks_hit) FROM pg_statio_user_tables) FROM pg_stat_user_tables"
    ).fetchone()
    assert rows is not None
    names = ("by index", "in sequence", "pages")
    return Counter({name: int(value or 0) for name, value in zip(names, rows, strict=True)})


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
