"""Users: who may sign in, and with what."""

import re
from datetime import datetime

from django.contrib.auth.hashers import check_password, make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q
from django.utils import timezone

from accounts.errors import LastAdministrator, PasswordRefused, UnknownUser, UsernameTaken
from accounts.models import RefreshToken, User
from accounts.models.users import RESERVED_USERNAMES, USERNAME_MAX_LENGTH, USERNAME_PATTERN
from accounts.passwords import check_new_password, is_too_long
from accounts.throttle import check_failures, count_failure
from accounts.turns import turns
from events import audit
from events.audit_actions import AuditAction
from registry_project.database import release_connection, retried, writing
from registry_project.problems import BadRequest

_USERNAME = re.compile(rf"{USERNAME_PATTERN}\Z")
_ADMINISTRATORS = Q(is_superuser=True, is_active=True)


def get_user(username: str) -> User:
    """Raise UnknownUser where there is none."""
    user = User.objects.filter(username=username).first()
    if user is None:
        raise UnknownUser(f"There is no user {username}.")
    return user


@retried
def create_user(
    *, username: str, password: str, email: str = "", administrator: bool = False, auditor: bool = False
) -> User:
    """Raises BadRequest, PasswordRefused and UsernameTaken."""
    if len(username) > USERNAME_MAX_LENGTH or not _USERNAME.match(username) or username in RESERVED_USERNAMES:
        expected = f"at most {USERNAME_MAX_LENGTH} lower-case letters and digits, with . _ - between them"
        raise BadRequest("The user name is not valid.", fields={"username": [f"Use {expected}; no reserved word."]})
    _check_email(email)
    user = User(username=username, email=email, is_superuser=administrator, is_auditor=auditor)
    _check_new_password(password, username)
    user.password = make_password(password)
    with writing():
        if User.objects.filter(username=username).exists():
            raise UsernameTaken(f"There is a user {username} already.")
        user.save(force_insert=True)
        detail = {"administrator": administrator, "auditor": auditor}
        audit.record(action=AuditAction.USER_CREATE, target=username, detail=detail)
    return user


@retried
def change_user(
    *,
    user_id: int,
    email: str | None = None,
    administrator: bool | None = None,
    auditor: bool | None = None,
    active: bool | None = None,
    password: str | None = None,
) -> User:
    """Change what is given. Who is disabled or gets another password is signed out everywhere.

    Raises UnknownUser, BadRequest, PasswordRefused and LastAdministrator.
    """
    hashed = None
    if email is not None:
        _check_email(email)
    if password is not None:
        _check_new_password(password, _get(user_id).username)
        hashed = make_password(password)
    given = {
        "email": email,
        "is_superuser": administrator,
        "is_auditor": auditor,
        "is_active": active,
        "password": hashed,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    with writing():
        if administrator is False or active is False:
            _hold_administrators()
        user = _hold_user(user_id)
        was_administrator = user.is_superuser and user.is_active
        for field, value in changes.items():
            setattr(user, field, value)
        user.save(update_fields=[*changes])
        if active is False or hashed is not None:
            _revoke(user, timezone.now())
        if was_administrator:
            _keep_an_administrator()
        told = {"email": email, "administrator": administrator, "auditor": auditor, "active": active}
        detail: dict[str, object] = {name: value for name, value in told.items() if value is not None}
        if hashed is not None:
            detail["password"] = True
        audit.record(action=AuditAction.USER_UPDATE, target=user.username, detail=detail)
    return user


@retried
def delete_user(*, user_id: int) -> None:
    """Remove a user with their memberships, grants and tokens; what they pushed stays, and says who it was.

    Whoever gets the name later gets nothing else: secrets, sessions and bearer tokens name the row, which is gone.
    Raises UnknownUser and LastAdministrator.
    """
    with writing():
        _hold_administrators()
        user = _hold_user(user_id)
        was_administrator = user.is_superuser and user.is_active
        user.delete()
        if was_administrator:
            _keep_an_administrator()
        audit.record(action=AuditAction.USER_DELETE, target=user.username)


def change_own_password(*, user_id: int, old_password: str, password: str, address: str) -> None:
    """Change the password for who knows the old one, and sign them out everywhere.

    Raises UnknownUser, PasswordRefused, and TooManyRequests where the old one was guessed before.
    """
    user = _get(user_id)
    with turns.take():
        check_failures(account=user.username, address=address)
        release_connection()
        is_right = not is_too_long(old_password) and check_password(old_password, user.password)
        if not is_right:
            count_failure(account=user.username, address=address)
    if not is_right:
        audit.record_refusal(action=AuditAction.SIGN_IN, target=user.username, detail={"by": "old password"})
        raise PasswordRefused("The old password is wrong.", fields={"old_password": ["It is wrong."]})
    change_user(user_id=user_id, password=password)


@retried
def sign_out_everywhere(*, user_id: int) -> None:
    """End a user's sessions, bearer and refresh tokens; access tokens stay until they are deleted.

    Raises UnknownUser.
    """
    with writing():
        user = _hold_user(user_id)
        _revoke(user, timezone.now())
        audit.record(action=AuditAction.USER_SIGN_OUT, target=user.username)


def _revoke(user: User, now: datetime) -> None:
    user.revoked_before = now
    user.save(update_fields=["revoked_before"])
    RefreshToken.objects.filter(user=user).delete()


def _get(user_id: int) -> User:
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise UnknownUser
    return user


def _hold_user(user_id: int) -> User:
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if user is None:
        raise UnknownUser
    return user


def _hold_administrators() -> None:
    """Let only one transaction at a time take administrators away: two could each leave it to the other."""
    list(User.objects.select_for_update(no_key=True).filter(_ADMINISTRATORS).order_by("pk").values_list("pk"))


def _keep_an_administrator() -> None:
    if not User.objects.filter(_ADMINISTRATORS).exists():
        raise LastAdministrator


def _check_email(email: str) -> None:
    try:
        if email:
            validate_email(email)
    except ValidationError as error:
        raise BadRequest("The e-mail address is not valid.", fields={"email": error.messages}) from error


def _check_new_password(password: str, username: str) -> None:
    try:
        check_new_password(username=username, password=password)
    except ValidationError as error:
        raise PasswordRefused(" ".join(error.messages), fields={"password": error.messages}) from error
