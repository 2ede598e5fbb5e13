"""When tags and manifests were pulled last."""

import re
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry_gc.retention.facts import ManifestFact, RepositoryFacts, TagFact, used_at
from registry_project.metrics import REGISTRY
from repositories import pulls
from repositories.models import Manifest, Tag
from tests.factories import NAME, index_manifest
from tests.management.cast import send
from tests.management.test_repository_tags import TAGS, push_index, rows

PATH = f"/v2/{NAME}/manifests"


@pytest.fixture(autouse=True)
def nothing_noted():
    pulls._noted.clear()


def pulled(model):
    return [row.pulled_at is not None for row in model.objects.order_by("pk")]


def pulled_tags(client):
    return {row["name"] for row in rows(client) if row["pulled_at"]}


def ignored(by):
    return REGISTRY.get_sample_value("lading_pulls_ignored_total", {"by": by}) or 0


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


@pytest.mark.parametrize("reference", ["v1", "digest"])
def test_a_pull_counts_for_every_tag_of_the_manifest(everybody, reference):
    bob = everybody["bob"]
    image, _ = bob.push_image("v1"), bob.push_image("latest")
    bob.push_image("other", layers=[b"other"])
    everybody["rita"].get(f"{PATH}/{image.digest if reference == 'digest' else reference}")
    pulls.write_pulls()
    assert pulled_tags(everybody["rita"]) == {"v1", "latest"}
    assert pulled(Manifest) == [True, False]


def test_a_pull_of_what_the_client_has_already_counts(everybody):
    image = everybody["bob"].push_image("v1")
    assert everybody["rita"].get(f"{PATH}/v1", If_None_Match=image.digest).status == 304
    pulls.write_pulls()
    assert pulled_tags(everybody["rita"]) == {"v1"}


def test_a_pull_of_a_child_counts_for_its_indexes_and_not_for_its_siblings(everybody):
    bob = everybody["bob"]
    index = push_index(bob, linux_amd64=b"1", linux_arm64=b"2")
    child = Manifest.objects.get(child_references=None, parent_references__platform="linux/amd64")
    bob.push_manifest(index_manifest([index.descriptor()]), "outer")
    push_index(bob, "other", linux_riscv64=b"3")
    everybody["rita"].get(f"{PATH}/{child.digest}")
    pulls.write_pulls()
    assert pulled_tags(everybody["rita"]) == {"multi", "outer"}
    used = Manifest.objects.exclude(pulled_at=None)
    assert set(used) == {child, *Manifest.objects.filter(tags__name__in=["multi", "outer"])}


def test_a_pull_of_an_index_does_not_count_for_its_children(everybody):
    push_index(everybody["bob"], linux_amd64=b"1")
    everybody["rita"].get(f"{PATH}/multi")
    pulls.write_pulls()
    assert pulled(Manifest) == [False, True]


def test_the_recorded_times_are_those_that_retention_judges_by(everybody):
    bob = everybody["bob"]
    push_index(bob, linux_amd64=b"1", linux_arm64=b"2")
    bob.push_image("v1", layers=[b"v1"])
    for child in Manifest.objects.exclude(parent_references=None):
        everybody["rita"].get(f"{PATH}/{child.digest}")
    pulls.write_pulls()
    everything = RepositoryFacts(
        NAME, [], {row.digest: fact_of(row) for row in Manifest.objects.prefetch_related("child_references")}
    )
    for tag in Tag.objects.select_related("manifest"):
        fact = TagFact(tag.name, tag.manifest.digest, tag.pushed_at, tag.pulled_at)
        judged = used_at(fact.pushed_at, None, everything.manifests[fact.digest], everything)
        assert used_at(fact.pushed_at, fact.pulled_at, None, RepositoryFacts(NAME, [fact])) == judged
        assert judged == (tag.pulled_at if tag.name == "multi" else tag.pushed_at)


def fact_of(manifest):
    children = tuple(child.digest for child in manifest.child_references.all())
    return ManifestFact(manifest.digest, manifest.pushed_at, manifest.pulled_at, children)


