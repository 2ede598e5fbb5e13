"""The only door to the bytes of blobs: Django's storages and django-storages stay behind it."""

from collections.abc import Callable
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
    return observed(store, store.driver)


def _make_store(storage: Storage) -> BlobStore:
    """Only who uses an object store pays for its client library, which the settings' BACKEND has imported."""
    if isinstance(storage, FileSystemStorage):
        return LocalBlobStore(Path(storage.location))
    make: Callable[[], BlobStore] | None = getattr(storage, "make_blob_store", None)
    if make is None:
        raise TypeError(f"no blob store for {type(storage).__name__}")
    return make()
