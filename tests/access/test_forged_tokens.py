"""Tokens that this registry did not issue, or not so, or not now: 401 for each of them, and never 500."""

import json
import string
import time
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts import keys
from accounts.keys import get_signer
from accounts.models import RefreshToken, SigningKey
from accounts.tokens import TYPE, TokenInvalid, read_token
from tests.access.bearer import ask, claims_of, post_form, segment, sign, sign_raw
from tests.factories import NAME
from tests.people import PASSWORD, make_access_token

SCOPE = f"repository:{NAME}:pull"
PATH = f"/v2/{NAME}/manifests/latest"
FORGERIES = {}


def forgery(function):
    FORGERIES[function.__name__.replace("_", " ")] = function
    return function


class Genuine:
    """A token of bob's with its parts, for forgers."""

    def __init__(self, token):
        self.token = token
        self.claims = claims_of(token)
        self.signer = get_signer(now=timezone.now())
        self.pem = self.signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.foreign = ec.generate_private_key(ec.SECP256R1())
        self.rsa = rsa.generate_private_key(65537, 2048)

    def with_claims(self, **changed):
        """Signed by our own key: only the claims are wrong. None leaves a claim out."""
        claims = {**self.claims, **changed}
        return sign({name: value for name, value in claims.items() if value is not None})

    def with_payload(self, payload):
        return sign_raw(payload, self.header(), self.signer.key, "ES256")

    def header(self, **changed):
        return {"alg": "ES256", "kid": self.signer.kid, "typ": TYPE, **changed}


@forgery
def algorithm_none(real):
    return sign(real.claims, algorithm=None, alg="none")


@forgery
def algorithm_none_with_the_signature_kept(real):
    return f"{sign(real.claims, algorithm=None, alg='none')}{real.token.rpartition('.')[2]}"


@forgery
def algorithm_None_in_capitals(real):  # noqa: N802
    return sign_raw(json.dumps(real.claims).encode(), real.header(alg="None"), None, "none") + "AAAA"


@forgery
def no_signature(real):
    return real.token.rpartition(".")[0] + "."


@forgery
def hs256_with_the_public_key(real):
    return hmac_signed(real, real.pem)


@forgery
def hs256_with_the_public_key_and_whitespace(real):
    return hmac_signed(real, b" \n" + real.pem + b"\n ")


@forgery
def hs256_with_the_coordinates(real):
    return hmac_signed(real, json.dumps(jwt.algorithms.ECAlgorithm.to_jwk(real.signer.key.public_key())).encode())


@forgery
def hs256_with_a_space(real):
    return hmac_signed(real, b" ")


@forgery
def rs256_by_a_foreign_key(real):
    return sign(real.claims, key=real.rsa, algorithm="RS256")


@forgery
def es256_header_over_an_rs256_signature(real):
    return sign_raw(json.dumps(real.claims).encode(), real.header(), real.rsa, "RS256")


@forgery
def es384(real):
    return sign(real.claims, key=ec.generate_private_key(ec.SECP384R1()), algorithm="ES384")


@forgery
def a_foreign_key_under_our_id(real):
    return sign(real.claims, key=real.foreign)


@forgery
def a_foreign_key_under_its_own_id(real):
    return sign(real.claims, key=real.foreign, kid="A" * 22)


@forgery
def a_foreign_key_in_the_header(real):
    return sign(real.claims, key=real.foreign, jwk=jwk(real.foreign))


@forgery
def a_foreign_key_in_the_header_without_an_id(real):
    header = {"alg": "ES256", "typ": TYPE, "jwk": jwk(real.foreign)}
    return sign_raw(json.dumps(real.claims).encode(), header, real.foreign, "ES256")


@forgery
def our_own_key_in_the_header(real):
    return sign(real.claims, jwk=jwk(real.signer.key))


@forgery
def an_address_of_keys(real):
    return sign(real.claims, jku="http://127.0.0.1/jwks")


@forgery
def an_address_of_a_certificate(real):
    return sign(real.claims, x5u="http://127.0.0.1/certificate")


@forgery
def a_certificate(real):
    return sign(real.claims, x5c=["MIIB"])


@forgery
def a_thumbprint_of_a_certificate(real):
    return sign(real.claims, x5t="AAAA")


@forgery
def an_unknown_critical_header(real):
    return sign(real.claims, crit=["unknown"], unknown=True)


@forgery
def an_empty_list_of_critical_headers(real):
    return sign(real.claims, crit=[])


@forgery
def a_payload_that_is_not_encoded(real):
    return sign(real.claims, b64=False, crit=["b64"])


@forgery
def no_key_id(real):
    return sign_raw(json.dumps(real.claims).encode(), {"alg": "ES256", "typ": TYPE}, real.signer.key, "ES256")


