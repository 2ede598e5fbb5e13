"""Tags and manifests in the management API."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events.models import AuditEvent
from registry_project.openapi import openapi_document
from repositories.expiry import end_expired_tags
from repositories.models import Manifest, Tag, TagHistory, TagRule
from repositories.tasks import end_expired
from tests.factories import NAME, digest_of, index_manifest
from tests.management.cast import API, ask, send, told
from tests.management.test_repositories import READERS, REFUSED, refused

TAGS = f"repositories/{NAME}/-/tags"
DELETERS = {**REFUSED, "bob": 403}
CONFIG = "application/vnd.oci.image.config.v1+json"


def rows(client, query=""):
    answer = send(client, "GET", f"{TAGS}{query}")
    assert answer.status == 200, answer
    return answer.json()["results"]


def push_index(client, tag="multi", **platforms):
    """An index of images, each with a layer of its own, by platform."""
    children = []
    for name, layer in platforms.items():
        child = client.push_image(None, layers=[layer])
        system, architecture = name.split("_")
        platform = {"os": system, "architecture": architecture}
        children.append(child.descriptor(platform=platform))
    return client.push_manifest(index_manifest(children), tag)


def test_a_row(everybody, team):
    pushed = everybody["bob"].push_image("v1", layers=[b"x" * 98])
    TagRule.objects.create(team=team, repositories="**", tags="v*", role="maintainer")
    assert ask(everybody, "GET", TAGS) == READERS
    assert ask(everybody, "GET", f"{TAGS}/v1") == READERS
    (row,) = rows(everybody["rita"])
    assert send(everybody["rita"], "GET", f"{TAGS}/v1").json() == row
    assert row.pop("pushed_at") > "2025"
    assert row == {
        "name": "v1",
        "digest": pushed.digest,
        "media_type": "application/vnd.oci.image.manifest.v1+json",
        "size_bytes": 100 + len(pushed.payload),
        "platforms": [],
        "pushed_by": "bob",
        "pulled_at": None,
        "expires_at": None,
        "protected": True,
        "immutable": False,
        "reserved_for": "maintainer",
        "retention": None,
    }


def test_an_index_has_the_platforms_and_the_size_of_its_children(everybody):
    index = push_index(everybody["bob"], linux_amd64=b"a" * 50, linux_arm64=b"b" * 60)
    everybody["bob"].push_image("amd", layers=[b"a" * 50])
    alone, multi = rows(everybody["rita"])
    assert (multi["platforms"], alone["platforms"]) == (["linux/amd64", "linux/arm64"], ["linux/amd64"])
    manifests = sum(len(manifest.payload) for manifest in Manifest.objects.all())
    assert multi["size_bytes"] == manifests + 50 + 60 + 2 * len(b"{}")
    assert multi["digest"] == index.digest


def test_search_sort_and_pages_go_over_the_whole_set(everybody):
    for number in (2, 0, 1):
        everybody["bob"].push_image(f"v{number}", layers=[b"x" * (10 - number)])
    everybody["bob"].push_image("Latest")

    def found(query):
        return [row["name"] for row in rows(everybody["rita"], query)]

    assert found("") == ["Latest", "v0", "v1", "v2"]
    assert found("?sort=-name&search=V") == ["v2", "v1", "v0"]
    assert found("?sort=-pushed&search=v") == ["v1", "v0", "v2"]
    assert found("?sort=size&search=v") == ["v2", "v1", "v0"]
    seen, path = [], f"{TAGS}?sort=-pushed&limit=1"
    while path:
        page = send(everybody["rita"], "GET", path).json()
        seen += [row["name"] for row in page["results"]]
        path = (page["next"] or "").removeprefix("/api/v1/")
    assert seen == ["Latest", "v1", "v0", "v2"]


def test_longer_lists_cost_no_more_statements(everybody):
    def cost(path):
        with CaptureQueriesContext(connection) as captured:
            assert send(everybody["rita"], "GET", path).status == 200
        return len(captured.captured_queries)

    paths = ("repositories", TAGS, f"repositories/{NAME}/-/trash", f"{TAGS}/t0/history", "teams/alice/trash")
    costs = None
    for turn in range(2):
        for number in range(3):
            client = everybody["bob"]
            push_index(client, f"t{number}", linux_amd64=b"%d %d" % (turn, number))
            push_index(client, f"gone-{turn}-{number}", linux_arm64=b"%d %d" % (turn, number))
            send(everybody["alice"], "DELETE", f"{TAGS}/gone-{turn}-{number}")
            client.push_image(name=f"alice/{turn}-{number}")
            client.push_image(name=f"alice/old-{turn}-{number}")
            send(everybody["alice"], "DELETE", f"repositories/alice/old-{turn}-{number}")
        send(everybody["rita"], "GET", TAGS)
        now = [cost(path) for path in paths]
        assert costs in (None, now)
        costs = now
    assert max(costs) <= 6, costs


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="EXPLAIN speaks PostgreSQL")
@pytest.mark.parametrize("sort", ["name", "-name", "pushed", "-pushed"])
def test_a_page_of_50000_tags_is_read_from_an_index(everybody, sort):
    everybody["bob"].push_image()
    tag = Tag.objects.get()
    now = timezone.now()
    Tag.objects.bulk_create(
        [
            Tag(repository=tag.repository, manifest=tag.manifest, name=f"t{n:05}", pushed_at=now - timedelta(minutes=n))
            for n in range(50_000)
        ],
        batch_size=5000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE repositories_tag")
        first = send(everybody["rita"], "GET", f"{TAGS}?sort={sort}").json()["next"].removeprefix("/api/v1/")
        with CaptureQueriesContext(connection) as captured:
            assert len(send(everybody["rita"], "GET", first).json()["results"]) == 50
        (sql,) = [
            query["sql"] for query in captured if 'FROM "repositories_tag"' in query["sql"] and "LIMIT" in query["sql"]
        ]
        cursor.execute(f"EXPLAIN {sql}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan on repositories_tag" not in plan, plan
    assert "Sort" not in plan, plan
    assert ("repositories_tag_by_push" if "pushed" in sort else "tag_name_unique").split("repositories_")[-1] in plan, (
        plan
    )


def test_deleting_a_tag(everybody):
    everybody["bob"].push_image("v1")
    everybody["bob"].push_image("v2")
    refused(everybody, "DELETE", f"{TAGS}/v1", DELETERS)
    assert send(everybody["robot"], "DELETE", f"{TAGS}/v1").status == 204
    assert [row["name"] for row in rows(everybody["rita"])] == ["v2"]
    for method in ("GET", "DELETE"):
        assert told(send(everybody["alice"], method, f"{TAGS}/v1")) == (404, "manifest-unknown")
    assert told(send(everybody["alice"], "DELETE", f"{TAGS}/-no-tag")) == (400, "tag-invalid")


def test_a_tag_that_is_called_delete(everybody):
    everybody["bob"].push_image("delete")
    assert send(everybody["rita"], "GET", f"{TAGS}/delete").json()["name"] == "delete"
    assert send(everybody["alice"], "DELETE", f"{TAGS}/delete").status == 204
    assert rows(everybody["rita"]) == []


def test_a_tag_ends_when_it_was_told_to(everybody, settings):
    pushed = everybody["bob"].push_image("pr-1")
    everybody["bob"].push_image("pr-2")
    moment = timezone.now() + timedelta(hours=1)
    fields = {"expires_at": moment.isoformat()}
    refused(everybody, "PATCH", f"{TAGS}/pr-1", DELETERS, **fields)
    row = send(everybody["mallory"], "PATCH", f"{TAGS}/pr-1", **fields).json()
    assert row["expires_at"] == moment.isoformat().replace("+00:00", "Z")
    assert end_expired_tags(now=moment - timedelta(seconds=1)) == 0
    settings.READ_ONLY = True
    Tag.objects.update(expires_at=timezone.now())
    end_expired()
    assert Tag.objects.count() == 2
    Tag.objects.filter(name="pr-2").update(expires_at=None)
    settings.READ_ONLY = False
    end_expired()
    assert [row["name"] for row in rows(everybody["rita"])] == ["pr-2"]
    ended = TagHistory.objects.get()
    assert (ended.reason, ended.ended_by, ended.restorable_until > timezone.now()) == ("expired", "", True)
    event = AuditEvent.objects.get(action="tag.expire")
    assert (event.target, event.credential, event.detail) == ("pr-1", "system", {"from": pushed.digest})


def test_a_push_takes_the_end_away(everybody):
    pushed = everybody["bob"].push_image("pr-1")
    send(everybody["alice"], "PATCH", f"{TAGS}/pr-1", expires_at=(timezone.now() + timedelta(hours=1)).isoformat())
    everybody["bob"].push_manifest(pushed.payload, "pr-1")
    assert rows(everybody["rita"])[0]["expires_at"] is None
    send(everybody["alice"], "PATCH", f"{TAGS}/pr-1", expires_at=(timezone.now() + timedelta(hours=1)).isoformat())
    assert send(everybody["alice"], "PATCH", f"{TAGS}/pr-1", expires_at=None).json()["expires_at"] is None


def test_ends_that_cannot_be(everybody, team):
    everybody["bob"].push_image("v1")
    later = (timezone.now() + timedelta(hours=1)).isoformat()
    for wrong in ({"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at": "soon"}, {}):
        assert told(send(everybody["alice"], "PATCH", f"{TAGS}/v1", **wrong)) == (400, "bad-request")
    assert told(send(everybody["alice"], "PATCH", f"{TAGS}/v2", expires_at=later)) == (404, "manifest-unknown")
    TagRule.objects.create(team=team, repositories="**", tags="v*", immutable=True)
    assert told(send(everybody["mallory"], "PATCH", f"{TAGS}/v1", expires_at=later)) == (403, "forbidden")
    assert send(everybody["alice"], "PATCH", f"{TAGS}/v1", expires_at=later).status == 200


def test_a_manifest_and_its_relations(everybody):
    client = everybody["bob"]
    config = json.dumps({"os": "linux", "history": [{"created_by": "RUN make"}, {"empty_layer": True}]}).encode()
    image = client.push_image("v1", config=config, layers=[b"one", b"three"])
    index = client.push_manifest(
        index_manifest([image.descriptor(platform={"os": "linux", "architecture": "arm"})]), "i"
    )
    signature = client.push_image(None, subject=image.descriptor(), artifactType="application/x.signature")
    path = f"repositories/{NAME}/-/manifests"
    assert ask(everybody, "GET", f"{path}/{image.digest}") == READERS
    found = send(everybody["rita"], "GET", f"{path}/{image.digest}").json()
    assert found["payload"].encode() == image.payload
    assert [(layer["digest"], layer["size_bytes"]) for layer in found["layers"]] == [
        (digest_of(b"one"), 3),
        (digest_of(b"three"), 5),
    ]
    assert found["config"]["digest"] == digest_of(config)
    assert found["config"]["document"] == json.loads(config)
    assert found["history"] == [{"created_by": "RUN make"}, {"empty_layer": True}]
    assert (found["tags"], found["children"]) == (["v1"], [])
    assert [parent["digest"] for parent in found["parents"]] == [index.digest]
    assert [(each["digest"], each["artifact_type"]) for each in found["referrers"]] == [
        (signature.digest, "application/x.signature")
    ]
    (child,) = send(everybody["rita"], "GET", f"{path}/{index.digest}").json()["children"]
    assert (child["digest"], child["platform"], child["media_type"]) == (
        image.digest,
        "linux/arm",
        "application/vnd.oci.image.manifest.v1+json",
    )
    assert send(everybody["rita"], "GET", f"{path}/{signature.digest}").json()["subject"] == image.digest


@pytest.mark.parametrize(
    "config", [b"no json", b'{"history": "none"}', b"[]", b'{"a": 1, "a": 2}', b"{" + b" " * 5_000_000 + b"}"]
)
def test_a_config_that_is_none(everybody, config):
    image = everybody["bob"].push_image("v1", config=config)
    answer = send(everybody["rita"], "GET", f"repositories/{NAME}/-/manifests/{image.digest}")
    assert (answer.status, answer.json()["history"]) == (200, [])


def test_a_manifest_that_is_not_there(everybody):
    image = everybody["bob"].push_image("v1")
    path = f"repositories/{NAME}/-/manifests"
    assert told(send(everybody["rita"], "GET", f"{path}/{digest_of(b'other')}")) == (404, "manifest-unknown")
    assert told(send(everybody["rita"], "GET", f"{path}/v1")) == (400, "digest-invalid")
    everybody["alice"].delete(f"/v2/{NAME}/manifests/{image.digest}")
    assert told(send(everybody["rita"], "GET", f"{path}/{image.digest}")) == (404, "manifest-unknown")


def test_the_document_has_every_path_of_the_contract():
    named = "repositories/{name}"
    contract = {
        "repositories": {"get"},
        named: {"get", "patch", "delete"},
        f"{named}/-/tags": {"get"},
        f"{named}/-/tags/delete": {"post"},
        f"{named}/-/tags/{{tag}}": {"get", "patch", "delete"},
        f"{named}/-/tags/{{tag}}/history": {"get"},
        f"{named}/-/tags/{{tag}}/restore": {"post"},
        f"{named}/-/manifests/{{digest}}": {"get"},
        f"{named}/-/trash": {"get", "delete"},
        "teams/{team}/trash": {"get"},
        "teams/{team}/trash/{repository_id}/restore": {"post"},
    }
    paths = openapi_document()["paths"]
    assert {path: set(paths[f"{API}/{path}"]) for path in contract} == contract
