"""Upload sessions: bytes on their way in (distribution-spec, "Pushing blobs").

A request that writes first claims its session, then writes without a database connection, then records what is
durable. The claim is a token and a time until which it is good; a writer moves that time on while bytes arrive.
"""

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain

from django.conf import settings
from django.utils import timezone

from blobs.claims import CLAIM, Claim, idle_at
from blobs.errors import QuotaExceeded
from blobs.links import discard_bytes, link_blob, lock_repository, store_blob
from blobs.models import UploadSession
from blobs.storage import BytesMissing, KeySealed, WriterBusy, Written, get_store
from events import announcements, audit
from events.audit_actions import AuditAction
from oci.bodies import RequestBody
from oci.digests import CANONICAL, Digest, Hasher, new_hasher
from oci.errors import BlobUploadBusy, BlobUploadUnknown, DigestMismatch, RangeInvalid, SizeInvalid, Unavailable
from oci.ranges import ByteRange
from registry_project.database import release_connection, retried, writing

log = logging.getLogger("lading.uploads")

# How long a finished session remembers its outcome, for a client that did not hear the answer.
REMEMBERED = timedelta(hours=1)
PURGE_BATCH = 100
# How long a request may work on bytes that only the outbox names.
ABANDONED = timedelta(days=1)
_MOST_KEYS = 3


class ChunkOutOfOrder(RangeInvalid):
    """The chunk does not start where the session's bytes end; `upload` tells where to go on."""

    def __init__(self, upload: UploadSession, start: int) -> None:
        super().__init__({"expected_start": upload.offset, "start": start})
        self.upload = upload


@dataclass(frozen=True, slots=True)
class UploadOwner:
    """Whose session it has to be: sessions are bound to a repository and to who started them."""

    repository_id: int
    principal: str


def start_upload(*, owner: UploadOwner, digest_algorithm: str = CANONICAL) -> UploadSession:
    """Open a session; its storage key stands in the database before the first byte is written.

    `digest_algorithm` is what the client means to name the blob by (end-4c): a hint that saves a second reading.
    """
    return UploadSession.objects.create(
        repository_id=owner.repository_id,
        principal=owner.principal,
        storage_key=get_store().new_key(),
        digest_algorithm=digest_algorithm,
        expires_at=timezone.now() + settings.UPLOAD_LIFETIME,
    )


def get_upload(*, owner: UploadOwner, session_id: uuid.UUID) -> UploadSession:
    """The open session; raises BlobUploadUnknown, also for a session that is somebody else's."""
    upload = _find_upload(owner, session_id)
    if upload is None or upload.completed_digest:
        raise BlobUploadUnknown({"session": str(session_id)})
    return upload


def append_chunk(
    *, owner: UploadOwner, session_id: uuid.UUID, content_range: ByteRange | None, body: RequestBody
) -> UploadSession:
    """Write a chunk behind what is there (end-5).

    Raises ChunkOutOfOrder when the chunk does not start at the offset, and SizeInvalid when
    fewer bytes came than were declared; those that came are kept, so that the client may resume behind them.
    """
    upload = get_upload(owner=owner, session_id=session_id)
    claim = Claim(upload)
    _check_range(upload, content_range, body)
    claim.take()
    hasher = new_hasher(upload.digest_algorithm) if upload.offset == 0 else None
    with claim.released_on_failure():
        written = _write(claim, body, hasher)
        claim.record(written, Digest(upload.digest_algorithm, hasher.hexdigest()) if hasher else None)
    body.check_complete()
    _check_declared(content_range, body)
    return upload


def complete_upload(
    *,
    owner: UploadOwner,
    session_id: uuid.UUID,
    digest: Digest,
    content_range: ByteRange | None,
    body: RequestBody,
) -> None:
    """Write the last bytes, verify the digest of all of them, and make them a blob of the repository (end-6).

    Asking again after it succeeded succeeds. Raises DigestMismatch, which ends the session.
    """
    upload = _find_upload(owner, session_id)
    if upload is None or upload.completed_digest not in {"", str(digest)}:
        raise BlobUploadUnknown({"session": str(session_id)})
    if upload.completed_digest:
        return
    claim = Claim(upload)
    _check_range(upload, content_range, body)
    try:
        claim.take()
    except BlobUploadUnknown:
        # The same request, sent twice, may have been answered since we looked.
        latest = _find_upload(owner, session_id)
        if latest is None or latest.completed_digest != str(digest):
            raise
        return
    with claim.released_on_failure():
        try:
            known = _take_last_bytes(claim, digest, content_range, body)
            _seal(claim, digest, known)
        except DigestMismatch:
            _discard(claim)
            raise
        _register_or_discard(claim, digest)


