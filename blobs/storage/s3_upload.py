"""An upload on its way into an S3 store.

What the upload's row remembers (`State`) takes one of these forms; sizes in bytes:

- `{}`: nothing is stored, and `{"empty": true}`: nothing needs to be, the content has no bytes so far;
- `{"whole": size}`: all of it fitted into one part and is an object already, under its final key;
- `{"upload": id, "parts": [[size, etag], …], "tail": size}`: a multipart upload. S3 takes no part under 5 MiB but the
  last, so what a request leaves over lies in an object of its own until the next request takes it along.
"""

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from blobs.storage.base import READ_SIZE, KeySealed, State, Written
from blobs.storage.part_buffers import PartBuffer, get_rooms
from blobs.storage.parts import object_name, stored_size
from blobs.storage.s3_client import MOST_PARTS, OBJECT_HEADERS, SMALLEST_PART, has_no_conditions, is_conflict, log
from oci.errors import StorageFull

# After this many parts they grow, so that ten thousand of them hold more than half a terabyte at the default size.
PARTS_OF_ONE_SIZE = 1000


@dataclass(slots=True)
class Objects:
    """Where the objects of a bucket lie, and what each is made with."""

    client: Any
    bucket: str
    prefix: str
    parameters: dict[str, Any]
    conditional: bool = True

    def name(self, key: str) -> str:
        return object_name(self.prefix, key)

    def place(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.name(key)}

    def tail_place(self, key: str, end: int) -> dict[str, str]:
        """Named by its end, so that a tail that is acknowledged is never written over by the next."""
        return self.place(f"{key}.tail.{end}")

    def once(self, call: Callable[..., Any], **arguments: Any) -> Any:
        """Make an object only where there is none: a request that was thought dead must not replace a blob."""
        if self.conditional:
            try:
                return call(**arguments, IfNoneMatch="*")
            except ClientError as error:
                if not has_no_conditions(error):
                    raise
                log.warning("the object store knows no conditional writes; going on without them")
                self.conditional = False
        return call(**arguments)

    def create(self, key: str, content: bytes | bytearray) -> None:
        self.once(self.client.put_object, **self.place(key), Body=content, **OBJECT_HEADERS, **self.parameters)


@dataclass(slots=True)
class PartWriter:
    """Collects bytes in memory, one part of them at most, and sends each part as it is full."""

    objects: Objects
    key: str
    chunksize: int
    state: State
    upload_id: str | None = field(init=False)
    parts: list[list[Any]] = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.upload_id = self.state.get("upload")
        self.parts = [list(part) for part in self.state.get("parts", ())]
        self.size = sum(size for size, _ in self.parts)

    def part_size(self) -> int:
        return self.chunksize * (1 + len(self.parts) // PARTS_OF_ONE_SIZE)

    def write(self, chunks: Iterable[bytes], is_last: Callable[[], bool] | None) -> Written:
        """Send it all; a multipart upload that was begun here is given up when that fails."""
        try:
            return self._write(chunks, is_last)
        except BaseException:
            if self.upload_id and not self.state.get("upload"):
                self._abort(self.upload_id)
            raise

    def _write(self, chunks: Iterable[bytes], is_last: Callable[[], bool] | None) -> Written:
        with PartBuffer(get_rooms()) as part:
            started = False
            for chunk in chunks:
                if chunk and not started:
                    started = True
                    self._take_tail(part)
                rest = memoryview(chunk)
                while rest:
                    rest = part.take(rest, self.part_size())
                    if part.size == self.part_size():
                        self.send(part.content())
                        part.clear()
            if not started:
                return Written(stored_size(self.state), self.state or {"empty": True})
            if self.upload_id is None:
                return self._create(part.content())
            return self._finish(part, is_last)

    def _create(self, content: bytearray) -> Written:
        try:
            self.objects.create(self.key, content)
        except ClientError as error:
            if is_conflict(error):
                raise KeySealed([bytes(content)]) from error
            raise
        return Written(len(content), {"whole": len(content)})

    def _finish(self, part: PartBuffer, is_last: Callable[[], bool] | None) -> Written:
        if part.size >= SMALLEST_PART or (part.size and is_last is not None and is_last()):
            self.send(part.content())
            part.clear()
        end = self.size + part.size
        if part.size:
            place = self.objects.tail_place(self.key, end)
            content = part.content()
            self.objects.client.put_object(**place, Body=content, **OBJECT_HEADERS, **self.objects.parameters)
        return Written(end, {"upload": self.upload_id, "parts": self.parts, "tail": part.size})

    def _take_tail(self, part: PartBuffer) -> None:
        tail = self.state.get("tail", 0)
        if not tail:
            return
        place = self.objects.tail_place(self.key, self.size + tail)
        body = self.objects.client.get_object(**place)["Body"]
        with closing(body):
            for piece in body.iter_chunks(READ_SIZE):
                part.take(memoryview(piece), self.part_size())
        if part.size != tail:
            raise OSError(f"{part.size} bytes of a tail of {tail}")

    def send(self, content: bytearray) -> None:
        """Store the next part, beginning the multipart upload with the first."""
        client, place = self.objects.client, self.objects.place(self.key)
        if len(self.parts) >= MOST_PARTS:
            raise StorageFull({"reason": f"S3 takes no more than {MOST_PARTS} parts: send larger chunks"})
        if self.upload_id is None:
            self.upload_id = client.create_multipart_upload(**place, **OBJECT_HEADERS, **self.objects.parameters)[
                "UploadId"
            ]
        answer = client.upload_part(**place, UploadId=self.upload_id, PartNumber=len(self.parts) + 1, Body=content)
        self.parts.append([len(content), answer["ETag"]])
        self.size += len(content)

    def send_tail(self) -> None:
        with PartBuffer(get_rooms()) as part:
            self._take_tail(part)
            if part.size:
                self.send(part.content())

    def _abort(self, upload_id: str) -> None:
        try:
            self.objects.client.abort_multipart_upload(**self.objects.place(self.key), UploadId=upload_id)
        except (ClientError, BotoCoreError) as error:
            log.warning("an abandoned multipart upload stays until its key is deleted: %s", error)
