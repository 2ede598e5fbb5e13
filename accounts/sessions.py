"""The sessions of browsers: Django's, with the moment of the sign-in, which a later revocation is compared with."""

from datetime import datetime
from typing import Any

from django.contrib.auth import SESSION_KEY, login, logout
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User
from accounts.rights import Kind
from accounts.standing import Proof
from events import audit
from events.audit_actions import AuditAction
from registry_project.context import name_principal
from registry_project.database import writing

_SIGNED_IN_AT = "signed_in_at"
_BACKEND = "django.contrib.auth.backends.ModelBackend"


def begin_session(request: HttpRequest, user: User, *, by: str = "session") -> None:
    """This will sign a browser in, by a session whose key is new; `by` tells the audit log how."""
    request.session.flush()  # Django would keep the key for the same user
    login(request, user, backend=_BACKEND)
    name_principal(user.username, by)
    with writing():
        audit.record(action=AuditAction.SIGN_IN, target=user.username, detail={"by": by})


def end_session(request: HttpRequest) -> None:
    proof = find_session_proof(request)
    user = User.objects.filter(pk=proof.user_id).first() if proof and proof.user_id else None
    logout(request)
    if user is not None:
        name_principal(user.username, Kind.SESSION)
        with writing():
            audit.record(action=AuditAction.SIGN_OUT, target=user.username)


def stamp_session(request: HttpRequest | None, **_: Any) -> None:
    """Receives `user_logged_in`, so that whatever signs people in stamps their sessions."""
    if request is not None and hasattr(request, "session"):
        request.session[_SIGNED_IN_AT] = timezone.now().isoformat()


def find_session_proof(request: HttpRequest) -> Proof | None:
    """What a request's session proves, without asking whether the user is still there."""
    user_id, moment = request.session.get(SESSION_KEY), request.session.get(_SIGNED_IN_AT)
    if user_id is None or moment is None:
        return None
    return Proof(Kind.SESSION, user_id=int(user_id), issued_at=datetime.fromisoformat(moment))
