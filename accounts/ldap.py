"""Who a name and a password belong to in a directory (LDAP, RFC 4511): search as ourselves, bind as the one found."""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import ldap3
from django.conf import settings
from ldap3.core.exceptions import (
    LDAPException,
    LDAPInvalidCredentialsResult,
    LDAPNoSuchObjectResult,
    LDAPSizeLimitExceededResult,
)
from ldap3.utils.conv import escape_filter_chars

from accounts.directories import Person
from oci.errors import Unavailable
from registry_project.config.auth import Ldap
from registry_project.database import release_connection

log = logging.getLogger("lading.accounts")

PROVIDER = "ldap"
_TIMEOUT_SECONDS = 5
_LONGEST_NAME = 150
_MOST_GROUPS = 1000
_MAIL, _CN = "mail", "cn"
# What stays when an entry is renamed: OpenLDAP and most others, then Active Directory.
_LASTING_IDS = ("entryUUID", "objectGUID")


def find_person(username: str, password: str) -> Person | None:
    """None for a wrong name or password. Raises Unavailable when the directory does not answer."""
    # A bind with a name and no password is an anonymous one, which succeeds (RFC 4513, 5.1.2).
    if not password or not username.isprintable() or len(username) > _LONGEST_NAME:
        return None
    config = cast("Ldap", settings.LADING_AUTH.ldap)
    release_connection()
    try:
        with _bound(config, config.binddn, config.bindpassword) as searching:
            entry = _find_entry(searching, config, username)
            # Who does not exist takes as long as a wrong password.
            distinguished_name = entry["dn"] if entry else f"cn=nobody,{config.userbase}"
            if not _accepts(config, distinguished_name, password) or entry is None:
                return None
            return Person(
                provider=PROVIDER,
                uid=_lasting_id(entry),
                username=username,
                email=_first(entry["attributes"].get(_MAIL)),
                groups=_groups(searching, config, distinguished_name, username),
            )
    except LDAPException as error:
        log.error("the directory cannot be asked: %s", type(error).__name__)
        raise Unavailable({"reason": "the directory of users does not answer"}) from error


@contextmanager
def _bound(config: Ldap, name: str, password: str) -> Iterator[ldap3.Connection]:
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED)
    servers = [
        ldap3.Server(url, tls=tls, get_info=ldap3.NONE, connect_timeout=_TIMEOUT_SECONDS) for url in config.url.split()
    ]
    connection = ldap3.Connection(
        ldap3.ServerPool(servers, ldap3.FIRST, active=True, exhaust=True) if len(servers) > 1 else servers[0],
        user=name or None,
        password=password or None,
        authentication=ldap3.SIMPLE if name else ldap3.ANONYMOUS,
        auto_bind=ldap3.AUTO_BIND_NONE,
        # A referral would lead a password to whom the directory names.
        auto_referrals=False,
        check_names=False,
        raise_exceptions=True,
        receive_timeout=_TIMEOUT_SECONDS,
    )
    try:
        connection.open()
        if config.starttls:
            connection.start_tls()
        connection.bind()
        yield connection
    finally:
        connection.unbind()


def _accepts(config: Ldap, name: str, password: str) -> bool:
    try:
        with _bound(config, name, password):
            return True
    except LDAPInvalidCredentialsResult:
        return False


def _find_entry(connection: ldap3.Connection, config: Ldap, username: str) -> dict[str, Any] | None:
    wanted = config.userfilter.replace("%(user)s", escape_filter_chars(username))
    entries = _search(connection, config.userbase, wanted, [_MAIL, *_LASTING_IDS], most=2)
    if len(entries) > 1:
        log.error("auth.lading.ldap.userfilter finds several entries of one name, so none of them can sign in")
    return entries[0] if len(entries) == 1 else None


def _groups(connection: ldap3.Connection, config: Ldap, name: str, username: str) -> frozenset[str]:
    if not config.groupbase:
        return frozenset()
    escaped = escape_filter_chars(name)
    member = f"(|(member={escaped})(uniqueMember={escaped})(memberUid={escape_filter_chars(username)}))"
    entries = _search(connection, config.groupbase, f"(&{config.groupfilter}{member})", [_CN], most=_MOST_GROUPS)
    return frozenset(name for entry in entries if (name := _first(entry["attributes"].get(_CN))))


def _search(
    connection: ldap3.Connection, base: str, wanted: str, attributes: list[str], *, most: int
) -> list[dict[str, Any]]:
    try:
        connection.search(base, wanted, attributes=attributes, size_limit=most, time_limit=_TIMEOUT_SECONDS)
    except LDAPSizeLimitExceededResult:
        log.warning("a search in the directory found more than %s entries", most)
    except LDAPNoSuchObjectResult:
        return []
    return [entry for entry in connection.response or [] if entry["type"] == "searchResEntry"]


def _lasting_id(entry: dict[str, Any]) -> str:
    for attribute in _LASTING_IDS:
        values = entry["raw_attributes"].get(attribute)
        if values:
            value: bytes = values[0]
            return value.decode() if attribute == _LASTING_IDS[0] else value.hex()
    return str(entry["dn"]).lower()


def _first(value: object) -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else ""
