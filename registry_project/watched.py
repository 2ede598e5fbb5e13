"""Files that operators change while the server runs."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

log = logging.getLogger("lading.files")

Value = TypeVar("Value")

# A change within the clock's grain after a read would leave the time as it is.
_GRAIN_SECONDS = 2.0


class WatchedFile(Generic[Value]):
    """What a file says now: it is read again when its time, size or inode changed.

    A file that is gone, or that `parse` refuses with ValueError, counts as `absent`; the log says so once. `what`
    names it there.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], Value], *, absent: Value, what: str) -> None:
        self._path = path
        self._parse = parse
        self._absent = self._value = absent
        self._what = what
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._content: bytes | None = None
        self._problem = ""

    def current(self) -> Value:
        try:
            if self._stamp is not None and self._stamp == _stamp(self._path.stat()):
                return self._value
            with self._lock:
                return self._read()
        except (OSError, ValueError) as error:
            with self._lock:
                self._give_up(getattr(error, "strerror", None) or str(error))
            return self._absent

    def _read(self) -> Value:
        with self._path.open("rb") as file:
            state = os.fstat(file.fileno())
            content = file.read()
        if content != self._content:
            self._value, self._content, self._problem = self._parse(content), content, ""
        settled = abs(time.time() - state.st_mtime) > _GRAIN_SECONDS
        self._stamp = _stamp(state) if settled else None
        return self._value

    def _give_up(self, problem: str) -> None:
        self._value, self._stamp, self._content = self._absent, None, None
        if problem != self._problem:
            log.error("%s %s cannot be used: %s", self._what, self._path, problem)
            self._problem = problem


def _stamp(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_mtime_ns, state.st_size, state.st_ino
