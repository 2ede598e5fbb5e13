"""Faults: one part after the other breaks, in the order of a seed, and is whole again some seconds later."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from tests.fault_proxy import Kind
from tests.live.inspection import embedded_workers, web_processes
from tests.soak.content import digest_of
from tests.soak.installation import MIB, Installation
from tests.soak.sighting import Fault
from tests.soak.wire import Wire

SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 4.0
# Beyond what the checker allows, so that it can tell how late it was.
PATIENCE_SECONDS = 130
_S3_FAULTS: tuple[Kind, ...] = ("500", "503", "reset", "lost", "truncated", "delay")


class Breaker:
    def __init__(self, installed: Installation, seed: int) -> None:
        self._installed = installed
        self._choice = random.Random(f"faults {seed}")
        self.faults: list[Fault] = []
        self._acts: dict[str, Callable[[], None]] = {
            "kill a web process": self._kill_web,
            "kill the worker": self._kill_worker,
            "kill the whole server": self._kill_server,
            "restart PostgreSQL at once": self._restart_database,
        }
        if installed.proxy is not None:
            self._acts |= {"let the store fail": self._fail_store, "let the store hang": self._hang_store}
        elif installed.mounted:
            self._acts |= {"fill the disk": self._fill_disk, "make the disk read-only": self._lock_disk}

    def run(self, until: float) -> None:
        """Break one part after the other until then, and wait each time until the registry works again."""
        for kind in self._order():
            self._pause()
            if time.monotonic() > until:
                return
            fault = Fault(kind, begun=time.monotonic())
            self.faults.append(fault)
            self._acts[kind]()
            fault.healed = time.monotonic()
            self._wait_for_recovery(fault)
            served, collected = (_after(fault, moment) for moment in (fault.recovered, fault.collected))
            print(
                f"  fault {len(self.faults)}: {kind} for {fault.healed - fault.begun:.1f} s,"
                f" pushes and pulls {served}, collection {collected}",
                flush=True,
            )

    def _order(self) -> Iterator[str]:
        while True:
            kinds = sorted(self._acts)
            self._choice.shuffle(kinds)
            yield from kinds

    def _pause(self) -> None:
        time.sleep(self._choice.uniform(SHORTEST_SECONDS, LONGEST_SECONDS))

    def _wait_for_recovery(self, fault: Fault) -> None:
        """Push a blob and pull it, and see it go, as no manifest comes for it."""
        wire = Wire(self._installed.server.host, timeout=PATIENCE_SECONDS)
        deadline, content = fault.healed + PATIENCE_SECONDS, os.urandom(1000)
        digest = digest_of(content)
        while fault.collected is None and time.monotonic() < deadline:
            if fault.recovered is None:
                pushed = wire.send("POST", f"/v2/soak/probe/blobs/uploads/?digest={digest}", content)
                if pushed is None or pushed.status != 201:
                    time.sleep(0.1)
                    continue
            pulled = wire.send("GET", f"/v2/soak/probe/blobs/{digest}")
            if pulled is not None and pulled.status in {200, 404}:
                fault.recovered = fault.recovered or time.monotonic()
                fault.collected = time.monotonic() if pulled.status == 404 else None
            time.sleep(0.1)
        wire.close()

    # Processes

    def _kill_web(self) -> None:
        if processes := web_processes(self._installed.server):
            os.kill(self._choice.choice(processes), signal.SIGKILL)

    def _kill_worker(self) -> None:
        if self._installed.celery:
            self._installed.kill_celery("worker")
            self._pause()
            self._installed.start_celery("worker")
        else:
            for pid in embedded_workers(self._installed.server):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _kill_server(self) -> None:
        self._installed.server.kill()
        self._installed.server.start()

    def _restart_database(self) -> None:
        self._installed.postgres.end_at_once()
        time.sleep(self._choice.uniform(0, SHORTEST_SECONDS))
        self._installed.postgres.start_again()

    # Storage

    def _fail_store(self) -> None:
        assert self._installed.proxy is not None
        self._installed.proxy.fail(self._choice.choice(_S3_FAULTS))
        self._pause()
        self._installed.proxy.heal()

    def _hang_store(self) -> None:
        assert self._installed.proxy is not None
        self._installed.proxy.fail("hang")
        self._pause()
        self._installed.proxy.heal()

    def _fill_disk(self) -> None:
        filler = self._installed.server.data / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(MIB)):
                pass
        self._pause()
        filler.unlink()

    def _lock_disk(self) -> None:
        """Let the disk take nothing any more, as after an error; it must be so for a moment in which nobody writes."""
        for _ in range(200):
            if self._mount("remount,ro"):
                self._pause()
                break
            time.sleep(0.01)
        self._mount("remount,rw")

    def _mount(self, options: str) -> bool:
        command = ["mount", "-o", options, str(self._installed.server.data)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _after(fault: Fault, moment: float | None) -> str:
    return "never" if moment is None else f"{moment - fault.healed:.1f} s later"
