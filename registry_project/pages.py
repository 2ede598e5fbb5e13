"""Keyset pages: a list in any order costs the same on its last page as on its first, and skips nothing meanwhile.

The cursor holds the sort values of the last row, so it needs no state. Whoever makes one up sees no more than the
queryset's own rows, from another place on.
"""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import F, Model, Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.encoding import escape_uri_path

from registry_project.parameters import Order
from registry_project.problems import BadRequest


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is a relative address that keeps the request's other parameters, or None after the last row."""

    rows: list[Any]
    next: str | None


def read_page(
    request: HttpRequest,
    queryset: QuerySet[Any, Any],
    *,
    order: Order,
    limit: int,
    cursor: str | None,
    key: str = "pk",
    keep: Callable[[Any], bool] | None = None,
) -> Page:
    """This will read the rows that follow the cursor; with `keep`, those of which it is true.

    No cursor is made of a row that was not kept.

    `order.column` is a field or an annotation of the queryset; ties go by `key`, which must be unique and not null, in
    the same direction. Nulls come last in both directions. Raises BadRequest for a cursor that is not of this list.
    """
    keyset = _Keyset(queryset, order, key)
    rows = keyset.read(cursor, limit + 1, keep)
    if len(rows) <= limit:
        return Page(rows, None)
    del rows[limit:]
    query = QueryDict(request.META.get("QUERY_STRING", ""), mutable=True)
    query["cursor"] = keyset.cursor_of(rows[-1])
    return Page(rows, f"{escape_uri_path(request.path)}?{query.urlencode()}")


class _Keyset:
    def __init__(self, queryset: QuerySet[Any, Any], order: Order, key: str) -> None:
        self._key = _name(queryset.model, key)
        self._column = _name(queryset.model, order.column)
        self._names = [self._column] if self._column == self._key else [self._column, self._key]
        self._queryset = queryset
        self._descending = order.descending
        self._nullable = self._column != self._key and _is_nullable(queryset, self._column)
        # The cursor of one order would point to a random place in another.
        self._sign = f"{'-' if order.descending else ''}{order.column}"

    def read(self, cursor: str | None, number: int, keep: Callable[[Any], bool] | None) -> list[Any]:
        rows = batch = list(self.after(cursor)[:number])
        if keep is None:
            return rows
        rows = [row for row in batch if keep(row)]
        while len(rows) < number and len(batch) == number:
            batch = list(self.after(self.cursor_of(batch[-1]))[:number])
            rows += [row for row in batch if keep(row)]
        return rows

    def after(self, cursor: str | None) -> QuerySet[Any, Any]:
        direction = "desc" if self._descending else "asc"
        # NULLS LAST only where there can be nulls: an index in the plain order would not serve it.
        ordering = [getattr(F(name), direction)() for name in self._names]
        if self._nullable:
            ordering[0] = getattr(F(self._column), direction)(nulls_last=True)
        rows = self._queryset.order_by(*ordering)
        return rows if cursor is None else rows.filter(self._behind(*self._read(cursor)))

    def _behind(self, *values: Any) -> Q:
        beyond = "lt" if self._descending else "gt"
        if len(values) == 1:
            return Q(**{f"{self._column}__{beyond}": values[0]})
        value, key = values
        later_key = Q(**{f"{self._key}__{beyond}": key})
        if value is None:
            return Q(**{f"{self._column}__isnull": True}) & later_key
        # `column >= value` alone would do for the planner to begin in the index; the rest drops the ties before.
        behind = Q(**{f"{self._column}__{beyond}e": value}) & (Q(**{f"{self._column}__{beyond}": value}) | later_key)
        return behind | Q(**{f"{self._column}__isnull": True}) if self._nullable else behind

    def cursor_of(self, row: Any) -> str:
        values = [row[name] if isinstance(row, dict) else attrgetter(name)(row) for name in self._names]
        return _encode(self._sign, values)

    def _read(self, cursor: str) -> list[Any]:
        try:
            sign, *given = json.loads(base64.b64decode(_padded(cursor), altchars=b"-_", validate=True))
            if sign != self._sign or len(given) != len(self._names):
                raise ValueError("of another order")
            values = [self._parse(name, value) for name, value in zip(self._names, given, strict=True)]
            # Whatever differs when written again was not written here.
            if _encode(sign, values) != cursor:
                raise ValueError("not canonical")
        except (ValueError, TypeError, RecursionError, ValidationError, binascii.Error) as error:
            message = "expected the cursor of a `next` of this list in this order"
            raise BadRequest("The cursor does not belong to this list.", fields={"cursor": [message]}) from error
        return values

    def _parse(self, name: str, value: Any) -> Any:
        if value is None:
            if name != self._column or not self._nullable:
                raise ValueError("cannot be null")
            return None
        if not isinstance(value, str | int) or (isinstance(value, str) and "\0" in value):
            raise ValueError("not a value of a column")
        field = F(name).resolve_expression(self._queryset.query.chain()).output_field
        parsed = field.to_python(value)
        if isinstance(parsed, datetime) and parsed.tzinfo is None:
            raise ValueError("a moment without its zone")
        return parsed


def _name(model: type[Model], name: str) -> str:
    return str(model._meta.pk.attname) if name == "pk" else name


def _is_nullable(queryset: QuerySet[Any, Any], column: str) -> bool:
    if column in queryset.query.annotations:
        return True
    try:
        return bool(queryset.model._meta.get_field(column).null)
    except FieldDoesNotExist:
        return True


def _encode(sign: str, values: list[Any]) -> str:
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    plain = [value if value is None or isinstance(value, str | int) else str(value) for value in plain]
    text = json.dumps([sign, *plain], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _padded(cursor: str) -> bytes:
    return cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
