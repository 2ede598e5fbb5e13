"""The chains that keep a manifest, and the blobs in it, from what was asked about up to what ends them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from registry_gc.collection.fates import Fates
from registry_gc.collection.graphs import Link
from registry_gc.collection.standings import FOREVER, Standing

# Of one repository.
MOST_CHAINS = 20
_LONGEST_CHAIN = 12


class Reason(StrEnum):
    """Where a chain ends."""

    TAG = "tag"
    HISTORY = "history"
    UNTAGGED = "untagged"
    DELETED = "deleted"
    LEASE = "lease"
    RING = "ring"
    NOTHING = "nothing"
    MORE = "more"


@dataclass(frozen=True, slots=True)
class Step:
    """A manifest that keeps what stands before it, as what: a role of a blob, `index` or `subject`."""

    relation: str
    digest: str


@dataclass(frozen=True, slots=True)
class Chain:
    """`until` belongs to the end of the chain; None is for ever, or until something else happens."""

    steps: tuple[Step, ...]
    reason: Reason
    until: datetime | None = None
    tag: str = ""
    tags: int = 0


@dataclass(slots=True)
class Walk:
    """The ways up from a manifest, the longest lasting first; `cut` tells that not all of them are given."""

    fates: Fates
    left: int
    cut: bool = False

    def chains(self, standing: Standing, steps: tuple[Step, ...], path: frozenset[int]) -> Iterator[Chain]:
        own = list(self._ends(standing, steps, alone=not standing.has_keeper))
        endless, dated = [], own
        if own and own[0].reason is Reason.TAG:
            endless, dated = own, []
        yield from self._as_many(endless)
        yield from self._through_others(standing, steps, path)
        yield from self._as_many(dated)

    def _through_others(self, standing: Standing, steps: tuple[Step, ...], path: frozenset[int]) -> Iterator[Chain]:
        self.cut = self.cut or standing.id in self.fates.graph.cut
        keepers = self._keepers(standing)
        if keepers and len(steps) >= _LONGEST_CHAIN:
            self.cut = True
            yield from self._as_many([Chain(steps, Reason.MORE)])
            return
        for link, keeper in keepers:
            further = (*steps, Step(link, keeper.digest))
            if keeper.id in path or keeper.id == standing.id:
                yield from self._as_many([Chain(further, Reason.RING)])
            elif self.left > 0:
                yield from self.chains(keeper, further, path | {standing.id})
            else:
                self.cut = True

    def _as_many(self, chains: list[Chain]) -> list[Chain]:
        """Those of the chains that there is room for."""
        self.cut = self.cut or len(chains) > self.left
        taken = chains[: self.left]
        self.left -= len(taken)
        return taken

    def _keepers(self, standing: Standing) -> list[tuple[Link, Standing]]:
        found = [(link, self.fates.graph.standings[each]) for link, each in self.fates.graph.keepers[standing.id]]
        return sorted(found, key=lambda pair: self.fates.goes_at(pair[1].id), reverse=True)

    def _ends(self, standing: Standing, steps: tuple[Step, ...], *, alone: bool) -> Iterator[Chain]:
        """What keeps it by itself, or, where it is `alone`, that nothing does."""
        fates, labels = self.fates, self.fates.labels[standing.id]
        own = fates.kept_by_itself(standing)
        if standing.is_tagged:
            until = None if labels.until is FOREVER else labels.until
            yield Chain(steps, Reason.TAG, until, labels.tag, labels.count)
            return
        restorable = standing.restorable_until
        if restorable is not None and restorable > fates.now:
            yield Chain(steps, Reason.HISTORY, restorable, labels.restorable_tag)
        if own is not None and own != restorable:
            reason = Reason.UNTAGGED if standing.deleted_at is None else Reason.DELETED
            yield Chain(steps, reason, None if own is FOREVER else own)
        elif own is None and alone:
            review = fates.graph.reviews.get(standing.id)
            yield Chain(steps, Reason.NOTHING, review.review_after if review else None)
