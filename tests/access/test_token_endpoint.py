"""The token endpoint: what is granted to whom, in which words, and what it refuses."""

import json
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Team, User
from accounts.scopes import MOST_SCOPES
from repositories.models import Repository
from tests.access.bearer import access_of, ask, claims_of, post_form
from tests.factories import NAME
from tests.people import PASSWORD, make_access_token, make_robot

ALL = ["delete", "pull", "push"]


@pytest.fixture
def image(people):
    return people["bob"].push_image("latest")


def test_the_answer(people, image, settings):
    before = datetime.now(UTC).replace(microsecond=0)
    answer = ask(people["bob"], f"repository:{NAME}:push,pull,delete", account="bob", client_id="docker")
    body = answer.json()
    assert body["token"] == body["access_token"]
    assert body["expires_in"] == 300
    assert body["issued_at"].endswith("Z")
    assert before <= datetime.fromisoformat(body["issued_at"]) <= datetime.now(UTC)
    assert body["scope"] == f"repository:{NAME}:pull,push"
    assert "refresh_token" not in body
    assert answer.headers["Cache-Control"] == "no-store"
    claims = claims_of(body["token"])
    assert claims["sub"] == "bob"
    assert (claims["iss"], claims["aud"]) == ("lading", settings.LADING_AUTH.service)
    assert claims["nbf"] < claims["iat"] < claims["exp"] <= claims["iat"] + 301
    assert claims["access"] == [{"type": "repository", "name": NAME, "actions": ["pull", "push"]}]


@pytest.mark.parametrize(
    ("who", "actions"),
    [
        ("alice", ALL),
        ("mallory", ALL),
        ("bob", ["pull", "push"]),
        ("rita", ["pull"]),
        ("charlie", None),
        ("admin", ALL),
        ("audrey", ["pull"]),
        ("anonymous", None),
    ],
)
@pytest.mark.parametrize("name", [NAME, "alice/absent"])
@pytest.mark.parametrize("asked", ["*", "pull,push,delete"])
def test_a_grant_is_what_the_caller_may(people, image, who, actions, name, asked):
    access = access_of(ask(people[who], f"repository:{name}:{asked}"))
    assert access == ({} if actions is None else {f"repository:{name}": actions})


def test_everybody_may_pull_what_is_public(people, image):
    Repository.objects.update(visibility="public")
    for who in ("anonymous", "charlie"):
        assert access_of(ask(people[who], f"repository:{NAME}:*")) == {f"repository:{NAME}": ["pull"]}


def test_only_administrators_may_push_to_a_team_that_is_not_there(people):
    assert access_of(ask(people["admin"], "repository:new/app:pull,push")) == {"repository:new/app": ["pull", "push"]}
    assert access_of(ask(people["alice"], "repository:new/app:pull,push")) == {}


@pytest.mark.parametrize(
    ("scopes", "access"),
    [
        ([], {}),
        ([""], {}),
        ([f"repository:{NAME}:pull repository:alice/b:push"], {NAME: ["pull"], "alice/b": ["push"]}),
        ([f"repository:{NAME}:pull", "repository:alice/b:push,pull"], {NAME: ["pull"], "alice/b": ["pull", "push"]}),
        ([f"repository:{NAME}:pull", f"repository:{NAME}:push,push"], {NAME: ["pull", "push"]}),
        ([f"repository(plugin):{NAME}:pull"], {NAME: ["pull"]}),
        ([f"repository(plugin):{NAME}:pull repository:{NAME}:push"], {NAME: ["pull", "push"]}),
        ([f"repository:localhost:5000/{NAME}:pull"], {}),
        ([f"repository:{NAME}:*,unknown"], {NAME: ALL}),
        ([f"repository:{NAME}:unknown"], {}),
        ([f"repository:{NAME}:"], {}),
        ([f"repository:{NAME}"], {}),
        (["repository", ":", "::", ":::", "repository::pull", "é:é:é", "repository(:a:pull"], {}),
        (["repository:UPPER/case:pull", f"repository:{'a' * 256}:pull", "repository:../x:pull"], {}),
        ([f"artifact:{NAME}:pull", "registry:other:*"], {}),
        ([f"repository:{NAME}:pull", "nonsense"], {NAME: ["pull"]}),
    ],
)
def test_scopes(people, image, scopes, access):
    expected = {f"repository:{name}": actions for name, actions in access.items()}
    assert access_of(ask(people["alice"], *scopes)) == expected
    form = post_form(people["anonymous"], *scopes, grant_type="password", username="alice", password=PASSWORD)
    assert access_of(form) == expected


