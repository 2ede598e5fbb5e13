"""Who may do what: one pure function decides, and the table of roles in the documentation comes from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from oci.patterns import Glob


class Role(StrEnum):
    """What somebody is in a team, or for some of its repositories; each includes those before it."""

    READER = "reader"
    DEVELOPER = "developer"
    MAINTAINER = "maintainer"
    OWNER = "owner"

    @property
    def rank(self) -> int:
        return list(Role).index(self)

    def includes(self, other: "Role") -> bool:
        return self.rank >= other.rank


class Place(StrEnum):
    """What an action is about."""

    REPOSITORY = "repository"
    TEAM = "team"
    INSTANCE = "instance"
    ACCOUNT = "account"


class Action(StrEnum):
    """Everything that needs a right. The first three are the actions of the token protocol's scopes."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    RESTORE = "restore"
    READ_RETENTION = "retention.read"
    WRITE_RETENTION = "retention.write"
    DELETE_REPOSITORY = "repository.delete"
    UPDATE_REPOSITORY = "repository.update"

    READ_TEAM = "team.read"
    READ_MEMBERS = "members.read"
    READ_USAGE = "usage.read"
    READ_TAG_RULES = "tag-rules.read"
    WRITE_TAG_RULES = "tag-rules.write"
    READ_TEAM_RETENTION = "team-retention.read"
    WRITE_TEAM_RETENTION = "team-retention.write"
    READ_ROBOTS = "robots.read"
    WRITE_ROBOTS = "robots.write"
    READ_WEBHOOKS = "webhooks.read"
    WRITE_WEBHOOKS = "webhooks.write"
    READ_TEAM_AUDIT = "team-audit.read"
    EXPLAIN_ACCESS = "access.explain"
    WRITE_MEMBERS = "members.write"
    UPDATE_TEAM = "team.update"
    DELETE_TEAM = "team.delete"

    CREATE_TEAM = "team.create"
    SET_QUOTA = "quota.set"
    READ_USERS = "users.read"
    WRITE_USERS = "users.write"
    READ_INSTANCE = "instance.read"
    WRITE_INSTANCE = "instance.write"

    READ_ACCOUNT = "account.read"
    WRITE_ACCOUNT = "account.write"


@dataclass(frozen=True, slots=True)
class Rule:
    """`role` is the least that is needed, None where only administrators may; auditors may what `reads`.

    What is about an account, only whose it is may do: others have the actions on users.

    `title` is its line in the documentation.
    """

    place: Place
    role: Role | None
    reads: bool
    title: str


