"""What this process knows of its own state: health checks, connections, and the queues in the database."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from blobs.models import Blob, UploadSession
from blobs.storage import get_store
from events.models import WebhookDelivery
from events.receivers import receivers
from registry_gc.collection.models import Kind
from registry_gc.collection.pausing import find_pause
from registry_gc.collection.progress import MOST_COUNTED, Queue, deletions_queue, queue_of
from registry_project import metrics
from registry_project.celery import check_workers
from registry_project.database import count_up_to, is_postgresql
from registry_project.health import HealthMonitor
from registry_project.metrics_folder import FOLDER_VARIABLE

log = logging.getLogger("lading.monitor")

# In the folder that the processes share: its presence takes all of them out of service.
DOWN_FLAG = "down"
_PAUSE_SECONDS = 1.0
_FRESH_SECONDS = 5.0


@cache
def monitor() -> HealthMonitor:
    """The one monitor; its checks run in the background from the first call on."""
    folder = os.environ.get(FOLDER_VARIABLE)
    health = HealthMonitor(
        settings.CONFIGURATION.health,
        check_storage=lambda: get_store().check(),
        check_celery=check_workers if settings.CELERY_BROKER_URL else None,
        down_flag=Path(folder) / DOWN_FLAG if folder else None,
    )
    health.start()
    return health


@cache
def keep_figures() -> None:
    """This will keep the figures that this process shares up to date, in the background."""
    if os.environ.get(FOLDER_VARIABLE):
        threading.Thread(target=_keep_figures, name="figures", daemon=True).start()


def _keep_figures() -> None:
    pool = connection.pool if is_postgresql() else None  # type: ignore[attr-defined]
    size, idle = metrics.pool_connections.labels("open"), metrics.pool_connections.labels("idle")
    while True:
        metrics.flush()
        if pool is not None:
            figures = pool.get_stats()
            size.set(figures.get("pool_size", 0))
            idle.set(figures.get("pool_available", 0))
            metrics.pool_waiting.set(figures.get("requests_waiting", 0))
        time.sleep(_PAUSE_SECONDS)


class Queues(Collector):
    """The queues in the database, counted when somebody asks, at most once in five seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._families: list[GaugeMetricFamily] = []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            if time.monotonic() - self._read_at > _FRESH_SECONDS:
                self._families = _read_queues()
                self._read_at = time.monotonic()
            yield from self._families


def _read_queues() -> list[GaugeMetricFamily]:
    answers = GaugeMetricFamily("lading_database_up", "1 while the database answers.", value=1)
    try:
        return [answers, *_queues()]
    except (DatabaseError, InterfaceError) as error:
        log.warning("the queues cannot be counted: %s", error)
        return [GaugeMetricFamily("lading_database_up", "1 while the database answers.", value=0)]
    finally:
        if not connection.in_atomic_block:
            connection.close()


def _queues() -> Iterator[GaugeMetricFamily]:
    now = timezone.now()
    uploads = UploadSession._meta.db_table
    deletions = deletions_queue(now=now)
    yield GaugeMetricFamily("lading_storage_deletions", "Keys in the outbox of deletions.", value=deletions.waiting)
    yield GaugeMetricFamily(
        "lading_storage_deletions_failed",
        "Keys whose deletion failed at least once and is tried again.",
        value=deletions.failing,
    )
    yield GaugeMetricFamily(
        "lading_storage_deletions_oldest_due_seconds",
        "How long the deletion that is due longest has been due.",
        value=_age(deletions, now),
    )
    yield GaugeMetricFamily(
        "lading_uploads_open",
        "Upload sessions that are not complete.",
        value=_count(f"SELECT 1 FROM {uploads} WHERE completed_digest = ''"),
    )
    yield from _reviews(now)
    yield from _scrub(now)
    if receivers():
        yield from _notifications(now)


def _reviews(now: datetime) -> Iterator[GaugeMetricFamily]:
    waiting = GaugeMetricFamily("lading_reviews", "Reviews of garbage collection, due or not.", labels=["kind"])
    due = GaugeMetricFamily("lading_reviews_due", "Reviews of garbage collection that are due.", labels=["kind"])
    failing = GaugeMetricFamily(
        "lading_reviews_failed", "Reviews that failed at least once and are tried again.", labels=["kind"]
    )
    oldest = GaugeMetricFamily(
        "lading_reviews_oldest_due_seconds", "How long the review that is due longest has been due.", labels=["kind"]
    )
    for kind in Kind:
        queue = queue_of(kind, now=now)
        waiting.add_metric([kind], queue.waiting)
        due.add_metric([kind], queue.due)
        failing.add_metric([kind], queue.failing)
        oldest.add_metric([kind], _age(queue, now))
    yield from (waiting, due, failing, oldest)
    yield GaugeMetricFamily(
        "lading_collection_paused", "1 while collection rests.", value=int(find_pause() is not None)
    )


def _scrub(now: datetime) -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily(
        "lading_scrub_quarantined_blobs",
        "Blobs whose stored bytes are damaged, and that nobody can pull.",
        value=_count(f"SELECT 1 FROM {Blob._meta.db_table} WHERE quarantined_at IS NOT NULL"),
    )
    first = Blob.objects.filter(scrubbed_at__isnull=False).order_by("scrubbed_at", "id").first()
    yield GaugeMetricFamily(
        "lading_scrub_oldest_seconds",
        "How long ago the blob was read whose turn comes next; with the scrub off it only grows.",
        value=(now - first.scrubbed_at).total_seconds() if first and first.scrubbed_at else 0,
    )


def _notifications(now: datetime) -> Iterator[GaugeMetricFamily]:
    table = WebhookDelivery._meta.db_table
    pending = GaugeMetricFamily(
        "registry_notifications_pending_total", "Events that wait for an endpoint.", labels=["endpoint"]
    )
    parked = GaugeMetricFamily(
        "lading_notifications_parked", "Events that were given up until somebody retries them.", labels=["endpoint"]
    )
    oldest = GaugeMetricFamily(
        "lading_notifications_oldest_seconds", "How long the next event of an endpoint has waited.", labels=["endpoint"]
    )
    for receiver in receivers():
        waiting = f"SELECT 1 FROM {table} WHERE queue = %s AND parked_at IS"
        pending.add_metric([receiver.name], _count(f"{waiting} NULL", receiver.queue))
        parked.add_metric([receiver.name], _count(f"{waiting} NOT NULL", receiver.queue))
        head = WebhookDelivery.objects.filter(queue=receiver.queue, parked_at=None).order_by("id").first()
        oldest.add_metric([receiver.name], (now - head.queued_at).total_seconds() if head else 0)
    yield from (pending, parked, oldest)


def _age(queue: Queue, now: datetime) -> float:
    return (now - queue.oldest_due_at).total_seconds() if queue.oldest_due_at else 0


def _count(rows: str, *parameters: object) -> int:
    return count_up_to(MOST_COUNTED, rows, parameters)


metrics.COLLECTORS.append(Queues())
