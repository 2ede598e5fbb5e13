"""The list of damaged blobs."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blobs.models import Blob
from tests.factories import NAME, digest_of
from tests.management.cast import ask, send, told


@pytest.fixture
def damaged(everybody):
    everybody["alice"].push_image("1.0", layers=[b"one", b"two", b"whole"])
    everybody["alice"].push_image("2.0", layers=[b"two"])
    reason = "the bytes have another digest"
    for content in (b"one", b"two"):
        Blob.objects.filter(digest=digest_of(content)).update(quarantined_at=timezone.now(), quarantine_reason=reason)


def test_administrators_and_auditors_see_whom_it_hits(everybody, damaged):
    answer = send(everybody["audrey"], "GET", "quarantine")
    two, one = answer.json()["results"]
    assert [row["digest"] for row in (one, two)] == [digest_of(b"one"), digest_of(b"two")]
    assert one["reason"] == "the bytes have another digest"
    assert one["size_bytes"] == 3
    assert one["teams"] == ["alice"]
    assert one["tags"] == [{"repository": NAME, "tag": "1.0", "team": "alice"}]
    assert [tag["tag"] for tag in two["tags"]] == ["1.0", "2.0"]
    assert two["tag_count"] == 2
    assert send(everybody["admin"], "GET", "quarantine").json() == answer.json()


def test_nobody_else_does(everybody, damaged):
    others = {name: client for name, client in everybody.items() if name not in {"admin", "audrey"}}
    assert set(ask(others, "GET", "quarantine").values()) <= {401, 403}
    assert told(send(everybody["charlie"], "GET", "quarantine"))[0] == 403


def test_pages_follow_each_other(everybody, damaged):
    first = send(everybody["admin"], "GET", "quarantine?limit=1&sort=quarantined").json()
    assert [row["digest"] for row in first["results"]] == [digest_of(b"one")]
    second = everybody["admin"].get(first["next"]).json()
    assert [row["digest"] for row in second["results"]] == [digest_of(b"two")]
    assert second["next"] is None


def test_a_longer_list_costs_no_more_queries(everybody, damaged):
    def cost():
        with CaptureQueriesContext(connection) as captured:
            assert send(everybody["admin"], "GET", "quarantine").status == 200
        return len(captured.captured_queries)

    cost()
    before = cost()
    Blob.objects.update(quarantined_at=timezone.now())
    assert cost() == before
