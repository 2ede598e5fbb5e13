"""What the token endpoint does: look up who asks and what they may have, and sign it."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from accounts.callers import Caller
from accounts.refresh_tokens import create_refresh_token
from accounts.rights import Scopes
from accounts.scopes import grant_scopes, list_repositories
from accounts.tokens import issue_token


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """`refresh_token` is empty where none was asked for, or none can be had."""

    token: str
    scopes: Scopes
    issued_at: datetime
    expires_in_seconds: int
    refresh_token: str = ""


def grant_token(*, caller: Caller, asked: Scopes, offline: bool, client_id: str, now: datetime) -> IssuedToken:
    """Issue a token for what of `asked` the caller may do, with a refresh token if `offline`.

    `now` lies before the rights are looked up: what is taken away after that outlives no token. Raises Unauthorized
    when what the caller presented is good no longer, and ParameterInvalid when the scopes do not fit into a token.
    """
    credential, repositories = caller.look_up(list_repositories(asked))
    scopes = grant_scopes(credential, asked, repositories)
    token = issue_token(proof=caller.proof, name=credential.name, scopes=scopes, now=now)
    refresh_token = None
    if offline and caller.proof is not None:
        refresh_token = create_refresh_token(proof=caller.proof, name=credential.name, client_id=client_id, now=now)
    expires_in = int(settings.LADING_AUTH.expiration.total_seconds())
    return IssuedToken(token, scopes, now, expires_in, refresh_token or "")
