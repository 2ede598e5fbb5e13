"""One rule against one tag: whether its patterns match, and from when until when its ages hold."""

from datetime import datetime, timedelta

from registry_gc.retention.inheritance import EffectiveRule
from registry_gc.retention.policy import Action, Rule
from registry_gc.retention.spans import ALWAYS, FOREVER, UNLIMITED, Span

_EVERY_TAG = Rule.model_fields["tags"].default


class Matcher:
    """A rule made ready for many tags of a repository that it is about."""

    def __init__(self, entry: EffectiveRule) -> None:
        rule = entry.rule
        self.entry, self.rule = entry, rule
        self.keeps = rule.action is Action.KEEP
        self.counts = rule.newest is not None or rule.newest_semver is not None
        self.has_ages = bool(rule.pushed_within or rule.pulled_within or rule.pushed_before or rule.pulled_before)
        self._globs = () if rule.tags == _EVERY_TAG else rule.tags
        self._pushed_before, self._pulled_before = _delta(rule.pushed_before), _delta(rule.pulled_before)
        self._pushed_within, self._pulled_within = _delta(rule.pushed_within), _delta(rule.pulled_within)
        self.untagged = _delta(rule.untagged)

    def matches(self, tag: str) -> bool:
        if self._globs and not any(glob.matches(tag) for glob in self._globs):
            return False
        return self.rule.tags_regex is None or self.rule.tags_regex.matches(tag)

    def span(self, pushed_at: datetime, used_at: datetime) -> Span:
        """When the ages hold: `before` begins in the very moment in which `within` of the same length ends."""
        if not self.has_ages:
            return UNLIMITED
        start, end = ALWAYS, FOREVER
        if self._pushed_before:
            start = pushed_at + self._pushed_before
        if self._pulled_before:
            start = max(start, used_at + self._pulled_before)
        if self._pushed_within:
            end = pushed_at + self._pushed_within
        if self._pulled_within:
            end = min(end, used_at + self._pulled_within)
        return Span(start, end)


def _delta(age: object) -> timedelta | None:
    return getattr(age, "delta", None)
