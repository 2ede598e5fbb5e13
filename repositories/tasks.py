"""Background work of this app: thin doors for Celery and for the embedded worker."""

from celery import shared_task
from django.conf import settings

from repositories.expiry import BATCH, end_expired_tags
from repositories.scrubbing import scrub_round

_MAX_ROUNDS = 100


@shared_task(name="repositories.end_expired_tags", ignore_result=True)
def end_expired(**_: object) -> None:
    """Take away the tags whose time has come; not while the registry is read-only."""
    if settings.READ_ONLY:
        return
    for _round in range(_MAX_ROUNDS):
        if end_expired_tags() < BATCH:
            return


@shared_task(name="repositories.scrub", ignore_result=True)
def scrub(**_: object) -> None:
    """Read stored blobs again, slowly, and put those that are damaged into quarantine."""
    if settings.SCRUB_ENABLED:
        scrub_round()
