"""Letting collection rest, and going on: a row, so that every process of every host heeds it."""

from django.db import connection
from django.utils import timezone

from events import audit
from events.audit_actions import AuditAction
from registry_gc.collection.models import CollectionPause
from registry_project.database import fetch_all, writing


def pause_collection(*, actor: str) -> None:
    """Let no further batch begin, anywhere; one that is being worked on ends first. Twice is once."""
    with writing():
        made = fetch_all(
            f"INSERT INTO {CollectionPause._meta.db_table} (id, paused_at, paused_by) VALUES (1, %s, %s)"
            " ON CONFLICT DO NOTHING RETURNING id",
            [_now(), actor],
        )
        if made:
            audit.record(action=AuditAction.COLLECTION_PAUSE)


def resume_collection() -> None:
    with writing():
        pause = CollectionPause.objects.select_for_update().first()
        if pause is None:
            return
        CollectionPause.objects.all().delete()
        detail = {"paused_at": pause.paused_at.isoformat(), "paused_by": pause.paused_by}
        audit.record(action=AuditAction.COLLECTION_RESUME, detail=detail)


def find_pause() -> CollectionPause | None:
    return CollectionPause.objects.first()


def _now() -> object:
    return connection.ops.adapt_datetimefield_value(timezone.now())
