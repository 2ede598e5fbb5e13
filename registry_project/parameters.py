"""Query parameters of the management API: each view lists those it knows, and any other is refused."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from django.http import HttpRequest
from django.utils.dateparse import parse_datetime

from registry_project.problems import BadRequest

LONGEST_TEXT = 255


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One query parameter; `schema` is its JSON Schema, `parse` raises ValueError, saying what is expected."""

    name: str
    description: str = ""
    default: Any = None

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": LONGEST_TEXT}

    def parse(self, text: str) -> Any:
        if len(text) > LONGEST_TEXT:
            raise ValueError(f"expected at most {LONGEST_TEXT} characters")
        return text


class Text(Parameter):
    """A string of printable characters; an empty one counts as not given."""

    def parse(self, text: str) -> Any:
        return super().parse(text) or self.default


@dataclass(frozen=True, kw_only=True)
class Choice(Parameter):
    choices: Sequence[str]

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.choices)}

    def parse(self, text: str) -> str:
        if text not in self.choices:
            raise ValueError(f"expected one of {', '.join(self.choices)}")
        return text


class Moment(Parameter):
    """An aware datetime (RFC 3339)."""

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}

    def parse(self, text: str) -> datetime:
        # An unescaped + of the zone arrives as a space.
        moment = parse_datetime(text.replace(" ", "+")) if text[10:11] in {"T", "t"} else None
        if moment is None or moment.tzinfo is None:
            raise ValueError("expected a moment with its zone, such as 2025-01-31T08:00:00Z")
        return moment


class Flag(Parameter):
    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    def parse(self, text: str) -> bool:
        if text not in {"true", "false"}:
            raise ValueError("expected true or false")
        return text == "true"


@dataclass(frozen=True, kw_only=True)
class Number(Parameter):
    least: int
    most: int

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most, "default": self.default}

    def parse(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and self.least <= int(text) <= self.most):
            raise ValueError(f"expected a whole number from {self.least} to {self.most}")
        return int(text)


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a list: a column or annotation of its queryset, ties by the key."""

    column: str
    descending: bool = False


@dataclass(frozen=True, kw_only=True)
class Sort(Parameter):
    """`sort=name` or `sort=-name`; `columns` are the names allowed, each with its column. Gives an Order."""

    name: str = "sort"
    columns: Mapping[str, str]
    default: Any = field(default="")

    @property
    def schema(self) -> dict[str, Any]:
        names = [sign + name for name in self.columns for sign in ("", "-")]
        return {"type": "string", "enum": names, "default": self.default or next(iter(self.columns))}

    def parse(self, text: str) -> Order:
        name = text.removeprefix("-")
        if name not in self.columns:
            raise ValueError(f"expected one of {', '.join(self.columns)}, with - before it for the other direction")
        return Order(self.columns[name], descending=text.startswith("-"))

    def order(self) -> Order:
        """The order when none was asked for."""
        return self.parse(self.default or next(iter(self.columns)))


class Cursor(Parameter):
    """The place where a page begins, as `next` of the page before has it."""

    longest: ClassVar[int] = 4096

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.longest}

    def parse(self, text: str) -> str:
        if not text or len(text) > self.longest:
            raise ValueError("expected the cursor of a `next`")
        return text


PAGE = (
    Number(name="limit", description="Most results of one page.", least=1, most=200, default=50),
    Cursor(name="cursor", description="Where the page begins: follow `next` instead of making one."),
)


def read_parameters(request: HttpRequest, known: Iterable[Parameter]) -> dict[str, Any]:
    """This will give a value, or its default, for each known parameter.

    Raises BadRequest that names whatever is unknown, stands there twice, or cannot be read.
    """
    parameters = {parameter.name: parameter for parameter in known}
    values = {
        name: parameter.order() if isinstance(parameter, Sort) else parameter.default
        for name, parameter in parameters.items()
    }
    wrong: dict[str, list[str]] = {}
    for name, given in request.GET.lists():
        try:
            values[name] = _read(parameters.get(name), given)
        except ValueError as error:
            wrong[name[:100]] = [str(error)]
    if wrong:
        raise BadRequest(f"These query parameters are not valid: {', '.join(sorted(wrong))}.", fields=wrong)
    return values


def _read(parameter: Parameter | None, given: Sequence[str]) -> Any:
    if parameter is None:
        raise ValueError("there is no such parameter here")
    if len(given) > 1:
        raise ValueError("given more than once")
    if not given[0].isprintable():
        raise ValueError("expected printable characters")
    return parameter.parse(given[0])
