"""The embedded worker: the periodic tasks in one process beside the server, where there is no Celery broker.

They run one after the other, in one thread; what waits for a storage or a receiver has a thread of its own.
"""

import logging
import os
import signal
import threading
import time
from datetime import timedelta
from types import FrameType
from typing import Any

from registry_project.lifeline import end_with_parent

log = logging.getLogger("lading.background")

_SHORTEST_PAUSE_SECONDS = 0.1


def main() -> None:
    """Run every task at once and then at its interval, until SIGTERM; a task that fails waits for its next turn."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_project.settings")
    end_with_parent()
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import django

    django.setup()
    _run_until(stopping)


def _run_until(stopping: threading.Event) -> None:
    from registry_project.schedule import periodic_tasks, takes_long, waits_outside
    from registry_project.tracing import start_tracing

    start_tracing()
    tasks = periodic_tasks()
    for task, interval in filter(lambda each: waits_outside(each[0]), tasks):
        # What takes long the process does not wait for at the end: what it has not finished it begins again.
        arguments = ([(task, interval)], stopping)
        threading.Thread(target=_repeat, args=arguments, name=task.name, daemon=takes_long(task)).start()
    _repeat([each for each in tasks if not waits_outside(each[0])], stopping)


def _repeat(tasks: list[tuple[Any, timedelta]], stopping: threading.Event) -> None:
    from django.db import close_old_connections

    from registry_project.metrics import background_round

    due = dict.fromkeys(range(len(tasks)), time.monotonic())
    while not stopping.is_set():
        for index, (task, interval) in enumerate(tasks):
            if due[index] > time.monotonic() or stopping.is_set():
                continue
            started = time.monotonic()
            try:
                task()
                background_round(task.name, seconds=time.monotonic() - started, succeeded=True)
            except Exception:
                background_round(task.name, seconds=time.monotonic() - started, succeeded=False)
                log.exception("background task %s failed and waits for its next turn", task.name)
            due[index] = time.monotonic() + max(interval.total_seconds(), _SHORTEST_PAUSE_SECONDS)
        close_old_connections()
        stopping.wait(max(min(due.values()) - time.monotonic(), _SHORTEST_PAUSE_SECONDS))
