"""One tag under all the rules that can concern it: deleted only where a delete rule holds and no keep rule does."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from registry_gc.retention.inheritance import EffectiveRule
from registry_gc.retention.spans import FOREVER, Span


class Decision(NamedTuple):
    """`until` is now where it goes now; `then` is the delete rule that takes it, now or at that time."""

    until: datetime
    keeper: EffectiveRule | None = None
    then: EffectiveRule | None = None


class Claim(NamedTuple):
    """A rule that concerns a tag for some time."""

    rule: EffectiveRule
    span: Span


def decide(*, keeps: Sequence[Claim], deletes: Sequence[Claim], now: datetime) -> Decision:
    """The claims stand in the order of their rules, which only chooses among the rules that may be named."""
    until = max(now, min((claim.span.start for claim in deletes), default=FOREVER))
    while until < FOREVER:
        held = max((claim.span.end for claim in keeps if claim.span.holds(until)), default=None)
        if held is None:
            break
        until = held
    then = next((claim.rule for claim in deletes if claim.span.start <= until), None) if until < FOREVER else None
    return Decision(until, _keeper(keeps, now) if until > now else None, then)


def _keeper(keeps: Sequence[Claim], now: datetime) -> EffectiveRule | None:
    """Of the rules that keep it now, the first of those that do so the longest."""
    holding = [claim for claim in keeps if claim.span.holds(now)]
    return max(holding, key=lambda claim: claim.span.end).rule if holding else None
