"""`auth: token`: another server decides, and Lading believes nobody else."""

import hashlib
import hmac
import os

import pytest

from accounts import external_tokens
from accounts.certificates import libtrust_id, thumbprint
from registry_project.config.auth import Token
from repositories.models import Repository
from tests.access import issuers
from tests.access.issuers import certificate, encode, new_key, now, sign, sign_text, x5c
from tests.factories import NAME, Registry

ISSUER, SERVICE = "https://tokens.example.org", "registry.example.org"
REALM = f'Bearer realm="{ISSUER}/token",service="{SERVICE}"'


@pytest.fixture(scope="module")
def authority():
    """A root, a certificate below it through another, one that is trusted itself, and keys of a set."""
    keys = {name: new_key() for name in ("root", "middle", "leaf", "own", "old", "set", "foreign")}
    root = certificate(keys["root"], subject="root", authority=True)
    middle = certificate(keys["middle"], subject="middle", issuer=root, issuer_key=keys["root"], authority=True)
    leaf = certificate(keys["leaf"], subject="leaf", issuer=middle, issuer_key=keys["middle"])
    own = certificate(keys["own"], subject="own", authority=None)
    return {"keys": keys, "root": root, "middle": middle, "leaf": leaf, "own": own}


@pytest.fixture
def files(tmp_path, authority):
    bundle, keys = tmp_path / "bundle.pem", tmp_path / "jwks.json"
    bundle.write_bytes(issuers.pem(authority["root"], authority["own"]))
    keys.write_text(issuers.jwks(issuers.jwk(authority["keys"]["set"], "set-1", alg="ES256", use="sig")))
    return bundle, keys


@pytest.fixture(autouse=True)
def _token_auth(settings, files, transactional_db):
    settings.AUTH_KIND = "token"
    settings.TOKEN_AUTH = Token(
        realm=f"{ISSUER}/token",
        issuer=ISSUER,
        service=SERVICE,
        rootcertbundle=str(files[0]),
        jwks=str(files[1]),
    )
    external_tokens.forget_all()


def claims(*actions, name=NAME, **more):
    access = [{"type": "repository", "name": name, "actions": list(actions)}] if actions else []
    return {
        "iss": ISSUER,
        "sub": "alice",
        "aud": SERVICE,
        "exp": now(60),
        "nbf": now(-10),
        "iat": now(),
        "jti": "1",
        "access": access,
        **more,
    }


@pytest.fixture
def bearing(authority):
    """A client with a token of what it may do to a repository."""
    key = authority["keys"]["set"]
    return lambda *actions, **more: Registry().bearing(sign(key, claims(*actions, **more), kid="set-1"))


def test_the_token_says_what_may_be_done(registry, bearing):
    bearing("push", "pull").push_image()
    assert bearing("pull").get(f"/v2/{NAME}/manifests/latest").status == 200
    assert bearing("*").get(f"/v2/{NAME}/manifests/latest").status == 200
    assert bearing("delete").delete(f"/v2/{NAME}/manifests/latest").status == 202
    assert bearing().get("/v2/").status == 200
    assert bearing(sub="").get("/v2/").status == 200


@pytest.mark.parametrize(
    ("actions", "name", "method", "path", "scope"),
    [
        ([], NAME, "GET", "manifests/latest", f"repository:{NAME}:pull"),
        (["push"], NAME, "GET", "manifests/latest", f"repository:{NAME}:pull"),
        (["pull"], NAME, "POST", "blobs/uploads/", f"repository:{NAME}:pull,push"),
        (["pull", "push"], NAME, "DELETE", "manifests/latest", f"repository:{NAME}:delete"),
        (["*"], "alice/other", "GET", "tags/list", f"repository:{NAME}:pull"),
        (["*"], "alice", "GET", "tags/list", f"repository:{NAME}:pull"),
    ],
)
def test_what_it_does_not_say_is_asked_for(registry, bearing, actions, name, method, path, scope):
    answer = bearing(*actions, name=name).request(method, f"/v2/{NAME}/{path}")
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
    assert answer.headers["WWW-Authenticate"] == f'{REALM},scope="{scope}",error="insufficient_scope"'


def test_the_catalog_has_a_scope_of_its_own(registry, bearing):
    bearing("push", "pull").push_image()
    answer = bearing("*").get("/v2/_catalog")
    assert answer.headers["WWW-Authenticate"] == f'{REALM},scope="registry:catalog:*",error="insufficient_scope"'
    whole = bearing(access=[{"type": "registry", "name": "catalog", "actions": ["*"]}])
    assert whole.get("/v2/_catalog").json()["repositories"] == [NAME]


