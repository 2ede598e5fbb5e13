"""CI jobs that act as a robot by a token of their own system."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from accounts import issuers as keys_of
from accounts.identities import IdentityInvalid, add_identity, list_identities, remove_identity
from accounts.models import Robot, Team
from registry_project.config.auth import Lading, TrustedIssuer
from tests.access import issuers
from tests.access.issuers import encode, new_key, now, sign, sign_text
from tests.factories import NAME
from tests.people import make_robot


class FakeIssuer:
    """Serves a discovery document and keys; `asked` counts requests by path."""

    def __init__(self):
        self.keys, self.asked, self.document, self.down = [], [], {}, False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                answers = {
                    "/.well-known/openid-configuration": json.dumps(
                        {"issuer": outer.url, "jwks_uri": f"{outer.url}/keys", **outer.document}
                    ),
                    "/keys": issuers.jwks(*outer.keys),
                }
                body = answers.get(self.path, "").encode()
                self.send_response(503 if outer.down else 200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture(scope="module")
def key():
    return new_key()


@pytest.fixture
def issuer(key, settings):
    issuer = FakeIssuer()
    issuer.keys = [issuers.jwk(key, "one")]
    settings.LADING_AUTH = Lading(issuers=(TrustedIssuer(issuer=issuer.url),))
    keys_of.forget_all()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()


@pytest.fixture
def robot(team, people, issuer):
    people["bob"].push_image()
    robot, _ = make_robot(team)
    add_identity(robot=robot, issuer=issuer.url, claims={"repository": "acme/*", "ref": "refs/heads/main"})
    return robot


@pytest.fixture
def claims(issuer):
    return {
        "iss": issuer.url,
        "sub": "repo:acme/app:ref:refs/heads/main",
        "aud": "lading",
        "exp": now(60),
        "iat": now(),
        "nbf": now(),
        "repository": "acme/app",
        "ref": "refs/heads/main",
    }


@pytest.fixture
def status(registry, robot):
    """The answer to a request of the robot that presents a token as its password."""
    path = f"/v2/{NAME}/manifests/latest"
    return lambda token, name="alice+ci": registry.signed_in(name, token).get(path).status


def test_a_job_acts_as_the_robot(registry, robot, claims, key, status):
    token = sign(key, claims, kid="one")
    assert status(token) == 200
    ci = registry.signed_in("alice+ci", token)
    ci.push_image("from-ci")
    assert ci.delete(f"/v2/{NAME}/manifests/from-ci").status == 403
    assert status(sign(key, {**claims, "aud": ["lading"]}, kid="one")) == 200
    assert status("é" + token) == 401


def test_longer_tokens_than_passwords(claims, key, status):
    assert status(sign(key, {**claims, "more": "x" * 3000}, kid="one")) == 200


@pytest.mark.parametrize("name", ["alice+other", "bob+ci", "alice", "+ci", "alice+", "alice+ci+x"])
def test_a_token_is_for_robots_that_trust_it(claims, key, status, name):
    assert status(sign(key, claims, kid="one"), name) == 401


@pytest.mark.parametrize(
    "change",
    [
        {"repository": "acme/app/x"},
        {"repository": "acmeX/app"},
        {"repository": "evil/acme/app"},
        {"repository": None},
        {"repository": ["acme/app"]},
        {"ref": "refs/heads/main2"},
        {"ref": "refs/heads/Main"},
        {"ref": True},
    ],
)
def test_every_claim_must_match(claims, key, status, change):
    assert status(sign(key, {**claims, **change}, kid="one")) == 401


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://evil.example.org"},
        {"iss": None},
        {"aud": "other"},
        {"aud": ["lading", "other"]},
        {"aud": "lading "},
        {"aud": None},
        {"exp": now(-120)},
        {"exp": None},
        {"exp": str(now(60))},
        {"iat": None},
        {"iat": now(3600)},
        {"nbf": now(3600)},
        {"sub": ""},
        {"sub": None},
        {"sub": 5},
    ],
)
def test_forged_claims(claims, key, status, change):
    changed = {name: value for name, value in {**claims, **change}.items() if value is not None}
    assert status(sign_text(key, {"alg": "ES256", "typ": "JWT", "kid": "one"}, changed)) == 401


def test_forged_keys(claims, key, status, issuer, monkeypatch):
    # More of them than one address may get wrong.
    monkeypatch.setattr("accounts.throttle.MOST_PER_ACCOUNT", 100)
    foreign, p384, rsa = new_key(), new_key(issuers.ec.SECP384R1), issuers.new_rsa_key()
    issuer.keys += [issuers.jwk(p384, "p384"), issuers.jwk(rsa, "rsa"), issuers.jwk(rsa, "rs", alg="RS256")]
    text = json.dumps(claims).encode()
    tokens = [
        sign(foreign, claims, kid="one"),
        sign(foreign, claims, kid="two"),
        sign(foreign, claims, kid="one", jwk=issuers.jwk(foreign, "one")),
        sign(foreign, claims, kid="one", jku=f"{issuer.url}/keys"),
        sign(key, claims),
        sign(p384, claims, algorithm="ES384", kid="p384"),
        sign(rsa, claims, algorithm="PS256", kid="rsa"),
        sign(rsa, claims, algorithm="RS512", kid="rs"),
        f"{encode({'alg': 'none', 'kid': 'one'})}.{encode(claims)}.",
        f"{encode({'alg': 'HS256', 'kid': 'one'})}.{encode(claims)}.AAAA",
        sign_text(key, {"alg": "ES256", "kid": "one", "crit": ["exp"]}, claims),
        sign_text(key, {"alg": "ES256", "kid": "one", "typ": "logout+jwt"}, claims),
        sign_text(key, {"alg": "ES256", "kid": "one"}, text[:-1] + b',"ref":"refs/heads/main"}'),
        sign_text(key, {"alg": "ES256", "kid": "one"}, b"eyJ"),
        "ey.x.y",
    ]
    assert [status(token) for token in tokens] == [401] * len(tokens)
    assert status(sign(rsa, claims, algorithm="RS256", kid="rs")) == 200


def test_what_is_taken_away_is_gone_at_once(claims, key, status, robot):
    token = sign(key, claims, kid="one")
    (identity,) = list_identities(robot=robot)
    assert status(token) == 200
    other, _ = make_robot(robot.team, "other")
    assert not remove_identity(robot=other, identity_id=identity.id)
    assert remove_identity(robot=robot, identity_id=identity.id)
    assert status(token) == 401
    add_identity(robot=robot, issuer=identity.issuer, claims=identity.claims)
    assert status(token) == 200
    Robot.objects.filter(id=robot.id).update(disabled_at="2020-01-01T00:00Z")
    assert status(token) == 401
    Robot.objects.filter(id=robot.id).update(disabled_at=None)
    Team.objects.update(deleted_at="2020-01-01T00:00Z")
    assert status(token) == 401


def test_keys_are_kept_and_looked_up_again_for_an_unknown_id(claims, key, status, issuer, monkeypatch):
    monkeypatch.setattr(keys_of, "PAUSE_SECONDS", 0)
    for _ in range(3):
        assert status(sign(key, claims, kid="one")) == 200
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
    rotated = new_key()
    issuer.keys = [issuers.jwk(rotated, "two")]
    assert status(sign(rotated, claims, kid="two")) == 200
    assert status(sign(key, claims, kid="one")) == 401
    issuer.down = True
    assert status(sign(rotated, claims, kid="two")) == 200


def test_made_up_ids_do_not_make_us_ask_again_and_again(claims, key, status, issuer):
    assert status(sign(key, claims, kid="one")) == 200
    for number in range(5):
        assert status(sign(key, claims, kid=f"made-up-{number}")) == 401
    assert len(issuer.asked) == 2


def test_an_issuer_that_is_down_is_asked_again_later(claims, key, status, issuer, monkeypatch):
    token = sign(key, claims, kid="one")
    issuer.down = True
    assert status(token) == status(token) == 401
    assert len(issuer.asked) == 1
    issuer.down = False
    monkeypatch.setattr(keys_of, "PAUSE_SECONDS", 0)
    assert status(token) == 200


def test_keys_grow_old():
    moments, answers = iter(range(0, 10**9, 1800)), iter([{"one": "key"}])
    clock = [0.0]
    fetched = keys_of.FetchedKeys("x", clock=lambda: clock[0])
    with pytest.MonkeyPatch.context() as patch:

        def fetch(_issuer):
            try:
                return next(answers)
            except StopIteration:
                raise keys_of.IssuerUnreachable("gone") from None

        patch.setattr(keys_of, "fetch_keys", fetch)
        found = []
        for _ in range(60):
            clock[0] = next(moments)
            found.append(fetched.find("one") is not None)
    assert found == [True] * 48 + [False] * 12


@pytest.mark.parametrize(
    "document", [{"issuer": "https://other.example.org"}, {"jwks_uri": None}, {"jwks_uri": "file:///etc/passwd"}]
)
def test_a_discovery_document_that_is_not_the_issuers(claims, key, status, issuer, document):
    issuer.document = document
    assert status(sign(key, claims, kid="one")) == 401


def test_where_the_document_leads_the_egress_rules_hold(claims, key, status, issuer):
    other = FakeIssuer()
    other.keys = issuer.keys
    issuer.document = {"jwks_uri": f"{other.url}/keys"}
    assert status(sign(key, claims, kid="one")) == 401
    assert other.asked == []
    other.server.shutdown()
    other.server.server_close()


def test_keys_from_a_file(claims, key, status, issuer, settings, tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(issuers.jwks(issuers.jwk(key, "file")))
    settings.LADING_AUTH = Lading(issuers=(TrustedIssuer(issuer=issuer.url, audience="mine", jwks=str(path)),))
    assert status(sign(key, {**claims, "aud": "mine"}, kid="file")) == 200
    assert status(sign(key, claims, kid="file")) == 401
    assert issuer.asked == []


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"ref": "refs/heads/main"},
        {"repository": "*"},
        {"repository": "**/app", "ref": "refs/heads/main"},
        {"repository": ""},
        {"repository": "acme/app\n"},
        {"repository": ["acme/app"]},
        {"repository": "a" * 256},
        {f"claim{number}": "x" for number in range(21)},
    ],
)
def test_rules_that_strangers_could_meet_are_refused(robot, issuer, rule):
    with pytest.raises(IdentityInvalid, match="expected"):
        add_identity(robot=robot, issuer=issuer.url, claims=rule)


def test_issuers_that_are_not_configured_are_refused(robot, issuer):
    for other in (issuer.url + "/", "https://evil.example.org"):
        with pytest.raises(IdentityInvalid, match=r"auth\.lading\.issuers"):
            add_identity(robot=robot, issuer=other, claims={"sub": "x"})


def test_numbers_and_truth_values_match_as_json(robot, issuer, claims, key, status):
    add_identity(robot=robot, issuer=issuer.url, claims={"project_id": "42", "ref_protected": "true"})
    assert status(sign(key, {**claims, "ref": "x", "project_id": 42, "ref_protected": True}, kid="one")) == 200
    assert status(sign(key, {**claims, "ref": "x", "project_id": 421, "ref_protected": True}, kid="one")) == 401
