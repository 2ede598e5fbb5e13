"""Blobs in Google Cloud Storage: parts are objects of their own, which the store composes under the upload's key."""

import re
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.auth.credentials import Signing

from blobs.storage.base import ByteStream, StoredObject
from blobs.storage.gcs_client import FAILURES, RegistryGCSStorage, patience, refusals
from blobs.storage.gcs_stream import GCSRange
from blobs.storage.parts import CONTENT_DISPOSITION, CONTENT_TYPE, ObjectExists, Part, PartedBlobStore, log

# The store composes no more objects at a time, but composed ones again.
MOST_COMPOSED = 32
_DELETED_AT_ONCE = 8
# Putting large objects together takes longer than any other answer.
_COMPOSE_SECONDS = 60
_PART = re.compile(r"\.part\.[0-9]+\.[0-9a-f]+\Z")


class GCSBlobStore(PartedBlobStore):
    driver = "gcs"
    failures = FAILURES

    def __init__(self, storage: RegistryGCSStorage) -> None:
        super().__init__(location=storage.location, chunksize=storage.chunksize)
        self._times = storage.times
        self._client = storage.make_client()
        self._bucket = self._client.bucket(storage.bucket_name)
        self._session = storage.make_session(self._client)

    def refusals(self) -> AbstractContextManager[None]:
        return refusals()

    def create(self, key: str, content: bytes) -> None:
        self._upload(self.name(key), content)

    def send_part(self, key: str, content: bytes, parts: list[Part]) -> None:
        part = _new_part(len(content), level=0)
        with suppress(ObjectExists):  # Nobody else knows the name: our own request was repeated after a lost answer.
            self._upload(self._part_name(key, part), content)
        parts.append(part)
        # 32 of one level become one of the next, so that a state names few parts, whatever the size of the upload.
        while len(parts) >= MOST_COMPOSED and len({_level(part) for part in parts[-MOST_COMPOSED:]}) == 1:
            self._fold(key, parts)

    def complete(self, key: str, parts: list[Part]) -> None:
        if self.find_size(key) is not None:
            raise ObjectExists
        while len(parts) > MOST_COMPOSED:
            self._fold(key, parts)
        self._compose(self.name(key), [self._part_name(key, part) for part in parts])
        try:
            # Also those of writers that failed, and those that were folded into others.
            self._delete_names([name for name, _ in self._list(f"{key}.part.")])
        except FAILURES as error:
            log.warning("the parts of the upload of %s stay until it is deleted: %s", key, error)

    def find_size(self, key: str) -> int | None:
        found = self._bucket.get_blob(self.name(key), timeout=self._times, retry=patience())
        return None if found is None else int(found.size)

    def parts_size(self, key: str, parts: list[Part]) -> int | None:
        wanted = {self._part_name(key, part) for part in parts}
        found = [size for name, size in self._list(f"{key}.part.") if name in wanted]
        return sum(found) if found else None

    def remains_size(self, key: str) -> int | None:
        found = [size for name, size in self._list(f"{key}.part.") if _PART.search(name)]
        return sum(found) if found else None

    def discard_parts(self, key: str, known: list[Part], parts: list[Part]) -> None:
        self._delete_names([self._part_name(key, part) for part in parts if part not in known])

    def open_range(self, key: str, start: int, stop: int) -> ByteStream:
        name = self.name(key)
        place = f"/download/storage/v1/b/{self._bucket.name}/o/{quote(name, safe='')}?alt=media"
        return GCSRange(self._session, self._client.api_endpoint + place, name, start, stop, self._times)

    def signed_url(self, key: str, *, lifetime: timedelta) -> str | None:
        if self.redirect:
            return self.redirect(key, lifetime)
        if not isinstance(self._client._credentials, Signing):
            # Without a key of its own, each address would cost a request to Google's signer: the bytes go through us.
            return None
        url: str = self._bucket.blob(self.name(key)).generate_signed_url(
            version="v4",
            method="GET",
            expiration=lifetime,
            response_type=CONTENT_TYPE,
            response_disposition=CONTENT_DISPOSITION,
            credentials=self._client._credentials,
            api_access_endpoint=self._client.api_endpoint,
        )
        return url

    def delete(self, key: str) -> None:
        name = self.name(key)
        with refusals():
            # The object itself whether or not it is there; with it what writers left that no row names.
            self._delete_names([name, *(part for part, _ in self._list(f"{key}.part."))])

    def objects(self) -> Iterator[StoredObject]:
        start = len(self.prefix)
        with refusals():
            for item in self._find("blobs/"):
                key = _PART.sub("", item.name[start:])
                yield StoredObject(key, int(item.size), key == item.name[start:], item.updated)

    def check(self) -> None:
        with refusals():
            if self._probed:
                next(self._list("blobs/", most=1), None)
                return
            # That the bucket can be written to is asked once; writing costs money.
            probe = self._bucket.blob(self.name(".writable"))
            probe.upload_from_string(b"", content_type=CONTENT_TYPE, timeout=self._times, retry=patience())
            self._probed = True

    def _upload(self, name: str, content: bytes) -> None:
        blob = self._bucket.blob(name)
        blob.content_disposition = CONTENT_DISPOSITION
        try:
            blob.upload_from_string(
                content,
                content_type=CONTENT_TYPE,
                if_generation_match=0,
                timeout=self._times,
                retry=patience(),
                checksum="crc32c",
            )
        except PreconditionFailed as error:
            raise ObjectExists from error

    def _fold(self, key: str, parts: list[Part]) -> None:
        """Make one part of the last ones. These stay until the upload is sealed, since its row may name them."""
        taken = parts[-MOST_COMPOSED:]
        folded = _new_part(sum(size for size, _ in taken), level=1 + max(map(_level, taken)))
        with suppress(ObjectExists):
            self._compose(self._part_name(key, folded), [self._part_name(key, part) for part in taken])
        parts[-MOST_COMPOSED:] = [folded]

    def _compose(self, name: str, sources: list[str]) -> None:
        target = self._bucket.blob(name)
        target.content_type, target.content_disposition = CONTENT_TYPE, CONTENT_DISPOSITION
        try:
            target.compose(
                [self._bucket.blob(source) for source in sources],
                if_generation_match=0,
                timeout=(self._times[0], _COMPOSE_SECONDS),
                retry=patience(),
            )
        except PreconditionFailed as error:
            raise ObjectExists from error

    def _part_name(self, key: str, part: Part) -> str:
        return f"{self.name(key)}.part.{part[1]}"

    def _list(self, key: str, *, most: int | None = None) -> Iterator[tuple[str, int]]:
        for item in self._find(key, most=most):
            yield str(item.name), int(item.size)

    def _find(self, key: str, *, most: int | None = None) -> Iterator[Any]:
        yield from self._client.list_blobs(
            self._bucket,
            prefix=self.name(key),
            max_results=most,
            fields="items(name,size,updated),nextPageToken",
            timeout=self._times,
            retry=patience(),
        )

    def _delete_names(self, names: Sequence[str]) -> None:
        if len(names) == 1:
            self._delete_name(names[0])
        elif names:
            with ThreadPoolExecutor(min(len(names), _DELETED_AT_ONCE)) as pool:
                list(pool.map(self._delete_name, names))

    def _delete_name(self, name: str) -> None:
        try:
            self._bucket.blob(name).delete(timeout=self._times, retry=patience())
        except NotFound:
            return


def _new_part(size: int, *, level: int) -> Part:
    return [size, f"{level}.{secrets.token_hex(8)}"]


def _level(part: Part) -> int:
    return int(str(part[1]).partition(".")[0])
