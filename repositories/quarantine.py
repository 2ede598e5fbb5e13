"""Blobs whose stored bytes are damaged: given to nobody, told of to everybody whom it concerns, healed by a push.

While it lasts the damaged bytes stay where they are, for whoever wants to know what happened to them.
"""

import logging
from enum import StrEnum

from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils import timezone

from blobs.copies import heal_from_outbox
from blobs.models import Blob
from blobs.verification import UNHURRIED, Damage, Pace, check_storage_is_there, find_damage
from events import announcements, audit
from events.audit_actions import AuditAction
from registry_project.database import retried, writing
from registry_project.metrics import blob_scrubbed
from repositories.damage import Hits, by_team, find_hits

log = logging.getLogger("lading.quarantine")


class Outcome(StrEnum):
    """What came of looking at a blob; the values are labels of a metric."""

    VERIFIED = "verified"
    RELEASED = "released"  # it was in quarantine, and somebody has put right bytes back
    HEALED = "healed"  # from a copy
    QUARANTINED = "quarantined"
    KEPT = "kept"  # in quarantine, as before
    GONE = "gone"  # collected or replaced meanwhile
    UNREADABLE = "unreadable"  # the storage failed, which says nothing of the bytes


def list_quarantined() -> QuerySet[Blob]:
    return Blob.objects.filter(quarantined_at__isnull=False)


def examine_blob(blob: Blob, *, pace: Pace = UNHURRIED) -> Outcome:
    """Read a blob and do what follows from it. Raises Unavailable and OSError where the storage fails."""
    damage = find_damage(storage_key=blob.storage_key, digest=blob.digest, size=blob.size, pace=pace)
    outcome = _note_verified(blob) if damage is None else _note_damage(blob, damage)
    blob_scrubbed(outcome.value, size=blob.size)
    return outcome


def _note_verified(blob: Blob) -> Outcome:
    now = timezone.now()
    rows = Blob.objects.filter(pk=blob.pk, storage_key=blob.storage_key)
    if blob.quarantined_at is None:
        return Outcome.VERIFIED if rows.update(scrubbed_at=now, verified_at=now) else Outcome.GONE
    with writing():
        released = rows.filter(quarantined_at__isnull=False).update(
            scrubbed_at=now, verified_at=now, quarantined_at=None, quarantine_reason=""
        )
        if not released:
            return Outcome.GONE
        audit.record(action=AuditAction.BLOB_HEAL, target=blob.digest, detail={"size": blob.size})
    log.warning("the bytes of blob %s are right again, and it leaves quarantine", blob.digest)
    return Outcome.RELEASED


def _note_damage(blob: Blob, damage: Damage) -> Outcome:
    if damage is Damage.MISSING:
        check_storage_is_there(but=blob.pk)
    if heal_from_outbox(blob):
        return Outcome.HEALED
    if blob.quarantined_at is not None:
        Blob.objects.filter(pk=blob.pk).update(scrubbed_at=timezone.now())
        return Outcome.KEPT
    # Before the lock: many manifests may refer to a blob, and pushes wait for it.
    hits = _find_hits(blob)
    if not _quarantine(blob, damage, hits):
        return Outcome.GONE
    log.error("blob %s (%s) is in quarantine: %s; it hits %s", blob.digest, blob.storage_key, damage, hits)
    return Outcome.QUARANTINED


def _find_hits(blob: Blob) -> Hits:
    try:
        return find_hits([blob.pk])[blob.pk]
    except DatabaseError as error:
        # Where everybody uses it the search may take too long; the quarantine must not wait for that.
        log.error("nobody knows whom blob %s hits: %s", blob.digest, error)
        return Hits()


@retried
def _quarantine(blob: Blob, damage: Damage, hits: Hits) -> bool:
    now = timezone.now()
    with writing():
        # FOR UPDATE: a push that relies on the blob has its manifest before, or is told that the blob is unknown.
        held = Blob.objects.select_for_update().filter(pk=blob.pk, storage_key=blob.storage_key).first()
        if held is None or held.quarantined_at is not None:
            return False
        Blob.objects.filter(pk=blob.pk).update(scrubbed_at=now, quarantined_at=now, quarantine_reason=damage.value)
        everything: dict[str, object] = {
            "tags": list(map(str, hits.tags)),
            "tag_count": hits.tag_count,
            "teams": hits.teams,
        }
        told: dict[str, dict[str, object]] = {
            "": everything,
            **{team: {"tags": list(map(str, tags))} for team, tags in by_team(hits.tags)},
        }
        audit.record_all(
            [
                audit.describe(
                    action=AuditAction.BLOB_QUARANTINE,
                    team=team,
                    target=blob.digest,
                    detail={"reason": damage.value, "size": blob.size, **detail},
                )
                for team, detail in told.items()
            ]
        )
        announcements.blob_quarantined(
            digest=blob.digest, size=blob.size, tags=[(hit.repository, hit.tag) for hit in hits.tags]
        )
    return True
