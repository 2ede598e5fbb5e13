"""What every section of the configuration shares, and the notes that a key can carry."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A mapping with known keys. The text under each attribute is its line in docs/configuration.md.

    Pydantic could read those texts itself, but it would read the source files at each start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class DriverMap(Section):
    """A section of which each unknown key is the name of a driver, in Distribution's reading."""


@dataclass(frozen=True, slots=True)
class GoName:
    """The name of the field in Distribution's source, by which its environment variables are matched."""

    name: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Accepted with one warning that gives this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Cannot be honoured, and starting without it would be unsafe: a mistake with this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Secret:
    """Never shown in a message."""


@dataclass(frozen=True, slots=True)
class KeepCase:
    """Keys of this mapping keep the case of the environment variable; others become lower-case."""
