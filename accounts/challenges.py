"""How a client is told to sign in (RFC 9110, 11.6.1; the token protocol's "Bearer" challenge)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from accounts.rights import Action
from oci.errors import Detail, Unauthorized
from oci.names import RepositoryName
from registry_project.problems import Unauthenticated

# host or host:port; what else stands in a Host header never leaves this machine.
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_SCOPES = {
    Action.PULL: "pull",
    Action.PUSH: "pull,push",
    Action.DELETE: "delete",
}
CATALOG_SCOPE = "registry:catalog:*"
INVALID_TOKEN, INSUFFICIENT_SCOPE = "invalid_token", "insufficient_scope"


def repository_scope(name: RepositoryName, action: Action) -> str:
    return f"repository:{name}:{_SCOPES[action]}"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a 401 of this registry says; `service` is empty where the scheme is Basic."""

    realm: str
    service: str = ""

    def refusal(self, *, scopes: Sequence[str] = (), error: str = "", reason: str = "") -> Exception:
        detail: Detail = [_scope_detail(scope) for scope in scopes] or ({"reason": reason} if reason else None)
        return Unauthorized(detail, headers={"WWW-Authenticate": self._header(" ".join(scopes), error)})

    def _header(self, scope: str, error: str) -> str:
        if not self.service:
            return f'Basic realm="{self.realm}"'
        parts = {"realm": self.realm, "service": self.service, "scope": scope, "error": error}
        return "Bearer " + ",".join(f'{name}="{value}"' for name, value in parts.items() if value)


class ManagementChallenge(Challenge):
    """The same for the management API, whose refusals are problems.

    Scripts are asked for Basic credentials. A browser would open a dialog over the page that asked, and send the
    password with every request from then on: it gets a scheme that no browser has a dialog for.
    """

    def refusal(self, *, scopes: Sequence[str] = (), error: str = "", reason: str = "") -> Exception:
        scheme = "Bearer" if self.service else "Basic"
        sentence = f"{reason[0].upper()}{reason[1:]}." if reason else ""
        return Unauthenticated(sentence, challenge=f'{scheme} realm="{self.realm}"')


def management_challenge_for(request: HttpRequest) -> Challenge:
    return ManagementChallenge("Lading", settings.LADING_AUTH.service if _is_browser(request) else "")


def _is_browser(request: HttpRequest) -> bool:
    # Sec-Fetch-Mode comes only over TLS and from this machine.
    meta = request.META
    return (
        "HTTP_SEC_FETCH_MODE" in meta
        or "HTTP_X_REQUESTED_WITH" in meta
        or meta.get("HTTP_USER_AGENT", "").startswith("Mozilla/")
    )


def challenge_for(request: HttpRequest) -> Challenge:
    if settings.AUTH_KIND == "htpasswd":
        return Challenge(settings.HTPASSWD_AUTH.realm or "Lading")
    if settings.AUTH_KIND == "token":
        token = settings.TOKEN_AUTH
        realm = f"{origin_of_request(request)}{token.autoredirectpath}" if token.autoredirect else token.realm
        return Challenge(realm, token.service)
    return Challenge(token_endpoint(request), settings.LADING_AUTH.service)


def token_endpoint(request: HttpRequest) -> str:
    """The absolute address of the token endpoint, because clients take no relative one."""
    if settings.LADING_AUTH.realm:
        return str(settings.LADING_AUTH.realm)
    return f"{origin_of_request(request)}{settings.HTTP_PREFIX}auth/token"


def origin_of_request(request: HttpRequest) -> str:
    """`http.host`, or where there is none the host that the client itself named, which only that client reads."""
    configured = settings.CONFIGURATION.http.host
    if configured:
        return str(configured)
    host = request.META.get("HTTP_HOST", "")
    if not _HOST.match(host):
        listen = settings.CONFIGURATION.http.listen
        host = f"localhost:{listen.port}" if listen else "localhost"
    return f"{request.META.get('wsgi.url_scheme', 'http')}://{host}"


def _scope_detail(scope: str) -> object:
    """As Distribution lists what is missing."""
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return {"Type": kind, "Class": "", "Name": name, "Action": actions}
