"""Checking what somebody presents: a user's password, an access token, a robot's secret or identity token.

The answer takes as long for a name that does not exist as for a wrong password.
"""

import hashlib
import logging
import secrets

from django.conf import settings
from django.contrib.auth.hashers import check_password as matches_hash
from django.contrib.auth.hashers import is_password_usable, make_password

from accounts.callers import Caller
from accounts.challenges import INVALID_TOKEN, Challenge
from accounts.directories import PersonRefused, admit, is_of_provider
from accounts.identities import find_identity, is_identity_token
from accounts.models import AccessToken, RobotSecret, User
from accounts.passwords import is_too_long
from accounts.remembered import RememberedPasswords
from accounts.rights import Kind
from accounts.secrets import Prefix, hash_secret, is_well_formed
from accounts.standing import Proof
from accounts.throttle import check_failures, count_failure
from accounts.tokens import TokenInvalid, read_token
from accounts.turns import turns
from events import audit
from events.audit_actions import AuditAction
from registry_project.config.auth import Ldap
from registry_project.database import release_connection

log = logging.getLogger("lading.accounts")

# A user's id, stored password, and whether they are active.
_Row = tuple[int, str, bool]


def check_password(username: str, password: str, *, challenge: Challenge, address: str) -> Caller:
    """Who a name and a password, access token or robot's secret belong to.

    Raises Unauthorized, and TooManyRequests where passwords were guessed before, whether this one is right or not.
    """
    proof = find_proof(username, password, address)
    if proof is None:
        kind = _kind_of(username, password)
        if kind is not Kind.PASSWORD:
            # Nobody guesses these, so who has the right one is never kept waiting; but each wrong one costs rows.
            check_failures(account=username, address=address)
            count_failure(account=username, address=address)
        audit.record_refusal(action=AuditAction.SIGN_IN, target=username, credential=kind, detail={"by": "Basic"})
        raise challenge.refusal(error=INVALID_TOKEN, reason="the user name or the password is wrong")
    return Caller(challenge, proof=proof)


def check_bearer(token: str, *, challenge: Challenge) -> Caller:
    """Who a bearer token belongs to, an access token too; raises Unauthorized."""
    if not token.startswith(Prefix.ACCESS_TOKEN):
        try:
            return Caller(challenge, proof=read_token(token))
        except TokenInvalid as error:
            raise challenge.refusal(error=INVALID_TOKEN, reason=str(error)) from error
    proof = find_access_token(token)
    if proof is None:
        raise challenge.refusal(error=INVALID_TOKEN, reason="the token is not valid")
    return Caller(challenge, proof=proof)


def check_access_token(token: str, *, challenge: Challenge) -> Caller:
    """Who an access token belongs to; raises Unauthorized, for every other bearer token as well."""
    proof = find_access_token(token)
    if proof is None:
        raise challenge.refusal(error=INVALID_TOKEN, reason="only access tokens are taken here, and this is none")
    return Caller(challenge, proof=proof)


def find_proof(username: str, password: str, address: str) -> Proof | None:
    """The proof that a user name and a password, access token or robot's secret make, or None."""
    kind = _kind_of(username, password)
    if kind is Kind.IDENTITY_TOKEN:
        return find_identity(username, password)
    if kind is Kind.ACCESS_TOKEN:
        return find_access_token(password, username)
    if kind is Kind.ROBOT_SECRET:
        return _find_robot_secret(username, password)
    return _find_user(username, password, address)


def _kind_of(username: str, password: str) -> Kind:
    """What it must be if it is genuine."""
    if password.startswith(Prefix.ACCESS_TOKEN):
        return Kind.ACCESS_TOKEN
    if "+" not in username:
        return Kind.PASSWORD
    return Kind.IDENTITY_TOKEN if is_identity_token(password) else Kind.ROBOT_SECRET


def find_access_token(text: str, username: str | None = None) -> Proof | None:
    if not is_well_formed(text, Prefix.ACCESS_TOKEN):
        return None
    tokens = AccessToken.objects.filter(hash=hash_secret(text))
    if username is not None:
        tokens = tokens.filter(user__username=username)
    found = tokens.values_list("id", "user_id").first()
    return Proof(Kind.ACCESS_TOKEN, user_id=found[1], secret_id=found[0]) if found else None


def _find_robot_secret(username: str, secret: str) -> Proof | None:
    if not is_well_formed(secret, Prefix.ROBOT_SECRET):
        return None
    team, _, name = username.partition("+")
    found = (
        RobotSecret.objects.filter(
            hash=hash_secret(secret), robot__team__slug=team, robot__team__deleted_at=None, robot__name=name
        )
        .values_list("id", "robot_id")
        .first()
    )
    return Proof(Kind.ROBOT_SECRET, robot_id=found[1], secret_id=found[0]) if found else None


def _find_user(username: str, password: str, address: str) -> Proof | None:
    """The proof that a password makes; a wrong one is counted."""
    user = User.objects.filter(username=username).values_list("id", "password", "is_active").first()
    if proof := _remembered_proof(username, password, user):
        return proof
    with turns.take():
        # Many clients of one user may have waited for the first of them.
        if proof := _remembered_proof(username, password, user):
            return proof
        check_failures(account=username, address=address)
        release_connection()
        proof = _compare(username, password, user)
        if proof is None:
            count_failure(account=username, address=address)
    return proof


def _remembered_proof(username: str, password: str, user: _Row | None) -> Proof | None:
    if user is None or not _remembered.holds(username=username, stored=user[1], password=password):
        return None
    return Proof(Kind.PASSWORD, user_id=user[0], password=user[1] if is_password_usable(user[1]) else None)


def _compare(username: str, password: str, user: _Row | None) -> Proof | None:
    if is_too_long(password):
        return None
    ldap = settings.LADING_AUTH.ldap
    if ldap is not None and (user is None or is_of_provider(user[0], "ldap")):
        return _find_in_directory(username, password, ldap)
    if user is None or not user[2] or not settings.LADING_AUTH.passwords:
        _matches(password, _dummy_hash(), username)
        return None
    if not _matches(password, user[1], username):
        return None
    return Proof(Kind.PASSWORD, user_id=user[0], password=user[1])


def _find_in_directory(username: str, password: str, config: Ldap) -> Proof | None:
    # It needs lading[ldap].
    from accounts.ldap import find_person

    person = find_person(username, password)
    if person is None:
        return None
    try:
        user = admit(person=person, rules=config)
    except PersonRefused as error:
        log.warning("a sign-in by LDAP was refused: %s", error)
        return None
    _remembered.add(username=user.username, stored=user.password, password=password)
    # Without a hash of ours there is no refresh token, which would outlive the password over there.
    return Proof(Kind.PASSWORD, user_id=user.pk)


def _matches(password: str, stored: str, username: str) -> bool:
    """Whether a password has the stored hash; what was found right is remembered for a minute, because it is slow."""
    if not matches_hash(password, stored):
        return False
    _remembered.add(username=username, stored=stored, password=password)
    return True


_remembered = RememberedPasswords()
_dummy: dict[str, str] = {}


def _dummy_hash() -> str:
    """A hash by the current hasher that no password has."""
    hasher = settings.PASSWORD_HASHERS[0]
    if hasher not in _dummy:
        _dummy[hasher] = make_password(hashlib.sha256(secrets.token_bytes(32)).hexdigest())
    return _dummy[hasher]


def forget_all() -> None:
    """Forget which passwords were found right; for tests, and after a change of the hasher."""
    _remembered.clear()
