"""Background work of this app: thin doors for Celery and for the embedded worker."""

from celery import shared_task

from registry_gc.collection.figures import forget_figures
from registry_gc.collection.pausing import find_pause
from registry_gc.collection.rounds import run_round
from registry_gc.collection.sweep import sweep_step


@shared_task(name="collection.collect", ignore_result=True)
def collect(**_: object) -> None:
    """Collect what is due."""
    run_round()


@shared_task(name="collection.sweep", ignore_result=True)
def sweep(**_: object) -> None:
    """Look for garbage that no event announced, a piece of each table at a time."""
    if find_pause() is None:
        sweep_step()
    forget_figures()
