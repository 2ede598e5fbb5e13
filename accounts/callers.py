"""Who sends a request: proved by the request alone, and looked up when the first right is asked for."""

from collections.abc import Collection
from typing import cast

from rest_framework.request import Request

from accounts.challenges import INSUFFICIENT_SCOPE, INVALID_TOKEN, Challenge
from accounts.last_use import note_use
from accounts.rights import EVERYONE, Action, Credential, Decision, RepositoryTarget
from accounts.standing import KnownRepository, Proof, load_standing
from oci.errors import Denied, NameUnknown, Unauthorized
from oci.names import RepositoryName
from registry_project.context import name_principal


class Caller:
    """`proof` None is anonymous; `fixed` is a credential that the database knows nothing of."""

    def __init__(
        self, challenge: Challenge | None, *, proof: Proof | None = None, fixed: Credential | None = None
    ) -> None:
        self.challenge = challenge
        self.proof = proof
        self.fixed = fixed
        if fixed is not None:
            name_principal(fixed.name, fixed.proof)

    @property
    def is_anonymous(self) -> bool:
        """Nothing was presented; the bearer token of an anonymous client is something."""
        return self.proof is None and (self.fixed is None or self.fixed.is_anonymous)

    @property
    def holder(self) -> str:
        """Whose requests these are, for counting them; empty for anonymous."""
        if self.fixed is not None:
            return self.fixed.name
        if self.proof is None:
            return ""
        user, robot = self.proof.user_id, self.proof.robot_id
        return f"user {user}" if user is not None else f"robot {robot}" if robot is not None else ""

    def look_up(self, names: Collection[RepositoryName] = ()) -> tuple[Credential, dict[str, KnownRepository]]:
        """Who it is at this moment, and the named repositories; one statement, or none where nothing depends on it.

        Raises Unauthorized when what was presented is good no longer, or is older than the end of an earlier
        repository of one of the names.
        """
        if self.fixed is not None:
            return self.fixed, {
                name.text: KnownRepository(RepositoryTarget(name.text, name.team_slug)) for name in names
            }
        standing = load_standing(self.proof, names)
        if standing.credential is None or any(known.replaced for known in standing.repositories.values()):
            raise self.rejected("what was presented is valid no longer")
        if self.proof is not None:
            note_use(self.proof)
        name_principal(standing.credential.name, standing.credential.proof)
        return standing.credential, standing.repositories

    def rejected(self, reason: str) -> Exception:
        if self.challenge is None:
            return Unauthorized({"reason": reason})
        return self.challenge.refusal(error=INVALID_TOKEN, reason=reason)

    def refusal(
        self, credential: Credential, decision: Decision, action: Action, name: RepositoryName, scopes: list[str]
    ) -> Exception:
        """What to answer when a right is missing.

        Who could get further with other credentials is told to fetch them (401). Who could not learns no more than if
        the repository did not exist, unless they may see it.
        """
        if self.challenge is not None and (decision.wider or credential.is_anonymous):
            presented = credential.scopes is not None
            return self.challenge.refusal(scopes=scopes, error=INSUFFICIENT_SCOPE if presented else "")
        if not decision.visible and action is Action.PULL:
            return NameUnknown({"name": name.text})
        if not decision.visible:
            return Denied({"name": name.text})
        return Denied({"name": name.text, "reason": decision.reason})


def caller_of(request: Request) -> Caller:
    """The caller that `accounts.api.authentication` found in a request's headers."""
    return cast("Caller", request.auth)


CALLED_BY_EVERYONE = Caller(None, fixed=EVERYONE)
