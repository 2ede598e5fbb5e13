"""What is wrong with a configuration, in words that lead to the line to change."""

from collections.abc import Iterable
from dataclasses import dataclass

# The path of a key, and what is wrong there.
Path = tuple[str | int, ...]
Finding = tuple[Path, str]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that stops the start; `value` is already redacted where the key holds a secret."""

    key: str
    value: str | None
    expected: str
    place: str

    def __str__(self) -> str:
        given = "" if self.value is None else f" is {self.value}"
        return f"{self.place}: {self.key}{given}: {self.expected}"


class ConfigurationError(Exception):
    """The configuration cannot be used. Its text lists every mistake, one a line."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        count = len(self.mistakes)
        title = "The configuration has a mistake:" if count == 1 else f"The configuration has {count} mistakes:"
        super().__init__("\n".join([title, *(f"  - {mistake}" for mistake in self.mistakes)]))
