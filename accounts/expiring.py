"""What this process found out and may rely on for a while."""

import threading
import time
from collections import OrderedDict
from typing import Generic, TypeVar

_MOST = 10_000

Value = TypeVar("Value")


class Expiring(Generic[Value]):
    """The newest ten thousand values by key, each until its time is over."""

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: bytes) -> Value | None:
        with self._lock:
            entry = self._entries.get(key)
        return entry[1] if entry is not None and entry[0] > time.time() else None

    def add(self, key: bytes, value: Value, *, until: float) -> None:
        """`until` is in seconds of Unix time, as in tokens."""
        with self._lock:
            self._entries[key] = until, value
            self._entries.move_to_end(key)
            while len(self._entries) > _MOST:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
