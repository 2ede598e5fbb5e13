"""The Authorization header of a request, for DRF: `request.auth` is a Caller."""

import base64
import binascii

from django.conf import settings
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.callers import CALLED_BY_EVERYONE, Caller
from accounts.challenges import INVALID_TOKEN, Challenge, challenge_for
from accounts.external_tokens import check_external_token
from accounts.htpasswd import check_file_password
from accounts.rights import NOBODY
from accounts.sign_in import check_bearer, check_password
from accounts.throttle import check_rate
from registry_project.context import current_request

_LONGEST_HEADER = 16 * 1024


class RegistryAuthentication(BaseAuthentication):
    """Raises Unauthorized for credentials that are not genuine; a request without any is anonymous."""

    def authenticate(self, request: Request) -> tuple[None, Caller]:
        caller = CALLED_BY_EVERYONE if settings.AUTH_KIND == "none" else find_caller(request, challenge_for(request))
        count_request(caller)
        return None, caller


def count_request(caller: Caller) -> None:
    """Raise TooManyRequests when the caller, or everybody anonymous at an address, has sent too many."""
    check_rate(caller=caller.holder or f"address {client_address()}", anonymous=not caller.holder)


def find_caller(request: HttpRequest | Request, challenge: Challenge) -> Caller:
    """Who the Authorization header belongs to; raises Unauthorized, with the challenge, if it is not genuine."""
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
        check_token = check_external_token if kind == "token" else check_bearer
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
