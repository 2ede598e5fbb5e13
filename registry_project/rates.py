"""Counting of requests against a rate: in Redis where there is one, else in this process alone.

When Redis cannot be reached each process counts for itself: a limit that is too generous for a while is better than
a registry that stops.
"""

import logging
import time
from functools import cache

from django.conf import settings
from limits import RateLimitItem, storage, strategies

log = logging.getLogger("lading.rates")

_RETRY_SECONDS = 5.0
_TIMEOUT_SECONDS = 0.5


def hit(rate: RateLimitItem, key: str) -> int | None:
    """Count one request; None while it is within the rate, else the seconds to wait."""
    counter = _counters()
    allowed = counter.hit(rate, key)
    if allowed:
        return None
    return max(1, int(counter.reset_at(rate, key) - time.time()) + 1)


class _Counters:
    """Counts in Redis, and by itself while that does not answer."""

    def __init__(self, address: str) -> None:
        self._own = strategies.SlidingWindowCounterRateLimiter(storage.MemoryStorage())
        self._shared = _shared(address)
        self._silent_until = 0.0

    def hit(self, rate: RateLimitItem, key: str) -> bool:
        if self._shared is not None and time.monotonic() >= self._silent_until:
            try:
                return self._shared.hit(rate, key)
            except Exception as error:  # noqa: BLE001 - whatever ails Redis, requests go on
                log.warning("Redis does not count requests, so each process does: %s", error)
                self._silent_until = time.monotonic() + _RETRY_SECONDS
        return self._own.hit(rate, key)

    def reset_at(self, rate: RateLimitItem, key: str) -> float:
        shared = self._shared is not None and time.monotonic() >= self._silent_until
        try:
            counter = self._shared if shared and self._shared is not None else self._own
            return counter.get_window_stats(rate, key).reset_time
        except Exception:  # noqa: BLE001 - as above
            return time.time() + rate.get_expiry()


def _shared(address: str) -> strategies.RateLimiter | None:
    if not address.startswith(("redis://", "rediss://", "unix://")):
        return None
    timeouts = {"socket_timeout": _TIMEOUT_SECONDS, "socket_connect_timeout": _TIMEOUT_SECONDS}
    redis = storage.storage_from_string(address, wrap_exceptions=True, **timeouts)
    return strategies.SlidingWindowCounterRateLimiter(redis)


@cache
def _counters() -> _Counters:
    return _Counters(settings.CELERY_BROKER_URL or "")
