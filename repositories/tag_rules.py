"""Tags that never move, and tags that only some may write."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from accounts.rights import Principal, Role
from oci.errors import Denied
from oci.names import RepositoryName, TagName
from oci.patterns import Glob
from repositories.models import TagRule

# Signatures, attestations and SBOMs of cosign, and the tag that stands in for the referrers list: clients write them
# again with each addition.
_MOVES_BY_DESIGN = re.compile(r"sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{128})(?:\.(?:sig|att|sbom))?\Z")


class TagImmutable(Denied):
    message = "the tag is immutable"


class TagReserved(Denied):
    message = "the tag is reserved"


@dataclass(frozen=True, slots=True)
class TagProtection:
    """What all rules together say of one tag."""

    immutable: bool = False
    role: Role | None = None

    @property
    def protects(self) -> bool:
        return self.immutable or self.role is not None


class TagRules:
    """The rules of a team, asked for tags of one of its repositories."""

    def __init__(self, repository: RepositoryName, rules: Sequence[TagRule] = ()) -> None:
        inner = repository.text.removeprefix(f"{repository.team_slug}/")
        self._rules = [(Glob(rule.tags), rule) for rule in rules if Glob(rule.repositories).matches(inner)]

    @classmethod
    def load(cls, *, team_id: int, repository: RepositoryName) -> "TagRules":
        return cls(repository, list(TagRule.objects.filter(team_id=team_id)))

    def protection(self, tag: str) -> TagProtection:
        matching = [rule for pattern, rule in self._rules if pattern.matches(tag)]
        roles = [Role(rule.role) for rule in matching if rule.role]
        immutable = any(rule.immutable for rule in matching) and not _MOVES_BY_DESIGN.match(tag)
        return TagProtection(immutable, max(roles, key=lambda role: role.rank, default=None))

    def check_write(self, tag: TagName, principal: Principal) -> None:
        """Raise TagReserved unless the principal's role suffices; a move is `check_move`'s to judge."""
        self._check_role(tag.text, principal, "write")

    def check_move(self, tag: TagName) -> None:
        """Raise TagImmutable when the tag must not point to something else than it does."""
        if self.protection(tag.text).immutable:
            raise TagImmutable(
                {"tag": tag.text, "reason": f"tag {tag} points to another manifest, and a rule of the team keeps it so"}
            )

    def check_delete(self, tag: str, principal: Principal) -> None:
        """Raise TagReserved, or TagImmutable: a tag that may be deleted and pushed again would not be immutable."""
        self._check_role(tag, principal, "delete")
        if self.protection(tag).immutable and not principal.role.includes(Role.OWNER):
            raise TagImmutable({"tag": tag, "reason": f"tag {tag} is immutable, so only an owner may delete it"})

    def _check_role(self, tag: str, principal: Principal, verb: str) -> None:
        role = self.protection(tag).role
        if role is not None and not principal.role.includes(role):
            raise TagReserved(
                {
                    "tag": tag,
                    "reason": f"a rule of the team lets {role} and above {verb} tag {tag}, not {principal.role}",
                }
            )


def rules_for(*, team_id: int, repository: RepositoryName, exist: bool) -> TagRules:
    """The rules, without a statement where the team has none."""
    return TagRules.load(team_id=team_id, repository=repository) if exist else TagRules(repository)
