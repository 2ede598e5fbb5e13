"""How long searches of a large audit log take: `python -m tests.services --durable -- python -m tests.bench.audit`.

Fills a year of months with generated events of a thousand teams, of which one makes half of them all, and prints a row
for each search: its first page, and a page in the middle of what it finds.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from time import perf_counter

import django

ROUNDS = 15
_MONTHS = 12

# Half of the events are one team's, its robot's mostly; three hundred of ten million are of one rare action.
FILL = """
INSERT INTO events_auditevent (occurred_at, id, actor, credential, address, request_id, action, team, repository,
    target, outcome, detail)
SELECT %(start)s::timestamptz + n * (%(span)s::interval / %(rows)s), n,
    CASE WHEN n %% 2 = 0 THEN 'crowd+ci' ELSE 'user-' || n %% 5003 END, 'robot-secret 3', '10.0.0.1', md5(n::text),
    CASE WHEN n %% 33331 = 0 THEN 'tag.delete' WHEN n %% 13 = 0 THEN 'manifest.push' WHEN n %% 13 = 1 THEN 'tag.move'
        ELSE 'blob.push' END,
    CASE WHEN n %% 2 = 0 THEN 'crowd' ELSE 'team-' || n %% 1009 END,
    CASE WHEN n %% 2 = 0 THEN 'crowd/app' ELSE 'team-' || n %% 1009 || '/app-' || n %% 7 END,
    'sha256:' || md5(n::text) || md5((n + 1)::text), 'success', '{"size": 12345}'
FROM generate_series(%(first)s, %(last)s) AS n
"""
_BATCH = 500_000

SEARCHES: dict[str, dict[str, object]] = {
    "everything": {},
    "one team of a thousand": {"teams": ["team-7"]},
    "the team with half of all": {"teams": ["crowd"]},
    "five teams": {"teams": ["crowd", "team-1", "team-3", "team-5", "team-7"]},
    "an actor": {"actor": "user-7"},
    "a repository": {"repository": "team-7/app-3"},
    "a rare action": {"action": "tag.delete"},
    "all actions on tags": {"action": "tag."},
    "a rare action in the large team": {"teams": ["crowd"], "action": "tag.delete"},
    "all actions on tags, five teams": {"teams": ["crowd", "team-1", "team-3", "team-5", "team-7"], "action": "tag."},
    "an actor's rare action": {"actor": "crowd+ci", "action": "tag.delete"},
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.audit", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args(arguments)
    os.environ["DJANGO_SETTINGS_MODULE"] = "registry_project.settings"
    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    from events.audit_queries import export, search
    from events.audit_upkeep import make_partition, month_of
    from registry_project.database import fetch_all, lift_time_limit

    if connection.vendor != "postgresql":
        print("the audit log is measured on PostgreSQL", file=sys.stderr)
        return 2
    call_command("migrate", verbosity=0)
    lift_time_limit()
    now = timezone.now()
    start = month_of(now, later=-_MONTHS)
    for number in range(_MONTHS):
        make_partition(month_of(start, later=number))
    if fetch_all("SELECT 1 FROM events_auditevent LIMIT 1", []):
        print("the log is filled already, and measured as it is\n")
    else:
        _fill(options.rows, start, now - start)
    print("| search | first page, ms | page in the middle, ms |\n|---|---:|---:|")
    for title, filters in SEARCHES.items():
        first_page = _milliseconds(lambda filters=filters: search(**filters))
        middle = search(**filters, until=start + (now - start) / 2, limit=1).next_cursor
        later = (
            _milliseconds(lambda filters=filters, middle=middle: search(**filters, cursor=middle)) if middle else "-"
        )
        print(f"| {title} | {first_page} | {later} |")
    began = perf_counter()
    exported = sum(1 for _ in export(since=now - timedelta(days=7)))
    print(f"\nexport of a week: {exported:,} events in {perf_counter() - began:.1f} s")
    return 0


def _fill(rows: int, start: datetime, span: timedelta) -> None:
    from django.db import connection

    from registry_project.database import fetch_all

    began = perf_counter()
    for first in range(0, rows, _BATCH):
        last = min(first + _BATCH, rows) - 1
        with connection.cursor() as cursor:
            cursor.execute(FILL, {"start": start, "span": span, "rows": rows, "first": first, "last": last})
    filled = perf_counter() - began
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE events_auditevent")
    ((size,),) = fetch_all(
        "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'events_auditevent'::regclass",
        [],
    )
    print(f"{rows:,} events, filled in {filled:.0f} s, {int(str(size)) / rows:.0f} bytes each\n")


def _milliseconds(call: Callable[[], object]) -> str:
    """Median and worst of some rounds, the first one left out."""
    times = []
    for _ in range(ROUNDS + 1):
        began = perf_counter()
        call()
        times.append((perf_counter() - began) * 1000)
    return f"{statistics.median(times[1:]):.1f} (worst {max(times[1:]):.1f})"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
