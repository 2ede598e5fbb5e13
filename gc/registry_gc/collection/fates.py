"""When manifests can go, by the rules that collection decides by, if nothing happens to them until then."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

from registry_gc.collection.graphs import MOST_LEVELS, Graph
from registry_gc.collection.models import Kind
from registry_gc.collection.reviews import Claim
from registry_gc.collection.rings import MOST_MEMBERS, find_ring
from registry_gc.collection.standings import FOREVER, Rules, Standing
from registry_project.database import any_of, fetch_all, is_postgresql
from repositories.models import Tag


@dataclass(frozen=True, slots=True)
class Labels:
    """The tags of a manifest: one of them, how many (at most MOST_TAGS), when the last ends, FOREVER for never; and a
    tag that can be restored to it for as long as any can.
    """

    tag: str = ""
    count: int = 0
    until: datetime = FOREVER
    restorable_tag: str = ""


MOST_TAGS = 1000
_TAGS = "repositories_tag t WHERE t.manifest_id = m.id"


def read_labels(manifest_ids: list[int]) -> dict[int, Labels]:
    condition, ids = any_of(manifest_ids)
    rows = fetch_all(
        f"SELECT m.id, (SELECT t.name FROM {_TAGS} ORDER BY t.name LIMIT 1),"
        f" (SELECT count(*) FROM (SELECT 1 FROM {_TAGS} LIMIT {MOST_TAGS}) AS counted),"
        f" (SELECT CASE WHEN count(*) = count(t.expires_at) THEN max(t.expires_at) END FROM {_TAGS}),"
        " (SELECT h.name FROM repositories_taghistory h WHERE h.manifest_id = m.id"
        " ORDER BY h.restorable_until DESC LIMIT 1)"
        f" FROM repositories_manifest m WHERE m.id {condition}",
        [ids],
    )
    return {
        cast("int", manifest_id): Labels(str(tag or ""), cast("int", count), _moment(until), str(restorable or ""))
        for manifest_id, tag, count, until, restorable in rows
    }


def _moment(value: object) -> datetime:
    if value is None:
        return FOREVER
    if is_postgresql():
        return cast("datetime", value)
    return cast("datetime", Tag._meta.get_field("expires_at").to_python(f"{value}+00:00"))


@dataclass(slots=True)
class Fates:
    """`ends` are those of deleted repositories, by id: what they hold goes then at the latest."""

    graph: Graph
    labels: Mapping[int, Labels]
    ends: Mapping[int, datetime]
    rules: Rules
    grace: timedelta
    now: datetime
    _known: dict[int, datetime] = field(default_factory=dict)

    def is_kept(self, standing: Standing) -> bool:
        """What collection would decide if the review were due at this moment."""
        if self.kept_by_itself(standing) is not None:
            return True
        return standing.has_keeper and not self.ring(standing)

    def kept_by_itself(self, standing: Standing) -> datetime | None:
        return standing.kept_until(now=self.now, reason=self._reason(standing), rules=self.rules)

    def ring(self, standing: Standing) -> list[int]:
        claim = Claim(
            Kind.MANIFEST,
            standing.id,
            version=0,
            attempts=0,
            reason=self._reason(standing),
            now=self.now,
            due_at=self.now,
        )
        ring = find_ring(standing, claim=claim, rules=self.rules, read=self.graph.keepers_of)
        return ring if self.graph.cut.isdisjoint(ring) else []

    def goes_at(self, manifest_id: int) -> datetime:
        """Not before `now`; FOREVER where nothing that comes by itself ends it."""
        return self._goes_at(manifest_id, frozenset())

    def _goes_at(self, manifest_id: int, path: frozenset[int]) -> datetime:
        if manifest_id in self._known:
            return self._known[manifest_id]
        standing = self.graph.standings[manifest_id]
        keepers = {keeper for _, keeper in self.graph.keepers[manifest_id]}
        end = self.own_end(standing)
        around = self._around(manifest_id)
        if manifest_id in around:
            # They go together.
            end = max(self.own_end(self.graph.standings[member]) for member in around)
        elif manifest_id in path:
            return FOREVER  # a ring of more members than collection looks for
        elif keepers and len(path) >= MOST_LEVELS:
            self.graph.cut.add(manifest_id)
        elif keepers:
            ends = {keeper: self.after(self._goes_at(keeper, path | {manifest_id})) for keeper in keepers}
            last = max(ends.values())
            if any(end == last for keeper, end in ends.items() if self.graph.is_subject(keeper, of=standing)):
                # With its subject its time without a tag ends as well.
                end = self._restorable(standing) if self._is_untagged(standing) else end
            end = max(end, last)
        elif not standing.has_keeper and end <= self.now and manifest_id not in self.graph.reviews:
            end = self.now + self.grace  # the sweep arms it
        review = self.graph.reviews.get(manifest_id)
        if review is not None:
            end = max(end, review.review_after)
        self._known[manifest_id] = end
        return end

    def own_end(self, standing: Standing) -> datetime:
        """Until when it stays without parents and subject, and with what is known to come; at least `now`."""
        end = self.kept_by_itself(standing) or self.now
        until = self.labels[standing.id].until if standing.is_tagged else FOREVER
        if until is not FOREVER and self.rules.untagged is not None:
            end = max(until, self.now) + max(self.rules.trash, self.rules.untagged)
        return min(end, max(self.ends.get(standing.repository_id, FOREVER), self.now))

    def _is_untagged(self, standing: Standing) -> bool:
        return not standing.is_tagged and standing.deleted_at is None

    def _restorable(self, standing: Standing) -> datetime:
        return max(standing.restorable_until or self.now, self.now)

    def after(self, end: datetime) -> datetime:
        return end if end >= FOREVER - self.grace else end + self.grace

    def _around(self, manifest_id: int) -> set[int]:
        """All that keeps it, nothing where that is more than a ring has."""
        found: set[int] = set()
        frontier = {manifest_id}
        while frontier:
            frontier = {keeper for each in frontier for _, keeper in self.graph.keepers[each]} - found
            found |= frontier
            if len(found) > MOST_MEMBERS:
                return set()
        return found

    def _reason(self, standing: Standing) -> str:
        review = self.graph.reviews.get(standing.id)
        return review.reason if review is not None else ""
