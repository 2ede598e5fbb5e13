"""Robots: accounts of a team for programs, and their secrets."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from accounts.errors import RobotTaken, RoleTooHigh
from accounts.expiry import check_moment_to_come
from accounts.models import RepositoryGrant, Robot, RobotSecret, Team
from accounts.patterns import parse_inner_patterns
from accounts.rights import Role
from accounts.secrets import Prefix, hash_secret, new_secret
from events import audit
from events.audit_actions import AuditAction
from oci.patterns import Glob
from registry_project.database import retried, writing
from registry_project.problems import BadRequest, NotFound

DEFAULT_OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=30)
# An owner could hand its rights on.
HIGHEST_ROLE = Role.MAINTAINER
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*\Z")
_NAME_MAX_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Issued:
    """A robot with its new secret, which is told once and never again."""

    robot: Robot
    secret: str
    previous_expires_at: datetime | None = None


@retried
def create_robot(
    *,
    team: Team,
    name: str,
    role: Role,
    patterns: Sequence[str],
    creator: str,
    creator_role: Role | None,
    description: str = "",
    expires_at: datetime | None = None,
) -> Issued:
    """Make a robot with a role for the team's repositories that match a pattern, and its first secret.

    Raises BadRequest, RoleTooHigh, NotFound where the team has gone, and RobotTaken.
    """
    if len(name) > _NAME_MAX_LENGTH or not _NAME.match(name):
        expected = f"at most {_NAME_MAX_LENGTH} lower-case letters and digits, with . _ - between them"
        raise BadRequest("The name is not valid.", fields={"name": [f"Use {expected}."]})
    globs = _check_grants(team, role, patterns, creator_role)
    check_moment_to_come(expires_at)
    with writing():
        _hold_team(team)
        if team.robots.filter(name=name).exists():
            raise RobotTaken(f"{team.slug} has a robot {name} already.")
        robot = Robot.objects.create(
            team=team, name=name, description=description, created_by=creator, expires_at=expires_at
        )
        _write_grants(robot, role, globs)
        secret = _add_secret(robot, slot=0)
        _record(AuditAction.ROBOT_CREATE, robot, role=role.value, repositories=_texts(globs), expires_at=expires_at)
    return Issued(robot, secret)


@retried
def change_robot(
    *,
    team: Team,
    name: str,
    changes: Mapping[str, Any],
    role: Role | None = None,
    patterns: Sequence[str] | None = None,
    changer_role: Role | None,
) -> None:
    """Change what is given; `changes` has `description`, `disabled` and `expires_at`.

    Raises BadRequest, RoleTooHigh and NotFound.
    """
    if "expires_at" in changes:
        check_moment_to_come(changes["expires_at"])
    with writing():
        robot = _hold_robot(team, name)
        told = dict(changes)
        if "description" in changes:
            robot.description = changes["description"]
        if "expires_at" in changes:
            robot.expires_at, robot.expiry_warned_at = changes["expires_at"], None
        if "disabled" in changes:
            robot.disabled_at = (robot.disabled_at or timezone.now()) if changes["disabled"] else None
        robot.save()
        if role is not None or patterns is not None:
            held = list(robot.grants.all())
            role = role or highest_role(held)
            texts = [grant.pattern for grant in held] if patterns is None else patterns
            globs = _check_grants(team, role, texts, changer_role)
            robot.grants.all().delete()
            _write_grants(robot, role, globs)
            told.update(role=role.value, repositories=_texts(globs))
        _record(AuditAction.ROBOT_UPDATE, robot, **told)


@retried
def rotate_secret(*, team: Team, name: str, overlap: timedelta = DEFAULT_OVERLAP) -> Issued:
    """Give a robot a second secret; the one before ends after the overlap.

    While an earlier rotation's overlap lasts there are two already: then its old one ends now. Raises NotFound.
    """
    now = timezone.now()
    with writing():
        robot = _hold_robot(team, name)
        live = list(robot.secrets.filter(Q(expires_at=None) | Q(expires_at__gt=now)).order_by("-created_at", "-id"))
        kept = live[0] if live and overlap else None
        robot.secrets.exclude(pk__in=[kept.pk] if kept else []).delete()
        ends_at = None
        if kept is not None:
            ends_at = min(now + overlap, kept.expires_at or now + overlap)
            kept.expires_at = ends_at
            kept.save(update_fields=["expires_at"])
        secret = _add_secret(robot, slot=1 - kept.slot if kept else 0)
        _record(AuditAction.ROBOT_ROTATE, robot, previous_expires_at=ends_at)
    return Issued(robot, secret, ends_at)


def delete_robot(*, team: Team, name: str) -> None:
    """Remove a robot and its secrets; what it pushed stays. Raises NotFound."""
    with writing():
        robot = _hold_robot(team, name)
        robot.delete()
        _record(AuditAction.ROBOT_DELETE, robot)


def _record(action: AuditAction, robot: Robot, **detail: Any) -> None:
    told = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in detail.items()}
    audit.record(action=action, team=robot.team.slug, target=robot.name, detail=told)


def _texts(globs: Iterable[Glob]) -> list[str]:
    return [glob.text for glob in globs]


def highest_role(grants: Iterable[RepositoryGrant]) -> Role:
    return max((Role(grant.role) for grant in grants), key=lambda role: role.rank, default=Role.READER)


def _check_grants(team: Team, role: Role, patterns: Sequence[str], own: Role | None) -> list[Glob]:
    if not HIGHEST_ROLE.includes(role):
        raise BadRequest("The role is not valid.", fields={"role": [f"A robot is at most {HIGHEST_ROLE}."]})
    if own is None or not own.includes(role):
        raise RoleTooHigh(f"You are {own or 'no member'} of {team.slug}; a robot of yours cannot be {role}.")
    return parse_inner_patterns(patterns, team=team.slug, field="repositories")


def _write_grants(robot: Robot, role: Role, globs: Iterable[Glob]) -> None:
    RepositoryGrant.objects.bulk_create(
        RepositoryGrant(team_id=robot.team_id, robot=robot, pattern=glob.text, role=role.value) for glob in globs
    )


def _add_secret(robot: Robot, *, slot: int) -> str:
    secret = new_secret(Prefix.ROBOT_SECRET)
    RobotSecret.objects.create(robot=robot, slot=slot, hash=hash_secret(secret))
    return secret


def _hold_team(team: Team) -> None:
    # A key share would do; Django has no word for it, and robots are seldom made.
    if Team.objects.select_for_update(no_key=True).filter(pk=team.pk, deleted_at=None).first() is None:
        raise NotFound


def _hold_robot(team: Team, name: str) -> Robot:
    robot = Robot.objects.select_for_update(no_key=True).filter(team=team, name=name).first()
    if robot is None:
        raise NotFound(f"There is no robot {name} in {team.slug}.")
    robot.team = team
    return robot
