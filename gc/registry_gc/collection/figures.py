"""Figures of collection: what was done, by day and by minute."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection
from django.db.models import Exists, Model, OuterRef
from django.utils import timezone

from registry_gc.collection.models import CollectionFailure, CollectionMinute, CollectionRun, Kind
from registry_gc.collection.reviews import REVIEWS, Outcome, Verdict
from registry_project import metrics
from registry_project.database import execute

_MINUTES_ARE_KEPT = timedelta(days=1)


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


def record(kind: Kind, tally: Tally) -> None:
    """Add a batch to the figures of its day and its minute, and to the process's metrics."""
    if not tally.reviewed:
        return
    now = timezone.now()
    minute = connection.ops.adapt_datetimefield_value(now.replace(second=0, microsecond=0))
    _add(CollectionRun, "day", now.date(), kind, tally)
    _add(CollectionMinute, "minute", minute, kind, tally)
    metrics.targets_reviewed(
        kind.value, collected=tally.collected, kept=tally.kept, postponed=tally.postponed, size=tally.size
    )


def _add(model: type[Model], column: str, when: object, kind: Kind, tally: Tally) -> None:
    columns = ("reviewed", "collected", "kept", "postponed", "bytes")
    values = (tally.reviewed, tally.collected, tally.kept, tally.postponed, tally.size)
    sums = ", ".join(f"{each} = run.{each} + EXCLUDED.{each}" for each in columns)
    execute(
        f"INSERT INTO {model._meta.db_table} AS run ({column}, kind, {', '.join(columns)})"
        f" VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT ({column}, kind) DO UPDATE SET {sums}",
        [when, kind.value, *values],
    )


def forget_figures() -> None:
    """Forget the minutes of yesterday, and why targets failed that are waiting no longer, or anew because something
    happened to them.
    """
    CollectionMinute.objects.filter(minute__lt=timezone.now() - _MINUTES_ARE_KEPT).delete()
    for kind, model in REVIEWS.items():
        failing = model._default_manager.filter(pk=OuterRef("target_id"), attempts__gt=0)
        CollectionFailure.objects.filter(~Exists(failing), kind=kind).delete()
