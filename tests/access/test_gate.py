"""Who gets through to a repository, by which answer the others are turned away."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Membership, Robot, RobotSecret, Team, User
from repositories.models import Repository
from tests.factories import ABSENT, NAME, digest_of
from tests.people import make_access_token, make_robot, make_team

REALM = 'Bearer realm="http://localhost:5000/auth/token",service="lading"'


@pytest.fixture
def image(people):
    return people["bob"].push_image("latest")


def statuses(people, method, path):
    return {name: client.request(method, path).status for name, client in people.items()}


def test_pulling_from_a_private_repository(people, image):
    assert statuses(people, "GET", f"/v2/{NAME}/manifests/latest") == {
        "anonymous": 401,
        "alice": 200,
        "mallory": 200,
        "bob": 200,
        "rita": 200,
        "charlie": 404,
        "admin": 200,
        "audrey": 200,
    }


def test_pulling_from_a_public_repository(people, image):
    Repository.objects.update(visibility="public")
    assert set(statuses(people, "GET", f"/v2/{NAME}/manifests/latest").values()) == {200}
    assert set(statuses(people, "POST", f"/v2/{NAME}/blobs/uploads/").values()) == {202, 401, 403}


def test_pushing(people, image):
    assert statuses(people, "POST", f"/v2/{NAME}/blobs/uploads/") == {
        "anonymous": 401,
        "alice": 202,
        "mallory": 202,
        "bob": 202,
        "rita": 403,
        "charlie": 403,
        "admin": 202,
        "audrey": 403,
    }


@pytest.mark.parametrize("name", ["rita", "charlie", "bob", "audrey"])
def test_who_may_not_delete(people, image, name):
    answer = people[name].delete(f"/v2/{NAME}/manifests/latest")
    assert (answer.status, answer.codes) == (403, ["DENIED"])
    assert people["mallory"].delete(f"/v2/{NAME}/manifests/latest").status == 202


def test_the_refusal_of_somebody_who_may_see_says_why(people, image):
    answer = people["rita"].post(f"/v2/{NAME}/blobs/uploads/")
    assert "rita is reader in the repository alice/app; this needs developer" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("who", ["anonymous", "charlie"])
@pytest.mark.parametrize(
    "path", ["manifests/latest", f"manifests/{ABSENT}", f"blobs/{ABSENT}", "tags/list", "blobs/uploads/"]
)
def test_a_hidden_repository_answers_as_an_absent_one(people, image, method, who, path):
    hidden = people[who].request(method, f"/v2/{NAME}/{path}", X_Request_Id="x")
    absent = people[who].request(method, f"/v2/alice/nothing/{path}", X_Request_Id="x")
    nowhere = people[who].request(method, f"/v2/nobody/app/{path}", X_Request_Id="x")
    told = [
        (a.status, a.body.replace(b"alice/nothing", b"alice/app").replace(b"nobody/app", b"alice/app"))
        for a in (hidden, absent, nowhere)
    ]
    assert told[0] == told[1] == told[2]
    assert hidden.status >= 400


def test_the_challenge(people, image):
    answer = people["anonymous"].get(f"/v2/{NAME}/manifests/latest")
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
    assert answer.headers["WWW-Authenticate"] == f'{REALM},scope="repository:{NAME}:pull"'
    answer = people["anonymous"].post(f"/v2/{NAME}/blobs/uploads/")
    assert answer.headers["WWW-Authenticate"] == f'{REALM},scope="repository:{NAME}:pull,push"'
    assert people["anonymous"].get("/v2/").headers["WWW-Authenticate"] == REALM
    assert people["charlie"].get("/v2/").status == 200


def test_the_realm_is_the_configured_one(people, settings):
    settings.LADING_AUTH = settings.LADING_AUTH.model_copy(update={"realm": "https://sign-in.example.org/token"})
    answer = people["anonymous"].get("/v2/", Host="evil.example.org")
    assert 'realm="https://sign-in.example.org/token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("host", ['a"b', "a b", "a/b", "a,b", "a@b", "[::1", "a:b"])
def test_a_strange_host_is_not_repeated(people, host):
    answer = people["anonymous"].get("/v2/", Host=host)
    assert 'realm="http://localhost:5000/auth/token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !", "Basic YQ==", "Basic /w==", "Bearer", "Bearer x", "Digest a=b", "x", "Basic " + "A" * 20000],
)
def test_credentials_that_cannot_be_understood(registry, team, header):
    answer = registry.get("/v2/", Authorization=header)
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_wrong_passwords(registry, team):
    for username, password in [("bob", "x"), ("bob", ""), ("nobody", "correct horse"), ("bob", "correct horse\0")]:
        assert registry.signed_in(username, password).get("/v2/").status == 401
    assert registry.signed_in("", "").get("/v2/").status == 401


def test_a_changed_password_counts_at_once(people, registry):
    bob = User.objects.get(username="bob")
    assert people["bob"].get("/v2/").status == 200
    bob.set_password("another one")
    bob.save()
    assert people["bob"].get("/v2/").status == 401
    assert registry.signed_in("bob", "another one").get("/v2/").status == 200


def test_a_disabled_user_is_out_at_once(people, image):
    assert people["bob"].get(f"/v2/{NAME}/tags/list").status == 200
    User.objects.filter(username="bob").update(is_active=False)
    assert people["bob"].get(f"/v2/{NAME}/tags/list").status == 401


def test_a_removed_member_is_out_at_once(people, image):
    Membership.objects.filter(user__username="bob").delete()
    assert people["bob"].get(f"/v2/{NAME}/tags/list").status == 404


def test_a_robot(registry, team, people, image):
    _, secret = make_robot(team, pattern="app*")
    ci = registry.signed_in("alice+ci", secret)
    ci.push_image("robot", name="alice/app2")
    assert ci.get(f"/v2/{NAME}/manifests/latest").status == 200
    assert ci.get("/v2/alice/tools/tags/list").status == 404
    assert ci.post("/v2/alice/tools/blobs/uploads/").status == 403
    assert ci.delete(f"/v2/{NAME}/manifests/latest").status == 403
    assert registry.signed_in("other+ci", secret).get("/v2/").status == 401
    Robot.objects.update(disabled_at=timezone.now())
    assert ci.get(f"/v2/{NAME}/manifests/latest").status == 401
    Robot.objects.update(disabled_at=None, expires_at=timezone.now())
    assert ci.get(f"/v2/{NAME}/manifests/latest").status == 401
    Robot.objects.update(expires_at=None)
    assert ci.get(f"/v2/{NAME}/manifests/latest").status == 200
    RobotSecret.objects.all().delete()
    assert ci.get(f"/v2/{NAME}/manifests/latest").status == 401


def test_access_tokens_allow_at_most_what_they_say(registry, team, people, image):
    alice = User.objects.get(username="alice")
    reading = registry.signed_in("alice", make_access_token(alice, "reader"))
    assert reading.get(f"/v2/{NAME}/manifests/latest").status == 200
    assert reading.post(f"/v2/{NAME}/blobs/uploads/").status == 403
    limited = registry.bearing(make_access_token(alice, "owner", patterns="alice/other-*"))
    assert limited.get(f"/v2/{NAME}/manifests/latest").status == 404
    assert limited.post("/v2/alice/other-app/blobs/uploads/").status == 202
    expired = registry.bearing(make_access_token(alice, expires_at=timezone.now()))
    assert expired.get("/v2/").status == 401
    assert registry.signed_in("bob", make_access_token(alice)).get("/v2/").status == 401


def test_an_administrators_token_administers_only_if_it_says_so(registry, team, people, image):
    admin = User.objects.get(username="admin")
    assert registry.bearing(make_access_token(admin)).get(f"/v2/{NAME}/tags/list").status == 404
    assert registry.bearing(make_access_token(admin, administration=True)).get(f"/v2/{NAME}/tags/list").status == 200


def test_only_administrators_bring_a_team_to_life(people):
    assert people["alice"].post("/v2/new/app/blobs/uploads/").status == 403
    assert not Team.objects.filter(slug="new").exists()
    assert people["admin"].post("/v2/new/app/blobs/uploads/").status == 202
    assert Team.objects.get(slug="new").visibility == "private"


def test_the_catalog_shows_what_the_caller_may_pull(registry, team, people, image):
    people["admin"].push_image(name="open/app")
    people["admin"].push_image(name="closed/app")
    people["admin"].push_image(name="open/hidden")
    Team.objects.filter(slug="open").update(visibility="public")
    Repository.objects.filter(name="open/hidden").update(visibility="private")
    _, secret = make_robot(team, pattern="other-*")
    listed = lambda client: client.get("/v2/_catalog").json()["repositories"]  # noqa: E731
    assert listed(people["admin"]) == listed(people["audrey"]) == ["alice/app", "closed/app", "open/app", "open/hidden"]
    assert listed(people["rita"]) == ["alice/app", "open/app"]
    assert listed(people["charlie"]) == listed(registry.signed_in("alice+ci", secret)) == ["open/app"]
    token = make_access_token(User.objects.get(username="admin"), administration=True, patterns="closed/*")
    assert listed(registry.bearing(token)) == ["closed/app", "open/app"]
    answer = people["anonymous"].get("/v2/_catalog")
    assert answer.headers["WWW-Authenticate"] == f'{REALM},scope="registry:catalog:*"'


def test_pages_of_the_catalog_hold_only_what_the_caller_may_pull(people, monkeypatch):
    monkeypatch.setattr("repositories.catalog._BATCH", 2)
    for number in range(5):
        people["admin"].push_image(name=f"closed/{number}")
        people["bob"].push_image(name=f"alice/{number}")
    names, path = [], "/v2/_catalog?n=2"
    while path:
        answer = people["rita"].get(path)
        names += answer.json()["repositories"]
        path = answer.headers["Link"].split(";")[0].strip("<>") if "Link" in answer.headers else ""
    assert names == [f"alice/{number}" for number in range(5)]


def test_mounting_needs_the_right_to_pull_the_source(people, image):
    people["admin"].post("/v2/charlie/app/blobs/uploads/")
    charlies = Team.objects.get(slug="charlie")
    Membership.objects.create(team=charlies, user=User.objects.get(username="charlie"), role="owner")
    Membership.objects.create(team=charlies, user=User.objects.get(username="rita"), role="developer")
    digest = digest_of(b"layer")
    for query in (f"?mount={digest}&from={NAME}", f"?mount={digest}", f"?mount={ABSENT}&from={NAME}"):
        assert people["charlie"].post(f"/v2/charlie/app/blobs/uploads/{query}").status == 202
    for query in (f"?mount={digest}&from={NAME}", f"?mount={digest}"):
        assert people["rita"].post(f"/v2/charlie/app/blobs/uploads/{query}").status == 201


def test_an_upload_belongs_to_who_started_it(people, image):
    location = people["bob"].start_upload()
    for name in ("alice", "admin", "mallory"):
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            query = f"?digest={digest_of(b'')}" if method == "PUT" else ""
            answer = people[name].request(method, location + query)
            assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert people["bob"].patch(location, b"x").status == 202


@pytest.mark.parametrize("who", ["bob", "admin", "charlie"])
def test_a_right_costs_one_statement(people, image, who):
    Repository.objects.update(visibility="public")
    people[who].get("/v2/")  # the password is remembered from here on, but read with the rights
    with CaptureQueriesContext(connection) as captured:
        assert people[who].get(f"/v2/{NAME}/manifests/latest").status == 200
    assert len(captured.captured_queries) <= 3


def test_a_public_pull_without_credentials_costs_two(people, image):
    Repository.objects.update(visibility="public")
    with CaptureQueriesContext(connection) as captured:
        assert people["anonymous"].get(f"/v2/{NAME}/manifests/latest").status == 200
    assert len(captured.captured_queries) == 2


@pytest.mark.parametrize("source", ["", f"&from={NAME}", "&from=no/such"])
def test_a_mount_that_is_refused_costs_the_same_whether_somebody_has_the_blob_or_nobody(people, image, source):
    make_team("charlie", charlie="developer")
    people["charlie"].push_blob(b"the first", "charlie/app")

    def statements(digest):
        with CaptureQueriesContext(connection) as captured:
            path = f"/v2/charlie/app/blobs/uploads/?mount={digest}{source}"
            assert people["charlie"].post(path).status == 202
        return [query["sql"][:50] for query in captured.captured_queries]  # what follows holds moments and ids

    assert statements(digest_of(b"layer")) == statements(ABSENT)
