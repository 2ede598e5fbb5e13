"""Which rules hold for one repository, of the policies of the instance, its team and itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from oci.names import RepositoryName
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
    """A policy in its place; `owner` is the team's or repository's name, empty for the instance."""

    level: Level
    policy: Policy
    version: int
    owner: str = ""

    def __str__(self) -> str:
        if self.level is Level.INSTANCE:
            return f"the instance's policy v{self.version}"
        return f"{self.level} {self.owner}'s policy v{self.version}"


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


def effective_policy(*, repository: RepositoryName, layers: Iterable[Layer]) -> EffectivePolicy:
    """The lowest policy decides; the locked rules of those above it stay, in front, even of policies that are off.

    Only rules whose pattern has the repository are listed. `layers` has each level once at most, in any order.
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


def _rules(layer: Layer, repository: RepositoryName) -> list[EffectiveRule]:
    numbered = [EffectiveRule(rule, layer, number) for number, rule in enumerate(layer.policy.rules, start=1)]
    return [entry for entry in numbered if _has(layer, entry.rule, repository)]


def _has(layer: Layer, rule: Rule, repository: RepositoryName) -> bool:
    if layer.level is Level.INSTANCE:
        return any(glob.matches(repository.text) for glob in rule.repositories)
    # As in grants and tag rules: names inside the team, or whole names that begin with it.
    prefix = f"{repository.team_slug}/"
    inner = repository.text.removeprefix(prefix)
    return any(type(glob)(glob.text.removeprefix(prefix)).matches(inner) for glob in rule.repositories)
