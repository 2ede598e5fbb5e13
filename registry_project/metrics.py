"""Prometheus metrics: Distribution's names where it has them, ours begin with `lading_`.

Every process of `lading serve`, or of a Celery worker, counts in files of its own, in one private folder, and whoever
is asked adds them up.
"""

import os
from bisect import bisect_left
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import cache, wraps
from http.client import responses
from pathlib import Path
from threading import Lock
from time import perf_counter, time
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from registry_project.metrics_folder import FOLDER_VARIABLE
from registry_project.tracing import span

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REGISTRY = CollectorRegistry()
# What is read when somebody asks, beside what is counted as it happens.
COLLECTORS: list[Collector] = []

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60)
_SIZES = tuple(1024 * 2**step for step in range(22))  # 1 KiB to 2 GiB
_METHODS = frozenset({"get", "head", "post", "put", "patch", "delete", "options"})
_UPLOADS, _DOWNLOADS = frozenset({"blob_upload", "blob_upload_chunk"}), frozenset({"blob"})

http_requests = Counter(
    "registry_http_requests", "Requests that were answered.", ["handler", "method", "code"], registry=REGISTRY
)
http_duration = Histogram(
    "registry_http_request_duration_seconds",
    "Time from a request's arrival to the last byte of its answer.",
    ["handler", "method"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
http_request_size = Histogram(
    "registry_http_request_size_bytes",
    "Bytes of request bodies that were read.",
    ["handler"],
    buckets=_SIZES,
    registry=REGISTRY,
)
http_response_size = Histogram(
    "registry_http_response_size_bytes",
    "Bytes of answers' bodies that were sent.",
    ["handler"],
    buckets=_SIZES,
    registry=REGISTRY,
)
http_in_flight = Gauge(
    "registry_http_in_flight_requests",
    "Requests that are being answered.",
    ["handler"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
storage_action = Histogram(
    "registry_storage_action_seconds",
    "Time that the storage took.",
    ["driver", "action"],
    registry=REGISTRY,
)
upload_bytes = Counter("lading_upload_bytes", "Bytes of blobs that clients sent.", registry=REGISTRY)
download_bytes = Counter(
    "lading_download_bytes", "Bytes of blobs that were sent to clients, without redirects.", registry=REGISTRY
)
pulls_ignored = Counter(
    "lading_pulls_ignored",
    "Pulls that do not count as use, by the account or the word of the User-Agent.",
    ["by"],
    registry=REGISTRY,
)
background_duration = Histogram(
    "lading_background_duration_seconds",
    "Time that a round of a background task took, however it ended.",
    ["task"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
background_success = Gauge(
    "lading_background_last_success_timestamp_seconds",
    "When a background task last ended well.",
    ["task"],
    multiprocess_mode="max",
    registry=REGISTRY,
)
background_failures = Counter(
    "lading_background_failures", "Rounds of background tasks that failed.", ["task"], registry=REGISTRY
)
collection_targets = Counter(
    "lading_collection_targets",
    "Targets that garbage collection has reviewed, by what came of it.",
    ["kind", "outcome"],
    registry=REGISTRY,
)
collection_bytes = Counter(
    "lading_collection_bytes",
    "Bytes of what garbage collection has removed: blobs as they are stored, manifests as they were pushed.",
    ["kind"],
    registry=REGISTRY,
)
scrub_blobs = Counter(
    "lading_scrub_blobs", "Blobs that were read again, by what came of it.", ["outcome"], registry=REGISTRY
)
scrub_bytes = Counter("lading_scrub_bytes", "Bytes of blobs that were read again.", registry=REGISTRY)
storage_deleted = Counter(
    "lading_storage_deleted", "Stored objects that nothing referred to and that were deleted.", registry=REGISTRY
)
storage_deleted_bytes = Counter("lading_storage_deleted_bytes", "Their bytes.", registry=REGISTRY)
notification_events = Counter(
    "registry_notifications_events",
    "Events for an endpoint: how many there were, and how the attempts to deliver them ended.",
    ["type", "endpoint"],
    registry=REGISTRY,
)
notification_status = Counter(
    "registry_notifications_status", "Answers of an endpoint.", ["code", "endpoint"], registry=REGISTRY
)
pool_connections = Gauge(
    "lading_database_pool_connections",
    "Connections to PostgreSQL that the web processes keep.",
    ["state"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
pool_waiting = Gauge(
    "lading_database_pool_waiting",
    "Requests that wait for a connection to PostgreSQL.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)


class Handler:
    """The meters of one route, looked up once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.in_flight = http_in_flight.labels(name)
        self.request_size = http_request_size.labels(name)
        self.response_size = http_response_size.labels(name)
        self.counted_in = upload_bytes if name in _UPLOADS else None
        self.counted_out = download_bytes if name in _DOWNLOADS else None


handler_meters = cache(Handler)
_requests = cache(http_requests.labels)
_duration = cache(http_duration.labels)
_storage = cache(storage_action.labels)

# What requests have to say waits here, for appending costs them nothing, and is added up once a second.
_begun: deque[Handler] = deque()
_ended: deque[tuple[Handler, str, int, float, int, int, bool]] = deque()
_flushing = Lock()


def request_began(handler: str) -> None:
    """This will count one more request in flight. `handler` is a route's name, never a path."""
    _begun.append(handler_meters(handler))


def request_ended(
    handler: str, method: str, code: int, *, seconds: float, bytes_in: int, bytes_out: int, began: bool = True
) -> None:
    """This will count one answer; `began` says whether `request_began` was called for it."""
    _ended.append((handler_meters(handler), method, code, seconds, bytes_in, bytes_out, began))


def flush() -> None:
    """This will add up what this process has counted since the last time."""
    with _flushing:
        in_flight = Counts(_begun.popleft() for _ in range(len(_begun)))
        totals: Counts[tuple[str, str, str]] = Counts()
        observations: dict[Any, list[float]] = {}
        for _ in range(len(_ended)):
            meters, method, code, seconds, bytes_in, bytes_out, began = _ended.popleft()
            method = method.lower()
            if method not in _METHODS:
                method = "unknown"
            in_flight[meters] -= began
            totals[meters.name, method, str(code)] += 1
            observations.setdefault(_duration(meters.name, method), []).append(seconds)
            observations.setdefault(meters.request_size, []).append(bytes_in)
            observations.setdefault(meters.response_size, []).append(bytes_out)
            if bytes_in and meters.counted_in:
                meters.counted_in.inc(bytes_in)
            if bytes_out and meters.counted_out:
                meters.counted_out.inc(bytes_out)
        for labels, count in totals.items():
            _requests(*labels).inc(count)
        for histogram, values in observations.items():
            _observe_all(histogram, values)
        for meters, change in in_flight.items():
            meters.in_flight.inc(change)


def _observe_all(histogram: Any, values: list[float]) -> None:
    """What `observe` does for one value, with as few writes as there are buckets."""
    histogram._sum.inc(sum(values))
    for index, count in Counts(bisect_left(histogram._upper_bounds, value) for value in values).items():
        histogram._buckets[index].inc(count)


# What the methods of a blob store are called in Distribution's metrics, as far as it has the like.
_ACTIONS = {
    "write": "Writer",
    "seal": "Commit",
    "open_range": "Reader",
    "signed_url": "RedirectURL",
    "delete": "Delete",
    "delete_many": "DeleteMany",
    "size": "Stat",
    "check": "Check",
}
Store = TypeVar("Store")


def observed(store: Store, driver: str) -> Store:
    """This will time the methods of a blob store from now on."""
    for name, action in _ACTIONS.items():
        setattr(store, name, _timed(store, name, driver, action))
    return store


def _timed(store: object, name: str, driver: str, action: str) -> Callable[..., Any]:
    method = getattr(type(store), name)

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        started = perf_counter()
        try:
            with span(f"storage {name}", {"lading.storage.driver": driver}):
                return getattr(type(store), name)(store, *args, **kwargs)
        finally:
            _storage(driver, action).observe(perf_counter() - started)

    return call


def pull_ignored(by: str) -> None:
    """This will count a pull that is no use; `by` is a name of the configuration."""
    pulls_ignored.labels(by).inc()


def background_round(task: str, *, seconds: float, succeeded: bool) -> None:
    """This will note the end of one round of a background task."""
    background_duration.labels(task).observe(seconds)
    if succeeded:
        background_success.labels(task).set(time())
    else:
        background_failures.labels(task).inc()


def targets_reviewed(kind: str, *, collected: int, kept: int, postponed: int, size: int) -> None:
    """This will count what came of a batch of reviews; `size` is the bytes of what was collected."""
    for outcome, count in (("collected", collected), ("kept", kept), ("postponed", postponed)):
        collection_targets.labels(kind, outcome).inc(count)
    collection_bytes.labels(kind).inc(size)


def blob_scrubbed(outcome: str, *, size: int) -> None:
    """This will count one blob that was read again, of `size` bytes."""
    scrub_blobs.labels(outcome).inc()
    scrub_bytes.inc(size)


def bytes_deleted(*, objects: int, size: int) -> None:
    """This will count stored objects that are gone; `size` is their bytes, as far as these are known."""
    storage_deleted.inc(objects)
    storage_deleted_bytes.inc(size)


def events_queued(counts: Mapping[str, int]) -> None:
    """This will count events that wait from now on, by endpoint."""
    for endpoint, count in counts.items():
        notification_events.labels("Events", endpoint).inc(count)


def event_posted(endpoint: str, status: int | None) -> None:
    """This will count one attempt to deliver an event; `status` is None where there was no answer."""
    if status is None:
        notification_events.labels("Errors", endpoint).inc()
        return
    notification_events.labels("Successes" if 200 <= status < 400 else "Failures", endpoint).inc()
    notification_status.labels(f"{status} {responses.get(status, '')}".strip(), endpoint).inc()


class Counted(Collector):
    """What all processes of this server, or of this worker, have counted."""

    def collect(self) -> Iterator[Metric]:
        flush()
        folder = os.environ.get(FOLDER_VARIABLE)
        if not folder or not Path(folder).is_dir():
            yield from REGISTRY.collect()
            return
        _forget_the_dead(Path(folder))
        yield from MultiProcessCollector(None, folder).collect()  # type: ignore[no-untyped-call]


def render() -> bytes:
    """This will write the metrics of all processes in Prometheus' text format."""
    registry = CollectorRegistry()
    for collector in (Counted(), *COLLECTORS):
        registry.register(collector)
    return generate_latest(registry)


def _forget_the_dead(folder: Path) -> None:
    """What a killed process was doing it does no more; what it counted stays counted."""
    for path in folder.glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