def upload_blob(*, owner: UploadOwner, digest: Digest, body: RequestBody) -> None:
    """Take a whole blob from one request (end-4b); raises SizeInvalid and DigestMismatch and keeps nothing then."""
    claim = Claim(start_upload(owner=owner))
    claim.take()
    try:
        _seal(claim, digest, _take_last_bytes(claim, digest, None, body))
    except Unavailable:
        # What the storage did not answer it may still do.
        _discard(claim, settled_after=CLAIM)
        raise
    except Exception:
        _discard(claim)
        raise
    with claim.released_on_failure():
        _register_or_discard(claim, digest)


@retried
def cancel_upload(*, owner: UploadOwner, session_id: uuid.UUID) -> None:
    """End a session; its bytes go to the outbox (end-14)."""
    with writing():
        upload = _find_upload(owner, session_id, lock=True)
        if upload is None or upload.storage_key is None:
            raise BlobUploadUnknown({"session": str(session_id)})
        _end_session(upload)


def purge_expired_uploads(*, limit: int = PURGE_BATCH, dry_run: bool = False) -> int:
    """End sessions that expired and that nobody writes to; how many there were, at most `limit`.

    A dry run ends none and logs each.
    """
    now = timezone.now()
    expired = UploadSession.objects.filter(idle_at(now), expires_at__lt=now).order_by("expires_at")
    if dry_run:
        unfinished = expired.filter(storage_key__isnull=False)[:limit]
        for upload in unfinished:
            log.info(
                "upload %s expired and would be ended: %d bytes since %s", upload.pk, upload.offset, upload.started_at
            )
        return len(unfinished)
    with writing():
        # What another purge or a writer holds is left to it.
        uploads = list(expired.select_for_update(skip_locked=True)[:limit])
        for upload in uploads:
            _end_session(upload)
    return len(uploads)


def end_uploads(*, repository_id: int, limit: int) -> int:
    """End sessions of a repository that nobody writes to, inside the caller's transaction; how many there were."""
    idle = UploadSession.objects.filter(idle_at(timezone.now()), repository_id=repository_id)
    uploads = list(idle.select_for_update(skip_locked=True).order_by("pk")[:limit])
    for upload in uploads:
        _end_session(upload)
    return len(uploads)


def _end_session(upload: UploadSession) -> None:
    now = timezone.now()
    if upload.storage_key is not None:
        # A writer that is still at it finds its claim gone at the next heartbeat; until then it could make the
        # file again behind a deletion.
        busy = upload.busy_until is not None and upload.busy_until > now
        not_before = now + CLAIM if busy else now
        discard_bytes(storage_key=upload.storage_key, size=upload.offset, not_before=not_before)
    upload.delete()


def _find_upload(owner: UploadOwner, session_id: uuid.UUID, *, lock: bool = False) -> UploadSession | None:
    uploads = UploadSession.objects.select_for_update() if lock else UploadSession.objects
    return uploads.filter(id=session_id, repository=owner.repository_id, principal=owner.principal).first()


def _check_range(upload: UploadSession, content_range: ByteRange | None, body: RequestBody) -> None:
    if content_range is None:
        return
    if content_range.start != upload.offset:
        raise ChunkOutOfOrder(upload, content_range.start)
    if body.length is not None and body.length != content_range.size:
        raise SizeInvalid({"content_range": content_range.size, "content_length": body.length})


def _check_declared(content_range: ByteRange | None, body: RequestBody) -> None:
    if content_range is not None and body.received != content_range.size:
        raise SizeInvalid({"content_range": content_range.size, "received": body.received})


def _take_last_bytes(claim: Claim, digest: Digest, content_range: ByteRange | None, body: RequestBody) -> Digest | None:
    """Write what the closing request brings; the digest of all bytes, where one request carried them."""
    upload = claim.upload
    if body.may_have_content or upload.offset == 0:
        hasher = new_hasher(digest.algorithm) if upload.offset == 0 else None
        written = _write(claim, body, hasher, is_last=lambda: body.length is None or body.received == body.length)
        # All or nothing: a client whose closing request broke off sends all of it again, from the offset it knows.
        body.check_complete()
        _check_declared(content_range, body)
        upload.offset, upload.storage_state = written.size, dict(written.state)
        if hasher:
            return Digest(digest.algorithm, hasher.hexdigest())
    if not body.received and upload.digest.startswith(f"{digest.algorithm}:"):
        return Digest.parse(upload.digest)
    return None


