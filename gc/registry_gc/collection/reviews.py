"""Claiming reviews and settling them.

A claim moves the review's date on by a lease and remembers its version. What happens to the target meanwhile counts
the version up, and then the review is no longer the claim's to settle. Each target is acted on in a transaction of
its own; one that fails is postponed in another, for nothing more can be written in a failed one.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import cast

from django.db.models import Model, QuerySet
from django.utils import timezone

from blobs.models import BlobReview
from registry_gc.collection.models import CollectionFailure, Kind
from registry_project.database import database_now, limit_transaction, writing
from repositories.models import ManifestReview

LEASE = timedelta(minutes=5)
# Collection waits for nobody for long: whoever holds a target is using it.
LOCK_SECONDS = 1.0
STATEMENT_SECONDS = 10.0
_FIRST_BACKOFF = timedelta(seconds=15)
_LONGEST_BACKOFF = timedelta(hours=24)
_MOST_DOUBLINGS = 13
_ERROR_LENGTH = 1000

REVIEWS: dict[Kind, type[Model]] = {Kind.MANIFEST: ManifestReview, Kind.BLOB: BlobReview}


class Verdict(StrEnum):
    COLLECTED = "collected"
    KEPT = "kept"
    # Somebody else was first, or something happened to the target since it was claimed.
    GONE = "gone"
    OVERTAKEN = "overtaken"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one target; `size` in bytes."""

    verdict: Verdict
    size: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A review as it was claimed at `now`, a moment of the database's clock."""

    kind: Kind
    target_id: int
    version: int
    attempts: int
    reason: str
    now: datetime
    due_at: datetime

    def own(self) -> QuerySet[Model]:
        """The review, unless something happened to its target since."""
        return REVIEWS[self.kind]._default_manager.filter(pk=self.target_id, version=self.version)


def claim_reviews(kind: Kind, *, limit: int) -> list[Claim]:
    """Take up to `limit` reviews that are due and that no other worker holds, the longest due first."""
    model = REVIEWS[kind]
    with writing():
        now = database_now()
        due = model._default_manager.filter(review_after__lte=now).order_by("review_after", "pk")
        reviews = list(due.select_for_update(skip_locked=True)[:limit])
        # The version stays: it counts what happens to the target, not to the review.
        model._default_manager.filter(pk__in=[review.pk for review in reviews]).update(review_after=now + LEASE)
    return [_claim(kind, review, now) for review in reviews]


def list_reviews(kind: Kind, *, after_id: int, limit: int) -> list[Claim]:
    """Up to `limit` reviews behind a target's id whatever their date, without taking them from anybody."""
    now = database_now()
    reviews = REVIEWS[kind]._default_manager.filter(pk__gt=after_id).order_by("pk")[:limit]
    return [_claim(kind, review, now) for review in reviews]


def _claim(kind: Kind, row: Model, now: datetime) -> Claim:
    review = cast("ManifestReview | BlobReview", row)
    return Claim(kind, review.pk, review.version, review.attempts, review.reason, now, review.review_after)


@contextmanager
def acting() -> Iterator[None]:
    """Hold the one transaction in which a target is acted on."""
    with writing():
        limit_transaction(lock_seconds=LOCK_SECONDS, statement_seconds=STATEMENT_SECONDS)
        yield


def hold_review(claim: Claim) -> bool:
    """Keep others from arming the review until the transaction ends; False where it was armed since the claim.

    Belongs behind the lock on the target.
    """
    return claim.own().select_for_update().first() is not None


def settle(claim: Claim, *, until: datetime | None = None) -> None:
    """Remove the review, or set its next date, inside the transaction that acted."""
    if until is None:
        claim.own().delete()
    else:
        claim.own().update(review_after=until, attempts=0)
    if claim.attempts:
        CollectionFailure.objects.filter(kind=claim.kind, target_id=claim.target_id).delete()


def postpone(claim: Claim, error: Exception) -> None:
    """Try a target again later, and later each time."""
    wait = min(_FIRST_BACKOFF * 2 ** min(claim.attempts, _MOST_DOUBLINGS), _LONGEST_BACKOFF)
    # Those who lost against each other must not meet again in step.
    wait *= random.uniform(1, 1.25)  # noqa: S311 - no secret
    with writing():
        claim.own().update(review_after=database_now() + wait, attempts=claim.attempts + 1)
        CollectionFailure.objects.bulk_create(
            [
                CollectionFailure(
                    kind=claim.kind,
                    target_id=claim.target_id,
                    error=f"{type(error).__name__}: {error}"[:_ERROR_LENGTH],
                    failed_at=timezone.now(),
                )
            ],
            update_conflicts=True,
            unique_fields=["kind", "target_id"],
            update_fields=["error", "failed_at"],
        )
