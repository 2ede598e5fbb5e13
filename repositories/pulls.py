"""When tags and manifests were pulled last, to the minute: noted in memory, written by a thread, never by a pull.

A HEAD counts as well: docker and containerd ask for a tag by HEAD and then for its manifest by digest.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice

from django.db import models
from django.db.models import Q
from django.utils import timezone

from registry_project.database import writing
from repositories.models import Manifest, Tag

BATCH = 500
_MINUTE = timedelta(minutes=1)
# Manifests before tags, in transactions of their own.
_noted: dict[type[models.Model], dict[int, datetime]] = {Manifest: {}, Tag: {}}


def note_pull(*, manifest_id: int, tag_id: int | None) -> None:
    """This will remember a pull; it costs two assignments."""
    now = timezone.now()
    _noted[Manifest][manifest_id] = now
    if tag_id is not None:
        _noted[Tag][tag_id] = now


def write_pulls() -> None:
    """This will write what was noted since the last time; what others hold at the moment waits for the next."""
    for model, noted in _noted.items():
        waiting = iter(sorted(noted))
        while ids := list(islice(waiting, BATCH)):
            moments = {row_id: noted.pop(row_id) for row_id in ids}
            for row_id in _write(model, ids, max(moments.values())):
                noted.setdefault(row_id, moments[row_id])


def _write(model: type[models.Model], ids: list[int], moment: datetime) -> Iterable[int]:
    """The ids of rows that somebody else held."""
    rows = model._default_manager.filter(Q(pulled_at=None) | Q(pulled_at__lt=moment - _MINUTE), pk__in=ids)
    with writing():
        held = list(rows.select_for_update(no_key=True, skip_locked=True).order_by("pk").values_list("pk", flat=True))
        model._default_manager.filter(pk__in=held).update(pulled_at=moment)
        return set(rows.values_list("pk", flat=True)) - set(held)
