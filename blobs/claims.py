"""The claim of one request on an upload session: no two requests may write to the same bytes."""

import logging
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.models import Q, QuerySet
from django.utils import timezone

from blobs.links import discard_bytes
from blobs.models import StorageDeletion, UploadSession
from blobs.storage import Written
from oci.digests import Digest
from oci.errors import BlobUploadBusy, BlobUploadUnknown
from registry_project.database import is_unreachable, release_connection, writing

log = logging.getLogger("lading.uploads")

CLAIM = timedelta(seconds=60)
HEARTBEAT_SECONDS = 15.0


def idle_at(moment: object) -> Q:
    """Sessions that no live writer claims."""
    return Q(busy_until=None) | Q(busy_until__lt=moment)


class Claim:
    """A token in the session's row, good until `busy_until`; the writer moves that time on while it works."""

    def __init__(self, upload: UploadSession) -> None:
        if upload.storage_key is None:
            raise BlobUploadUnknown({"session": str(upload.id)})
        self.upload = upload
        self.key = upload.storage_key
        self._token = uuid.uuid4()

    def take(self) -> None:
        """Claim the session as it was read; raises BlobUploadBusy while another request writes to it."""
        now = timezone.now()
        unchanged = UploadSession.objects.filter(id=self.upload.id, offset=self.upload.offset, completed_digest="")
        with self.released_on_failure():  # It may have been taken although the database's answer was lost.
            if unchanged.filter(idle_at(now)).update(writer_token=self._token, busy_until=now + CLAIM):
                return
        if UploadSession.objects.filter(id=self.upload.id, completed_digest="").exists():
            raise BlobUploadBusy({"session": str(self.upload.id)})
        raise BlobUploadUnknown({"session": str(self.upload.id)})

    def own(self) -> QuerySet[UploadSession]:
        """The session, as long as it is ours."""
        return UploadSession.objects.filter(id=self.upload.id, writer_token=self._token)

    def beating(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass chunks on and renew the claim; raises BlobUploadUnknown as soon as it is lost.

        A chunk that took long to come is not passed on before the claim is known to hold: a writer that slept
        through its claim must not write over its successor's bytes.
        """
        renewed = time.monotonic()
        for chunk in chunks:
            if time.monotonic() - renewed > HEARTBEAT_SECONDS:
                held = self.own().update(busy_until=timezone.now() + CLAIM)
                release_connection()
                if not held:
                    raise BlobUploadUnknown({"session": str(self.upload.id)})
                renewed = time.monotonic()
            yield chunk

    def record(self, written: Written, digest: Digest | None) -> None:
        """Write down what is durable and end the claim; `digest` is that of all bytes, where it is known."""
        self.upload.offset = written.size
        self.upload.storage_state = dict(written.state)
        self.upload.digest = str(digest or "")
        if not self.own().update(
            offset=written.size,
            storage_state=self.upload.storage_state,
            digest=self.upload.digest,
            writer_token=None,
            busy_until=None,
            expires_at=timezone.now() + settings.UPLOAD_LIFETIME,
        ):
            raise BlobUploadUnknown({"session": str(self.upload.id)})

    def move(self, key: str, written: Written) -> None:
        """Go on under another key, which the outbox has named so far; the old one takes its place there."""
        with writing():
            # First of all: who cancelled, purged or took over the session meanwhile has named the old key.
            if not self.own().update(
                storage_key=key, offset=written.size, storage_state=dict(written.state), digest=""
            ):
                raise BlobUploadUnknown({"session": str(self.upload.id)})
            StorageDeletion.objects.filter(storage_key=key).delete()
            # The request that sealed the old key may still be at it.
            discard_bytes(storage_key=self.key, size=self.upload.offset, not_before=timezone.now() + CLAIM)
        self.key = key
        self.upload.storage_key = key

    @contextmanager
    def released_on_failure(self) -> Iterator[None]:
        """End the claim when the request fails, so that the client need not wait for it to run out."""
        try:
            yield
        except Exception as error:
            if not is_unreachable(error):
                self._release()
            raise

    def _release(self) -> None:
        # What failed may have been this connection; another one can still tell.
        release_connection()
        try:
            self.own().update(writer_token=None, busy_until=None)
        except (DatabaseError, InterfaceError) as error:
            log.warning("the claim on upload %s runs out by itself: %s", self.upload.id, error)
