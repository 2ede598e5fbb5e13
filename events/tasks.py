"""Background work of this app: thin doors for Celery and for the embedded worker."""

import logging
from concurrent.futures import ThreadPoolExecutor

from celery import shared_task
from django.db import connection

from events.audit_upkeep import maintain_audit_log
from events.delivery import deliver_waiting, has_work
from events.receivers import Receiver, receivers

log = logging.getLogger("lading.events")

# Other work of the embedded worker waits for a round.
ROUND_SECONDS = 5.0
_MOST_AT_ONCE = 8


@shared_task(name="events.keep_audit_log", ignore_result=True)
def keep_audit_log(**_: object) -> None:
    """Make the audit log's partitions ahead, and let go of what `audit.keep` is over for."""
    maintain_audit_log()


@shared_task(name="events.deliver", ignore_result=True)
def deliver_notifications(**_: object) -> None:
    """Post what waits, to all receivers at once: one that hangs must not hold up the others."""
    busy = [receiver for receiver in receivers() if has_work(receiver)]
    if len(busy) == 1:
        deliver_waiting(busy[0], budget_seconds=ROUND_SECONDS)
    elif busy:
        with ThreadPoolExecutor(min(len(busy), _MOST_AT_ONCE), thread_name_prefix="notifications") as pool:
            list(pool.map(_deliver_alone, busy))


def _deliver_alone(receiver: Receiver) -> None:
    try:
        deliver_waiting(receiver, budget_seconds=ROUND_SECONDS)
    except Exception:
        log.exception("delivery to %s failed and waits for its next turn", receiver.name)
    finally:
        connection.close()
