"""What was seen when everybody had stopped, as plain values."""

import math
from dataclasses import dataclass, field

Name = tuple[str, str]


@dataclass
class Fault:
    """A part that was broken, since when it was whole again, and when a push and a pull had come through.

    `collected` is when what had been pushed then, and nobody used, was gone.
    """

    kind: str
    begun: float
    healed: float = math.inf
    recovered: float | None = None
    collected: float | None = None


@dataclass(frozen=True)
class Pulled:
    """A manifest or blob below a tag, asked for by its digest; `found` is the digest of what came."""

    repository: str
    tag: str
    digest: str
    status: int
    found: str
    child: bool = False


@dataclass(frozen=True)
class StoredBlob:
    """A row about bytes."""

    key: str
    digest: str
    size: int


@dataclass
class Sighting:
    """The reads between `begun` and `ended`, the rows, and every object of the storage with its size and digest."""

    begun: float = math.inf
    ended: float = math.inf
    tags: dict[Name, str] = field(default_factory=dict)
    pulls: list[Pulled] = field(default_factory=list)
    referrers: dict[Name, list[str]] = field(default_factory=dict)
    objects: dict[str, tuple[int, str]] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    blobs: list[StoredBlob] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    outbox: list[str] = field(default_factory=list)
    unreachable_manifests: list[str] = field(default_factory=list)
    unreferenced_blobs: list[str] = field(default_factory=list)
    usage: dict[str, tuple[int, int]] = field(default_factory=dict)
    collected_bytes: int = 0
