"""A team's quota: refused at the start, at the blob and at the manifest, and always told with what is free."""

import pytest

from accounts.models import Team
from blobs.models import StorageDeletion, TeamUsage, UploadSession, UsageDelta
from blobs.tasks import roll_up
from blobs.usage import recount, usage_of
from tests.factories import NAME, digest_of, image_manifest


@pytest.fixture
def quota(team):
    def set_quota(quota_bytes):
        Team.objects.filter(pk=team.pk).update(quota_bytes=quota_bytes)

    return set_quota


def message(answer):
    assert (answer.status, answer.codes) == (403, ["DENIED"]), answer
    return answer.json()["errors"][0]["message"]


def post(client, content, name=NAME):
    return client.post(f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}", content)


def test_refuses_at_the_start_what_is_known_to_be_too_large(people, quota, team):
    quota(1000)
    people["bob"].push_blob(b"x" * 900)
    refused = message(post(people["bob"], b"y" * 101))
    assert "team alice uses 900 bytes of 1000 bytes, so 100 bytes are free; this needs 101 bytes" in refused
    assert post(people["bob"], b"y" * 100).status == 201
    assert "0 bytes are free" in message(people["bob"].post(f"/v2/{NAME}/blobs/uploads/"))
    assert usage_of(team.pk) == recount(team.pk) == 1000


def test_refuses_when_it_turns_out_to_be_too_large_and_lets_the_bytes_go(people, quota, store):
    quota(1000)
    location = people["bob"].start_upload()
    people["bob"].patch(location, b"x" * 1001)
    assert "this needs 1001 bytes" in message(people["bob"].put(f"{location}?digest={digest_of(b'x' * 1001)}"))
    assert not UploadSession.objects.filter(storage_key__isnull=False).exists()
    assert StorageDeletion.objects.count() == 1
    assert not UsageDelta.objects.exists()


def test_what_the_team_has_already_costs_nothing(people, quota):
    quota(1000)
    people["bob"].push_blob(b"x" * 999)
    location = people["bob"].start_upload(name="alice/other")
    people["bob"].patch(location, b"x" * 999)
    assert people["bob"].put(f"{location}?digest={digest_of(b'x' * 999)}").status == 201


def test_a_mount_counts(people, quota):
    people["admin"].push_blob(b"x" * 100, "open/app")
    Team.objects.filter(slug="open").update(visibility="public")
    quota(99)
    path = f"/v2/{NAME}/blobs/uploads/?mount={digest_of(b'x' * 100)}&from=open/app"
    assert "this needs 100 bytes" in message(people["bob"].post(path))
    quota(100)
    assert people["bob"].post(path).status == 201


def test_refuses_manifests_of_a_team_that_is_over(people, quota):
    people["bob"].push_blob(b"{}")
    people["bob"].push_blob(b"x" * 998)
    document = image_manifest(layers=[b"x" * 998])
    quota(999)
    assert "team alice uses 1000 bytes of 999 bytes" in message(people["bob"].put_manifest(document, "v1"))
    quota(1000)
    assert people["bob"].put_manifest(document, "v1").status == 201
    quota(999)
    assert people["bob"].get(f"/v2/{NAME}/manifests/v1").status == 200


def test_other_teams_do_not_count(people, quota):
    quota(1)
    assert post(people["admin"], b"x" * 100, "other/app").status == 201


def test_rolling_up_changes_no_figure(people, team):
    for number in range(3):
        people["bob"].push_blob(b"%d" % number * 100)
    before = usage_of(team.pk)
    assert (before, UsageDelta.objects.count()) == (300, 3)
    roll_up()
    assert (usage_of(team.pk), UsageDelta.objects.count()) == (300, 0)
    people["bob"].push_blob(b"more")
    roll_up()
    assert (usage_of(team.pk), TeamUsage.objects.get().size, recount(team.pk)) == (304, 304, 304)
