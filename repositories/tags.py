"""Tags: every move and every end of one leaves history."""

from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.rights import Principal
from blobs.links import lock_repository
from oci.errors import ManifestUnknown
from oci.names import TagName
from registry_project.database import LostRace, any_of, fetch_all, key_share, retried, writing
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


def hold_tagged_manifests(*, repository_id: int, names: Iterable[TagName]) -> None:
    """Keep the manifests that tags point to now, whose history will refer to them, before the tags are locked.

    Otherwise the foreign key would lock them at commit, against the order: deleting a manifest takes its tags last.
    """
    condition, wanted = any_of(sorted({name.text for name in names}))
    fetch_all(
        "SELECT m.id FROM repositories_tag t JOIN repositories_manifest m ON m.id = t.manifest_id"
        f" WHERE t.repository_id = %s AND t.name {condition} ORDER BY m.id{key_share('m')}",
        [repository_id, wanted],
    )


def _point_tag(repository_id: int, name: TagName, manifest_id: int, principal: Principal, now: datetime) -> int | None:
    moment = connection.ops.adapt_datetimefield_value(now)
    if fetch_all(
        "INSERT INTO repositories_tag (repository_id, name, manifest_id, pushed_at, pushed_by)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (repository_id, name) DO NOTHING RETURNING id",
        [repository_id, name.text, manifest_id, moment, principal.name],
    ):
        return None
    # Two moves of one tag queue up here, so that each writes the history of what it really replaced.
    tag = Tag.objects.select_for_update().filter(repository_id=repository_id, name=name.text).first()
    if tag is None:
        raise LostRace  # Deleted between the two statements.
    before = tag.manifest_id
    if before != manifest_id:
        _remember([tag], reason=TagHistory.Reason.MOVED, principal=principal, now=now)
    Tag.objects.filter(pk=tag.pk).update(
        manifest_id=manifest_id, pushed_at=now, pushed_by=principal.name, expires_at=None
    )
    return before if before != manifest_id else None


@retried
def delete_tag(*, repository_id: int, name: TagName, principal: Principal) -> None:
    """Take one tag away, and no other of its manifest; raises ManifestUnknown."""
    now = timezone.now()
    with writing():
        lock_repository(repository_id)
        hold_tagged_manifests(repository_id=repository_id, names=[name])
        tag = Tag.objects.select_for_update().filter(repository_id=repository_id, name=name.text).first()
        if tag is None:
            raise ManifestUnknown({"tag": name.text})
        end_tags([tag], reason=TagHistory.Reason.DELETED, principal=principal, now=now)
        arm_reviews(ManifestReview, [tag.manifest_id], review_after=now + settings.TRASH_KEEP, reason="untagged")


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
            started_at=tag.pushed_at,
            started_by=tag.pushed_by,
            # Hosts' clocks differ: a tag never ends before it began.
            ended_at=max(now, tag.pushed_at),
            ended_by=principal.name,
            reason=reason,
            restorable_until=now + settings.TRASH_KEEP,
        )
        for tag in tags
    )
