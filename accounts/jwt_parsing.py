"""JSON Web Tokens of other issuers (RFC 7519), read strictly: what is ambiguous is no token.

The caller brings the key; a token never chooses how it is verified.
"""

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from oci.errors import ManifestInvalid
from oci.strict_json import parse_object

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

MAX_LENGTH = 16 * 1024
LEEWAY_SECONDS = 60
_MIN_RSA_BITS = 2048
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES = frozenset({"jwt", "at+jwt"})
_CURVES = ((SECP256R1, "ES256"), (SECP384R1, "ES384"), (SECP521R1, "ES512"))
_RSA = tuple(f"{family}{bits}" for family in ("RS", "PS") for bits in (256, 384, 512))
_NUMBERS, _TEXTS = ("exp", "nbf", "iat"), ("iss", "sub")


class TokenInvalid(Exception):
    """The message says why, in words that repeat nothing of the token."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key and what it may be used with: a key never serves an algorithm of another kind."""

    key: PublicKey
    algorithms: frozenset[str]

    @classmethod
    def of(cls, key: object) -> "TrustedKey":
        """Raise ValueError for a key that is too weak, or of a kind that signs no tokens."""
        if isinstance(key, RSAPublicKey):
            if key.key_size < _MIN_RSA_BITS:
                raise ValueError(f"an RSA key has {_MIN_RSA_BITS} bits or more")
            return cls(key, frozenset(_RSA))
        if isinstance(key, EllipticCurvePublicKey):
            for curve, algorithm in _CURVES:
                if isinstance(key.curve, curve):
                    return cls(key, frozenset({algorithm}))
        if isinstance(key, Ed25519PublicKey):
            return cls(key, frozenset({"EdDSA"}))
        raise ValueError("expected an RSA, P-256, P-384, P-521 or Ed25519 public key")


def read_header(token: str) -> dict[str, object]:
    """What a token says of itself before anything is verified; raises TokenInvalid."""
    if len(token) > MAX_LENGTH or not _SHAPE.fullmatch(token):
        raise TokenInvalid("it is not a token")
    header = _parse(token.split(".")[0])
    if "crit" in header or "b64" in header:
        raise TokenInvalid("it demands an extension that is not known here")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise TokenInvalid("it is a token of another type")
    return header


def verify(
    token: str,
    trusted: TrustedKey,
    *,
    algorithms: Collection[str],
    issuer: str,
    audience: str,
    required: Collection[str],
) -> dict[str, object]:
    """The claims of a token that is signed by a key, by one of the algorithms; raises TokenInvalid.

    `iss` and `aud` must be the given ones; `exp`, `nbf` and `iat` hold with a minute's leeway.
    """
    claims = _parse(token.split(".")[1])
    for name in _NUMBERS:
        if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], int | float)):
            raise TokenInvalid(f"its claim {name} is not a number")
    for name in _TEXTS:
        if name in claims and not isinstance(claims[name], str):
            raise TokenInvalid(f"its claim {name} is not a text")
    try:
        jwt.decode(
            token,
            key=trusted.key,
            algorithms=sorted(trusted.algorithms.intersection(algorithms)),
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "aud", "exp", *required]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise TokenInvalid(_in_our_words(error)) from error
    return claims


def key_of_jwk(document: object) -> TrustedKey:
    """The public key of a JSON Web Key (RFC 7517) that is for signatures; raises ValueError."""
    if not isinstance(document, dict) or document.get("use", "sig") != "sig":
        raise ValueError("expected a key for signatures")
    if document.get("kty") not in ("RSA", "EC", "OKP") or "d" in document:
        raise ValueError("expected a public key of a key pair")
    try:
        trusted = TrustedKey.of(jwt.PyJWK(cast("dict[str, str]", document)).key)
    except (jwt.PyJWTError, TypeError, KeyError) as error:
        raise ValueError("the key cannot be read") from error
    algorithm = document.get("alg")
    if algorithm is None:
        return trusted
    return TrustedKey(trusted.key, trusted.algorithms & {str(algorithm)})


def keys_of_jwks(content: bytes) -> dict[str, TrustedKey]:
    """The keys of a set by their id; those that cannot verify tokens are left out. Raises ValueError."""
    try:
        keys = parse_object(content).get("keys")
    except ManifestInvalid as error:
        raise ValueError("it is no JSON Web Key Set") from error
    if not isinstance(keys, list):
        raise ValueError("it is no JSON Web Key Set")
    found: dict[str, TrustedKey] = {}
    for document in keys:
        kid = document.get("kid") if isinstance(document, dict) else None
        if not isinstance(kid, str) or not kid:
            continue
        try:
            trusted = key_of_jwk(document)
        except ValueError:
            continue
        if kid in found:
            raise ValueError(f"two keys have the id {kid[:100]!r}")
        found[kid] = trusted
    return found


def _parse(segment: str) -> dict[str, object]:
    try:
        return parse_object(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (binascii.Error, ManifestInvalid) as error:
        raise TokenInvalid("it is not a token") from error


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "it has expired"),
    (jwt.ImmatureSignatureError, "it is not valid yet"),
    (jwt.InvalidAudienceError, "it is for another registry"),
    (jwt.InvalidIssuerError, "it is of another issuer"),
    (jwt.MissingRequiredClaimError, "a claim is missing"),
    (jwt.InvalidAlgorithmError, "its algorithm is not accepted"),
    (jwt.InvalidSignatureError, "its signature is wrong"),
)


def _in_our_words(error: Exception) -> str:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "it is not valid")
