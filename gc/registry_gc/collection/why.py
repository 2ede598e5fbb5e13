"""Why something is still there: the chains that keep a blob or a manifest, and when it can go.

Nothing here decides. What collection would do is asked of what collection itself asks: standings, rings and leases.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import cast

from django.conf import settings
from django.db.models import Q, QuerySet

from accounts.rights import EVERYONE, INSTANCE, Action, Credential, TeamTarget, decide
from blobs.models import Blob, BlobReview, RepositoryBlob, StorageDeletion
from oci.digests import Digest
from registry_gc.collection.chains import MOST_CHAINS, Chain, Reason, Step, Walk
from registry_gc.collection.fates import Fates, read_labels
from registry_gc.collection.graphs import read_graph
from registry_gc.collection.models import Kind
from registry_gc.collection.standings import FOREVER, Rules
from registry_project.database import database_now, fetch_all
from repositories.catalog import narrow, target_of
from repositories.models import Manifest, ManifestBlob, Repository

# Of one repository: as many references are counted, and so many of them, tagged ones first, are followed.
MOST_REFERENCES = 1000
_MOST_FOLLOWED = 100
_MOST_DELETIONS = 20
_PIECE = 20


class State(StrEnum):
    """`forever`: until somebody lets go of it; `kept`: until `can_go_at` at least; `waiting`, `due`: nothing keeps it,
    and its review has its date; `gone`: only its bytes are left, in the outbox.
    """

    FOREVER = "forever"
    KEPT = "kept"
    WAITING = "waiting"
    DUE = "due"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Kept:
    """What keeps it in one repository. `references` of at most MOST_REFERENCES; `can_go_at` None is for ever."""

    repository: Repository
    restorable_until: datetime | None
    leased_until: datetime | None
    references: int
    chains: list[Chain]
    complete: bool
    kept: bool
    can_go_at: datetime | None


@dataclass(frozen=True, slots=True)
class Target:
    """What was asked about. `everywhere`: whoever asks may see all of the instance."""

    kind: Kind
    digest: str
    id: int = 0
    size: int | None = None
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class Why:
    """What is known of it at the moment `now`; `review` and `deletions` are for those who see all of the instance."""

    target: Target
    now: datetime
    kept: bool
    can_go_at: datetime | None
    complete: bool
    repositories: list[Kept]
    review: BlobReview | None = None
    deletions: list[StorageDeletion] = field(default_factory=list)

    @property
    def is_there(self) -> bool:
        """Whether there is anything to tell of: in a repository, without any, or in the outbox."""
        return bool(self.repositories or self.target.id or self.deletions)

    @property
    def state(self) -> "State":
        if not self.repositories and not self.target.id:
            return State.GONE
        if self.can_go_at is None:
            return State.FOREVER
        if self.kept:
            return State.KEPT
        return State.DUE if self.can_go_at <= self.now else State.WAITING


def sees_everything(credential: Credential) -> bool:
    return decide(credential, Action.READ_INSTANCE, INSTANCE).allowed


def targets_of(credential: Credential, digest: Digest) -> Iterator[Target]:
    """What a digest may be: a blob, with the same statements whether there is one or not, or a manifest."""
    everywhere = sees_everything(credential)
    blob = Blob.objects.filter(digest=str(digest)).values_list("pk", "size").first()
    blob_id, size = blob or (0, None)
    yield Target(Kind.BLOB, str(digest), blob_id, size, everywhere)
    yield Target(Kind.MANIFEST, str(digest), everywhere=everywhere)


def list_holders(credential: Credential, target: Target) -> "QuerySet[Repository]":
    """Repositories that hold it, deleted ones as well: narrowed, and `may_see` has the last word."""
    if target.kind is Kind.BLOB:
        links = RepositoryBlob.objects.filter(blob=target.id).values("repository_id")
        held = Q(pk__in=links.union(ManifestBlob.objects.filter(blob=target.id).values("repository_id")))
    else:
        held = Q(pk__in=Manifest.objects.filter(digest=target.digest).values("repository_id"))
    return narrow(credential, Repository.objects.filter(held).select_related("team"))


def may_see(credential: Credential, repository: Repository) -> bool:
    """A deleted repository is for those who see its team's trash."""
    if not decide(credential, Action.PULL, target_of(repository)).allowed:
        return False
    return (
        repository.deleted_at is None or decide(credential, Action.READ_TEAM, TeamTarget(repository.team.slug)).allowed
    )


