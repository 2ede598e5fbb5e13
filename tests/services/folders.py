"""Temporary folders that are gone when their process is, or at the next start if it was killed."""

import fcntl
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER_PREFIX = "lading-services-"
OWNER_LOCK = "owner.lock"
# A socket's path may have 107 bytes, and PostgreSQL adds its own name to the folder's.
LONGEST_BASE = 60


@contextmanager
def private_folder(owner: pwd.struct_passwd | None = None) -> Iterator[Path]:
    """This will make an empty folder, readable by `owner` and root only, and remove it afterwards."""
    base = _base_folder(owner)
    _remove_abandoned(base)
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=base))
    try:
        with (folder / OWNER_LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(f"{os.getpid()}\n".encode())
            lock.flush()
            if owner is not None:
                os.chown(folder, owner.pw_uid, owner.pw_gid)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _base_folder(owner: pwd.struct_passwd | None) -> Path:
    """The folder for temporary files, or /tmp where a socket's short name or another user cannot follow."""
    base = Path(tempfile.gettempdir()).resolve()
    reachable = owner is None or all(path.stat().st_mode & 0o001 for path in (base, *base.parents))
    return base if reachable and len(str(base)) <= LONGEST_BASE else Path("/tmp")


def _remove_abandoned(base: Path) -> None:
    """A folder whose lock nobody holds belonged to a process that was killed."""
    for lock_path in base.glob(f"{FOLDER_PREFIX}*/{OWNER_LOCK}"):
        try:
            with lock_path.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if lock_path.stat().st_size:  # empty: just made, not locked yet
                    shutil.rmtree(lock_path.parent, ignore_errors=True)
        except OSError:
            continue
