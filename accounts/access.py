"""The gate of the management API: from a caller, an action and a name to the right to go on.

Nobody who is anonymous gets beyond 401. Who may not know of a thing is told that it does not exist, who may know of
it why they may not do what they asked for.
"""

from dataclasses import dataclass

from django.conf import settings

from accounts.callers import Caller
from accounts.models import Team, User
from accounts.rights import (
    INSTANCE,
    AccountTarget,
    Action,
    Credential,
    InstanceTarget,
    RepositoryTarget,
    Role,
    Target,
    TeamTarget,
    decide,
    role_in_team,
)
from accounts.teams import get_team
from accounts.users import get_user
from events import audit
from events.audit_actions import AuditAction
from registry_project.problems import Forbidden, NotFound


@dataclass(frozen=True, slots=True)
class TeamAccess:
    """A right in a team that was granted; `role` is the caller's in the whole team, None for an auditor."""

    team: Team
    credential: Credential
    role: Role | None


def authorise_team(caller: Caller, action: Action, slug: str) -> TeamAccess:
    """Raises Unauthenticated, NotFound and Forbidden."""
    credential = require(caller, action, TeamTarget(slug))
    return TeamAccess(get_team(slug), credential, role_in_team(credential, slug))


def authorise_instance(caller: Caller, action: Action) -> Credential:
    """Raises Unauthenticated and Forbidden."""
    return require(caller, action, InstanceTarget(open=settings.TEAM_CREATION == "everyone"))


def authorise_account(caller: Caller, action: Action) -> User:
    """The account of whoever asks; raises Unauthenticated, Forbidden, and NotFound for who has none."""
    credential = who_asks(caller)
    if credential.user_id is None:
        raise NotFound("You have no account here: robots and what is signed in elsewhere have none.")
    check(credential, action, AccountTarget(credential.name))
    return get_user(credential.name)


def authorise_user(caller: Caller, own: Action | None, other: Action, username: str) -> tuple[User, Credential]:
    """A user, for who may do `other` to all users, or `own` to the account that is theirs.

    Others learn nothing of who exists. Raises Unauthenticated, NotFound and Forbidden.
    """
    credential = who_asks(caller)
    if decide(credential, other, INSTANCE).allowed:
        return get_user(username), credential
    if own is not None and credential.name == username:
        check(credential, own, AccountTarget(username))
    elif credential.name == username or decide(credential, Action.READ_USERS, INSTANCE).allowed:
        check(credential, other, INSTANCE)
    else:
        # Not theirs, so this refuses as if it were not there.
        check(credential, Action.READ_ACCOUNT, AccountTarget(username))
    return get_user(username), credential


def administers(credential: Credential) -> bool:
    return decide(credential, Action.WRITE_USERS, INSTANCE).allowed


def who_asks(caller: Caller) -> Credential:
    """Raises Unauthenticated for anonymous."""
    credential, _ = caller.look_up()
    check_signed_in(caller, credential)
    return credential


def check_signed_in(caller: Caller, credential: Credential) -> None:
    """Raises Unauthenticated for anonymous."""
    if credential.is_anonymous and caller.challenge is not None:
        raise caller.challenge.refusal()


def require(caller: Caller, action: Action, target: Target) -> Credential:
    credential = who_asks(caller)
    check(credential, action, target)
    return credential


def check(credential: Credential, action: Action, target: Target) -> None:
    """Raises NotFound and Forbidden."""
    decision = decide(credential, action, target)
    if decision.allowed:
        return
    team = target.name if isinstance(target, TeamTarget) else ""
    repository = target.name if isinstance(target, RepositoryTarget) else ""
    audit.record_refusal(
        action=AuditAction.ACCESS, team=team, repository=repository, target=action, detail={"reason": decision.reason}
    )
    if not decision.visible:
        raise NotFound
    raise Forbidden(f"{decision.reason[0].upper()}{decision.reason[1:]}.")
