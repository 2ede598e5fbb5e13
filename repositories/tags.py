"""Tags: every move and every end of one leaves history."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.rights import Principal
from blobs.links import HeldRepository, lock_repository
from events import announcements, audit
from events.audit_actions import AuditAction
from events.models import AuditEvent
from oci.digests import Digest
from oci.errors import ManifestUnknown
from oci.names import RepositoryName, TagName
from registry_project.database import LostRace, columns_of, fetch_all, key_share, retried, writing
from registry_project.reviews import arm_reviews
from repositories.models import ManifestReview, PointedAs, Tag, TagHistory
from repositories.tag_rules import rules_for

_RESOLUTION = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class TagMove:
    """A tag that points to another manifest than before; `left_id` is None where it is new."""

    name: TagName
    left_id: int | None = None
    left_digest: str = ""

    def describe(self, repository: RepositoryName, *, to: Digest) -> AuditEvent:
        if self.left_id is None:
            action, detail = AuditAction.TAG_CREATE, {"to": str(to)}
        else:
            action, detail = AuditAction.TAG_MOVE, {"from": self.left_digest, "to": str(to)}
        return audit.describe(action=action, repository=repository, target=self.name, detail=detail)


def describe_end(name: str, repository: RepositoryName, digest: str) -> AuditEvent:
    return audit.describe(action=AuditAction.TAG_DELETE, repository=repository, target=name, detail={"from": digest})


def point_tags(
    held: HeldRepository,
    *,
    repository_id: int,
    names: Iterable[TagName],
    manifest_id: int,
    principal: Principal,
    now: datetime,
    pointed_as: PointedAs = PointedAs.PUSH,
) -> list[TagMove]:
    """Let tags point to a manifest whose row is held; those that did not before.

    Belongs inside the push's transaction. Tags are taken in the order of their names, as every writer does.
    """
    ordered = sorted(set(names), key=lambda tag: tag.text)
    rules = rules_for(team_id=held.team_id, repository=held.name, exist=held.has_tag_rules and bool(ordered))
    moves = []
    for name in ordered:
        rules.check_write(name, principal)
        move = _point_tag(repository_id, name, manifest_id, principal, now, pointed_as)
        # Behind the tag's row: of many first pushes at once the others find what one of them made.
        if move is not None and move.left_id is not None:
            rules.check_move(name)
        moves += [move] if move else []
    return moves


def _point_tag(
    repository_id: int, name: TagName, manifest_id: int, principal: Principal, now: datetime, pointed_as: PointedAs
) -> TagMove | None:
    moment = connection.ops.adapt_datetimefield_value(now)
    # One statement makes the tag, or takes its row and tells what it points to. Two moves of one tag queue up here, so
    # that each writes the history of what it really replaced.
    (tag,) = Tag.objects.raw(
        "INSERT INTO repositories_tag"
        " (repository_id, name, manifest_id, pushed_at, pushed_by, pointed_at, pointed_by, pointed_as)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (repository_id, name) DO UPDATE"
        " SET pushed_at = EXCLUDED.pushed_at, pushed_by = EXCLUDED.pushed_by, expires_at = NULL"
        f" RETURNING {columns_of(Tag)}",
        [repository_id, name.text, manifest_id, moment, principal.name, moment, principal.name, pointed_as.value],
    )
    if tag.manifest_id == manifest_id:
        return TagMove(name) if tag.pointed_at == now else None
    left = TagMove(name, tag.manifest_id, _hold_manifest_of(tag))
    reason = TagHistory.Reason.RESTORED if pointed_as is PointedAs.RESTORE else TagHistory.Reason.MOVED
    # Who waited for the tag may have begun before what it replaces: the timeline goes on behind that.
    since = max(now, tag.pointed_at + _RESOLUTION)
    _remember([tag], reason=reason, principal=principal, now=since)
    Tag.objects.filter(pk=tag.pk).update(
        manifest_id=manifest_id, pushed_at=since, pointed_at=since, pointed_by=principal.name, pointed_as=pointed_as
    )
    return left


def _hold_manifest_of(tag: Tag) -> str:
    """Keep the manifest that history is going to refer to, and tell its digest; LostRace while it is being deleted.

    A deletion holds the manifest and waits for its tags. The foreign key of the history would make us wait for it
    at commit, with the tag in our hand: so we do not wait but let go and begin again.
    """
    lock = key_share(skip_locked=True)
    rows = fetch_all(f"SELECT digest FROM repositories_manifest WHERE id = %s{lock}", [tag.manifest_id])
    if not rows:
        raise LostRace
    return str(rows[0][0])


@retried
def delete_tag(*, repository_id: int, name: TagName, principal: Principal) -> None:
    """Take one tag away, and no other of its manifest; raises ManifestUnknown."""
    now = timezone.now()
    with writing():
        held = lock_repository(repository_id)
        tag = Tag.objects.select_for_update().filter(repository_id=repository_id, name=name.text).first()
        if tag is None:
            raise ManifestUnknown({"tag": name.text})
        check_deletes(held, [tag], principal)
        digest = _hold_manifest_of(tag)
        end_tags([tag], reason=TagHistory.Reason.DELETED, principal=principal, now=now)
        arm_reviews(ManifestReview, [tag.manifest_id], review_after=now + settings.TRASH_KEEP, reason="untagged")
        audit.record_all([describe_end(tag.name, held.name, digest)])
        announcements.tag_deleted(repository_id=repository_id, tag=name, principal=principal.name)


def check_deletes(held: HeldRepository, tags: Iterable[Tag], principal: Principal) -> None:
    """Raise TagReserved or TagImmutable for the first of the tags that the principal must not delete."""
    rules = rules_for(team_id=held.team_id, repository=held.name, exist=held.has_tag_rules)
    for tag in tags:
        rules.check_delete(tag.name, principal)


def end_tags(tags: list[Tag], *, reason: TagHistory.Reason, principal: Principal, now: datetime) -> None:
    """Remove tags whose rows are held, and remember them; the caller arms the review of their manifests."""
    _remember(tags, reason=reason, principal=principal, now=now)
    Tag.objects.filter(pk__in=[tag.pk for tag in tags]).delete()


def _remember(tags: list[Tag], *, reason: TagHistory.Reason, principal: Principal, now: datetime) -> None:
    TagHistory.objects.bulk_create(
        TagHistory(
            repository_id=tag.repository_id,
            name=tag.name,
            manifest_id=tag.manifest_id,
            started_at=tag.pointed_at,
            started_by=tag.pointed_by,
            started_as=tag.pointed_as,
            # Hosts' clocks differ: a tag never ends before it began.
            ended_at=max(now, tag.pointed_at),
            ended_by=principal.name,
            reason=reason,
            restorable_until=now + settings.TRASH_KEEP,
        )
        for tag in tags
    )
