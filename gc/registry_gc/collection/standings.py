"""What keeps a manifest: one reading of it for collecting, for looking ahead and for rings."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet, Subquery

from repositories.models import Manifest, ManifestChild, Tag, TagHistory

# Why a referrer is reviewed whose subject was there and went: it is garbage then, and not merely untagged.
SUBJECT_COLLECTED = "subject-collected"
# An end that does not come by itself: what takes it away arms a review.
FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rules:
    """`untagged` is how long a manifest lives without a tag, None for ever; `trash` how long a deleted one."""

    untagged: timedelta | None
    trash: timedelta

    @classmethod
    def configured(cls) -> "Rules":
        return cls(untagged=settings.GC_UNTAGGED, trash=settings.TRASH_KEEP)


@dataclass(frozen=True, slots=True)
class Standing:
    """A manifest and what protects it; `has_parent` and `has_subject` tell of rows, hidden ones included."""

    id: int
    repository_id: int
    digest: str
    subject_digest: str
    size: int
    pushed_at: datetime
    deleted_at: datetime | None
    is_tagged: bool
    restorable_until: datetime | None
    tag_ended_at: datetime | None
    has_parent: bool
    has_subject: bool
    # Of its repository, which then holds nothing that could be wanted again.
    purged_at: datetime | None

    @property
    def has_keeper(self) -> bool:
        """Whether an index or a subject keeps it, which nothing that was deleted is helped by."""
        return self.deleted_at is None and self.purged_at is None and (self.has_parent or self.has_subject)

    def kept_until(self, *, now: datetime, reason: str, rules: Rules) -> datetime | None:
        """Until when it stays by itself, without parents and subject; FOREVER, or None where nothing keeps it."""
        end = max((self._own_end(reason, rules), self.restorable_until or now))
        return end if end > now else None

    def _own_end(self, reason: str, rules: Rules) -> datetime:
        if self.is_tagged:
            return FOREVER
        if self.purged_at is not None:
            return self.purged_at
        if self.deleted_at is not None:
            return self.deleted_at + rules.trash
        if reason == SUBJECT_COLLECTED and self.subject_digest and not self.has_subject:
            return self.pushed_at
        if rules.untagged is None:
            return FOREVER
        return max(self.pushed_at, self.tag_ended_at or self.pushed_at) + rules.untagged


def read_standings(manifests: QuerySet[Manifest]) -> list[Standing]:
    """What protects each of the manifests, in the order of their ids, without their payloads."""
    tags, history = Tag.objects.filter(manifest=OuterRef("pk")), TagHistory.objects.filter(manifest=OuterRef("pk"))
    subjects = Manifest.objects.filter(repository=OuterRef("repository"), digest=OuterRef("subject_digest"))
    rows = manifests.order_by("pk").values_list(
        "pk",
        "repository_id",
        "digest",
        "subject_digest",
        "size",
        "pushed_at",
        "deleted_at",
        Exists(tags),
        Subquery(history.order_by("-restorable_until").values("restorable_until")[:1]),
        Subquery(history.order_by("-ended_at").values("ended_at")[:1]),
        Exists(ManifestChild.objects.filter(child=OuterRef("pk"))),
        Exists(subjects),
        "repository__purged_at",
    )
    return [Standing(*row) for row in rows]