@pytest.mark.parametrize("path", ["/v2/", f"/v2/{NAME}/manifests/latest", "/v2/_catalog"])
def test_without_a_token_nothing_is_to_be_had(registry, bearing, path):
    bearing("push", "pull").push_image()
    Repository.objects.update(visibility="public")
    for client in (registry, registry.signed_in("alice", "correct horse")):
        answer = client.get(path)
        assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
        assert answer.headers["WWW-Authenticate"].startswith(REALM)


def test_the_realm_of_the_host_that_was_used(registry, settings):
    settings.TOKEN_AUTH = settings.TOKEN_AUTH.model_copy(update={"autoredirect": True})
    header = registry.get("/v2/", Host="registry.example.org:5000").headers["WWW-Authenticate"]
    assert header == f'Bearer realm="http://registry.example.org:5000/auth/token",service="{SERVICE}"'


def test_each_way_to_name_a_key(registry, authority):
    keys = authority["keys"]
    own, leaf, middle = authority["own"], authority["leaf"], authority["middle"]
    tokens = [
        sign(keys["set"], claims(), kid="set-1"),
        sign(keys["own"], claims(), kid=thumbprint(keys["own"].public_key())),
        sign(keys["own"], claims(), kid=libtrust_id(keys["own"].public_key())),
        sign(keys["own"], claims(), x5c=x5c(own)),
        sign(keys["leaf"], claims(), x5c=x5c(leaf, middle)),
        sign(keys["leaf"], claims(), x5c=x5c(leaf, middle, authority["root"])),
        sign(keys["leaf"], claims(), jwk={**issuers.jwk(keys["leaf"], "x"), "x5c": x5c(leaf, middle)}),
        sign(keys["set"], claims(), jwk=issuers.jwk(keys["set"], "set-1")),
        sign(keys["set"], claims(aud=["other", SERVICE], exp=now(60) + 0.5), kid="set-1"),
        sign_text(keys["set"], {"alg": "ES256", "kid": "set-1"}, claims()),
        sign(keys["set"], claims(exp=now(-30), nbf=now(30)), kid="set-1"),  # a minute's leeway
    ]
    assert [registry.bearing(token).get("/v2/").status for token in tokens] == [200] * len(tokens)


def test_rsa_keys(registry, files):
    key = issuers.new_rsa_key()
    files[1].write_text(issuers.jwks(issuers.jwk(key, "rsa")))
    statuses = [
        registry.bearing(sign(key, claims(), algorithm=algorithm, kid="rsa")).get("/v2/").status
        for algorithm in ("RS256", "PS512", "RS384")
    ]
    assert statuses == [200, 200, 200]


def test_a_known_libtrust_id():
    text = libtrust_id(new_key().public_key())
    assert len(text.split(":")) == 12
    assert all(len(group) == 4 for group in text.split(":"))


FORGED = {}


def forged(make):
    FORGED[make.__name__.replace("_", " ")] = make
    return make


@forged
def nothing_of_a_token(a):
    return ["x", "x.y", "x.y.z", "..", "a.b.c.d", "é.x.y", "A" * 20_000]


@forged
def no_signature(a):
    head = encode({"alg": "none", "typ": "JWT", "kid": "set-1"})
    return [f"{head}.{encode(claims('*'))}.", f"{head}.{encode(claims('*'))}.AAAA"]


@forged
def hmac_with_a_public_key(a):
    secrets = [issuers.public_pem(a["keys"]["set"]), b" " + issuers.public_pem(a["keys"]["set"]), b" ", b""]
    signed = f"{encode({'alg': 'HS256', 'typ': 'JWT', 'kid': 'set-1'})}.{encode(claims('*'))}"
    return [f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}" for secret in secrets]


@forged
def a_key_that_the_token_brings(a):
    key = a["keys"]["foreign"]
    return [
        sign(key, claims("*"), jwk=issuers.jwk(key, "set-1")),
        sign(key, claims("*"), jwk=issuers.jwk(key, "other")),
        sign(key, claims("*"), jwk={**issuers.jwk(key, "x"), "x5c": x5c(a["leaf"], a["middle"])}),
        sign(key, claims("*"), jwk="x", kid="set-1"),
        sign(key, claims("*"), kid="set-1", jku="https://evil.example.org/keys"),
        sign(key, claims("*"), kid="set-1", x5u="https://evil.example.org/chain"),
    ]


