"""How collection is getting on: what waits, how fast it goes, what came back and what fails.

Counts end at MOST_COUNTED, because a page that many look at must not cost a walk through a queue.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from django.db import connection
from django.db.models import Model, Sum
from django.utils import timezone

from blobs.models import Blob, BlobReview, StorageDeletion
from registry_gc.collection.models import CollectionFailure, CollectionMinute, CollectionPause, CollectionRun, Kind
from registry_gc.collection.pausing import find_pause
from registry_gc.collection.reviews import REVIEWS
from registry_project.database import count_up_to
from repositories.models import Manifest, ManifestReview

MOST_COUNTED = 100_000
MOST_FAILURES = 100
MOST_MINUTES = 20
DAYS = 30
_RATE_OVER = timedelta(minutes=5)


class Work(StrEnum):
    """What waits: reviews of each kind, and the bytes that the outbox names."""

    MANIFEST = "manifest"
    BLOB = "blob"
    DELETION = "deletion"


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits of one kind; each number is at most MOST_COUNTED. `oldest_due_at` is None where nothing is due.

    `per_minute` is None where it is not measured, `eta_seconds` where there is no telling.
    """

    work: Work
    waiting: int
    due: int
    failing: int
    oldest_due_at: datetime | None
    per_minute: float | None = None
    eta_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """What one day (UTC) brought back; `size` in bytes of blobs, which are deleted when gc.linger is over."""

    day: datetime
    manifests: int
    blobs: int
    size: int


@dataclass(frozen=True, slots=True)
class Failure:
    """What is tried again at `next_at`; `repository` is empty for what belongs to none."""

    work: Work
    digest: str
    repository: str
    attempts: int
    error: str
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Progress:
    paused: CollectionPause | None
    queues: list[Queue]
    days: list[Day]
    minutes: list[CollectionMinute]
    failures: list[Failure]


def read_progress() -> Progress:
    now, paused = timezone.now(), find_pause()
    queues = [queue_of(kind, now=now, paused=paused is not None) for kind in Kind]
    return Progress(
        paused,
        [*queues, deletions_queue(now=now)],
        days=list(_days(now)),
        minutes=list(CollectionMinute.objects.order_by("-minute", "kind")[:MOST_MINUTES]),
        failures=list(_failures()),
    )


def queue_of(kind: Kind, *, now: datetime, paused: bool = False) -> Queue:
    failing = count_up_to(
        MOST_COUNTED, f"SELECT 1 FROM {CollectionFailure._meta.db_table} WHERE kind = %s", [kind.value]
    )
    queue = _queue(Work(kind.value), REVIEWS[kind], "review_after", failing, now)
    since = now.replace(second=0, microsecond=0) - _RATE_OVER
    minutes = CollectionMinute.objects.filter(kind=kind, minute__gte=since)
    reviewed = minutes.aggregate(reviewed=Sum("reviewed"))["reviewed"] or 0
    per_minute = round(reviewed * 60 / (now - since).total_seconds(), 1)
    # How long a queue takes that was only counted in part nobody can tell.
    known = per_minute > 0 and not paused and queue.due < MOST_COUNTED
    eta = round(queue.due * 60 / per_minute) if known else None
    return Queue(queue.work, queue.waiting, queue.due, failing, queue.oldest_due_at, per_minute, eta)


def deletions_queue(*, now: datetime) -> Queue:
    failing = count_up_to(MOST_COUNTED, f"SELECT 1 FROM {StorageDeletion._meta.db_table} WHERE attempts > 0")
    return _queue(Work.DELETION, StorageDeletion, "not_before", failing, now)


def _queue(work: Work, model: type[Model], column: str, failing: int, now: datetime) -> Queue:
    rows = f"SELECT 1 FROM {model._meta.db_table}"
    oldest = model._default_manager.filter(**{f"{column}__lte": now}).order_by(column).values_list(column, flat=True)
    return Queue(
        work,
        waiting=count_up_to(MOST_COUNTED, rows),
        due=count_up_to(MOST_COUNTED, f"{rows} WHERE {column} <= %s", [connection.ops.adapt_datetimefield_value(now)]),
        failing=failing,
        oldest_due_at=oldest.first(),
    )


def _days(now: datetime) -> Iterator[Day]:
    """The last 30 days, the newest first, without those on which nothing was reviewed."""
    runs: dict[object, dict[str, CollectionRun]] = {}
    for run in CollectionRun.objects.filter(day__gt=now.date() - timedelta(days=DAYS)).order_by("-day"):
        runs.setdefault(run.day, {})[run.kind] = run
    for day, by_kind in runs.items():
        manifests, blobs = by_kind.get(Kind.MANIFEST), by_kind.get(Kind.BLOB)
        yield Day(
            cast("datetime", day),
            manifests.collected if manifests else 0,
            blobs.collected if blobs else 0,
            blobs.bytes if blobs else 0,
        )


def _failures() -> Iterator[Failure]:
    failures = list(CollectionFailure.objects.order_by("-failed_at")[:MOST_FAILURES])
    ids = {kind: [failure.target_id for failure in failures if failure.kind == kind] for kind in Kind}
    manifests = Manifest.objects.select_related("repository").only("digest", "repository__name")
    targets: dict[Kind, Mapping[int, Any]] = {
        Kind.MANIFEST: manifests.in_bulk(ids[Kind.MANIFEST]),
        Kind.BLOB: Blob.objects.in_bulk(ids[Kind.BLOB]),
    }
    reviews = {kind: model._default_manager.in_bulk(ids[kind]) for kind, model in REVIEWS.items()}
    for failure in failures:
        kind = Kind(failure.kind)
        target = cast("Manifest | Blob | None", targets[kind].get(failure.target_id))
        review = cast("ManifestReview | BlobReview | None", reviews[kind].get(failure.target_id))
        yield Failure(
            Work(kind.value),
            target.digest if target else "",
            target.repository.name if isinstance(target, Manifest) else "",
            review.attempts if review else 0,
            failure.error,
            review.review_after if review else None,
        )
    deletions = StorageDeletion.objects.filter(attempts__gt=0).order_by("-attempts")
    for deletion in deletions[: MOST_FAILURES - len(failures)]:
        yield Failure(Work.DELETION, deletion.digest, "", deletion.attempts, deletion.last_error, deletion.not_before)
