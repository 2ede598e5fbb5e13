"""Requests with bearer tokens: what the scopes let through, and how the others are answered (guide: 401, 403, 404)."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Membership, Team, User
from repositories.models import Repository
from tests.access.bearer import fetch
from tests.factories import ABSENT, NAME, digest_of
from tests.people import make_robot

PULL, PUSH, ALL = f"repository:{NAME}:pull", f"repository:{NAME}:pull,push", f"repository:{NAME}:*"
INSUFFICIENT = 'error="insufficient_scope"'


@pytest.fixture
def image(people):
    return people["bob"].push_image("latest")


def challenge(answer):
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
    return answer.headers["WWW-Authenticate"]


def test_push_and_pull(people, image):
    bob = fetch(people["bob"], PUSH)
    pushed = bob.push_image("v2", layers=[b"another"])
    assert bob.get(f"/v2/{NAME}/manifests/v2").body == pushed.payload
    alice = fetch(people["alice"], ALL)
    assert alice.delete(f"/v2/{NAME}/manifests/v2").status == 202


def test_a_token_without_scopes_is_good_for_the_entry_only(people, image):
    for who in ("bob", "anonymous"):
        client = fetch(people[who])
        assert client.get("/v2/").status == 200
        assert INSUFFICIENT in challenge(client.get(f"/v2/{NAME}/manifests/latest"))


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "manifests/latest", "pull"),
        ("HEAD", "manifests/latest", "pull"),
        ("GET", "tags/list", "pull"),
        ("GET", f"referrers/{ABSENT}", "pull"),
        ("HEAD", f"blobs/{ABSENT}", "pull"),
        ("POST", "blobs/uploads/", "pull,push"),
        ("PUT", "manifests/latest", "pull,push"),
        ("PATCH", "blobs/uploads/6b3c9a93-af5d-473f-a4ff-9710022185cd", "pull,push"),
        ("DELETE", "blobs/uploads/6b3c9a93-af5d-473f-a4ff-9710022185cd", "pull,push"),
        ("DELETE", "manifests/latest", "delete"),
        ("DELETE", f"blobs/{ABSENT}", "delete"),
    ],
)
def test_who_could_fetch_a_wider_token_is_told_which(people, image, method, path, wanted):
    narrow = fetch(people["alice"], "repository:alice/other:*")
    expected = (
        'Bearer realm="http://localhost:5000/auth/token",service="lading",'
        f'scope="repository:{NAME}:{wanted}",{INSUFFICIENT}'
    )
    answer = narrow.request(method, f"/v2/{NAME}/{path}")
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, expected)


def test_who_has_not_the_right_is_not_sent_for_a_wider_token(people, image):
    rita = fetch(people["rita"], ALL)
    assert rita.get(f"/v2/{NAME}/manifests/latest").status == 200
    answer = rita.post(f"/v2/{NAME}/blobs/uploads/")
    assert (answer.status, answer.codes) == (403, ["DENIED"])
    assert "WWW-Authenticate" not in answer.headers


def test_a_hidden_repository_answers_as_an_absent_one(people, image):
    charlie = fetch(people["charlie"], ALL, "repository:alice/nothing:*")
    for method, path, status in (("GET", "manifests/latest", 404), ("POST", "blobs/uploads/", 403)):
        hidden = charlie.request(method, f"/v2/{NAME}/{path}")
        absent = charlie.request(method, f"/v2/alice/nothing/{path}")
        assert hidden.status == absent.status == status
        assert hidden.body.replace(NAME.encode(), b"alice/nothing") == absent.body


def test_an_anonymous_token_pulls_what_is_public_and_nothing_else(people, image):
    Repository.objects.update(visibility="public")
    anonymous = fetch(people["anonymous"], ALL)
    assert anonymous.get(f"/v2/{NAME}/manifests/latest").status == 200
    assert f'scope="{PUSH}",{INSUFFICIENT}' in challenge(anonymous.post(f"/v2/{NAME}/blobs/uploads/"))
    Repository.objects.update(visibility="private")
    assert f'scope="{PULL}",{INSUFFICIENT}' in challenge(anonymous.get(f"/v2/{NAME}/manifests/latest"))
    assert challenge(people["anonymous"].get("/v2/_catalog"))


def test_the_catalog(people, image):
    assert 'scope="registry:catalog:*",error="insufficient_scope"' in challenge(
        fetch(people["rita"], PULL).get("/v2/_catalog")
    )
    listed = fetch(people["rita"], "registry:catalog:*").get("/v2/_catalog")
    assert listed.json()["repositories"] == [NAME]
    assert fetch(people["charlie"], "registry:catalog:*").get("/v2/_catalog").json()["repositories"] == []


@pytest.fixture
def charlies(people, image):
    """Team charlie, where rita develops too; she reads alice's as well."""
    people["admin"].post("/v2/charlie/app/blobs/uploads/")
    team = Team.objects.get(slug="charlie")
    Membership.objects.create(team=team, user=User.objects.get(username="charlie"), role="owner")
    Membership.objects.create(team=team, user=User.objects.get(username="rita"), role="developer")


TARGET = "repository:charlie/app:pull,push"
MOUNT = f"/v2/charlie/app/blobs/uploads/?mount={digest_of(b'layer')}"


def test_mounting_with_a_token_for_both(people, charlies):
    assert fetch(people["rita"], TARGET, PULL).post(f"{MOUNT}&from={NAME}").status == 201


def test_mounting_without_the_sources_scope_names_both(people, charlies):
    answer = fetch(people["rita"], TARGET).post(f"{MOUNT}&from={NAME}")
    assert f'scope="{TARGET} {PULL}",{INSUFFICIENT}' in challenge(answer)


def test_mounting_what_the_user_may_not_pull_opens_an_upload(people, charlies):
    charlie = fetch(people["charlie"], TARGET, PULL)
    for source in (NAME, "alice/nothing", "nobody/app", "charlie/nothing"):
        assert charlie.post(f"{MOUNT}&from={source}").status == 202


def test_mounting_from_anywhere_searches_what_the_token_may_pull(people, charlies):
    assert fetch(people["rita"], TARGET).post(MOUNT).status == 202
    assert fetch(people["rita"], TARGET, PULL).post(MOUNT).status == 201


@pytest.mark.parametrize("who", ["bob", "admin", "robot", "public"])
def test_a_pull_costs_two_statements(people, team, registry, image, who):
    if who == "public":
        Repository.objects.update(visibility="public")
        client = fetch(people["anonymous"], PULL)
    elif who == "robot":
        client = fetch(registry.signed_in("alice+ci", make_robot(team)[1]), PULL)
    else:
        client = fetch(people[who], PULL)
    client.get("/v2/")  # the key is read, and the token known, from here on
    with CaptureQueriesContext(connection) as captured:
        assert client.get(f"/v2/{NAME}/manifests/latest").status == 200
    assert len(captured.captured_queries) == 2, [query["sql"] for query in captured.captured_queries]
