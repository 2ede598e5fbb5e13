"""The Authorization header of a request, or a browser's session, for DRF: `request.auth` is a Caller."""

import base64
import binascii
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.callers import CALLED_BY_EVERYONE, Caller
from accounts.challenges import INVALID_TOKEN, Challenge, challenge_for, management_challenge_for
from accounts.external_tokens import check_external_token
from accounts.htpasswd import check_file_password
from accounts.rights import NOBODY
from accounts.sessions import find_session_proof
from accounts.sign_in import check_access_token, check_bearer, check_password
from accounts.throttle import check_rate
from oci.errors import Unauthorized
from registry_project.context import current_request
from registry_project.problems import Unauthenticated

_LONGEST_HEADER = 16 * 1024
_NOBODY = Caller(None)


class RegistryAuthentication(BaseAuthentication):
    """Raises Unauthorized or Unauthenticated for credentials that are not genuine; without any one is anonymous.

    The management API takes sessions, and no bearer token but access tokens: those of the token endpoint are for
    pushing and pulling, and say so in their scopes.
    """

    def authenticate(self, request: Request) -> tuple[None, Caller]:
        # It loads the framework's views, and those load this class.
        from registry_project.browsers import is_management

        if settings.AUTH_KIND == "none":
            caller = CALLED_BY_EVERYONE
            count_request(caller)
        elif is_management(request._request):
            caller = counted(lambda: _find_managing_caller(request._request))
        else:
            caller = counted(lambda: find_caller(request, challenge_for(request)))
        return None, caller


def counted(find: Callable[[], Caller]) -> Caller:
    """Whom `find` finds, their request counted; one with credentials that are not genuine is nobody's."""
    try:
        caller = find()
    except (Unauthorized, Unauthenticated):
        count_request(_NOBODY)
        raise
    count_request(caller)
    return caller


def count_request(caller: Caller) -> None:
    """Raise TooManyRequests when the caller, or everybody anonymous at an address, has sent too many."""
    check_rate(caller=caller.holder or f"address {client_address()}", anonymous=not caller.holder)


def _find_managing_caller(request: HttpRequest) -> Caller:
    challenge = management_challenge_for(request)
    if settings.AUTH_KIND == "token":
        # A token server knows of repositories only.
        return Caller(challenge, fixed=NOBODY)
    # Whoever sends a header means it, even where a browser adds its cookie.
    by_session = "HTTP_AUTHORIZATION" not in request.META and settings.SESSION_COOKIE_NAME in request.COOKIES
    if by_session and settings.AUTH_KIND == "lading":
        return Caller(challenge, proof=find_session_proof(request))
    return find_caller(request, challenge, check_token=check_access_token)


def find_caller(
    request: HttpRequest | Request, challenge: Challenge, *, check_token: Callable[..., Caller] | None = None
) -> Caller:
    """Who the Authorization header belongs to; raises Unauthorized, with the challenge, if it is not genuine.

    `check_token` reads bearer tokens where they are not those of the protocol.
    """
    header = request.META.get("HTTP_AUTHORIZATION", "")
    scheme, _, value = header.partition(" ")
    value = value.strip()
    kind = settings.AUTH_KIND
    if not header:
        # With a token server nothing is public that it has not said.
        return Caller(challenge, fixed=NOBODY if kind == "token" else None)
    if len(header) <= _LONGEST_HEADER and scheme.lower() == "basic" and kind != "token":
        username, password = parse_basic(value, challenge)
        if not username and not password:
            return Caller(challenge)
        check = check_file_password if kind == "htpasswd" else check_password
        return check(username, password, challenge=challenge, address=client_address())
    if len(header) <= _LONGEST_HEADER and scheme.lower() == "bearer" and value and kind != "htpasswd":
        check_token = check_token or (check_external_token if kind == "token" else check_bearer)
        return check_token(value, challenge=challenge)
    raise challenge.refusal(error=INVALID_TOKEN, reason="the Authorization header cannot be understood")


def client_address() -> str:
    context = current_request()
    return context.address if context else ""


def parse_basic(value: str, challenge: Challenge) -> tuple[str, str]:
    """User name and password of Basic credentials (RFC 7617), in UTF-8; raises Unauthorized."""
    try:
        username, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon or "\0" in username + password:
        raise challenge.refusal(error=INVALID_TOKEN, reason="the Basic credentials cannot be understood")
    return username, password
