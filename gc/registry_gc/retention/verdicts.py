"""What becomes of a tag or an untagged manifest, and why, in a sentence."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from registry_gc.retention.inheritance import EffectiveRule
from registry_gc.retention.policy import Action, Rule


class Cause(StrEnum):
    PROTECTED = "protected"
    RULE = "rule"
    NO_RULE = "no-rule"
    # A signature, SBOM, attestation or another referrer: it goes and stays with what it is about.
    SUBJECT = "subject"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`tag` is empty for an untagged manifest.

    `rule` decides; for what follows a subject, it decides about the subject. `changes_at` is when a kept one will be
    deleted if nothing is pushed, pulled or protected until then, by the rule `then`; None where that never comes.
    `counts` tells whether it is a tag for the brake and the newest. `detail` completes the sentence.
    """

    repository: str
    tag: str
    digest: str
    action: Action
    cause: Cause
    rule: EffectiveRule | None = None
    changes_at: datetime | None = None
    then: EffectiveRule | None = None
    counts: bool = True
    detail: str = ""

    @property
    def is_deleted(self) -> bool:
        return self.action is Action.DELETE

    @property
    def reason(self) -> str:
        """One or two sentences for people."""
        return self._why() + self._until()

    def _why(self) -> str:
        match self.cause, self.action:
            case Cause.PROTECTED, _:
                return f"Kept: {self.detail}."
            case Cause.SUBJECT, Action.KEEP:
                return f"Stays with its subject {self.detail}."
            case Cause.SUBJECT, _:
                return f"Goes with its subject {self.detail}{self._by()}."
            case Cause.NO_RULE, _:
                whatever = self.detail or "no delete rule matches"
                return f"Kept: {whatever}{' yet' if self.changes_at and not self.detail else ''}."
            case _, Action.KEEP:
                return f"Kept by {self.rule}{self._conditions()}."
        more = f"; {self.detail}" if self.detail else ""
        return f"Deleted by {self.rule}{self._conditions()}; no keep rule holds{more}."

    def _by(self) -> str:
        return f", which is deleted by {self.rule}" if self.rule else ""

    def _conditions(self) -> str:
        return f": {described}" if self.rule and (described := describe(self.rule.rule)) else ""

    def _until(self) -> str:
        if not self.changes_at:
            return ""
        by = f", by {self.then}" if self.then else ""
        return f" Goes on {self.changes_at:%Y-%m-%d} unless something changes{by}."


def describe(rule: Rule) -> str:
    """The conditions of a rule in words."""
    document = rule.model_dump(mode="json", exclude_defaults=True)
    words = []
    if "tags" in document:
        words.append("matches " + " or ".join(glob.text for glob in rule.tags))
    if rule.tags_regex:
        words.append(f"matches the expression {rule.tags_regex.text}")
    if rule.newest:
        words.append("the newest of them" if rule.newest == 1 else f"one of the {rule.newest} newest")
    if rule.newest_semver:
        condition = rule.newest_semver
        count = f"the {condition.count} newest versions" if condition.count > 1 else "the newest version"
        words.append(f"among {count} of its {condition.per} line")
    if rule.pushed_within:
        words.append(f"pushed within {rule.pushed_within}")
    if rule.pulled_within:
        words.append(f"pushed or pulled within {rule.pulled_within}")
    if rule.pushed_before:
        words.append(f"pushed more than {rule.pushed_before} ago")
    if rule.pulled_before:
        words.append(f"neither pushed nor pulled for {rule.pulled_before}")
    if rule.untagged:
        words.append(f"untagged for {rule.untagged}")
    return ", ".join(words)
