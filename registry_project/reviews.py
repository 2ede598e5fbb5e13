"""Arming of reviews: every event that can make garbage sets a date with collection, in its own transaction."""

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, models
from django.utils import timezone

from registry_project.database import is_postgresql

# Of the time until the review. It only ever comes later: until then something may be promised.
_JITTER = 0.1
_MOST_JITTER = timedelta(hours=1)


def arm_reviews(model: type[models.Model], target_ids: Iterable[int], *, review_after: datetime, reason: str) -> None:
    """Set or postpone the review of each target, never hasten it, and count its version up.

    Each comes a little later than it is told, so that what was deleted at once does not fall due at once.

    The version tells a worker that something happened since it claimed the review. Rows are written in the order
    of their ids, as every other transaction does, so that two of them cannot wait for each other.
    """
    spread = min(max(review_after - timezone.now(), timedelta()) * _JITTER, _MOST_JITTER)
    _arm(model, target_ids, review_after, spread, reason, "GREATEST" if is_postgresql() else "MAX")


def hasten_reviews(
    model: type[models.Model], target_ids: Iterable[int], *, review_after: datetime, reason: str
) -> None:
    """As `arm_reviews`, but never postpone: somebody wants the space before the trash is over."""
    _arm(model, target_ids, review_after, timedelta(), reason, "LEAST" if is_postgresql() else "MIN")


def _arm(
    model: type[models.Model],
    target_ids: Iterable[int],
    review_after: datetime,
    spread: timedelta,
    reason: str,
    choose: str,
) -> None:
    ids = sorted(set(target_ids))
    if not ids:
        return
    table, key = model._meta.db_table, model._meta.pk.column
    rows = ", ".join(["(%s, %s, 0, %s, 1)"] * len(ids))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} AS review ({key}, review_after, attempts, reason, version) VALUES {rows}"
            f" ON CONFLICT ({key}) DO UPDATE SET version = review.version + 1, attempts = 0,"
            f" reason = EXCLUDED.reason, review_after = {choose}(review.review_after, EXCLUDED.review_after)",
            [value for target_id in ids for value in (target_id, _within(review_after, spread), reason)],
        )


def _within(moment: datetime, spread: timedelta) -> Any:
    """A moment of the database's, up to `spread` later."""
    return connection.ops.adapt_datetimefield_value(moment + random.random() * spread)  # noqa: S311 - no secret
