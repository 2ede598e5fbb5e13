"""Uploads to a store that takes parts of any size and puts them together under the upload's key.

What the upload's row remembers (`State`) takes one of these forms; sizes in bytes:

- `{}`: nothing is stored, and `{"empty": true}`: nothing needs to be, the content has no bytes so far;
- `{"whole": size}`: all of it fitted into one part and is an object already, under its final key;
- `{"parts": [[size, id], …]}`: parts whose ids no other write can have. Each request leaves parts of its own, so
  what a failed or late writer sent is in nobody's list.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from blobs.storage.base import BlobStore, BytesMissing, KeySealed, State, Written
from blobs.storage.part_buffers import PartBuffer, get_rooms

log = logging.getLogger("lading.storage")

# Every object may be opened by a browser that followed a redirect: it must be saved, never shown.
CONTENT_TYPE, CONTENT_DISPOSITION = "application/octet-stream", "attachment"

_FAILURES_ENOUGH = 3

Part = list[Any]


class ObjectExists(Exception):
    """The key has an object already."""


def object_name(prefix: str, key: str) -> str:
    if key.startswith("/") or ".." in key.split("/"):
        raise ValueError(f"storage key {key!r} leaves the root directory")
    return f"{prefix}{key}"


def stored_size(state: State) -> int:
    """The bytes that a state stands for."""
    if "whole" in state:
        return int(state["whole"])
    return sum(int(size) for size, _ in state.get("parts", ())) + int(state.get("tail", 0))


class PartedBlobStore(BlobStore):
    """`failures` is what its client raises; `location` is put before each key, `chunksize` in bytes."""

    failures: tuple[type[Exception], ...]

    def __init__(self, *, location: str, chunksize: int) -> None:
        location = location.strip("/")
        self.prefix = f"{location}/" if location else ""
        self._chunksize = chunksize
        self._probed = False

    @abstractmethod
    def refusals(self) -> AbstractContextManager[None]:
        """Turn `failures` into answers of the registry."""

    @abstractmethod
    def create(self, key: str, content: bytes) -> None:
        """Make an object where there is none; raises ObjectExists."""

    @abstractmethod
    def send_part(self, key: str, content: bytes, parts: list[Part]) -> None:
        """Store the next part durably, and append it to `parts`."""

    @abstractmethod
    def complete(self, key: str, parts: list[Part]) -> None:
        """Make an object of the parts where there is none; raises ObjectExists."""

    @abstractmethod
    def find_size(self, key: str) -> int | None:
        """The size of an object; None where there is none."""

    @abstractmethod
    def parts_size(self, key: str, parts: list[Part]) -> int | None:
        """How much of the parts is there; None when nothing is."""

    @abstractmethod
    def remains_size(self, key: str) -> int | None:
        """How much is there that belongs to the key without being its object; None when nothing is."""

    def discard_parts(self, key: str, known: list[Part], parts: list[Part]) -> None:
        """Drop what a write stored that failed; `known` are acknowledged. A store that forgets parts needs nothing."""

    def part_size(self, parts: list[Part]) -> int:
        """Bytes of the next part."""
        return self._chunksize

    def name(self, key: str) -> str:
        return object_name(self.prefix, key)

    def write(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        offset: int,
        state: State,
        is_last: Callable[[], bool] | None = None,
    ) -> Written:
        self.name(key)
        if stored_size(state) != offset:
            raise BytesMissing({"reason": f"the state of the upload is not that of byte {offset}"})
        with self.refusals():
            if offset and ("whole" in state or self.find_size(key) is not None):
                # An object cannot be appended to: neither a small upload, nor one whose transaction failed.
                raise KeySealed
            known = [list(part) for part in state.get("parts", ())]
            parts = [*known]
            try:
                return self._write(key, chunks, state, parts)
            except BaseException:
                self._discard(key, known, parts)
                raise

    def _write(self, key: str, chunks: Iterable[bytes], state: State, parts: list[Part]) -> Written:
        with PartBuffer(get_rooms()) as part:
            started = False
            for chunk in chunks:
                started = started or bool(chunk)
                rest = memoryview(chunk)
                while rest:
                    size = self.part_size(parts)
                    rest = part.take(rest, size)
                    if part.size == size:
                        self.send_part(key, bytes(part.content()), parts)
                        part.clear()
            if not started:
                return Written(stored_size(state), state or {"empty": True})
            return self._finish(key, bytes(part.content()), parts)

    def _finish(self, key: str, content: bytes, parts: list[Part]) -> Written:
        if not parts:
            try:
                self.create(key, content)
            except ObjectExists as error:
                raise KeySealed([content]) from error
            return Written(len(content), {"whole": len(content)})
        if content:
            self.send_part(key, content, parts)
        return Written(sum(size for size, _ in parts), {"parts": parts})

    def seal(self, key: str, *, size: int, state: State) -> bool:
        name = self.name(key)
        if not state or stored_size(state) != size:
            log.error("the state of %s does not stand for %d bytes: %s", name, size, state)
            raise BytesMissing({"reason": f"{size} bytes of this upload are not stored"})
        with self.refusals():
            if "whole" in state:
                if self.find_size(key) != size:
                    raise BytesMissing({"reason": "the bytes of this upload are gone"})
                return True
            parts = [list(part) for part in state.get("parts", ())]
            try:
                if parts:
                    self.complete(key, parts)
                else:
                    self.create(key, b"")
            except ObjectExists as error:
                return self._was_completed(key, size, parts, error)
            except self.failures as error:
                return self._was_completed(key, size, parts, error)
            return True

    def delete_many(self, keys: Sequence[str]) -> dict[str, Exception]:
        failures: dict[str, Exception] = {}
        for key in keys:
            if len(failures) < _FAILURES_ENOUGH:
                failures |= super().delete_many([key])
            else:
                # The store is down: trying them all would only take long.
                failures[key] = next(iter(failures.values()))
        return failures

    def size(self, key: str, *, state: State | None = None) -> int | None:
        self.name(key)
        with self.refusals():
            size = self.find_size(key)
            if size is not None:
                return size
            if state is None:
                # Something of it may be there all the same.
                return self.remains_size(key)
            return self.parts_size(key, list(state["parts"])) if "parts" in state else None

    def _was_completed(self, key: str, size: int, parts: list[Part], error: Exception) -> bool:
        """Decide what a failed completion means; False: so many bytes are there, whoever wrote them."""
        found = self.find_size(key)
        if found == size:
            log.warning("completing %s was not answered plainly (%s), but its %d bytes are there", key, error, size)
            return False
        if found is not None or isinstance(error, ObjectExists) or (parts and self.parts_size(key, parts) != size):
            raise BytesMissing({"reason": "the parts of this upload are gone"}) from error
        raise error

    def _discard(self, key: str, known: list[Part], parts: list[Part]) -> None:
        try:
            self.discard_parts(key, known, parts)
        except self.failures as error:
            log.warning("the parts of an upload to %s that failed stay until it is deleted: %s", key, error)
