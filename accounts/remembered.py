"""Passwords that were found right a moment ago, so that the slow hash need not be computed for each request."""

import hmac
import secrets
import threading
import time
from collections import OrderedDict

_SECONDS = 60
_MOST = 10_000


class RememberedPasswords:
    """Good for a minute, the newest ten thousand.

    The key holds the stored hash: a changed password is another key. What is kept tells nothing outside of this
    process.
    """

    def __init__(self) -> None:
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()
        self._process_key = secrets.token_bytes(32)

    def holds(self, *, username: str, stored: str, password: str) -> bool:
        key = self._key(username, stored, password)
        with self._lock:
            until = self._until.get(key)
        return until is not None and until > time.monotonic()

    def add(self, *, username: str, stored: str, password: str) -> None:
        key = self._key(username, stored, password)
        with self._lock:
            self._until[key] = time.monotonic() + _SECONDS
            self._until.move_to_end(key)
            while len(self._until) > _MOST:
                self._until.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._until.clear()

    def _key(self, username: str, stored: str, password: str) -> bytes:
        return hmac.digest(self._process_key, f"{username}\0{stored}\0{password}".encode(), "sha256")
