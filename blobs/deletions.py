"""The outbox of bytes: rows are deleted first, bytes later, here."""

import logging
from datetime import datetime, timedelta

from django.utils import timezone

from blobs.models import StorageDeletion
from blobs.storage import get_store
from registry_project import metrics
from registry_project.database import release_connection, writing

log = logging.getLogger("lading.deletions")

# What S3 deletes by one request.
BATCH = 1000
_CLAIM = timedelta(minutes=5)
_FIRST_BACKOFF = timedelta(minutes=5)
_LONGEST_BACKOFF = timedelta(hours=24)
_ALARMING_ATTEMPTS = 10


def drain_storage_deletions(*, limit: int = BATCH) -> int:
    """Delete bytes that are due and then their rows; how many rows went.

    A deletion that fails keeps its row and is tried again later: the worst case is a counted leak. Deleting twice
    is harmless, so a claim may run out under a slow worker.
    """
    claimed = _claim(limit, timezone.now())
    release_connection()
    failures = get_store().delete_many([deletion.storage_key for deletion in claimed]) if claimed else {}
    deleted = []
    for deletion in claimed:
        if error := failures.get(deletion.storage_key):
            _postpone(deletion, error)
        else:
            deleted.append(deletion)
    StorageDeletion.objects.filter(pk__in=[deletion.pk for deletion in deleted]).delete()
    metrics.bytes_deleted(objects=len(deleted), size=sum(deletion.size for deletion in deleted))
    return len(deleted)


def _claim(limit: int, now: datetime) -> list[StorageDeletion]:
    # Its commit is synced, and with it those before it, which named the bytes here and may not have been.
    with writing():
        due = StorageDeletion.objects.filter(not_before__lte=now).order_by("not_before", "id")
        # Several workers share the outbox: each takes what no other holds.
        claimed = list(due.select_for_update(skip_locked=True)[:limit])
        StorageDeletion.objects.filter(pk__in=[deletion.pk for deletion in claimed]).update(not_before=now + _CLAIM)
    return claimed


def _postpone(deletion: StorageDeletion, error: Exception) -> None:
    attempts = deletion.attempts + 1
    wait = min(_FIRST_BACKOFF * 2**deletion.attempts, _LONGEST_BACKOFF) if attempts < 12 else _LONGEST_BACKOFF
    level = logging.ERROR if attempts >= _ALARMING_ATTEMPTS else logging.WARNING
    log.log(level, "could not delete %s (attempt %d): %s", deletion.storage_key, attempts, error)
    StorageDeletion.objects.filter(pk=deletion.pk).update(
        attempts=attempts, last_error=str(error)[:1000], not_before=timezone.now() + wait
    )
