"""Putting right what `blobs.integrity` finds, each in a transaction of its own that looks again first.

Each returns what it has done, in words, or None where nothing was left to do. Killed in the middle it leaves what
another run goes on with.
"""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from blobs.claims import idle_at
from blobs.copies import heal_from
from blobs.integrity import is_named
from blobs.models import Blob, StorageDeletion, UploadSession
from blobs.storage import StoredObject, get_store
from registry_project.database import writing


def settle_unnamed(item: StoredObject) -> str | None:
    """Give unnamed bytes back to the damaged blob whose bytes they are, and name them in the outbox either way."""
    healed = ""
    for blob in Blob.objects.filter(quarantined_at__isnull=False, size=item.size).order_by("pk"):
        if heal_from(blob, item.key):
            healed = f"they are those of {blob.digest}, which is whole again; "
            break
    not_before = timezone.now() + max(settings.TRASH_KEEP, settings.GC_LINGER)
    if get_store().size(item.key) is None:
        return healed or None
    with writing():
        # An upload in flight has named its key before the first byte, so nothing will ever name this one.
        if is_named(item.key):
            return healed or None
        deletion = StorageDeletion(storage_key=item.key, size=item.size, not_before=not_before)
        StorageDeletion.objects.bulk_create([deletion], ignore_conflicts=True)
    return f"{healed}they go from {not_before:%Y-%m-%d %H:%M} UTC on"


def end_damaged_upload(upload_id: UUID, *, offset: int) -> str | None:
    """End an upload whose bytes are lost, unless somebody writes to it; its client begins again."""
    now = timezone.now()
    with writing():
        sessions = UploadSession.objects.select_for_update().filter(idle_at(now), pk=upload_id, offset=offset)
        upload = sessions.filter(storage_key__isnull=False).first()
        if upload is None:
            return None
        not_before = now + timedelta(minutes=1)
        StorageDeletion.objects.create(storage_key=upload.storage_key or "", size=offset, not_before=not_before)
        upload.delete()
    return "the upload was ended; its client has to begin again"


def name_once(storage_key: str) -> str | None:
    """Leave bytes to the blob, or else to the upload, and take them away from whoever would delete them."""
    with writing():
        blob = Blob.objects.select_for_update().filter(storage_key=storage_key).first()
        upload = UploadSession.objects.select_for_update().filter(storage_key=storage_key).first()
        if blob is None and upload is None:
            return None
        deleted = StorageDeletion.objects.filter(storage_key=storage_key).delete()[0]
        if blob is not None and upload is not None:
            deleted += upload.delete()[0]
    return f"they belong to {f'blob {blob.digest}' if blob else 'the upload'} alone" if deleted else None
