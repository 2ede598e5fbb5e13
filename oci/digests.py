"""Content digests (image-spec, descriptor.md, "Digests")."""

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from oci.errors import DigestInvalid

_GRAMMAR = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+\Z")
_HEX = re.compile(r"[0-9a-f]+\Z")
_HEX_LENGTHS = {"sha256": 64, "sha512": 128}

CANONICAL = "sha256"


class Hasher(Protocol):
    """What hashlib's objects have in common."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Digest:
    """`algorithm:encoded`, of an algorithm that this registry can compute."""

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Raise DigestInvalid unless `text` is a sha256 or sha512 digest in lower-case hex."""
        if not _GRAMMAR.match(text):
            raise DigestInvalid({"digest": text, "reason": "expected algorithm:hex"})
        algorithm, encoded = text.split(":", 1)
        check_algorithm(algorithm)
        length = _HEX_LENGTHS[algorithm]
        if len(encoded) != length or not _HEX.match(encoded):
            raise DigestInvalid({"digest": text, "reason": f"{algorithm} takes {length} lower-case hexadecimal digits"})
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, data: bytes, algorithm: str = CANONICAL) -> "Digest":
        hasher = new_hasher(algorithm)
        hasher.update(data)
        return cls(algorithm, hasher.hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


def check_algorithm(algorithm: str) -> None:
    """Raise DigestInvalid for an algorithm that this registry cannot compute."""
    if algorithm not in _HEX_LENGTHS:
        raise DigestInvalid({"algorithm": algorithm, "supported": sorted(_HEX_LENGTHS)})


def new_hasher(algorithm: str = CANONICAL) -> Hasher:
    return hashlib.new(algorithm, usedforsecurity=False)
