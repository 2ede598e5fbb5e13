"""Letting collection rest, and going on: a row, so that every process of every host heeds it."""

from registry_gc.collection.models import CollectionPause


def pause_collection(*, actor: str) -> None:
    """Let no further batch begin, anywhere; one that is being worked on ends first."""
    CollectionPause.objects.bulk_create([CollectionPause(paused_by=actor)], ignore_conflicts=True)


def resume_collection() -> None:
    CollectionPause.objects.all().delete()


def find_pause() -> CollectionPause | None:
    return CollectionPause.objects.first()
