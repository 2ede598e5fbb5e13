"""Teams: the first component of repository names, and what belongs to it."""

from typing import Final

from django.conf import settings
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.errors import TeamNotEmpty, TeamTaken
from accounts.models import Membership, Team, Visibility
from accounts.rights import Action, Credential, Role, TeamTarget, decide
from events import audit
from events.audit_actions import AuditAction
from oci.names import LIBRARY_TEAM, is_component
from registry_project.database import fetch_all, for_update, retried, writing
from registry_project.problems import BadRequest, NotFound

SLUG_MAX_LENGTH = 100
# `library` is the team of names with one component: it comes with its first push, or an administrator makes it.
RESERVED_SLUGS = frozenset({"v2"})


class Unset:
    """The type of what was not given where None means something."""


UNSET: Final = Unset()


def get_team(slug: str) -> Team:
    """Raise NotFound where there is none, or no more."""
    team = Team.objects.filter(slug=slug, deleted_at=None).first()
    if team is None:
        raise NotFound(f"There is no team {slug}.")
    return team


def list_readable_teams(credential: Credential) -> "QuerySet[Team]":
    """The teams that a credential may know of, with `member_count` and `repository_count`."""
    teams = Team.objects.filter(deleted_at=None)
    # No team has this name: who may see it may see all.
    if not decide(credential, Action.READ_TEAM, TeamTarget("-")).allowed:
        named = {grant.team for grant in credential.grants}
        teams = teams.filter(
            slug__in=[slug for slug in named if decide(credential, Action.READ_TEAM, TeamTarget(slug)).allowed]
        )
    return with_counts(teams)


def with_counts(teams: "QuerySet[Team]") -> "QuerySet[Team]":
    return teams.annotate(
        member_count=_count("memberships__user"), repository_count=_count("repositories", repositories__deleted_at=None)
    )


def _count(path: str, **conditions: object) -> Coalesce:
    counted = Team.objects.filter(pk=OuterRef("pk")).values("pk")
    number = Count(path, filter=Q(**conditions) if conditions else None, distinct=True)
    return Coalesce(Subquery(counted.annotate(number=number).values("number")), Value(0), output_field=IntegerField())


@retried
def create_team(
    *,
    slug: str,
    visibility: str = Visibility.PRIVATE,
    quota_bytes: int | Unset | None = UNSET,
    owner_id: int | None,
    administrator: bool,
) -> Team:
    """Make a team that its creator owns, None where that is nobody; without a quota it gets that of new teams.

    Raises BadRequest for a name that no repository's can begin with, and TeamTaken.
    """
    if len(slug) > SLUG_MAX_LENGTH or not is_component(slug):
        expected = f"at most {SLUG_MAX_LENGTH} lower-case letters and digits, with . _ __ or - between them"
        raise BadRequest("The name is not valid.", fields={"name": [f"Use {expected}."]})
    if slug in RESERVED_SLUGS or (slug == LIBRARY_TEAM and not administrator):
        raise TeamTaken(f"The name {slug} is reserved.")
    quota = settings.TEAM_QUOTA if isinstance(quota_bytes, Unset) else quota_bytes
    with writing():
        if Team.objects.filter(slug=slug, deleted_at=None).exists():
            raise TeamTaken(f"There is a team {slug} already.")
        team = Team.objects.create(slug=slug, visibility=visibility, quota_bytes=quota)
        if owner_id is not None:
            Membership.objects.create(team=team, user_id=owner_id, role=Role.OWNER.value)
        detail = {"visibility": visibility, "quota_bytes": quota}
        audit.record(action=AuditAction.TEAM_CREATE, team=slug, target=slug, detail=detail)
    return team


def change_team(*, team_id: int, visibility: str | None = None, quota_bytes: int | Unset | None = UNSET) -> None:
    """Change what is given; raises NotFound."""
    changes: dict[str, object] = {}
    if visibility is not None:
        changes["visibility"] = visibility
    if not isinstance(quota_bytes, Unset):
        changes["quota_bytes"] = quota_bytes
    with writing():
        team = Team.objects.select_for_update(no_key=True).filter(pk=team_id, deleted_at=None).first()
        if team is None:
            raise NotFound
        for field, value in changes.items():
            setattr(team, field, value)
        team.save(update_fields=[*changes])
        audit.record(action=AuditAction.TEAM_UPDATE, team=team.slug, target=team.slug, detail=changes)


@retried
def delete_team(*, team_id: int) -> None:
    """End a team that has no repository left; its name is free at once.

    The row stays while the trash holds repositories of it. A first push holds the row, so that one of the two sees
    the other. Raises NotFound and TeamNotEmpty.
    """
    with writing():
        held = fetch_all(
            f"SELECT id FROM accounts_team WHERE id = %s AND deleted_at IS NULL{for_update()}",
            [team_id],
        )
        if not held:
            raise NotFound
        team = Team.objects.get(pk=team_id)
        if left := team.repositories.filter(deleted_at=None).count():
            noun = "repository" if left == 1 else "repositories"
            raise TeamNotEmpty(f"Delete the {left} {noun} of {team.slug} first.")
        team.deleted_at = timezone.now()
        team.save(update_fields=["deleted_at"])
        audit.record(action=AuditAction.TEAM_DELETE, team=team.slug, target=team.slug)