def _seal(claim: Claim, digest: Digest, known: Digest | None) -> None:
    """Make the bytes complete and sure that they are the right ones; raises DigestMismatch.

    hashlib cannot save its state, so what came in several requests is read again, and so is what the storage is not
    sure of.
    """
    if known is not None and known != digest:
        raise DigestMismatch({"expected": str(digest), "actual": str(known)})
    release_connection()
    store, upload = get_store(), claim.upload
    try:
        sure = store.seal(claim.key, size=upload.offset, state=upload.storage_state)
    except WriterBusy as error:
        raise BlobUploadBusy from error
    except BytesMissing as error:
        raise BlobUploadUnknown({"reason": "the bytes of this session are gone; start again"}) from error
    if known is not None and sure:
        return
    hasher = new_hasher(digest.algorithm)
    with closing(store.open_range(claim.key, 0, upload.offset)) as stored:
        for chunk in claim.beating(stored):
            hasher.update(chunk)
    actual = Digest(digest.algorithm, hasher.hexdigest())
    if actual != digest:
        raise DigestMismatch({"expected": str(digest), "actual": str(actual)})


def _write(
    claim: Claim, body: RequestBody, hasher: Hasher | None, is_last: Callable[[], bool] | None = None
) -> Written:
    release_connection()
    chunks: Iterable[bytes] = claim.beating(_hashed(body, hasher) if hasher else body)
    upload = claim.upload
    try:
        try:
            return get_store().write(
                claim.key, chunks, offset=upload.offset, state=upload.storage_state, is_last=is_last
            )
        except KeySealed as sealed:
            return _write_elsewhere(claim, chain(sealed.pending, chunks), is_last)
    except WriterBusy as error:
        raise BlobUploadBusy from error
    except BytesMissing as error:
        raise BlobUploadUnknown({"reason": "the bytes of this session are gone; start again"}) from error


def _write_elsewhere(claim: Claim, chunks: Iterable[bytes], is_last: Callable[[], bool] | None) -> Written:
    """Write to a new key what is acknowledged of the old one, and `chunks` behind it."""
    with ExitStack() as stack:
        if claim.upload.offset:
            kept = get_store().open_range(claim.key, 0, claim.upload.offset)
            chunks = chain(claim.beating(stack.enter_context(closing(kept))), chunks)
        for _attempt in range(_MOST_KEYS):
            try:
                return _write_to_new_key(claim, chunks, is_last)
            except KeySealed as sealed:
                # Its answer was lost on the way, and it was tried again.
                chunks = chain(sealed.pending, chunks)
    raise Unavailable({"reason": "the storage answers too rarely"})


def _write_to_new_key(claim: Claim, chunks: Iterable[bytes], is_last: Callable[[], bool] | None) -> Written:
    store = get_store()
    key = store.new_key()
    # Until the session names them, the outbox does: should we die, it cleans up.
    discard_bytes(storage_key=key, not_before=timezone.now() + ABANDONED)
    release_connection()
    written = store.write(key, chunks, offset=0, state={}, is_last=is_last)
    claim.move(key, written)
    release_connection()
    return written


def _hashed(chunks: RequestBody, hasher: Hasher) -> Iterator[bytes]:
    for chunk in chunks:
        hasher.update(chunk)
        yield chunk


def _register_or_discard(claim: Claim, digest: Digest) -> None:
    try:
        _register(claim, digest)
    except QuotaExceeded:
        # What there is no room for must not take room until the session expires.
        _discard(claim)
        raise


@retried
def _register(claim: Claim, digest: Digest) -> None:
    """Give the bytes their new name and the repository its right to them, in one transaction."""
    upload, now = claim.upload, timezone.now()
    with writing():
        held = lock_repository(upload.repository_id)
        # First of all: who cancelled, purged or took over the session meanwhile has won, and has named its bytes.
        if not claim.own().update(
            storage_key=None,
            completed_digest=str(digest),
            writer_token=None,
            busy_until=None,
            expires_at=now + REMEMBERED,
        ):
            raise BlobUploadUnknown({"session": str(upload.id)})
        blob_id = store_blob(digest=digest, size=upload.offset, storage_key=claim.key, now=now)
        link_blob(
            repository_id=upload.repository_id,
            held=held,
            blob_id=blob_id,
            size=upload.offset,
            now=now,
            reason="pushed",
        )
        audit.record(action=AuditAction.BLOB_PUSH, repository=held.name, target=digest, detail={"size": upload.offset})
        announcements.blob_pushed(
            repository_id=upload.repository_id, digest=digest, size=upload.offset, principal=upload.principal
        )


@retried
def _discard(claim: Claim, settled_after: timedelta = timedelta()) -> None:
    with writing():
        if claim.own().delete()[0]:
            not_before = timezone.now() + settled_after
            discard_bytes(storage_key=claim.key, size=claim.upload.offset, not_before=not_before)
