"""Deleting many tags at once, and what such a deletion would bring about, told before."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from accounts.rights import Principal
from blobs.links import lock_repository
from events import announcements, audit
from oci.errors import Denied
from oci.names import RepositoryName
from oci.patterns import Glob
from registry_project.database import any_of, fetch_all, key_share, retried, writing
from registry_project.reviews import arm_reviews
from repositories.models import Manifest, ManifestChild, ManifestReview, Repository, Tag, TagHistory
from repositories.tag_rules import TagRules, fallback_names, rules_for
from repositories.tags import describe_end, end_tags

BATCH = 100
# Of one request; a caller who is told that there are more asks again.
MOST_TAGS = 5000
NOT_THERE = "there is no such tag"
CHANGED = "it was pushed meanwhile"

# Bytes that nothing but these manifests refers to, in the whole registry.
_FREED = """
    SELECT SUM(b.size) FROM blobs_blob b
    WHERE b.id IN (SELECT blob_id FROM repositories_manifestblob WHERE manifest_id {chosen})
        AND NOT EXISTS (
            SELECT 1 FROM repositories_manifestblob u WHERE u.blob_id = b.id AND NOT (u.manifest_id {chosen})
        )"""


@dataclass(frozen=True, slots=True)
class Selection:
    """Tags by their names, or those that match a pattern and were pushed last before a moment."""

    names: tuple[str, ...] | None = None
    match: Glob | None = None
    pushed_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    tag: str
    reason: str


@dataclass(slots=True)
class BulkDeletion:
    """What was deleted; `more` tells that the selection holds more than one request takes."""

    deleted: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    more: bool = False
    restorable_until: datetime | None = None


@dataclass(slots=True)
class Preview:
    """What would go. `siblings` are tags that stay and keep their manifest; `children` and `referrers` go along.

    `fallback_tags` stay too: signatures, attestations and SBOMs by the name of what would go.

    `bytes_freed` is what comes back when the trash is over, as far as nothing else refers to it.
    """

    tags: list[Tag]
    skipped: list[Skipped]
    more: bool
    siblings: list[Tag]
    children: list[Manifest]
    referrers: list[Manifest]
    fallback_tags: list[Tag]
    manifest_count: int
    bytes_freed: int


@dataclass(frozen=True, slots=True)
class _Chosen:
    """`manifest_ids` by name: a tag that points to something else by now is not what was chosen."""

    manifest_ids: dict[str, int]
    skipped: list[Skipped]
    more: bool


def delete_tags(*, repository_id: int, selection: Selection, principal: Principal) -> BulkDeletion:
    """Delete the selected tags in batches, each a transaction; what is protected or not there is skipped."""
    chosen = _choose(repository_id, selection)
    outcome = BulkDeletion(skipped=chosen.skipped, more=chosen.more)
    names = sorted(chosen.manifest_ids)
    for start in range(0, len(names), BATCH):
        batch = {name: chosen.manifest_ids[name] for name in names[start : start + BATCH]}
        deleted, skipped, outcome.restorable_until = _delete_batch(repository_id, batch, principal)
        outcome.deleted += deleted
        outcome.skipped += skipped
    return outcome


@retried
def _delete_batch(
    repository_id: int, manifest_ids: dict[str, int], principal: Principal
) -> tuple[list[str], list[Skipped], datetime]:
    with writing():
        held = lock_repository(repository_id)
        condition, wanted = any_of(sorted(set(manifest_ids.values())))
        rows = fetch_all(
            f"SELECT id, digest FROM repositories_manifest WHERE id {condition} ORDER BY id{key_share()}", [wanted]
        )
        digests = {int(str(manifest_id)): str(digest) for manifest_id, digest in rows}
        now = timezone.now()
        found = Tag.objects.select_for_update().filter(repository_id=repository_id, name__in=manifest_ids)
        tags = [tag for tag in found.order_by("name") if tag.manifest_id == manifest_ids[tag.name]]
        changed = [Skipped(name, CHANGED) for name in sorted(manifest_ids.keys() - {tag.name for tag in tags})]
        rules = rules_for(team_id=held.team_id, repository=held.name, exist=held.has_tag_rules)
        tags, protected = _unprotected(tags, rules, principal)
        end_tags(tags, reason=TagHistory.Reason.DELETED, principal=principal, now=now)
        until = now + settings.TRASH_KEEP
        arm_reviews(ManifestReview, (tag.manifest_id for tag in tags), review_after=until, reason="untagged")
        audit.record_all([describe_end(tag.name, held.name, digests[tag.manifest_id]) for tag in tags])
        for tag in tags:
            announcements.tag_deleted(repository_id=repository_id, tag=tag.name, principal=principal.name)
        return [tag.name for tag in tags], changed + protected, until


def preview_delete(*, repository: Repository, selection: Selection, principal: Principal) -> Preview:
    """What `delete_tags` would do at this moment, and what collection would take once the trash is over."""
    chosen = _choose(repository.pk, selection)
    found = Tag.objects.filter(repository=repository, name__in=chosen.manifest_ids).order_by("name")
    rows = found.select_related("manifest").defer("manifest__payload", "manifest__annotations")
    rules = TagRules.load(team_id=repository.team_id, repository=RepositoryName(repository.name))
    tags, protected = _unprotected(rows, rules, principal)
    going = _Going(repository.pk, {tag.pk for tag in tags}, {tag.manifest_id for tag in tags})
    return Preview(
        tags=tags,
        skipped=chosen.skipped + protected,
        more=chosen.more,
        siblings=going.siblings,
        children=_manifests(going.children),
        referrers=_manifests(going.referrers),
        fallback_tags=_fallback_tags(repository.pk, going.manifests, besides={tag.pk for tag in tags}),
        manifest_count=len(going.manifests),
        bytes_freed=_bytes_freed(going.manifests),
    )


def _choose(repository_id: int, selection: Selection) -> _Chosen:
    tags = Tag.objects.filter(repository_id=repository_id)
    if selection.names is not None:
        found = dict(tags.filter(name__in=selection.names).values_list("name", "manifest_id"))
        missing = [Skipped(name, NOT_THERE) for name in sorted(set(selection.names) - found.keys())]
        return _Chosen(found, missing, more=False)
    if selection.pushed_before is not None:
        tags = tags.filter(pushed_at__lt=selection.pushed_before)
    matching: dict[str, int] = {}
    for name, manifest_id in tags.order_by("name").values_list("name", "manifest_id").iterator():
        if selection.match is None or selection.match.matches(name):
            if len(matching) == MOST_TAGS:
                return _Chosen(matching, [], more=True)
            matching[name] = manifest_id
    return _Chosen(matching, [], more=False)


def _unprotected(tags: Iterable[Tag], rules: TagRules, principal: Principal) -> tuple[list[Tag], list[Skipped]]:
    free, skipped = [], []
    for tag in tags:
        try:
            rules.check_delete(tag.name, principal)
        except Denied as error:
            reason = error.detail.get("reason") if isinstance(error.detail, dict) else None
            skipped.append(Skipped(tag.name, str(reason)))
        else:
            free.append(tag)
    return free, skipped


class _Going:
    """The manifests that nothing keeps once some tags are gone: those that lose their last tag, then what is below
    them and what refers to them, unless a tag or a parent that stays keeps it.
    """

    def __init__(self, repository_id: int, tag_ids: Collection[int], roots: Collection[int]) -> None:
        self._repository_id = repository_id
        self._tag_ids = set(tag_ids)
        self.manifests: set[int] = set()
        self.children: set[int] = set()
        self.referrers: set[int] = set()
        self.siblings = list(
            Tag.objects.filter(manifest__in=roots)
            .exclude(pk__in=tag_ids)
            .select_related("manifest")
            .defer("manifest__payload", "manifest__annotations")
            .order_by("name")
        )
        waiting = set(roots)
        while waiting:
            new = self._unkept(waiting)
            self.manifests |= new
            below = self._below(new)
            above = self._referring_to(new)
            self.children |= below
            self.referrers |= above - below
            # What a parent kept until now may go with that parent.
            waiting = ((waiting - new) if new else set()) | below | above
            waiting -= self.manifests
        self.children &= self.manifests
        self.referrers &= self.manifests

    def _unkept(self, candidates: set[int]) -> set[int]:
        tagged = Tag.objects.filter(manifest__in=candidates).exclude(pk__in=self._tag_ids)
        left = candidates - set(tagged.values_list("manifest_id", flat=True))
        parents = ManifestChild.objects.filter(child__in=left, parent__deleted_at=None)
        pairs = list(parents.values_list("parent_id", "child_id"))
        while kept := {child for parent, child in pairs if child in left and parent not in self.manifests | left}:
            left -= kept
        return left

    def _below(self, parents: set[int]) -> set[int]:
        children = ManifestChild.objects.filter(parent__in=parents, child__isnull=False)
        return set(children.values_list("child_id", flat=True))

    def _referring_to(self, subjects: set[int]) -> set[int]:
        digests = Manifest.objects.filter(pk__in=subjects).values("digest")
        referrers = Manifest.objects.filter(repository_id=self._repository_id, subject_digest__in=digests)
        return set(referrers.filter(deleted_at=None).values_list("pk", flat=True))


def _manifests(ids: Collection[int]) -> list[Manifest]:
    return list(Manifest.objects.filter(pk__in=ids).defer("payload", "annotations").order_by("pk"))


def _fallback_tags(repository_id: int, going: Collection[int], *, besides: Collection[int]) -> list[Tag]:
    digests = Manifest.objects.filter(pk__in=going).values_list("digest", flat=True)
    condition, names = any_of([name for digest in digests for name in fallback_names(digest)])
    rows = fetch_all(
        f"SELECT id FROM repositories_tag WHERE repository_id = %s AND name {condition}", [repository_id, names]
    )
    found = {int(str(tag_id)) for (tag_id,) in rows} - set(besides)
    tags = Tag.objects.filter(pk__in=found).select_related("manifest").order_by("name")
    return list(tags.defer("manifest__payload", "manifest__annotations"))


def _bytes_freed(manifest_ids: Collection[int]) -> int:
    condition, wanted = any_of(sorted(manifest_ids))
    return int(str(fetch_all(_FREED.format(chosen=condition), [wanted, wanted])[0][0] or 0))
