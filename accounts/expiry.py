"""Robots and access tokens that end soon: shown to whoever looks, and told once to the log."""

import logging
from datetime import datetime, timedelta

from django.utils import timezone

from accounts.models import AccessToken, Robot
from registry_project.database import writing
from registry_project.problems import BadRequest

log = logging.getLogger("lading.accounts")

SOON = timedelta(days=14)
WARNING = timedelta(days=7)
_BATCH = 500


def expires_soon(expires_at: datetime | None) -> bool:
    """Whether something ends within two weeks, or has ended."""
    return expires_at is not None and expires_at <= timezone.now() + SOON


def check_moment_to_come(expires_at: datetime | None) -> None:
    """Raises BadRequest for a moment that is over."""
    if expires_at is not None and expires_at <= timezone.now():
        raise BadRequest("The moment is over.", fields={"expires_at": ["Give a moment to come."]})


def warn_of_expiry(*, now: datetime | None = None) -> int:
    """Log each robot and token that ends within a week, once; the number of them."""
    now = now or timezone.now()
    soon = {"expires_at__gt": now, "expires_at__lte": now + WARNING, "expiry_warned_at": None}
    robots = Robot.objects.filter(**soon, disabled_at=None, team__deleted_at=None).select_related("team")
    tokens = AccessToken.objects.filter(**soon, user__is_active=True).select_related("user")
    ending: list[Robot | AccessToken] = [*robots[:_BATCH], *tokens[:_BATCH]]
    return sum(_warn(item, now) for item in ending)


def _warn(item: Robot | AccessToken, now: datetime) -> bool:
    # Whoever sets the mark is the one who tells, among any number of workers.
    with writing():
        marked = type(item)._default_manager.filter(pk=item.pk, expiry_warned_at=None).update(expiry_warned_at=now)
    if marked:
        what = f"robot {item}" if isinstance(item, Robot) else f"access token {item.name} of {item.user.username}"
        log.warning("the %s ends at %s", what, item.expires_at)
    return bool(marked)
