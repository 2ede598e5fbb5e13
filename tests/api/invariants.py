"""What must hold after every request."""

from blobs.models import Blob, StorageDeletion, UploadSession
from blobs.storage import BlobStore


def assert_every_byte_is_named_once(store: BlobStore) -> None:
    """Every stored byte is named by exactly one of upload, blob and deletion."""
    named = [
        key
        for model in (UploadSession, Blob, StorageDeletion)
        for key in model.objects.values_list("storage_key", flat=True)
        if key is not None
    ]
    assert len(named) == len(set(named))
    assert {item.key for item in store.objects()} <= set(named)
