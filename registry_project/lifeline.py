"""Child processes that end when their parent is killed, so that nothing holds the port or the queue."""

import os
import signal
import threading
import time

_PERIOD_SECONDS = 1.0
_VARIABLE = "LADING_PARENT_PID"


def mark_parent() -> None:
    """Tell the processes that this one starts whose end is theirs."""
    os.environ[_VARIABLE] = str(os.getpid())


def end_with_parent() -> None:
    """End this process soon after the one that called `mark_parent` is gone, and leave Ctrl-C to that one."""
    marked = os.environ.get(_VARIABLE)
    if marked and int(marked) != os.getpid():
        # A terminal sends Ctrl-C to everyone at once, and Granian's workers do not survive being told twice.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        threading.Thread(target=_watch, args=(int(marked),), name="lifeline", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PERIOD_SECONDS)
    os._exit(1)
