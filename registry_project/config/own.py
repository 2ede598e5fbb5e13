"""Lading's own sections."""

import os
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from registry_project.config.section import Ignored, Secret, Section
from registry_project.config.values import Duration, DurationOrNever, Positive, Text, Untyped


class Pool(Section):
    max: Positive = 20
    """Most connections that one web process keeps to PostgreSQL."""


class Database(Section):
    url: Annotated[Text | None, Secret()] = Field(default=None, repr=False)
    """`postgresql://user:password@host:5432/name` or `sqlite:////absolute/path`; unset, `lading.db` in the root
    directory."""
    pool: Pool = Pool()
    """Connection pool."""


class Celery(Section):
    broker: Annotated[Text | None, Secret()] = Field(default=None, repr=False)
    """`redis://host:6379/0`; unset, the server does the background work itself."""


class Collection(Section):
    grace: Duration = timedelta(hours=24)
    """How long a blob stays after its upload, mount or last use."""
    untagged: DurationOrNever = timedelta(days=7)
    """How long an untagged manifest stays; `never` keeps it for ever."""
    interval: Duration = timedelta(seconds=5)
    """Pause between two rounds."""


class Trash(Section):
    keep: Duration = timedelta(days=7)
    """How long a deleted or moved tag can be restored."""


def _available_cores() -> int:
    return min(len(os.sched_getaffinity(0)), 4)


class Web(Section):
    workers: Positive = Field(default_factory=_available_cores)
    """Processes that answer requests; as many as there are processor cores, at most 4."""
    threads: Positive = 512
    """Most requests that one process answers at a time."""


_LATER = "it has no effect yet"
Retention = Annotated[Untyped, Ignored(_LATER)]
Teams = Annotated[Untyped, Ignored(_LATER)]
Admin = Annotated[Untyped, Secret(), Ignored("there are no accounts yet")]
