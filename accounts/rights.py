"""Who may do what. With `auth: none` everybody may do everything that the configuration does not switch off."""

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """The actions of the token protocol's scopes."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks; the name is empty for anonymous."""

    name: str = ""


ANONYMOUS = Principal()
