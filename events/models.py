"""The audit log, and the queues of events that wait to be posted, one for each receiver.

Nothing here has a foreign key: recording an event locks nothing and looks nothing up, and the log outlives what it
tells of.
"""

import secrets

from django.db import models
from django.db.models import Q
from django.utils import timezone

from registry_project.database import CurrentTransaction
from registry_project.fields import ByteOrderedField

QUEUE_LENGTH = 120
# A whole number that JavaScript reads without loss.
_EVENT_ID_BITS = 53


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


def new_event_id() -> int:
    """This will tell events of one microsecond apart; a sequence would cost every insert a round of its own lock."""
    return secrets.randbits(_EVENT_ID_BITS)


class AuditEvent(models.Model):
    """Who did what, with which credential, from where, and how it ended.

    The database takes rows, never changes them, and lets go only of those before `AuditHorizon` (triggers of the first
    migration of this table; SQLite forgets triggers when a table is remade). On PostgreSQL the table is partitioned by
    month. `action` is one of `events.audit_actions`; empty `team` means the instance. Texts are cut to their length.
    """

    class Outcome(models.TextChoices):
        SUCCESS = "success"
        REFUSED = "refused"
        FAILED = "failed"

    pk = models.CompositePrimaryKey("occurred_at", "id")
    occurred_at = models.DateTimeField(default=timezone.now)
    id = models.BigIntegerField(default=new_event_id)
    actor = ByteOrderedField(max_length=255, blank=True, default="")
    credential = models.CharField(max_length=100, blank=True, default="")
    address = models.CharField(max_length=64, blank=True, default="")
    request_id = models.CharField(max_length=128, blank=True, default="")
    action = ByteOrderedField(max_length=60)
    team = ByteOrderedField(max_length=255, blank=True, default="")
    repository = ByteOrderedField(max_length=255, blank=True, default="")
    target = models.CharField(max_length=300, blank=True, default="")
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.SUCCESS)
    detail = models.JSONField(default=dict)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(outcome__in=["success", "refused", "failed"]), name="audit_event_outcome_valid"
            ),
        )
        # Pages of a search, newest first: read backward, whatever else is asked for filtered on the way.
        indexes = (
            models.Index(fields=["team", "occurred_at", "id"], name="audit_event_team"),
            models.Index(fields=["actor", "occurred_at", "id"], name="audit_event_actor"),
            models.Index(fields=["action", "occurred_at", "id"], name="audit_event_action"),
            models.Index(fields=["repository", "occurred_at", "id"], name="audit_event_repository"),
        )

    def __str__(self) -> str:
        return f"{self.occurred_at:%Y-%m-%dT%H:%M:%SZ} {self.actor or '-'} {self.action} {self.target}"


class AuditHorizon(models.Model):
    """Where the audit log begins: the one row, moved on by pruning, before which events may be removed."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    starts_at = models.DateTimeField()

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=1), name="audit_horizon_one_row"),)
