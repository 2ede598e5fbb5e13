"""Each tag as a register: which values a read may find, when writes overlap and some have no answer."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.soak.journal import Operation

Name = tuple[str, str]


@dataclass(frozen=True)
class Write:
    """`value` is a digest, or empty where the tag goes; with `only` just where it points there, as by digest."""

    value: str
    begun: float
    ended: float
    certain: bool
    only: str = ""

    def takes_away(self, value: str) -> bool:
        """Whether the tag cannot have `value` any more behind it."""
        return self.only == value if self.only else self.value != value


class Registers:
    def __init__(self, operations: Iterable[Operation]) -> None:
        self._writes: defaultdict[Name, list[Write]] = defaultdict(list)
        possible = [operation for operation in operations if operation.may_have_happened]
        for operation in possible:
            for tag, value in _values(operation).items():
                self._writes[operation.repository, tag].append(_write(operation, value))
        for operation in possible:
            for (repository, _), writes in self._writes.items():
                if repository != operation.repository:
                    continue
                if operation.kind == "delete-repository":
                    writes.append(_write(operation, ""))
                elif operation.kind == "delete-manifest" and any(write.value == operation.digest for write in writes):
                    writes.append(_write(operation, "", only=operation.digest))

    @property
    def names(self) -> list[Name]:
        return sorted(self._writes)

    def possible(self, name: Name, *, begun: float, ended: float) -> set[str]:
        """The values that a read between two moments may find; empty for no tag."""
        writes = self._writes.get(name, [])
        start = Write("", -math.inf, -math.inf, True)
        found = set()
        for write in [start, *writes]:
            if write.begun <= ended and not any(
                later.certain and later.takes_away(write.value) and write.ended < later.begun and later.ended < begun
                for later in writes
            ):
                found.add(write.value)
        return found

    def undisturbed(self, name: Name, value: str, *, begun: float, ended: float) -> bool:
        """Whether nothing that could take `value` away from the tag overlaps the time between two moments."""
        return not any(
            write.takes_away(value) and write.begun <= ended and write.ended >= begun for write in self._writes[name]
        )

    def settled_since(self, name: Name, value: str, moment: float) -> bool:
        """Whether the tag has certainly had this value from before `moment` until the end."""
        writes = self._writes.get(name, [])
        return any(
            write.value == value
            and write.certain
            and write.ended < moment
            and not any(other.takes_away(value) and other.ended >= write.begun for other in writes)
            for write in writes
        )


def _values(operation: Operation) -> dict[str, str]:
    if operation.kind in {"push-manifest", "restore-tag"} and operation.tag:
        return {operation.tag: operation.digest}
    if operation.kind == "delete-tag":
        return {operation.tag: ""}
    if operation.kind == "restore-repository":
        return operation.tags
    return {}


def _write(operation: Operation, value: str, only: str = "") -> Write:
    certain = operation.outcome == "ok"
    return Write(value, operation.begun, operation.ended if certain else math.inf, certain, only)