@forgery
def the_type_of_another_token(real):
    return sign(real.claims, typ="at+jwt")


@forgery
def a_plain_type(real):
    return sign(real.claims, typ="JWT")


@forgery
def another_audience(real):
    return real.with_claims(aud="other")


@forgery
def a_list_of_audiences(real):
    return real.with_claims(aud=["lading", "other"])


@forgery
def a_list_of_our_audience(real):
    return real.with_claims(aud=["lading"])


@forgery
def another_issuer(real):
    return real.with_claims(iss="other")


@forgery
def a_list_of_issuers(real):
    return real.with_claims(iss=["lading"])


@forgery
def a_claim_that_we_never_make(real):
    return real.with_claims(admin=True)


@forgery
def expired_beyond_the_leeway(real):
    return real.with_claims(exp=int(time.time()) - 61)


@forgery
def not_yet_good_beyond_the_leeway(real):
    return real.with_claims(nbf=int(time.time()) + 70)


@forgery
def issued_in_the_future(real):
    return real.with_claims(iat=time.time() + 70)


@forgery
def issued_before_all_time(real):
    return real.with_claims(iat=-1e300)


@forgery
def a_huge_expiry(real):
    return real.with_payload(json.dumps({**real.claims, "exp": 0}).replace('"exp": 0', f'"exp": {"9" * 5000}').encode())


@forgery
def an_infinite_expiry(real):
    return real.with_payload(json.dumps({**real.claims, "exp": float("inf")}).encode())


@forgery
def an_expiry_twice(real):
    expired = json.dumps({**real.claims, "exp": int(time.time()) - 1000})
    return real.with_payload(f'{expired[:-1]}, "exp": {int(time.time()) + 1000}}}'.encode())


@forgery
def a_subject_twice(real):
    return real.with_payload(f'{json.dumps(real.claims)[:-1]}, "sub": "admin"}}'.encode())


@forgery
def an_algorithm_twice(real):
    header = json.dumps(real.header())[:-1] + ', "alg": "ES256"}'
    return sign_raw(json.dumps(real.claims).encode(), header.encode(), real.signer.key, "ES256")


@forgery
def a_payload_that_is_a_list(real):
    return real.with_payload(json.dumps([real.claims]).encode())


@forgery
def a_payload_with_a_mark_of_byte_order(real):
    return real.with_payload(b"\xef\xbb\xbf" + json.dumps(real.claims).encode())


@forgery
def a_payload_in_another_encoding(real):
    return real.with_payload(json.dumps(real.claims).encode("utf-16"))


@forgery
def a_deep_payload(real):
    return real.with_payload(b"[" * 5000)


@forgery
def a_changed_payload(real):
    header, _, signature = real.token.split(".")
    payload = segment(json.dumps({**real.claims, "sub": "admin"}).encode())
    return f"{header}.{payload}.{signature}"


@forgery
def the_user_of_another_token(real):
    return real.with_claims(lading={"kind": "password", "user": "1"})


@forgery
def a_kind_that_is_never_in_a_token(real):
    return real.with_claims(lading={"kind": "everyone"})


@forgery
def nobody_but_not_anonymous(real):
    return real.with_claims(lading={"kind": "password"})


@forgery
def a_user_who_does_not_exist(real):
    return real.with_claims(lading={"kind": "password", "user": 10**9})


@forgery
def a_user_beyond_all_numbers(real):
    return real.with_claims(lading={"kind": "password", "user": 10**30})


@forgery
def junk_in_the_signature(real):
    return real.token[:-4] + "!" + real.token[-4:]


@forgery
def padding(real):
    return real.token + "=="


@forgery
def a_short_signature(real):
    return real.token[:-10]


@forgery
def two_parts(real):
    return real.token.rpartition(".")[0]


@forgery
def four_parts(real):
    return real.token + ".AAAA"


@forgery
def five_parts_as_if_encrypted(real):
    return "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0.." + real.token


@forgery
def the_json_serialisation(real):
    header, payload, signature = real.token.split(".")
    return json.dumps({"protected": header, "payload": payload, "signature": signature}).replace(" ", "")


@forgery
def a_very_long_token(real):
    return sign({**real.claims, "jti": "a" * 9000})


@forgery
def a_refresh_token(real):
    answer = post_form(real.registry, grant_type="password", username="bob", password=PASSWORD, access_type="offline")
    assert RefreshToken.objects.exists()
    return answer.json()["refresh_token"]


@forgery
def a_key_that_ended(real):
    SigningKey.objects.update(ends_at=timezone.now())
    return real.token


@forgery
def a_key_that_is_gone(real):
    SigningKey.objects.all().delete()
    return real.token


