"""Figures of collection: what was done by day, and what waits."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Exists, Min, OuterRef, Q
from django.utils import timezone

from registry_gc.collection.models import CollectionFailure, CollectionRun, Kind
from registry_gc.collection.reviews import REVIEWS, Outcome, Verdict
from registry_project import metrics
from registry_project.database import execute


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of a batch; `size` in bytes."""

    reviewed: int = 0
    collected: int = 0
    kept: int = 0
    postponed: int = 0
    size: int = 0

    @classmethod
    def of(cls, outcomes: Iterable[Outcome], *, postponed: int) -> "Tally":
        outcomes = list(outcomes)
        verdicts = Counter(outcome.verdict for outcome in outcomes)
        return cls(
            reviewed=len(outcomes) + postponed,
            collected=verdicts[Verdict.COLLECTED],
            kept=verdicts[Verdict.KEPT],
            postponed=postponed,
            size=sum(outcome.size for outcome in outcomes),
        )

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.reviewed + other.reviewed,
            self.collected + other.collected,
            self.kept + other.kept,
            self.postponed + other.postponed,
            self.size + other.size,
        )


@dataclass(frozen=True, slots=True)
class Queue:
    """The reviews of one kind; `oldest_due_at` is None where none is due."""

    kind: Kind
    waiting: int
    due: int
    failing: int
    oldest_due_at: datetime | None


def record(kind: Kind, tally: Tally) -> None:
    """Add a batch to its day's figures and to the process's metrics."""
    if not tally.reviewed:
        return
    columns = ("reviewed", "collected", "kept", "postponed", "bytes")
    values = (tally.reviewed, tally.collected, tally.kept, tally.postponed, tally.size)
    table = CollectionRun._meta.db_table
    sums = ", ".join(f"{column} = run.{column} + EXCLUDED.{column}" for column in columns)
    execute(
        f"INSERT INTO {table} AS run (day, kind, {', '.join(columns)}) VALUES (%s, %s, %s, %s, %s, %s, %s)"
        f" ON CONFLICT (day, kind) DO UPDATE SET {sums}",
        [timezone.now().date(), kind.value, *values],
    )
    metrics.targets_reviewed(
        kind.value, collected=tally.collected, kept=tally.kept, postponed=tally.postponed, size=tally.size
    )


def queue_of(kind: Kind) -> Queue:
    """How much waits; counts every row, so it is for reports and not for a page that many look at."""
    now = timezone.now()
    figures = REVIEWS[kind]._default_manager.aggregate(
        waiting=Count("pk"),
        due=Count("pk", filter=Q(review_after__lte=now)),
        failing=Count("pk", filter=Q(attempts__gt=0)),
        oldest=Min("review_after", filter=Q(review_after__lte=now)),
    )
    return Queue(kind, figures["waiting"], figures["due"], figures["failing"], figures["oldest"])


def forget_failures() -> None:
    """Forget why targets failed that are waiting no longer, or anew because something happened to them."""
    for kind, model in REVIEWS.items():
        failing = model._default_manager.filter(pk=OuterRef("target_id"), attempts__gt=0)
        CollectionFailure.objects.filter(~Exists(failing), kind=kind).delete()
