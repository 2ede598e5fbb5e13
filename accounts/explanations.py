"""Why somebody may do something, or may not: the decision itself, made for anybody."""

from dataclasses import dataclass, replace

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from accounts.models import Robot, RobotSecret, TrustedIdentity, User
from accounts.rights import (
    INSTANCE,
    NOBODY,
    RULES,
    AccountTarget,
    Action,
    Credential,
    InstanceTarget,
    Kind,
    Place,
    RepositoryTarget,
    Role,
    Target,
    TeamTarget,
    decide,
    role_in,
    role_in_team,
)
from accounts.standing import Proof, load_standing
from oci.names import RepositoryName
from registry_project.problems import BadRequest, NotFound

ANONYMOUS_NAME = "anonymous"


@dataclass(frozen=True, slots=True)
class Question:
    """Exactly one of `repository` and `team` is given for their actions, neither for those of the instance."""

    principal: str
    action: Action
    repository: RepositoryName | None = None
    team: str | None = None

    @property
    def team_slug(self) -> str | None:
        return self.repository.team_slug if self.repository else self.team


@dataclass(frozen=True, slots=True)
class Explanation:
    question: Question
    allowed: bool
    reason: str
    role: Role | None


def explain(question: Question, *, asker: Credential) -> Explanation:
    """Decide as if the principal asked now; for the asker with what they presented, for others with all they hold.

    What the asker may not know of is not told apart from what does not exist. Raises BadRequest where action and
    object do not belong together, and NotFound for a principal that does not exist.
    """
    target = _target(question)
    own = question.principal == asker.name
    _check_may_know(question.principal, asker)
    credential = replace(asker, scopes=None) if own else _find_credential(question.principal)
    if credential is None:
        return Explanation(
            question, False, f"{question.principal} is disabled, has expired or has no valid secret", None
        )
    decision = decide(credential, question.action, target)
    if own and not decision.visible:
        return Explanation(question, False, "it does not exist, or you may not see it", None)
    return Explanation(question, decision.allowed, decision.reason, _role(credential, target))


def _check_may_know(principal: str, asker: Credential) -> None:
    """Raises NotFound for robots of teams whose robots the asker may not see, whether they exist or not."""
    team, plus, _ = principal.partition("+")
    if not plus or principal == asker.name or decide(asker, Action.READ_INSTANCE, INSTANCE).allowed:
        return
    if not decide(asker, Action.READ_ROBOTS, TeamTarget(team)).allowed:
        raise NotFound(f"There is no robot {principal}.")


def _target(question: Question) -> Target:
    place = RULES[question.action].place
    given = {Place.REPOSITORY: question.repository, Place.TEAM: question.team}
    for other, value in given.items():
        if (value is not None) != (place is other):
            problem = "is missing" if place is other else f"has no meaning for {question.action}"
            raise BadRequest("Action and object do not belong together.", fields={str(other): [f"It {problem}."]})
    if question.repository is not None:
        return load_standing(None, [question.repository]).repositories[question.repository.text].target
    if question.team is not None:
        return TeamTarget(question.team)
    if place is Place.ACCOUNT:
        return AccountTarget(question.principal)
    return InstanceTarget(open=settings.TEAM_CREATION == "everyone")


def _role(credential: Credential, target: Target) -> Role | None:
    if isinstance(target, RepositoryTarget):
        return role_in(credential, target)
    return role_in_team(credential, target.name) if isinstance(target, TeamTarget) else None


def _find_credential(name: str) -> Credential | None:
    """All that somebody holds; None for who exists and could not sign in."""
    if name == ANONYMOUS_NAME:
        return NOBODY
    team, plus, robot = name.partition("+")
    proof = _robots_proof(team, robot) if plus else _users_proof(name)
    return load_standing(proof).credential if proof else None


def _users_proof(username: str) -> Proof:
    user_id = User.objects.filter(username=username).values_list("pk", flat=True).first()
    if user_id is None:
        raise NotFound(f"There is no user {username}.")
    return Proof(Kind.PASSWORD, user_id=user_id)


def _robots_proof(team: str, name: str) -> Proof | None:
    robot = Robot.objects.filter(team__slug=team, team__deleted_at=None, name=name).first()
    if robot is None:
        raise NotFound(f"There is no robot {team}+{name}.")
    live = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    secret_id = RobotSecret.objects.filter(live, robot=robot).values_list("pk", flat=True).first()
    if secret_id is not None:
        return Proof(Kind.ROBOT_SECRET, robot_id=robot.pk, secret_id=secret_id)
    identity_id = TrustedIdentity.objects.filter(robot=robot).values_list("pk", flat=True).first()
    return Proof(Kind.IDENTITY_TOKEN, robot_id=robot.pk, secret_id=identity_id) if identity_id else None
