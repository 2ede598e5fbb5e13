"""Reading a range of an object, and going on where a connection broke."""

import logging
from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from urllib3.exceptions import HTTPError

from blobs.storage.base import READ_SIZE, BytesMissing, ByteStream
from oci.errors import Unavailable

log = logging.getLogger("lading.storage")

# Connections that may break in a row without a byte in between.
_MOST_BREAKS = 3


class Opened(NamedTuple):
    """An answer on its way: `body` has `read(size)` and `close()`, `size` is in bytes, `version` names what is read."""

    body: Any
    size: int
    version: str | None


class ObjectRange(ByteStream):
    """Bytes `start` to `stop` (exclusive) of an object, by one ranged GET, or more where that one breaks off."""

    failures: tuple[type[Exception], ...] = (HTTPError, OSError)

    def __init__(self, name: str, start: int, stop: int) -> None:
        self._name = name
        self._position, self._stop = start, stop
        self._breaks = 0
        self._version: str | None = None
        self._body: Any = None
        if start < stop:
            with self.refusals():
                self._open()

    @abstractmethod
    def get(self, start: int, stop: int, version: str | None) -> Opened | None:
        """Ask for a range, and nothing but `version` where that is given; None when there is no such object."""

    @abstractmethod
    def refusals(self) -> AbstractContextManager[None]:
        """Turn what `get` raises into answers of the registry."""

    def __next__(self) -> bytes:
        while self._position < self._stop:
            chunk = self._read()
            if chunk:
                self._breaks = 0
                self._position += len(chunk)
                return chunk
        self.close()
        raise StopIteration

    def close(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def _open(self) -> None:
        # Sealed objects never change; asking for the version makes that sure where two answers are put together.
        opened = self.get(self._position, self._stop, self._version)
        if opened is None:
            log.critical("the object %s is missing", self._name)
            raise BytesMissing
        self._body, self._version = opened.body, opened.version
        if opened.size != self._stop - self._position:
            self.close()
            log.critical("the object %s has not the bytes %d to %d", self._name, self._position, self._stop)
            raise BytesMissing

    def _read(self) -> bytes:
        """The next piece; empty after a break that was mended. What cannot be mended breaks the answer off."""
        try:
            if self._body is None:
                self._open()
            chunk: bytes = self._body.read(min(READ_SIZE, self._stop - self._position))
        except self.failures as error:
            broken: object = error
        else:
            if chunk:
                return chunk
            broken = "the connection ended early"
        self.close()
        self._breaks += 1
        log.warning("reading %s broke off at byte %d: %s", self._name, self._position, broken)
        if self._breaks > _MOST_BREAKS:
            # Where a length is promised already, only a broken connection tells the client.
            raise Unavailable({"reason": "the object store broke off"})
        return b""