def explain(target: Target, repositories: Sequence[Repository]) -> Why:
    """What keeps it in each of the repositories, in their order; what it costs in statements depends on no width."""
    rules, now = Rules.configured(), database_now()
    blob = target.kind is Kind.BLOB
    users = _users(target, repositories)
    leases = _leases(target, repositories) if blob else {}
    graph = read_graph(manifest for found in users.values() for manifest in found.roles)
    labels = read_labels(list(graph.standings))
    ends = {
        each.pk: each.purged_at or each.deleted_at + rules.trash for each in repositories if each.deleted_at is not None
    }
    fates = Fates(graph, labels, ends, rules, settings.GC_GRACE, now)
    kept = [
        _explain_one(repository, target, users.get(repository.pk, _Users()), leases.get(repository.pk), fates)
        for repository in repositories
    ]
    review = BlobReview.objects.filter(pk=target.id).first() if blob and target.everywhere else None
    deletions = StorageDeletion.objects.filter(digest=target.digest).order_by("not_before", "id")
    return Why(
        target,
        now,
        kept=any(each.kept for each in kept),
        can_go_at=_latest([each.can_go_at for each in kept], now, review),
        complete=all(each.complete for each in kept),
        repositories=kept,
        review=review,
        deletions=list(deletions[:_MOST_DELETIONS]) if target.everywhere else [],
    )


def explain_everywhere(target: Target, *, limit: int) -> Why:
    """The same over all repositories, without asking who may see them; not complete where there are more."""
    holders = list(list_holders(EVERYONE, target).order_by("name", "pk")[: limit + 1])
    pieces = [explain(target, holders[start : start + _PIECE]) for start in range(0, min(len(holders), limit), _PIECE)]
    first, *others = pieces or [explain(target, [])]
    return replace(
        first,
        kept=any(each.kept for each in pieces),
        can_go_at=_latest([each.can_go_at for each in pieces], first.now, first.review),
        complete=len(holders) <= limit and all(each.complete for each in pieces),
        repositories=[kept for piece in (first, *others) for kept in piece.repositories],
    )


def _latest(ends: Sequence[datetime | None], now: datetime, review: BlobReview | None) -> datetime | None:
    latest = now if review is None else max(now, review.review_after)
    for end in ends:
        if end is None:
            return None
        latest = max(latest, end)
    return latest


@dataclass(slots=True)
class _Users:
    """The manifests that a chain begins with, by id, and as what they have it: empty for the manifest itself."""

    roles: dict[int, str] = field(default_factory=dict)
    count: int = 0


def _users(target: Target, repositories: Sequence[Repository]) -> dict[int, _Users]:
    if target.kind is Kind.MANIFEST:
        manifests = Manifest.objects.filter(digest=target.digest, repository__in=[each.pk for each in repositories])
        return {place: _Users({manifest: ""}, 1) for manifest, place in manifests.values_list("pk", "repository_id")}
    if not repositories:
        return {}
    one = (
        "SELECT repository_id, manifest_id, role, found, untagged FROM ("
        "SELECT repository_id, manifest_id, role, count(*) OVER () AS found,"
        " CASE WHEN EXISTS (SELECT 1 FROM repositories_tag t WHERE t.manifest_id = u.manifest_id) THEN 0 ELSE 1 END"
        " AS untagged FROM (SELECT repository_id, manifest_id, role FROM repositories_manifestblob"
        f" WHERE blob_id = %s AND repository_id = %s LIMIT {MOST_REFERENCES}) AS u"
        f" ORDER BY untagged, manifest_id DESC, role LIMIT {_MOST_FOLLOWED}) AS r"
    )
    rows = fetch_all(
        " UNION ALL ".join([one] * len(repositories)),
        [value for each in repositories for value in (target.id, each.pk)],
    )
    users: dict[int, _Users] = {}
    for repository_id, manifest_id, role, count, _ in cast("list[tuple[int, int, str, int, int]]", rows):
        found = users.setdefault(repository_id, _Users(count=count))
        found.roles.setdefault(manifest_id, role)
    return users


def _leases(target: Target, repositories: Sequence[Repository]) -> dict[int, datetime]:
    links = RepositoryBlob.objects.filter(blob=target.id, repository__in=[each.pk for each in repositories])
    return dict(links.values_list("repository_id", "leased_until"))


def _explain_one(
    repository: Repository, target: Target, users: _Users, leased_until: datetime | None, fates: Fates
) -> Kept:
    standings = [fates.graph.standings[each] for each in users.roles if each in fates.graph.standings]
    ends = {each.id: fates.goes_at(each.id) for each in standings}
    is_blob = target.kind is Kind.BLOB
    leased = leased_until if leased_until is not None and leased_until > fates.now else None
    chains = [Chain((), Reason.LEASE, leased)] if leased else []
    walk = Walk(fates, MOST_CHAINS - len(chains))
    for standing in sorted(standings, key=lambda each: ends[each.id], reverse=True):
        steps = (Step(users.roles[standing.id], standing.digest),) if is_blob else ()
        chains += walk.chains(standing, steps, frozenset())
    if not chains:
        chains = [Chain((), Reason.NOTHING)]
    end = max((fates.after(each) if is_blob else each for each in ends.values()), default=fates.now)
    end = max(end, leased or fates.now)
    followed = len(users.roles) < _MOST_FOLLOWED
    return Kept(
        repository,
        restorable_until=fates.ends.get(repository.pk),
        leased_until=leased,
        references=users.count,
        chains=chains,
        complete=followed and not walk.cut,
        kept=bool(leased or standings) if is_blob else any(fates.is_kept(each) for each in standings),
        can_go_at=None if end is FOREVER or end >= FOREVER - fates.grace else end,
    )
