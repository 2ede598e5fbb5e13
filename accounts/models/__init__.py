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
from accounts.models.teams import Membership, RepositoryGrant, Team, Visibility
from accounts.models.users import User

__all__ = [
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
