"""A policy as people write it. docs/retention.md says what each key means."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from oci.patterns import Glob
from registry_gc.retention.values import (
    AgeValue,
    Count,
    Flag,
    Globs,
    Percent,
    RegexValue,
    Schedule,
    Unexpected,
    UntaggedAge,
    Words,
)

MOST_RULES = 100
DEFAULT_SCHEDULE = "0 3 * * *"
DEFAULT_BRAKE_PERCENT = 50


class Action(StrEnum):
    KEEP = "keep"
    DELETE = "delete"


class Line(StrEnum):
    """The versions that count together: 1.4.0 and 1.4.9 are of one minor line, 1.4.0 and 1.9.0 of one major line."""

    MINOR = "minor"
    MAJOR = "major"


def _one_of(kind: type[StrEnum]) -> BeforeValidator:
    def parse(raw: object) -> StrEnum:
        text = getattr(raw, "text", raw)
        if not isinstance(text, str) or text not in list(kind):
            raise Unexpected(" or ".join(kind), raw)
        return kind(text)

    return BeforeValidator(parse)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class NewestSemver(_Part):
    count: Count
    per: Annotated[Line, _one_of(Line)] = Line.MINOR
    prereleases: Flag = False


class Rule(_Part):
    """All conditions of a rule hold together. Every default is "whatever it is"."""

    action: Annotated[Action, _one_of(Action)]
    name: Words = ""
    comment: Words = ""
    locked: Flag = False
    repositories: Globs = (Glob("**"),)
    tags: Globs = (Glob("*"),)
    tags_regex: RegexValue | None = None
    newest: Count | None = None
    newest_semver: NewestSemver | None = None
    pushed_within: AgeValue | None = None
    pulled_within: AgeValue | None = None
    pushed_before: AgeValue | None = None
    pulled_before: AgeValue | None = None
    untagged: UntaggedAge | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> "Rule":
        mistakes = {field: text for field, text in self._mistakes() if text}
        if mistakes:
            # Several at once, which one ValueError could not carry.
            raise PydanticCustomError("rule", "{mistakes}", {"mistakes": mistakes})
        return self

    def _mistakes(self) -> list[tuple[str, str]]:
        found = self._keep_only() if self.action is Action.DELETE else self._delete_only()
        if self.untagged:
            found += [
                (field, "expected no such condition beside untagged, which is about manifests without a tag")
                for field in ("tags", "tags_regex", "newest", "newest_semver")
                if getattr(self, field) != Rule.model_fields[field].default
            ]
        elif self.newest and self.newest_semver:
            found.append(("newest_semver", "expected newest or newest_semver; two rules keep what either does"))
        return found + self._never()

    def _keep_only(self) -> list[tuple[str, str]]:
        found = [
            (field, "expected only with keep: here it would delete the newest. Keep them by a rule of their own")
            for field in ("newest", "newest_semver")
            if getattr(self, field)
        ]
        if self.locked:
            found.append(("locked", "expected only with keep: a floor protects, it does not delete"))
        for field, instead in (("pushed_within", "pushed_before"), ("pulled_within", "pulled_before")):
            if getattr(self, field):
                found.append(
                    (field, f"expected only with keep: here it would delete the young. Did you mean {instead}?")
                )
        return found

    def _delete_only(self) -> list[tuple[str, str]]:
        if not self.untagged:
            return []
        return [
            (
                "untagged",
                "expected only with delete: manifests without a tag stay until a rule or gc.untagged takes them",
            )
        ]

    def _never(self) -> list[tuple[str, str]]:
        """Pairs that no tag can satisfy; a pull counts from the push at least."""
        pairs = (
            ("pushed_within", "pushed_before"),
            ("pulled_within", "pulled_before"),
            ("pushed_within", "pulled_before"),
        )
        return [
            (before, f"expected less than {within} ({young}): nothing is both")
            for within, before in pairs
            if (young := getattr(self, within)) and (old := getattr(self, before)) and young.delta <= old.delta
        ]


class Policy(_Part):
    enabled: Flag = True
    schedule: Schedule = DEFAULT_SCHEDULE
    brake_percent: Percent = DEFAULT_BRAKE_PERCENT
    rules: Annotated[tuple[Rule, ...], Field(max_length=MOST_RULES)] = ()

    def document(self) -> dict[str, Any]:
        """The policy as JSON; of its rules, what is as by default is left out."""
        head = self.model_dump(mode="json", exclude={"rules"})
        rules = [rule.model_dump(mode="json", exclude_defaults=True) for rule in self.rules]
        return {**head, "rules": rules}
