"""What domain functions call when something happened: one row for each receiver that wants to know.

Rows of a write belong to its transaction, behind all of its locks, so that the order of the rows is that of the
writes. Where no receiver wants an event, announcing it costs nothing.
"""

import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction
from django.utils import timezone

from events.envelopes import Action, Target, envelope, references_of
from events.models import WebhookDelivery
from events.receivers import Receiver, receivers
from registry_project.database import fetch_all, release_connection, writing
from registry_project.metrics import events_queued

log = logging.getLogger("lading.events")

_BLOB = "application/octet-stream"
# A manifest may go with thousands of tags.
_BATCH = 1000
# Tables of an app above this one are named in SQL.
_REPOSITORIES = "repositories_repository"


def manifest_pushed(
    *,
    repository_id: int,
    digest: object,
    media_type: str,
    payload: bytes,
    tags: Iterable[object] = (),
    principal: str = "",
) -> None:
    """One event for each tag, or one without any."""
    if not (wanting := _wanting(Action.PUSH, media_type)):
        return
    name, references = _repository_name(repository_id), _references(payload)
    named = [str(tag) for tag in tags] or [""]
    targets = [_manifest(name, str(digest), media_type, len(payload), tag, references) for tag in named]
    _record(wanting, Action.PUSH, targets, principal)


def manifest_pulled(
    *, name: object, digest: str, media_type: str, size: int, reference: object, payload: bytes, principal: str = ""
) -> None:
    """`payload` may be empty where only the head was asked for."""
    if not (wanting := _wanting(Action.PULL, media_type)):
        return
    tag = "" if ":" in str(reference) else str(reference)
    if not payload and settings.NOTIFICATIONS.events.includereferences:
        payload = _payload(str(name), digest)
    _record_pull(wanting, _manifest(str(name), digest, media_type, size, tag, _references(payload)), principal)


def manifest_deleted(*, repository_id: int, digest: object, tags: Iterable[str] = (), principal: str = "") -> None:
    """The manifest, and then each of the tags that went with it."""
    if not (wanting := _wanting(Action.DELETE)):
        return
    name = _repository_name(repository_id)
    targets = [Target(name, digest=str(digest)), *(Target(name, tag=tag) for tag in tags)]
    _record(wanting, Action.DELETE, targets, principal)


def tag_deleted(*, repository_id: int, tag: object, principal: str = "") -> None:
    if wanting := _wanting(Action.DELETE):
        target = Target(_repository_name(repository_id), tag=str(tag))
        _record(wanting, Action.DELETE, [target], principal)


def repository_deleted(*, name: object, principal: str = "") -> None:
    if wanting := _wanting(Action.DELETE):
        _record(wanting, Action.DELETE, [Target(str(name))], principal)


def blob_pushed(*, repository_id: int, digest: object, size: int, principal: str = "") -> None:
    if wanting := _wanting(Action.PUSH, _BLOB):
        _record(wanting, Action.PUSH, [_blob(_repository_name(repository_id), str(digest), size)], principal)


def blob_mounted(*, repository_id: int, digest: object, size: int, origin: str) -> None:
    if wanting := _wanting(Action.MOUNT, _BLOB):
        target = _blob(_repository_name(repository_id), str(digest), size, from_repository=origin)
        _record(wanting, Action.MOUNT, [target])


def blob_pulled(*, name: object, digest: object, size: int, principal: str = "") -> None:
    if wanting := _wanting(Action.PULL, _BLOB):
        _record_pull(wanting, _blob(str(name), str(digest), size), principal)


def blob_quarantined(*, digest: object, size: int, tags: Iterable[tuple[str, str]]) -> None:
    """The stored bytes are damaged: one event for each tag (repository and name) that needs it."""
    if wanting := _wanting(Action.QUARANTINE, _BLOB):
        targets = [_blob(repository, str(digest), size, tag=tag) for repository, tag in tags]
        _record(wanting, Action.QUARANTINE, targets)


def blob_deleted(*, repository_id: int, digest: object) -> None:
    if wanting := _wanting(Action.DELETE):
        _record(wanting, Action.DELETE, [Target(_repository_name(repository_id), digest=str(digest))])


def _wanting(action: Action, media_type: str = "") -> list[Receiver]:
    return [receiver for receiver in receivers() if receiver.wants(action, media_type)]


def _record(wanting: Sequence[Receiver], action: Action, targets: Iterable[Target], principal: str = "") -> None:
    now, rows = timezone.now(), list[WebhookDelivery]()
    for target in targets:
        event_id = uuid.uuid4()
        body = envelope(event_id, action, target, actor=principal, now=now)
        rows += [WebhookDelivery(queue=item.queue, event_id=event_id, body=body, queued_at=now) for item in wanting]
    WebhookDelivery.objects.bulk_create(rows, batch_size=_BATCH)
    transaction.on_commit(lambda: events_queued({item.name: len(rows) // len(wanting) for item in wanting}))


def _record_pull(wanting: Sequence[Receiver], target: Target, principal: str) -> None:
    """A pull writes nothing else, and a full disk that stops pushes must not stop pulls."""
    try:
        with writing():
            _record(wanting, Action.PULL, [target], principal)
    except (DatabaseError, InterfaceError) as error:
        log.error("a pull of %s could not be recorded for notifications: %s", target.repository, error)
    finally:
        release_connection()


def _manifest(
    name: str, digest: str, media_type: str, size: int, tag: str, references: Sequence[Mapping[str, Any]]
) -> Target:
    return Target(name, media_type, digest, size, tag=tag, path=f"{name}/manifests/{digest}", references=references)


def _blob(name: str, digest: str, size: int, from_repository: str = "", tag: str = "") -> Target:
    return Target(name, _BLOB, digest, size, tag=tag, from_repository=from_repository, path=f"{name}/blobs/{digest}")


def _references(payload: bytes) -> Sequence[Mapping[str, Any]]:
    return references_of(payload) if payload and settings.NOTIFICATIONS.events.includereferences else ()


def _repository_name(repository_id: int) -> str:
    rows = fetch_all(f"SELECT name FROM {_REPOSITORIES} WHERE id = %s", [repository_id])
    return str(rows[0][0]) if rows else ""


def _payload(name: str, digest: str) -> bytes:
    rows = fetch_all(
        f"SELECT m.payload FROM repositories_manifest m JOIN {_REPOSITORIES} r ON r.id = m.repository_id"
        " WHERE r.name = %s AND r.deleted_at IS NULL AND m.digest = %s",
        [name, digest],
    )
    return bytes(cast("bytes", rows[0][0])) if rows else b""
