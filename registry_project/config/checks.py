"""Rules that span keys. Each yields (path of the key, what is wrong)."""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from difflib import get_close_matches
from importlib.util import find_spec

from registry_project.config.auth import Lading
from registry_project.config.configuration import SQLITE_NAME, Configuration
from registry_project.config.database import django_database
from registry_project.config.errors import ConfigurationError, Finding, Mistake, Path
from registry_project.config.http import SHORTEST_SECRET, parse_listen
from registry_project.config.storage import DRIVERS, GONE_DRIVERS, MEMORY_DRIVER
from registry_project.config.store_checks import check_stores

SHORTEST_TOKEN = timedelta(minutes=1)
SHORTEST_ROTATION = timedelta(hours=1)
KEY_PAIR_ALGORITHMS = (
    *(f"{family}{bits}" for family in ("RS", "ES", "PS") for bits in (256, 384, 512)),
    "EdDSA",
)


def check_storage(drivers: Sequence[str]) -> Iterator[Finding]:
    """Exactly one driver; `drivers` are the keys of `storage` that name one."""
    for driver in drivers:
        path = ("storage", driver)
        if driver == MEMORY_DRIVER:
            advice = "use filesystem, with a temporary folder as its rootdirectory"
            yield path, f"the storage driver {driver} is not available: the database would outlive it; {advice}"
        elif driver in GONE_DRIVERS:
            yield path, f"the storage driver {driver} is gone, in Distribution 3 too; use filesystem"
        elif driver not in DRIVERS:
            close = get_close_matches(driver, (*DRIVERS, "delete", "maintenance", "redirect", "cache", "tag"), 1)
            hint = f". Did you mean {close[0]}?" if close else ""
            yield path, f"expected a storage driver: {', '.join(DRIVERS[:-1])} or {DRIVERS[-1]}{hint}"
    if len(drivers) > 1:
        # The trap of Distribution's own overrides, which stops it with a panic.
        advice = "REGISTRY_STORAGE=name replaces the file's driver; REGISTRY_STORAGE_S3_BUCKET alone adds one beside it"
        yield ("storage",), f"expected exactly one storage driver, not {', '.join(drivers)}. {advice}"


def check_auth(kinds: Sequence[str]) -> Iterator[Finding]:
    for kind in kinds:
        if kind not in ("lading", "htpasswd", "token", "none"):
            yield ("auth", kind), "expected a kind of auth: lading, htpasswd, token or none"
    if len(kinds) > 1:
        yield ("auth",), f"expected exactly one kind, not {', '.join(kinds)}"


def check_rules(config: Configuration) -> Iterator[Finding]:
    if config.version != "0.1":
        yield ("version",), "expected 0.1"
    yield from _hooks(config)
    yield from check_stores(config)
    yield from _http(config)
    yield from _health(config)
    yield from _notifications(config)
    yield from _auth(config)
    yield from _admin(config)
    if config.database.url is not None:
        try:
            django_database(config.database.url, pool_max=config.database.pool.max)
        except ValueError as error:
            yield ("database", "url"), str(error)
    if config.celery.broker is not None and not re.match(r"[a-z][a-z0-9+]*://", config.celery.broker):
        yield ("celery", "broker"), "expected an address such as redis://localhost:6379/0"
    if config.celery.metrics:
        try:
            parse_listen(config.celery.metrics)
        except ValueError as error:
            yield ("celery", "metrics"), str(error)
    indexes = config.validation.manifests.indexes
    if indexes.platforms == "list" and not indexes.platformlist:
        yield (
            ("validation", "manifests", "indexes", "platforms"),
            "expected entries in validation.manifests.indexes.platformlist",
        )


