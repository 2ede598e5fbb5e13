"""Two servers on one database: a token of one is good at the other, until it is taken away from either."""

import os
from collections.abc import Iterator

import psycopg
import pytest

from tests.access.live_people import CAST, run_command, run_in
from tests.factories import NAME
from tests.live.client import Client, random_bytes
from tests.live_server import POSTGRES_VARIABLE, LiveServer, live_server
from tests.people import PASSWORD

pytestmark = pytest.mark.live
PULL, PUSH = f"repository:{NAME}:pull", f"repository:{NAME}:pull,push"
PATH = f"{NAME}/manifests/latest"
ENVIRON = {"REGISTRY_AUTH": "lading", "REGISTRY_WEB_WORKERS": "1"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[list[LiveServer]]:
    if not os.environ.get(POSTGRES_VARIABLE):
        pytest.skip(f"{POSTGRES_VARIABLE} is not set: run under `python -m tests.services --`")
    with live_server(environ=ENVIRON) as first:
        folder = tmp_path_factory.mktemp("second")
        url = {"REGISTRY_DATABASE_URL": first.environ["REGISTRY_DATABASE_URL"]}
        second = LiveServer(database="postgres", folder=folder, environ={**ENVIRON, **url}, data=first.data)
        try:
            second.start()
            run_in(first, CAST)
            yield [first, second]
        finally:
            second.kill()


@pytest.fixture
def change(servers):
    """Change rows behind the servers' backs, as any other process may."""

    def execute(statement: str, *parameters: object) -> None:
        with psycopg.connect(servers[0].environ["REGISTRY_DATABASE_URL"]) as connection:
            connection.execute(statement, parameters)  # type: ignore[arg-type]

    return execute


def token(server, username, *scopes):
    with Client(server) as client:
        parameters = {"service": "lading", "scope": list(scopes)}
        auth = (username, PASSWORD) if username else None
        answer = client.http.get("/auth/token", params=parameters, auth=auth)
        assert answer.status_code == 200, answer.text
        return answer.json()["token"]


def status(server, bearer, path=PATH):
    with Client(server) as client:
        return client.request("GET", path, headers={"Authorization": f"Bearer {bearer}"}).status_code


@pytest.fixture
def image(servers):
    with Client(servers[0]) as client:
        client.http.headers["Authorization"] = f"Bearer {token(servers[1], 'bob', PUSH)}"
        client.push_image(NAME, "latest", random_bytes(1000))


def both(servers, bearer):
    return [status(server, bearer) for server in servers]


def test_what_is_taken_away_is_gone_at_the_next_request_at_both(servers, change, image):
    for username, statement, back, refused in (
        ("bob", "UPDATE accounts_user SET is_active = false WHERE username = 'bob'", "is_active = true", 401),
        ("rita", "UPDATE accounts_user SET revoked_before = now() WHERE username = 'rita'", "", 401),
        (
            "mallory",
            "DELETE FROM accounts_membership m USING accounts_user u WHERE u.id = m.user_id AND u.username = 'mallory'",
            "",
            404,
        ),
    ):
        bearer = token(servers[0], username, PULL)
        assert both(servers, bearer) == [200, 200]
        change(statement)
        assert both(servers, bearer) == [refused, refused]
        if back:
            change(f"UPDATE accounts_user SET {back} WHERE username = '{username}'")


def test_a_changed_password(servers, image):
    bearer = token(servers[1], "alice", PULL)
    assert both(servers, bearer) == [200, 200]
    run_in(
        servers[0],
        "from accounts.models import User; u = User.objects.get(username='alice');"
        f"u.set_password('{PASSWORD}'); u.save()",
    )
    assert both(servers, bearer) == [401, 401]
    assert both(servers, token(servers[1], "alice", PULL)) == [200, 200]


def test_a_public_repository_that_is_private_again(servers, change, image):
    change("UPDATE repositories_repository SET visibility = 'public'")
    bearer = token(servers[0], "", PULL)
    assert both(servers, bearer) == [200, 200]
    change("UPDATE repositories_repository SET visibility = 'private'")
    assert both(servers, bearer) == [401, 401]


def test_keys(servers, change, image):
    old = token(servers[0], "bob", PULL)
    run_command(servers[0], "rotate-keys")
    change("UPDATE accounts_signingkey SET signs_from = now() WHERE ends_at IS NULL")
    new = token(servers[1], "bob", PULL)
    assert both(servers, old) == both(servers, new) == [200, 200]
    run_command(servers[0], "rotate-keys", "--revoke")
    assert both(servers, old) == both(servers, new) == [401, 401]
    assert both(servers, token(servers[1], "bob", PULL)) == [200, 200]


def test_a_repository_that_ended_and_began_again(servers, change, image):
    old = token(servers[0], "bob", PUSH)
    change("UPDATE repositories_repository SET deleted_at = now() WHERE name = %s", NAME)
    new = token(servers[0], "bob", PUSH)
    with Client(servers[1]) as client:
        client.http.headers["Authorization"] = f"Bearer {new}"
        client.push_image(NAME, "latest", random_bytes(1000))
    assert both(servers, old) == [401, 401]
    assert both(servers, new) == [200, 200]
