"""The queues of events that wait to be posted, one for each receiver.

A queue is named by text and has no foreign key: recording an event then locks nothing and looks nothing up.
"""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from registry_project.database import CurrentTransaction

QUEUE_LENGTH = 120


class WebhookDelivery(models.Model):
    """One event on its way to one receiver; the row goes when the receiver has taken it.

    Rows go out in the order of their ids. `transaction_id` is PostgreSQL's number of the transaction that wrote the
    row: `events.delivery` waits for older ones with it. `body` is posted as it stands. `queued_at` is when the event
    happened, or was last put back into the queue; `parked_at` when its delivery was given up.
    """

    queue = models.CharField(max_length=QUEUE_LENGTH)
    event_id = models.UUIDField()
    body = models.TextField()
    transaction_id = models.BigIntegerField(db_default=CurrentTransaction())
    queued_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=300, blank=True, default="")
    parked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(  # the head of a queue
                fields=["queue", "id"], condition=Q(parked_at__isnull=True), name="webhook_delivery_waiting"
            ),
            models.Index(fields=["queue", "id"], condition=Q(parked_at__isnull=False), name="webhook_delivery_parked"),
        )

    def __str__(self) -> str:
        return str(self.event_id)


class WebhookQueue(models.Model):
    """How delivery to one receiver goes. Whoever holds `claim` until `claimed_until` is the only one to post.

    `failures` counts those in a row; nothing is posted before `next_attempt_at`.
    """

    name = models.CharField(max_length=QUEUE_LENGTH, primary_key=True)
    claim = models.UUIDField(null=True)
    claimed_until = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, blank=True, default="")
    failed_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
