"""Child processes that end when their parent is killed, so that nothing holds the port or the queue."""

import os
import threading
import time

_PERIOD_SECONDS = 1.0
_VARIABLE = "LADING_PARENT_PID"


def mark_parent() -> None:
    """Tell the processes that this one starts whose end is theirs."""
    os.environ[_VARIABLE] = str(os.getpid())


def end_with_parent() -> None:
    """End this process soon after the one that called `mark_parent` is gone."""
    marked = os.environ.get(_VARIABLE)
    if marked and int(marked) != os.getpid():
        threading.Thread(target=_watch, args=(int(marked),), name="lifeline", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PERIOD_SECONDS)
    os._exit(1)
