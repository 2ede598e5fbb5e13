"""Deleting many tags, and what is told of it before."""

from datetime import timedelta

import pytest
from django.utils import timezone

from events.models import AuditEvent
from repositories import bulk_deletes
from repositories.models import Tag, TagHistory, TagRule
from tests.factories import NAME
from tests.management.cast import ask, send, told
from tests.management.test_repositories import only, refused
from tests.management.test_repository_tags import DELETERS, TAGS, push_index

PATH = f"{TAGS}/delete"


def test_tags_by_name(everybody):
    for tag in ("v1", "v2", "v3"):
        everybody["bob"].push_image(tag)
    refused(everybody, "POST", PATH, DELETERS, tags=["v1"])
    answer = send(everybody["mallory"], "POST", PATH, tags=["v1", "v3", "none"])
    assert answer.status == 200
    done = answer.json()
    assert done.pop("restorable_until") > timezone.now().isoformat()
    assert done == {
        "preview": False,
        "deleted": ["v1", "v3"],
        "skipped": [{"tag": "none", "reason": "there is no such tag"}],
        "more": False,
    }
    assert everybody["rita"].tags() == ["v2"]
    assert set(TagHistory.objects.values_list("name", "reason", "ended_by")) == {
        ("v1", "deleted", "mallory"),
        ("v3", "deleted", "mallory"),
    }
    assert AuditEvent.objects.filter(action="tag.delete", actor="mallory", outcome="success").count() == 2


def test_tags_by_pattern_and_age_in_batches(everybody, monkeypatch):
    monkeypatch.setattr(bulk_deletes, "BATCH", 2)
    for number in range(5):
        everybody["bob"].push_image(f"pr-{number}")
    everybody["bob"].push_image("v1")
    Tag.objects.exclude(name="pr-4").update(pushed_at=timezone.now() - timedelta(days=31))
    query = {"match": "pr-*", "older_than": "30d"}
    assert send(everybody["alice"], "POST", PATH, query=query, preview=True).json()["deleted"] == [
        f"pr-{number}" for number in range(4)
    ]
    assert everybody["rita"].tags() == [*(f"pr-{number}" for number in range(5)), "v1"]
    assert len(send(everybody["alice"], "POST", PATH, query=query).json()["deleted"]) == 4
    assert everybody["rita"].tags() == ["pr-4", "v1"]
    monkeypatch.setattr(bulk_deletes, "MOST_TAGS", 1)
    done = send(everybody["alice"], "POST", PATH, query={"match": "**"}).json()
    assert (done["deleted"], done["more"]) == (["pr-4"], True)


def test_protected_tags_are_skipped(everybody, team):
    for tag in ("v1", "x1"):
        everybody["bob"].push_image(tag)
    TagRule.objects.create(team=team, repositories="**", tags="v*", immutable=True)
    for preview in (True, False):
        done = send(everybody["mallory"], "POST", PATH, query={}, preview=preview).json()
        assert done["deleted"] == ["x1"]
        assert [each["tag"] for each in done["skipped"]] == ["v1"]
        assert "immutable" in done["skipped"][0]["reason"]
    assert everybody["rita"].tags() == ["v1"]


def test_a_tag_that_was_pushed_meanwhile_stays(everybody, monkeypatch):
    everybody["bob"].push_image("v1", layers=[b"1"])
    choose = bulk_deletes._choose

    def push_meanwhile(*given):
        chosen = choose(*given)
        everybody["bob"].push_image("v1", layers=[b"2"])
        return chosen

    monkeypatch.setattr(bulk_deletes, "_choose", push_meanwhile)
    done = send(everybody["alice"], "POST", PATH, tags=["v1"]).json()
    assert (done["deleted"], done["skipped"]) == ([], [{"tag": "v1", "reason": "it was pushed meanwhile"}])
    assert everybody["rita"].tags() == ["v1"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"preview": True},
        {"tags": []},
        {"tags": ["v1"], "query": {}},
        {"tags": "v1"},
        {"query": {"match": "v[0-9]"}},
        {"query": {"older_than": "old"}},
        {"query": {"older_than": "99999999d"}},
        {"query": {"newer_than": "3d"}},
        {"tags": ["v1"], "dry_run": True},
    ],
)
def test_selections_that_cannot_be(everybody, fields):
    everybody["bob"].push_image("v1")
    assert told(send(everybody["alice"], "POST", PATH, **fields)) == (400, "bad-request")
    assert everybody["rita"].tags() == ["v1"]


def preview(client, *tags):
    answer = send(client, "POST", PATH, tags=list(tags), preview=True)
    assert answer.status == 200, answer
    return answer.json()


