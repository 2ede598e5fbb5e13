"""When tags and manifests were pulled last."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from repositories import pulls
from repositories.models import Manifest, Tag
from tests.factories import NAME
from tests.management.cast import send
from tests.management.test_repository_tags import TAGS, rows

PATH = f"/v2/{NAME}/manifests"


@pytest.fixture(autouse=True)
def nothing_noted():
    for noted in pulls._noted.values():
        noted.clear()


def pulled(model):
    return [row.pulled_at is not None for row in model.objects.order_by("pk")]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_pull_is_written_later_and_never_by_the_pull(everybody, method):
    everybody["bob"].push_image("v1", layers=[b"1"])
    everybody["bob"].push_image("v2", layers=[b"2"])
    with CaptureQueriesContext(connection) as captured:
        assert everybody["rita"].request(method, f"{PATH}/v1").status == 200
    assert not any(query["sql"].startswith(("UPDATE", "INSERT")) for query in captured.captured_queries)
    assert (pulled(Tag), pulled(Manifest)) == ([False, False], [False, False])
    pulls.write_pulls()
    assert (pulled(Tag), pulled(Manifest)) == ([True, False], [True, False])
    assert timezone.now() - Tag.objects.get(name="v1").pulled_at < timedelta(minutes=1)
    assert [row["pulled_at"] is not None for row in rows(everybody["rita"])] == [True, False]
    assert [row["name"] for row in rows(everybody["rita"], "?sort=-pulled")] == ["v1", "v2"]
    with CaptureQueriesContext(connection) as captured:
        pulls.write_pulls()
    assert captured.captured_queries == []


def test_a_pull_by_digest_is_one_of_the_manifest(everybody):
    image = everybody["bob"].push_image("v1")
    everybody["rita"].get(f"{PATH}/{image.digest}")
    pulls.write_pulls()
    assert (pulled(Tag), pulled(Manifest)) == ([False], [True])


def test_refused_and_managed_is_not_pulled(everybody):
    image = everybody["bob"].push_image("v1")
    assert everybody["charlie"].get(f"{PATH}/v1").status == 404
    send(everybody["rita"], "GET", f"{TAGS}/v1")
    send(everybody["rita"], "GET", f"repositories/{NAME}/-/manifests/{image.digest}")
    pulls.write_pulls()
    assert (pulled(Tag), pulled(Manifest)) == ([False], [False])


def test_an_older_note_does_not_turn_the_clock_back_and_what_is_gone_is_forgotten(everybody):
    everybody["bob"].push_image("v1")
    everybody["bob"].push_image("v2")
    later = timezone.now() + timedelta(hours=1)
    Tag.objects.update(pulled_at=later)
    for tag in ("v1", "v2"):
        everybody["rita"].get(f"{PATH}/{tag}")
    send(everybody["alice"], "DELETE", f"{TAGS}/v2")
    pulls.write_pulls()
    assert Tag.objects.get().pulled_at == later
    assert not any(pulls._noted.values())
