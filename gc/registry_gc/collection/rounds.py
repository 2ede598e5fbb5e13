"""Rounds: claim a batch, act on each target, write down what came of it; manifests first, then blobs.

Before them, what is left of purged repositories is made ready for both.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TypeVar

from django.db import DatabaseError, InterfaceError

from registry_gc.collection.blobs import collect_blob
from registry_gc.collection.figures import Tally, record
from registry_gc.collection.manifests import collect_manifest
from registry_gc.collection.models import Kind
from registry_gc.collection.pausing import find_pause
from registry_gc.collection.repositories import list_purged, purge_over, take_apart
from registry_gc.collection.reviews import Claim, Outcome, claim_reviews, list_reviews, postpone
from registry_gc.collection.standings import Rules
from registry_project.database import release_connection

log = logging.getLogger("lading.collection")

BATCH = 100
# A worker has more to do than this; the next round goes on.
ROUND = timedelta(seconds=5)
# Of a repository, before its manifests are collected and the next have their turn.
PIECES = 20
_ALARMING_ATTEMPTS = 10

Result = TypeVar("Result")
Progress = Callable[[Kind, Tally], object]


@dataclass(slots=True)
class Totals:
    """What a whole run came to, by kind."""

    by_kind: dict[Kind, Tally] = field(default_factory=lambda: {kind: Tally() for kind in Kind})

    def add(self, kind: Kind, tally: Tally) -> None:
        self.by_kind[kind] += tally


def run_round() -> int:
    """Work on what is due for as long as a round may take; how many targets there were. Rests while paused."""
    deadline, count = time.monotonic() + ROUND.total_seconds(), 0
    rules = Rules.configured()
    work_on_repositories(until=time.monotonic() + ROUND.total_seconds() / 2)
    idle = False
    while not idle:
        idle = True
        # A batch of each in turn, so that neither waits for the other's backlog.
        for kind in Kind:
            if time.monotonic() >= deadline or find_pause() is not None:
                return count
            if claims := claim_reviews(kind, limit=BATCH):
                count += work_on(kind, claims, rules).reviewed
                idle = False
    return count


def run_until_idle(
    *, rules: Rules, undated: Collection[Kind] = (), progress: Progress = lambda _kind, _tally: None
) -> Totals:
    """Work on everything that is due, and on what becomes due by it.

    Of the kinds `undated` every review is looked at whatever its date, until a pass over them collects nothing.
    Leases, history that can be restored and ages are heeded either way.
    """
    totals = Totals()
    while True:
        collected = work_on_repositories()
        for kind in Kind:
            for claims in _all_reviews(kind) if kind in undated else _due_reviews(kind):
                tally = work_on(kind, claims, rules)
                totals.add(kind, tally)
                collected += tally.collected
                progress(kind, tally)
        if not collected:
            return totals


def work_on_repositories(*, until: float = math.inf) -> int:
    """Give up repositories whose time in the trash is over, and take all that were given up a little further apart.

    `until` is a moment of the monotonic clock. The answer is how many rows went.
    """
    while time.monotonic() < until and find_pause() is None:
        purged = _attempt(purge_over)
        if not purged:
            break
    waiting = list_purged()
    # Workers that come at the same time do not meet again and again.
    random.shuffle(waiting)
    return sum(_take_pieces(repository_id, until) for repository_id in waiting)


def _take_pieces(repository_id: int, until: float) -> int:
    removed = 0
    for _piece in range(PIECES):
        if time.monotonic() >= until or find_pause() is not None:
            break
        piece = _attempt(partial(take_apart, repository_id))
        if piece is None or not piece.removed + piece.armed:
            break
        removed += piece.removed
    return removed


def _attempt(act: Callable[[], Result]) -> Result | None:
    try:
        return act()
    except (DatabaseError, InterfaceError) as error:
        # Locks that others hold, and foreign keys that have stopped at COMMIT what came too early.
        log.info("deleted repositories: tried again later: %s", error)
        release_connection()
    return None


def _due_reviews(kind: Kind) -> Iterator[list[Claim]]:
    while claims := claim_reviews(kind, limit=BATCH):
        yield claims


def _all_reviews(kind: Kind) -> Iterator[list[Claim]]:
    last = 0
    while claims := list_reviews(kind, after_id=last, limit=BATCH):
        yield claims
        last = claims[-1].target_id


def work_on(kind: Kind, claims: Iterable[Claim], rules: Rules) -> Tally:
    """Act on each claimed target in a transaction of its own; one that fails does not stop the others."""
    outcomes, postponed = [], 0
    for claim in claims:
        outcome = _act(claim, rules)
        if outcome is None:
            postponed += 1
        else:
            outcomes.append(outcome)
    tally = Tally.of(outcomes, postponed=postponed)
    record(kind, tally)
    return tally


def _act(claim: Claim, rules: Rules) -> Outcome | None:
    try:
        return collect_manifest(claim, rules) if claim.kind is Kind.MANIFEST else collect_blob(claim)
    except (DatabaseError, InterfaceError) as error:
        # Locks that others hold, deadlocks, and races that were missed and that a foreign key has stopped at COMMIT.
        level = logging.ERROR if claim.attempts + 1 >= _ALARMING_ATTEMPTS else logging.INFO
        log.log(level, "%s %d is tried again later: %s", claim.kind.value, claim.target_id, error)
        # What failed may have been the connection.
        release_connection()
        postpone(claim, error)
    except Exception as error:
        log.exception("%s %d could not be reviewed and is tried again later", claim.kind.value, claim.target_id)
        postpone(claim, error)
    return None
