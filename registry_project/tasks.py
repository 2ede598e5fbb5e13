"""Background work that belongs to no single app."""

from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore


@shared_task(name="registry_project.clear_sessions", ignore_result=True)
def clear_sessions(**_: object) -> None:
    """Delete sessions that have expired."""
    SessionStore.clear_expired()
