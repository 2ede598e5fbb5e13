"""`auth: htpasswd`: a file of names and bcrypt hashes, read as Distribution reads it, and again when it changes."""

import logging
import os
import re
import secrets
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import bcrypt
from django.conf import settings

from accounts.callers import Caller
from accounts.challenges import INVALID_TOKEN, Challenge
from accounts.remembered import RememberedPasswords
from accounts.rights import Credential, Kind
from accounts.throttle import check_failures, count_failure
from accounts.turns import turns
from events import audit
from events.audit_actions import AuditAction
from registry_project.database import release_connection
from registry_project.watched import WatchedFile

log = logging.getLogger("lading.accounts")

# What bcrypt reads of a password; more would be cut off silently.
_PASSWORD_MAX_BYTES = 72
_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_GENERATED_USER, _GENERATED_COST, _GENERATED_BYTES = "docker", 10, 24


def check_file_password(username: str, password: str, *, challenge: Challenge, address: str) -> Caller:
    """Who a name and a password of the file belong to; raises Unauthorized and TooManyRequests."""
    if _is_right(username, password, address):
        credential = Credential(Kind.HTPASSWD, username, proof=str(Kind.HTPASSWD))
        return Caller(challenge, fixed=credential)
    audit.record_refusal(action=AuditAction.SIGN_IN, target=username, credential=Kind.HTPASSWD, detail={"by": "Basic"})
    raise challenge.refusal(error=INVALID_TOKEN, reason="the user name or the password is wrong")


def _is_right(username: str, password: str, address: str) -> bool:
    """A wrong password is counted; a name that does not exist takes as long as one."""
    entries = _password_file(settings.HTPASSWD_AUTH.path).current()
    stored = entries.hashes.get(username)
    if stored is not None and _remembered.holds(username=username, stored=stored, password=password):
        return True
    with turns.take():
        if stored is not None and _remembered.holds(username=username, stored=stored, password=password):
            return True
        check_failures(account=username, address=address)
        release_connection()
        if _matches(password, stored or entries.dummy) and stored is not None:
            _remembered.add(username=username, stored=stored, password=password)
            return True
        count_failure(account=username, address=address)
    return False


def _matches(password: str, stored: str) -> bool:
    return len(password.encode()) <= _PASSWORD_MAX_BYTES and bcrypt.checkpw(password.encode(), stored.encode())


@dataclass(frozen=True, slots=True)
class _Entries:
    """`dummy` is a hash of the file's usual cost that nobody has."""

    hashes: dict[str, str]
    dummy: str


@lru_cache(maxsize=4)
def _password_file(path: Path) -> WatchedFile[_Entries]:
    # A file that is gone lets nobody in.
    absent = _Entries({}, _dummy_hash(_GENERATED_COST))
    return WatchedFile(path, _parse, absent=absent, what="the password file")


def make_password_file(path: Path) -> tuple[str, str] | None:
    """Make the file with one user where there is none; the user's name and password, which is stored nowhere else."""
    password = secrets.token_urlsafe(_GENERATED_BYTES)
    stored = bcrypt.hashpw(password.encode(), bcrypt.gensalt(_GENERATED_COST)).decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{_GENERATED_USER}:{stored}\n")
    return _GENERATED_USER, password


def forget_all() -> None:
    """Forget which passwords were found right, and what files said; for tests."""
    _remembered.clear()
    _password_file.cache_clear()


_remembered = RememberedPasswords()


def _parse(content: bytes) -> _Entries:
    """Names and bcrypt hashes; of a name that stands twice the last counts, as in Distribution."""
    hashes: dict[str, str] = {}
    ignored: list[int] = []
    for number, line in enumerate(content.decode("utf-8", "replace").split("\n"), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        username, colon, stored = text.partition(":")
        # A later line that is ignored must not bring an earlier password back.
        hashes.pop(username, None)
        if colon and username and _HASH.fullmatch(stored):
            hashes[username] = stored
        else:
            ignored.append(number)
    if ignored:
        lines = ", ".join(map(str, ignored))
        log.warning("only bcrypt is read from the password file (htpasswd -B); ignored: line %s", lines)
    costs = Counter(int(stored[4:6]) for stored in hashes.values())
    return _Entries(hashes, _dummy_hash(costs.most_common(1)[0][0] if costs else _GENERATED_COST))


@lru_cache(maxsize=32)
def _dummy_hash(cost: int) -> str:
    return bcrypt.gensalt(cost).decode() + "." * 31
