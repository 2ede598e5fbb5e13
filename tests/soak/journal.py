"""Journals: what a client asks, on the disk before it asks, and what it was told, on the disk before it goes on."""

import json
import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["ok", "fail", "unknown"]


@dataclass(frozen=True)
class Operation:
    """One request. `begun` and `ended` are of one clock for all processes; what has no answer may end at any time.

    `digest` is what was pushed, asked for or deleted; `found` the digest of the bytes, or what a tag pointed to.
    `image` is what the tag pointed to through which something was pulled, `parent` the manifest right above it, and
    `since` when that began. `tags` are what comes back with a repository, `upload` is where bytes were sent.
    """

    kind: str
    repository: str = ""
    begun: float = 0.0
    ended: float = math.inf
    outcome: Outcome = "unknown"
    status: int = 0
    codes: tuple[str, ...] = ()
    tag: str = ""
    digest: str = ""
    found: str = ""
    children: tuple[str, ...] = ()
    subject: str = ""
    image: str = ""
    parent: str = ""
    upload: str = ""
    since: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)
    client: str = ""

    @property
    def may_have_happened(self) -> bool:
        """An error of the server may be about the answer and not about the act, as when a COMMIT is cut off."""
        return self.outcome != "fail" or self.status in {500, 502, 503, 504}

    @property
    def latest(self) -> float:
        """When it had happened at the latest."""
        return self.ended if self.outcome != "unknown" else math.inf


class Journal:
    """The file of one client."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._number = 0

    def close(self) -> None:
        self._file.close()

    def invoke(self, kind: str, **what: Any) -> int:
        self._number += 1
        self._write({"n": self._number, "event": "invoke", "time": time.monotonic(), "kind": kind, **what})
        return self._number

    def complete(self, number: int, outcome: Outcome, **what: Any) -> None:
        self._write({"n": number, "event": outcome, "time": time.monotonic(), **what})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read_journals(paths: Iterable[Path]) -> list[Operation]:
    """The operations of all clients by the time at which they began."""
    operations = []
    for path in paths:
        begun: dict[int, dict[str, Any]] = {}
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue  # The last line of a client that was killed.
            if line["event"] == "invoke":
                begun[line["n"]] = {"begun": line["time"], **_fields(line)}
            else:
                known = begun.pop(line["n"])
                operations.append(
                    _operation(path, {**known, "ended": line["time"], "outcome": line["event"], **_fields(line)})
                )
        operations += [_operation(path, known) for known in begun.values()]
    return sorted(operations, key=lambda operation: operation.begun)


def _fields(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in {"n", "event", "time"}}


def _operation(path: Path, values: dict[str, Any]) -> Operation:
    lists = {key: tuple(values[key]) for key in ("codes", "children") if key in values}
    return Operation(client=path.stem, **{**values, **lists})
