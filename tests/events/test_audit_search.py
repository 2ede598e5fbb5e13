"""Pages of the audit log, and its export."""

import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from events.audit_actions import AuditAction
from events.audit_queries import CursorInvalid, export, search
from events.audit_upkeep import DEFAULT_PARTITION
from events.models import AuditEvent

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 1, tzinfo=UTC)
TEAMS, ACTORS = ["alice", "bob", ""], ["alice", "bob"]
ACTIONS = [AuditAction.TAG_CREATE, AuditAction.TAG_DELETE, AuditAction.BLOB_PUSH, AuditAction.SIGN_IN]


@pytest.fixture
def rows(db):
    """One event for each combination, two of them in each second, three times over."""
    combinations = list(product(TEAMS, ACTORS, ACTIONS)) * 3
    return AuditEvent.objects.bulk_create(
        AuditEvent(
            occurred_at=START + timedelta(days=number // 2),
            team=team,
            actor=actor,
            action=action,
            repository=f"{team}/app" if team else "",
        )
        for number, (team, actor, action) in enumerate(combinations)
    )


def walk(limit=7, **filters):
    """Every page of a search; each page but the last is full."""
    found, cursor = [], ""
    while cursor is not None:
        page = search(**filters, cursor=cursor, limit=limit)
        assert len(page.events) == limit or page.next_cursor is None
        found += page.events
        assert len(found) <= 3 * len(TEAMS) * len(ACTORS) * len(ACTIONS), "the pages go round in circles"
        cursor = page.next_cursor
    return found


def newest_first(rows):
    return [row.pk for row in sorted(rows, key=lambda row: row.pk, reverse=True)]


def is_in(row, *, teams=None, actor="", action="", repository="", since=None, until=None):
    return (
        (teams is None or row.team in teams)
        and actor in {"", row.actor}
        and (action in {"", row.action} or (action.endswith(".") and row.action.startswith(action)))
        and repository in {"", row.repository}
        and (since is None or row.occurred_at >= since)
        and (until is None or row.occurred_at < until)
    )


FILTERS = [
    {},
    {"teams": ["alice"]},
    {"teams": ("bob", "alice")},
    {"teams": {""}},
    {"teams": ["alice", "bob", "", *(f"team-{number}" for number in range(40))]},
    {"actor": "bob"},
    {"action": "tag."},
    {"action": "blob.push"},
    {"repository": "bob/app"},
    {"teams": ["alice", "bob"], "action": "tag."},
    {"teams": ["alice", "bob"], "action": "tag.", "actor": "alice"},
    {"teams": ["alice"], "repository": "bob/app"},
    {"since": START + timedelta(days=3)},
    {"until": START + timedelta(days=3)},
    {"teams": ["alice", "bob"], "since": START + timedelta(days=3), "until": START + timedelta(days=20)},
]


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_hold_what_matches_each_once_newest_first(rows, filters, limit):
    expected = newest_first(row for row in rows if is_in(row, **filters))
    assert [event.pk for event in walk(limit, **filters)] == expected
    assert expected or filters == {"teams": ["alice"], "repository": "bob/app"}


@pytest.mark.parametrize("filters", FILTERS)
def test_the_export_holds_the_same_oldest_first(rows, filters):
    assert [event.pk for event in export(**filters)] == newest_first(row for row in rows if is_in(row, **filters))[::-1]


@pytest.mark.parametrize(
    "filters",
    [
        {"teams": []},
        {"teams": {"alic"}},
        {"actor": "alic"},
        {"actor": "ALICE"},
        {"actor": "a%"},
        {"actor": "' OR 1=1 --"},
        {"action": "tag"},
        {"action": "nothing."},
        {"action": "."},
        {"action": "tag.%"},
        {"repository": "alice"},
        {"actor": "\0"},
        {"teams": ["\0"]},
        {"repository": "\0"},
        {"action": "\0"},
    ],
)
def test_filters_match_exactly(rows, filters):
    assert search(**filters).events == list(export(**filters)) == []


@pytest.mark.parametrize("filters", FILTERS)
def test_a_page_costs_one_statement(rows, filters):
    cursor = search(limit=2).next_cursor
    with CaptureQueriesContext(connection) as captured:
        search(**filters, cursor=cursor)
    assert len(captured) == 1


def test_events_that_come_meanwhile_do_not_move_the_pages(rows):
    page = search(limit=5)
    AuditEvent.objects.create(action=AuditAction.SIGN_IN)
    following = search(limit=5, cursor=page.next_cursor)
    assert [event.pk for event in page.events + following.events] == newest_first(rows)[:10]


@pytest.mark.parametrize("cursor", ["x", "é", "AAAA", "A" * 22, "/" * 22, "_" * 22, "A" * 1000, "AA\0A", "-"])
def test_a_cursor_of_nobody_is_refused_or_finds_its_place(rows, cursor):
    try:
        page = search(cursor=cursor)
    except CursorInvalid:
        return
    # It is a place all the same: the end of 1969.
    assert len(cursor) == 22
    assert page.events == []


FEW, MANY = 20, 20_000


@pytest.fixture
def crowd(db):
    """Many events of one team that somebody else's few are lost in."""
    step = timedelta(seconds=1)

    def event(number, team, actor, action):
        return AuditEvent(
            occurred_at=START + number * step, team=team, actor=actor, action=action, repository=f"{team}/app"
        )

    AuditEvent.objects.bulk_create(
        [event(number, "crowd", "robot", AuditAction.BLOB_PUSH) for number in range(MANY)]
        + [event(number, "alice", "alice", AuditAction.TAG_DELETE) for number in range(FEW)]
        + [event(number, "bob", "bob", AuditAction.TAG_MOVE) for number in range(FEW)],
        batch_size=1000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return search(limit=100).next_cursor


SEARCHES = [
    {},
    {"teams": ["alice"]},
    {"teams": ["crowd"]},
    {"teams": ["alice", "bob", "crowd"]},
    {"actor": "alice"},
    {"actor": "robot"},
    {"action": "tag.delete"},
    {"action": "tag."},
    {"action": "blob."},
    {"teams": ["alice", "bob", "crowd"], "action": "tag."},
    {"repository": "crowd/app"},
    {"repository": "bob/app", "teams": ["alice", "bob"]},
    {"since": START, "until": START + timedelta(hours=1)},
]


def test_a_page_reads_an_index_and_no_more_than_it_shows(crowd):
    for filters, cursor in product(SEARCHES, ("", crowd)):
        with CaptureQueriesContext(connection) as captured:
            page = search(**filters, limit=10, cursor=cursor)
        assert page.events or cursor
        (sql,) = [query["sql"] for query in captured]
        if connection.vendor == "postgresql":
            assert_postgresql_reads_little(sql)
        else:
            assert_sqlite_reads_in_order(sql)


def test_a_search_is_planned_for_what_it_looks_for(crowd):
    """PostgreSQL would get used to searches for what is frequent, and then look for a rare thing in the same way."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite plans each statement without its values")
    for _ in range(10):
        search(action="blob.push", cursor=crowd)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%events_auditevent%LIMIT%'")
        assert cursor.fetchone()[0] == 0
        assert connection.connection.prepare_threshold is not None


def assert_postgresql_reads_little(sql):
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        plans = list(_nodes(cursor.fetchone()[0][0]["Plan"]))
    # The crowd lies in the default partition; the months are empty.
    scans = [plan for plan in plans if plan.get("Relation Name") == DEFAULT_PARTITION]
    assert scans
    assert {plan["Node Type"] for plan in scans} <= {"Index Scan", "Bitmap Heap Scan"}, sql
    read = sum((plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) for plan in scans)
    assert read <= 5 * FEW, sql


def assert_sqlite_reads_in_order(sql):
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        steps = [row[3] for row in cursor.fetchall()]
    assert all("USING INDEX" in step for step in steps if step.startswith(("SCAN", "SEARCH"))), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


def _nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def exported(*arguments):
    out = io.StringIO()
    call_command("audit", *arguments, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_the_command_writes_a_line_for_each_event(rows):
    lines = exported()
    assert len(lines) == len(rows)
    first = min(rows, key=lambda row: row.pk)
    assert lines[0] == {
        "occurred_at": "2026-01-01T00:00:00Z",
        "id": first.id,
        "actor": first.actor,
        "credential": "",
        "address": "",
        "request_id": "",
        "action": first.action,
        "team": first.team,
        "repository": first.repository,
        "target": "",
        "outcome": "success",
        "detail": {},
    }


@pytest.mark.parametrize(
    ("arguments", "filters"),
    [
        (["--team=alice", "--team="], {"teams": ["alice", ""]}),
        (["--since=2026-01-04"], {"since": START + timedelta(days=3)}),
        (
            ["--until=2026-01-04T00:00:00+00:00", "--actor=alice"],
            {"until": START + timedelta(days=3), "actor": "alice"},
        ),
        (["--action=tag.", "--repository=alice/app"], {"action": "tag.", "repository": "alice/app"}),
        (["--since=1d"], {"since": datetime.now(UTC) - timedelta(days=1)}),
    ],
)
def test_the_command_takes_the_filters_of_the_search(rows, arguments, filters):
    assert {line["id"] for line in exported(*arguments)} == {row.id for row in rows if is_in(row, **filters)}


@pytest.mark.parametrize("moment", ["yesterday", "2026-13-01", "2026-02-30T00:00:00Z", "7", "99999999999d"])
def test_the_command_refuses_a_moment_that_is_none(moment):
    with pytest.raises(CommandError, match="no date, time or duration"):
        exported(f"--since={moment}")


@pytest.mark.django_db(transaction=True)
def test_the_export_reads_through_a_cursor_of_the_server(rows):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no server; its cursors read a row at a time anyway")
    stream = export()
    next(stream)
    with connection.cursor() as cursor:
        cursor.execute("SELECT is_holdable FROM pg_cursors")
        assert cursor.fetchall() == [(False,)]
    stream.close()


@pytest.mark.django_db(transaction=True)
def test_the_export_may_be_cut_off():
    """`lading audit | head`, on more than the pipe can take."""
    if connection.vendor != "postgresql":
        pytest.skip("another process cannot see the tests' SQLite, which lies in memory")
    database = connection.settings_dict
    url = f"postgresql://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    AuditEvent.objects.bulk_create(
        [AuditEvent(action=AuditAction.BLOB_PUSH, detail={"text": "x" * 100}) for _ in range(3000)], batch_size=1000
    )
    with subprocess.Popen(
        [sys.executable, "manage.py", "audit"],
        env={**os.environ, "REGISTRY_DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        line = process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert json.loads(line)["action"] == "blob.push"
    assert (errors, process.returncode) == ("", 0)
