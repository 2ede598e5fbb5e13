"""When tags and manifests were pulled last, to the minute: noted in memory, written by a thread, never by a pull.

A HEAD counts as well: docker and containerd ask for a tag by HEAD, and for nothing more where they have its manifest.
docs/retention.md says what counts as use, and why.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import TypeVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from registry_project.database import any_of, fetch_all, writing
from registry_project.metrics import pull_ignored
from repositories.models import Manifest, Tag

Row = TypeVar("Row")

BATCH = 500
_MINUTE = timedelta(minutes=1)
_noted: dict[int, datetime] = {}

# Manifests and every index above them.
_USED = """
    WITH RECURSIVE used(id) AS (
        SELECT id FROM repositories_manifest WHERE id {these}
        UNION
        SELECT c.parent_id FROM repositories_manifestchild c JOIN used ON used.id = c.child_id
    )
    SELECT id FROM used ORDER BY id"""


def note_pull(*, manifest_id: int, account: str, agent: str) -> None:
    """This will remember a pull, unless it is no use; it costs a look at the User-Agent and an assignment."""
    if account in settings.PULLS_IGNORED_ACCOUNTS:
        pull_ignored(account)
    elif found := _words(settings.PULLS_IGNORED_AGENTS).search(agent):
        pull_ignored(found[0].lower())
    else:
        _noted[manifest_id] = timezone.now()


@cache
def _words(names: tuple[str, ...]) -> re.Pattern[str]:
    any_name = "|".join(map(re.escape, names)) or "(?!)"
    return re.compile(rf"(?<![\w.-])(?:{any_name})(?![\w.-])", re.IGNORECASE | re.ASCII)


def write_pulls() -> None:
    """This will write what was noted since the last time; what others hold at the moment waits for the next.

    A pull counts for the manifest, for the indexes that it is in, and for the tags of all of these: clusters pull by
    digest, and nobody can tell which tag they came by. Each row is written once a minute at most.
    """
    for noted in _batches(sorted(_noted)):
        moment = max([_noted.pop(manifest_id) for manifest_id in noted])
        these, parameter = any_of(noted)
        used = [int(str(row[0])) for row in fetch_all(_USED.format(these=these), [parameter])]
        for manifest_ids in _batches(used):
            tags = Tag.objects.filter(_older_than(moment), manifest__in=manifest_ids).order_by("pk")
            pointing = dict(tags.values_list("pk", "manifest_id"))
            late = _write(Manifest, manifest_ids, moment)
            for tag_ids in _batches(list(pointing)):
                late |= {pointing[tag_id] for tag_id in _write(Tag, tag_ids, moment)}
            for manifest_id in late:
                _noted.setdefault(manifest_id, moment)


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def _older_than(moment: datetime) -> Q:
    return Q(pulled_at=None) | Q(pulled_at__lt=moment - _MINUTE)


def _write(model: type[models.Model], ids: Sequence[int], moment: datetime) -> set[int]:
    """The ids of rows that somebody else held."""
    rows = model._default_manager.filter(_older_than(moment), pk__in=ids)
    with writing():
        held = list(rows.select_for_update(no_key=True, skip_locked=True).order_by("pk").values_list("pk", flat=True))
        model._default_manager.filter(pk__in=held).update(pulled_at=moment)
        return set(rows.values_list("pk", flat=True)) - set(held)
