"""Lists of the management API: rows that cost the same number of statements, however many there are."""

from collections import defaultdict
from collections.abc import Collection

from django.db.models import BigIntegerField, Count, IntegerField, Max, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from blobs.models import RepositoryBlob
from repositories.models import ManifestChild, Repository, Tag, TagHistory
from repositories.sizes import total_size

# BuildKit's word for an attestation, which is no platform.
_NO_PLATFORM = ("", "unknown/unknown")
_HEAVY = ("manifest__payload", "manifest__annotations")


def list_repositories() -> "QuerySet[Repository]":
    """Repositories with their team, `tag_count`, `size_bytes` (each of its blobs once) and `pushed_at`, the last push
    of a tag.
    """
    tags = Tag.objects.filter(repository=OuterRef("pk")).order_by().values("repository")
    links = RepositoryBlob.objects.filter(repository=OuterRef("pk")).order_by().values("repository")
    return (
        Repository.objects.filter(deleted_at=None)
        .select_related("team")
        .annotate(
            tag_count=Coalesce(
                Subquery(tags.annotate(number=Count("pk")).values("number")), 0, output_field=IntegerField()
            ),
            size_bytes=Coalesce(
                Subquery(links.annotate(size=Sum("blob__size")).values("size")), 0, output_field=BigIntegerField()
            ),
            pushed_at=Subquery(tags.annotate(latest=Max("pushed_at")).values("latest")),
        )
    )


def list_tag_rows(repository_id: int) -> "QuerySet[Tag]":
    """Tags with their manifest, without its payload, and `size_bytes`."""
    tags = Tag.objects.filter(repository_id=repository_id).select_related("manifest").defer(*_HEAVY)
    return tags.annotate(size_bytes=total_size("manifest"))


def platforms_of(manifest_ids: Collection[int]) -> dict[int, list[str]]:
    """The platforms that indexes name, and those that indexes name for an image; one statement."""
    found: dict[int, set[str]] = defaultdict(set)
    children = ManifestChild.objects.exclude(platform__in=_NO_PLATFORM)
    below = children.filter(parent__in=manifest_ids).values_list("parent_id", "platform")
    above = children.filter(child__in=manifest_ids).values_list("child_id", "platform")
    for manifest_id, platform in below.union(above):
        found[manifest_id].add(platform)
    return {manifest_id: sorted(platforms) for manifest_id, platforms in found.items()}


def list_history(repository_id: int, tag: str) -> "QuerySet[TagHistory]":
    entries = TagHistory.objects.filter(repository_id=repository_id, name=tag)
    return entries.select_related("manifest").defer(*_HEAVY)


def digest_after(entry: TagHistory) -> str | None:
    """What the tag pointed to after an entry of its history, however long it was gone; None where it is gone."""
    later = list_history(entry.repository_id, entry.name).filter(ended_at__gte=entry.ended_at).exclude(pk=entry.pk)
    following = later.filter(pk__gt=entry.pk).order_by("ended_at", "pk").values_list("manifest__digest", flat=True)
    current = Tag.objects.filter(repository_id=entry.repository_id, name=entry.name)
    return following.first() or current.values_list("manifest__digest", flat=True).first()


def find_tag_row(repository_id: int, name: str) -> Tag | None:
    return list_tag_rows(repository_id).filter(name=name).first()
