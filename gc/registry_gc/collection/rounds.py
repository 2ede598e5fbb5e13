"""Rounds: claim a batch, act on each target, write down what came of it; manifests first, then blobs."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import DatabaseError, InterfaceError

from registry_gc.collection.blobs import collect_blob
from registry_gc.collection.figures import Tally, record
from registry_gc.collection.manifests import collect_manifest
from registry_gc.collection.models import Kind
from registry_gc.collection.pausing import find_pause
from registry_gc.collection.reviews import Claim, Outcome, claim_reviews, list_reviews, postpone
from registry_gc.collection.standings import Rules
from registry_project.database import release_connection

log = logging.getLogger("lading.collection")

BATCH = 100
# A worker has more to do than this; the next round goes on.
ROUND = timedelta(seconds=5)
_ALARMING_ATTEMPTS = 10

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
    # In the order of their declaration: what manifests leave behind may be due at once.
    for kind in Kind:
        while time.monotonic() < deadline and find_pause() is None:
            claims = claim_reviews(kind, limit=BATCH)
            if not claims:
                break
            count += work_on(kind, claims, rules).reviewed
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
        collected = 0
        for kind in Kind:
            for claims in _all_reviews(kind) if kind in undated else _due_reviews(kind):
                tally = work_on(kind, claims, rules)
                totals.add(kind, tally)
                collected += tally.collected
                progress(kind, tally)
        if not collected:
            return totals


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
