"""Threads that begin together, and one that stops at a chosen place until it may go on."""

import io
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection

from oci.bodies import RequestBody

PATIENCE_SECONDS = 60


def body(content: bytes = b"") -> RequestBody:
    return RequestBody({"wsgi.input": io.BytesIO(content), "CONTENT_LENGTH": str(len(content))})


def closing_connection(call: Callable[[], Any]) -> Callable[[], Any]:
    """Run a call in a thread of its own and give its connection back, whatever happens."""

    def run() -> Any:
        try:
            return call()
        finally:
            connection.close()

    return run


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """The outcome of each call, or the exception it raised; all begin at the same moment."""
    barrier = threading.Barrier(len(calls))

    def enter(call: Callable[[], Any]) -> Any:
        connection.ensure_connection()
        barrier.wait(PATIENCE_SECONDS)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the outcome is the test's to judge
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(closing_connection(lambda call=call: enter(call))) for call in calls]
        return [future.result(PATIENCE_SECONDS) for future in futures]


def crowded(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """As `at_once` for more calls than there are connections: they begin together and wait for one."""
    barrier = threading.Barrier(len(calls))

    def enter(call: Callable[[], Any]) -> Any:
        barrier.wait(PATIENCE_SECONDS)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the outcome is the test's to judge
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(closing_connection(lambda call=call: enter(call))) for call in calls]
        return [future.result(PATIENCE_SECONDS) for future in futures]


class Gate:
    """A place in the code where the first who comes waits until `open` is called."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()
        self._first = threading.Lock()

    def wait_here(self) -> None:
        if self._first.acquire(blocking=False):
            self.reached.set()
            assert self._opened.wait(PATIENCE_SECONDS), "nobody opened the gate"

    def open(self) -> None:
        self._opened.set()


def gate_before(monkeypatch, target: str) -> Gate:
    """Let the first call of a function, named by its dotted path, wait at its beginning."""
    return _gate(monkeypatch, target, before=True)


def gate_after(monkeypatch, target: str) -> Gate:
    """Let the first call of a function wait when it has done its work."""
    return _gate(monkeypatch, target, before=False)


def _gate(monkeypatch, target: str, *, before: bool) -> Gate:
    gate = Gate()
    module_name, _, function_name = target.rpartition(".")
    module = __import__(module_name, fromlist=[function_name])
    original = getattr(module, function_name)

    def gated(*args: Any, **kwargs: Any) -> Any:
        if before:
            gate.wait_here()
        result = original(*args, **kwargs)
        if not before:
            gate.wait_here()
        return result

    monkeypatch.setattr(module, function_name, gated)
    return gate


@contextmanager
def in_background(call: Callable[[], Any]):
    """A future of the call, which runs in a thread; waits for its end."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(closing_connection(call))


def finish(future: Future) -> Any:
    """The outcome of a call in the background, or the exception it raised."""
    error = future.exception(PATIENCE_SECONDS)
    return error if error is not None else future.result()


def wait_until_blocked(expected: int = 1) -> None:
    """Return when so many of this database's connections wait for another's lock."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0] >= expected:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits for a lock")
