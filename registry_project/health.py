"""Health checks of Distribution's `health` section: while one fails, the registry answers 503.

While the storage's fails, only what needs the storage does.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from registry_project.config.health import FileCheck, HealthSection, HttpCheck, TcpCheck
from registry_project.config.http import parse_listen

logger = logging.getLogger("lading.health")

# The name that Distribution gives the check of the storage.
STORAGE_CHECK = "storagedriver"

# A worker that is busy does not answer, and two questions in a row may meet the same task.
_ADVICE_SECONDS, _ADVICE_THRESHOLD = 10.0, 2

Probe = Callable[[], object]
Clock = Callable[[], float]


@dataclass(slots=True)
class Check:
    """One probe and what it found; `probe` raises to say that something is wrong."""

    name: str
    probe: Probe
    interval_seconds: float
    threshold: int
    problem: str | None = None
    failures: int = 0
    running_since: float | None = None
    thread: threading.Thread | None = field(default=None, repr=False)

    def run(self, clock: Clock) -> None:
        """Run the probe once. The problem shows after `threshold` failures in a row, at least one."""
        self.running_since = clock()
        try:
            self.probe()
        except Exception as error:  # noqa: BLE001 - whatever a probe raises is its finding
            self.failures += 1
            if self.failures >= self.threshold:
                if self.problem is None:
                    logger.error("unhealthy: %s: %s", self.name, error)
                self.problem = str(error) or type(error).__name__
        else:
            if self.problem is not None:
                logger.info("healthy again: %s", self.name)
            self.failures, self.problem = 0, None
        finally:
            self.running_since = None

    def finding(self, now: float) -> str | None:
        """The problem, or that the probe hangs for as long as `threshold` failures would have taken."""
        since = self.running_since
        patience = self.interval_seconds * (max(self.threshold, 1) + 1)
        if since is not None and now - since > patience:
            return f"the check has not ended for {now - since:.0f} s"
        return self.problem


class HealthMonitor:
    """Runs each check in a daemon thread of its own, so that one that hangs does not stop the others."""

    def __init__(
        self,
        health: HealthSection,
        *,
        check_storage: Probe,
        check_celery: Probe | None = None,
        down_flag: Path | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """`check_storage` raises when the storage does not work; while `down_flag` exists, an operator said no.

        What `check_celery` raises is only a warning: without background work, pushes and pulls go on.
        """
        self._down_flag = down_flag
        self._clock = clock
        self._stopping = threading.Event()
        self.checks: list[Check] = []
        driver = health.storagedriver
        if driver.enabled:
            seconds = driver.interval.total_seconds()
            self.checks.append(Check(STORAGE_CHECK, check_storage, seconds, driver.threshold))
        self.checks += [_file_check(file) for file in health.file]
        self.checks += [_http_check(web) for web in health.http]
        self.checks += [_tcp_check(tcp) for tcp in health.tcp]
        self.advisers: list[Check] = []
        if check_celery is not None:
            self.advisers.append(Check("celery", check_celery, _ADVICE_SECONDS, _ADVICE_THRESHOLD))

    def start(self) -> None:
        """This will begin to check, at once and then at each interval. A second call does nothing."""
        for check in (*self.checks, *self.advisers):
            if check.thread is None:
                name = f"health-{check.name}"
                check.thread = threading.Thread(target=self._repeat, args=(check,), name=name, daemon=True)
                check.thread.start()

    def stop(self) -> None:
        """This will end the checks, without waiting for a probe that runs at this moment."""
        self._stopping.set()

    def run_all(self) -> None:
        """This will run every check once, in the caller's thread."""
        for check in (*self.checks, *self.advisers):
            check.run(self._clock)

    def problems(self) -> dict[str, str]:
        """This will give what is wrong by the check's name; empty means healthy. It waits for nobody."""
        problems = self._findings(self.checks)
        if self._down_flag is not None and os.access(self._down_flag, os.F_OK):
            problems["manual_http_status"] = "taken out of service by an operator"
        return problems

    def warnings(self) -> dict[str, str]:
        """This will give what is wrong without stopping the registry, by the check's name. It waits for nobody."""
        return self._findings(self.advisers)

    def _findings(self, checks: Iterable[Check]) -> dict[str, str]:
        now = self._clock()
        findings = ((check.name, check.finding(now)) for check in checks)
        return {name: finding for name, finding in findings if finding is not None}

    def _repeat(self, check: Check) -> None:
        while not self._stopping.is_set():
            check.run(self._clock)
            # An interval of zero would spin.
            self._stopping.wait(max(check.interval_seconds, 0.01))


def _file_check(check: FileCheck) -> Check:
    path = str(check.file)

    def probe() -> None:
        if os.path.exists(path):  # noqa: PTH110 - unlike Path.exists it never raises
            raise RuntimeError("the file exists")

    return Check(path, probe, check.interval.total_seconds(), 0)


def _tcp_check(check: TcpCheck) -> Check:
    host, port = parse_listen(check.addr)
    timeout = (check.timeout or check.interval).total_seconds()

    def probe() -> None:
        socket.create_connection((host, port), timeout=timeout or None).close()

    return Check(check.addr, probe, check.interval.total_seconds(), check.threshold)


class _KeepHead(HTTPRedirectHandler):
    def redirect_request(self, req: Request, *args: Any) -> Request | None:
        request = super().redirect_request(req, *args)
        if request is not None:
            request.method = req.get_method()
        return request


def _http_check(check: HttpCheck) -> Check:
    uri = check.uri or ""
    timeout = (check.timeout or check.interval).total_seconds()
    opener = build_opener(_KeepHead)

    def probe() -> None:
        request = Request(uri, method="HEAD")  # noqa: S310 - the configuration admits http and https only
        for name, values in check.headers.items():
            request.add_header(name, ", ".join(values))
        try:
            with opener.open(request, timeout=timeout or None) as response:
                status = response.status
        except HTTPError as error:
            status = error.code
            error.close()
        if status != check.statuscode:
            raise RuntimeError(f"answered {status}, expected {check.statuscode}")

    return Check(_without_password(uri), probe, check.interval.total_seconds(), check.threshold)


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
