"""Background work of this app: thin doors for Celery and for the embedded worker."""

from celery import shared_task
from django.conf import settings

from blobs.deletions import BATCH, drain_storage_deletions
from blobs.uploads import PURGE_BATCH, purge_expired_uploads
from blobs.usage import roll_up_usage

_MAX_ROUNDS = 100


@shared_task(name="blobs.purge_uploads", ignore_result=True)
def purge_uploads(**_: object) -> None:
    """End uploads that nobody finished; switched by storage.maintenance.uploadpurging."""
    if not settings.UPLOAD_PURGING:
        return
    for _round in range(_MAX_ROUNDS):
        ended = purge_expired_uploads(dry_run=settings.UPLOAD_PURGING_DRY_RUN)
        if ended < PURGE_BATCH or settings.UPLOAD_PURGING_DRY_RUN:
            return


@shared_task(name="blobs.drain_deletions", ignore_result=True)
def drain_deletions(**_: object) -> None:
    """Delete the bytes whose time has come."""
    for _round in range(_MAX_ROUNDS):
        if drain_storage_deletions() < BATCH:
            return


@shared_task(name="blobs.roll_up_usage", ignore_result=True)
def roll_up(**_: object) -> None:
    """Add up what pushes and collection have noted of the teams' bytes."""
    roll_up_usage()
