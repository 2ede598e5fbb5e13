"""Blobs in Azure Blob Storage: blocks are staged as they come, and one list of them makes the blob."""

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient, ContainerClient, ContentSettings

from blobs.storage.azure_client import FAILURES, Access, RegistryAzureStorage, refusals
from blobs.storage.azure_stream import AzureRange
from blobs.storage.base import ByteStream, StoredObject
from blobs.storage.parts import CONTENT_DISPOSITION, CONTENT_TYPE, ObjectExists, Part, PartedBlobStore, log
from oci.errors import StorageFull

MOST_BLOCKS = 50_000
# After this many blocks they grow, so that the store's 50,000 hold more than two terabytes at the default size.
BLOCKS_OF_ONE_SIZE = 5000
# Putting a long list together takes longer than any other answer.
_COMPLETION_SECONDS = 60
_CONFLICT = {409, 412}
_SETTINGS = ContentSettings(content_type=CONTENT_TYPE, content_disposition=CONTENT_DISPOSITION)


class AzureBlobStore(PartedBlobStore):
    driver = "azure"
    failures = FAILURES

    def __init__(self, storage: RegistryAzureStorage) -> None:
        super().__init__(location=storage.location, chunksize=storage.chunksize)
        self._container: ContainerClient = storage.client
        self._access = Access(storage)
        self._session = storage.make_session()

    def refusals(self) -> AbstractContextManager[None]:
        return refusals()

    def part_size(self, parts: list[Part]) -> int:
        return self._chunksize * (1 + len(parts) // BLOCKS_OF_ONE_SIZE)

    def create(self, key: str, content: bytes) -> None:
        try:
            self._blob(key).upload_blob(
                content, length=len(content), overwrite=False, validate_content="md5", content_settings=_SETTINGS
            )
        except ResourceExistsError as error:
            raise ObjectExists from error

    def send_part(self, key: str, content: bytes, parts: list[Part]) -> None:
        if len(parts) >= MOST_BLOCKS:
            raise StorageFull({"reason": f"Azure takes no more than {MOST_BLOCKS} blocks: send larger chunks"})
        block_id = secrets.token_hex(8)
        self._blob(key).stage_block(block_id, content, length=len(content), validate_content="md5")
        parts.append([len(content), block_id])

    def complete(self, key: str, parts: list[Part]) -> None:
        try:
            self._blob(key).commit_block_list(
                [BlobBlock(block_id=block_id) for _, block_id in parts],
                content_settings=_SETTINGS,
                match_condition=MatchConditions.IfMissing,
                read_timeout=_COMPLETION_SECONDS,
            )
        except HttpResponseError as error:
            if error.status_code in _CONFLICT:
                raise ObjectExists from error
            raise

    def find_size(self, key: str) -> int | None:
        try:
            return int(self._blob(key).get_blob_properties().size)
        except ResourceNotFoundError:
            return None

    def parts_size(self, key: str, parts: list[Part]) -> int | None:
        stored = self._staged(key)
        return sum(stored.get(block_id, 0) for _, block_id in parts) if stored else None

    def remains_size(self, key: str) -> int | None:
        stored = self._staged(key)
        return sum(stored.values()) if stored else None

    def open_range(self, key: str, start: int, stop: int) -> ByteStream:
        return AzureRange(self._session, self._access, self._blob(key).url, self.name(key), start, stop)

    def signed_url(self, key: str, *, lifetime: timedelta) -> str | None:
        if self.redirect:
            return self.redirect(key, lifetime)
        try:
            return f"{self._blob(key).url}?{self._access.signature(self.name(key), lifetime)}"
        except FAILURES as error:
            # Signing by a token needs a right of its own, Storage Blob Delegator.
            log.error("no address can be signed, so the bytes go through Lading: %s", error)
            return None

    def delete(self, key: str) -> None:
        blob = self._blob(key)
        with refusals():
            try:
                blob.delete_blob(delete_snapshots="include")
            except ResourceNotFoundError:
                if not self._staged(key):
                    return
                # Staged blocks cannot be deleted; a list that names none of them drops them.
                blob.commit_block_list([])
                blob.delete_blob()

    def objects(self) -> Iterator[StoredObject]:
        start = len(self.prefix)
        with refusals():
            for item in self._container.list_blobs(name_starts_with=self.name("blobs/"), include=["uncommittedblobs"]):
                key, size = item.name[start:], int(item.size or 0)
                # The list does not tell an empty blob from one that is only staged.
                complete = size > 0 or self.find_size(key) is not None
                yield StoredObject(key, size if complete else self.remains_size(key) or 0, complete, item.last_modified)

    def check(self) -> None:
        with refusals():
            if self._probed:
                next(self._container.list_blobs(name_starts_with=self.name("blobs/"), results_per_page=1), None)
                return
            # That the container can be written to is asked once; writing costs money.
            self._blob(".writable").upload_blob(b"", overwrite=True)
            self._probed = True

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(self.name(key))

    def _staged(self, key: str) -> dict[str, int]:
        """The blocks that no list has made a blob of, and their sizes."""
        try:
            _, blocks = self._blob(key).get_block_list("uncommitted")
        except ResourceNotFoundError:
            return {}
        return {str(block.id): int(block.size) for block in blocks}
