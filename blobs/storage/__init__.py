"""The only door to the bytes of blobs: Django's storages and django-storages stay behind it."""

from functools import cache
from pathlib import Path

from django.conf import settings
from django.core.files.storage import FileSystemStorage, Storage, storages  # noqa: TID251 - this is the door

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
from blobs.storage.local import LocalBlobStore
from blobs.storage.redirects import make_redirect
from registry_project.metrics import observed

__all__ = [
    "READ_SIZE",
    "BlobStore",
    "ByteStream",
    "BytesMissing",
    "KeySealed",
    "State",
    "StoredObject",
    "WriterBusy",
    "Written",
    "get_store",
]


@cache
def get_store() -> BlobStore:
    """The configured storage, `STORAGES["blobs"]` of the settings."""
    store = _make_store(storages["blobs"])
    if settings.REDIRECT_THROUGH:
        store.redirect = make_redirect(settings.REDIRECT_THROUGH, store.prefix)
    return observed(store, "filesystem" if isinstance(store, LocalBlobStore) else "s3")


def _make_store(storage: Storage) -> BlobStore:
    if isinstance(storage, FileSystemStorage):
        return LocalBlobStore(Path(storage.location))
    # Only who uses S3 pays for its client library.
    from blobs.storage.s3 import S3BlobStore
    from blobs.storage.s3_client import RegistryS3Storage

    if isinstance(storage, RegistryS3Storage):
        return S3BlobStore(storage)
    raise TypeError(f"no blob store for {type(storage).__name__}")
