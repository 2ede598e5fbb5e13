"""Which rules hold for one repository, of the policies of the instance, its team and itself."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from oci.names import LIBRARY_TEAM, RepositoryName
from oci.patterns import Glob
from registry_gc.retention.policy import (
    DEFAULT_BRAKE_PERCENT,
    DEFAULT_SCHEDULE,
    Action,
    Policy,
    Rule,
)


class Level(StrEnum):
    """Where a policy stands, the highest first."""

    INSTANCE = "instance"
    TEAM = "team"
    REPOSITORY = "repository"


@dataclass(frozen=True, slots=True)
class Layer:
    """A policy in its place; `owner` is the team's or repository's name, empty for the instance.

    A draft, which is not stored, has the version 0.
    """

    level: Level
    policy: Policy
    version: int
    owner: str = ""

    def __str__(self) -> str:
        owner = "the instance" if self.level is Level.INSTANCE else f"{self.level} {self.owner}"
        return f"{owner}'s policy v{self.version}" if self.version else f"{owner}'s draft"


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """A rule and where it comes from; `number` counts from 1 within its policy."""

    rule: Rule
    layer: Layer
    number: int

    def __str__(self) -> str:
        name = f" '{self.rule.name}'" if self.rule.name else ""
        return f"rule {self.number}{name} of {self.layer}"


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """What holds for one repository; `enabled` says whether it is ever run."""

    rules: tuple[EffectiveRule, ...] = ()
    enabled: bool = False
    schedule: str = DEFAULT_SCHEDULE
    brake_percent: int = DEFAULT_BRAKE_PERCENT


def effective_policy(*, repository: RepositoryName | None, layers: Iterable[Layer]) -> EffectivePolicy:
    """The lowest policy decides; the locked rules of those above it stay, in front, even of policies that are off.

    Only rules whose pattern has the repository are listed, and all without one. `layers` has each level once at most,
    in any order.
    """
    ordered = sorted(layers, key=lambda layer: list(Level).index(layer.level))
    if not ordered:
        return EffectivePolicy()
    *above, lowest = ordered
    rules = [entry for layer in above for entry in _rules(layer, repository) if entry.rule.locked]
    own = _rules(lowest, repository)
    # Switching off ends deletions; what is locked protects all the same.
    rules += own if lowest.policy.enabled else [entry for entry in own if entry.rule.locked]
    return EffectivePolicy(
        rules=tuple(rules),
        enabled=lowest.policy.enabled and any(entry.rule.action is Action.DELETE for entry in rules),
        schedule=lowest.policy.schedule,
        brake_percent=lowest.policy.brake_percent,
    )


def _rules(layer: Layer, repository: RepositoryName | None) -> list[EffectiveRule]:
    numbered = [EffectiveRule(rule, layer, number) for number, rule in enumerate(layer.policy.rules, start=1)]
    return [entry for entry in numbered if repository is None or patterns_of(entry, repository)]


def patterns_of(entry: EffectiveRule, repository: RepositoryName) -> list[Glob]:
    """Those of the rule's patterns that have the repository."""
    return [glob for glob in entry.rule.repositories if _has(entry.layer, glob, repository)]


def _has(layer: Layer, glob: Glob, repository: RepositoryName) -> bool:
    if layer.level is Level.INSTANCE:
        return glob.matches(repository.text)
    # As in grants and tag rules: names inside the team, or whole names that begin with it.
    prefix = f"{repository.team_slug}/"
    return Glob(glob.text.removeprefix(prefix)).matches(repository.text.removeprefix(prefix))


def patterns_about(entry: EffectiveRule, team: str) -> list[Glob]:
    """Those of the rule's patterns that can have repositories of a team; maybe one too many, never one too few."""
    if entry.layer.level is not Level.INSTANCE:
        return list(entry.rule.repositories)
    return [glob for glob in entry.rule.repositories if _may_concern(glob.text, team)]


def _may_concern(pattern: str, team: str) -> bool:
    literal, prefix = re.split(r"[*?]", pattern, maxsplit=1)[0], f"{team}/"
    if team == LIBRARY_TEAM and "/" not in literal:
        return True
    return literal.startswith(prefix) or (literal != pattern and prefix.startswith(literal))
