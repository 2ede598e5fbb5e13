"""Right bytes for a damaged blob, from what the storage still has of it under another key.

They are copied and not taken over: whatever happens to the other key meanwhile, a deletion at work above all, either
the copy is whole or nothing has changed.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils import timezone

from blobs.links import discard_bytes, replace_bytes
from blobs.models import Blob, StorageDeletion
from blobs.storage import BytesMissing, get_store
from blobs.verification import UNHURRIED, find_damage, read_pieces
from oci.digests import Digest, new_hasher
from oci.errors import OCIError
from registry_project.database import release_connection, retried, writing

log = logging.getLogger("lading.copies")

# Until the blob names them the outbox names the copied bytes: should we die, it cleans up.
_ABANDONED = timedelta(days=1)
_MOST_TRIED = 3


def heal_from_outbox(blob: Blob) -> bool:
    """Give a damaged blob the bytes of its digest that wait for their deletion; False where there are none."""
    waiting = StorageDeletion.objects.filter(digest=blob.digest, size=blob.size).exclude(storage_key=blob.storage_key)
    # What is deleted last is the likeliest to be there to the end.
    keys = waiting.order_by("-not_before").values_list("storage_key", flat=True)[:_MOST_TRIED]
    return any(heal_from(blob, key) for key in list(keys))


def heal_from(blob: Blob, source_key: str) -> bool:
    """Copy the bytes at another key and make them the blob's; False where they are not the right ones."""
    store = get_store()
    key = store.new_key()
    abandoned_at = timezone.now() + _ABANDONED
    discard_bytes(storage_key=key, not_before=abandoned_at)
    release_connection()
    try:
        is_right = _copy(blob, source_key, key)
    except (OCIError, OSError) as error:
        log.warning("blob %s could not be copied from %s: %s", blob.digest, source_key, error)
        is_right = False
    if is_right and _adopt(blob, key, abandoned_at):
        return True
    StorageDeletion.objects.filter(storage_key=key).update(not_before=timezone.now())
    return False


def _copy(blob: Blob, source_key: str, key: str) -> bool:
    store, hasher = get_store(), new_hasher(Digest.parse(blob.digest).algorithm)

    def hashed() -> Iterator[bytes]:
        for chunk in read_pieces(source_key, blob.size, UNHURRIED):
            hasher.update(chunk)
            yield chunk

    try:
        written = store.write(key, hashed(), offset=0, state={})
        if written.size != blob.size or not blob.digest.endswith(f":{hasher.hexdigest()}"):
            return False
        sure = store.seal(key, size=written.size, state=written.state)
    except BytesMissing:
        return False
    return sure or find_damage(storage_key=key, digest=blob.digest, size=blob.size) is None


@retried
def _adopt(blob: Blob, key: str, abandoned_at: datetime) -> bool:
    with writing():
        held = Blob.objects.select_for_update().filter(pk=blob.pk, storage_key=blob.storage_key).first()
        # A push was faster, or the outbox gave up waiting for us: whoever deletes the bytes has moved their date.
        waiting = StorageDeletion.objects.filter(storage_key=key, not_before=abandoned_at)
        if held is None or not waiting.delete()[0]:
            return False
        replace_bytes(blob=held, storage_key=key, now=timezone.now())
    return True
