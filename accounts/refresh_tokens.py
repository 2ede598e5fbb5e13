"""Refresh tokens: what `docker login` keeps instead of a password. Each goes with the secret it was obtained by."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from accounts.models import RefreshToken
from accounts.rights import Kind
from accounts.secrets import Prefix, hash_secret, is_well_formed, new_secret
from accounts.standing import Proof
from events import audit
from events.audit_actions import AuditAction
from registry_project.database import writing

CLIENT_ID_LENGTH = 255
# Every pull of a signed-in client refreshes; its row need not be written as often.
_LONGEST_BETWEEN_WRITES = timedelta(hours=1)


def create_refresh_token(*, proof: Proof, name: str, client_id: str, now: datetime) -> str | None:
    """A refresh token for who made the proof, called `name`, shown once.

    None where it could outlive what it was obtained by.
    """
    holder = _holder(proof)
    if holder is None:
        return None
    text = new_secret(Prefix.REFRESH_TOKEN)
    with writing():
        RefreshToken.objects.create(
            hash=hash_secret(text),
            service=settings.LADING_AUTH.service,
            client_id=client_id[:CLIENT_ID_LENGTH],
            created_at=now,
            expires_at=now + settings.LADING_AUTH.refresh,
            **holder,
        )
        # It outlasts the request, as a session does; a bearer token is a matter of minutes.
        audit.record(action=AuditAction.SIGN_IN, target=name, detail={"by": "refresh token", "client_id": client_id})
    return text


def use_refresh_token(text: str, *, now: datetime) -> Proof | None:
    """The proof that a refresh token stands for, or None; using it begins its time anew."""
    if not is_well_formed(text, Prefix.REFRESH_TOKEN):
        return None
    found = (
        RefreshToken.objects.filter(hash=hash_secret(text), service=settings.LADING_AUTH.service, expires_at__gt=now)
        .select_related("user", "access_token", "robot_secret")
        .first()
    )
    if found is None:
        return None
    _prolong(found, now)
    if found.user is not None:
        # Older than `revoked_before` it is good no longer, as a bearer token is.
        password = found.user.password
        return Proof(Kind.PASSWORD, user_id=found.user_id, password=password, issued_at=found.created_at)
    if found.access_token is not None:
        return Proof(Kind.ACCESS_TOKEN, user_id=found.access_token.user_id, secret_id=found.access_token_id)
    assert found.robot_secret is not None
    return Proof(Kind.ROBOT_SECRET, robot_id=found.robot_secret.robot_id, secret_id=found.robot_secret_id)


def purge_refresh_tokens(*, now: datetime) -> int:
    """Remove those that nobody used for too long; how many."""
    removed, _ = RefreshToken.objects.filter(expires_at__lte=now).delete()
    return removed


def _holder(proof: Proof) -> dict[str, int | None] | None:
    if proof.kind is Kind.PASSWORD and proof.password is not None:
        return {"user_id": proof.user_id}
    if proof.kind is Kind.ACCESS_TOKEN:
        return {"access_token_id": proof.secret_id}
    if proof.kind is Kind.ROBOT_SECRET:
        return {"robot_secret_id": proof.secret_id}
    return None


def _prolong(token: RefreshToken, now: datetime) -> None:
    pause = min(_LONGEST_BETWEEN_WRITES, settings.LADING_AUTH.refresh / 10)
    if token.last_used_at is None or now - token.last_used_at >= pause:
        try:
            with writing():
                RefreshToken.objects.filter(pk=token.pk).update(
                    last_used_at=now, expires_at=now + settings.LADING_AUTH.refresh
                )
        except (DatabaseError, InterfaceError):
            # A database that takes no writes does not keep anybody from pulling.
            connection.close()
