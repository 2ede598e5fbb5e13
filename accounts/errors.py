"""What can be wrong with changes of users, teams, members, robots and tokens."""

from registry_project.problems import BadRequest, Conflict, Forbidden, NotFound


class UnknownUser(NotFound):
    slug, title = "unknown-user", "There is no such user"
    default_detail = "There is no user of this name."


class UsernameTaken(Conflict):
    slug, title = "username-taken", "The user name is taken"
    default_detail = "Another user has this name."


class PasswordRefused(BadRequest):
    """`fields` says what is wrong with the password."""

    slug, title = "password-refused", "The password is refused"
    default_detail = "Choose another password."


class LastAdministrator(Conflict):
    slug, title = "last-administrator", "Somebody must administer the instance"
    default_detail = "This is the last active administrator; make somebody else one first."


class TeamTaken(Conflict):
    slug, title = "team-taken", "The name of the team is taken"
    default_detail = "There is a team of this name, or the name is reserved."


class TeamNotEmpty(Conflict):
    slug, title = "team-not-empty", "The team has repositories"
    default_detail = "Delete the team's repositories first."


class LastOwner(Conflict):
    slug, title = "last-owner", "A team needs an owner"
    default_detail = "This is the team's last active owner; make somebody else one first, or ask an administrator."


class MembershipProvided(Conflict):
    slug, title = "membership-provided", "The membership comes from a sign-in provider"
    default_detail = "Groups of a sign-in provider give this membership; change them there."


class GrantTaken(Conflict):
    slug, title = "grant-taken", "There is such a grant already"
    default_detail = "The user has a grant for this pattern; change that one."


class RobotTaken(Conflict):
    slug, title = "robot-taken", "The name of the robot is taken"
    default_detail = "The team has a robot of this name."


class TokenNameTaken(Conflict):
    slug, title = "token-name-taken", "The name of the token is taken"
    default_detail = "You have a token of this name."


class RoleTooHigh(Forbidden):
    slug, title = "role-too-high", "Nobody hands on more than they have"
    default_detail = "This is more than you may do yourself."
