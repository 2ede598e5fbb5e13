"""Tags that a team declares immutable, or reserves for a role."""

import pytest

from accounts.models import Team
from repositories.models import TagHistory, TagRule
from tests.factories import NAME, image_manifest

HEX = "0" * 64


@pytest.fixture
def rule(team):
    return lambda **fields: TagRule.objects.create(team=team, **{"repositories": "**", "tags": "v*", **fields})


def push(client, tag, layer=b"a", name=NAME):
    client.push_blob(b"{}", name)
    client.push_blob(layer, name)
    return client.put_manifest(image_manifest(layers=[layer]), tag, name)


def test_an_immutable_tag_never_moves(people, rule):
    rule(immutable=True)
    assert push(people["bob"], "v1").status == 201
    assert push(people["bob"], "v1").status == 201  # the same again
    for name in ("bob", "alice", "admin"):
        answer = push(people[name], "v1", b"b")
        assert (answer.status, answer.codes) == (403, ["DENIED"])
        assert "tag v1 points to another manifest" in answer.json()["errors"][0]["message"]
    assert push(people["bob"], "latest", b"b").status == 201
    assert not TagHistory.objects.exists()


def test_only_an_owner_deletes_an_immutable_tag(people, rule):
    rule(immutable=True)
    digest = push(people["bob"], "v1").headers["Docker-Content-Digest"]
    for reference in ("v1", digest):
        assert people["mallory"].delete(f"/v2/{NAME}/manifests/{reference}").status == 403
    assert people["alice"].delete(f"/v2/{NAME}/manifests/v1").status == 202
    assert push(people["bob"], "v1", b"b").status == 201


@pytest.mark.parametrize("suffix", ["", ".sig", ".att", ".sbom"])
def test_what_clients_write_again_is_exempt(people, rule, suffix):
    rule(tags="**", immutable=True)
    tag = f"sha256-{HEX}{suffix}"
    assert push(people["bob"], tag).status == 201
    assert push(people["bob"], tag, b"b").status == 201
    assert push(people["bob"], "sha256-short", b"a").status == 201
    assert push(people["bob"], "sha256-short", b"b").status == 403


def test_a_tag_reserved_for_a_role(people, rule):
    rule(role="maintainer")
    answer = push(people["bob"], "v1")
    assert (answer.status, answer.codes) == (403, ["DENIED"])
    assert "lets maintainer and above write tag v1, not developer" in answer.json()["errors"][0]["message"]
    assert push(people["mallory"], "v1").status == 201
    assert push(people["bob"], "w1").status == 201
    rule(tags="v1", role="owner")
    assert people["mallory"].delete(f"/v2/{NAME}/manifests/v1").status == 403
    assert people["alice"].delete(f"/v2/{NAME}/manifests/v1").status == 202


def test_a_rule_is_for_repositories_that_it_names(people, rule):
    rule(repositories="prod/*", immutable=True)
    for name, status in (("alice/prod/app", 403), ("alice/prod-app", 201), ("alice/app", 201)):
        assert push(people["bob"], "v1", name=name).status == 201
        assert push(people["bob"], "v1", b"b", name=name).status == status


def test_rules_of_another_team_do_not_matter(people):
    other = Team.objects.create(slug="other")
    TagRule.objects.create(team=other, repositories="**", tags="**", immutable=True, role="owner")
    assert push(people["bob"], "v1").status == 201
    assert push(people["bob"], "v1", b"b").status == 201


def test_none_of_several_tags_moves_when_one_must_not(people, rule):
    rule(immutable=True)
    push(people["bob"], "v1")
    people["bob"].push_blob(b"b")
    document = image_manifest(layers=[b"b"])
    pushed = people["bob"].put_manifest(document, "other")
    digest = pushed.headers["Docker-Content-Digest"]
    answer = people["bob"].put_manifest(document, f"{digest}?tag=a&tag=v1&tag=w")
    assert answer.status == 403
    assert people["bob"].tags() == ["other", "v1"]
