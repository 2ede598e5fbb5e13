"""Repository names and tags (distribution-spec, "Pulling manifests")."""

import re
from dataclasses import dataclass

from oci.digests import Digest
from oci.errors import NameInvalid, TagInvalid

NAME_MAX_LENGTH = 255
TAG_MAX_LENGTH = 128

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_ONE_COMPONENT = re.compile(rf"{_COMPONENT}\Z")
_TAG = re.compile(rf"[a-zA-Z0-9_][a-zA-Z0-9._-]{{0,{TAG_MAX_LENGTH - 1}}}\Z")

LIBRARY_TEAM = "library"


@dataclass(frozen=True, slots=True)
class RepositoryName:
    text: str

    @classmethod
    def parse(cls, text: str) -> "RepositoryName":
        """Raise NameInvalid unless `text` follows the specification's grammar and length."""
        # The length comes first: it bounds what the expression may have to try.
        if len(text) > NAME_MAX_LENGTH or not _NAME.match(text):
            raise NameInvalid({"name": text[: NAME_MAX_LENGTH + 1]})
        return cls(text)

    @property
    def team_slug(self) -> str:
        """The first component; names of one component belong to the built-in team."""
        first, slash, _ = self.text.partition("/")
        return first if slash else LIBRARY_TEAM

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class TagName:
    text: str

    @classmethod
    def parse(cls, text: str) -> "TagName":
        if not _TAG.match(text):
            raise TagInvalid({"tag": text[: TAG_MAX_LENGTH + 1]})
        return cls(text)

    def __str__(self) -> str:
        return self.text


def is_component(text: str) -> bool:
    """Whether a repository's name may have this between its slashes."""
    return len(text) <= NAME_MAX_LENGTH and _ONE_COMPONENT.match(text) is not None


Reference = Digest | TagName


def parse_reference(text: str) -> Reference:
    """Read `<reference>` of a manifest path: what has a colon is a digest and never a tag."""
    return Digest.parse(text) if ":" in text else TagName.parse(text)
