"""The figures of a Celery worker: what its processes count, on a port of its own, `celery.metrics`.

Without that address the worker's processes count for nobody.
"""

import logging
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from celery import signals
from django.conf import settings

from registry_project.config.http import parse_listen
from registry_project.metrics_folder import shared_folder

log = logging.getLogger("lading.worker")

_ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - no host means all, as for http.addr
_until_the_end = ExitStack()
_started: dict[str, float] = {}


def prepare() -> None:
    """This will make the processes of a Celery worker count together; in other programs it does nothing.

    No signal of Celery comes before prometheus_client is imported, so the command line has to tell.
    """
    is_worker = Path(sys.argv[0]).stem in {"celery", "__main__"} and "worker" in sys.argv
    if is_worker and settings.CONFIGURATION.celery.metrics:
        _until_the_end.enter_context(shared_folder())
        signals.worker_ready.connect(_listen)
        signals.worker_shutdown.connect(_end)


def _listen(**_: object) -> None:
    from prometheus_client import CollectorRegistry, start_wsgi_server

    from registry_project.metrics import Counted

    address: str = settings.CONFIGURATION.celery.metrics or ""
    listen = parse_listen(address)
    registry = CollectorRegistry()
    registry.register(Counted())
    try:
        server, _thread = start_wsgi_server(listen.port, listen.host or _ALL_ADDRESSES, registry)
    except OSError as error:
        log.error("no metrics of this worker: celery.metrics %s: %s", address, error)
        return
    _until_the_end.callback(server.shutdown)
    log.info("metrics of this worker on %s", address)


def _end(**_: object) -> None:
    _until_the_end.close()


@signals.task_prerun.connect
def _begin_round(task_id: str, **_: object) -> None:
    _started[task_id] = time.monotonic()


@signals.task_postrun.connect
def _end_round(task_id: str, task: Any, state: str | None = None, **_: object) -> None:
    from registry_project.metrics import background_round

    seconds = time.monotonic() - _started.pop(task_id, time.monotonic())
    background_round(task.name, seconds=seconds, succeeded=state == "SUCCESS")
