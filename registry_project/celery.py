"""The Celery app: `celery -A registry_project worker` and `… beat`.

Messages only say "look now"; the work itself is in database rows, so a lost message loses nothing.
"""

import os

from celery import Celery

from registry_project import worker_metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_project.settings")

worker_metrics.prepare()
app = Celery("lading")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.on_after_finalize.connect
def _schedule(sender: Celery, **_: object) -> None:
    from registry_project.schedule import periodic_tasks

    for task, interval in periodic_tasks():
        # A message that waited for a whole round has been overtaken by the next one.
        sender.add_periodic_task(interval.total_seconds(), task.s(), expires=interval.total_seconds(), name=task.name)
