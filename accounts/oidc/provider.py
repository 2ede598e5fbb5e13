"""allauth's OpenID Connect with what it leaves out: a nonce, the signature of the ID token, and our own way out.

Everything comes from `auth.lading.oidc`; nothing from the database or from the request.
"""

import hmac
import secrets
from typing import Any, cast

from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from accounts.challenges import origin_of_request
from accounts.issuers import IssuerUnreachable, endpoint, fetch_discovery, find_fetched_key
from accounts.jwt_parsing import TokenInvalid, read_header, verify
from registry_project.config.auth import Oidc

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_NONCE_BYTES = 32


class LadingAdapter(OpenIDConnectOAuth2Adapter):
    @property
    def configured(self) -> Oidc:
        return cast("Oidc", find_provider(self.provider_id))

    @property
    def openid_config(self) -> dict[str, object]:
        if not hasattr(self, "_document"):
            try:
                self._document = fetch_discovery(str(self.configured.issuer))
            except IssuerUnreachable as error:
                raise OAuth2Error(f"the provider cannot be reached: {error}") from error
        return self._document

    @property
    def authorize_url(self) -> str:
        return self._endpoint("authorization_endpoint")

    @property
    def access_token_url(self) -> str:
        return self._endpoint("token_endpoint")

    @property
    def profile_url(self) -> str:
        return self._endpoint("userinfo_endpoint")

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        path = reverse("openid_connect_callback", kwargs={"provider_id": self.provider_id})
        return f"{origin_of_request(request)}{path}"

    def complete_login(self, request: HttpRequest, app: SocialApp, token: Any, **kwargs: Any) -> SocialLogin:
        """Who the provider says it is; the nonce is checked where the state is known. Raises OAuth2Error."""
        try:
            claims = self._claims(kwargs["response"].get("id_token"))
        except TokenInvalid as error:
            raise OAuth2Error(f"the ID token is not valid: {error}") from error
        if "userinfo_endpoint" in self.openid_config:
            profile = self._fetch_user_info(token.token)
            if not isinstance(profile, dict) or profile.get("sub") != claims["sub"]:
                raise OAuth2Error("the profile is of somebody else")
            claims = {**profile, **claims}
        account = SocialAccount(provider=self.provider_id, uid=claims["sub"])
        login = SocialLogin(provider=self.get_provider(), account=account)
        login.claims = claims
        return login

    def _claims(self, id_token: object) -> dict[str, object]:
        """OpenID Connect Core 1.0, section 3.1.3.7."""
        if not isinstance(id_token, str):
            raise TokenInvalid("there is none")
        header, issuer, client_id = read_header(id_token), str(self.configured.issuer), self.configured.clientid
        kid = header.get("kid")
        key = find_fetched_key(issuer, kid) if isinstance(kid, str) else None
        if key is None:
            raise TokenInvalid("its key is not known")
        claims = verify(
            id_token, key, algorithms=_ALGORITHMS, issuer=issuer, audience=client_id, required=("sub", "iat", "nonce")
        )
        for_us_alone = claims["aud"] in (client_id, [client_id])
        if claims.get("azp", client_id if for_us_alone else None) != client_id or not claims["sub"]:
            raise TokenInvalid("it is for somebody else")
        return claims

    def _endpoint(self, name: str) -> str:
        try:
            return endpoint(self.openid_config, name, str(self.configured.issuer))
        except IssuerUnreachable as error:
            raise OAuth2Error(str(error)) from error


class LadingProvider(OpenIDConnectProvider):
    oauth2_adapter_class = LadingAdapter

    def begin(self, request: HttpRequest, next_url: str) -> HttpResponse:
        """Send the browser to the provider, with state, nonce and PKCE that its session remembers."""
        nonce = secrets.token_urlsafe(_NONCE_BYTES)
        response: HttpResponse = self.redirect(
            request, process="login", next_url=next_url, auth_params={"nonce": nonce}, nonce=nonce
        )
        return response


def find_provider(name: str) -> Oidc | None:
    if settings.AUTH_KIND != "lading":
        return None
    return next((oidc for oidc in settings.LADING_AUTH.oidc if oidc.name == name), None)


def app_of(oidc: Oidc) -> SocialApp:
    """A provider as allauth wants it, never stored."""
    return SocialApp(
        provider="openid_connect",
        provider_id=oidc.name,
        name=oidc.title or oidc.name,
        client_id=oidc.clientid,
        secret=oidc.clientsecret,
        settings={"oauth_pkce_enabled": True, "scope": list(oidc.scopes), "server_url": str(oidc.issuer)},
    )


def has_nonce(login: SocialLogin) -> bool:
    """Whether the ID token answers the very request that the session began."""
    sent, received = login.state.get("nonce"), login.claims.get("nonce")
    return bool(sent) and isinstance(received, str) and hmac.compare_digest(str(sent).encode(), received.encode())


provider_classes = [LadingProvider]
