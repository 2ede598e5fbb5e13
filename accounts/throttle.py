"""Against guessing and against floods: wrong passwords are counted in the database, requests in Redis.

Wrong passwords count by account and address together, so that nobody can lock somebody else out from elsewhere, and
by address alone, so that one address cannot try one password on everybody.
"""

from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Count, Min, Q
from django.utils import timezone

from accounts.models import FailedSignIn
from oci.errors import TooManyRequests
from registry_project.database import writing
from registry_project.rates import hit

WINDOW = timedelta(minutes=5)
MOST_PER_ACCOUNT = 10
MOST_PER_ADDRESS = 100
_PURGE_BATCH = 10_000


def check_failures(*, account: str, address: str) -> None:
    """Raise TooManyRequests while an account or everybody at an address has failed too often."""
    since = timezone.now() - WINDOW
    of_account = Q(account=_account(account))
    counts = FailedSignIn.objects.filter(address=address, failed_at__gt=since).aggregate(
        of_address=Count("id"),
        of_address_since=Min("failed_at"),
        of_account=Count("id", filter=of_account),
        of_account_since=Min("failed_at", filter=of_account),
    )
    for who, most in (("of_account", MOST_PER_ACCOUNT), ("of_address", MOST_PER_ADDRESS)):
        if counts[who] >= most:
            wait = counts[f"{who}_since"] + WINDOW - timezone.now()
            raise TooManyRequests(
                {"reason": "too many sign-ins failed from this address; try again later"},
                retry_after=max(1, int(wait.total_seconds()) + 1),
            )


def count_failure(*, account: str, address: str) -> None:
    """Remember a wrong password; a database that takes no writes does not turn the refusal into a failure."""
    try:
        with writing():
            FailedSignIn.objects.create(account=_account(account), address=address)
    except (DatabaseError, InterfaceError):
        connection.close()


def purge_failures() -> int:
    """Delete what counts no longer; how many there were."""
    old = FailedSignIn.objects.filter(failed_at__lt=timezone.now() - WINDOW).values("id")[:_PURGE_BATCH]
    with writing():
        return FailedSignIn.objects.filter(id__in=list(old.values_list("id", flat=True))).delete()[0]


def check_rate(*, caller: str, anonymous: bool) -> None:
    """Raise TooManyRequests when a caller has sent more than `limits` allows; `caller` says who, in any words."""
    rate = settings.LIMITS.anonymous if anonymous else settings.LIMITS.requests
    if rate is None:
        return
    wait_seconds = hit(rate, caller)
    if wait_seconds is not None:
        raise TooManyRequests({"reason": f"more than {rate} requests"}, retry_after=wait_seconds)


def _account(account: str) -> str:
    return account[:255]
