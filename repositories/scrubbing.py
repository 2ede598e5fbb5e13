"""The scrub: reads every blob again within `scrub.interval`, the one that was read longest ago first.

One process at a time does it, for all hosts, at `scrub.rate`. Where it stops, any other goes on: what was read
stands in each blob's row.
"""

import logging
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from blobs.models import Blob, ScrubClaim
from blobs.verification import Pace
from oci.errors import OCIError
from registry_project.database import release_connection, writing
from registry_project.metrics import blob_scrubbed
from repositories.quarantine import Outcome, examine_blob

log = logging.getLogger("lading.scrub")

ROUND = timedelta(minutes=1)
_CLAIM = timedelta(minutes=2)
_HEARTBEAT_SECONDS = 15.0
# When a blob that could not be read is tried again.
_RETRY = timedelta(hours=1)
# The storage is at fault then, and not the blobs.
_MOST_FAILURES = 3


class LostClaim(Exception):
    """Another process has taken over: this one slept for too long."""


def scrub_round(*, pace: Pace | None = None, lasting: timedelta = ROUND) -> Counter[Outcome]:
    """Read what is due for about as long as a round lasts; what came of how many. A blob is read to its end."""
    outcomes = Counter[Outcome]()
    token = _claim()
    if token is None:
        return outcomes
    pace = pace or Pace(rate=settings.SCRUB_RATE)
    pace.beat = _Heartbeat(token)
    deadline, failures = time.monotonic() + lasting.total_seconds(), 0
    try:
        for blob in _due_blobs(timezone.now()):
            outcome = _examine(blob, pace)
            outcomes[outcome] += 1
            failures = failures + 1 if outcome is Outcome.UNREADABLE else 0
            if failures >= _MOST_FAILURES or time.monotonic() >= deadline:
                break
    except LostClaim:
        log.warning("the scrub was taken over by another process")
    finally:
        ScrubClaim.objects.filter(token=token).update(token=None, busy_until=None)
    return outcomes


def _due_blobs(now: datetime) -> Iterator[Blob]:
    """First those that came before there was a scrub, then those that were read longest ago."""
    blobs = Blob.objects.order_by("scrubbed_at", "id")
    due = blobs.filter(scrubbed_at__lte=now - settings.SCRUB_INTERVAL)
    while blob := blobs.filter(scrubbed_at=None).first() or due.first():
        yield blob


def _examine(blob: Blob, pace: Pace) -> Outcome:
    try:
        return examine_blob(blob, pace=pace)
    except (OCIError, OSError) as error:
        log.warning("blob %s (%s) could not be read and is tried again later: %s", blob.digest, blob.storage_key, error)
        # As if it had been read so long ago that its turn comes again in an hour.
        again = timezone.now() - settings.SCRUB_INTERVAL + min(_RETRY, settings.SCRUB_INTERVAL)
        Blob.objects.filter(pk=blob.pk).update(scrubbed_at=again)
        blob_scrubbed(Outcome.UNREADABLE.value, size=0)
        return Outcome.UNREADABLE


def _claim() -> uuid.UUID | None:
    ScrubClaim.objects.bulk_create([ScrubClaim()], ignore_conflicts=True)
    now, token = timezone.now(), uuid.uuid4()
    free = ScrubClaim.objects.filter(Q(busy_until=None) | Q(busy_until__lt=now))
    with writing():
        return token if free.update(token=token, busy_until=now + _CLAIM) else None


class _Heartbeat:
    """Keeps the claim while bytes are read; raises LostClaim where somebody else has it."""

    def __init__(self, token: uuid.UUID) -> None:
        self._token, self._renewed = token, time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._renewed < _HEARTBEAT_SECONDS:
            return
        held = ScrubClaim.objects.filter(token=self._token).update(busy_until=timezone.now() + _CLAIM)
        release_connection()
        if not held:
            raise LostClaim
        self._renewed = time.monotonic()
