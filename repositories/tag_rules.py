"""Tags that never move, and tags that only some may write."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import Team
from accounts.patterns import parse_inner_pattern, parse_pattern
from accounts.rights import Principal, Role
from events import audit
from events.audit_actions import AuditAction
from oci.errors import Denied
from oci.names import RepositoryName, TagName
from oci.patterns import Glob
from registry_project.database import retried, writing
from registry_project.problems import BadRequest, NotFound
from repositories.errors import TagRuleTaken
from repositories.models import TagRule

# Signatures, attestations and SBOMs of cosign, and the tag that stands in for the referrers list: clients write them
# again with each addition.
_MOVES_BY_DESIGN = re.compile(r"sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{128})(?:\.(?:sig|att|sbom))?\Z")
_FALLBACK_SUFFIXES = ("", ".sig", ".att", ".sbom")


def fallback_names(digest: str) -> list[str]:
    """The tags by which clients without the referrers list find what was said of a manifest."""
    return [digest.replace(":", "-", 1) + suffix for suffix in _FALLBACK_SUFFIXES]


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

    @property
    def exist(self) -> bool:
        return bool(self._rules)

    def protection(self, tag: str) -> TagProtection:
        matching = [rule for pattern, rule in self._rules if pattern.matches(tag)]
        roles = [Role(rule.role) for rule in matching if rule.role]
        immutable = any(rule.immutable for rule in matching) and not _MOVES_BY_DESIGN.match(tag)
        return TagProtection(immutable, max(roles, key=lambda role: role.rank, default=None))

    def protected_by(self, tag: str) -> str:
        """The pattern of the first rule that protects a tag; empty where none does."""
        if not self.protection(tag).protects:
            return ""
        moves = _MOVES_BY_DESIGN.match(tag)
        matching = (rule for pattern, rule in self._rules if pattern.matches(tag))
        return next(rule.tags for rule in matching if rule.role or not moves)

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


MOST_RULES = 100


@retried
def create_tag_rule(
    *, team: Team, repositories: str, tags: str, immutable: bool = False, role: Role | None = None, creator: str = ""
) -> TagRule:
    """Protect the tags that match in the repositories that match; raises BadRequest and TagRuleTaken."""
    if not immutable and role is None:
        raise BadRequest(
            "The rule says nothing.", fields={"immutable": ["Make it immutable, or reserve it for a role."]}
        )
    inside = parse_inner_pattern(repositories, team=team.slug, field="repositories")
    pattern = parse_pattern(tags, field="tags")
    with writing():
        # The rule's own constraint decides; these are for kinder words.
        if TagRule.objects.filter(team=team, repositories=inside.text, tags=pattern.text).exists():
            raise TagRuleTaken
        if TagRule.objects.filter(team=team).count() >= MOST_RULES:
            raise BadRequest(f"A team has at most {MOST_RULES} tag rules.")
        rule = TagRule.objects.create(
            team=team,
            repositories=inside.text,
            tags=pattern.text,
            immutable=immutable,
            role=role.value if role else "",
            created_by=creator,
        )
        _record(AuditAction.TAG_RULE_CREATE, rule)
    return rule


def delete_tag_rule(*, team: Team, rule_id: int) -> None:
    """Raises NotFound."""
    with writing():
        rule = TagRule.objects.select_for_update(no_key=True).filter(team=team, pk=rule_id).first()
        if rule is None:
            raise NotFound("The team has no such rule.")
        _record(AuditAction.TAG_RULE_DELETE, rule)
        rule.delete()


def _record(action: AuditAction, rule: TagRule) -> None:
    detail = {"repositories": rule.repositories, "immutable": rule.immutable, "role": rule.role}
    audit.record(action=action, team=rule.team.slug, target=rule.tags, detail=detail)


def rules_for(*, team_id: int, repository: RepositoryName, exist: bool) -> TagRules:
    """The rules, without a statement where the team has none."""
    return TagRules.load(team_id=team_id, repository=repository) if exist else TagRules(repository)
