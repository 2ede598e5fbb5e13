"""The types of single values in a policy, from JSON or YAML; each says what it expected."""

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Annotated, Any

import re2  # type: ignore[import-untyped]
from celery.schedules import ParseException, crontab
from pydantic import BeforeValidator, PlainSerializer

from oci.patterns import Glob
from registry_project.config.values import Scalar, parse_duration

MOST_PATTERNS = 20
REGEX_MAX_LENGTH = 255
_REGEX_MEMORY = 1 << 20  # bytes for one compiled expression; RE2 refuses what needs more
TEXT_MAX_LENGTH = 200
_LONGEST = timedelta(days=36500)
# An index's children are pushed, untagged, before the index.
_SHORTEST_UNTAGGED = timedelta(hours=1)
_SHOWN = 60
_STEPS = r"(?:\*|[0-9a-z]{1,3}(?:-[0-9a-z]{1,3})?)(?:/[0-9]{1,2})?"
_SCHEDULE = re.compile(rf"{_STEPS}(?:,{_STEPS})*(?: {_STEPS}(?:,{_STEPS})*){{4}}")


class Unexpected(ValueError):
    """What was expected and what was there instead."""

    def __init__(self, expected: str, raw: object) -> None:
        super().__init__(f"expected {expected}, not {shown(raw)}")


def shown(raw: object) -> str:
    text = repr(_plain(raw))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _plain(raw: object) -> object:
    return raw.value if isinstance(raw, Scalar) else raw


def _text(raw: object, expected: str) -> str:
    # YAML reads 1.10 as a number; what was written counts.
    text = raw.text if isinstance(raw, Scalar) and not isinstance(raw.value, bool | None) else raw
    if not isinstance(text, str):
        raise Unexpected(expected, raw)
    return text


@dataclass(frozen=True)
class Age:
    """A duration as it was written, so that a policy comes back as it went in."""

    text: str

    @cached_property
    def delta(self) -> timedelta:
        return parse_duration(self.text)

    def __str__(self) -> str:
        return self.text


def _age(raw: object, *, at_least: timedelta = timedelta(microseconds=1), hint: str = "") -> Age:
    if isinstance(raw, Age):
        return raw
    expected = f"a duration such as 30d or 12h{hint}"
    age = Age(_text(raw, expected))
    try:
        valid = at_least <= age.delta <= _LONGEST
    except ValueError:
        valid = False
    if not valid or len(age.text) > 40:
        raise Unexpected(expected, raw)
    return age


def _untagged_age(raw: object) -> Age:
    return _age(raw, at_least=_SHORTEST_UNTAGGED, hint=", an hour or more")


def _flag(raw: object) -> bool:
    value = _plain(raw)
    if not isinstance(value, bool):
        raise Unexpected("true or false", raw)
    return value


def _whole(raw: object, *, least: int, most: int) -> int:
    value = _plain(raw)
    # YAML 1.1 reads 1:30 as the number 90.
    written = not isinstance(raw, Scalar) or raw.text.isdecimal()
    if isinstance(value, bool) or not isinstance(value, int) or not (written and least <= value <= most):
        raise Unexpected(f"a whole number from {least} to {most}", raw)
    return value


def _words(raw: object) -> str:
    text = _text(raw, "text")
    if len(text) > TEXT_MAX_LENGTH or not text.isprintable():
        raise Unexpected(f"one line of at most {TEXT_MAX_LENGTH} characters", raw)
    return text


def _globs(raw: object) -> tuple[Glob, ...]:
    items = list(raw) if isinstance(raw, list | tuple) else [raw]
    if not 1 <= len(items) <= MOST_PATTERNS:
        raise ValueError(f"expected a pattern or a list of 1 to {MOST_PATTERNS} patterns, not {len(items)}")
    return tuple(item if isinstance(item, Glob) else _glob(item) for item in items)


def _glob(raw: object) -> Glob:
    text = _text(raw, "a pattern such as build-*")
    try:
        return Glob.parse(text)
    except ValueError as error:
        raise ValueError(f"{error}, not {shown(raw)}") from error


def _globs_document(globs: tuple[Glob, ...]) -> str | list[str]:
    return globs[0].text if len(globs) == 1 else [glob.text for glob in globs]


@dataclass(frozen=True)
class Regex:
    """An expression of RE2, which must match a whole tag; it takes time linear in the tag, whatever it says."""

    text: str

    def matches(self, tag: str) -> bool:
        return self._compiled.fullmatch(tag) is not None

    @cached_property
    def _compiled(self) -> Any:
        return _compile(self.text)


@lru_cache(maxsize=1024)
def _compile(text: str) -> Any:
    options = re2.Options()
    options.max_mem = _REGEX_MEMORY
    options.log_errors = False
    return re2.compile(text, options)


def _regex(raw: object) -> Regex:
    if isinstance(raw, Regex):
        return raw
    text = _text(raw, "a regular expression (RE2)")
    if not 1 <= len(text) <= REGEX_MAX_LENGTH:
        raise Unexpected(f"a regular expression (RE2) of at most {REGEX_MAX_LENGTH} characters", raw)
    try:
        _compile(text)
    except re2.error as error:
        reason = error.args[0] if error.args else "unreadable"
        told = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"expected a regular expression (RE2), not {shown(raw)}: {told}") from error
    return Regex(text)


def _schedule(raw: object) -> str:
    expected = "five fields of cron in UTC (minute, hour, day of month, month, day of week) such as 0 3 * * *"
    text = _text(raw, expected)
    if len(text) > 100 or not _SCHEDULE.fullmatch(text):
        raise Unexpected(expected, raw)
    try:
        crontab.from_string(text)
    except (ValueError, ParseException) as error:
        raise ValueError(f"expected {expected}, not {shown(raw)}: {error}") from error
    return text


def _percent(raw: object) -> int:
    return _whole(raw, least=0, most=100)


def _count(raw: object) -> int:
    return _whole(raw, least=1, most=1_000_000)


Flag = Annotated[bool, BeforeValidator(_flag)]
Count = Annotated[int, BeforeValidator(_count)]
Percent = Annotated[int, BeforeValidator(_percent)]
Words = Annotated[str, BeforeValidator(_words)]
Schedule = Annotated[str, BeforeValidator(_schedule)]
AgeValue = Annotated[Age, BeforeValidator(_age), PlainSerializer(str)]
UntaggedAge = Annotated[Age, BeforeValidator(_untagged_age), PlainSerializer(str)]
Globs = Annotated[tuple[Glob, ...], BeforeValidator(_globs), PlainSerializer(_globs_document)]
RegexValue = Annotated[Regex, BeforeValidator(_regex), PlainSerializer(lambda regex: regex.text)]
