"""What runs periodically, for Celery's beat and for the embedded worker alike."""

from datetime import timedelta
from typing import Any

from django.conf import settings

from accounts.tasks import purge_failed_sign_ins, purge_old_refresh_tokens, rotate_signing_keys, warn_of_ends
from blobs.tasks import drain_deletions, purge_uploads, roll_up
from events.receivers import receivers
from events.tasks import deliver_notifications, keep_audit_log
from registry_gc.collection.tasks import collect, sweep
from registry_project.tasks import clear_sessions
from repositories.tasks import end_expired, scrub

_SWEEP_INTERVAL = timedelta(minutes=1)
_ROLL_UP_INTERVAL = timedelta(seconds=30)
_NOTIFICATIONS_INTERVAL = timedelta(seconds=1)
_SIGN_IN_PURGE_INTERVAL = timedelta(minutes=1)
_SESSIONS_INTERVAL = timedelta(hours=6)
_EXPIRY_INTERVAL = timedelta(seconds=30)
_SCRUB_INTERVAL = timedelta(seconds=10)
_AUDIT_INTERVAL = timedelta(hours=1)
_ACCOUNTS_INTERVAL = timedelta(hours=1)


def periodic_tasks() -> list[tuple[Any, timedelta]]:
    """Celery tasks, which are callable as plain functions, and the pause between their rounds."""
    tasks: list[tuple[Any, timedelta]] = [
        (collect, settings.GC_INTERVAL),
        (sweep, _SWEEP_INTERVAL),
        (drain_deletions, settings.GC_INTERVAL),
        (purge_uploads, settings.UPLOAD_PURGING_INTERVAL),
        (clear_sessions, _SESSIONS_INTERVAL),
        (roll_up, _ROLL_UP_INTERVAL),
        (end_expired, _EXPIRY_INTERVAL),
        (keep_audit_log, _AUDIT_INTERVAL),
    ]
    if settings.AUTH_KIND != "none":
        tasks.append((purge_failed_sign_ins, _SIGN_IN_PURGE_INTERVAL))
    if settings.AUTH_KIND == "lading":
        tasks += [(task, _ACCOUNTS_INTERVAL) for task in (rotate_signing_keys, purge_old_refresh_tokens, warn_of_ends)]
    if receivers():
        tasks.append((deliver_notifications, _NOTIFICATIONS_INTERVAL))
    if settings.SCRUB_ENABLED:
        tasks.append((scrub, _SCRUB_INTERVAL))
    return tasks


def waits_outside(task: Any) -> bool:
    """Whether a round may last as long as a storage or a receiver likes: nothing else may wait for it."""
    return task in (drain_deletions, deliver_notifications, scrub)


def takes_long(task: Any) -> bool:
    """Whether a round lasts minutes by intention: nobody may wait for its end."""
    return task is scrub
