"""What runs periodically, for Celery's beat and for the embedded worker alike."""

from datetime import timedelta
from typing import Any

from django.conf import settings

from blobs.tasks import drain_deletions, purge_uploads


def periodic_tasks() -> list[tuple[Any, timedelta]]:
    """Celery tasks, which are callable as plain functions, and the pause between their rounds."""
    return [
        (drain_deletions, settings.GC_INTERVAL),
        (purge_uploads, settings.UPLOAD_PURGING_INTERVAL),
    ]
