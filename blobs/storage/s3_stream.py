"""Reading a range of an object, and going on where a connection broke."""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from urllib3.exceptions import HTTPError

from blobs.storage.base import READ_SIZE, BytesMissing, ByteStream
from blobs.storage.s3_client import is_absent, log, refusals
from oci.errors import Unavailable

# Connections that may break in a row without a byte in between.
_MOST_BREAKS = 3


class ObjectRange(ByteStream):
    """Bytes `start` to `stop` (exclusive) of an object, by one ranged GET, or more where that one breaks off."""

    def __init__(self, client: Any, place: dict[str, str], start: int, stop: int) -> None:
        self._client, self._place = client, place
        self._position, self._stop = start, stop
        self._breaks = 0
        self._etag: str | None = None
        self._body: Any = None
        if start < stop:
            with refusals():
                self._open()

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
        # Sealed objects never change; the condition makes that sure where two answers are put together.
        unchanged = {"IfMatch": self._etag} if self._etag else {}
        wanted = f"bytes={self._position}-{self._stop - 1}"
        try:
            answer = self._client.get_object(**self._place, Range=wanted, **unchanged)
        except ClientError as error:
            if is_absent(error):
                log.critical("the object %s is missing", self._place["Key"])
                raise BytesMissing from error
            raise
        self._body, self._etag = answer["Body"], answer.get("ETag")
        if answer["ContentLength"] != self._stop - self._position:
            self.close()
            log.critical("the object %s has not the bytes %s", self._place["Key"], wanted)
            raise BytesMissing

    def _read(self) -> bytes:
        """The next piece; empty after a break that was mended. What cannot be mended breaks the answer off."""
        try:
            if self._body is None:
                self._open()
            chunk: bytes = self._body.read(min(READ_SIZE, self._stop - self._position))
        except (BotoCoreError, ClientError, HTTPError, OSError) as error:
            broken: object = error
        else:
            if chunk:
                return chunk
            broken = "the connection ended early"
        self.close()
        self._breaks += 1
        log.warning("reading %s broke off at byte %d: %s", self._place["Key"], self._position, broken)
        if self._breaks > _MOST_BREAKS:
            # Where a length is promised already, only a broken connection tells the client.
            raise Unavailable({"reason": "the object store broke off"})
        return b""
