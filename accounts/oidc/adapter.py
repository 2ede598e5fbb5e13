"""What allauth asks us: which providers there are, how to call them, and what to do with who comes back."""

import logging
from collections.abc import Mapping
from typing import Any

import requests
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from requests.adapters import BaseAdapter

from accounts.directories import Person, PersonRefused, admit
from accounts.issuers import new_client
from accounts.oidc.provider import app_of, find_provider, has_nonce
from accounts.sessions import begin_session
from events import audit
from events.audit_actions import AuditAction
from registry_project.config.auth import Oidc
from registry_project.database import release_connection
from registry_project.egress import EgressError

log = logging.getLogger("lading.accounts")

_FAILED = "The sign-in failed. Try again; if it fails again, the registry's log says why.\n"
_MOST_GROUPS = 10_000


class Adapter(DefaultSocialAccountAdapter):
    def list_apps(
        self, request: HttpRequest, provider: str | None = None, client_id: str | None = None
    ) -> list[SocialApp]:
        found = find_provider(provider) if provider else None
        return [app_of(found)] if found else []

    def get_requests_session(self) -> requests.Session:
        """A session that calls the configured providers and what their documents name, through the one way out."""
        session = requests.Session()
        session.trust_env = False
        transport = _Egress()
        session.mount("https://", transport)
        session.mount("http://", transport)
        return session

    def authenticate_by_email(self, sociallogin: SocialLogin) -> None:
        """Nobody is found by an e-mail address."""

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Decide everything here; allauth's own accounts and forms are never reached."""
        oidc = find_provider(sociallogin.account.provider)
        if oidc is None or not has_nonce(sociallogin):
            provider = sociallogin.account.provider
            log.warning("a sign-in by %s was refused: its nonce is wrong", provider)
            audit.record_refusal(action=AuditAction.SIGN_IN, target=sociallogin.account.uid, detail={"by": provider})
            raise ImmediateHttpResponse(refusal())
        try:
            user = admit(person=_person(oidc, sociallogin), rules=oidc)
        except PersonRefused as error:
            log.warning("a sign-in by %s was refused: %s", oidc.name, error)
            audit.record_refusal(action=AuditAction.SIGN_IN, target=error.username, detail={"by": oidc.name})
            raise ImmediateHttpResponse(refusal()) from error
        begin_session(request, user, by=oidc.name)
        raise ImmediateHttpResponse(HttpResponseRedirect(sociallogin.state.get("next") or settings.HTTP_PREFIX))

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        log.warning("a sign-in by %s failed: %s", provider.app.provider_id, exception or error)
        raise ImmediateHttpResponse(refusal())


def refusal() -> HttpResponse:
    return HttpResponse(_FAILED, status=401, content_type="text/plain; charset=utf-8")


def _person(oidc: Oidc, sociallogin: SocialLogin) -> Person:
    claims: Mapping[str, object] = sociallogin.claims
    groups = claims.get(oidc.groupsclaim)
    listed = groups if isinstance(groups, list) else [groups]
    return Person(
        provider=oidc.name,
        uid=sociallogin.account.uid,
        username=_text(claims.get(oidc.usernameclaim)) or _text(claims.get("email")),
        email=_text(claims.get("email")),
        groups=frozenset(group for group in listed[:_MOST_GROUPS] if isinstance(group, str)),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class _Egress(BaseAdapter):
    """Carries the calls of `requests` through `registry_project.egress`."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        release_connection()
        body = request.body.encode() if isinstance(request.body, str) else request.body
        issuers = [str(oidc.issuer) for oidc in settings.LADING_AUTH.oidc]
        try:
            with new_client(*issuers) as client:
                answer = client.request(str(request.method), str(request.url), headers=dict(request.headers), body=body)
        except EgressError as error:
            raise requests.ConnectionError(str(error)) from error
        response = requests.Response()
        response.status_code = answer.status
        response._content = answer.body
        # All that OpenID Connect answers is JSON.
        response.headers["Content-Type"] = "application/json"
        response.url, response.request = str(request.url), request
        return response

    def close(self) -> None:
        pass