_R, _T, _I, _A = Place.REPOSITORY, Place.TEAM, Place.INSTANCE, Place.ACCOUNT
RULES: Mapping[Action, Rule] = {
    Action.PULL: Rule(_R, Role.READER, True, "Pull; list tags and referrers; see history and trash"),
    Action.PUSH: Rule(_R, Role.DEVELOPER, False, "Push; create repositories; mount into"),
    Action.RESTORE: Rule(_R, Role.DEVELOPER, False, "Restore tags"),
    Action.DELETE: Rule(_R, Role.MAINTAINER, False, "Delete tags, manifests and blobs; purge the trash"),
    Action.READ_RETENTION: Rule(_R, Role.READER, True, "See a repository's retention policy and preview it"),
    Action.WRITE_RETENTION: Rule(
        _R, Role.MAINTAINER, False, "Change a repository's retention policy, run and revert it"
    ),
    Action.DELETE_REPOSITORY: Rule(_R, Role.MAINTAINER, False, "Delete, restore and purge repositories"),
    Action.UPDATE_REPOSITORY: Rule(_R, Role.OWNER, False, "Change a repository's visibility"),
    Action.READ_TEAM: Rule(_T, Role.READER, True, "See the team"),
    Action.READ_MEMBERS: Rule(_T, Role.READER, True, "See members and grants"),
    Action.READ_USAGE: Rule(_T, Role.READER, True, "See usage and quota"),
    Action.READ_TAG_RULES: Rule(_T, Role.READER, True, "See tag rules"),
    Action.READ_TEAM_RETENTION: Rule(_T, Role.READER, True, "See the team's retention policy and preview it"),
    Action.WRITE_TAG_RULES: Rule(_T, Role.MAINTAINER, False, "Change tag rules"),
    Action.WRITE_TEAM_RETENTION: Rule(
        _T, Role.MAINTAINER, False, "Change the team's retention policy, run and revert it"
    ),
    Action.READ_ROBOTS: Rule(_T, Role.MAINTAINER, True, "See robots"),
    Action.WRITE_ROBOTS: Rule(_T, Role.MAINTAINER, False, "Create, rotate, disable and delete robots"),
    Action.READ_WEBHOOKS: Rule(_T, Role.MAINTAINER, True, "See webhooks"),
    Action.WRITE_WEBHOOKS: Rule(_T, Role.MAINTAINER, False, "Change webhooks"),
    Action.READ_TEAM_AUDIT: Rule(_T, Role.MAINTAINER, True, "Read the team's audit log"),
    Action.EXPLAIN_ACCESS: Rule(_T, Role.MAINTAINER, True, "Ask why somebody may or may not do something in the team"),
    Action.WRITE_MEMBERS: Rule(_T, Role.OWNER, False, "Change members and grants"),
    Action.UPDATE_TEAM: Rule(_T, Role.OWNER, False, "Change the team's settings"),
    Action.DELETE_TEAM: Rule(_T, Role.OWNER, False, "Delete the team"),
    Action.CREATE_TEAM: Rule(_I, None, False, "Create teams"),
    Action.SET_QUOTA: Rule(_I, None, False, "Set quotas"),
    Action.READ_USERS: Rule(_I, None, True, "See all users"),
    Action.WRITE_USERS: Rule(_I, None, False, "Create, change, disable and delete users"),
    Action.READ_INSTANCE: Rule(_I, None, True, "See the instance: all audit, collection, jobs"),
    Action.WRITE_INSTANCE: Rule(_I, None, False, "Change the instance: pause collection, its policies"),
    Action.READ_ACCOUNT: Rule(_A, None, True, "See one's own account and tokens"),
    Action.WRITE_ACCOUNT: Rule(
        _A, None, False, "Change one's own password and tokens; sign out everywhere; leave a team"
    ),
}


class Kind(StrEnum):
    """How somebody proved who they are."""

    EVERYONE = "everyone"  # `auth: none` asks nobody
    ANONYMOUS = "anonymous"
    PASSWORD = "password"  # noqa: S105 - a word, no secret
    ACCESS_TOKEN = "access-token"  # noqa: S105
    ROBOT_SECRET = "robot-secret"  # noqa: S105
    IDENTITY_TOKEN = "identity-token"  # noqa: S105 - a robot, by a token of a trusted issuer
    SESSION = "session"
    HTPASSWD = "htpasswd"
    EXTERNAL_TOKEN = "external-token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Grant:
    """A role in a team: in all of it, or with `pattern` for those of its repositories whose name it matches.

    The pattern is of the name inside the team, without `team/`.
    """

    team: str
    role: Role
    pattern: Glob | None = None

    def covers(self, repository: "RepositoryTarget") -> bool:
        return self.team == repository.team and (self.pattern is None or self.pattern.matches(repository.inner_name))


@dataclass(frozen=True, slots=True)
class Limit:
    """What an access token allows at most: a role, administration, and, with `patterns`, only such repositories.

    These patterns are of whole names.
    """

    role: Role
    administration: bool = False
    patterns: tuple[Glob, ...] = ()


