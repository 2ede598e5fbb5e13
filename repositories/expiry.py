"""Tags that end by themselves, as those of pull requests should.

A push of the tag, of the same digest too, takes the date away: what was pushed since, nobody has asked to let go.
"""

from collections import defaultdict
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from accounts.rights import Principal
from blobs.links import lock_repository
from events import announcements, audit
from events.audit_actions import AuditAction
from oci.errors import ManifestUnknown, NameUnknown
from oci.names import TagName
from registry_project.database import any_of, fetch_all, key_share, retried, writing
from registry_project.reviews import arm_reviews
from repositories.models import ManifestReview, Tag, TagHistory
from repositories.tags import check_deletes, end_tags

BATCH = 100
_REGISTRY = Principal()


@retried
def set_expiry(*, repository_id: int, name: TagName, expires_at: datetime | None, principal: Principal) -> None:
    """Let a tag end at a moment, or no longer by itself; it is a deletion that is put off, and as protected.

    Raises ManifestUnknown, TagImmutable and TagReserved.
    """
    with writing():
        held = lock_repository(repository_id)
        tag = Tag.objects.select_for_update(no_key=True).filter(repository_id=repository_id, name=name.text).first()
        if tag is None:
            raise ManifestUnknown({"tag": name.text})
        check_deletes(held, [tag], principal)
        Tag.objects.filter(pk=tag.pk).update(expires_at=expires_at)
        detail = {"expires_at": expires_at.isoformat() if expires_at else None}
        audit.record(action=AuditAction.TAG_UPDATE, repository=held.name, target=name, detail=detail)


def end_expired_tags(*, now: datetime | None = None) -> int:
    """Take away the tags whose time has come, a batch at most; their number.

    What others hold at the moment waits for the next round.
    """
    now = now or timezone.now()
    due = Tag.objects.filter(expires_at__lte=now, repository__deleted_at=None).order_by("expires_at")[:BATCH]
    by_repository: dict[int, list[int]] = defaultdict(list)
    for tag_id, repository_id in due.values_list("pk", "repository_id"):
        by_repository[repository_id].append(tag_id)
    return sum(_end_expired(repository_id, tag_ids, now) for repository_id, tag_ids in sorted(by_repository.items()))


@retried
def _end_expired(repository_id: int, tag_ids: list[int], now: datetime) -> int:
    with writing():
        try:
            held = lock_repository(repository_id)
        except NameUnknown:
            return 0
        due = Tag.objects.filter(pk__in=tag_ids, expires_at__lte=now)
        condition, wanted = any_of(sorted(set(due.values_list("manifest_id", flat=True))))
        manifests = fetch_all(
            f"SELECT id, digest FROM repositories_manifest WHERE id {condition}"
            f" ORDER BY id{key_share(skip_locked=True)}",
            [wanted],
        )
        digests = {int(str(manifest_id)): str(digest) for manifest_id, digest in manifests}
        tags = list(due.select_for_update(skip_locked=True).filter(manifest_id__in=digests).order_by("name"))
        if not tags:
            return 0
        end_tags(tags, reason=TagHistory.Reason.EXPIRED, principal=_REGISTRY, now=now)
        reviewed = [tag.manifest_id for tag in tags]
        arm_reviews(ManifestReview, reviewed, review_after=now + settings.TRASH_KEEP, reason="expired")
        audit.record_all(
            [
                audit.describe(
                    action=AuditAction.TAG_EXPIRE,
                    repository=held.name,
                    target=tag.name,
                    detail={"from": digests[tag.manifest_id]},
                )
                for tag in tags
            ]
        )
        for tag in tags:
            announcements.tag_deleted(repository_id=repository_id, tag=tag.name)
        return len(tags)