def digests(rows):
    return {row["digest"] for row in rows}


def test_a_preview_tells_siblings_children_referrers_and_bytes(everybody):
    client = everybody["bob"]
    index = push_index(client, "multi", linux_amd64=b"a" * 50, linux_arm64=b"b" * 60)
    signature = client.push_image(None, config=b'{"s": 1}', layers=[b"s" * 7], subject=index.descriptor())
    amd = client.push_image("amd", layers=[b"a" * 50])
    (arm,) = digests(
        send(everybody["rita"], "GET", f"repositories/{NAME}/-/manifests/{index.digest}").json()["children"]
    ) - {amd.digest}
    assert ask(only(everybody, "rita", "charlie"), "POST", PATH, tags=["multi"], preview=True) == {
        "rita": 403,
        "charlie": 404,
    }
    found = preview(everybody["mallory"], "multi")
    # amd stays, by its own tag, and the config is its too.
    assert (digests(found["children"]), digests(found["referrers"])) == ({arm}, {signature.digest})
    assert found["totals"] == {"tags": 1, "manifests": 3, "bytes_freed": 60 + 8 + 7}
    assert found["siblings"] == []
    both = preview(everybody["mallory"], "multi", "amd")
    assert both["totals"] == {"tags": 2, "manifests": 4, "bytes_freed": 50 + 60 + 2 + 8 + 7}
    # A child is kept by its index.
    assert preview(everybody["mallory"], "amd")["totals"] == {"tags": 1, "manifests": 0, "bytes_freed": 0}
    client.push_manifest(index.payload, "again")
    found = preview(everybody["mallory"], "multi")
    assert [sibling["name"] for sibling in found["siblings"]] == ["again"]
    assert found["totals"] == {"tags": 1, "manifests": 0, "bytes_freed": 0}
    assert not TagHistory.objects.exists()


def test_a_preview_names_the_signatures_that_stay(everybody):
    client = everybody["bob"]
    index = push_index(client, "multi", linux_amd64=b"a", linux_arm64=b"b")
    (child, _) = sorted(
        digests(send(everybody["rita"], "GET", f"repositories/{NAME}/-/manifests/{index.digest}").json()["children"])
    )
    other = client.push_image("other", layers=[b"c"])
    names = [
        index.digest.replace(":", "-") + ".sig",
        index.digest.replace(":", "-"),
        child.replace(":", "-") + ".att",
        child.replace(":", "-") + ".sbom",
    ]
    for name in (*names, other.digest.replace(":", "-") + ".sig", index.digest.replace(":", "-") + ".other"):
        client.push_image(name, layers=[b"about"])
        client.push_image(name, name="alice/other", layers=[b"about"])
    found = preview(everybody["mallory"], "multi")
    assert [tag["name"] for tag in found["fallback_tags"]] == sorted(names)
    assert found["totals"]["manifests"] == 3
    # What is deleted with it is no surprise.
    found = preview(everybody["mallory"], "multi", *names[:2])
    assert [tag["name"] for tag in found["fallback_tags"]] == sorted(names[2:])
    assert preview(everybody["mallory"], names[0])["fallback_tags"] == []


def test_a_preview_counts_what_another_repository_holds_as_kept(everybody):
    everybody["bob"].push_image("v1", layers=[b"x" * 10, b"y" * 20])
    everybody["bob"].push_image("v1", name="alice/other", layers=[b"x" * 10])
    assert preview(everybody["alice"], "v1")["totals"]["bytes_freed"] == 20


def test_what_a_preview_says_is_what_comes_back(everybody):
    """An independent count: the bytes that are reachable from tags before, less those after."""
    client = everybody["bob"]
    push_index(client, "multi", linux_amd64=b"a" * 50, linux_arm64=b"b" * 60)
    client.push_image("one", layers=[b"a" * 50, b"c" * 5])
    client.push_image("two", layers=[b"c" * 5, b"d" * 9])
    for tags in (["multi"], ["one"], ["multi", "one"], ["one", "two"], ["multi", "one", "two"]):
        before = reachable(set())
        assert preview(everybody["alice"], *tags)["totals"]["bytes_freed"] == before - reachable(set(tags)), tags


def reachable(without):
    blobs, waiting = {}, [tag.manifest for tag in Tag.objects.all() if tag.name not in without]
    while waiting:
        manifest = waiting.pop()
        blobs |= {each.blob.digest: each.blob.size for each in manifest.blob_references.all()}
        waiting += [each.child for each in manifest.child_references.all() if each.child]
    return sum(blobs.values())