def test_a_child_of_many_indexes_is_written_a_few_rows_at_a_time_and_once_a_minute(everybody, monkeypatch):
    bob = everybody["bob"]
    child = bob.push_image("v5")
    bob.push_image("v6")
    bob.push_image("v7")
    for number in range(5):
        bob.push_manifest(index_manifest([child.descriptor()], annotations={"n": str(number)}), f"v{number}")
    monkeypatch.setattr(pulls, "BATCH", 2)
    for statements in ([2, 2, 2, 2, 2, 2, 2], []):
        everybody["rita"].get(f"{PATH}/{child.digest}")
        with CaptureQueriesContext(connection) as captured:
            pulls.write_pulls()
        updates = [query["sql"] for query in captured if query["sql"].startswith("UPDATE")]
        changed = [len(re.search(r"IN \(([0-9, ]+)\)", sql)[1].split(",")) for sql in updates]
        assert sorted(changed, reverse=True) == statements
    assert pulled_tags(everybody["rita"]) == {f"v{number}" for number in range(8)}


@pytest.mark.parametrize(
    ("agent", "by"),
    [
        ("trivy/0.58.1", "trivy"),
        ("Trivy/0.58.1", "trivy"),
        ("/usr/local/bin/grype go-containerregistry/v0.20.2", "grype"),
        ("regclient/regsync (v0.8.0)", "regsync"),
        ("RenovateBot/39.1.0 (https://github.com/renovatebot/renovate)", "renovatebot"),
        ("trivyal/1.0", None),
        ("my-trivy/1.0", None),
        ("skopeo/1.16.1", None),
        ("containerd/v2.0.0", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pulls_by_scanners_and_mirrors_are_no_use(everybody, method, agent, by):
    everybody["bob"].push_image("v1")
    before = ignored(by)
    assert everybody["rita"].request(method, f"{PATH}/v1", User_Agent=agent).status == 200
    pulls.write_pulls()
    assert pulled_tags(everybody["rita"]) == (set() if by else {"v1"})
    assert ignored(by) - before == (1 if by else 0)


def test_pulls_by_accounts_that_are_named_are_no_use(everybody, settings):
    settings.PULLS_IGNORED_ACCOUNTS = frozenset({"alice+builder"})
    everybody["bob"].push_image("v1")
    before = ignored("alice+builder")
    assert everybody["robot"].get(f"{PATH}/v1").status == 200
    pulls.write_pulls()
    assert pulled_tags(everybody["rita"]) == set()
    assert ignored("alice+builder") == before + 1
    everybody["rita"].get(f"{PATH}/v1")
    pulls.write_pulls()
    assert pulled_tags(everybody["rita"]) == {"v1"}


def test_an_empty_list_ignores_nobody(everybody, settings):
    settings.PULLS_IGNORED_AGENTS = ()
    everybody["bob"].push_image("v1")
    everybody["rita"].get(f"{PATH}/v1", User_Agent="regclient/regsync (v0.8.0)")
    pulls.write_pulls()
    assert pulled_tags(everybody["rita"]) == {"v1"}


def test_recording_a_pull_costs_no_statement(everybody):
    push_index(everybody["bob"], linux_amd64=b"1")
    child = Manifest.objects.exclude(parent_references=None).get()
    everybody["rita"].get(f"{PATH}/multi")
    counts = []
    for headers in ({}, {"User_Agent": "trivy/0.58.1"}):
        with CaptureQueriesContext(connection) as captured:
            assert everybody["rita"].get(f"{PATH}/{child.digest}", **headers).status == 200
        counts.append([query["sql"] for query in captured if not query["sql"].startswith(("BEGIN", "COMMIT"))])
    assert counts[0] == counts[1]
    assert sum("repositories_manifest" in sql for sql in counts[0]) == 1


def test_the_same_image_pushed_again_and_a_restored_one_count_as_pushed(everybody):
    bob, rita = everybody["bob"], everybody["rita"]
    first = bob.push_image("v1", layers=[b"1"])
    times = [pushed_at(rita)]
    bob.push_image("v1", layers=[b"1"])
    times.append(pushed_at(rita))
    bob.push_image("v1", layers=[b"2"])
    times.append(pushed_at(rita))
    for _ in range(2):
        restored = send(everybody["alice"], "POST", f"{TAGS}/v1/restore", digest=first.digest)
        assert restored.status == 200
        times.append(pushed_at(rita))
    assert times == sorted(set(times))


def pushed_at(client):
    return datetime.fromisoformat(rows(client)[0]["pushed_at"])


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
    assert not pulls._noted
