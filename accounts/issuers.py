"""The keys of issuers of identity tokens: from a file, or from where their discovery document says (OpenID Connect
Discovery 1.0, section 4).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

from django.conf import settings

from accounts.jwt_parsing import TrustedKey, keys_of_jwks
from oci.errors import ManifestInvalid
from oci.strict_json import parse_object
from registry_project.config.auth import TrustedIssuer
from registry_project.database import release_connection
from registry_project.egress import EgressClient, EgressError, origin_of
from registry_project.watched import WatchedFile

log = logging.getLogger("lading.accounts")

_DISCOVERY = "/.well-known/openid-configuration"
_TIMEOUT_SECONDS = 5.0
# An unknown key id makes us look again, whoever made it up; so not more often than this.
PAUSE_SECONDS = 10.0
_FRESH_SECONDS = 3600.0
# An issuer that cannot be reached is believed for so long by the keys that it had.
_GOOD_SECONDS = 24 * 3600.0
_OK = 200

Keys = Mapping[str, TrustedKey]


class IssuerUnreachable(Exception):
    """The message says why, without addresses."""


class FetchedKeys:
    """An issuer's key set, kept for an hour, and fetched again at once for a key id that is not in it."""

    def __init__(self, issuer: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Keys = {}
        self._fetched: float | None = None
        self._tried: float | None = None

    def find(self, kid: str) -> TrustedKey | None:
        age = self._age()
        if age is not None and age < _FRESH_SECONDS and kid in self._keys:
            return self._keys[kid]
        with self._lock:
            self._refresh(kid)
            age = self._age()
            return self._keys.get(kid) if age is not None and age < _GOOD_SECONDS else None

    def _age(self) -> float | None:
        return None if self._fetched is None else self._clock() - self._fetched

    def _refresh(self, kid: str) -> None:
        age, now = self._age(), self._clock()
        is_needed = age is None or age >= _FRESH_SECONDS or kid not in self._keys
        if not is_needed or (self._tried is not None and now - self._tried < PAUSE_SECONDS):
            return
        self._tried = now
        try:
            self._keys = fetch_keys(self._issuer)
            self._fetched = self._clock()
        except IssuerUnreachable as error:
            log.warning("the keys of the issuer %s cannot be fetched: %s", self._issuer, error)


def find_key(trusted: TrustedIssuer, kid: str) -> TrustedKey | None:
    """The key of an issuer by its id; may ask the issuer."""
    if trusted.jwks is not None:
        return _watched_keys(trusted).current().get(kid)
    return find_fetched_key(str(trusted.issuer), kid)


def find_fetched_key(issuer: str, kid: str) -> TrustedKey | None:
    """The key that an issuer itself serves; may ask the issuer."""
    return _fetched_keys(issuer).find(kid)


def fetch_discovery(issuer: str) -> dict[str, object]:
    """What an issuer says about itself; raises IssuerUnreachable."""
    with _calling(issuer) as client:
        return _discover(client, issuer)


def fetch_keys(issuer: str) -> Keys:
    """Raises IssuerUnreachable."""
    with _calling(issuer) as client:
        address = endpoint(_discover(client, issuer), "jwks_uri", issuer)
        return keys_of_jwks(_get(client, address))


def endpoint(document: Mapping[str, object], name: str, issuer: str) -> str:
    """An address out of a discovery document; never a step down from https. Raises IssuerUnreachable."""
    address = document.get(name)
    if not isinstance(address, str):
        raise IssuerUnreachable(f"its discovery document has no {name}")
    if origin_of(issuer).scheme == "https" and origin_of(address).scheme != "https":
        raise IssuerUnreachable(f"its {name} is not https")
    return address


def new_client(*issuers: str) -> EgressClient:
    """What the operator configured may be called wherever it is; where its document leads, only as `egress` allows."""
    return EgressClient(allow=settings.EGRESS, timeout_seconds=_TIMEOUT_SECONDS, trusted=[*map(origin_of, issuers)])


@contextmanager
def _calling(issuer: str) -> Iterator[EgressClient]:
    release_connection()
    try:
        with new_client(issuer) as client:
            yield client
    except (EgressError, ManifestInvalid, ValueError) as error:
        raise IssuerUnreachable(str(error) if isinstance(error, EgressError) else "its answer is not valid") from error


def _discover(client: EgressClient, issuer: str) -> dict[str, object]:
    document = parse_object(_get(client, issuer.rstrip("/") + _DISCOVERY))
    if document.get("issuer") != issuer:
        raise IssuerUnreachable("its discovery document is of another issuer")
    return document


def forget_all() -> None:
    """Forget what issuers and files said; for tests."""
    _fetched_keys.cache_clear()
    _watched_keys.cache_clear()


def _get(client: EgressClient, url: str) -> bytes:
    answer = client.request("GET", url, headers={"Accept": "application/json"})
    if answer.status != _OK:
        raise IssuerUnreachable(f"it answers {answer.status}")
    return answer.body


@lru_cache(maxsize=64)
def _fetched_keys(issuer: str) -> FetchedKeys:
    return FetchedKeys(issuer)


@lru_cache(maxsize=64)
def _watched_keys(trusted: TrustedIssuer) -> WatchedFile[dict[str, TrustedKey]]:
    assert trusted.jwks is not None
    return WatchedFile(trusted.jwks, keys_of_jwks, absent={}, what=f"the key set of {trusted.issuer}")
