"""Who is told what. A receiver is an endpoint of the configuration; a team's webhook will be another kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings

from registry_project.config.other import Endpoint, Notifications
from registry_project.egress import Origin, origin_of

ENDPOINT_PREFIX = "endpoint:"
_TIMEOUT, _THRESHOLD, _BACKOFF = timedelta(seconds=1), 10, timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where to post, how patiently, and what not. `queue` names its rows; `trusted` origins need no permission."""

    name: str
    queue: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: str = field(default="", repr=False)
    timeout: timedelta = _TIMEOUT
    threshold: int = _THRESHOLD
    backoff: timedelta = _BACKOFF
    giveup: timedelta = timedelta(days=1)
    ignored_media_types: frozenset[str] = frozenset()
    ignored_actions: frozenset[str] = frozenset()
    trusted: tuple[Origin, ...] = ()

    def wants(self, action: str, media_type: str) -> bool:
        return action not in self.ignored_actions and media_type not in self.ignored_media_types


def receivers() -> tuple[Receiver, ...]:
    """The endpoints that are switched on, in the order of the configuration."""
    return _endpoints(settings.NOTIFICATIONS)


_known: tuple[Notifications | None, tuple[Receiver, ...]] = (None, ())


def _endpoints(notifications: Notifications) -> tuple[Receiver, ...]:
    # Every pull asks; the configuration itself never changes.
    global _known
    configured, found = _known
    if configured is not notifications:
        found = tuple(_receiver(endpoint) for endpoint in notifications.endpoints if not endpoint.disabled)
        _known = notifications, found
    return found


def _receiver(endpoint: Endpoint) -> Receiver:
    url = endpoint.url or ""
    return Receiver(
        name=endpoint.name,
        queue=ENDPOINT_PREFIX + endpoint.name,
        url=url,
        headers={name: ", ".join(values) for name, values in endpoint.headers.items()},
        secret=endpoint.secret,
        timeout=endpoint.timeout or _TIMEOUT,
        threshold=endpoint.threshold or _THRESHOLD,
        backoff=endpoint.backoff or _BACKOFF,
        giveup=endpoint.giveup,
        ignored_media_types=frozenset((*endpoint.ignoredmediatypes, *endpoint.ignore.mediatypes)),
        ignored_actions=frozenset(endpoint.ignore.actions),
        # The operator's own words: only where it redirects to is looked at.
        trusted=(origin_of(url),),
    )
