"""Users, teams, rights below them, and what proves who asks."""

from accounts.models.secrets import (
    AccessToken,
    FailedSignIn,
    RefreshToken,
    Robot,
    RobotSecret,
    SigningKey,
    TrustedIdentity,
)
from accounts.models.teams import ROLE_LENGTH, ROLE_NAMES, ROLES, Membership, RepositoryGrant, Team, Visibility
from accounts.models.users import User

__all__ = [
    "ROLES",
    "ROLE_LENGTH",
    "ROLE_NAMES",
    "AccessToken",
    "FailedSignIn",
    "Membership",
    "RefreshToken",
    "RepositoryGrant",
    "Robot",
    "RobotSecret",
    "SigningKey",
    "Team",
    "TrustedIdentity",
    "User",
    "Visibility",
]
