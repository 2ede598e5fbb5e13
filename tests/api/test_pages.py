"""Keyset pages: every row once, in every order, also while rows come and go."""

import base64
import json
from datetime import UTC, datetime, timedelta
from itertools import chain
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.db.models import CharField, F, Value
from django.db.models.functions import Concat
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from accounts.models import Team
from registry_project.pages import read_page
from registry_project.parameters import Order

pytestmark = pytest.mark.django_db
PROBES = "/api/v1/probes"
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
QUOTAS = [5, None, 7, 5, None, 2**62, 0, 5, None, 7, 1]


@pytest.fixture(autouse=True)
def teams(settings):
    settings.ROOT_URLCONF = "tests.api.probe"
    # Created in pairs at one moment, so that the order has ties and microseconds.
    rows = [
        Team(slug=f"team-{n:02}", quota_bytes=quota, created_at=EPOCH + timedelta(microseconds=n // 2))
        for n, quota in enumerate(QUOTAS)
    ]
    Team.objects.bulk_create(rows)
    return list(Team.objects.order_by("id"))


def expected(teams, column, descending):
    """Nulls last, ties by id in the direction of the order."""
    teams = sorted(teams, key=lambda team: team.id, reverse=descending)
    known = [team for team in teams if getattr(team, column) is not None]
    known.sort(key=lambda team: getattr(team, column), reverse=descending)
    return [team.slug for team in known + [team for team in teams if getattr(team, column) is None]]


def walk(registry, url):
    pages = []
    while url:
        answer = registry.get(url)
        assert answer.status == 200, answer
        pages.append([row["slug"] for row in answer.json()["results"]])
        url = answer.json()["next"]
        assert len(pages) < 30
    return pages


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 11, 12, 200])
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(("name", "column"), [("slug", "slug"), ("quota", "quota_bytes"), ("created", "created_at")])
def test_pages_hold_every_row_once_in_order(registry, teams, name, column, sign, limit):
    pages = walk(registry, f"{PROBES}?sort={sign}{name}&limit={limit}")
    assert list(chain(*pages)) == expected(teams, column, bool(sign))
    assert all(len(page) == limit for page in pages[:-1])
    assert 0 < len(pages[-1]) <= limit


def test_next_is_relative_and_keeps_the_other_parameters(registry):
    following = registry.get(f"{PROBES}?search=team&limit=2&sort=-slug").json()["next"]
    parts = urlsplit(following)
    assert (parts.scheme, parts.netloc, parts.path) == ("", "", PROBES)
    query = parse_qs(parts.query)
    assert query.pop("cursor")
    assert query == {"search": ["team"], "limit": ["2"], "sort": ["-slug"]}


def test_without_a_limit_a_page_has_fifty(registry):
    Team.objects.bulk_create(Team(slug=f"more-{n}") for n in range(60))
    assert len(registry.get(PROBES).json()["results"]) == 50


def test_rows_that_go_and_come_disturb_no_other(registry, teams):
    first = registry.get(f"{PROBES}?limit=3").json()
    Team.objects.filter(slug__in=["team-01", "team-02"]).delete()
    Team.objects.create(slug="team-00a")
    rest = walk(registry, first["next"])
    assert list(chain(*rest)) == [f"team-{n:02}" for n in range(3, 11)]


def encoded(*values):
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


