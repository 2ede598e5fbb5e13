"""Patterns of repository names and tags."""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

PATTERN_MAX_LENGTH = 255
_PATTERN = re.compile(r"[A-Za-z0-9._/*?-]+\Z")
_WILD = re.compile(r"\*\*/|\*\*|\*|\?")
# `**/` also stands for no component at all, as in .gitignore.
_MEANINGS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True)
class Glob:
    """A pattern in which `*` stands for any characters but `/`, `**` for any at all, and `?` for one but `/`.

    It matches in time linear in the name, whatever somebody wrote (RE2).
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> "Glob":
        """Raise ValueError, whose text says what is expected."""
        if len(text) > PATTERN_MAX_LENGTH or not _PATTERN.match(text):
            raise ValueError(
                f"expected a pattern of at most {PATTERN_MAX_LENGTH} letters, digits and . _ - /, with *, ** and ?"
            )
        return cls(text)

    def matches(self, name: str) -> bool:
        return self._compiled.fullmatch(name) is not None

    @cached_property
    def _compiled(self) -> Any:
        return _compile(self.text)

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=4096)
def _compile(text: str) -> Any:
    pieces, end = [], 0
    for wild in _WILD.finditer(text):
        pieces += [re2.escape(text[end : wild.start()]), _MEANINGS[wild.group()]]
        end = wild.end()
    return re2.compile("".join([*pieces, re2.escape(text[end:])]))
