"""Writing the audit log: one INSERT in the transaction of what it tells of, so that there is both or neither."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from events.audit_actions import AuditAction
from events.models import AuditEvent
from oci.names import RepositoryName
from registry_project.context import current_request
from registry_project.database import writing
from registry_project.logs import redacted

log = logging.getLogger("lading.audit")

# Credentials for whoever brought none: a client, and the registry's own work or a command.
ANONYMOUS, SYSTEM = "anonymous", "system"

Outcome = AuditEvent.Outcome
# A push may name thousands of tags.
_BATCH = 1000
_LONGEST_TEXT, _MOST_ITEMS = 300, 20


def describe(
    *,
    action: AuditAction,
    team: str = "",
    repository: object = "",
    target: object = "",
    outcome: Outcome = Outcome.SUCCESS,
    detail: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """An event that is not stored yet; who did it, and from where, comes from the current request.

    Without a `team` it is the repository's, or the instance's where there is none.
    """
    request, name = current_request(), str(repository)
    if name and not team:
        team = RepositoryName(name).team_slug
    actor = request.principal if request else ""
    credential = (request.credential or ("" if actor else ANONYMOUS)) if request else SYSTEM
    event = AuditEvent(
        occurred_at=timezone.now(),
        actor=actor,
        credential=credential,
        address=request.address if request else "",
        request_id=request.id if request else "",
        action=action.value,
        team=team,
        repository=name,
        target=str(target),
        outcome=outcome.value,
        detail=_storable(detail or {}),
    )
    for field, longest in _TEXTS.items():
        setattr(event, field, _text(getattr(event, field), longest))
    return event


def record(
    *,
    action: AuditAction,
    team: str = "",
    repository: object = "",
    target: object = "",
    outcome: Outcome = Outcome.SUCCESS,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write one event within the running transaction. `detail` is small and holds no secret."""
    record_all(
        [describe(action=action, team=team, repository=repository, target=target, outcome=outcome, detail=detail)]
    )


def record_all(events: Sequence[AuditEvent]) -> None:
    """Write events within the running transaction, in one statement."""
    AuditEvent.objects.bulk_create(events, batch_size=_BATCH)


def record_refusal(
    *,
    action: AuditAction,
    team: str = "",
    repository: object = "",
    target: object = "",
    outcome: Outcome = Outcome.REFUSED,
    credential: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write an event of something that did not happen, in a transaction of its own.

    Call it outside of any other, which would take the event along when it fails. `credential` names what was shown
    and not accepted. A database that takes no rows must not turn a refusal into another answer: then the event goes
    to the log of the process.
    """
    event = describe(action=action, team=team, repository=repository, target=target, outcome=outcome, detail=detail)
    event.credential = _text(credential, _TEXTS["credential"]) or event.credential
    try:
        with writing():
            record_all([event])
    except (DatabaseError, InterfaceError) as error:
        log.error("an event could not be written to the audit log: %s: %s", error, json.dumps(as_json(event)))


def as_json(event: AuditEvent) -> dict[str, object]:
    """An event as exports show it."""
    return {
        "occurred_at": event.occurred_at.isoformat().replace("+00:00", "Z"),
        "id": event.id,
        "actor": event.actor,
        "credential": event.credential,
        "address": event.address,
        "request_id": event.request_id,
        "action": event.action,
        "team": event.team,
        "repository": event.repository,
        "target": event.target,
        "outcome": event.outcome,
        "detail": event.detail,
    }


_TEXTS = {
    field.name: field.max_length
    for field in AuditEvent._meta.concrete_fields
    if field.max_length and field.name not in {"action", "outcome"}
}


def _text(text: str, longest: int = _LONGEST_TEXT) -> str:
    """What clients chose must fit: PostgreSQL takes neither NUL nor half a surrogate pair, nor more than the column."""
    storable = text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return redacted(storable)[:longest]


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [_storable(item) for item in list(value)[:_MOST_ITEMS]]
    return value
