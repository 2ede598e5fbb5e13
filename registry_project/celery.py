"""The Celery app: `celery -A registry_project worker` and `… beat`.

Messages only say "look now"; the work itself is in database rows, so a lost message loses nothing.
"""

import os

from celery import Celery

from registry_project import worker_metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_project.settings")

worker_metrics.prepare()
_ANSWER_SECONDS = 2.0

app = Celery("lading")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def check_workers() -> None:
    """Raise unless the broker answers, and a worker through it; a broker that hangs is given up soon."""
    patience = {"socket_connect_timeout": _ANSWER_SECONDS, "socket_timeout": _ANSWER_SECONDS}
    with app.connection_for_write(connect_timeout=_ANSWER_SECONDS, transport_options=patience) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0)
        except Exception as error:
            raise RuntimeError(f"the broker does not answer: {error}") from error
        if not app.control.ping(timeout=_ANSWER_SECONDS, limit=1, connection=connection):
            raise RuntimeError("no worker answers: background work waits")


@app.on_after_finalize.connect
def _schedule(sender: Celery, **_: object) -> None:
    from registry_project.schedule import periodic_tasks

    for task, interval in periodic_tasks():
        # A message that waited for a whole round has been overtaken by the next one.
        sender.add_periodic_task(interval.total_seconds(), task.s(), expires=interval.total_seconds(), name=task.name)
