"""When a run stops and asks, because it would delete more than anybody may have meant."""

from collections.abc import Iterable
from dataclasses import dataclass

from registry_gc.retention.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Brake:
    """A repository of which too much would go; `tags` counts those that stay as well."""

    repository: str
    tags: int
    deleted: int
    brake_percent: int

    def __str__(self) -> str:
        if self.deleted == self.tags:
            last = "its last tag" if self.tags == 1 else f"all of its {self.tags} tags"
            return f"{self.repository} would lose {last}"
        return f"{self.repository} would lose {self.deleted} of its {self.tags} tags, more than {self.brake_percent} %"


def brakes(verdicts: Iterable[Verdict], *, brake_percent: int) -> list[Brake]:
    """The repositories for which to ask: more than the share of their tags would go, or the last one.

    The verdicts of one repository must come together; only counts are held. What follows a subject is no tag here.
    """
    counts: dict[str, list[int]] = {}
    for verdict in verdicts:
        if verdict.counts:
            count = counts.setdefault(verdict.repository, [0, 0])
            count[0] += 1
            count[1] += verdict.is_deleted
    return [
        Brake(repository, tags, deleted, brake_percent)
        for repository, (tags, deleted) in counts.items()
        if deleted == tags or deleted * 100 > tags * brake_percent
    ]