def test_the_catalog(people, image):
    assert access_of(ask(people["charlie"], "registry:catalog:*")) == {"registry:catalog": ["*"]}
    assert access_of(ask(people["anonymous"], "registry:catalog:*")) == {}
    assert access_of(ask(people["charlie"], "registry:catalog:pull")) == {}


def test_a_token_stays_below_eight_thousand_characters(people, image):
    scopes = [f"repository:alice/{number}-{'a' * 20}:*" for number in range(MOST_SCOPES)]
    answer = ask(people["alice"], *scopes)
    assert len(access_of(answer)) == MOST_SCOPES
    assert len(answer.json()["token"]) <= 8000
    for too_many in ([*scopes, "repository:alice/more:*"], [scope[:-2] + "a" * 200 + ":*" for scope in scopes]):
        answer = ask(people["alice"], *too_many)
        assert (answer.status, answer.codes) == (400, ["UNSUPPORTED"])
        assert answer.detail["parameter"] == "scope"
    # Only what is granted needs room.
    assert ask(people["charlie"], *[scope[:-2] + "a" * 100 + ":*" for scope in scopes]).status == 200


def test_wrong_credentials(registry, people):
    for client in (registry.signed_in("bob", "wrong"), registry.signed_in("nobody", PASSWORD), registry.bearing("x")):
        answer = ask(client, f"repository:{NAME}:pull")
        assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="lading"'
    answer = post_form(registry, grant_type="password", username="bob", password="wrong")
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="lading"'


def test_anonymous_in_two_ways(registry, people):
    for client in (registry, registry.signed_in("", "")):
        answer = ask(client)
        assert claims_of(answer.json()["token"])["sub"] == ""
        assert registry.bearing(answer.json()["token"]).get("/v2/").status == 200


def test_a_bearer_token_buys_no_other(registry, people):
    token = ask(people["bob"]).json()["token"]
    answer = ask(registry.bearing(token), f"repository:{NAME}:pull")
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])