Scopes = Mapping[tuple[str, str], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Credential:
    """Who asks, and what they hold at this moment.

    `name` is `alice`, `team+robot`, or empty for anonymous. `scopes` are those of a bearer token, by type and name;
    None where none was presented. `proof` tells the audit log which secret it was.
    """

    kind: Kind
    name: str = ""
    administrator: bool = False
    auditor: bool = False
    grants: tuple[Grant, ...] = ()
    limit: Limit | None = None
    scopes: Scopes | None = None
    proof: str = ""
    user_id: int | None = None
    robot_id: int | None = None

    @property
    def is_anonymous(self) -> bool:
        return self.kind is Kind.ANONYMOUS


@dataclass(frozen=True, slots=True)
class RepositoryTarget:
    """A repository, which need not exist: an absent one is always private, so that it answers as a hidden one does."""

    name: str
    team: str
    public: bool = False
    team_exists: bool = True

    @property
    def inner_name(self) -> str:
        return self.name.removeprefix(f"{self.team}/")


@dataclass(frozen=True, slots=True)
class TeamTarget:
    name: str


@dataclass(frozen=True, slots=True)
class InstanceTarget:
    """`open` tells that everybody who has an account may create teams."""

    open: bool = False


@dataclass(frozen=True, slots=True)
class AccountTarget:
    username: str


Target = RepositoryTarget | TeamTarget | InstanceTarget | AccountTarget
INSTANCE = InstanceTarget()


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` is a sentence for people. `visible`: the object may be known to the caller.

    `wider` tells that only the bearer token's scopes stand in the way: another token of the same holder would do.
    """

    allowed: bool
    reason: str
    visible: bool = True
    wider: bool = False


def decide(credential: Credential, action: Action, target: Target) -> Decision:
    """Whether a credential may do something to an object, and why; whatever is not granted is denied."""
    allowed, reason = _holds(credential, action, target)
    visible = _sees(credential, target)
    if not allowed or credential.scopes is None:
        return Decision(allowed, reason, visible)
    if _in_scope(credential.scopes, action, target):
        return Decision(True, reason, visible)
    return Decision(False, "the bearer token does not name this action; ask for one that does", visible, wider=True)


def role_in(credential: Credential, repository: RepositoryTarget) -> Role | None:
    """The highest role that the credential has for a repository, its own limit included."""
    if credential.kind is Kind.EXTERNAL_TOKEN:
        return Role.MAINTAINER  # Its scopes say what it may do; tag rules need a role all the same.
    limit = credential.limit
    if limit and limit.patterns and not any(pattern.matches(repository.name) for pattern in limit.patterns):
        return None
    if _is_administrator(credential):
        return Role.OWNER
    held = [grant.role for grant in credential.grants if grant.covers(repository)]
    return _capped(max(held, key=lambda role: role.rank, default=None), limit)


def role_in_team(credential: Credential, team: str) -> Role | None:
    """The role in a whole team; grants for some repositories give none."""
    limit = credential.limit
    if limit and limit.patterns:
        return None
    if _is_administrator(credential):
        return Role.OWNER
    held = [grant.role for grant in credential.grants if grant.team == team and grant.pattern is None]
    return _capped(max(held, key=lambda role: role.rank, default=None), limit)


def _holds(credential: Credential, action: Action, target: Target) -> tuple[bool, str]:
    rule = RULES[action]
    if credential.kind is Kind.EXTERNAL_TOKEN:
        # Another server decided; what it granted are the token's scopes.
        return rule.place is Place.REPOSITORY, "the token server decides"
    if isinstance(target, RepositoryTarget):
        if rule.place is not Place.REPOSITORY:
            raise ValueError(f"{action} is no action on repositories")
        return _holds_in_repository(credential, rule, target)
    if isinstance(target, TeamTarget):
        if rule.place is not Place.TEAM:
            raise ValueError(f"{action} is no action on teams")
        if credential.limit and credential.limit.patterns:
            return False, "the access token is limited to repositories"
        return _holds_by_role(credential, rule, role_in_team(credential, target.name), f"team {target.name}")
    if isinstance(target, AccountTarget):
        if rule.place is not Place.ACCOUNT:
            raise ValueError(f"{action} is no action on accounts")
        return _holds_in_account(credential, rule, target)
    if rule.place is not Place.INSTANCE:
        raise ValueError(f"{action} is no action on the instance")
    limit = credential.limit
    if limit and limit.patterns:
        return False, "the access token is limited to repositories"
    # The new team is the creator's, so a token that cannot own one cannot make one.
    may_own = credential.user_id is not None and (limit is None or limit.role is Role.OWNER)
    if target.open and may_own and rule is RULES[Action.CREATE_TEAM]:
        return True, "everybody who has an account may create teams"
    return _holds_by_role(credential, rule, None, "instance")


def _holds_in_repository(credential: Credential, rule: Rule, target: RepositoryTarget) -> tuple[bool, str]:
    if target.public and rule is RULES[Action.PULL]:
        return True, "the repository is public"
    limit = credential.limit
    if limit and limit.patterns and not any(pattern.matches(target.name) for pattern in limit.patterns):
        return False, "the access token is limited to other repositories"
    if not target.team_exists and not _is_administrator(credential):
        return False, f"there is no team {target.team}"
    return _holds_by_role(credential, rule, role_in(credential, target), f"repository {target.name}")


def _holds_by_role(credential: Credential, rule: Rule, role: Role | None, where: str) -> tuple[bool, str]:
    if credential.kind is Kind.EVERYONE:
        return True, "without auth everyone may do everything"
    if credential.kind is Kind.HTPASSWD:
        return True, "everyone in the password file may do everything"
    if _is_administrator(credential):
        return True, f"{credential.name} is an administrator"
    if credential.auditor and rule.reads:
        return True, f"{credential.name} is an auditor, who may read everything"
    if rule.role is None:
        return False, f"only administrators may do this; {_called(credential)} is none"
    if role is None:
        return False, f"{_called(credential)} has no role in the {where}; this needs {rule.role}"
    if not role.includes(rule.role):
        return False, f"{_called(credential)} is {role} in the {where}; this needs {rule.role}"
    return True, f"{credential.name} is {role} in the {where}"


def _holds_in_account(credential: Credential, rule: Rule, target: AccountTarget) -> tuple[bool, str]:
    limit = credential.limit
    if credential.user_id is None or credential.name != target.username:
        return False, f"only {target.username} may do this"
    if limit and limit.patterns:
        return False, "the access token is limited to repositories"
    if limit and not rule.reads:
        # A token that leaked could make others that outlive it.
        return False, "an access token cannot change the account that it belongs to; sign in with the password"
    return True, "the account is your own"


def _sees(credential: Credential, target: Target) -> bool:
    if isinstance(target, RepositoryTarget):
        return _holds(credential, Action.PULL, target)[0]
    if isinstance(target, TeamTarget):
        return _holds(credential, Action.READ_TEAM, target)[0]
    if isinstance(target, AccountTarget):
        return credential.name == target.username
    return True


def _in_scope(scopes: Scopes, action: Action, target: Target) -> bool:
    if not isinstance(target, RepositoryTarget):
        return False
    granted = scopes.get(("repository", target.name), frozenset())
    return bool(granted & {str(action), "*"})


def _is_administrator(credential: Credential) -> bool:
    if credential.kind in (Kind.EVERYONE, Kind.HTPASSWD):
        return True
    return credential.administrator and (credential.limit is None or credential.limit.administration)


def _capped(role: Role | None, limit: Limit | None) -> Role | None:
    if role is None or limit is None:
        return role
    return min(role, limit.role, key=lambda each: each.rank)


def _called(credential: Credential) -> str:
    return credential.name or "anonymous"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who does something, as rows remember it, and as what; the name is empty for anonymous."""

    name: str = ""
    role: Role = Role.OWNER


ANONYMOUS = Principal()
EVERYONE = Credential(Kind.EVERYONE)
NOBODY = Credential(Kind.ANONYMOUS)
