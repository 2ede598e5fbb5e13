"""The folder in which the processes of one server, or of one Celery worker, count together.

It has to be named before prometheus_client is imported, which then decides how to count.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_FOLDER_PREFIX = "lading-metrics-"
_OWNER_LOCK = "owner.lock"


@contextmanager
def shared_folder() -> Iterator[Path]:
    """This will make the folder in which the processes count, tell them by the environment, and remove it at the end.

    It lies in memory where the machine offers that. Folders of servers that were killed are removed first.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it, for us alone
    base = memory if os.access(memory, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    _remove_abandoned(base)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=base))
    try:
        with (folder / _OWNER_LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(b"held\n")
            lock.flush()
            os.environ[FOLDER_VARIABLE] = str(folder)
            yield folder
    finally:
        os.environ.pop(FOLDER_VARIABLE, None)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(base: Path) -> None:
    for lock_path in base.glob(f"{_FOLDER_PREFIX}*/{_OWNER_LOCK}"):
        with suppress(OSError), lock_path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock_path.stat().st_size:  # Empty: just made, not locked yet.
                shutil.rmtree(lock_path.parent, ignore_errors=True)
