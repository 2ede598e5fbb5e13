"""The sweep: garbage that no event announced, after a bug, an import or a restored backup.

It walks through the tables by id, a piece at a time, and arms reviews; it decides nothing. Its cursor is a row, so
that any worker goes on where another one stopped.
"""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from blobs.models import Blob, BlobReview, RepositoryBlob, TeamBlob
from registry_gc.collection.models import Kind, SweepCursor
from registry_gc.collection.reviews import REVIEWS
from registry_gc.collection.standings import Rules
from registry_project.database import database_now, writing
from registry_project.reviews import arm_reviews
from repositories.models import Manifest, ManifestBlob, ManifestChild, ManifestReview, Tag

PIECE = 1000
# From the beginning of one walk through a table to that of the next.
PAUSE = timedelta(hours=1)


def sweep_step(*, piece: int = PIECE, pause: timedelta = PAUSE) -> int:
    """Look at the next piece of each table; how many reviews were armed."""
    return sum(_step(kind, piece, pause) for kind in Kind)


def sweep_all(*, rules: Rules, piece: int = PIECE) -> int:
    """Look at everything once, beside the cursor of the periodic sweep; how many reviews were armed."""
    armed = 0
    for kind in Kind:
        for found in list_suspects(kind, rules=rules, piece=piece):
            _arm(kind, found)
            armed += len(found)
    return armed


def list_suspects(kind: Kind, *, rules: Rules, piece: int = PIECE) -> Iterator[list[int]]:
    """Ids of what has no review and looks as if it should have one, a piece of the table at a time."""
    last: int | None = 0
    while last is not None:
        last, found = _look(kind, last, piece, rules)
        yield found


def _step(kind: Kind, piece: int, pause: timedelta) -> int:
    SweepCursor.objects.bulk_create([SweepCursor(kind=kind)], ignore_conflicts=True)
    with writing():
        # Whoever finds another worker at it leaves it to that one.
        cursor = SweepCursor.objects.select_for_update(skip_locked=True).filter(kind=kind).first()
        if cursor is None:
            return 0
        now = database_now()
        if cursor.finished_at is not None:
            if cursor.started_at + pause > now:
                return 0
            cursor.started_at, cursor.finished_at, cursor.position = now, None, 0
        last, found = _look(kind, cursor.position, piece, Rules.configured())
        _arm(kind, found)
        if last is None:
            cursor.finished_at = now
        else:
            cursor.position = last
        cursor.save()
    return len(found)


def _look(kind: Kind, after_id: int, piece: int, rules: Rules) -> tuple[int | None, list[int]]:
    """What is suspicious behind an id, and the last id of the piece, None where the table ended."""
    model = Manifest if kind is Kind.MANIFEST else Blob
    ids = list(model._default_manager.filter(pk__gt=after_id).order_by("pk").values_list("pk", flat=True)[:piece])
    if not ids:
        return None, []
    here = Q(pk__gt=after_id, pk__lte=ids[-1])
    suspects: QuerySet[Manifest] | QuerySet[Blob]
    suspects = _manifests(here, rules) if kind is Kind.MANIFEST else _blobs(here)
    return (None if len(ids) < piece else ids[-1]), list(suspects.values_list("pk", flat=True))


def _arm(kind: Kind, found: list[int]) -> None:
    # With the delay of an event: what a client was told to be there it may rely on for as long.
    with writing():
        arm_reviews(REVIEWS[kind], found, review_after=database_now() + settings.GC_GRACE, reason="swept")


def _manifests(here: Q, rules: Rules) -> QuerySet[Manifest]:
    """Manifests without a tag that nothing else keeps, that were deleted, or that may be part of a ring."""
    tags, children = Tag.objects.filter(manifest=OuterRef("pk")), ManifestChild.objects.filter(parent=OuterRef("pk"))
    parents = ManifestChild.objects.filter(child=OuterRef("pk"))
    subjects = Manifest.objects.filter(repository=OuterRef("repository"), digest=OuterRef("subject_digest"))
    reviews = ManifestReview.objects.filter(pk=OuterRef("pk"))
    deleted = Q(deleted_at__isnull=False)
    # Every ring has a member that is both a referrer and an index.
    alone = ~Exists(parents) & ~Exists(subjects) | ~Q(subject_digest="") & Exists(children)
    # Where untagged manifests stay for ever, looking at them again and again would find nothing.
    reviewable = deleted if rules.untagged is None else deleted | alone
    return Manifest.objects.filter(here, ~Exists(reviews), ~Exists(tags)).filter(reviewable)


def _blobs(here: Q) -> QuerySet[Blob]:
    """Blobs that a repository has without using them, that no repository has, or that a team pays for in vain."""
    uses = ManifestBlob.objects.filter(blob=OuterRef("blob"), repository=OuterRef("repository"))
    unused = RepositoryBlob.objects.filter(~Exists(uses), blob=OuterRef("pk"))
    anywhere = ManifestBlob.objects.filter(blob=OuterRef("pk"))
    links = RepositoryBlob.objects.filter(blob=OuterRef("pk"))
    linked = RepositoryBlob.objects.filter(blob=OuterRef("blob"), repository__team=OuterRef("team"))
    used = ManifestBlob.objects.filter(blob=OuterRef("blob"), repository__team=OuterRef("team"))
    in_vain = TeamBlob.objects.filter(~Exists(linked), ~Exists(used), blob=OuterRef("pk"))
    reviews = BlobReview.objects.filter(pk=OuterRef("pk"))
    forgotten = ~Exists(links) & ~Exists(anywhere)
    return Blob.objects.filter(here, ~Exists(reviews)).filter(Exists(unused) | forgotten | Exists(in_vain))
