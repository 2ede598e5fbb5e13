"""The only door to the bytes of blobs: Django's storages and django-storages stay behind it."""

from functools import cache
from pathlib import Path

from django.core.files.storage import FileSystemStorage, storages  # noqa: TID251 - this is the door

from blobs.storage.base import READ_SIZE, BlobStore, BytesMissing, StoredObject, WriterBusy
from blobs.storage.local import LocalBlobStore

__all__ = ["READ_SIZE", "BlobStore", "BytesMissing", "StoredObject", "WriterBusy", "get_store"]


@cache
def get_store() -> BlobStore:
    """The configured storage, `STORAGES["blobs"]` of the settings."""
    storage = storages["blobs"]
    if isinstance(storage, FileSystemStorage):
        return LocalBlobStore(Path(storage.location))
    raise TypeError(f"no blob store for {type(storage).__name__}")
