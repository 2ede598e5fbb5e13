"""The keys that sign bearer tokens: rows of the database, so that every process signs and verifies with the same."""

import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone
from jwt.algorithms import ECAlgorithm

from accounts.models import SigningKey
from events import audit
from events.audit_actions import AuditAction
from registry_project.database import lock_table, retried, writing

ALGORITHM = "ES256"
# How far the clocks of two servers may differ (RFC 7519, 4.1.4).
LEEWAY = timedelta(seconds=60)
# A new key waits as long before it signs, so that a process that may not look it up at once still knows it in time.
_SETTLING = timedelta(seconds=10)
_KID = re.compile(r"[A-Za-z0-9_-]{22}\Z")
# How often a process asks the database for key ids that it does not know: anybody can make them up.
_LOOK_UPS, _LOOK_UPS_PER_SECOND = 5, 1.0


@dataclass(frozen=True, slots=True)
class Signer:
    kid: str
    algorithm: str
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Verifier:
    algorithm: str
    key: ec.EllipticCurvePublicKey


def get_signer(*, now: datetime) -> Signer:
    """The key that signs at this moment, made where there is none; one statement where there is."""
    keys = list(_live(now).order_by("-signs_from", "kid"))
    if not keys:
        keys = [_make_first_key(now=now)]
    # None has begun only where this server's clock is behind: then the one that begins first.
    row = next((key for key in keys if key.signs_from <= now), keys[-1])
    return Signer(row.kid, row.algorithm, _private_key(row.private_key))


def find_verifier(kid: str) -> Verifier | None:
    """The key of our own with exactly this id, also one that ended since: `load_standing` asks for that."""
    return _verifiers.find(kid) if _KID.match(kid) else None


def list_public_keys(*, now: datetime) -> list[dict[str, str]]:
    """The keys that tokens may be signed with from now on, as JSON Web Keys (RFC 7517)."""
    return [
        {
            **ECAlgorithm.to_jwk(_private_key(key.private_key).public_key(), as_dict=True),
            "kid": key.kid,
            "alg": key.algorithm,
            "use": "sig",
        }
        for key in _live(now).order_by("signs_from", "kid")
    ]


@retried
def rotate_keys(*, now: datetime, after: timedelta = timedelta(0)) -> str | None:
    """Replace the signing key, with `after` only if it is older; the new one's id, None where the old one stays.

    Tokens of the old one stay good until they expire.
    """
    with writing():
        lock_table(SigningKey._meta.db_table)
        if after and _live(now).filter(created_at__gt=now - after).exists():
            return None
        begins = now + _SETTLING if _live(now).exists() else now
        key = _create(now=now, signs_from=begins)
        # A server whose clock is behind signs with the old key for a little longer.
        ends = begins + settings.LADING_AUTH.expiration + 2 * LEEWAY
        SigningKey.objects.filter(ends_at=None).exclude(pk=key.pk).update(ends_at=ends)
        SigningKey.objects.filter(ends_at__lt=now - LEEWAY).delete()
        audit.record(action=AuditAction.KEY_ROTATE, target=key.kid, detail={"signs_from": begins.isoformat()})
        return key.kid


@retried
def revoke_keys(*, now: datetime) -> str:
    """End every signing key, and with them every bearer token, at once; the id of the key that signs from now on."""
    with writing():
        lock_table(SigningKey._meta.db_table)
        # Without its row a key is dead whatever the clocks of the servers say.
        ended = list(SigningKey.objects.values_list("kid", flat=True))
        SigningKey.objects.all().delete()
        kid = _create(now=now, signs_from=now).kid
        audit.record(action=AuditAction.KEY_REVOKE, target=kid, detail={"ended": ended})
        return kid


def forget_keys() -> None:
    """Forget the keys that this process read; for tests."""
    _verifiers.clear()


@retried
def _make_first_key(*, now: datetime) -> SigningKey:
    with writing():
        # Two processes may need the first key at once: the second one waits here, and finds it.
        lock_table(SigningKey._meta.db_table)
        return _live(now).order_by("-signs_from", "kid").first() or _create(now=now, signs_from=now)


def _create(*, now: datetime, signs_from: datetime) -> SigningKey:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return SigningKey.objects.create(
        kid=secrets.token_urlsafe(16), algorithm=ALGORITHM, private_key=pem, created_at=now, signs_from=signs_from
    )


def _live(now: datetime) -> "QuerySet[SigningKey]":
    return SigningKey.objects.filter(Q(ends_at=None) | Q(ends_at__gt=now))


@lru_cache(maxsize=32)
def _private_key(pem: str) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


class _Verifiers:
    """The public keys that this process has read. An id that is not among them is looked up, but not without limit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, Verifier] = {}
        self.clear()

    def clear(self) -> None:
        self._keys = {}
        self._left, self._counted_at = float(_LOOK_UPS), self._clock()

    def find(self, kid: str) -> Verifier | None:
        if kid not in self._keys and self._may_look_up():
            self._keys = {
                key.kid: Verifier(key.algorithm, _private_key(key.private_key).public_key())
                for key in _live(timezone.now())
            }
        return self._keys.get(kid)

    def _may_look_up(self) -> bool:
        with self._lock:
            now = self._clock()
            self._left = min(self._left + (now - self._counted_at) * _LOOK_UPS_PER_SECOND, float(_LOOK_UPS))
            self._counted_at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


_verifiers = _Verifiers()
