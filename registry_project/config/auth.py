"""The `auth` section: who may do what, and how people and programs prove who they are."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from registry_project.config.section import DriverMap, KeepCase, Secret, Section
from registry_project.config.values import AbsolutePath, Duration, Flag, Text, Untyped, WebAddress, parse_text

TEAM_ROLES = ("reader", "developer", "maintainer", "owner")
_MEMBERSHIP = re.compile(rf"[a-z0-9]+([._-]+[a-z0-9]+)*:({'|'.join(TEAM_ROLES)})")


def _memberships(raw: object) -> object:
    items = raw if isinstance(raw, list) else [raw]
    texts = [parse_text(item) for item in items]
    for text in texts:
        if not _MEMBERSHIP.fullmatch(text):
            raise ValueError(f"expected team:role, such as payments:developer, with a role of {', '.join(TEAM_ROLES)}")
    return tuple(texts)


# From the name of a group to the memberships that it gives.
Groups = Annotated[dict[str, Annotated[tuple[str, ...], BeforeValidator(_memberships)]], KeepCase()]


class Oidc(Section):
    name: Text = ""
    """Short name, part of the callback's address: `/accounts/oidc/<name>/login/callback/`."""
    title: Text = ""
    """What the sign-in page calls it; unset, its name."""
    issuer: WebAddress | None = None
    """Issuer, whose `/.well-known/openid-configuration` is read."""
    clientid: Text = ""
    """Client id."""
    clientsecret: Annotated[Text, Secret()] = Field(default="", repr=False)
    """Client secret."""
    scopes: tuple[Text, ...] = ("openid", "profile", "email")
    """Scopes that are asked for."""
    usernameclaim: Text = "preferred_username"
    """Claim that the user name is made of."""
    groupsclaim: Text = "groups"
    """Claim that lists the user's groups."""
    groups: Groups = Field(default_factory=dict)
    """From a group to the memberships that it gives: `engineers: [payments:developer]`."""
    administrators: tuple[Text, ...] = ()
    """Groups whose members administer the instance."""
    auditors: tuple[Text, ...] = ()
    """Groups whose members are auditors."""


class Ldap(Section):
    url: Text = ""
    """Servers, such as `ldaps://ldap.example.org`; of several, with spaces between them, the first that answers."""
    starttls: Flag = False
    """Whether to change to TLS on an `ldap://` connection."""
    binddn: Text = ""
    """Name to search as; empty for an anonymous search."""
    bindpassword: Annotated[Text, Secret()] = Field(default="", repr=False)
    """Password to search with."""
    userbase: Text = ""
    """Where users are searched."""
    userfilter: Text = "(uid=%(user)s)"
    """Filter that finds a user."""
    groupbase: Text = ""
    """Where groups are searched; empty for none."""
    groupfilter: Text = "(objectClass=groupOfNames)"
    """Filter of groups."""
    groups: Groups = Field(default_factory=dict)
    """From a group's `cn` to the memberships that it gives."""
    administrators: tuple[Text, ...] = ()
    """Groups whose members administer the instance."""
    auditors: tuple[Text, ...] = ()
    """Groups whose members are auditors."""


class TrustedIssuer(Section):
    issuer: WebAddress | None = None
    """Issuer of identity tokens, such as a CI system's; exactly as their claim `iss` says."""
    audience: Text = ""
    """What their claim `aud` must be; unset, `auth.lading.service`."""
    jwks: AbsolutePath | None = None
    """File with the issuer's key set; unset, it is fetched from where the issuer's discovery document says."""


class Lading(Section):
    service: Text = "lading"
    """Name of this registry in challenges, and the audience of its tokens."""
    realm: WebAddress | None = None
    """Address of the token endpoint; unset, `/auth/token` on `http.host` or on the address that the client used."""
    expiration: Duration = timedelta(minutes=5)
    """How long a bearer token is good; at least a minute."""
    refresh: Duration = timedelta(days=90)
    """How long an unused refresh token is good, which `docker login` keeps."""
    keyrotation: Duration = timedelta(days=30)
    """Age at which the signing key gives way to a new one; at least an hour."""
    passwords: Flag = True
    """`false` lets people sign in through `oidc` or `ldap` only; robots and access tokens are not meant."""
    oidc: tuple[Oidc, ...] = ()
    """Sign-in of people by OpenID Connect."""
    ldap: Ldap | None = None
    """Sign-in of people by LDAP; needs `lading[ldap]`."""
    issuers: tuple[TrustedIssuer, ...] = ()
    """Issuers whose identity tokens can act as a robot, for CI without stored secrets."""


class Htpasswd(Section):
    realm: Text = ""
    """Name that clients show."""
    path: AbsolutePath | None = None
    """File with names and bcrypt hashes; read again when it changes. Where there is none, one is made with a user
    whose password is printed once."""


class Token(Section):
    realm: Text = ""
    """Address of the token server."""
    service: Text = ""
    """Name of this registry; the tokens' audience."""
    issuer: Text = ""
    """Issuer of the tokens."""
    rootcertbundle: AbsolutePath | None = None
    """Certificates that sign tokens or the keys of tokens, PEM."""
    jwks: AbsolutePath | None = None
    """Keys that sign tokens, a JSON Web Key Set."""
    autoredirect: Flag = False
    """`true` makes the realm of the host that the client used, with `autoredirectpath`."""
    autoredirectpath: Text = "/auth/token"
    """Path for `autoredirect`."""
    signingalgorithms: tuple[Text, ...] = ()
    """Accepted algorithms, such as `RS256`; unset, all that use a key pair."""


class Auth(DriverMap):
    none: Untyped | None = None
    """Everyone may do everything; must be said for an address that others can reach."""
    lading: Lading | None = None
    """Accounts, teams and tokens of Lading; docs/access.md."""
    htpasswd: Htpasswd | None = None
    """A password file; who is in it may do everything."""
    token: Token | None = None
    """A token server of your own."""
