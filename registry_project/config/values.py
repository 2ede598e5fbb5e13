"""The types of single values: how the text of a YAML scalar becomes a string, number, duration or path."""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator


@dataclass(frozen=True, slots=True)
class Scalar:
    """A YAML scalar: its source text, and what YAML makes of it (str, int, float, bool or None).

    Text keys take the source text, as Distribution's parser does: `password: 0123` keeps its zero.
    """

    text: str
    value: str | int | float | bool | None

    def __str__(self) -> str:
        return self.text


_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d)")
_DURATION = re.compile(rf"\+?(?:{_DURATION_PART.pattern})+")
_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
}
DURATION_EXPECTED = "expected a duration with its unit, such as 500ms, 30s, 1h30m or 7d"


def parse_duration(text: str) -> timedelta:
    """This will read a Go duration (`1h30m`, `500ms`), with `d` for 24 hours besides; `0` needs no unit.

    Raises ValueError, whose text says what is expected. Below a microsecond the rest is dropped.
    """
    if text == "0":
        return timedelta()
    if not _DURATION.fullmatch(text):
        raise ValueError(DURATION_EXPECTED)
    try:
        return sum(
            (timedelta(seconds=float(number) * _SECONDS[unit]) for number, unit in _DURATION_PART.findall(text)),
            timedelta(),
        )
    except OverflowError as error:
        raise ValueError(DURATION_EXPECTED) from error


_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_size(raw: object) -> int | None:
    """This will read a size in bytes such as `1048576`, `500MB` or `2 TiB`; units are powers of 1024."""
    if raw is None or isinstance(raw, int):
        return raw
    match = re.fullmatch(r"([0-9]{1,15})\s*([KMGT]?)(?:I?B)?", str(raw).upper(), re.ASCII)
    if not match:
        raise ValueError("expected a size such as 500MB or 2TB")
    return int(match[1]) * _UNITS[match[2]]


def parse_text(raw: object) -> str:
    if isinstance(raw, Scalar):
        return raw.text
    if isinstance(raw, str):
        return raw
    raise ValueError("expected text")


def _flag(raw: object) -> object:
    value = raw.value if isinstance(raw, Scalar) else raw
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, bool):
        return value
    raise ValueError("expected true or false")


def _number(raw: object) -> object:
    value = raw.value if isinstance(raw, Scalar) else raw
    # YAML 1.1 reads 1:30 as the number 90; Distribution's parser does not.
    if isinstance(value, int) and not isinstance(value, bool) and ":" not in str(raw):
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+", value, re.ASCII):
        return int(value)
    raise ValueError("expected a whole number")


def _count(raw: object) -> object:
    number = _number(raw)
    if isinstance(number, int) and 0 <= number < 2**31:
        return number
    raise ValueError("expected a whole number, 0 or more")


def _positive(raw: object) -> object:
    number = _number(raw)
    if isinstance(number, int) and 0 < number < 2**31:
        return number
    raise ValueError("expected a whole number, 1 or more")


def _page_size(raw: object) -> object:
    # Distribution reads zero and less as "the default".
    number = _number(raw)
    return number if isinstance(number, int) and number > 0 else 1000


def _duration(raw: object) -> object:
    return raw if isinstance(raw, timedelta) else parse_duration(str(raw))


def _duration_or_never(raw: object) -> object:
    if raw is None or str(raw) == "never":
        return None
    try:
        return _duration(raw)
    except ValueError as error:
        raise ValueError(f"{DURATION_EXPECTED}, or never") from error


def _path(raw: object) -> object:
    text = parse_text(raw)
    if not text or "\0" in text:
        raise ValueError("expected a path")
    return Path(text).absolute()


def _web_address(raw: object) -> object:
    text = str(raw)
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError("expected an address such as https://registry.example.org")
    return text


def _resolve(raw: object) -> object:
    if isinstance(raw, Scalar):
        return raw.value
    if isinstance(raw, dict):
        return {key: _resolve(value) for key, value in raw.items()}
    if isinstance(raw, list):
        return [_resolve(value) for value in raw]
    return raw


def _one_or_many(raw: object) -> object:
    return [raw] if isinstance(raw, Scalar | str) else raw


Text = Annotated[str, BeforeValidator(parse_text)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Number = Annotated[int, BeforeValidator(_number)]
Count = Annotated[int, BeforeValidator(_count)]
Positive = Annotated[int, BeforeValidator(_positive)]
PageSize = Annotated[int, BeforeValidator(_page_size)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
DurationOrNever = Annotated[timedelta | None, BeforeValidator(_duration_or_never)]
AbsolutePath = Annotated[Path, BeforeValidator(_path)]
WebAddress = Annotated[str, BeforeValidator(_web_address)]
HeaderValues = Annotated[list[Text], BeforeValidator(_one_or_many)]
Headers = dict[str, HeaderValues]
Plain = Annotated[object, BeforeValidator(_resolve)]
Untyped = dict[str, Plain]