@forged
def a_chain_that_leads_nowhere(a):
    key, keys = a["keys"]["foreign"], a["keys"]
    stranger = certificate(key, subject="root", authority=True)
    below_a_leaf = certificate(key, subject="deep", issuer=a["leaf"], issuer_key=keys["leaf"])
    below_own = certificate(key, subject="deep", issuer=a["own"], issuer_key=keys["own"])
    expired = certificate(
        key, subject="old", issuer=a["root"], issuer_key=keys["root"], age=5 * issuers.DAY, lasts=issuers.DAY
    )
    future = certificate(key, subject="new", issuer=a["root"], issuer_key=keys["root"], age=-issuers.DAY)
    return [
        sign(key, claims("*"), x5c=x5c(stranger)),
        sign(key, claims("*"), x5c=x5c(stranger, a["root"])),
        sign(key, claims("*"), x5c=x5c(a["own"])),
        sign(key, claims("*"), x5c=x5c(below_a_leaf, a["leaf"], a["middle"])),
        sign(key, claims("*"), x5c=x5c(below_own, a["own"])),
        sign(keys["leaf"], claims("*"), x5c=x5c(a["leaf"])),
        sign(key, claims("*"), x5c=x5c(expired)),
        sign(key, claims("*"), x5c=x5c(future)),
        sign(key, claims("*"), x5c=[], kid="set-1"),
        sign(key, claims("*"), x5c="x"),
        sign(key, claims("*"), x5c=["AAAA", 5]),
        sign(keys["leaf"], claims("*"), x5c=x5c(a["leaf"], a["middle"]) * 6),
    ]


@forged
def another_kid(a):
    key = a["keys"]["set"]
    kids = ["../../../dev/null", "set-1' OR '1'='1", "SET-1", "", "set-1\n", "set-2"]
    headers = [{"alg": "ES256", "typ": "JWT", "kid": kid} for kid in (None, 1, ["set-1"])]
    return [sign(key, claims("*"), kid=kid) for kid in kids] + [sign_text(key, head, claims("*")) for head in headers]


@forged
def a_header_that_demands_or_repeats(a):
    key = a["keys"]["set"]
    return [
        sign_text(key, {"alg": "ES256", "kid": "set-1", "crit": ["x"], "x": 1}, claims("*")),
        sign_text(key, {"alg": "ES256", "kid": "set-1", "b64": False, "crit": ["b64"]}, claims("*")),
        sign_text(key, {"alg": "ES256", "kid": "set-1", "typ": "refresh"}, claims("*")),
        sign_text(key, {"alg": "ES256", "kid": "set-1", "typ": 1}, claims("*")),
        sign_text(key, {"alg": ["ES256"], "kid": "set-1"}, claims("*")),
        sign_text(key, b'{"alg":"ES256","kid":"other","kid":"set-1"}', claims("*")),
        sign_text(key, b"[]", claims("*")),
    ]


@forged
def an_algorithm_that_is_not_the_keys(a):
    rsa, curve = issuers.new_rsa_key(), new_key(issuers.ec.SECP384R1)
    return [
        sign(rsa, claims("*"), algorithm="RS256", kid="set-1"),
        sign(curve, claims("*"), algorithm="ES384", kid="set-1"),
        sign(a["keys"]["own"], claims("*"), kid="set-1"),
    ]


@forged
def wrong_claims(a):
    key = a["keys"]["set"]
    wrong = [
        {"iss": "https://tokens.example.org/"},
        {"iss": [ISSUER]},
        {"iss": None},
        {"aud": "other"},
        {"aud": []},
        {"aud": [SERVICE + "x"]},
        {"aud": {SERVICE: 1}},
        {"aud": None},
        {"exp": now(-61)},
        {"exp": str(now(60))},
        {"exp": True},
        {"exp": None},
        {"exp": [now(60)]},
        {"nbf": now(70)},
        {"nbf": "0"},
        {"iat": "now"},
        {"sub": 1},
        {"sub": "a\nb"},
        {"sub": "x" * 256},
        {"access": {"type": "repository"}},
        {"access": ["*"]},
        {"access": [{"type": "repository", "name": NAME, "actions": "*"}]},
        {"access": [{"type": "repository", "name": [NAME], "actions": ["*"]}]},
        {"access": [{"type": "repository", "name": NAME, "actions": [["*"]]}]},
        {"access": [{"name": NAME, "actions": ["*"]}]},
    ]
    header = {"alg": "ES256", "typ": "JWT", "kid": "set-1"}
    return [sign_text(key, header, {**claims("*"), **change}) for change in wrong] + [
        sign_text(key, header, {name: value for name, value in claims("*").items() if name != missing})
        for missing in ("iss", "aud", "exp")
    ]


