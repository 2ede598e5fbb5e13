"""Who is told what of the keepers of a blob."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Team
from blobs.models import StorageDeletion
from repositories.models import Repository
from tests.factories import ABSENT, digest_of
from tests.management.cast import API, ask, send, told
from tests.people import make_team

LAYER = digest_of(b"layer")


@pytest.fixture
def shared(everybody):
    """A blob that a repository of team alice has, and one of a team that nobody of alice's may see."""
    make_team("vault", owner="owner")
    for name in ("alice/app", "vault/secret"):
        everybody["admin"].push_image("latest", name, layers=[b"layer"])
    everybody["admin"].push_blob(b"hidden", "vault/secret")
    return everybody


def why(client, digest, query=""):
    return send(client, "GET", f"blobs/{digest}/why{query}")


def repositories(client, digest=LAYER, query=""):
    return [row["repository"] for row in why(client, digest, query).json()["repositories"]]


def test_everybody_is_told_of_the_repositories_that_they_may_see(shared):
    for who in ("alice", "bob", "rita", "robot", "token"):
        assert repositories(shared[who]) == ["alice/app"], who
    for who in ("admin", "audrey"):
        assert repositories(shared[who]) == ["alice/app", "vault/secret"], who


def test_what_is_hidden_answers_as_what_is_absent(shared):
    for who in ("alice", "charlie", "robot"):
        hidden, absent = why(shared[who], digest_of(b"hidden")), why(shared[who], ABSENT)
        assert told(hidden) == told(absent) == (404, "not-found")
        assert hidden.body.replace(digest_of(b"hidden").encode(), ABSENT.encode()) == absent.body


@pytest.mark.parametrize("who", ["alice", "charlie"])
def test_what_is_hidden_takes_as_many_statements_as_what_is_absent(shared, who):
    def cost(digest):
        with CaptureQueriesContext(connection) as captured:
            why(shared[who], digest)
        return len(captured.captured_queries)

    cost(ABSENT)  # a password is looked up once
    assert cost(digest_of(b"hidden")) == cost(ABSENT)


def test_what_others_do_with_a_blob_moves_no_date(shared):
    """The review's date is everybody's, so it is only told to those who see everybody."""
    digest = shared["admin"].push_blob(b"both", "alice/app")
    before = why(shared["bob"], digest).json()
    shared["admin"].push_blob(b"both", "vault/secret")
    after = why(shared["bob"], digest).json()
    assert after["can_go_at"] == before["can_go_at"]
    assert (after["review"], after["deletions"]) == (None, [])
    assert why(shared["audrey"], digest).json()["review"]["reason"] == "pushed"


def test_pages_go_through_the_repositories(shared):
    for number in range(3):
        shared["admin"].push_image("latest", f"alice/more{number}", layers=[b"layer"])
    page = why(shared["alice"], LAYER, "?limit=3").json()
    assert [row["repository"] for row in page["repositories"]] == ["alice/app", "alice/more0", "alice/more1"]
    rest = shared["alice"].get(page["next"]).json()
    assert ([row["repository"] for row in rest["repositories"]], rest["next"]) == (["alice/more2"], None)
    assert told(why(shared["alice"], LAYER, "?limit=51")) == (400, "bad-request")


def test_a_deleted_repository_is_told_to_those_who_see_the_teams_trash(shared):
    Repository.objects.filter(name="alice/app").update(deleted_at=timezone.now())
    (row,) = why(shared["bob"], LAYER).json()["repositories"]
    assert row["deleted_at"]
    assert row["restorable_until"]
    # Public or not, it is gone for everybody else.
    Repository.objects.update(visibility="public")
    Team.objects.filter(slug="alice").update(visibility="public")
    assert repositories(shared["charlie"]) == ["vault/secret"]
    assert repositories(shared["robot"]) == ["vault/secret"]


def test_the_answer_has_the_chains(shared):
    answer = why(shared["bob"], LAYER).json()
    assert (answer["kind"], answer["size_bytes"], answer["state"], answer["can_go_at"]) == ("blob", 5, "forever", None)
    lease, tag = answer["repositories"][0]["chains"]
    assert (lease["reason"], lease["steps"], lease["tag"]) == ("lease", [], None)
    assert (tag["reason"], tag["tag"], tag["tags"], tag["until"]) == ("tag", "latest", 1, None)
    assert [step["relation"] for step in tag["steps"]] == ["layer"]
    manifest = tag["steps"][0]["digest"]
    answer = why(shared["bob"], manifest).json()
    assert (answer["kind"], answer["repositories"][0]["chains"][0]["tag"]) == ("manifest", "latest")


def test_only_the_instances_readers_are_told_of_the_outbox(shared):
    StorageDeletion.objects.create(storage_key="x", digest=ABSENT, size=7, not_before=timezone.now(), attempts=2)
    assert ask(shared, "GET", f"blobs/{ABSENT}/why") == {
        **dict.fromkeys(shared, 404),
        "anonymous": 401,
        **dict.fromkeys(("admin", "audrey"), 200),
    }
    answer = why(shared["admin"], ABSENT).json()
    assert (answer["state"], answer["deletions"][0]["attempts"]) == ("gone", 2)


def test_what_is_no_digest_is_refused(shared):
    assert shared["bob"].get(f"{API}/blobs/sha256:12/why").status == 400
