"""Who belongs to a team, and who else may use some of its repositories."""

from collections.abc import Mapping

from accounts.errors import GrantTaken, LastOwner, MembershipProvided
from accounts.models import Membership, RepositoryGrant, Team, User
from accounts.patterns import parse_inner_pattern
from accounts.rights import Role
from events import audit
from events.audit_actions import AuditAction
from registry_project.database import retried, writing
from registry_project.problems import NotFound

BY_HAND = ""


@retried
def put_member(*, team_id: int, user: User, role: Role, may_orphan: bool = False) -> Membership:
    """Give a user a role in a team, by hand; `may_orphan` lets the last owner become something less.

    Raises NotFound, LastOwner, and MembershipProvided where a provider gives as much: it would change nothing, or
    seem to take away what stays.
    """
    with writing():
        team = _hold(team_id)
        held = list(Membership.objects.filter(team=team, user=user))
        for other in held:
            if other.provider != BY_HAND and Role(other.role).includes(role):
                raise _provided(user, team, other)
        membership, _ = Membership.objects.update_or_create(
            team=team, user=user, provider=BY_HAND, defaults={"role": role.value}
        )
        _keep_an_owner(team, held, may_orphan)
        detail = {"role": role.value, "before": _given_by_hand(held)}
        audit.record(action=AuditAction.MEMBER_PUT, team=team.slug, target=user.username, detail=detail)
    return membership


@retried
def remove_member(*, team_id: int, user: User, may_orphan: bool = False) -> None:
    """Take away the role that was given by hand. What a provider gives too stays.

    Raises NotFound, LastOwner, and MembershipProvided where only a provider gives the role.
    """
    with writing():
        team = _hold(team_id)
        held = list(Membership.objects.filter(team=team, user=user))
        if not held:
            raise NotFound(f"{user.username} is no member of {team.slug}.")
        if not any(membership.provider == BY_HAND for membership in held):
            raise _provided(user, team, held[0])
        Membership.objects.filter(team=team, user=user, provider=BY_HAND).delete()
        _keep_an_owner(team, held, may_orphan)
        detail = {"before": _given_by_hand(held)}
        audit.record(action=AuditAction.MEMBER_REMOVE, team=team.slug, target=user.username, detail=detail)


@retried
def create_grant(*, team_id: int, user: User, pattern: str, role: Role) -> RepositoryGrant:
    """Give a user a role for those of a team's repositories that match; raises NotFound, BadRequest and GrantTaken."""
    with writing():
        team = _hold(team_id)
        glob = parse_inner_pattern(pattern, team=team.slug, field="pattern")
        if RepositoryGrant.objects.filter(team=team, user=user, pattern=glob.text).exists():
            raise GrantTaken(f"{user.username} has a grant for {glob.text} already.")
        grant = RepositoryGrant.objects.create(team=team, user=user, pattern=glob.text, role=role.value)
        detail = {"pattern": glob.text, "role": role.value}
        audit.record(action=AuditAction.GRANT_CREATE, team=team.slug, target=user.username, detail=detail)
    return grant


def change_grant(*, team_id: int, grant_id: int, role: Role) -> None:
    """Raises NotFound."""
    with writing():
        grant = _hold_grant(team_id, grant_id)
        detail = {"pattern": grant.pattern, "role": role.value, "before": grant.role}
        grant.role = role.value
        grant.save(update_fields=["role"])
        _record_grant(AuditAction.GRANT_UPDATE, grant, detail)


def delete_grant(*, team_id: int, grant_id: int) -> None:
    """Raises NotFound."""
    with writing():
        grant = _hold_grant(team_id, grant_id)
        grant.delete()
        _record_grant(AuditAction.GRANT_DELETE, grant, {"pattern": grant.pattern, "before": grant.role})


def _hold_grant(team_id: int, grant_id: int) -> RepositoryGrant:
    held = RepositoryGrant.objects.select_for_update(no_key=True, of=("self",)).select_related("team", "user")
    grant = held.filter(team_id=team_id, user__isnull=False, pk=grant_id).first()
    if grant is None:
        raise NotFound
    return grant


def _record_grant(action: AuditAction, grant: RepositoryGrant, detail: Mapping[str, str]) -> None:
    username = grant.user.username if grant.user else ""
    audit.record(action=action, team=grant.team.slug, target=username, detail=detail)


def _given_by_hand(held: list[Membership]) -> str | None:
    return next((membership.role for membership in held if membership.provider == BY_HAND), None)


def _hold(team_id: int) -> Team:
    """Let the members of a team change one after the other: two owners could each leave it to the other."""
    team = Team.objects.select_for_update(no_key=True).filter(pk=team_id, deleted_at=None).first()
    if team is None:
        raise NotFound
    return team


def _keep_an_owner(team: Team, changed: list[Membership], may_orphan: bool) -> None:
    if may_orphan or not any(membership.role == Role.OWNER for membership in changed):
        return
    if not Membership.objects.filter(team=team, role=Role.OWNER.value, user__is_active=True).exists():
        raise LastOwner


def _provided(user: User, team: Team, membership: Membership) -> MembershipProvided:
    return MembershipProvided(
        f"{user.username} is {membership.role} of {team.slug} through the groups of {membership.provider}; "
        "change that there, or give a higher role here."
    )