def _hooks(config: Configuration) -> Iterator[Finding]:
    for index, hook in enumerate(config.log.hooks):
        path: Path = ("log", "hooks", index, "options")
        if hook.disabled:
            continue
        if not re.fullmatch(r"[0-9A-Za-z._-]+(:[0-9]{1,5})?", hook.options.smtp.addr):
            yield (*path, "smtp", "addr"), "expected host:port of a mail server"
        if not hook.options.from_:
            yield (*path, "from"), "expected the sender's address"
        if not hook.options.to:
            yield (*path, "to"), "expected a list of addresses"


def _http(config: Configuration) -> Iterator[Finding]:
    http, tls = config.http, config.http.tls
    if http.net == "tcp":
        try:
            parse_listen(http.addr)
        except ValueError as error:
            yield ("http", "addr"), str(error)
    elif not http.addr or http.addr == "127.0.0.1:5000":
        yield ("http", "addr"), "expected the path of the socket, since http.net is unix"
    if http.secret is not None and len(http.secret.strip()) < SHORTEST_SECRET:
        yield ("http", "secret"), f"expected at least {SHORTEST_SECRET} characters; without the key one is made"
    if (tls.certificate is None) != (tls.key is None):
        given, missing = ("certificate", "key") if tls.key is None else ("key", "certificate")
        yield ("http", "tls", given), f"expected http.tls.{missing} as well"
    if tls.clientcas and tls.certificate is None and tls.key is None:
        yield ("http", "tls", "clientcas"), "expected http.tls.certificate and http.tls.key as well"
    if len(tls.clientcas) > 1:
        yield ("http", "tls", "clientcas"), "expected one file, which may hold several certificates"
    if "clientauth" in tls.model_fields_set and not tls.clientcas:
        yield ("http", "tls", "clientauth"), "expected http.tls.clientcas as well; without it nothing is checked"
    if tls.certificate is None and any(tls.letsencrypt.model_dump().values()):
        advice = "give http.tls.certificate and http.tls.key, or put a proxy in front"
        yield ("http", "tls", "letsencrypt"), f"certificates from Let's Encrypt are not available; {advice}"


def _health(config: Configuration) -> Iterator[Finding]:
    for index, file in enumerate(config.health.file):
        if file.file is None:
            yield ("health", "file", index, "file"), "expected a path"
    for index, web in enumerate(config.health.http):
        if web.uri is None:
            yield ("health", "http", index, "uri"), "expected an address such as http://localhost:8080/"
    for index, tcp in enumerate(config.health.tcp):
        try:
            if not parse_listen(tcp.addr).host:
                raise ValueError("no host")
        except ValueError:
            yield ("health", "tcp", index, "addr"), "expected host:port, such as redis.example.org:6379"


def _notifications(config: Configuration) -> Iterator[Finding]:
    names: set[str] = set()
    for index, endpoint in enumerate(config.notifications.endpoints):
        path: Path = ("notifications", "endpoints", index)
        if endpoint.disabled:
            continue
        if not re.fullmatch(r"[!-~]{1,100}", endpoint.name):
            yield (*path, "name"), "expected a name of 1 to 100 letters, digits and signs, without spaces"
        elif endpoint.name in names:
            yield (*path, "name"), "expected another name than that of an endpoint above"
        names.add(endpoint.name)
        if endpoint.url is None:
            yield (*path, "url"), "expected an address such as https://hooks.example.org/registry"


def _auth(config: Configuration) -> Iterator[Finding]:
    auth = config.auth
    if auth is None:
        return
    if auth.htpasswd is not None and auth.htpasswd.path is None:
        yield ("auth", "htpasswd", "path"), "expected the path of a password file"
    if auth.lading is not None:
        yield from _lading(auth.lading)
    if auth.token is not None:
        for key in ("service", "issuer", *(() if auth.token.autoredirect else ("realm",))):
            if not getattr(auth.token, key):
                yield ("auth", "token", key), "expected a value, as the token server has it"
        if auth.token.rootcertbundle is None and auth.token.jwks is None:
            yield ("auth", "token"), "expected auth.token.rootcertbundle or auth.token.jwks, to verify tokens with"
        for algorithm in auth.token.signingalgorithms:
            if algorithm not in KEY_PAIR_ALGORITHMS:
                yield (
                    ("auth", "token", "signingalgorithms"),
                    f"expected algorithms of {', '.join(KEY_PAIR_ALGORITHMS)}, not {algorithm}",
                )


