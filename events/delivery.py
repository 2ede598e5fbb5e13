"""Posting what waits: in order for each receiver, at least once, by one worker at a time.

Two rows of one queue keep the order of their ids, and no row is taken while an older transaction could still commit
one before it. A worker claims a queue for a short time and moves that time on; rows go after the receiver took them,
some at once, so that a worker's death repeats the last few of them and never skips one.
"""

import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Protocol

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from events.envelopes import CONTENT_TYPE
from events.models import WebhookDelivery, WebhookQueue
from events.receivers import Receiver
from events.signatures import HEADER, sign
from registry_project.database import columns_of, release_connection, unsettled, writing
from registry_project.egress import Answer, EgressClient, EgressError
from registry_project.metrics import event_posted

log = logging.getLogger("lading.events")

BATCH = 100
ACKNOWLEDGE_SECONDS = 0.5
LEASE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=5)
# Refusals that are about the receiver's state and not about the event.
_PASSING = frozenset({408, 425, 429})

Clock = Callable[[], datetime]
Jitter = Callable[[], float]


class Client(Protocol):
    def request(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Answer: ...


@dataclass(frozen=True, slots=True)
class _Failure:
    """`refused` where the receiver answered that it will not have this event."""

    error: str
    refused: bool = False


def has_work(receiver: Receiver) -> bool:
    return WebhookDelivery.objects.filter(queue=receiver.queue, parked_at=None).exists()


def deliver_waiting(
    receiver: Receiver, *, budget_seconds: float, client: Client | None = None, clock: Clock = timezone.now
) -> int:
    """Post what waits for a receiver until nothing does, a post fails, or the time is up; how many it took.

    Does nothing while another worker is at it, or before the pause after a failure is over.
    """
    claim = _Claim.take(receiver, clock())
    if claim is None:
        return 0
    try:
        if client is not None:
            return _deliver(receiver, claim, client, clock, budget_seconds)
        with new_client(receiver) as own:
            return _deliver(receiver, claim, own, clock, budget_seconds)
    finally:
        claim.release()
        release_connection()


def new_client(receiver: Receiver) -> EgressClient:
    return EgressClient(
        allow=settings.EGRESS, timeout_seconds=receiver.timeout.total_seconds(), trusted=receiver.trusted
    )


def _deliver(receiver: Receiver, claim: "_Claim", client: Client, clock: Clock, budget_seconds: float) -> int:
    started, delivered = time.monotonic(), 0
    while time.monotonic() - started < budget_seconds:
        waiting = _head(receiver)
        release_connection()
        taken: list[int] = []
        failed: tuple[WebhookDelivery, _Failure] | None = None
        since = time.monotonic()
        for delivery in waiting:
            if failure := _post(receiver, delivery, client, clock()):
                failed = delivery, failure
                break
            taken.append(delivery.pk)
            if time.monotonic() - since > ACKNOWLEDGE_SECONDS:
                break
        delivered += len(taken)
        held = claim.acknowledge(taken, clock())
        if failed is not None and held:
            _note_failure(receiver, *failed, now=clock())
        if failed is not None or not held or not waiting:
            return delivered
    return delivered


def _head(receiver: Receiver) -> list[WebhookDelivery]:
    """The next rows, up to the first that an older transaction may still overtake."""
    waiting = WebhookDelivery.objects.raw(
        f"SELECT {columns_of(WebhookDelivery)}, {unsettled('transaction_id')} AS unsettled"
        f" FROM {WebhookDelivery._meta.db_table} WHERE queue = %s AND parked_at IS NULL ORDER BY id LIMIT %s",
        [receiver.queue, BATCH],
    )
    return list(takewhile(lambda delivery: not vars(delivery)["unsettled"], waiting))


def _post(receiver: Receiver, delivery: WebhookDelivery, client: Client, now: datetime) -> _Failure | None:
    body = delivery.body.encode()
    headers = {"User-Agent": "Lading", **receiver.headers, "Content-Type": CONTENT_TYPE}
    if receiver.secret:
        headers[HEADER] = sign(receiver.secret, body, timestamp=int(now.timestamp()))
    try:
        status = client.request("POST", receiver.url, headers=headers, body=body).status
    except EgressError as error:
        event_posted(receiver.name, None)
        return _Failure(str(error))
    event_posted(receiver.name, status)
    if 200 <= status < 400:
        return None
    return _Failure(f"answered {status}", refused=400 <= status < 500 and status not in _PASSING)


class _Claim:
    """The right to post for one queue."""

    def __init__(self, queue: str, lease: timedelta) -> None:
        self._token = uuid.uuid4()
        self._queue = queue
        self._lease = lease

    @classmethod
    def take(cls, receiver: Receiver, now: datetime) -> "_Claim | None":
        # A post that hangs must end before the claim does.
        claim = cls(receiver.queue, LEASE + 4 * receiver.timeout)
        free = Q(claimed_until=None) | Q(claimed_until__lt=now)
        due = Q(next_attempt_at=None) | Q(next_attempt_at__lte=now)
        if not WebhookQueue.objects.filter(name=receiver.queue).exists():
            WebhookQueue.objects.bulk_create([WebhookQueue(name=receiver.queue)], ignore_conflicts=True)
        with writing():
            queues = WebhookQueue.objects.select_for_update(skip_locked=True)
            if queues.filter(free, due, name=receiver.queue).first() is None:
                return None
            WebhookQueue.objects.filter(name=receiver.queue).update(
                claim=claim._token, claimed_until=now + claim._lease
            )
        return claim

    def acknowledge(self, delivered: list[int], now: datetime) -> bool:
        """Let the rows go and renew the claim; False when another worker has it by now."""
        with writing():
            changes: dict[str, object] = {"claimed_until": now + self._lease}
            if delivered:
                WebhookDelivery.objects.filter(pk__in=delivered).delete()
                changes |= {"failures": 0, "next_attempt_at": None, "delivered_at": now}
            own = WebhookQueue.objects.filter(name=self._queue, claim=self._token)
            return bool(own.update(**changes))

    def release(self) -> None:
        WebhookQueue.objects.filter(name=self._queue, claim=self._token).update(claim=None, claimed_until=None)


def _note_failure(receiver: Receiver, delivery: WebhookDelivery, failure: _Failure, *, now: datetime) -> None:
    """Write down what went wrong, pause, and park what has been tried for long enough."""
    with writing():
        queue = WebhookQueue.objects.select_for_update().get(name=receiver.queue)
        failures, attempts = queue.failures + 1, delivery.attempts + 1
        WebhookDelivery.objects.filter(pk=delivery.pk).update(attempts=F("attempts") + 1, last_error=failure.error)
        WebhookQueue.objects.filter(name=receiver.queue).update(
            failures=failures,
            last_error=failure.error,
            failed_at=now,
            next_attempt_at=now + pause_after(failures, receiver.threshold, receiver.backoff),
        )
        parked = _park(receiver, delivery, now) if attempts >= receiver.threshold else 0
        if attempts >= receiver.threshold and failure.refused and not parked:
            parked = WebhookDelivery.objects.filter(pk=delivery.pk).update(parked_at=now)
    level = logging.ERROR if parked else logging.WARNING
    log.log(level, "notifications to %s fail (%d in a row): %s", receiver.name, failures, failure.error)
    if parked:
        log.error("%d events for %s are parked: `lading notifications retry %s`", parked, receiver.name, receiver.name)


def _park(receiver: Receiver, delivery: WebhookDelivery, now: datetime) -> int:
    """Give up on everything that has waited too long, in one go: it would only fail one by one."""
    oldest = now - receiver.giveup
    if delivery.queued_at > oldest:
        return 0
    waiting = WebhookDelivery.objects.filter(queue=receiver.queue, parked_at=None, queued_at__lte=oldest)
    return waiting.update(parked_at=now)


def pause_after(failures: int, threshold: int, backoff: timedelta, *, jitter: Jitter = random.random) -> timedelta:
    """Nothing up to `threshold` failures in a row (the next round comes soon), then `backoff`, doubling.

    Spread over a quarter to both sides, so that many registries do not come back at the same moment.
    """
    if failures < threshold:
        return timedelta()
    doublings = min(failures - threshold, 20)
    longest: timedelta = min(backoff * 2**doublings, LONGEST_PAUSE)
    return longest * (0.75 + jitter() / 2)
