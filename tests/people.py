"""The standing cast: alice owns the team `alice`, bob is a member, charlie is an outsider."""

from datetime import datetime
from typing import Any

from accounts.models import AccessToken, Membership, RepositoryGrant, Robot, RobotSecret, Team, User
from accounts.rights import Role
from accounts.secrets import Prefix, hash_secret, new_secret
from tests.factories import Registry

PASSWORD = "correct horse"
TEAM = "alice"


def make_user(username: str, **fields: Any) -> User:
    return User.objects.create_user(username, password=PASSWORD, **fields)


def make_team(slug: str = TEAM, **members: Role | str) -> Team:
    """A private team; `bob="developer"` makes bob a member, and a user if there is none."""
    team, _ = Team.objects.get_or_create(slug=slug, deleted_at=None)
    for username, role in members.items():
        user = User.objects.filter(username=username).first() or make_user(username)
        Membership.objects.create(team=team, user=user, role=role)
    return team


def make_robot(
    team: Team, name: str = "ci", role: Role | str = Role.DEVELOPER, pattern: str = "**"
) -> tuple[Robot, str]:
    """A robot and its secret."""
    robot = Robot.objects.create(team=team, name=name)
    RepositoryGrant.objects.create(team=team, robot=robot, role=role, pattern=pattern)
    secret = new_secret(Prefix.ROBOT_SECRET)
    RobotSecret.objects.create(robot=robot, slot=0, hash=hash_secret(secret))
    return robot, secret


def make_access_token(
    user: User, role: Role | str = Role.OWNER, *, patterns: str = "", expires_at: datetime | None = None, **fields: Any
) -> str:
    """A personal access token as its owner sees it once."""
    secret = new_secret(Prefix.ACCESS_TOKEN)
    name = fields.pop("name", f"token {AccessToken.objects.count()}")
    AccessToken.objects.create(
        user=user, name=name, hash=hash_secret(secret), role=role, patterns=patterns, expires_at=expires_at, **fields
    )
    return secret


def as_user(username: str) -> Registry:
    return Registry().signed_in(username, PASSWORD)
