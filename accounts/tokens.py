"""Bearer tokens: JSON Web Tokens (RFC 7519) that this registry signs for itself, and reads strictly (RFC 8725).

A token says who it stands for, by which secret they proved it, and its scopes; what they may do is looked up at each
request. So a token grants nothing that was taken away after it was issued.
"""

import base64
import binascii
import hashlib
import math
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import jwt
from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accounts.expiring import Expiring
from accounts.keys import LEEWAY, find_verifier, get_signer
from accounts.rights import Kind, Scopes
from accounts.scopes import too_many_scopes
from accounts.standing import Proof, fingerprint
from oci.errors import ManifestInvalid
from oci.strict_json import parse_object

ISSUER = "lading"
# Its own type, so that no other kind of token can be taken for one (RFC 8725, 3.11).
TYPE = "lading-registry+jwt"
# Proxies refuse headers of more than 8 KiB.
LONGEST = 8000
_BACKDATED_SECONDS = 30
# Checked here, because what decodes it below overlooks other characters.
_THREE_PARTS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
_REQUIRED = ["iss", "aud", "sub", "exp", "nbf", "iat", "jti"]

_Id = Annotated[int, Field(gt=0, lt=2**63)]
PresentableKind = Literal["anonymous", "password", "access-token", "robot-secret", "identity-token"]


def longest_life() -> timedelta:
    """For how long a bearer token may be presented after it was issued, whatever the clocks of servers say."""
    if settings.AUTH_KIND != "lading":
        return timedelta()
    expiration: timedelta = settings.LADING_AUTH.expiration
    return expiration + 2 * LEEWAY


class TokenInvalid(Exception):
    """Not a token that this registry issued, or not for this use, or one whose time is over."""


class _Strict(BaseModel):
    """No other keys, no other JSON types, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Header(_Strict):
    """Exactly these: whatever tells where else a key might be (jwk, jku, x5u, x5c), and crit, is refused."""

    alg: str
    kid: str
    typ: Literal["lading-registry+jwt"]


class _Access(_Strict):
    type: str
    name: str
    actions: list[str]


class _Holder(_Strict):
    """What the token stands for: a Proof, with the fingerprint of a password's hash."""

    kind: PresentableKind
    user: _Id | None = None
    robot: _Id | None = None
    secret: _Id | None = None
    password: str | None = None


class _Claims(_Strict):
    iss: str
    aud: str
    sub: str
    jti: str
    exp: int
    nbf: int
    # With its fraction: what was revoked in the same second must not hit a token that was fetched after it.
    iat: float = Field(ge=0, lt=2**40)
    access: list[_Access]
    lading: _Holder


def issue_token(*, proof: Proof | None, name: str, scopes: Scopes, now: datetime) -> str:
    """A token for who made the proof, None for anonymous; raises ParameterInvalid when its scopes make it too long."""
    signer = get_signer(now=now)
    issued = now.timestamp()
    claims = {
        "iss": ISSUER,
        "aud": settings.LADING_AUTH.service,
        "sub": name,
        "exp": math.ceil(issued + settings.LADING_AUTH.expiration.total_seconds()),
        "nbf": int(issued) - _BACKDATED_SECONDS,
        "iat": issued,
        "jti": secrets.token_urlsafe(16),
        "access": [{"type": kind, "name": name, "actions": sorted(held)} for (kind, name), held in scopes.items()],
        "lading": _holder(proof).model_dump(exclude_none=True),
    }
    token = jwt.encode(claims, signer.key, signer.algorithm, headers={"kid": signer.kid, "typ": TYPE})
    if len(token) > LONGEST:
        raise too_many_scopes("fewer names of this length")
    return token


def read_token(text: str) -> Proof:
    """The proof that a token stands for, whether it is still good or not; raises TokenInvalid."""
    key = hashlib.sha256(text.encode()).digest()
    proof = _read.find(key)
    if proof is None:
        claims, kid = _verify(text)
        proof = _proof(claims, kid)
        _read.add(key, proof, until=claims.exp + LEEWAY.total_seconds())
    return proof


def forget_tokens() -> None:
    """Forget which tokens were found genuine; for tests."""
    _read.clear()


_read: Expiring[Proof] = Expiring()


def _verify(text: str) -> tuple[_Claims, str]:
    if len(text) > LONGEST or not _THREE_PARTS.match(text):
        raise TokenInvalid("no token of this registry")
    try:
        # Parsed here first, because what reads it below takes the last of two equal keys.
        header = _Header.model_validate(_parse(text.split(".")[0]))
        claims = _Claims.model_validate(_parse(text.split(".")[1]))
    except ValidationError as error:
        raise TokenInvalid("a header or claim is missing, unknown or of the wrong type") from error
    verifier = find_verifier(header.kid)
    if verifier is None or header.alg != verifier.algorithm:
        raise TokenInvalid("not signed by this registry")
    try:
        jwt.decode(
            text,
            verifier.key,
            algorithms=[verifier.algorithm],
            audience=settings.LADING_AUTH.service,
            issuer=ISSUER,
            leeway=LEEWAY,
            options={"require": _REQUIRED, "strict_aud": True},
        )
    except jwt.PyJWTError as error:
        raise TokenInvalid(str(error)) from error
    return claims, header.kid


def _parse(part: str) -> dict[str, object]:
    try:
        return parse_object(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ManifestInvalid) as error:
        raise TokenInvalid("not strict JSON in base64url") from error


def _holder(proof: Proof | None) -> _Holder:
    if proof is None:
        return _Holder(kind="anonymous")
    return _Holder.model_validate(
        {
            "kind": str(proof.kind),
            "user": proof.user_id,
            "robot": proof.robot_id,
            "secret": proof.secret_id,
            "password": None if proof.password is None else fingerprint(proof.password),
        }
    )


def _proof(claims: _Claims, kid: str) -> Proof:
    holder = claims.lading
    return Proof(
        Kind(holder.kind),
        user_id=holder.user,
        robot_id=holder.robot,
        secret_id=holder.secret,
        password_mark=holder.password,
        issued_at=datetime.fromtimestamp(claims.iat, UTC),
        kid=kid,
        scopes={(each.type, each.name): frozenset(each.actions) for each in claims.access},
    )
