"""A process beside the server that is started again whenever it ends by itself."""

import logging
import threading
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

log = logging.getLogger("lading.server")

# One that cannot even start shall not take a core.
_PAUSE_SECONDS = 1.0


class Keeper:
    """Starts `target` in a new process and watches over it until `stop`."""

    def __init__(self, target: Callable[[], None], *, name: str) -> None:
        self._target, self._name = target, name
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._process = self._start()
        self._watcher = threading.Thread(target=self._watch, name=f"{name}-keeper", daemon=True)
        self._watcher.start()

    def stop(self, *, patience_seconds: float) -> None:
        """Ask the process to end, and kill it where it does not in time."""
        with self._lock:  # no other one is started from here on
            self._ending.set()
        self._process.terminate()
        self._process.join(patience_seconds)
        if self._process.is_alive():
            self._process.kill()
        self._watcher.join()

    def _start(self) -> BaseProcess:
        process = get_context("spawn").Process(target=self._target, name=self._name)
        process.start()
        return process

    def _watch(self) -> None:
        while not self._ending.is_set():
            wait([self._process.sentinel])
            with self._lock:
                if self._ending.is_set():
                    return
                self._process.join()  # the kernel tells of its end a moment before it tells how
                log.error("%s ended with %s and is started again", self._name, self._process.exitcode)
            self._ending.wait(_PAUSE_SECONDS)
            with self._lock:
                if not self._ending.is_set():
                    self._process = self._start()
