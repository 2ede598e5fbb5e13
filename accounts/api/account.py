"""One's own account: who am I, password, access tokens, and the session of a browser."""

from typing import Any

from django.conf import settings
from django.middleware.csrf import get_token
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import administers, authorise_account, check, who_asks
from accounts.access_tokens import DEFAULT_LIFETIME, create_access_token, delete_access_token
from accounts.api.authentication import client_address
from accounts.api.inputs import AccountChange, NewAccessToken, PasswordChange, SignIn
from accounts.api.serializers import (
    AccessTokenSerializer,
    IssuedAccessTokenSerializer,
    SessionSerializer,
    UserSerializer,
)
from accounts.api.users import TOKENS_SORT
from accounts.callers import Caller, caller_of
from accounts.challenges import INVALID_TOKEN, management_challenge_for
from accounts.models import User
from accounts.rights import INSTANCE, Action, Kind
from accounts.sessions import begin_session, end_session, find_session_proof
from accounts.sign_in import check_password
from accounts.users import change_own_password, change_user, get_user, sign_out_everywhere
from registry_project.endpoints import ManagementView
from registry_project.openapi import page_of
from registry_project.parameters import PAGE


class SessionView(ManagementView):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method == "POST":
            # Whoever signs in has no token of the session that was there before; where it comes from is checked still.
            request._request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
        super().initial(request, *args, **kwargs)

    @extend_schema(responses=SessionSerializer)
    def get(self, request: Request) -> Response:
        """Who is asking; 401 for nobody."""
        return Response(_session(request, caller_of(request)))

    @extend_schema(request=SignIn, responses={201: SessionSerializer})
    def post(self, request: Request) -> Response:
        """Sign a browser in: the answer sets the cookie of a new session. Takes passwords only, no tokens."""
        given = SignIn.read(request)
        challenge = management_challenge_for(request._request)
        if settings.AUTH_KIND != "lading":
            raise challenge.refusal(error=INVALID_TOKEN, reason="a session begins with an account of auth.lading")
        caller = check_password(given["username"], given["password"], challenge=challenge, address=client_address())
        if caller.proof is None or caller.proof.kind is not Kind.PASSWORD:
            raise challenge.refusal(error=INVALID_TOKEN, reason="a session begins with a password")
        begin_session(request._request, get_user(given["username"]))
        signed_in = Caller(challenge, proof=find_session_proof(request._request))
        return Response(_session(request, signed_in), status=201)

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request) -> Response:
        """Sign this browser out."""
        end_session(request._request)
        return Response(status=204)


def _session(request: Request, caller: Caller) -> dict[str, Any]:
    credential = who_asks(caller)
    return SessionSerializer(
        {
            "username": credential.name,
            "kind": credential.kind,
            "administrator": administers(credential),
            "auditor": credential.auditor,
            "csrf_token": get_token(request._request) if request._request.session.session_key else None,
        }
    ).data


class AccountView(ManagementView):
    @extend_schema(responses=UserSerializer)
    def get(self, request: Request) -> Response:
        """One's own account."""
        return Response(UserSerializer(authorise_account(caller_of(request), Action.READ_ACCOUNT)).data)

    @extend_schema(request=AccountChange, responses=UserSerializer)
    def patch(self, request: Request) -> Response:
        """Change one's own account."""
        user = authorise_account(caller_of(request), Action.WRITE_ACCOUNT)
        return Response(UserSerializer(change_user(user_id=user.pk, **AccountChange.read(request))).data)


class AccountPasswordView(ManagementView):
    @extend_schema(request=PasswordChange, responses={204: None})
    def put(self, request: Request) -> Response:
        """Change one's own password, and end all other sessions, bearer tokens and `docker login`."""
        user = authorise_account(caller_of(request), Action.WRITE_ACCOUNT)
        change_own_password(user_id=user.pk, address=client_address(), **PasswordChange.read(request))
        _continue_session(request, user)
        return Response(status=204)


class AccountSignOutView(ManagementView):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """End one's own sessions, bearer tokens and `docker login`, here too; access tokens stay."""
        user = authorise_account(caller_of(request), Action.WRITE_ACCOUNT)
        sign_out_everywhere(user_id=user.pk)
        end_session(request._request)
        return Response(status=204)


def _continue_session(request: Request, user: User) -> None:
    """The session that all were ended from goes on under a new key."""
    proof = caller_of(request).proof
    if proof is not None and proof.kind is Kind.SESSION:
        user.refresh_from_db()
        begin_session(request._request, user)


class AccountTokensView(ManagementView):
    parameters = {"get": (TOKENS_SORT, *PAGE)}

    @extend_schema(responses=page_of(AccessTokenSerializer))
    def get(self, request: Request) -> Response:
        """One's own access tokens, without what proves them."""
        user = authorise_account(caller_of(request), Action.READ_ACCOUNT)
        return self.page(user.access_tokens.all(), AccessTokenSerializer)

    @extend_schema(request=NewAccessToken, responses={201: IssuedAccessTokenSerializer})
    def post(self, request: Request) -> Response:
        """Create an access token; `token` is shown this once."""
        user = authorise_account(caller_of(request), Action.WRITE_ACCOUNT)
        given = NewAccessToken.read(request)
        if given["administration"]:
            check(who_asks(caller_of(request)), Action.WRITE_INSTANCE, INSTANCE)
        token, secret = create_access_token(
            user_id=user.pk,
            name=given["name"],
            role=given["role"],
            patterns=given["repositories"],
            administration=given["administration"],
            expires_at=given.get("expires_at", timezone.now() + DEFAULT_LIFETIME),
        )
        return Response(IssuedAccessTokenSerializer(token, context={"secret": secret}).data, status=201)


class AccountTokenView(ManagementView):
    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, token_id: int) -> Response:
        """End an access token of one's own at once."""
        user = authorise_account(caller_of(request), Action.WRITE_ACCOUNT)
        delete_access_token(user_id=user.pk, token_id=token_id)
        return Response(status=204)
