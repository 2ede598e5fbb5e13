"""Access tokens: what people give to scripts in place of their password."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from accounts.errors import RoleTooHigh, TokenNameTaken
from accounts.expiry import check_moment_to_come
from accounts.models import AccessToken, User
from accounts.patterns import parse_pattern
from accounts.rights import Role
from accounts.secrets import Prefix, hash_secret, new_secret
from events import audit
from events.audit_actions import AuditAction
from registry_project.database import retried, writing
from registry_project.problems import NotFound

DEFAULT_LIFETIME = timedelta(days=90)


@retried
def create_access_token(
    *,
    user_id: int,
    name: str,
    role: Role,
    patterns: Sequence[str] = (),
    administration: bool = False,
    expires_at: datetime | None,
) -> tuple[AccessToken, str]:
    """Make a token and the text that is told once; `patterns` are of whole repository names, none means all.

    Raises BadRequest, RoleTooHigh, NotFound where the user has gone, and TokenNameTaken.
    """
    check_moment_to_come(expires_at)
    globs = dict.fromkeys(parse_pattern(pattern, field="repositories").text for pattern in patterns)
    secret = new_secret(Prefix.ACCESS_TOKEN)
    with writing():
        user = User.objects.filter(pk=user_id).first()
        if user is None:
            raise NotFound
        if administration and not user.is_superuser:
            raise RoleTooHigh("Only administrators can make a token that administers.")
        if AccessToken.objects.filter(user=user, name=name).exists():
            raise TokenNameTaken(f"You have a token {name} already.")
        token = AccessToken.objects.create(
            user=user,
            name=name,
            hash=hash_secret(secret),
            role=role.value,
            administration=administration,
            patterns="\n".join(globs),
            expires_at=expires_at,
        )
        detail = {
            "user": user.username,
            "id": token.pk,
            "role": role.value,
            "administration": administration,
            "repositories": list(globs),
            "expires_at": expires_at and expires_at.isoformat(),
        }
        audit.record(action=AuditAction.TOKEN_CREATE, target=name, detail=detail)
    return token, secret


def delete_access_token(*, user_id: int, token_id: int) -> None:
    """End a token and what was obtained by it at once; raises NotFound."""
    with writing():
        held = AccessToken.objects.select_for_update(of=("self",)).select_related("user")
        token = held.filter(user_id=user_id, pk=token_id).first()
        if token is None:
            raise NotFound
        detail = {"user": token.user.username, "id": token.pk}
        token.delete()
        audit.record(action=AuditAction.TOKEN_DELETE, target=token.name, detail=detail)
