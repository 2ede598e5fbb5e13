"""Model fields that both databases order by bytes."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    _CharField = models.CharField[Any, str]
else:
    _CharField = models.CharField


class ByteOrderedField(_CharField):
    """Text that compares and sorts by its bytes, as the specification orders tags.

    PostgreSQL needs collation "C" for that; SQLite's default, BINARY, does it already.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, str | None]:
        parameters: dict[str, Any] = super().db_parameters(connection)
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters


class DigestField(ByteOrderedField):
    """A content digest as `algorithm:hex`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 136)
        super().__init__(*args, **kwargs)
