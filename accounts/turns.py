"""Slow checks of passwords: a few at a time in each process, and none of them with a connection in its hand.

Anybody can send passwords, each of which costs a good part of a second. Without this a hundred at once would hold every
connection of the pool while they are hashed, and all of them would be guessed before the first one counted.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from oci.errors import Unavailable
from registry_project.database import release_connection

_AT_ONCE = 4
# Far fewer than a process has threads: those who pull must not wait behind those who sign in.
_MOST_WAITING = 100
_PATIENCE_SECONDS = 10.0


class Turns:
    def __init__(
        self, *, at_once: int = _AT_ONCE, waiting: int = _MOST_WAITING, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        self._slots = threading.BoundedSemaphore(at_once)
        self._places = threading.BoundedSemaphore(at_once + waiting)
        self._patience_seconds = patience_seconds

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn; raises Unavailable where too many wait, or for too long."""
        if not self._places.acquire(blocking=False):
            raise _too_many()
        try:
            release_connection()
            if not self._slots.acquire(timeout=self._patience_seconds):
                raise _too_many()
            try:
                yield
            finally:
                self._slots.release()
        finally:
            self._places.release()


def _too_many() -> Unavailable:
    return Unavailable({"reason": "too many sign in at once"})


turns = Turns()