BAD = [
    "x",
    "%00",
    "é",
    "=",
    "AAAA",
    "a" * 4097,
    base64.b64encode(b"[" * 3000).decode(),
    encoded(),
    encoded("quota"),
    encoded("quota_bytes"),
    encoded("quota_bytes", 5),
    encoded("quota_bytes", 5, 1, 1),
    encoded("-quota_bytes", 5, 1),
    encoded("slug", "team-01", 1),
    encoded("password", "a", 1),
    encoded("quota_bytes", "5", 1),
    encoded("quota_bytes", "a", 1),
    encoded("quota_bytes", 5.0, 1),
    encoded("quota_bytes", True, 1),
    encoded("quota_bytes", 5, None),
    encoded("quota_bytes", [5], 1),
    encoded("quota_bytes", {"a": 5}, 1),
    encoded(["quota_bytes"], 5, 1),
    encoded("quota_bytes", 5, "1"),
    encoded("quota_bytes", 5, 1) + "=",
    encoded("quota_bytes", 5, 1) + "A",
    base64.urlsafe_b64encode(b'["quota_bytes", 5, 1]').decode().rstrip("="),
    base64.urlsafe_b64encode(b'["quota_bytes",NaN,1]').decode().rstrip("="),
]


@pytest.mark.parametrize("cursor", BAD, ids=range(len(BAD)))
def test_cursor_that_was_not_made_here_for_this_order_is_refused(registry, cursor):
    answer = registry.get(f"{PROBES}?sort=quota&cursor={cursor}")
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["fields"].keys() == {"cursor"}


@pytest.mark.parametrize(
    ("sort", "cursor"),
    [
        ("slug", encoded("slug", "a\0", 1)),
        ("slug", encoded("slug", "\ud800", 1)),
        ("slug", encoded("slug", None, 1)),
        ("slug", encoded("slug", 5, 1)),
        ("created", encoded("created_at", "2025-01-01", 1)),
        ("created", encoded("created_at", "2025-01-01T00:00:00", 1)),
        ("created", encoded("created_at", 5, 1)),
        ("created", encoded("created_at", None, 1)),
        ("created", encoded("created_at", "x", 1)),
    ],
)
def test_value_that_the_column_cannot_hold_is_refused(registry, sort, cursor):
    assert registry.get(f"{PROBES}?sort={sort}&cursor={cursor}").status == 400


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40])
def test_number_beyond_the_column_is_only_a_place(registry, number):
    assert registry.get(f"{PROBES}?sort=quota&cursor={encoded('quota_bytes', number, 1)}").status == 200
    assert registry.get(f"{PROBES}?sort=quota&cursor={encoded('quota_bytes', 5, number)}").status == 200


def page_through(queryset, **options):
    rows, cursor = [], None
    for _ in range(20):
        request = RequestFactory().get("/x y/ü", {"cursor": cursor} if cursor else {})
        page = read_page(request, queryset, limit=3, cursor=cursor, **options)
        rows += page.rows
        if page.next is None:
            return rows
        assert page.next.startswith("/x%20y/%C3%BC?cursor=")
        cursor = parse_qs(urlsplit(page.next).query)["cursor"][0]
    raise AssertionError("too many pages")


@pytest.mark.parametrize("descending", [False, True])
def test_unique_key_alone_needs_no_second_column(teams, descending):
    rows = page_through(Team.objects.all(), order=Order("slug", descending), key="slug")
    assert [row.slug for row in rows] == sorted((team.slug for team in teams), reverse=descending)
    rows = page_through(Team.objects.all(), order=Order("pk", descending))
    assert [row.id for row in rows] == sorted((team.id for team in teams), reverse=descending)


def test_annotations_and_dictionaries_are_rows_too(teams):
    named = Team.objects.annotate(name=Concat(Value("x-"), F("slug"), output_field=CharField())).values("id", "name")
    rows = page_through(named, order=Order("name", descending=True), key="id")
    assert [row["name"] for row in rows] == [f"x-team-{n:02}" for n in reversed(range(11))]


@pytest.mark.parametrize(("column", "special"), [("created_at", False), ("slug", False), ("quota_bytes", True)])
def test_only_a_column_with_nulls_gets_an_order_that_a_plain_index_does_not_serve(column, special):
    with CaptureQueriesContext(connection) as captured:
        read_page(RequestFactory().get("/"), Team.objects.all(), order=Order(column), limit=3, cursor=None)
    assert ("NULLS LAST" in captured.captured_queries[0]["sql"]) == special
