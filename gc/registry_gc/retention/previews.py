"""What a run would do at this moment, told without doing it.

The first page judges everything, because the totals are about everything. Those after it begin where the page before
ended, at the moment of the first, so that no page contradicts another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.conf import settings

from accounts.models import Team
from oci.names import RepositoryName
from registry_gc.retention.alone import Alone
from registry_gc.retention.brakes import Brake, brakes
from registry_gc.retention.evaluator import Evaluation, evaluate
from registry_gc.retention.inheritance import EffectivePolicy, Layer, effective_policy
from registry_gc.retention.policies import Layers, Scope, read_layers
from registry_gc.retention.policy import Action, Policy
from registry_gc.retention.reading import MOST_REPOSITORIES, StoredFacts, read_facts
from registry_gc.retention.sizes import Freed, freed_alone, freed_together
from registry_gc.retention.verdicts import Verdict
from registry_project.database import database_now
from repositories.models import Repository

MOST_BRAKES = 20


class Position(NamedTuple):
    """The last row of a page, and the moment that all pages are about. Untagged manifests come behind the tags."""

    now: datetime
    repository: str
    tag: str
    digest: str


@dataclass(frozen=True, slots=True)
class Row:
    """`bytes_freed` is what this deletion alone would bring back, None where nobody asked."""

    verdict: Verdict
    bytes_freed: int | None = None


@dataclass(slots=True)
class Totals:
    """Over the whole run. `bytes_freed` come back at `frees_at`; `bytes_shared` stay, because something else refers to
    the same blobs. A blob counts once.
    """

    repositories: int = 0
    tags: int = 0
    kept: int = 0
    manifests: int = 0
    bytes_freed: int | None = None
    bytes_shared: int | None = None
    frees_at: datetime | None = None
    stops: int = 0
    brakes: list[Brake] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Preview:
    now: datetime
    rows: list[Row]
    totals: Totals | None
    following: Position | None


class _Judged(NamedTuple):
    stored: StoredFacts
    evaluation: Evaluation
    policy: EffectivePolicy


def preview_policy(
    scope: Scope,
    *,
    team: Team,
    draft: Policy | None = None,
    only: Action | None = None,
    start: Position | None = None,
    limit: int,
    sizes: bool,
) -> Preview:
    """A page of verdicts in a team or repository under its policy, or under a `draft` in its place.

    `only` leaves out the other verdicts, not their part in the totals; those come with the first page alone. Without
    `sizes` nothing is told of bytes.
    """
    now = start.now if start else database_now()
    count = None if start else _Count()
    page = _Page(limit, only, start)
    for judged in _judge(scope, team, draft, now, start):
        if count:
            count.add(judged)
        page.add(judged)
        if page.is_full and not count:
            break
    return Preview(now, page.rows(sizes), count.totals(now, sizes) if count else None, page.following(now))


def _judge(scope: Scope, team: Team, draft: Policy | None, now: datetime, start: Position | None) -> Iterator[_Judged]:
    repositories = Repository.objects.filter(team=team, deleted_at=None).order_by("name")
    if scope.repository_id is not None:
        repositories = repositories.filter(pk=scope.repository_id)
    rest = repositories.filter(name__gte=start.repository) if start else repositories
    while some := list(rest[:MOST_REPOSITORIES]):
        layers = read_layers(scope, repository_ids=[repository.pk for repository in some])
        for stored in read_facts(some):
            held = _with_draft(scope, layers, stored.repository.pk, draft)
            policy = effective_policy(repository=RepositoryName(stored.facts.name), layers=held)
            yield _Judged(stored, evaluate(facts=stored.facts, rules=policy.rules, now=now), policy)
        rest = repositories.filter(name__gt=some[-1].name)


def _with_draft(scope: Scope, layers: Layers, repository_id: int, draft: Policy | None) -> Sequence[Layer]:
    held = layers.of(repository_id)
    if draft is None:
        return held
    return [*(layer for layer in held if layer.level is not scope.level), scope.layer(draft, 0)]


class _Count:
    """The totals of what has been judged so far."""

    def __init__(self) -> None:
        self._totals = Totals()
        self._gone: list[int] = []

    def add(self, judged: _Judged) -> None:
        totals, verdicts = self._totals, judged.evaluation.verdicts
        going = sum(1 for verdict in verdicts if verdict.tag and verdict.is_deleted)
        totals.tags += going
        totals.kept += len(judged.stored.facts.tags) - going
        totals.manifests += len(judged.evaluation.gone)
        totals.repositories += bool(going or judged.evaluation.gone)
        self._gone += [judged.stored.manifest_ids[digest] for digest in judged.evaluation.gone]
        if going:
            stopping = brakes(verdicts, brake_percent=judged.policy.brake_percent)
            totals.stops += len(stopping)
            totals.brakes += stopping[: MOST_BRAKES - len(totals.brakes)]

    def totals(self, now: datetime, sizes: bool) -> Totals:
        if sizes:
            freed = freed_together(self._gone) if self._gone else Freed()
            self._totals.bytes_freed, self._totals.bytes_shared = freed.freed, freed.shared
        if self._gone:
            self._totals.frees_at = now + settings.TRASH_KEEP + settings.GC_GRACE + settings.GC_LINGER
        return self._totals


class _Page:
    """The rows that follow a position, as many as are wanted and one more, which tells that there are more."""

    def __init__(self, limit: int, only: Action | None, start: Position | None) -> None:
        self._limit, self._only, self._start = limit, only, start
        self._verdicts: list[Verdict] = []
        self._going: list[list[int]] = []

    @property
    def is_full(self) -> bool:
        return len(self._verdicts) > self._limit

    def add(self, judged: _Judged) -> None:
        alone: Alone | None = None
        for verdict in judged.evaluation.verdicts:
            if self.is_full:
                return
            if (self._only is None or verdict.action is self._only) and self._follows(verdict):
                alone = alone or Alone(judged.stored.facts)
                self._verdicts.append(verdict)
                ids = judged.stored.manifest_ids
                self._going.append([ids[digest] for digest in alone.gone_with(verdict)])

    def _follows(self, verdict: Verdict) -> bool:
        return self._start is None or _place(verdict) > _place(self._start)

    def rows(self, sizes: bool) -> list[Row]:
        shown = self._verdicts[: self._limit]
        freed = freed_alone(self._going[: self._limit]) if sizes else [None] * len(shown)
        return [Row(verdict, size) for verdict, size in zip(shown, freed, strict=True)]

    def following(self, now: datetime) -> Position | None:
        if not self.is_full:
            return None
        last = self._verdicts[self._limit - 1]
        return Position(now, last.repository, last.tag, last.digest)


def _place(row: Verdict | Position) -> tuple[str, bool, str]:
    return row.repository, not row.tag, row.tag or row.digest
