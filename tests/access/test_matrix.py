"""Every credential of everybody at every endpoint, compared with a reference that was written by hand.

Each request of the matrix is undone before the next: what it wrote is rolled back, and what is in memory of it
decides nothing.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from django.db import transaction
from django.urls import URLPattern, get_resolver

from registry_project.config.auth import Lading, TrustedIssuer
from registry_project.openapi import openapi_document
from tests.access import reference as ref
from tests.access.matrix_world import (
    HIDDEN_LAYER,
    ISSUER,
    LOOSE_BLOB,
    anonymise,
    ask_api,
    ask_repository,
    ask_v2,
    build_world,
    client_of,
    who_comes,
)
from tests.access.reference import NOBODY, Who
from tests.factories import ABSENT, Answer, digest_of

API = "/api/v1/"
READS = ("GET", "HEAD")
# Enough for a machine that does much else.
SECONDS = 900
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def world(db, registry, settings, caplog, monkeypatch):
    # Thousands of lines would be kept for the report of a failure.
    caplog.set_level(logging.CRITICAL, "lading")
    monkeypatch.setattr("os.fsync", lambda fd: None)  # nobody cuts the power
    settings.LADING_AUTH = Lading(issuers=(TrustedIssuer(issuer=ISSUER),))
    return build_world(registry)


class Matrix:
    """Collects what differs from the reference, and what tells a hidden thing from an absent one."""

    def __init__(self) -> None:
        self.cells = 0
        self.differences: list[str] = []
        self.told_apart: list[str] = []
        self.statuses: Counter[int] = Counter()

    def cell(self, who: Who, request: str, expected: int, ask: Callable[[], Answer], *, about: str = "") -> Answer:
        """Send a request as somebody; what is written by it, and before it, is undone."""
        if request.startswith(READS) and "blob_upload" not in request:
            answer = ask()
        else:
            with transaction.atomic():
                answer = ask()
                transaction.set_rollback(True)
        self.cells += 1
        self.statuses[answer.status] += 1
        if answer.status != expected:
            self.differences.append(f"{who}: {request} {about}: {answer.status} instead of {expected}")
        return answer

    def listed(self, what: str, names: list[str], expected: str) -> None:
        if names != expected.split():
            self.differences.append(f"{what}: {names} instead of {expected.split()}")

    def alike(self, what: str, answers: Iterable[Answer]) -> None:
        """What the caller may not see must be answered as what is not there."""
        first, *others = answers
        self.told_apart += [f"{what}: {first} and {other}" for other in others if other != first]

    def verify(self, record: Callable[[str], None], name: str) -> None:
        counts = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        record(f"{name}: {self.cells} cells, {len(self.differences)} differences ({counts})")
        assert self.differences == []
        assert self.told_apart == []


def asked_by(who: Who, table: Iterable[str]) -> list[str]:
    return [request for request in table if who.credential in ref.ASK_BY_HEAD or not request.startswith("HEAD")]


@pytest.mark.timeout(SECONDS)
def test_the_protocol(world, record_matrix):
    matrix = Matrix()
    everybody = [Who("anonymous"), Who("anonymous token"), *who_comes(ref.IN_REPOSITORIES)]
    for who in everybody:
        client = client_of(world, who)
        for request in asked_by(who, ref.V2_ENTRY):
            method, _, where = request.partition(" ")
            path = "/v2/" if where == "base" else "/v2/_catalog"
            expected = ref.expected_entry(who, request)
            answer = matrix.cell(who, request, expected, lambda: client.request(method, path))  # noqa: B023
            if request == "GET catalog" and answer.status == expected == 200:
                matrix.listed(f"{who}: {request}", answer.json()["repositories"], ref.CATALOG[who.in_repositories])
        for request in asked_by(who, ref.V2):
            unseen = []
            for name in ref.REPOSITORIES:
                expected = ref.expected_v2(who, request, name)
                ask = lambda: ask_v2(world, client, who, request, name)  # noqa: B023, E731
                answer = matrix.cell(who, request, expected, ask, about=name)
                if who.held[name] == "-":
                    unseen.append(anonymise(answer, name))
            if unseen:
                matrix.alike(f"{who}: {request}", unseen)
    matrix.verify(record_matrix, f"/v2/ for {len(everybody)} credentials")


@pytest.mark.timeout(SECONDS)
def test_the_management_api(world, record_matrix):
    matrix = Matrix()
    everybody = [Who("anonymous"), *who_comes(ref.IN_TEAMS)]
    for who in everybody:
        client = client_of(world, who)
        ask_about_teams(matrix, world, who, client)
        ask_about_users(matrix, world, who, client)
        ask_about_repositories(matrix, world, who, client)
        ask_about_blobs(matrix, world, who, client)
        for request in ref.INSTANCE:
            expected = ref.expected_in_instance(who, request)
            answer = matrix.cell(who, request, expected, lambda: ask_api(client, request))  # noqa: B023
            if request == "GET teams" and answer.status == expected == 200:
                names = [row["name"] for row in answer.json()["results"]]
                matrix.listed(f"{who}: {request}", names, ref.LISTED_TEAMS[who.in_teams])
    matrix.verify(record_matrix, f"{API} for {len(everybody)} credentials")


def ask_about_teams(matrix, world, who, client):
    for request in ref.TEAMS:
        answers = {}
        for team in ref.TEAM_NAMES:
            expected = ref.expected_in_team(who, request, team)
            values = {**world.ids[team], "team": team}
            ask = lambda: ask_api(client, request, **values)  # noqa: B023, E731
            answers[team] = matrix.cell(who, request, expected, ask, about=team)
        if who.in_teams not in {"aud", "adm"}:
            matrix.alike(f"{who}: {request}", [anonymise(answers[team], team) for team in ("vault", "ghost")])
        if request.count("{") > 1:
            expected = ref.expected_in_team(who, request, "acorn", child_exists=False)
            values = {**dict.fromkeys(world.ids["acorn"], "999999"), "team": "acorn"}
            ask = lambda: ask_api(client, request, **values)  # noqa: B023, E731
            matrix.cell(who, request, expected, ask, about="absent")
    if who.holder != NOBODY:
        request = "DELETE teams/{team}/members/{username}"
        values = {"team": "acorn", "username": who.holder}
        ask = lambda: ask_api(client, request, **values)  # noqa: E731
        matrix.cell(who, request, ref.expected_leaving(who), ask, about="leaving")


def ask_about_repositories(matrix, world, who, client):
    for request in ref.REPOSITORY:
        unseen = []
        for name in ref.REPOSITORIES:
            expected = ref.expected_of_repository(who, request, name)
            ask = lambda: ask_repository(world, client, request, name)  # noqa: B023, E731
            answer = matrix.cell(who, request, expected, ask, about=name)
            if (expected == 404 and name not in world.digests) or (name == "vault/app" and expected == 404):
                unseen.append(anonymise(answer, name, world.digests.get(name, world.digests["acorn/app"])))
        if who.in_teams not in {"aud", "adm"} and len(unseen) > 1:
            matrix.alike(f"{who}: {request}", unseen)


def ask_about_blobs(matrix, world, who, client):
    digests = {
        "everywhere": [digest_of(LOOSE_BLOB), world.digests["acorn/app"]],
        "hidden": [digest_of(HIDDEN_LAYER), world.digests["vault/app"]],
        "absent": [ABSENT],
    }
    for request in ref.BLOBS:
        unseen = []
        for what, asked in digests.items():
            for digest in asked:
                expected = ref.expected_of_blob(who, what)
                ask = lambda: ask_api(client, request, digest=digest)  # noqa: B023, E731
                answer = matrix.cell(who, request, expected, ask, about=what)
                if expected == 404:
                    unseen.append(anonymise(answer, digest))
        if unseen:
            matrix.alike(f"{who}: {request}", unseen)


def ask_about_users(matrix, world, who, client):
    for request in ref.USERS:
        answers = []
        for username in ("bystander", "bystandex"):
            exists = username == "bystander"
            expected = ref.expected_of_user(who, request, exists=exists)
            values = {"username": username, "token_id": world.own_tokens["bystander"]}
            ask = lambda: ask_api(client, request, **values)  # noqa: B023, E731
            answers.append(anonymise(matrix.cell(who, request, expected, ask, about=username), username))
        if who.in_teams not in {"aud", "adm"}:
            matrix.alike(f"{who}: {request}", answers)
    own = {"username": who.holder, "token_id": world.own_tokens.get(who.holder, 1)}
    for request in ref.ACCOUNT:
        expected = ref.expected_of_account(who, request)
        matrix.cell(who, request, expected, lambda: ask_api(client, request, **own))  # noqa: B023
    if who.holder != NOBODY and not who.credential.startswith("robot"):
        for request in ref.OWN_NAME:
            expected = ref.expected_under_own_name(who, request)
            matrix.cell(who, request, expected, lambda: ask_api(client, request, **own))  # noqa: B023


def test_tokens_of_the_token_endpoint_manage_nothing(world, record_matrix):
    matrix = Matrix()
    for who in (Who("token endpoint", "administrator"), Who("robot, endpoint", "maintainer"), Who("anonymous token")):
        client = client_of(world, who)
        for request in {**ref.TEAMS, **ref.USERS, **ref.INSTANCE, **ref.ACCOUNT}:
            values = {"token_id": 1, **world.ids["acorn"], "team": "acorn"}
            expected = 200 if request == "GET schema" else 401
            matrix.cell(who, request, expected, lambda: ask_api(client, request, **values))  # noqa: B023
    matrix.verify(record_matrix, f"{API} for tokens of the token endpoint")


def routes_of_the_protocol() -> dict[str, set[str]]:
    """The methods of each route below `/v2/`, by its name."""
    found = {}
    for pattern in get_resolver().url_patterns:
        if isinstance(pattern, URLPattern) and str(pattern.pattern).lstrip("^").startswith("v2"):
            methods = {method for method in METHODS if hasattr(pattern.callback.view_class, method.lower())}
            found[pattern.name] = methods | ({"HEAD"} if "GET" in methods else set())
    return found


def test_no_endpoint_is_left_out():
    asked = {tuple(request.replace(",", " ").split()[:2]) for request in (*ref.V2, *ref.V2_ENTRY)}
    assert asked == {(method, name) for name, methods in routes_of_the_protocol().items() for method in methods}
    asked = set()
    for table in (ref.TEAMS, ref.USERS, ref.INSTANCE, ref.ACCOUNT, ref.OWN_NAME, ref.REPOSITORY, ref.BLOBS):
        asked |= {tuple(request.replace("?", "#").partition("#")[0].split()) for request in table}
    known = {
        (method.upper(), path.removeprefix(API))
        for path, operations in openapi_document()["paths"].items()
        for method in operations
    }
    assert asked == known


def test_methods_that_are_not_there(world):
    """Nobody is told more than that, whoever asks."""
    paths = {name: path for name, path in PATHS.items() if name != "unrouted"}
    assert set(paths) | {"unrouted"} == set(routes_of_the_protocol())
    for who in (Who("anonymous"), Who("password", "outsider"), Who("password", "administrator")):
        client = client_of(world, who)
        for name, methods in routes_of_the_protocol().items():
            for method in set(METHODS) - methods if methods else METHODS:
                for repository in ("acorn/app", "vault/app", "ghost/app"):
                    path = PATHS[name].format(repository)
                    expected = 404 if name == "unrouted" else 405
                    assert client.request(method, path).status == expected, (who, method, path)
        for path, operations in openapi_document()["paths"].items():
            if path.endswith("/-/tags/delete"):
                continue  # it is the path of a tag of this name as well
            path = re.sub(r"{\w+_id}", "1", path)
            for method in {each.lower() for each in METHODS} - set(operations) - {"head"}:
                assert client.request(method.upper(), path).status == 405, (who, method, path)


ZEROS = "sha256:" + "0" * 64
PATHS = {
    "base": "/v2/",
    "catalog": "/v2/_catalog",
    "manifest": "/v2/{}/manifests/latest",
    "blob_upload": "/v2/{}/blobs/uploads/",
    "blob_upload_chunk": "/v2/{}/blobs/uploads/00000000-0000-0000-0000-000000000007",
    "blob": f"/v2/{{}}/blobs/{ZEROS}",
    "tags": "/v2/{}/tags/list",
    "referrers": f"/v2/{{}}/referrers/{ZEROS}",
    "unrouted": "/v2/{}/nothing",
}
