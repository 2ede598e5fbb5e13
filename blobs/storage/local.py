"""Blobs as local files: written beside their final name, synced, renamed, and the folder synced."""

import errno
import fcntl
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from blobs.storage.base import (
    READ_SIZE,
    BlobStore,
    BytesMissing,
    ByteStream,
    KeySealed,
    State,
    StoredObject,
    WriterBusy,
    Written,
)
from oci.errors import StorageFull, Unavailable

log = logging.getLogger("lading.storage")

_PARTIAL = ".partial"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class LocalBlobStore(BlobStore):
    driver = "filesystem"

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        offset: int,
        state: State,
        is_last: Callable[[], bool] | None = None,
    ) -> Written:
        path = self._path(key)
        with _refusals():
            if path.exists():
                # Perhaps a blob by now, of a request that took over while we slept: its bytes are not ours to touch.
                raise KeySealed
            partial = self._open_partial(key)
            try:
                if path.exists() or not _is_file_at(partial, _partial_path(path)):
                    raise KeySealed  # Sealed while we opened it.
                return Written(_append(partial, chunks, offset), {})
            finally:
                os.close(partial)

    def seal(self, key: str, *, size: int, state: State) -> bool:
        path = self._path(key)
        with _refusals():
            if not path.exists():
                _give_final_name(path, size)
            try:
                sealed = path.stat().st_size
            except FileNotFoundError:
                raise BytesMissing({"reason": "nothing was written"}) from None
            if sealed != size:
                # Perhaps a blob by now, of a request that did not hear its answer: it stays as it is.
                raise BytesMissing({"reason": f"{sealed} bytes of this upload were sealed, not {size}"})
            _sync_folder(path.parent)
        return True

    def open_range(self, key: str, start: int, stop: int) -> ByteStream:
        with _refusals():
            try:
                descriptor = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError as error:
                log.critical("the file of storage key %s is missing", key)
                raise BytesMissing from error
        return _FileRange(descriptor, start, stop)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _refusals():
            _partial_path(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    def size(self, key: str, *, state: State | None = None) -> int | None:
        path = self._path(key)
        for candidate in (path, _partial_path(path)):
            with _refusals(), suppress(FileNotFoundError):
                return candidate.stat().st_size
        return None

    def objects(self) -> Iterator[StoredObject]:
        for folder, _, names in os.walk(self._root / "blobs"):
            for name in names:
                path = Path(folder, name)
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue  # Deleted since the folder was listed.
                key = path.relative_to(self._root).as_posix()
                yield StoredObject(
                    key.removesuffix(_PARTIAL),
                    status.st_size,
                    complete=not key.endswith(_PARTIAL),
                    changed_at=datetime.fromtimestamp(status.st_mtime, UTC),
                )

    def check(self) -> None:
        with _refusals():
            self._root.mkdir(parents=True, exist_ok=True)
            probe = self._root / ".writable"
            probe.touch()

    def _path(self, key: str) -> Path:
        path = self._root / key
        if ".." in path.parts or not path.is_relative_to(self._root):
            raise ValueError(f"storage key {key!r} leaves the root directory")
        return path

    def _open_partial(self, key: str) -> int:
        path = self._path(key)
        _make_folder(path.parent)
        return _open_alone(_partial_path(path), os.O_CREAT)


class _FileRange(ByteStream):
    """Pieces of an open file; it closes the file at the end, or when the answer is given up."""

    def __init__(self, descriptor: int, start: int, stop: int) -> None:
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self._left = stop - start
        self._file.seek(start)

    def __next__(self) -> bytes:
        if not self._left:
            self.close()
            raise StopIteration
        chunk = self._file.read(min(READ_SIZE, self._left))
        if not chunk:
            self.close()
            # The length is promised already: only a broken connection tells the client.
            raise BytesMissing
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        self._file.close()


def _open_alone(partial: Path, flags: int = 0) -> int:
    """Open a file for writing, and keep other writers out: one that was thought dead may come back to life."""
    descriptor = os.open(partial, os.O_RDWR | os.O_CLOEXEC | flags, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise WriterBusy from error
    return descriptor


def _give_final_name(path: Path, size: int) -> None:
    """Rename the partial file, without what was never acknowledged; nothing where there is none or no more."""
    partial = _partial_path(path)
    try:
        descriptor = _open_alone(partial)
    except FileNotFoundError:
        return
    try:
        if path.exists() or not _is_file_at(descriptor, partial):
            return  # Sealed while we opened it.
        # The bytes are durable since `write`; here it is their name that must be.
        written = os.fstat(descriptor).st_size
        if written < size:
            raise BytesMissing({"reason": f"fewer than {size} bytes of this upload are stored"})
        if written > size:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        partial.rename(path)
    finally:
        os.close(descriptor)


def _append(descriptor: int, chunks: Iterable[bytes], offset: int) -> int:
    if os.fstat(descriptor).st_size < offset:
        raise BytesMissing({"reason": f"fewer than {offset} bytes of this upload are stored"})
    os.ftruncate(descriptor, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    size = offset
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
            size += len(chunk)
        # A failed sync is never tried again: the kernel may have dropped the pages it could not write.
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, offset)
        raise
    return size


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _partial_path(path: Path) -> Path:
    return path.with_name(path.name + _PARTIAL)


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents, durably: a synced file in an unsynced folder is lost with the folder."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.error("the storage refused: %s", error)
        if error.errno in _FULL:
            raise StorageFull({"reason": os.strerror(error.errno)}) from error
        raise Unavailable({"reason": "the storage failed"}) from error
