"""The management API of a live server against its own description: by one journey that reaches all of it, and by
requests that Schemathesis makes up from the description, valid ones and others.

`make fuzz` makes up many of them, and others each time; fewer than ten for each operation are always the same.
"""

import os
import re
from collections import Counter
from contextlib import suppress

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.access.live_people import CAST, run_in
from tests.fuzz.journey import ADMIN, ANONYMOUS, ISSUER, KEPT_DIGEST, OWNER, journey
from tests.live_server import default_database, live_server
from tests.people import PASSWORD

pytestmark = [pytest.mark.live, pytest.mark.fuzz]
EXAMPLES = int(os.environ.get("LADING_FUZZ_EXAMPLES", "2"))
MEMBER = "bob"
THOROUGH = EXAMPLES >= 10
WHO = (ANONYMOUS, MEMBER, OWNER, ADMIN) if THOROUGH else (MEMBER, ADMIN)
ENVIRON = {
    "REGISTRY_AUTH": "lading",
    "REGISTRY_ADMIN_USERNAME": ADMIN,
    "REGISTRY_ADMIN_PASSWORD": PASSWORD,
    "REGISTRY_WEB_WORKERS": "1",
    "REGISTRY_AUTH_LADING_ISSUERS": f"[{{issuer: '{ISSUER}', audience: registry.example.org}}]",
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# What is there, of which each may lose something: nobody of those who ask is among them.
THINGS = """
from accounts.models import RepositoryGrant, Team, TrustedIdentity, User
from accounts.rights import ANONYMOUS
from oci.names import TagName
from repositories.manifests import put_manifest
from repositories.models import Repository, TagRule
from tests.factories import encode, index_manifest
from tests.people import make_access_token, make_robot, make_team
team = Team.objects.get(slug="alice")
make_team("other", otto="owner", nina="reader")
make_team("alice", ned="reader", nick="maintainer")
app = Repository.objects.create(team=team, name="alice/app")
for tag in ("latest", "old"):
    put_manifest(
        repository_id=app.pk,
        principal=ANONYMOUS,
        reference=TagName(tag),
        payload=encode(index_manifest(annotations={"tag": tag})),
        content_type="",
    )
for name in ("ci", "builder"):
    robot, _ = make_robot(team, name)
    for number in range(3):
        claims = {"repository": f"a/{number}"}
        TrustedIdentity.objects.create(robot=robot, issuer="https://ci.example.org", claims=claims)
otto = User.objects.get(username="otto")
for number in range(5):
    RepositoryGrant.objects.create(team=team, user=otto, pattern=f"p{number}", role="reader")
    TagRule.objects.create(team=team, repositories="**", tags=f"v{number}", immutable=True)
    for username in ("nina", "ned", "bob", "alice", "admin"):
        make_access_token(User.objects.get(username=username), name=f"{username} {number}")
"""
POOLS = {
    "team": ["alice", "alice", "other", "nowhere"],
    "username": ["nina", "ned", "nick", "otto", "nobody", "me"],
    "robot": ["ci", "builder", "nothing"],
    "name": ["alice/app", "alice/app", "alice/nothing"],
    "tag": ["latest", "old", "nothing"],
    **dict.fromkeys(("grant_id", "identity_id", "repository_id", "rule_id", "token_id"), range(1, 30)),
}
# Wrong passwords slow down whoever comes from this address.
LAST = ("putAccountPassword", "postSession")


@pytest.fixture(scope="module")
def server():
    with live_server(database=default_database(), environ=ENVIRON) as running:
        run_in(running, CAST + THINGS)
        yield running


@pytest.fixture(scope="module")
def description(server):
    # Not by the library's own loader, which leaves out the endpoint that it reads.
    return schemathesis.openapi.from_dict(httpx.get(f"{server.url}/api/v1/schema").raise_for_status().json())


def operations(description):
    found = {}
    for each in description.get_all_operations():
        operation = each.ok()
        found[operation.definition.raw["operationId"]] = operation
    return found


def send(server, case, who, password=PASSWORD):
    return case.call(base_url=server.url, auth=(who, password) if who else None, timeout=60)


def test_every_operation_can_succeed(server, description):
    known, reached, kept = operations(description), set(), {}
    for step in journey():
        operation = known[step.operation]
        path = {name: {**kept, **step.path}[name] for name in re.findall(r"{(\w+)}", operation.path)}
        given = {"digest": kept["digest"]} if step.body is KEPT_DIGEST else step.body
        body = {} if given is None else {"body": given, "media_type": "application/json"}
        case = operation.Case(path_parameters=path, query=dict(step.query), **body)
        answer = send(server, case, step.who, kept.get(step.who, PASSWORD))
        assert 200 <= answer.status_code < 300, (step, answer.text)
        case.validate_response(answer, checks=CHECKS)
        if step.keep:
            kept[step.keep[1]] = found_in(answer.json(), step.keep[0])
        if step.operation == "putAccountPassword":
            kept[step.who] = step.body["password"]
        reached.add(step.operation)
    assert reached == set(known)


def found_in(document, field):
    for part in field.split("."):
        document = document[int(part) if part.isdigit() else part]
    return document


@pytest.mark.timeout(900)
def test_whatever_is_sent_is_answered_as_described(server, description):
    known, statuses, problems = operations(description), Counter(), []
    for name in sorted(known, key=lambda name: (name in LAST, name)):
        for who in WHO:
            for mode in GenerationMode:
                try:
                    fuzz(server, known[name], who, mode, statuses)
                except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - told in the end, with the others
                    problems.append(f"{name} as {who or 'anonymous'}: {error}")
    print(f"{sum(statuses.values())} requests: {dict(sorted(statuses.items()))}")
    assert not problems, "\n\n".join(problems[:5]) + f"\n\n{len(problems)} problems"


def wrong(case):
    """Whether what is wrong with a request reaches the server: names and credentials are replaced by real ones."""
    negated = {location for location, part in case.meta.components.items() if part.mode is GenerationMode.NEGATIVE}
    return bool(negated & {ParameterLocation.QUERY, ParameterLocation.BODY})


def fuzz(server, operation, who, mode, statuses):
    strategy = operation.as_strategy(generation_mode=mode)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not THOROUGH,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def run(data):
        case = data.draw(strategy)
        for parameter in list(case.path_parameters or {}):
            # Made-up names would never meet anything.
            if parameter in POOLS and data.draw(st.integers(0, 4)):
                case.path_parameters[parameter] = data.draw(st.sampled_from(POOLS[parameter]))
        answer = send(server, case, who)
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=[*CHECKS, negative_data_rejection] if wrong(case) else CHECKS)

    # Where there is nothing to choose, nothing can be wrong about it.
    with suppress(Unsatisfiable):
        run()
