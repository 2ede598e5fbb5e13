"""The state of the queues, and what an operator does about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q
from django.utils import timezone

from events.models import WebhookDelivery, WebhookQueue
from events.receivers import ENDPOINT_PREFIX, Receiver, receivers
from registry_project.database import writing
from registry_project.egress import origin_of


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """`waiting` and `parked` count events; `oldest_at` is of those that wait. `where` is empty when not configured."""

    name: str
    where: str
    waiting: int
    parked: int
    oldest_at: datetime | None
    failures: int
    next_attempt_at: datetime | None
    last_error: str
    failed_at: datetime | None
    delivered_at: datetime | None


def list_queues() -> list[QueueStatus]:
    """Each configured endpoint, and behind them the queues of endpoints that are not configured any more."""
    rows = WebhookDelivery.objects.values("queue").annotate(
        waiting=Count("id", filter=Q(parked_at=None)),
        parked=Count("id", filter=Q(parked_at__isnull=False)),
        oldest_at=Min("queued_at", filter=Q(parked_at=None)),
    )
    counted: dict[str, Mapping[str, object]] = {row["queue"]: row for row in rows}
    states = {queue.name: queue for queue in WebhookQueue.objects.all()}
    configured = {receiver.queue: receiver for receiver in receivers()}
    names = [*configured, *sorted(counted.keys() - configured.keys())]
    return [_status(name, configured.get(name), counted.get(name, {}), states.get(name)) for name in names]


def _status(
    name: str, receiver: Receiver | None, counted: Mapping[str, object], state: WebhookQueue | None
) -> QueueStatus:
    state = state or WebhookQueue(name=name)
    oldest = counted.get("oldest_at")
    return QueueStatus(
        name=name.removeprefix(ENDPOINT_PREFIX),
        where=str(origin_of(receiver.url)) if receiver else "",
        waiting=int(str(counted.get("waiting", 0))),
        parked=int(str(counted.get("parked", 0))),
        oldest_at=oldest if isinstance(oldest, datetime) else None,
        failures=state.failures,
        next_attempt_at=state.next_attempt_at,
        last_error=state.last_error,
        failed_at=state.failed_at,
        delivered_at=state.delivered_at,
    )


def retry_parked(name: str) -> int:
    """Put an endpoint's parked events back into its queue, in their old places, and end its pause; how many."""
    queue = ENDPOINT_PREFIX + name
    with writing():
        WebhookQueue.objects.filter(name=queue).update(failures=0, next_attempt_at=None)
        return WebhookDelivery.objects.filter(queue=queue, parked_at__isnull=False).update(
            parked_at=None, attempts=0, queued_at=timezone.now()
        )


def drop_parked(name: str) -> int:
    """Forget an endpoint's parked events, and all that wait for one that is not configured any more; how many."""
    queue = ENDPOINT_PREFIX + name
    doomed = WebhookDelivery.objects.filter(queue=queue)
    if any(receiver.queue == queue for receiver in receivers()):
        doomed = doomed.filter(parked_at__isnull=False)
    with writing():
        return doomed.delete()[0]
