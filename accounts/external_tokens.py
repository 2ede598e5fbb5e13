"""`auth: token`: bearer tokens of another server, which decides who may do what (token authentication, JWT)."""

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from accounts.callers import Caller
from accounts.certificates import Bundle
from accounts.challenges import INVALID_TOKEN, Challenge
from accounts.jwt_parsing import TokenInvalid, TrustedKey, key_of_jwk, keys_of_jwks, read_header, verify
from accounts.rights import Credential, Kind, Scopes
from registry_project.watched import WatchedFile

_LONGEST_NAME = 255
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


def check_external_token(token: str, *, challenge: Challenge) -> Caller:
    """Who a token belongs to and what it allows; raises Unauthorized."""
    try:
        claims = _verified(token)
        name, scopes = _name(claims), _scopes(claims)
    except TokenInvalid as error:
        raise challenge.refusal(error=INVALID_TOKEN, reason=f"the token is not valid: {error}") from error
    credential = Credential(Kind.EXTERNAL_TOKEN, name, scopes=scopes, proof=str(Kind.EXTERNAL_TOKEN))
    return Caller(challenge, fixed=credential)


def _verified(token: str) -> dict[str, object]:
    header = read_header(token)
    accepted = settings.TOKEN_AUTH.signingalgorithms or _ALGORITHMS
    if header.get("alg") not in accepted:
        raise TokenInvalid("its algorithm is not accepted")
    return verify(
        token,
        _key(header),
        algorithms=set(accepted).intersection(_ALGORITHMS),
        issuer=settings.TOKEN_AUTH.issuer,
        audience=settings.TOKEN_AUTH.service,
        required=(),
    )


def _key(header: Mapping[str, object]) -> TrustedKey:
    """Distribution's order: a chain of certificates, a key that is known, the id of a known key."""
    bundle = _bundle(settings.TOKEN_AUTH.rootcertbundle)
    if "x5c" in header:
        return bundle.key_of_chain(header["x5c"])
    kid = header.get("kid")
    if "jwk" in header:
        document = header["jwk"]
        if not isinstance(document, dict):
            raise TokenInvalid("its key cannot be read")
        if "x5c" in document:
            return _same(document, bundle.key_of_chain(document["x5c"]))
        kid = document.get("kid")
    known = {**bundle.keys, **_key_set(settings.TOKEN_AUTH.jwks)}
    if not isinstance(kid, str) or kid not in known:
        raise TokenInvalid("its key is not known")
    # The key that we have, never the one that the token brings.
    return known[kid]


def _same(document: dict[str, object], trusted: TrustedKey) -> TrustedKey:
    try:
        given = key_of_jwk({name: value for name, value in document.items() if name != "x5c"})
    except ValueError as error:
        raise TokenInvalid("its key cannot be read") from error
    if given.key != trusted.key:
        raise TokenInvalid("its key is not that of its certificate")
    return trusted


def _name(claims: Mapping[str, object]) -> str:
    name = claims.get("sub", "")
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or not name.isprintable():
        raise TokenInvalid("its claim sub is not a name")
    return name


def _scopes(claims: Mapping[str, object]) -> Scopes:
    entries = claims.get("access")
    if not isinstance(entries, list | None):
        raise TokenInvalid("its claim access is not a list")
    granted: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in entries or []:
        if not isinstance(entry, dict):
            raise TokenInvalid("its claim access is not a list of objects")
        kind, name, actions = entry.get("type"), entry.get("name"), entry.get("actions")
        if not isinstance(kind, str) or not isinstance(name, str) or not isinstance(actions, list | None):
            raise TokenInvalid("its claim access has a wrong entry")
        if not all(isinstance(action, str) for action in actions or []):
            raise TokenInvalid("its claim access has a wrong entry")
        granted[kind, name].update(actions or [])
    return {resource: frozenset(actions) for resource, actions in granted.items()}


def forget_all() -> None:
    """Forget what files said; for tests."""
    _watched_bundle.cache_clear()
    _watched_keys.cache_clear()


def _bundle(path: Path | None) -> Bundle:
    return _watched_bundle(path).current() if path else Bundle([])


def _key_set(path: Path | None) -> dict[str, TrustedKey]:
    return _watched_keys(path).current() if path else {}


@lru_cache(maxsize=4)
def _watched_bundle(path: Path) -> WatchedFile[Bundle]:
    return WatchedFile(path, Bundle.parse, absent=Bundle([]), what="the certificates of auth.token")


@lru_cache(maxsize=4)
def _watched_keys(path: Path) -> WatchedFile[dict[str, TrustedKey]]:
    return WatchedFile(path, keys_of_jwks, absent={}, what="the key set of auth.token")