def _admin(config: Configuration) -> Iterator[Finding]:
    if not re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", config.admin.username) or len(config.admin.username) > 64:
        yield ("admin", "username"), "expected lower-case letters, digits, and . _ - between them, at most 64"
    if "\0" in config.admin.password or len(config.admin.password.encode()) > 1024:
        yield ("admin", "password"), "expected at most 1024 bytes"


def _lading(lading: Lading) -> Iterator[Finding]:
    path: Path = ("auth", "lading")
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,255}", lading.service):
        yield (*path, "service"), "expected letters, digits and . _ : -"
    if lading.expiration < SHORTEST_TOKEN:
        yield (*path, "expiration"), "expected a minute or more; clients rely on it"
    if lading.keyrotation < SHORTEST_ROTATION:
        yield (*path, "keyrotation"), "expected an hour or more"
    names: set[str] = set()
    for index, provider in enumerate(lading.oidc):
        here = (*path, "oidc", index)
        if not re.fullmatch(r"[a-z0-9-]{1,40}", provider.name) or provider.name in {*names, "ldap"}:
            yield (*here, "name"), "expected a name of its own of lower-case letters, digits and -"
        names.add(provider.name)
        for key in ("issuer", "clientid"):
            if not getattr(provider, key):
                yield (*here, key), "expected a value, as the provider gave it"
    if lading.ldap is not None:
        if not re.fullmatch(r"ldap[si]?://\S+(\s+ldap[si]?://\S+)*", lading.ldap.url):
            yield (*path, "ldap", "url"), "expected an address such as ldaps://ldap.example.org"
        if lading.ldap.starttls and not lading.ldap.url.startswith("ldap://"):
            yield (*path, "ldap", "starttls"), "expected ldap:// in auth.lading.ldap.url; the others need no StartTLS"
        if "%(user)s" not in lading.ldap.userfilter:
            yield (*path, "ldap", "userfilter"), "expected %(user)s where the user's name belongs"
        if find_spec("ldap3") is None:
            yield (*path, "ldap"), "expected the extra of LDAP to be installed: pip install 'lading[ldap]'"
        if not lading.ldap.userbase:
            yield (*path, "ldap", "userbase"), "expected where users are, such as ou=people,dc=example,dc=org"
    for index, trusted in enumerate(lading.issuers):
        if trusted.issuer is None:
            yield (*path, "issuers", index, "issuer"), "expected the issuer's address"
        elif trusted.issuer in [other.issuer for other in lading.issuers[:index]]:
            yield (*path, "issuers", index, "issuer"), "expected another issuer than those above"


def note_oddities(config: Configuration) -> Iterator[str]:
    """This will say what is allowed and probably not meant."""
    elsewhere = any(getattr(config.storage, driver) is not None for driver in DRIVERS if driver != "filesystem")
    if elsewhere and config.database.url is None:
        yield (
            f"database.url is not set: blobs are in {config.storage.place}, but names, tags and manifests only in "
            f"{config.storage.filesystem.rootdirectory / SQLITE_NAME} on this machine. Without that file the blobs are "
            "worthless, and a second server would see none of it; give database.url"
        )


def check_exposure(config: Configuration) -> None:
    """This will raise ConfigurationError when others could reach a registry for which no `auth` was chosen."""
    listen = config.http.listen
    if config.auth_kind is not None or listen is None or listen.is_loopback:
        return
    raise ConfigurationError(
        [
            Mistake(
                "http.addr",
                config.http.addr,
                "without auth only this machine may reach the registry. Choose a kind of auth, or say that everyone "
                "may push and delete: `auth: none` in config.yml or REGISTRY_AUTH=none",
                "safety check",
            )
        ]
    )
