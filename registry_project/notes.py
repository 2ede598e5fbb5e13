"""A thread that writes what requests have noted in memory, so that reading never waits for a write."""

import logging
import threading
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connection

log = logging.getLogger("lading.notes")

_PAUSE_SECONDS = 60


def keep_writing(write: Callable[[], None], *, name: str) -> threading.Thread:
    """This will call `write` once a minute, in a server process, for as long as that lives.

    What a killed process had noted is lost, a minute's worth at most.
    """

    def write_for_ever() -> None:
        pause = threading.Event()
        while not pause.wait(_PAUSE_SECONDS):
            try:
                write()
            except (DatabaseError, InterfaceError) as error:
                log.warning("notes of %s could not be written: %s", name, error)
            finally:
                connection.close()

    thread = threading.Thread(target=write_for_ever, name=name, daemon=True)
    thread.start()
    return thread
