"""Tags: every move and every end of one leaves history."""

from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.rights import Principal
from blobs.links import lock_repository
from events import announcements
from oci.errors import ManifestUnknown
from oci.names import TagName
from registry_project.database import LostRace, fetch_all, key_share, retried, writing
from registry_project.reviews import arm_reviews
from repositories.models import ManifestReview, Tag, TagHistory


def point_tags(
    *, repository_id: int, names: Iterable[TagName], manifest_id: int, principal: Principal, now: datetime
) -> list[int]:
    """Let tags point to a manifest whose row is held; the ids of the manifests that they pointed to before.

    Belongs inside the push's transaction. Tags are taken in the order of their names, as every writer does.
    """
    left = []
    for name in sorted(set(names), key=lambda tag: tag.text):
        before = _point_tag(repository_id, name, manifest_id, principal, now)
        if before is not None:
            left.append(before)
    return left


def _point_tag(repository_id: int, name: TagName, manifest_id: int, principal: Principal, now: datetime) -> int | None:
    moment = connection.ops.adapt_datetimefield_value(now)
    if fetch_all(
        "INSERT INTO repositories_tag"
        " (repository_id, name, manifest_id, pushed_at, pushed_by, pointed_at, pointed_by)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (repository_id, name) DO NOTHING RETURNING id",
        [repository_id, name.text, manifest_id, moment, principal.name, moment, principal.name],
    ):
        return None
    # Two moves of one tag queue up here, so that each writes the history of what it really replaced.
    tag = Tag.objects.select_for_update().filter(repository_id=repository_id, name=name.text).first()
    if tag is None:
        raise LostRace  # Deleted between the two statements.
    pushed = {"pushed_at": now, "pushed_by": principal.name, "expires_at": None}
    if tag.manifest_id == manifest_id:
        Tag.objects.filter(pk=tag.pk).update(**pushed)
        return None
    _hold_manifest_of(tag)
    _remember([tag], reason=TagHistory.Reason.MOVED, principal=principal, now=now)
    Tag.objects.filter(pk=tag.pk).update(manifest_id=manifest_id, pointed_at=now, pointed_by=principal.name, **pushed)
    return tag.manifest_id


def _hold_manifest_of(tag: Tag) -> None:
    """Keep the manifest that history is going to refer to; LostRace while it is being deleted.

    A deletion holds the manifest and waits for its tags. The foreign key of the history would make us wait for it
    at commit, with the tag in our hand: so we do not wait but let go and begin again.
    """
    lock = key_share(skip_locked=True)
    if not fetch_all(f"SELECT id FROM repositories_manifest WHERE id = %s{lock}", [tag.manifest_id]):
        raise LostRace


@retried
def delete_tag(*, repository_id: int, name: TagName, principal: Principal) -> None:
    """Take one tag away, and no other of its manifest; raises ManifestUnknown."""
    now = timezone.now()
    with writing():
        lock_repository(repository_id)
        tag = Tag.objects.select_for_update().filter(repository_id=repository_id, name=name.text).first()
        if tag is None:
            raise ManifestUnknown({"tag": name.text})
        _hold_manifest_of(tag)
        end_tags([tag], reason=TagHistory.Reason.DELETED, principal=principal, now=now)
        arm_reviews(ManifestReview, [tag.manifest_id], review_after=now + settings.TRASH_KEEP, reason="untagged")
        announcements.tag_deleted(repository_id=repository_id, tag=name, principal=principal.name)


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
            # Hosts' clocks differ: a tag never ends before it began.
            ended_at=max(now, tag.pointed_at),
            ended_by=principal.name,
            reason=reason,
            restorable_until=now + settings.TRASH_KEEP,
        )
        for tag in tags
    )
