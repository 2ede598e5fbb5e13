"""The token endpoint (Distribution's token protocol, by GET and by POST) and the keys that verify its tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.api.authentication import client_address, counted, find_caller
from accounts.callers import Caller, caller_of
from accounts.challenges import Challenge
from accounts.keys import list_public_keys
from accounts.refresh_tokens import use_refresh_token
from accounts.rights import Scopes
from accounts.scopes import format_scopes, parse_scopes
from accounts.sign_in import check_password
from accounts.token_requests import IssuedToken, grant_token
from oci.errors import ManifestTooLarge, ParameterInvalid, RouteUnknown, Unsupported
from oci.parameters import printable, single
from oci.views import OCIView, request_body

_FORM = "application/x-www-form-urlencoded"
_FORM_MAX_SIZE = 64 * 1024
_FORM_MAX_FIELDS = 1000
# Identity tokens are passwords too.
_LONGEST_PASSWORD = 16 * 1024
_KEYS_MAX_AGE_SECONDS = 60


def _challenge() -> Challenge:
    """Here one signs in by name and password: to ask for a token in order to get one would lead nowhere."""
    return Challenge(settings.LADING_AUTH.service)


class TokenRequestAuthentication(BaseAuthentication):
    """Basic credentials, or none; a form has its own."""

    def authenticate(self, request: Request) -> tuple[None, Caller]:
        if settings.AUTH_KIND != "lading":
            raise RouteUnknown
        challenge = _challenge()
        if request.method == "POST":
            return None, Caller(challenge)
        caller = counted(lambda: find_caller(request, challenge))
        if caller.proof is not None and caller.proof.kid:
            # Who holds it could go on for ever, whatever became of the password.
            raise caller.rejected("a bearer token cannot obtain another")
        return None, caller


@dataclass(frozen=True, slots=True)
class Form:
    """A body of `application/x-www-form-urlencoded`."""

    fields: dict[str, list[str]]

    @classmethod
    def read(cls, request: Request) -> "Form":
        """Raise ParameterInvalid for any other body, and for one that is too large."""
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type != _FORM:
            raise ParameterInvalid({"header": "Content-Type", "reason": f"expected {_FORM}"})
        try:
            body = request_body(request).read(_FORM_MAX_SIZE).decode()
            return cls(parse_qs(body, keep_blank_values=True, errors="strict", max_num_fields=_FORM_MAX_FIELDS))
        except ManifestTooLarge as error:
            raise ParameterInvalid({"reason": f"the form is larger than {_FORM_MAX_SIZE} bytes"}) from error
        except ValueError as error:
            raise ParameterInvalid({"reason": "the form cannot be understood"}) from error

    def single(self, name: str) -> str:
        values = self.fields.get(name, [""])
        if len(values) > 1:
            raise ParameterInvalid({"parameter": name, "reason": "given more than once"})
        return printable(name, values[0])

    def secret(self, name: str) -> str:
        """As `single`, for what may hold any character but must not be repeated to anybody."""
        values = self.fields.get(name, [""])
        if len(values) > 1 or len(values[0]) > _LONGEST_PASSWORD or "\0" in values[0]:
            raise ParameterInvalid({"parameter": name, "reason": "given more than once, too long, or with NUL"})
        return values[0]

    def scopes(self) -> Scopes:
        return parse_scopes(self.fields.get("scope", []))


class TokenView(OCIView):
    """Tokens for what somebody may do of what they ask for; asking for too much is no error."""

    authentication_classes = (TokenRequestAuthentication,)
    http_method_names = ["get", "post"]

    def get(self, request: Request) -> HttpResponse:
        now = timezone.now()
        _check_service(single(request, "service") or "")
        issued = grant_token(
            caller=caller_of(request),
            asked=parse_scopes(request.GET.getlist("scope")),
            offline=_is_true(single(request, "offline_token")) or single(request, "access_type") == "offline",
            client_id=single(request, "client_id") or "",
            now=now,
        )
        return token_issued(issued)

    def post(self, request: Request) -> HttpResponse:
        """OAuth 2 (RFC 6749), as clients know it from Distribution."""
        now = timezone.now()
        form = Form.read(request)
        grant_type, refresh_token = form.single("grant_type"), form.secret("refresh_token")
        if grant_type not in ("password", "refresh_token"):
            # Not 400: clients go on by GET after 401, 404 and 405 only.
            raise Unsupported(
                {"reason": "grant_type must be password or refresh_token"}, headers={"Allow": "GET, POST"}
            )
        _check_service(form.single("service"))
        by_password, offline = grant_type == "password", form.single("access_type") == "offline"
        caller = counted(lambda: _check_form_password(form) if by_password else _check_refresh_token(refresh_token))
        issued = grant_token(
            caller=caller,
            asked=form.scopes(),
            offline=offline and by_password,
            client_id=form.single("client_id"),
            now=now,
        )
        return token_issued(issued, refresh_token=refresh_token if offline else "")


class KeySetView(OCIView):
    """The public keys (RFC 7517), for whoever else wants to verify our tokens."""

    authentication_classes: Sequence[type[BaseAuthentication]] = ()
    http_method_names = ["get", "head"]

    def get(self, request: Request) -> HttpResponse:
        if settings.AUTH_KIND != "lading":
            raise RouteUnknown
        response = JsonResponse({"keys": list_public_keys(now=timezone.now())}, content_type="application/jwk-set+json")
        response["Cache-Control"] = f"public, max-age={_KEYS_MAX_AGE_SECONDS}"
        return response


def token_issued(issued: IssuedToken, *, refresh_token: str = "") -> HttpResponse:
    """`token` is Docker's word, `access_token` that of OAuth 2."""
    answer: dict[str, Any] = {
        "token": issued.token,
        "access_token": issued.token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in_seconds,
        # Go's clients refuse a moment without its zone.
        "issued_at": issued.issued_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "scope": format_scopes(issued.scopes),
    }
    if issued.refresh_token or refresh_token:
        answer["refresh_token"] = issued.refresh_token or refresh_token
    response = JsonResponse(answer)
    response["Cache-Control"] = "no-store"
    return response


def _check_service(service: str) -> None:
    """Whoever names no service means ours. A token for another one would be of no use there, or of too much."""
    if service and service != settings.LADING_AUTH.service:
        raise ParameterInvalid({"parameter": "service", "reason": f"this is {settings.LADING_AUTH.service}"})


def _check_form_password(form: Form) -> Caller:
    username, password = form.secret("username"), form.secret("password")
    return check_password(username, password, challenge=_challenge(), address=client_address())


def _check_refresh_token(text: str) -> Caller:
    proof = use_refresh_token(text, now=timezone.now())
    caller = Caller(_challenge(), proof=proof)
    if proof is None:
        raise caller.rejected("the refresh token is not valid")
    return caller


def _is_true(text: str | None) -> bool:
    return (text or "").lower() in ("true", "1")