def test_robots_and_access_tokens(registry, team, people, image):
    _, secret = make_robot(team, pattern="app*")
    robot = ask(registry.signed_in("alice+ci", secret), f"repository:{NAME}:*", "repository:alice/tools:*")
    assert access_of(robot) == {f"repository:{NAME}": ["pull", "push"]}
    assert claims_of(robot.json()["token"])["sub"] == "alice+ci"
    reading = make_access_token(User.objects.get(username="alice"), "reader")
    for client in (registry.signed_in("alice", reading), registry.bearing(reading)):
        assert access_of(ask(client, f"repository:{NAME}:*")) == {f"repository:{NAME}": ["pull"]}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_service(registry, people, method):
    def answer(**parameters):
        if method == "GET":
            return people["bob"].get("/auth/token?" + "&".join(f"{k}={v}" for k, v in parameters.items()))
        return post_form(registry, grant_type="password", username="bob", password=PASSWORD, **parameters)

    assert answer(service="lading").status == 200
    assert answer().status == 200
    wrong = answer(service="registry.example.org")
    assert (wrong.status, wrong.codes, wrong.detail["parameter"]) == (400, ["UNSUPPORTED"], "service")


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded; charset=utf-8", "Application/X-WWW-Form-URLencoded"]
)
def test_passwords_by_form(registry, people, image, content_type):
    answer = post_form(
        registry,
        f"repository:{NAME}:pull,push repository:alice/b:pull",
        content_type=content_type,
        grant_type="password",
        username="bob",
        password=PASSWORD,
        service="lading",
        client_id="containerd-client",
    )
    assert access_of(answer) == {f"repository:{NAME}": ["pull", "push"], "repository:alice/b": ["pull"]}
    assert answer.json()["token"] == answer.json()["access_token"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert registry.bearing(answer.json()["access_token"]).get(f"/v2/{NAME}/tags/list").status == 200


@pytest.mark.parametrize("grant_type", ["", "authorization_code", "client_credentials", "urn:x"])
def test_other_grants_send_clients_to_get(registry, people, grant_type):
    answer = post_form(registry, grant_type=grant_type, username="bob", password=PASSWORD)
    assert (answer.status, answer.codes) == (405, ["UNSUPPORTED"])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{}", "application/json"),
        (b"grant_type=password", "text/plain"),
        (b"grant_type=password", ""),
        (b"grant_type=password&x=" + b"a" * 70_000, "application/x-www-form-urlencoded"),
        (b"\xff=\xff", "application/x-www-form-urlencoded"),
        (b"grant_type=%ff", "application/x-www-form-urlencoded"),
        (b"grant_type=password&grant_type=password", "application/x-www-form-urlencoded"),
        (b"grant_type=password&username=a&password=b%00", "application/x-www-form-urlencoded"),
        (b"grant_type=password&client_id=%00", "application/x-www-form-urlencoded"),
        (b"&".join(b"a=b" for _ in range(1001)), "application/x-www-form-urlencoded"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_forms_that_cannot_be_understood(registry, team, body, content_type, chunked):
    answer = registry.post("/auth/token", body, Content_Type=content_type, chunked=chunked)
    assert (answer.status, answer.codes) in [(400, ["UNSUPPORTED"]), (401, ["UNAUTHORIZED"])]
    assert answer.status == 400 or b"client_id" in body


@pytest.mark.parametrize("query", ["service=a&service=b", "client_id=%00", "offline_token=1&offline_token=1"])
def test_queries_that_cannot_be_understood(people, query):
    answer = people["bob"].get(f"/auth/token?{query}")
    assert (answer.status, answer.codes) == (400, ["UNSUPPORTED"])


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH"])
def test_other_methods(registry, team, method):
    assert registry.request(method, "/auth/token").status == 405


@pytest.mark.parametrize("kind", ["none", "htpasswd", "token"])
@pytest.mark.parametrize("path", ["/auth/token", "/auth/jwks"])
def test_there_is_no_endpoint_without_accounts(registry, team, settings, kind, path):
    settings.AUTH_KIND = kind
    answer = registry.get(path)
    assert (answer.status, answer.codes) == (404, ["UNSUPPORTED"])


@pytest.mark.parametrize("scopes", [1, MOST_SCOPES])
@pytest.mark.parametrize("who", ["bob", "admin"])
def test_a_token_costs_three_statements(people, image, who, scopes):
    wanted = [f"repository:alice/{number}:pull,push" for number in range(scopes)]
    ask(people[who])  # makes the key, and the password is remembered
    with CaptureQueriesContext(connection) as captured:
        assert ask(people[who], *wanted).status == 200
    assert len(captured.captured_queries) == 3, [query["sql"] for query in captured.captured_queries]


def test_an_anonymous_token_costs_two_statements(people, image):
    Team.objects.update(visibility="public")
    ask(people["anonymous"])
    with CaptureQueriesContext(connection) as captured:
        assert access_of(ask(people["anonymous"], f"repository:{NAME}:pull")) != {}
    assert len(captured.captured_queries) == 2


def test_the_published_keys_verify_what_is_issued(registry, people):
    import jwt

    token = ask(people["bob"]).json()["token"]
    answer = registry.get("/auth/jwks")
    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    (key,) = json.loads(answer.body)["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    assert key["kid"] == jwt.get_unverified_header(token)["kid"]
    found = jwt.decode(token, jwt.PyJWK(key).key, algorithms=["ES256"], audience="lading", issuer="lading")
    assert found["sub"] == "bob"
