"""Background work of this app: thin doors for Celery and for the embedded worker."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from accounts.expiry import warn_of_expiry
from accounts.keys import rotate_keys
from accounts.refresh_tokens import purge_refresh_tokens
from accounts.throttle import purge_failures


@shared_task(name="accounts.purge_failures", ignore_result=True)
def purge_failed_sign_ins(**_: object) -> None:
    """Forget wrong passwords that count no longer."""
    while purge_failures():
        pass


@shared_task(name="accounts.rotate_keys", ignore_result=True)
def rotate_signing_keys(**_: object) -> None:
    """Replace the signing key when it has reached auth.lading.keyrotation."""
    rotate_keys(now=timezone.now(), after=settings.LADING_AUTH.keyrotation)


@shared_task(name="accounts.purge_refresh_tokens", ignore_result=True)
def purge_old_refresh_tokens(**_: object) -> None:
    """Remove refresh tokens that nobody used for auth.lading.refresh."""
    purge_refresh_tokens(now=timezone.now())


@shared_task(name="accounts.warn_of_expiry", ignore_result=True)
def warn_of_ends(**_: object) -> None:
    """Tell the log of robots and access tokens that end within a week."""
    warn_of_expiry()