@forged
def a_payload_that_is_read_in_two_ways(a):
    key, header = a["keys"]["set"], {"alg": "ES256", "typ": "JWT", "kid": "set-1"}
    text = issuers.json.dumps(claims("*")).encode()
    return [
        sign_text(key, header, text[:-1] + b',"sub":"admin"}'),
        sign_text(key, header, text.replace(b'"exp": ', b'"exp": NaN, "x": ')),
        sign_text(key, header, b"[" + text + b"]"),
        sign_text(key, header, b"\xef\xbb\xbf" + text),
        sign_text(key, header, text[:-1]),
        sign_text(key, header, b"{" + b'"a":{' * 5000),
    ]


@forged
def a_changed_payload(a):
    head, _, signature = sign(a["keys"]["set"], claims(), kid="set-1").split(".")
    return [f"{head}.{encode(claims('*'))}.{signature}"]


@pytest.mark.parametrize("kind", FORGED)
def test_forged_tokens(registry, authority, kind):
    for number, token in enumerate(FORGED[kind](authority)):
        answer = registry.bearing(token).get("/v2/")
        assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"]), (kind, number)
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_only_the_configured_algorithms(registry, authority, settings, files):
    key = issuers.new_rsa_key()
    files[1].write_text(issuers.jwks(issuers.jwk(key, "rsa")))
    settings.TOKEN_AUTH = settings.TOKEN_AUTH.model_copy(update={"signingalgorithms": ("RS256",)})
    statuses = [
        registry.bearing(sign(key, claims(), algorithm=algorithm, kid="rsa")).get("/v2/").status
        for algorithm in ("RS256", "RS512", "PS256")
    ]
    assert statuses == [200, 401, 401]


def test_keys_are_read_again_when_their_files_change(registry, authority, files, caplog):
    bundle, keys = files
    key, own = authority["keys"]["set"], authority["keys"]["own"]
    by_set, by_bundle = sign(key, claims(), kid="set-1"), sign(own, claims(), x5c=x5c(authority["own"]))
    status = lambda token: registry.bearing(token).get("/v2/").status  # noqa: E731
    for path in files:
        os.utime(path, (0, 0))
    assert (status(by_set), status(by_bundle)) == (200, 200)
    other = new_key()
    keys.write_text(issuers.jwks(issuers.jwk(other, "set-1")))
    bundle.write_bytes(issuers.pem(authority["root"]))
    assert (status(by_set), status(by_bundle)) == (401, 401)
    assert status(sign(other, claims(), kid="set-1")) == 200
    keys.write_text("{")
    bundle.unlink()
    assert status(sign(other, claims(), kid="set-1")) == 401
    assert "the key set of auth.token" in caplog.text
    assert "the certificates of auth.token" in caplog.text
    bundle.write_bytes(issuers.pem(authority["own"]))
    assert status(by_bundle) == 200


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")
def test_keys_that_are_no_keys_are_left_out(registry, authority, files):
    key, weak = authority["keys"]["set"], issuers.new_rsa_key(1024)
    private = {**issuers.jwk(key, "private"), "d": "AAAA"}
    symmetric = {"kty": "oct", "kid": "oct", "k": encode(b"k" * 32)}
    files[1].write_text(
        issuers.jwks(
            private, symmetric, issuers.jwk(weak, "weak"), issuers.jwk(key, "enc", use="enc"), issuers.jwk(key, "good")
        )
    )
    status = lambda token: registry.bearing(token).get("/v2/").status  # noqa: E731
    assert status(sign(key, claims(), kid="good")) == 200
    assert status(sign(key, claims(), kid="private")) == status(sign(key, claims(), kid="enc")) == 401
    assert status(sign(b"k" * 32, claims(), algorithm="HS256", kid="oct")) == 401
    assert status(sign(weak, claims(), algorithm="RS256", kid="weak")) == 401