def _claims_left_out():
    for name in ("iss", "aud", "sub", "exp", "nbf", "iat", "jti", "access", "lading"):
        FORGERIES[f"without {name}"] = lambda real, name=name: real.with_claims(**{name: None})
    for name, value in {
        "sub": 1,
        "jti": 5,
        "exp": "99999999999",
        "nbf": "1",
        "iat": "1",
        "access": {},
        "lading": [],
    }.items():
        FORGERIES[f"{name} as {value!r}"] = lambda real, name=name, value=value: real.with_claims(**{name: value})
    for name in ("exp", "iat", "nbf"):
        FORGERIES[f"{name} as true"] = lambda real, name=name: real.with_claims(**{name: True})
    for kid in ("../../x", "' OR 1=1 --", "", "\0", "é", "a" * 5000, 5, None, ["a"], {"a": 1}):
        FORGERIES[f"kid {str(kid)[:20]!r}"] = lambda real, kid=kid: sign(real.claims, kid=kid)


_claims_left_out()


def hmac_signed(real, secret):
    import hashlib
    import hmac

    signed = f"{segment(json.dumps(real.header(alg='HS256')).encode())}.{segment(json.dumps(real.claims).encode())}"
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def jwk(key):
    return jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)


@pytest.fixture
def real(people):
    people["bob"].push_image("latest")
    genuine = Genuine(ask(people["bob"], SCOPE).json()["token"])
    genuine.registry = people["anonymous"]
    return genuine


@pytest.mark.parametrize("kind", FORGERIES)
def test_is_refused(registry, real, kind):
    assert registry.bearing(sign(real.claims)).get(PATH).status == 200, "the forger's tools make a good one"
    token = FORGERIES[kind](real)
    for path in (PATH, "/v2/"):
        answer = registry.bearing(token).get(path)
        assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_there_are_enough():
    assert len(FORGERIES) >= 25


def test_within_the_leeway(registry, real):
    now = int(time.time())
    for changed in ({"exp": now - 50}, {"nbf": now + 50}, {"iat": now + 50.5}, {"iat": int(real.claims["iat"]) + 1}):
        assert registry.bearing(real.with_claims(**changed)).get(PATH).status == 200


def test_a_token_that_was_read_before_expires_all_the_same(registry, real, monkeypatch):
    token = real.with_claims(exp=int(time.time()) - 59)
    assert registry.bearing(token).get(PATH).status == 200
    soon = time.time() + 2
    monkeypatch.setattr("accounts.expiring.time.time", lambda: soon)
    monkeypatch.setattr("jwt.api_jwt.datetime", Later)
    assert registry.bearing(token).get(PATH).status == 401


class Later:
    @staticmethod
    def now(tz):
        return timezone.now() + timedelta(seconds=2)


def test_made_up_key_ids_cannot_keep_the_database_busy(registry, real, django_assert_max_num_queries):
    tokens = [sign(real.claims, key=real.foreign, kid=f"{number:022}") for number in range(30)]
    keys.forget_keys()
    with django_assert_max_num_queries(7):
        assert {registry.bearing(token).get("/v2/").status for token in tokens} == {401}


def test_a_key_of_another_process_is_known_during_such_a_flood(registry, real, monkeypatch):
    """A new key waits before it signs, and any look-up meanwhile finds it."""
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr("accounts.keys._verifiers", keys._Verifiers(clock=lambda: next(clock)))
    assert registry.bearing(sign(real.claims, key=real.foreign, kid="A" * 22)).get("/v2/").status == 401
    kid = keys.rotate_keys(now=timezone.now())
    SigningKey.objects.filter(kid=kid).update(signs_from=timezone.now())
    fresh = sign(real.claims)
    assert jwt.get_unverified_header(fresh)["kid"] != real.signer.kid
    assert registry.bearing(sign(real.claims, key=real.foreign, kid="B" * 22)).get("/v2/").status == 401
    assert registry.bearing(fresh).get("/v2/").status == 200


def test_an_access_token_is_none_of_these(registry, real):
    from accounts.models import User

    text = make_access_token(User.objects.get(username="bob"))
    assert registry.bearing(text).get(PATH).status == 200
    assert registry.bearing(text[:-1] + ("a" if text[-1] != "a" else "b")).get(PATH).status == 401


@given(text=st.text(st.characters(codec="latin-1"), max_size=200))
def test_any_text_is_refused_in_one_way(text):
    with pytest.raises(TokenInvalid):
        read_token(text)


@given(
    header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit"]), st.text(max_size=30) | st.integers()),
    payload=st.binary(max_size=60),
    signature=st.text(string.ascii_letters, min_size=1, max_size=90),
)
def test_any_parts_are_refused_in_one_way(header, payload, signature):
    with pytest.raises(TokenInvalid):
        read_token(f"{segment(json.dumps(header).encode())}.{segment(payload)}.{signature}")
