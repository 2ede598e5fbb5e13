"""Passwords that were found right a moment ago, so that the slow hash need not be computed for each request."""

import hmac
import secrets
import time

from accounts.expiring import Expiring

_SECONDS = 60


class RememberedPasswords:
    """Good for a minute, the newest ten thousand.

    The key holds the stored hash: a changed password is another key. What is kept tells nothing outside of this
    process.
    """

    def __init__(self) -> None:
        self._right: Expiring[bool] = Expiring()
        self._process_key = secrets.token_bytes(32)

    def holds(self, *, username: str, stored: str, password: str) -> bool:
        return self._right.find(self._key(username, stored, password)) is not None

    def add(self, *, username: str, stored: str, password: str) -> None:
        self._right.add(self._key(username, stored, password), True, until=time.time() + _SECONDS)

    def clear(self) -> None:
        self._right.clear()

    def _key(self, username: str, stored: str, password: str) -> bytes:
        return hmac.digest(self._process_key, f"{username}\0{stored}\0{password}".encode(), "sha256")
