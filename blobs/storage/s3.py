"""Blobs in an S3 store: streamed multipart uploads, ranged reads, presigned addresses.

Nothing about an upload is learnt from a list, which some stores give late. Lists only find what is to be deleted.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from blobs.storage.base import BlobStore, BytesMissing, ByteStream, KeySealed, State, StoredObject, Written
from blobs.storage.parts import stored_size
from blobs.storage.s3_client import (
    OBJECT_HEADERS,
    SMALLEST_PART,
    RegistryS3Storage,
    error_code,
    is_absent,
    is_conflict,
    log,
    refusals,
)
from blobs.storage.s3_stream import S3Range
from blobs.storage.s3_upload import Objects, PartWriter
from oci.errors import Unavailable

_TAIL = re.compile(r"\.tail\.[0-9]+\Z")
_DELETED_AT_ONCE = 1000
# Each key takes two lists; one after the other they would keep the worker from all else for as long as they take.
_LOOKED_UP_AT_ONCE = 8
_FAILURES_ENOUGH = 3
_WRONG_PARTS = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall"}
# Putting a large object together takes some stores longer than any other answer.
_COMPLETION_SECONDS = 120
# A check that waits as long as an upload may would leave everybody waiting who asks whether we are ready.
_CHECK_SECONDS = 5


class S3BlobStore(BlobStore):
    driver = "s3"

    def __init__(self, storage: RegistryS3Storage) -> None:
        client = storage.make_client()
        self._patient = storage.make_client(read_timeout=_COMPLETION_SECONDS, retries={"total_max_attempts": 2})
        self._impatient = storage.make_client(
            connect_timeout=_CHECK_SECONDS, read_timeout=_CHECK_SECONDS, retries={"total_max_attempts": 1}
        )
        self._presigner = storage.make_client(storage.redirect_endpoint) if storage.redirect_endpoint else client
        prefix = storage.location.strip("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self._objects = Objects(client, storage.bucket_name, self.prefix, dict(storage.object_parameters))
        self._client = client
        self._chunksize = max(storage.chunksize, SMALLEST_PART)
        self._probed = False

    def write(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        offset: int,
        state: State,
        is_last: Callable[[], bool] | None = None,
    ) -> Written:
        writer = PartWriter(self._objects, key, self._chunksize, state)
        with refusals():
            if stored_size(state) != offset:
                raise BytesMissing({"reason": f"the state of the upload is not that of byte {offset}"})
            if offset and ("whole" in state or self._find_size(key) is not None):
                # An object cannot be appended to: neither a small upload, nor one whose transaction failed.
                raise KeySealed
            try:
                return writer.write(chunks, is_last)
            except ClientError as error:
                if offset and is_absent(error):
                    raise BytesMissing({"reason": "the parts of this upload are gone"}) from error
                raise

    def seal(self, key: str, *, size: int, state: State) -> bool:
        name = self._objects.name(key)
        if not state or stored_size(state) != size:
            log.error("the state of %s does not stand for %d bytes: %s", name, size, state)
            raise BytesMissing({"reason": f"{size} bytes of this upload are not stored"})
        with refusals():
            if "whole" in state:
                if self._find_size(key) != size:
                    raise BytesMissing({"reason": "the bytes of this upload are gone"})
                return True
            try:
                self._complete(key, state)
            except (ClientError, BotoCoreError) as error:
                return self._was_completed(key, size, error)
            self._delete_tails(key, state)
            return True

    def open_range(self, key: str, start: int, stop: int) -> ByteStream:
        return S3Range(self._client, self._objects.place(key), start, stop)

    def signed_url(self, key: str, *, lifetime: timedelta) -> str | None:
        if self.redirect:
            return self.redirect(key, lifetime)
        answer = {
            "ResponseContentType": OBJECT_HEADERS["ContentType"],
            "ResponseContentDisposition": OBJECT_HEADERS["ContentDisposition"],
        }
        with refusals():
            return str(
                self._presigner.generate_presigned_url(
                    "get_object",
                    Params={**self._objects.place(key), **answer},
                    ExpiresIn=int(lifetime.total_seconds()),
                )
            )

    def delete(self, key: str) -> None:
        for error in self.delete_many([key]).values():
            raise error

    def delete_many(self, keys: Sequence[str]) -> dict[str, Exception]:
        failures: dict[str, Exception] = {}
        names: dict[str, str] = {}
        with ThreadPoolExecutor(_LOOKED_UP_AT_ONCE, thread_name_prefix="s3-deletions") as pool:
            for some in _batches(list(keys), _LOOKED_UP_AT_ONCE):
                if len(failures) >= _FAILURES_ENOUGH:
                    # The store is down: trying them all would only take long.
                    failures |= {left: failures[next(iter(failures))] for left in keys if left not in names.values()}
                    break
                for key, found in zip(some, pool.map(self._prepare_deletion, some), strict=True):
                    if isinstance(found, Exception):
                        failures[key] = found
                    else:
                        names |= dict.fromkeys(found, key)
        for batch in _batches([name for name, key in names.items() if key not in failures], _DELETED_AT_ONCE):
            failures |= self._delete_batch(batch, names)
        return failures

    def size(self, key: str, *, state: State | None = None) -> int | None:
        with refusals():
            size = self._find_size(key)
            if size is not None:
                return size
            if state is not None:
                return self._acknowledged_size(key, state)
            # Something of it may be there all the same.
            named = [size for name, size, _ in self._list(self._objects.name(key)) if self._belongs(name, key)]
            return sum(named) if named or any(self._open_uploads(key)) else None

    def objects(self) -> Iterator[StoredObject]:
        start = len(self._objects.prefix)
        with refusals():
            for name, size, changed_at in self._list(self._objects.name("blobs/")):
                key = _TAIL.sub("", name[start:])
                yield StoredObject(key, size, key == name[start:], changed_at)
            for name, _, begun_at in self._open_uploads("blobs/", exact=False):
                yield StoredObject(name[start:], 0, complete=False, changed_at=begun_at)

    def check(self) -> None:
        with refusals():
            if self._probed:
                self._impatient.head_bucket(Bucket=self._objects.bucket)
                return
            # That the bucket can be written to is asked once; writing costs money.
            place = self._objects.place(".writable")
            self._impatient.put_object(**place, Body=b"", **self._objects.parameters)
            self._probed = True

    def _complete(self, key: str, state: State) -> None:
        if "empty" in state:
            self._objects.create(key, b"")
            return
        writer = PartWriter(self._objects, key, self._chunksize, state)
        writer.send_tail()
        parts = [{"PartNumber": number, "ETag": etag} for number, (_, etag) in enumerate(writer.parts, 1)]
        self._objects.once(
            self._patient.complete_multipart_upload,
            **self._objects.place(key),
            UploadId=writer.upload_id,
            MultipartUpload={"Parts": parts},
        )

    def _was_completed(self, key: str, size: int, error: Exception) -> bool:
        """Decide what a failed completion means; False: so many bytes are there, whoever wrote them."""
        found = self._find_size(key)
        if found == size:
            log.warning("completing %s was not answered plainly (%s), but its %d bytes are there", key, error, size)
            return False
        if isinstance(error, ClientError) and (
            is_absent(error) or is_conflict(error) or error_code(error) in _WRONG_PARTS
        ):
            raise BytesMissing({"reason": "the parts of this upload are gone"}) from error
        raise error

    def _find_size(self, key: str) -> int | None:
        try:
            return int(self._client.head_object(**self._objects.place(key))["ContentLength"])
        except ClientError as error:
            if is_absent(error):
                return None
            raise

    def _acknowledged_size(self, key: str, state: State) -> int | None:
        """How much of what the state names is there."""
        if "upload" not in state:
            return None
        pages = self._client.get_paginator("list_parts").paginate(**self._objects.place(key), UploadId=state["upload"])
        try:
            stored = {part["PartNumber"]: part["Size"] for page in pages for part in page.get("Parts", ())}
        except ClientError as error:
            if is_absent(error):
                return None
            raise
        size = sum(int(stored.get(number, 0)) for number in range(1, len(state["parts"]) + 1))
        if state["tail"]:
            end = sum(part for part, _ in state["parts"]) + state["tail"]
            size += self._find_size(f"{key}.tail.{end}") or 0
        return size

    def _delete_tails(self, key: str, state: State) -> None:
        # Tails of requests that failed lie there unknown; the blob's deletion finds them.
        if not state.get("tail"):
            return
        try:
            names = [name for name in self._names_of(key) if _TAIL.search(name)]
            self._delete_batch(names, dict.fromkeys(names, key))
        except (ClientError, BotoCoreError) as error:
            log.warning("the remains of the upload of %s stay until it is deleted: %s", key, error)

    def _prepare_deletion(self, key: str) -> set[str] | Exception:
        """End what uploads there are to a key, and give the names of its objects."""
        try:
            with refusals():
                self._abort_uploads(key)
                return self._names_of(key)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other keys must be tried
            return error

    def _names_of(self, key: str) -> set[str]:
        """The object of a key and its tails; the object itself whether or not the list shows it yet."""
        name = self._objects.name(key)
        return {name} | {found for found, _, _ in self._list(name) if self._belongs(found, key)}

    def _belongs(self, name: str, key: str) -> bool:
        return _TAIL.sub("", name) == self._objects.name(key)

    def _list(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._objects.bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", ()):
                yield str(item["Key"]), int(item["Size"]), item["LastModified"]

    def _open_uploads(self, key: str, *, exact: bool = True) -> Iterator[tuple[str, str, datetime]]:
        name = self._objects.name(key)
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._objects.bucket, Prefix=name)
        for page in pages:
            for item in page.get("Uploads", ()):
                if not exact or item["Key"] == name:
                    yield str(item["Key"]), str(item["UploadId"]), item["Initiated"]

    def _abort_uploads(self, key: str) -> None:
        for _, upload_id, _ in list(self._open_uploads(key)):
            try:
                self._client.abort_multipart_upload(**self._objects.place(key), UploadId=upload_id)
            except ClientError as error:
                if not is_absent(error):
                    raise

    def _delete_batch(self, names: Sequence[str], keys: dict[str, str]) -> dict[str, Exception]:
        if not names:
            return {}
        try:
            with refusals():
                answer: dict[str, Any] = self._client.delete_objects(
                    Bucket=self._objects.bucket,
                    Delete={"Objects": [{"Key": name} for name in names], "Quiet": True},
                )
        except Exception as error:  # noqa: BLE001 - each key's row remembers it
            return {keys[name]: error for name in names}
        return {
            keys[item["Key"]]: Unavailable({"reason": f"{item.get('Code')}: {item.get('Message')}"})
            for item in answer.get("Errors", ())
            if item.get("Code") != "NoSuchKey"
        }


def _batches(names: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
