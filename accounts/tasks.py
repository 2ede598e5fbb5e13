"""Background work of this app: thin doors for Celery and for the embedded worker."""

from celery import shared_task

from accounts.throttle import purge_failures


@shared_task(name="accounts.purge_failures", ignore_result=True)
def purge_failed_sign_ins(**_: object) -> None:
    """Forget wrong passwords that count no longer."""
    while purge_failures():
        pass
